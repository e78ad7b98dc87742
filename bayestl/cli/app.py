"""The application, and what its commands share: common options, exit codes, and the printing of errors and warnings."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from bayestl.cli.inputs import LIKELIHOODS, OptionError
from bayestl.interrupts import heard_signals
from bayestl.version import __version__

CLOSED_PIPE, INTERRUPTED = 141, 130
"""Exit codes, as shells count them, of a command whose reader has gone and of one that was interrupted."""
UsageError: Any = typer.BadParameter.__bases__[0]


class Commands(TyperGroup):
    """All commands: a wrong use is one line that points to ``--help``, exit code 2."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        ends_process, kwargs["standalone_mode"] = kwargs.get("standalone_mode", True), False
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # a terminal that lacks a letter shows a question mark
                stream.reconfigure(errors="replace")
        try:
            code = super().main(*args, **kwargs)
        except UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                typer.echo(error.format_message())
                sys.exit(error.exit_code)
            command = " ".join(["bayestl", *([] if error.ctx is None else error.ctx.command_path.split()[1:])])
            text = " ".join(error.format_message().replace(": Value error, ", ": ").split()).rstrip(".")
            _print_error(f"{text}: see {command} --help")
            sys.exit(error.exit_code)
        except (KeyboardInterrupt, typer.Abort):
            sys.exit(INTERRUPTED)
        if ends_process:
            sys.exit(code if isinstance(code, int) else 0)
        return code


app = typer.Typer(
    cls=Commands,
    help="Bayesian transfer learning for sparse materials data.",
    epilog="Exit codes: 0 done; 1 an input is wrong or a file cannot be read or written, one line says which; 2 an option "
    "is wrong; 3 diagnose: a check failed; 130 interrupted; 141 the reader of the output has gone.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]
Std = Annotated[
    str | None,
    typer.Option(
        "--std", help="TASK=COLUMN with the standard errors of its labels, comma-separated; columns TASK_std are found."
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", help="Processes.", min=1)]
Dask = Annotated[
    str | None,
    typer.Option(
        "--dask",
        help="Run on a Dask cluster in place of --jobs processes: the address of its scheduler, or its scheduler file.",
    ),
]
Seed = Annotated[int, typer.Option(help="Runs with the same seed repeat exactly.", min=0)]
Device = Annotated[
    str, typer.Option(help="Where to compute: cpu; cuda or cuda:1, a graphics card; auto, a card for large tables.")
]
Likelihoods = Annotated[
    str | None,
    typer.Option(
        help=f"TASK=LIKELIHOOD, comma-separated, of {', '.join(LIKELIHOODS)}; text columns are classes anyway."
    ),
]


def _print_version(asked: bool) -> None:
    """Print the version and end."""
    if asked:
        typer.echo(f"bayestl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Bayesian transfer learning for sparse materials data."""


def _print_error(text: str) -> None:
    """Print an error as one line."""
    typer.secho(f"error: {text}", fg="red", err=True)


def _printer_of_warnings() -> Callable[..., None]:
    """What prints a warning as one line, without the line of code that raised it, and each text once."""
    printed: set[Any] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = " ".join(str(message).split())
        told = getattr(message, "column", text)  # of a column once, for all parts of a file
        if told not in printed:
            printed.add(told)
            typer.secho(f"warning: {text}", fg="yellow", err=True)

    return show


def _close_output() -> None:
    """Drop what is left to print, where it cannot be printed: Python would complain of it when it ends."""
    try:
        sys.stdout.flush()
    except (ValueError, OSError):
        with suppress(ValueError, OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


@contextmanager
def user_errors() -> Iterator[None]:
    """A context that prints errors of the user's input in one line, exit code 1, or 2 where an option is wrong (its name comes first).

    Other errors keep their traceback.

    An interrupt and a reader that has gone end the command without a word.
    """
    try:
        with warnings.catch_warnings(), heard_signals():
            warnings.showwarning = _printer_of_warnings()
            yield
    except BrokenPipeError as error:
        _close_output()
        raise typer.Exit(CLOSED_PIPE) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(INTERRUPTED) from error
    except (MemoryError, BrokenProcessPool) as error:
        _print_error("not enough memory, or a process was ended from outside: try fewer --jobs, or a smaller table")
        raise typer.Exit(1) from error
    except OSError as error:
        _print_error(f"{error.filename or 'the output'}: {(error.strerror or str(error)).lower()}")
        _close_output()
        raise typer.Exit(1) from error
    except (ValueError, ImportError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        _print_error(text)
        raise typer.Exit(2 if isinstance(error, OptionError) or text.startswith("--") else 1) from error


class Notes:
    """What was assumed of the inputs: kept until they are found right, then printed, where results are not."""

    def __init__(self, quiet: bool) -> None:
        self.quiet, self.texts = quiet, list[str]()

    def __call__(self, text: str) -> None:
        self.texts.append(text)

    def show(self) -> None:
        """Print the notes, unless the command is quiet."""
        for text in self.texts if not self.quiet else ():
            typer.echo(f"note: {text}", err=True)
        self.texts = []


@contextmanager
def on_cluster(dask: str | None) -> Iterator[None]:
    """A context in which loops run on the Dask cluster of the option; here without it."""
    if dask is None:
        yield
        return
    from bayestl.cluster import on_cluster as connected

    with connected(dask):
        yield


def processes(jobs: int, dask: str | None) -> int | None:
    """Processes of a loop; None where the workers of a cluster take their place."""
    return jobs if dask is None else None


def printer(quiet: bool) -> Callable[[str], None]:
    """A function that prints to the terminal, or does nothing if ``quiet``."""
    return (lambda text: None) if quiet else typer.echo
