"""The number of threads of the linear algebra, which decides the last bits of a result, and that it is the same in every thread."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread

import numpy as np
import pytest
import threadpoolctl
import torch

import bayestl as btl
from bayestl.inference import threads
from bayestl.inference.threads import SINGLE_THREAD_LABELS, threads_for


def _elsewhere(function):
    """What a function gives in a thread that starts now."""
    out = []
    thread = Thread(target=lambda: out.append(function()))
    thread.start()
    thread.join()
    return out[0]


def _blas():
    return [info["num_threads"] for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]


@pytest.fixture
def several():
    """Two threads of torch and of the BLAS, the latter set by this thread, which makes threadpoolctl refuse those of others."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    limit = threadpoolctl.threadpool_limits(2, user_api="blas")
    yield
    limit.restore_original_limits()
    torch.set_num_threads(before)


@pytest.mark.parametrize(("n", "of_torch"), [(10, 1), (SINGLE_THREAD_LABELS, 2)])
def test_a_thread_is_limited_whichever_it_is_and_nobody_else(several, n, of_torch):
    blas = _blas()

    def inside():
        with threads_for(n), threads_for(n):
            return torch.get_num_threads(), set(_blas()), _elsewhere(torch.get_num_threads)

    for found in (inside(), _elsewhere(inside)):
        assert found == (of_torch, {1}, 2)
    assert (torch.get_num_threads(), _elsewhere(torch.get_num_threads), _blas()) == (2, 2, blas)


def test_limits_that_overlap_end_with_the_last(several):
    blas, inside, outside = _blas(), Barrier(2), Barrier(2)

    def first():
        with threads_for(10):
            inside.wait()
        outside.wait()
        return torch.get_num_threads()

    def last():
        with threads_for(10):
            inside.wait()
            outside.wait()
            return torch.get_num_threads(), set(_blas())

    with ThreadPoolExecutor(2) as pool:
        a, b = pool.submit(first), pool.submit(last)
        assert (a.result(), b.result()) == (2, (1, {1}))
    assert _blas() == blas


def test_a_large_fit_is_the_same_beside_small_ones(several, two_tasks, monkeypatch):
    monkeypatch.setattr(threads, "SINGLE_THREAD_LABELS", 50)  # of 60

    def fit(task):
        X, Y = two_tasks
        model = btl.MultiTaskGP(hyperparameters="map", n_starts=1, verbose=False)
        return model.fit(X, Y[[task]] if task else Y).posterior(X, noise=False).mean.to_numpy()

    kinds = ["source", None, None]
    alone = {kind: fit(kind) for kind in set(kinds)}
    with ThreadPoolExecutor(len(kinds)) as pool:
        for kind, found in zip(kinds, pool.map(fit, kinds), strict=True):
            np.testing.assert_array_equal(found, alone[kind])
