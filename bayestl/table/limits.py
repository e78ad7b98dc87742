"""Labels of which only a limit or an interval is known: text such as ``"<0.1"``, ``">3"`` and ``"1..2"``."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from bayestl.likelihoods import Censored
from bayestl.table.cells import number_in, refuse_times
from bayestl.table.names import cells

LIMIT = re.compile(r"\s*(?:([<>≤≥])\s*=?\s*(.*)|(.+?)(?<!\.)\s*\.\.(?!\.)\s*(.+))\s*")


def written(low: float, high: float) -> str:
    """A label as text that is read as it: a number, a limit, or an interval.

    Examples
    --------
    >>> written(0.5, 0.5), written(-np.inf, 0.1), written(3.0, np.inf), written(1.0, 2.5)
    ('0.5', '<0.1', '>3', '1..2.5')
    """
    if low == high:
        return f"{low:g}"
    return f"<{high:g}" if np.isinf(low) else f">{low:g}" if np.isinf(high) else f"{low:g}..{high:g}"


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
    refuse_times(column, name, what)
    values = list(column.astype(object))
    y, high = np.full(len(values), np.nan), np.full(len(values), np.nan)
    wrong, swapped = np.zeros(len(values), dtype=bool), np.zeros(len(values), dtype=bool)
    for i, value in enumerate(values):
        if pd.api.types.is_scalar(value) and pd.isna(value):
            continue
        try:
            y[i], high[i] = _ends(value)
        except (TypeError, ValueError, OverflowError):
            wrong[i] = True
        swapped[i] = y[i] > high[i]
    if wrong.any():
        raise ValueError(
            f"column {name!r} of {what} holds {cells(values, column.index, wrong)}: a number is expected, '<' or '>' and a limit, "
            "or two numbers with '..' between them"
        )
    if swapped.any():
        raise ValueError(
            f"column {name!r} of {what} holds {cells(values, column.index, swapped)}: the lower end comes first"
        )
    is_number = y == high  # text that says where the label lies keeps what it says
    if likelihood.lower is not None:
        beyond = is_number & (y <= likelihood.lower)
        y, high = np.where(beyond, -np.inf, y), np.where(beyond, likelihood.lower, high)
    if likelihood.upper is not None:
        beyond = is_number & (y >= likelihood.upper)
        y, high = np.where(beyond, likelihood.upper, y), np.where(beyond, np.inf, high)
    return y, high


def _ends(value: Any) -> tuple[float, float]:
    """The lower and upper end of a label.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If it is none.
    """
    match = LIMIT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return _finite(value), _finite(value)
    if match[1] in ("<", "≤"):
        return -np.inf, _finite(match[2])
    if match[1]:
        return _finite(match[2]), np.inf
    return _finite(match[3]), _finite(match[4])


def _finite(value: Any) -> float:
    number = number_in(value)
    if not np.isfinite(number):
        raise ValueError
    return number
