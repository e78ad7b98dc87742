"""A save that is killed at any moment leaves the earlier model or the new one, whole."""

import multiprocessing
import random
import time

import numpy as np
import pytest
from support.processes import Worker, save, save_again_and_again

import bayestl as btl
from bayestl.files.folder import FILE, FileError

pytestmark = pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="Windows")


def models(two_tasks, n=2):
    """Models of different fits, with an array that takes a while to write."""
    X, Y = two_tasks
    fits = [btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False).fit(X, Y + k) for k in range(n)]
    for k, model in enumerate(fits):
        model.notes_ = {"k": k, "padding": "x" * 200_000}
    return fits


@pytest.mark.parametrize("times", [25, pytest.param(200, marks=pytest.mark.slow)])
def test_a_killed_save_leaves_the_old_model_or_the_new_one(two_tasks, tmp_path, times):
    fits, delays, left = models(two_tasks), random.Random(0), 0
    means = [m.posterior(two_tasks[0].iloc[:2]).mean.to_numpy() for m in fits]
    found = []
    for _ in range(times):
        worker = Worker(save_again_and_again, fits, tmp_path)
        worker.hear()
        time.sleep(delays.uniform(0, 0.01))
        worker.kill()
        model = btl.load(tmp_path)
        found.append(model.notes_["k"])
        np.testing.assert_allclose(model.posterior(two_tasks[0].iloc[:2]).mean, means[found[-1]], rtol=1e-9)
        left += len(list(tmp_path.iterdir())) - 1
    assert set(found) == {0, 1}
    assert left > 0  # some were killed in the middle of writing
    fits[0].save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


def test_a_first_save_that_is_killed_leaves_no_model_or_a_whole_one(two_tasks, tmp_path):
    fits, delays = models(two_tasks, 1), random.Random(0)
    for i in range(15):
        worker = Worker(save, fits[0], tmp_path / str(i))
        worker.hear()
        time.sleep(delays.uniform(0, 0.02))
        worker.kill()
        if (tmp_path / str(i) / FILE).exists():
            assert btl.load(tmp_path / str(i)).notes_ == fits[0].notes_
        else:
            with pytest.raises(FileError, match="is missing"):
                btl.load(tmp_path / str(i))


def test_readers_and_writers_do_not_meet(two_tasks, tmp_path):
    """Two processes save into a folder while this one loads: every load is a whole model."""
    fits = models(two_tasks)
    fits[0].save(tmp_path)
    both = [Worker(save_again_and_again, fits, tmp_path) for _ in range(2)]
    for worker in both:
        worker.hear()
    try:
        seen = {btl.load(tmp_path).notes_["k"] for _ in range(40)}
    finally:
        alive = [worker.process.is_alive() for worker in both]
        for worker in both:
            worker.kill()
    assert alive == [True, True]
    assert seen == {0, 1}
