"""Labels of which only a limit or an interval is known: text such as ``"<0.1"``, ``">3"`` and ``"1..2"``."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from bayestl.likelihoods import Censored
from bayestl.table.names import row_label

LIMIT = re.compile(r"\s*(?:([<>])\s*=?\s*(.*)|(.+?)\s*\.\.\s*(.+))\s*")


def holds_limits(column: pd.Series) -> bool:
    """Whether a column holds text such as ``"<0.1"`` or ``"1..2"``, and otherwise numbers."""
    labels = [v for v in column.dropna() if pd.api.types.is_scalar(v)]
    if pd.api.types.is_numeric_dtype(column) or not any(isinstance(v, str) and LIMIT.fullmatch(v) for v in labels):
        return False
    try:
        read_intervals(column, Censored(), str(column.name), "Y")
    except (TypeError, ValueError):
        return False
    return True


def read_intervals(column: pd.Series, likelihood: Censored, name: str, what: str) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper ends (n,) of the labels of a censored task; NaN where there is none.

    Raises
    ------
    ValueError
        For text that says neither a number nor a limit or interval; naming column, row and value.
    """
    y, high = np.full(len(column), np.nan), np.full(len(column), np.nan)

    def number(text: Any, i: int) -> float:
        try:
            value = float(text)
        except (TypeError, ValueError):
            value = np.nan
        if not np.isfinite(value):
            raise ValueError(
                f"column {name!r} of {what} holds {column.iloc[i]!r} in {row_label(column.index, i)}: a number is expected, "
                "'<' or '>' and a limit, or two numbers with '..' between them"
            )
        return value

    for i, value in enumerate(column):
        if pd.isna(value):
            continue
        match = LIMIT.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            y[i] = high[i] = number(value, i)
        elif match[1] == "<":
            y[i], high[i] = -np.inf, number(match[2], i)
        elif match[1] == ">":
            y[i], high[i] = number(match[2], i), np.inf
        else:
            y[i], high[i] = number(match[3], i), number(match[4], i)
            if y[i] > high[i]:
                raise ValueError(
                    f"column {name!r} of {what} holds {value!r} in {row_label(column.index, i)}: the lower end comes first"
                )
    is_number = y == high  # text that says where the label lies keeps what it says
    if likelihood.lower is not None:
        beyond = is_number & (y <= likelihood.lower)
        y, high = np.where(beyond, -np.inf, y), np.where(beyond, likelihood.lower, high)
    if likelihood.upper is not None:
        beyond = is_number & (y >= likelihood.upper)
        y, high = np.where(beyond, likelihood.upper, y), np.where(beyond, np.inf, high)
    return y, high
