"""Parallel loops with joblib (its Dask backend takes them to a cluster), under a progress bar."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed

from bayestl.progress import progress

Result = TypeVar("Result")


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
    with progress(what, total=len(jobs), verbose=verbose) as update, warnings.catch_warnings():
        # joblib replaces a worker that a job makes 300 MB larger than its first one did; no result is lost
        warnings.filterwarnings(
            "ignore",
            message="A worker stopped while some jobs were given to the executor",
            category=UserWarning,
            module=r"joblib\.externals\.loky\.process_executor$",
        )
        run = Parallel(n_jobs=n_jobs, return_as="generator")
        for done, result in enumerate(run(delayed(function)(*job) for job in jobs), start=1):
            update(completed=done)
            yield result
