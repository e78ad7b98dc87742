"""Further rows of a table that a model was fitted to: their features, the labels known of them, their groups."""

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

    ``named``: the fitted features have names, and columns are matched by them.  ``model`` is named in errors.

    Raises
    ------
    ValueError
        For a missing column or another number of them.
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
        For a column that is no task, or labels that a task cannot have.
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
    """Codes (n,) of the groups of new rows; a row without one gets a code of its own.

    Raises
    ------
    ValueError
        Where the fitted table has no groups.
    """
    if groups is not None and table.group is None:
        raise ValueError("groups= was given, but the model was fitted without groups")
    known = table.groups
    codes, names = encode_groups(groups, n, known) if groups is not None else (np.full(n, -1), known)
    return distinct_codes(codes, len(names))
