"""The number of threads of the linear algebra.

The last bits of a factorisation depend on that number, and Markov chains turn them into other draws.  So it is the same in
every thread that a model is fitted in, whatever else runs: torch's number belongs to the calling thread, and the one of
NumPy's and SciPy's BLAS, which belongs to the whole process, is one as long as any model computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock, Thread
from typing import Any

import threadpoolctl
import torch

SINGLE_THREAD_LABELS = 1000
"""Below this number of labels the linear algebra runs in one thread."""


class _ThreadLimits:
    """Limits of torch in the calling thread, and of the BLAS of the whole process as long as any thread holds one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._holders = 0
        self._blas: Any = None

    def acquire(self, single: bool) -> int:
        """Limit the BLAS, and with ``single`` torch too, to one thread; returns the number that torch had."""
        with self._lock:
            if self._holders == 0:
                _release_openblas()
                self._blas = _blas().limit(limits=1)
            self._holders += 1
            before = torch.get_num_threads()
            if single and before > 1:
                torch.set_num_threads(1)
                # this also sets the number for threads that start later, which only another thread can restore
                helper = Thread(target=torch.set_num_threads, args=(before,))
                helper.start()
                helper.join()
            return before

    def release(self, before: int) -> None:
        """End what :meth:`acquire` began; ``before`` is the number that it returned."""
        with self._lock:
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)
            self._holders -= 1
            if self._holders == 0:
                _release_openblas()
                self._blas.restore_original_limits()
                _release_openblas()


@cache
def _blas() -> threadpoolctl.ThreadpoolController:
    """The BLAS libraries of NumPy and SciPy, which are loaded before the first model computes."""
    return threadpoolctl.ThreadpoolController().select(user_api="blas")


def _release_openblas() -> None:
    """Let any thread set OpenBLAS' number: threadpoolctl 3.8 ignores all threads but the first one that has set it."""
    clear = getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


_limits = _ThreadLimits()


@contextmanager
def threads_for(n_labels: int) -> Iterator[None]:
    """A context with one thread for small matrices, where starting several costs more than they save (on two cores).

    For larger matrices torch keeps the number of threads of the calling thread.
    """
    before = _limits.acquire(n_labels < SINGLE_THREAD_LABELS)
    try:
        yield
    finally:
        _limits.release(before)
