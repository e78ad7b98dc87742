"""The application, and what its commands share: common options, and the printing of errors and warnings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TextIO

import typer

from bayestl.cli.inputs import LIKELIHOODS

app = typer.Typer(
    help="Bayesian transfer learning for sparse materials data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", help="Processes.", min=1)]
Seed = Annotated[int, typer.Option(help="Runs with the same seed repeat exactly.", min=0)]
Likelihoods = Annotated[
    str | None,
    typer.Option(
        help=f"TASK=LIKELIHOOD, comma-separated, of {', '.join(LIKELIHOODS)}; text columns are classes anyway."
    ),
]


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as one line, without the line of code that raised it."""
    typer.secho(f"warning: {' '.join(str(message).split())}", fg="yellow", err=True)


@contextmanager
def user_errors() -> Iterator[None]:
    """A context that prints errors of the user's input in one line, exit code 1; other errors keep their traceback."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _print_warning
            yield
    except (ValueError, OSError, ImportError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        typer.secho(f"error: {text}", fg="red", err=True)
        raise typer.Exit(1) from error


def printer(quiet: bool) -> Callable[[str], None]:
    """A function that prints to the terminal, or does nothing if ``quiet``."""
    return (lambda text: None) if quiet else typer.echo
