"""Parallel loops with joblib (its Dask backend takes them to a cluster), under a progress bar.

What a job warns of in another process is warned of in this one, where filters and the printing of warnings are as the
user has set them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed

from bayestl.progress import progress

Result = TypeVar("Result")
Caught = tuple[str, type[Warning], str, int]
"""A warning of a worker: text, category, file and line."""


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
        run = Parallel(n_jobs=n_jobs, return_as="generator")
        results = run(delayed(_with_warnings)(os.getpid(), function, job) for job in jobs)
        for done, (result, caught) in enumerate(results, start=1):
            for text, category, filename, line in caught:
                warnings.warn_explicit(text, category, filename, line, registry=seen)
            update(completed=done)
            yield result


def _with_warnings(parent: int, function: Callable[..., Result], job: tuple[Any, ...]) -> tuple[Result, list[Caught]]:
    """The result of a job, and what it warned of if it ran in another process than ``parent``."""
    if os.getpid() == parent:
        return function(*job), []
    with warnings.catch_warnings(record=True) as caught:
        result = function(*job)
    return result, [(str(w.message), w.category, w.filename, w.lineno) for w in caught]
