"""New rows for a fitted model: their features, known labels and groups, matched to the fitted table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayestl.table.columns import encode, label_frame, read_features
from bayestl.table.groups import distinct_codes, encode_groups
from bayestl.table.table import Known, Table
from bayestl.table.task import Task


def feature_rows(X: Any, features: Sequence[str], named: bool, model: str) -> tuple[np.ndarray, pd.Index]:
    """Features (n, d) in the order of the fitted ones, and the names of the rows.

    ``named``: the fitted features have names, by which columns are matched.  ``model``: the name for error messages.

    Raises
    ------
    ValueError
        If a column is missing or the number of columns differs.
    """
    features = list(features)
    if isinstance(X, pd.DataFrame) and named:
        names = [str(c) for c in X.columns]
        if missing := [f for f in features if f not in names]:
            raise ValueError(f"X lacks the column {missing[0]!r} that the model was fitted with (missing: {missing})")
        X = X.loc[:, [n in features for n in names]]
    x, names, index, has_names = read_features(X)
    if has_names and named:
        x = x[:, [names.index(f) for f in features]]
    if x.shape[1] != len(features):
        raise ValueError(f"X has {x.shape[1]} features, but {model} is expecting {len(features)} features as input")
    return x, index


def known_labels(Y: Any, n: int, what: str, tasks: Sequence[Task]) -> Known:
    """Labels (n, T) in the order of the tasks; columns that are not given are NaN.

    Raises
    ------
    ValueError
        If a column is no task, or a label is not one that its task can have.
    """
    names = [t.name for t in tasks]
    frame = label_frame(Y, n, what, names if not isinstance(Y, pd.DataFrame | pd.Series) else None)
    if len(names) == 1 and isinstance(Y, pd.Series):
        frame.columns = names
    if unknown := [g for g in frame.columns if g not in names]:
        raise ValueError(f"{what} has the column {unknown[0]!r}, which is no task of the model; the tasks are {names}")
    y, high = np.full((n, len(names)), np.nan), np.full((n, len(names)), np.nan)
    for t, task in enumerate(tasks):
        if task.name in frame:
            y[:, t], high[:, t] = encode(frame[task.name], task, what)
    return Known(y, high)


def group_codes(groups: Any, n: int, table: Table) -> np.ndarray:
    """Codes (n,) of the groups of new rows; each row without a group gets a new code.

    Raises
    ------
    ValueError
        If the fitted table has no groups.
    """
    if groups is not None and table.group is None:
        raise ValueError("groups= was given, but the model was fitted without groups")
    fitted = table.groups
    codes, names = encode_groups(groups, n, fitted) if groups is not None else (np.full(n, -1), fitted)
    return distinct_codes(codes, len(names))
