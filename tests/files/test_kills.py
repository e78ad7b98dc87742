"""A save that is killed at any moment leaves the earlier model or the new one, whole."""

import multiprocessing
import os
import random
import signal
import time

import numpy as np
import pytest

import bayestl as btl
from bayestl.files.folder import FILE, FileError

pytestmark = [
    pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


def models(two_tasks, n=2):
    """Models of different fits, with an array that takes a while to write."""
    X, Y = two_tasks
    fits = [btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False).fit(X, Y + k) for k in range(n)]
    for k, model in enumerate(fits):
        model.notes_ = {"k": k, "padding": "x" * 200_000}
    return fits


def _save_again_and_again(fits, folder, pipe):
    for k in range(10_000):
        fits[k % len(fits)].save(folder)
        if k == 1:
            os.write(pipe, b"!")


def kill(fits, folder, delay):
    """Kill a process that saves the models over each other, ``delay`` seconds after it has begun to."""
    read, write = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=_save_again_and_again, args=(fits, folder, write))
    process.start()
    os.read(read, 1)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    for end in (read, write):
        os.close(end)


@pytest.mark.parametrize("times", [25, pytest.param(500, marks=pytest.mark.slow)])
def test_a_killed_save_leaves_the_old_model_or_the_new_one(two_tasks, tmp_path, times):
    fits, delays, left = models(two_tasks), random.Random(0), 0
    means = [m.posterior(two_tasks[0].iloc[:2]).mean.to_numpy() for m in fits]
    found = []
    for _ in range(times):
        kill(fits, tmp_path, delays.uniform(0, 0.01))
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
    context = multiprocessing.get_context("fork")
    for i in range(15):
        process = context.Process(target=fits[0].save, args=(tmp_path / str(i),))
        process.start()
        time.sleep(delays.uniform(0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        if (tmp_path / str(i) / FILE).exists():
            assert btl.load(tmp_path / str(i)).notes_ == fits[0].notes_
        else:
            with pytest.raises(FileError, match="is missing"):
                btl.load(tmp_path / str(i))


def test_readers_and_writers_do_not_meet(two_tasks, tmp_path):
    """Two processes save into a folder while this one loads: every load is a whole model."""
    fits = models(two_tasks)
    fits[0].save(tmp_path)
    context = multiprocessing.get_context("fork")
    read, write = os.pipe()
    both = [context.Process(target=_save_again_and_again, args=(fits, tmp_path, write)) for _ in range(2)]
    for process in both:
        process.start()
    try:
        seen = {btl.load(tmp_path).notes_["k"] for _ in range(40)}
    finally:
        alive = [process.is_alive() for process in both]
        for process in both:
            process.kill()
            process.join()
        os.close(read), os.close(write)
    assert alive == [True, True]
    assert seen == {0, 1}
