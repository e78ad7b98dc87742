"""The command ``diagnose``: the checks of a saved model with advice."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayestl.cli.app import Quiet, user_errors
from bayestl.cli.outputs import Json, print_json

FAILED = 3
"""Exit code where a check failed."""


def diagnose(
    model: Annotated[Path, typer.Argument(help="Folder written by fit.")],
    transfer: Annotated[
        bool,
        typer.Option(
            "--transfer/--no-transfer", help="Check that no task harms another, by one fit without each (exact models)."
        ),
    ] = False,
    folds: Annotated[
        int | None,
        typer.Option(help="For models without leave-one-out: folds of rows to hold out, one fit for each.", min=2),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a fitted model: calibration, outliers, convergence, with advice; exit code 3 if a check failed."""
    with user_errors():
        import bayestl as btl

        fitted = btl.load(model)
        if folds is not None and fitted._has_leave_one_out():
            raise ValueError(
                f"--folds is for models without leave-one-out, which {type(fitted).__name__} has: leave it out"
            )
        fitted.set_params(verbose=not (quiet or as_json))
        checks = fitted.diagnose(transfer=transfer, cv=folds)
        if as_json:
            print_json(checks.to_dict("records"))
        else:
            typer.echo(str(checks))
    if (checks["status"] == "fail").any():
        raise typer.Exit(FAILED)
