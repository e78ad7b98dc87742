"""Reading of user columns as numbers, classes or intervals; errors name the column, the row and the value."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array

from bayestl.likelihoods import Bernoulli, Categorical, Censored, Classified, Ordinal
from bayestl.table.limits import read_intervals
from bayestl.table.names import name_to_json, python_object, row_label
from bayestl.table.task import Task

MOST_CLASSES = 50
"""Most classes of a column; more distinct values are taken for a mistake."""

LARGEST, SMALLEST_SPREAD = 1e100, 1e-100
"""Largest size of a number, and smallest difference between numbers of a column: squares of others are lost."""


def _unique_names(columns: Sequence[Hashable], what: str) -> list[str]:
    names = [str(c) for c in columns]
    if duplicates := sorted({n for n in names if names.count(n) > 1}):
        raise ValueError(
            f"{what} has {names.count(duplicates[0])} columns named {duplicates[0]!r}: rename or drop all but one"
        )
    return names


def _numeric_column(values: pd.Series, name: str, what: str, advice: str) -> np.ndarray:
    """One column as floats; the error for text that is not a number names its row."""
    is_number = pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values)
    if is_number:
        numbers = values
    elif _holds_times(values):
        numbers = pd.Series(np.nan, values.index)
    else:
        numbers = pd.to_numeric(values, errors="coerce")
    if pd.api.types.is_complex_dtype(numbers):
        raise ValueError(f"Complex data not supported: column {name!r} of {what}")
    if is_number:
        return values.to_numpy(dtype=float, na_value=np.nan)
    bad = np.flatnonzero((numbers.isna() & values.notna()).to_numpy())
    if len(bad):
        i = int(bad[0])
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise ValueError(
            f"column {name!r} of {what} holds {values.iloc[i]!r} in {row_label(values.index, i)}{more}, which is not a number: {advice}"
        )
    return numbers.to_numpy(dtype=float)


def refuse(mask: np.ndarray, values: np.ndarray, names: Sequence[str], index: pd.Index, what: str, advice: str) -> None:
    """Raise for the first True of ``mask``, naming column, row and value."""
    if mask.any():
        i, j = (int(k) for k in np.argwhere(mask)[0])
        more = f" and {int(mask.sum()) - 1} more" if mask.sum() > 1 else ""
        raise ValueError(
            f"column {names[j]!r} of {what} holds {values[i, j]} in {row_label(index, i)}{more} (NaN and infinity are refused): {advice}"
            if not np.isfinite(values[i, j])
            else f"column {names[j]!r} of {what} holds {values[i, j]} in {row_label(index, i)}{more}: {advice}"
        )


def refuse_large(values: np.ndarray, names: Sequence[str], index: pd.Index, what: str) -> None:
    """Raise for a number (n, k) above :data:`LARGEST` in size, naming column, row and value."""
    is_large = np.isfinite(values) & (np.abs(values) > LARGEST)
    refuse(is_large, values, names, index, what, f"numbers are at most {LARGEST:g} in size: use other units")


def refuse_narrow(values: np.ndarray, names: Sequence[str], index: pd.Index, what: str) -> None:
    """Raise for a column of numbers (n, k) that differ, but by less than :data:`SMALLEST_SPREAD`.

    Raises
    ------
    ValueError
        If there is one.
    """
    for j, name in enumerate(names):
        rows = np.flatnonzero(np.isfinite(values[:, j]))
        column = values[rows, j]
        if len(column) and 0 < column.max() - column.min() < SMALLEST_SPREAD:
            i = int(rows[column.argmax()])
            raise ValueError(
                f"column {name!r} of {what} holds {values[i, j]} in {row_label(index, i)}, and all of its numbers are within "
                f"{SMALLEST_SPREAD:g} of that: use other units"
            )


def read_features(X: Any) -> tuple[np.ndarray, list[str], pd.Index, bool]:
    """Feature matrix (n, d), column names, row names, and whether the user gave the names.

    Raises
    ------
    ValueError
        For text, NaN, infinity, duplicate columns, an empty table, or anything that is not two-dimensional.
    """
    if isinstance(X, pd.DataFrame):
        names = _unique_names(X.columns, "X")
        if len(names) == 0:
            raise ValueError(f"0 feature(s) (shape=({len(X)}, 0)) while a minimum of 1 is required: X has no columns")
        if len(X) == 0:
            raise ValueError("Found array with 0 sample(s): X has no rows")
        x = np.column_stack(
            [_numeric_column(X.iloc[:, j], n, "X", "drop it or turn it into numbers") for j, n in enumerate(names)]
        )
        index, named = X.index, True
    else:
        array = check_array(X, dtype="numeric", ensure_all_finite=False, ensure_min_samples=1, ensure_min_features=1)
        x = np.asarray(array, dtype=float)
        names, index, named = [f"x{j}" for j in range(x.shape[1])], pd.RangeIndex(len(x)), False
    refuse(~np.isfinite(x), x, names, index, "X", "impute it or drop the row")
    refuse_large(x, names, index, "X")
    return x, names, index, named


def label_frame(Y: Any, n: int, what: str = "Y", columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Labels as a table of n rows with one named column per task.

    Raises
    ------
    ValueError
        For duplicate columns or a number of rows other than ``n``.
    """
    if Y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    if isinstance(Y, pd.Series):
        Y = Y.to_frame(name="y" if Y.name is None else Y.name)
    if not isinstance(Y, pd.DataFrame):
        array = np.asarray(Y, dtype=None)
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2:
            raise ValueError(f"{what} must have one or two dimensions, got {array.ndim}")
        names = (
            list(columns)
            if columns is not None
            else ["y"]
            if array.shape[1] == 1
            else [f"y{t}" for t in range(array.shape[1])]
        )
        if len(names) != array.shape[1]:
            raise ValueError(f"{what} has {array.shape[1]} columns where {len(names)} are expected: {names}")
        Y = pd.DataFrame(array, columns=names)
    names = _unique_names(Y.columns, what)
    if len(Y) != n:
        raise ValueError(f"inconsistent numbers of samples: X has {n} rows and {what} has {len(Y)}")
    if not names:
        raise ValueError(f"{what} has no columns: a model needs at least one task")
    return Y.set_axis(names, axis=1)


def read_numbers(Y: pd.DataFrame, what: str) -> np.ndarray:
    """All columns as floats (n, T), NaN where a cell is empty.

    Raises
    ------
    ValueError
        For text or infinity.
    """
    y = np.column_stack([_numeric_column(Y[name], name, what, "correct it") for name in Y.columns])
    refuse(np.isinf(y), y, list(Y.columns), Y.index, what, "use NaN for what is not known")
    refuse_large(y, list(Y.columns), Y.index, what)
    return y


def decide(task: Task, column: pd.Series) -> Task:
    """The task with its likelihood chosen and its classes named, from its column.

    Raises
    ------
    ValueError
        If the classes cannot be inferred from the column.
    """
    likelihood = task.likelihood
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if likelihood is None:
        if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered:
            likelihood = Ordinal()
        elif not is_number and _holds_classes(column):
            likelihood = Bernoulli() if len(_classes(column)) == 2 else Categorical()
        else:
            return task
    if isinstance(likelihood, Classified) and likelihood.classes is not None:
        _refuse_unnamed(likelihood.classes, task.name)
        likelihood = replace(likelihood, classes=tuple(map(python_object, likelihood.classes)))
    elif isinstance(likelihood, Classified):
        classes = _classes(column)
        if len(classes) < 2:
            held = f"only the class {classes[0]!r}" if classes else "no labels"
            raise ValueError(
                f"task {task.name!r} has {held}: a classifier needs two; name all classes in its likelihood, or drop the column"
            )
        if isinstance(likelihood, Bernoulli) and len(classes) > 2:
            raise ValueError(
                f"task {task.name!r} has {len(classes)} classes {list(classes)[:6]}: Bernoulli takes two, Categorical more"
            )
        if len(classes) > MOST_CLASSES:
            raise ValueError(
                f"column {task.name!r} of Y holds {len(classes)} different values such as {classes[0]!r}: "
                f"at most {MOST_CLASSES} classes are taken; turn it into numbers or group the classes"
            )
        likelihood = replace(likelihood, classes=classes)
    return replace(task, likelihood=likelihood)


def _holds_classes(column: pd.Series) -> bool:
    """Whether a non-numeric column holds classes; one that is mostly numbers has a misprint instead."""
    labels = column.dropna()
    if len(labels) == 0:
        return False
    if isinstance(column.dtype, pd.CategoricalDtype) or all(isinstance(v, bool | np.bool_) for v in labels):
        return True
    if _holds_times(column):
        return True
    return pd.to_numeric(labels, errors="coerce").notna().mean() < 0.5


def _holds_times(column: pd.Series) -> bool:
    """Whether a column holds dates or durations, which pandas would take for nanoseconds."""
    return pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column)


def _classes(column: pd.Series) -> tuple[Hashable, ...]:
    is_categorical = isinstance(column.dtype, pd.CategoricalDtype)
    values = list(map(python_object, column.cat.categories if is_categorical else column.dropna()))
    _refuse_unnamed(values, column.name)
    distinct = list(dict.fromkeys(values))
    if is_categorical:
        return tuple(distinct)
    try:
        return tuple(sorted(distinct))
    except TypeError:
        return tuple(sorted(distinct, key=str))


def _refuse_unnamed(classes: Sequence[Any], name: Hashable) -> None:
    """Raise for a class that a file could not name."""
    for value in classes:
        try:
            name_to_json(value)
        except TypeError as error:
            raise ValueError(
                f"column {name!r} of Y has the class {value!r}, a {type(value).__name__}: classes are text, numbers, truth "
                "values, dates, intervals or tuples of these; turn it into text"
            ) from error


def encode(column: pd.Series, task: Task, what: str = "Y") -> tuple[np.ndarray, np.ndarray]:
    """Labels of one task as numbers (n,): the label or the lower end of its interval, and the upper end.

    Raises
    ------
    ValueError
        For text that is no number, a class that the task does not have, a limit without a number, infinity, and
        labels that the likelihood cannot explain; naming column, row and value.
    """
    likelihood, name = task.observes, task.name
    if likelihood.classes_ is not None:
        y = _positions(column, likelihood.classes_, name, what)
        return y, y
    if isinstance(likelihood, Censored):
        y, high = read_intervals(column, likelihood, name, what)
    else:
        y = _numeric_column(column, name, what, "correct it, or give the task a likelihood for classes")
        high = y
        refuse(
            np.isinf(y)[:, None], y[:, None], [name], column.index, what, "use NaN for a label that was not measured"
        )
    for side in (y, high):
        refuse_large(side[:, None], [name], column.index, what)
    bad, advice = likelihood.check(y)
    refuse(bad[:, None], y[:, None], [name], column.index, what, advice)
    return y, high


def _positions(column: pd.Series, classes: Sequence[Hashable], name: str, what: str) -> np.ndarray:
    position = {c: float(k) for k, c in enumerate(classes)}
    y = np.full(len(column), np.nan)
    for i, value in enumerate(column):
        if pd.api.types.is_scalar(value) and pd.isna(value):
            continue
        value = python_object(value)
        if not isinstance(value, Hashable) or value not in position:
            raise ValueError(
                f"column {name!r} of {what} holds {value!r} in {row_label(column.index, i)}, which is none of the classes "
                f"{list(classes)}: correct it, or name all classes in the task's likelihood"
            )
        y[i] = position[value]
    return y
