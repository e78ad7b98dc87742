"""The columns of a file that are not features: labels, their standard errors, names and groups of rows, predictions."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bayestl.cli.features import few, of_predict
from bayestl.cli.inputs import names_in, require_columns
from bayestl.cli.reading import FileTable
from bayestl.cli.reading.numbers import is_meant_as_number, is_missing

if TYPE_CHECKING:
    import pandas as pd

    from bayestl.table.table import Table
    from bayestl.table.task import Task

_LIKE_ERROR = re.compile(r"[ _-]?(se|sem|sd|err|error|errors|sigma|unc|uncertainty|stddev|stdev|std)\.?", re.IGNORECASE)
Say = Callable[[str], None]


def read_labels(table: FileTable, likelihoods: Mapping[str, Any], evident: bool) -> pd.DataFrame:
    """The labels (n, T) of tasks, by their likelihoods (None: by the cells); with ``evident`` limits need none.

    Raises
    ------
    ValueError
        For cells that a task cannot have, which are counted; the first are shown with their lines.
    """
    import pandas as pd

    columns = {name: _label(table, name, likelihood, evident) for name, likelihood in likelihoods.items()}
    return pd.DataFrame(columns, index=table.cells.index)


def _label(table: FileTable, name: str, likelihood: Any, evident: bool) -> pd.Series:
    from bayestl.likelihoods import Censored, Classified

    kind = table.kinds[name]
    if isinstance(likelihood, Classified):
        classes = likelihood.classes
        column = (
            table.plain(name)
            if kind in ("number", "truth", "empty") or table.cells[name].dtype != object
            else table.text(name)
        )
        return column if classes is None else _of_classes(table, column, name, classes)
    if isinstance(likelihood, Censored):
        return table.numbers(name) if kind in ("number", "empty") else table.limits(name)
    if likelihood is None and kind in ("text", "truth"):
        return table.plain(name)
    if likelihood is None and kind == "limits" and evident:
        return table.limits(name)
    holds_words = likelihood is None and any(
        isinstance(c, str) and not (is_missing(c) or is_meant_as_number(c) or table.limit(c)) for c in table.cells[name]
    )
    asked, limits = (shlex.quote(f"{name}={kind}") for kind in ("categorical", "censored"))
    classes = f", or say --likelihoods {asked} if it holds classes" if holds_words else ""
    return table.numbers(name, classes, f"limits are read with --likelihoods {limits}, or by the model auto")


def _of_classes(table: FileTable, column: pd.Series, name: str, classes: Sequence[Any]) -> pd.Series:
    """A column with the classes of a task, whatever their type: 1, 1.0 and ``"1"`` are one class."""
    import pandas as pd

    from bayestl.table.names import as_known

    labels = pd.Series(as_known(column, classes), column.index, dtype=object, name=name)
    wrong = labels.notna() & ~labels.isin(list(classes))
    if wrong.any():
        raise ValueError(
            f"column {name!r} of {table.path.name} holds {table.where(wrong, name)}: none of the classes {list(classes)}; correct it, or leave "
            "it empty"
        )
    return labels


def standard_errors(table: FileTable, option: str | None, tasks: Sequence[str], say: Say) -> dict[str, str]:
    """For each task with known standard errors their column: named by the option, or called ``TASK_std``.

    Raises
    ------
    ValueError
        If the option names no task or column.
    """
    found: dict[str, str] = {}
    for pair in names_in(option, "--std"):
        parts = pair.split("=")
        splits = [("=".join(parts[:k]).strip(), "=".join(parts[k:]).strip()) for k in range(1, len(parts))]
        match = next(((task, column) for task, column in splits if task in tasks), None)
        if match is None:
            raise ValueError(f"--std: {pair!r} is not TASK=COLUMN with a task of {list(tasks)}")
        require_columns(table, [match[1]], "--std")
        if match[1] in tasks:
            raise ValueError(f"--std: {match[1]!r} is a label (--tasks), not a standard error")
        found[match[0]] = match[1]
    predicted = of_predict(table.columns)
    for task in tasks:
        column = f"{task}_std"
        numeric = table.kinds[task] in ("number", "limits") and table.kinds.get(column) in ("number", "empty")
        if task not in found and column not in (*tasks, *predicted) and numeric:
            found[task] = column
            say(f"{column!r} is taken for the standard errors of {task!r}")
    return found


def other_units(units: Mapping[str, str], tasks: Iterable[Task], where: str, say: Say) -> None:
    """Say which tasks a file has in another unit than ``where`` they are known."""
    from bayestl.report.units import unit_typeset

    for task in tasks:
        there = units.get(task.name, "")
        if there and task.unit and unit_typeset(there) != unit_typeset(task.unit):
            say(
                f"{task.name!r} is in {there} in this file and in {task.unit} in {where}: numbers are taken as they are"
            )


def like_errors(table: FileTable, tasks: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    """Columns whose names say that they are standard errors of a task, with that task; those that are known left out."""
    return {
        name: task
        for name in table.columns
        for task in tasks
        if name not in (*tasks, *known.values())
        and name.startswith(task)
        and _LIKE_ERROR.fullmatch(name.removeprefix(task))
    }


def read_errors(table: FileTable, columns: Mapping[str, str], index: pd.Index) -> pd.DataFrame | None:
    """Standard errors (n, k) of the tasks that have some, rows called by ``index``; None if none has.

    Raises
    ------
    ValueError
        For cells that are no numbers, or negative.
    """
    import pandas as pd

    read = {}
    for task, column in columns.items():
        read[task] = table.numbers(column).astype(float)
        if (read[task] < 0).any():
            raise ValueError(
                f"column {column!r} of {table.path.name} holds {table.where(read[task] < 0, column)}: a standard error cannot be negative"
            )
    return pd.DataFrame(read).set_axis(index, axis=0) if read else None


def roles(
    table: FileTable, tasks: Sequence[str], errors: Mapping[str, str], groups: str | None, name: str | None, say: Say
) -> dict[str, str]:
    """What each column that is no feature by itself is."""
    taken = dict.fromkeys(tasks, "a label") | dict.fromkeys(errors.values(), "a standard error")
    for column, task in like_errors(table, tasks, errors).items():
        say(
            f"{column!r} is left out of the features: if it is the standard error of {task!r}, say --std {task}={column}"
        )
        taken.setdefault(column, "like a standard error")
    for special, what in ((groups, "the group"), (name, "the name")):
        if special in tasks:
            raise ValueError(f"--tasks: {special!r} is {what} of a row too: a label cannot be that")
        taken |= {special: what} if special is not None and special not in taken else {}
    return taken


def row_names(table: FileTable, name: str | None) -> pd.Series | None:
    """The names (n,) of the rows as text, by which a model knows them again; None without such a column."""
    return None if name is None or name not in table.columns else table.text(name).fillna("")


def shown_names(table: FileTable, name: str | None, kinds: Mapping[str, str]) -> list[str] | None:
    """What rows are called in reports: by the column of names, else the first of formulas or SMILES strings; None without any."""
    columns = [
        c for c in (name, *(c for c, kind in kinds.items() if kind in ("formulas", "smiles"))) if c in table.columns
    ]
    return list(table.text(columns[0]).fillna("")) if columns else None


def called(table: Table, names: Sequence[str] | None) -> Table:
    """A table whose rows are called so, where such names are known."""
    import pandas as pd

    return table if not names else replace(table, index=pd.Index(names))


def beside(frame: pd.DataFrame, predictions: Mapping[str, Any], say: Say) -> pd.DataFrame:
    """A table with predictions beside its columns; where a column has the name of one, the prediction gets another.

    Raises
    ------
    ValueError
        If that name is taken, too.
    """
    import numpy as np
    import pandas as pd

    columns: dict[str, Any] = {}
    other: dict[str, str] = {}
    for name, values in predictions.items():
        if name in frame.columns:
            other[name] = f"{name}_predicted"
            if other[name] in frame.columns or other[name] in predictions:
                raise ValueError(
                    f"the table has columns {name!r} and {other[name]!r}, as predictions are called: drop or rename them"
                )
        values = np.asarray(values)
        if values.dtype.kind == "f":  # digits beyond these are not known
            values = np.array([float(f"{value:.10g}") for value in values])
        columns[other.get(name, name)] = values
    if other:
        say(
            f"the table has columns {few(list(map(repr, other)))}: the predictions are in {few(list(map(repr, other.values())))}"
        )
    return pd.concat([frame, pd.DataFrame(columns, index=frame.index)], axis=1)
