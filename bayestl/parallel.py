"""Parallel loops with joblib (its Dask backend takes them to a cluster), under a progress bar.

What a job warns of in another process is warned of in this one, where filters and the printing of warnings are as the
user has set them.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from typing import Any, TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.backend import resource_tracker

from bayestl.progress import progress

Result = TypeVar("Result")
Caught = tuple[str, type[Warning], str, int]
"""A warning of a worker: text, category, file and line."""
_QUIET_TRACKER = "ignore::UserWarning:joblib.externals.loky.backend.resource_tracker"


def in_parallel(
    function: Callable[..., Result],
    jobs: Sequence[tuple[Any, ...]],
    n_jobs: int | None,
    what: str,
    verbose: bool = True,
) -> Iterator[Result]:
    """Yield ``function(*job)`` for each job, in the order of the jobs, as soon as it is done.

    ``what`` is the title of the progress bar.
    """
    seen: dict[Any, Any] = {}
    with progress(what, total=len(jobs), verbose=verbose) as update, warnings.catch_warnings():
        # joblib replaces a worker that a job makes 300 MB larger than its first one did; no result is lost
        warnings.filterwarnings(
            "ignore",
            message="A worker stopped while some jobs were given to the executor",
            category=UserWarning,
            module=r"joblib\.externals\.loky\.process_executor$",
        )
        # that an error or an interrupt ends the loop before its other jobs is no news either
        warnings.filterwarnings(
            "ignore",
            message="(?s).*adjusting the input task iterator",
            category=UserWarning,
            module=r"joblib\.parallel$",
        )
        run = Parallel(n_jobs=n_jobs, return_as="generator")
        with nullcontext() if n_jobs == 1 else _deaf_workers():
            results = run(delayed(_with_warnings)(os.getpid(), function, job) for job in jobs)
        with closing(results):
            for done, (result, caught) in enumerate(results, start=1):
                for text, category, filename, line in caught:
                    warnings.warn_explicit(text, category, filename, line, registry=seen)
                update(completed=done)
                yield result


@contextmanager
def _deaf_workers() -> Iterator[None]:
    """A moment in which workers are started that take no interrupts: this process takes them, and ends its workers.

    They inherit the mask of signals.  The tracker of joblib, which would change the mask of this process, is started before.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    sys.warnoptions.append(_QUIET_TRACKER)  # what an interrupt leaves is no news of the tracker's
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(_QUIET_TRACKER)
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


def _with_warnings(parent: int, function: Callable[..., Result], job: tuple[Any, ...]) -> tuple[Result, list[Caught]]:
    """The result of a job, and what it warned of if it ran in another process than ``parent``."""
    if os.getpid() == parent:
        return function(*job), []
    with warnings.catch_warnings(record=True) as caught:
        result = function(*job)
    return result, [(str(w.message), w.category, w.filename, w.lineno) for w in caught]
