"""Progress of long loops: a rich bar with the time that is left on a terminal, lines now and then where there is none.

Nothing is shown with ``verbose=False``, nor in notebooks.  Lines go to the standard error stream, the first one when a
loop has taken :data:`FIRST` seconds or is known to take longer than :data:`LONG`, the others at growing intervals.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Update = Callable[..., None]
"""A callback ``update(completed=..., total=..., description=...)``; all arguments are optional."""
FIRST, LONG, MOST = 10.0, 60.0, 120.0
"""Seconds: after which the first line is printed, of a loop that is announced at once, and most between lines."""


def _silent(**_: object) -> None:
    return None


def import_tqdm() -> None:
    """Import tqdm before matminer, pymatgen and Pyro do, without its warning.

    In a notebook without widgets tqdm warns once that its bars are plain text; our bars replace them anyway.
    """
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found", category=TqdmWarning)
        import tqdm.auto  # noqa: F401


@contextmanager
def progress(description: str, total: int | None = None, verbose: bool = True) -> Iterator[Update]:
    """Show the progress of the block; yields a function that updates it."""
    if not verbose:
        yield _silent
        return
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_jupyter:
        yield _silent
    elif console.is_terminal and sys.stderr.isatty():
        with _bar(console, description, total) as update:
            yield update
    else:
        yield Lines(description, total).update


@contextmanager
def _bar(console: object, description: str, total: int | None) -> Iterator[Update]:
    """A bar on a terminal; brackets in the description are text, not colours."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [
        TextColumn("{task.description}", style="progress.description", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console, transient=True) as bar:  # type: ignore[arg-type]
        task = bar.add_task(description, total=total)

        def update(completed: float | None = None, total: float | None = None, description: str | None = None) -> None:
            bar.update(task, completed=completed, total=total, description=description)

        yield update


class Lines:
    """Progress as lines of text now and then.

    Parameters
    ----------
    description : str
        What is done.
    total : int, optional
        Number of steps.
    clock : callable
        The time in seconds.

    Examples
    --------
    >>> import io, sys
    >>> from bayestl.progress import Lines
    >>> times = iter([0.0, 40.0])
    >>> lines, sys.stderr = Lines("folds", 4, clock=lambda: next(times)), sys.stdout
    >>> lines.update(completed=1)
    folds: 1 of 4, about 2 minutes left
    >>> sys.stderr = sys.__stderr__
    """

    def __init__(
        self, description: str, total: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.description, self.total, self.clock = description, total, clock
        self.start = clock()
        self.next, self.interval = self.start + FIRST, FIRST

    def update(
        self, completed: float | None = None, total: float | None = None, description: str | None = None
    ) -> None:
        """Take note of a step, and print a line if it is time for one."""
        self.total = self.total if total is None else total
        self.description = self.description if description is None else description
        now = self.clock()
        left = None
        if completed and self.total is not None:
            left = (now - self.start) / completed * (self.total - completed)
        announced = self.interval == FIRST and left is not None and left > LONG
        if (now < self.next and not announced) or (left is not None and left <= 0):
            return
        self.interval = min(2 * self.interval, MOST)
        self.next = now + self.interval
        steps = (
            [] if not completed else [f"{completed:g}" if self.total is None else f"{completed:g} of {self.total:g}"]
        )
        if left is not None:
            steps.append(f"about {duration(left)} left")
        if steps:
            print(f"{self.description}: {', '.join(steps)}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A duration in words, such as ``"3 minutes"``.

    Examples
    --------
    >>> from bayestl.progress import duration
    >>> duration(4), duration(100), duration(9000)
    ('4 seconds', '2 minutes', '2.5 hours')
    """
    for unit, name, digits in ((3600, "hour", 1), (60, "minute", 0), (1, "second", 0)):
        amount = round(seconds / unit, digits)
        if amount >= 1.5 or unit == 1:
            return f"{max(amount, 1):g} {name}{'' if max(amount, 1) == 1 else 's'}"
    raise AssertionError
