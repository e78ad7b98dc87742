"""The number of threads of the linear algebra.

The last bits of a factorisation depend on that number, and Markov chains turn them into other draws.  So it is the same in
every thread that a model is fitted in, whatever else runs: torch's number belongs to the calling thread, and the one of
NumPy's and SciPy's BLAS, which belongs to the whole process, is one as long as any model computes.
"""

from __future__ import annotations

import os
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
            try:
                if single and before > 1:
                    torch.set_num_threads(1)
                    _set_for_later_threads(before)
            except BaseException:
                self._release(before)
                raise
            return before

    def release(self, before: int) -> None:
        """End what :meth:`acquire` began; ``before`` is the number that it returned."""
        with self._lock:
            self._release(before)

    def _release(self, before: int) -> None:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
        self._holders -= 1
        if self._holders == 0:
            _release_openblas()
            self._blas.restore_original_limits()
            _release_openblas()

    def after_fork(self) -> None:
        """In a child process: a lock that no thread holds, since a thread of the parent may have held the old one."""
        self._lock = Lock()


def _set_for_later_threads(number: int) -> None:
    """Restore torch's number for threads that start later, which ``set_num_threads`` has set too; only a thread can."""
    helper = Thread(target=torch.set_num_threads, args=(number,))
    try:
        helper.start()
    except RuntimeError:
        return  # the interpreter is shutting down, no thread will start
    helper.join()


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
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limits.after_fork)


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
