"""The number of threads of the linear algebra."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from threading import Lock, local

import torch
from threadpoolctl import threadpool_limits

SINGLE_THREAD_LABELS = 1000
"""Number of labels below which the linear algebra runs in one thread."""


class _SingleThread:
    """A limit of one thread for the whole process, held while any fit needs it: models may be fitted in threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._nesting = local()
        self._holders = 0
        self._torch = 1
        self._blas: threadpool_limits | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._holders == 0:
                self._torch = torch.get_num_threads()
                self._blas = threadpool_limits(limits=1, user_api="blas")
            self._holders += 1
            self._nesting.depth = getattr(self._nesting, "depth", 0) + 1
            torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._holders -= 1
            self._nesting.depth -= 1
            if self._nesting.depth == 0:
                torch.set_num_threads(self._torch)  # in part a setting of the calling thread
            if self._holders == 0 and self._blas is not None:
                self._blas.restore_original_limits()


_single_thread = _SingleThread()


def threads_for(n_labels: int) -> AbstractContextManager:
    """A context with one thread for small matrices, where starting several costs more than they save (on two cores)."""
    return _single_thread if n_labels < SINGLE_THREAD_LABELS else nullcontext()
