"""The figures of a run as one plain table, and the command, version and date that made them.

Every command with ``-o FOLDER`` leaves both there (``figures.csv``, ``run.json``); ``docs/results.py`` makes the tables of the
pages from them.
"""

from __future__ import annotations

import datetime
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bayestl.evaluation.calibration import calibration_table
from bayestl.evaluation.comparison import Comparison
from bayestl.files.output import write_output
from bayestl.version import __version__

PATHS, ALONE = ("-o", "--output", "-j", "--jobs", "--dask"), ("-q", "--quiet", "--summary")
"""Options of a command that leave its figures as they are: with a value, and without."""


def of_comparison(comparison: Comparison) -> pd.DataFrame:
    """Mean scores with their standard errors (``mae``, ``mae se`` ...) and the calibration, a row per quantity and model."""
    table = comparison.table
    table.columns = [score if side == "mean" else f"{score} se" for score, side in table.columns]
    return table.join(calibration_table(comparison)).reset_index()


def figures(result: Any) -> pd.DataFrame:
    """The figures of a result: of a comparison, of anything that has ``figures``, or the table itself."""
    if isinstance(result, Comparison):
        return of_comparison(result)
    table = result if isinstance(result, pd.DataFrame) else result.figures
    named = any(name is not None for name in table.index.names)
    return table.reset_index() if named or table.index.dtype == object else table


def command_of(arguments: Sequence[str]) -> str:
    """A command without the options that leave its figures as they are.

    Examples
    --------
    >>> command_of(["bayestl", "reproduce", "gap", "-o", "out", "--variant", "G0", "-q"])
    'bayestl reproduce gap --variant G0'
    """
    words = iter(arguments)
    kept = []
    for word in words:
        if word in PATHS:
            next(words, None)
        elif word not in ALONE and not word.startswith(("--output=", "--jobs=", "--dask=")):
            kept.append(word)
    return shlex.join(kept)


def write_run(folder: Path, result: Any, arguments: Sequence[str]) -> None:
    """Write ``figures.csv`` and ``run.json`` into the folder of a command's outputs."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    run = {"command": command_of(arguments), "version": __version__, "date": today}
    write_output(folder / "figures.csv", figures(result).to_csv(index=False))
    write_output(folder / "run.json", json.dumps(run, indent=1) + "\n")
