"""Reading of user columns as numbers, classes or intervals; errors name the column, the row and the value."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array

from bayestl.likelihoods import Bernoulli, Categorical, Censored, Classified, Ordinal
from bayestl.table.cells import LIMIT, MISSING, QUANTITY, holds_times, is_number, plain_table, read_column, refuse_times
from bayestl.table.groups import counts
from bayestl.table.limits import read_intervals
from bayestl.table.names import cells, name_to_json, python_object, row_label
from bayestl.table.task import Task

MOST_CLASSES = 50
"""Most classes of a column; more distinct values are taken for a mistake."""
MOST_ALONE = 10
"""Number of labels from which on text that is never the same is taken for names, or for numbers with units."""

LARGEST, SMALLEST_SPREAD = 1e100, 1e-100
"""Largest size of a number, and smallest difference between numbers of a column: squares of others are lost."""


def _unique_names(columns: Sequence[Hashable], what: str) -> list[str]:
    names = [str(c) for c in columns]
    if duplicates := sorted({n for n in names if names.count(n) > 1}):
        raise ValueError(
            f"{what} has {names.count(duplicates[0])} columns named {duplicates[0]!r}: rename or drop all but one"
        )
    return names


def refuse(mask: np.ndarray, values: np.ndarray, names: Sequence[str], index: pd.Index, what: str, advice: str) -> None:
    """Raise for the first column with a True of ``mask`` (n, k), naming column, rows and values."""
    if mask.any():
        j = int(np.flatnonzero(mask.any(axis=0))[0])
        held = cells(values[:, j], index, mask[:, j])
        raise ValueError(
            f"column {names[j]!r} of {what} holds {held} (NaN and infinity are refused): {advice}"
            if not np.isfinite(values[mask[:, j], j]).all()
            else f"column {names[j]!r} of {what} holds {held}: {advice}"
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
    masked = isinstance(X, np.ma.MaskedArray)
    X = plain_table(X, "X")
    index: pd.Index
    if isinstance(X, pd.DataFrame):
        names = _unique_names(X.columns, "X")
        if len(names) == 0:
            raise ValueError(f"0 feature(s) (shape=({len(X)}, 0)) while a minimum of 1 is required: X has no columns")
        if len(X) == 0:
            raise ValueError("Found array with 0 sample(s): X has no rows")
        columns, index, named = X, X.index, True
    else:
        array = np.asarray(X)
        is_number = array.dtype.kind in "biuf" or array.ndim != 2 or 0 in array.shape
        if is_number or any(isinstance(value, dict) for value in array.flat):
            array = check_array(array, dtype="numeric", ensure_all_finite=False)
        names, index, named = [f"x{j}" for j in range(array.shape[1])], pd.RangeIndex(len(array)), False
        columns = pd.DataFrame(array, columns=names)
    advice = "drop it or turn it into numbers: features.TableFeatures does so for formulas, molecules and categories"
    x = np.column_stack([read_column(columns.iloc[:, j], name, "X", advice) for j, name in enumerate(names)])
    cure = "it is masked: impute it or drop the row" if masked else "impute it or drop the row"
    refuse(~np.isfinite(x), x, names, index, "X", cure)
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
    Y = plain_table(Y, what)
    if isinstance(Y, pd.Series | pd.Index):
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
        Y = pd.DataFrame(array, columns=names).infer_objects()
    names = _unique_names(Y.columns, what)
    if len(Y) != n:
        raise ValueError(f"inconsistent numbers of samples: X has {n} rows and {what} has {len(Y)}")
    if not names:
        raise ValueError(f"{what} has no columns: a model needs at least one task")
    return Y.set_axis(names, axis=1)


def with_names(frame: pd.DataFrame, index: pd.Index) -> pd.DataFrame:
    """A table with the names of its rows, where its own only count them: messages name rows by them."""
    return frame.set_axis(index) if counts(frame.index) else frame


def read_numbers(Y: pd.DataFrame, what: str) -> np.ndarray:
    """All columns as floats (n, T), NaN where a cell is empty.

    Raises
    ------
    ValueError
        For text or infinity.
    """
    y = np.column_stack(
        [read_column(Y[name], name, what, "correct it, or leave it empty (None)") for name in Y.columns]
    )
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
        if holds_times(column):
            refuse_times(column, task.name, "Y")
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
        _refuse_missing(column, task.name)
        if len(classes) < 2:
            held = f"only the class {classes[0]!r}" if classes else "no labels"
            raise ValueError(
                f"task {task.name!r} has {held}: a classifier needs two; name all classes in its likelihood, or drop the column"
            )
        if isinstance(likelihood, Bernoulli) and len(classes) > 2:
            raise ValueError(
                f"task {task.name!r} has {len(classes)} classes {list(classes)[:6]}: Bernoulli takes two, Categorical more"
            )
        texts = [value for value in column.dropna() if isinstance(value, str)]
        if task.likelihood is None and len(classes) == len(texts) >= MOST_ALONE:
            raise ValueError(
                f"column {task.name!r} of Y holds {len(classes)} different texts in as many rows, such as {texts[0]!r}, which are no "
                "classes: drop the column, or name all classes in the task's likelihood"
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
    if any(isinstance(v, str) and LIMIT.fullmatch(v) for v in labels):
        return False
    quantities = [v for v in labels if is_number(v) or (isinstance(v, str) and QUANTITY.fullmatch(v))]
    if 2 * len(quantities) >= len(labels) and 2 * len(set(map(str, labels))) > len(labels) >= MOST_ALONE:
        return False
    return 2 * sum(map(is_number, labels)) < len(labels)


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


def _refuse_missing(column: pd.Series, name: str) -> None:
    """Raise for text that may say that a label is missing; the categories of pandas are named by the user."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return
    missing = np.array([isinstance(value, str) and value.strip() in MISSING for value in column], dtype=bool)
    if missing.any():
        raise ValueError(
            f"column {name!r} of Y holds {cells(column, column.index, missing)}, which may be a missing label: leave it empty "
            "(None), or name all classes in the task's likelihood"
        )


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
        advice = "correct it (None where there is no label), or give the task a likelihood for classes"
        y = read_column(column, name, what, advice)
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
    y, wrong = np.full(len(column), np.nan), np.zeros(len(column), dtype=bool)
    for i, value in enumerate(column):
        if pd.api.types.is_scalar(value) and pd.isna(value):
            continue
        value = python_object(value)
        wrong[i] = not isinstance(value, Hashable) or value not in position
        if not wrong[i]:
            y[i] = position[value]
    if wrong.any():
        raise ValueError(
            f"column {name!r} of {what} holds {cells(column, column.index, wrong)}, which is none of the classes "
            f"{list(classes)}: correct it, or name all classes in the task's likelihood"
        )
    return y
