import time
import warnings

import numpy as np

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
