import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from bayestl.parallel import in_parallel

_HELD = []


def light(i):
    return i


def heavy(i):
    """Holds 400 MB from its first call on, as libraries do that are loaded then."""
    if not _HELD:
        _HELD.append(np.ones(50_000_000))
    time.sleep(1.2)
    return i


def test_workers_that_a_heavy_loop_has_replaced_are_no_news():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert list(in_parallel(light, [(i,) for i in range(8)], 2, "light", False)) == list(range(8))
        assert list(in_parallel(heavy, [(i,) for i in range(6)], 2, "heavy", False)) == list(range(6))
    assert [str(w.message) for w in seen if "worker" in str(w.message)] == []


def warn(i, kind):
    """Each job warns of its own and of one thing that all share."""
    warnings.warn(f"of all, {kind}", UserWarning, stacklevel=1)
    warnings.warn(f"job {i}", RuntimeWarning, stacklevel=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.warn("silenced", UserWarning, stacklevel=1)
    return i


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_warnings_of_workers_are_warned_of_once_in_the_process_of_the_user(n_jobs, capfd):
    jobs = [(i, "kind") for i in range(4)]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        assert list(in_parallel(warn, jobs, n_jobs, "warn", False)) == list(range(4))
    texts = [str(w.message) for w in seen]
    assert set(texts) == {*(f"job {i}" for i in range(4)), "of all, kind"}
    assert n_jobs == 1 or len(set(texts)) == len(texts)
    assert {w.category for w in seen} == {UserWarning, RuntimeWarning}
    assert capfd.readouterr() == ("", "")


def test_filters_of_the_user_hold_for_warnings_of_workers():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", "of all")
        with pytest.raises(RuntimeWarning, match="job 0"):
            list(in_parallel(warn, [(0, "kind"), (1, "kind")], 2, "warn", False))


DEAF = """
import signal
from bayestl.parallel import in_parallel


def is_deaf(job):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


if __name__ == "__main__":
    print(list(in_parallel(is_deaf, [(i,) for i in range(4)], 2, "jobs", verbose=False)), is_deaf(0))
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="the system has no masks of signals")
def test_an_interrupt_is_for_the_process_of_the_user_alone(tmp_path):
    """In a process of its own: the trackers of a running one, which change the mask, may have been started."""
    (tmp_path / "deaf.py").write_text(DEAF)
    out = subprocess.run([sys.executable, "deaf.py"], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert out.stdout == f"{[True] * 4} False\n"
