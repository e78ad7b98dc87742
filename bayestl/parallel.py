"""Parallel loops with joblib, in processes or, under ``joblib.parallel_config("dask")``, on a cluster; under a progress bar.

What a job warns of in another process is warned of in this one, where filters and the printing of warnings are as the
user has set them.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from multiprocessing import resource_tracker as python_resource_tracker
from typing import Any, TypeVar, cast
from uuid import uuid4

from joblib import Parallel, delayed
from joblib.externals.loky.backend import resource_tracker

from bayestl.cluster import client_in_use, environment, run_on_workers
from bayestl.progress import Update, progress

Result = TypeVar("Result")
Caught = tuple[str, type[Warning], str, int]
"""A warning of a worker: text, category, file and line."""
_IMPORTED, _STARTED_WITH = uuid4().hex, environment()
_QUIET_TRACKER = "ignore::UserWarning:joblib.externals.loky.backend.resource_tracker"


def in_parallel(
    function: Callable[..., Result],
    jobs: Iterable[tuple[Any, ...]],
    n_jobs: int | None,
    what: str,
    verbose: bool = True,
    total: int | None = None,
) -> Iterator[Result]:
    """Yield ``function(*job)`` for each job, in the order of the jobs, as soon as it is done.

    ``what`` is the title of the progress bar, ``total`` the number of jobs where they come from an iterator.
    """
    seen: dict[Any, Any] = {}
    total = len(jobs) if isinstance(jobs, Sized) else total
    client = None if n_jobs == 1 else client_in_use()
    run = partial(_with_warnings, _here(), {} if client is None else environment(), function)
    with progress(what, total=total, verbose=verbose) as update, warnings.catch_warnings():
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
        if client is not None:
            results = run_on_workers(client, run, jobs, partial(_tell_of_waiting, update, what))
        else:
            backend = {"backend": "sequential"} if n_jobs == 1 else {}
            parallel = Parallel(n_jobs=n_jobs, return_as="generator", **backend)
            with nullcontext() if n_jobs == 1 else _deaf_workers():
                results = parallel(delayed(run)(job) for job in jobs)
        with closing(cast(Generator[Any, None, None], results)):
            for done, (result, caught) in enumerate(results, start=1):
                for text, category, filename, line in caught:
                    warnings.warn_explicit(text, category, filename, line, registry=seen)
                update(completed=done)
                yield result


def _tell_of_waiting(update: Update, what: str, waiting: bool) -> None:
    """Say under the bar that there are no workers."""
    update(description=f"{what}, waiting for a worker of the Dask cluster" if waiting else what)


@contextmanager
def _deaf_workers() -> Iterator[None]:
    """A moment in which workers are started that take no interrupts: this process takes them, and ends its workers.

    They inherit the mask of signals.  The trackers of joblib and Python, which would change the mask of this process, are
    started before.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    sys.warnoptions.append(_QUIET_TRACKER)  # what an interrupt leaves is no news of the tracker's
    try:
        for tracker in (resource_tracker, python_resource_tracker):
            tracker.ensure_running()
    finally:
        sys.warnoptions.remove(_QUIET_TRACKER)
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


def _here() -> str:
    """What no other process is called, on this machine or another."""
    return f"{os.getpid()} {_IMPORTED}"


def _with_warnings(
    parent: str, environ: dict[str, str], function: Callable[..., Result], job: tuple[Any, ...]
) -> tuple[Result, list[Caught]]:
    """The result of a job, and what it warned of if it ran in another process than ``parent``."""
    if _here() == parent:
        return function(*job), []
    for name, value in environ.items():  # what a worker was started with comes first
        os.environ[name] = _STARTED_WITH.get(name, value)
    with warnings.catch_warnings(record=True) as caught:
        result = function(*job)
    return result, [(str(w.message), w.category, w.filename, w.lineno) for w in caught]
