"""Progress of long loops: a rich bar on a terminal, nothing elsewhere or with ``verbose=False``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Update = Callable[..., None]
"""A callback ``update(completed=..., total=..., description=...)``; all arguments are optional."""


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
    """Show a progress bar for the duration of the block; yields a function that updates it."""
    from rich.console import Console

    console = Console(stderr=True)
    if not (verbose and console.is_terminal and sys.stderr.isatty()):
        yield _silent
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = [
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    ]
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=total)

        def update(completed: float | None = None, total: float | None = None, description: str | None = None) -> None:
            bar.update(task, completed=completed, total=total, description=description)

        yield update
