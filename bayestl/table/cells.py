"""What users pass as tables and columns: arrays of several libraries, and cells of any type, as numbers or as missing.

A cell that is no number is refused with all others of its column; what is refused and why is said in words.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from bayestl.table.names import cells

TIMES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64, pd.Period, type(pd.NaT))
_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    rf"\d{{1,4}}([-/.])\d{{1,2}}\1\d{{1,4}}([ T].*)?|(19|20)\d\d-(0[1-9]|1[0-2])|\d{{1,2}}\.? {_MONTH}\.?,? \d{{4}}.*|"
    rf"{_MONTH} \d{{1,2}},? \d{{4}}.*|\d{{1,2}}:\d\d(:\d\d(\.\d+)?)?|-?\d+ days?( .*)?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE | re.ASCII)
_COMMA = re.compile(r"([<>≤≥]\s*=?\s*)?[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
LIMIT = re.compile(r"\s*[<>≤≥]\s*=?\s*[+-]?[\d.].*|\s*[+-]?[\d.]+(?<!\.)\s*\.\.(?!\.)\s*[+-]?[\d.]+\s*")
"""Text that says a limit or an interval."""
QUANTITY = re.compile(r"[~≈≃±]?\s*[+-]?\d+([.,]\d+)?(e[+-]?\d+)?\s*([±(+].*|[^\d\s].{0,12})?", re.IGNORECASE | re.ASCII)
"""Text that begins with a number: one with a unit, an error, or a decimal comma."""
MISSING = frozenset(
    [
        "",
        "nan",
        "NaN",
        "<NA>",
        "NaT",
        "None",
        "none",
        "NONE",
        "null",
        "NULL",
        "Null",
        "NA",
        "N/A",
        "n/a",
        "#N/A",
        "n.a.",
        "n.d.",
    ]
)
"""Text with which files and people say that a cell is empty."""
_UNITS = "turn it into a number in a unit, such as days: (t - t.min()) / pd.Timedelta(days=1)"


def plain_table(value: Any, what: str) -> Any:
    """Tables and columns of other libraries as NumPy has them: tensors without their gradients, the mask as missing cells.

    Raises
    ------
    ValueError
        For a sparse matrix, and for rows of different lengths.
    """
    if isinstance(value, pd.DataFrame | pd.Series | pd.Index):
        return value
    if sparse.issparse(value):
        raise ValueError(f"{what} is a sparse matrix, in which an empty cell is 0: give {what}.toarray()")
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        return value.detach().cpu().numpy()
    if isinstance(value, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(value)
        data = np.asarray(value.data)
        if not mask.any() or data.dtype.kind in "mMc":  # refused below, whatever is masked
            return data
        data = data.astype(float if data.dtype.kind in "buif" else object)
        data[mask] = np.nan if data.dtype.kind == "f" else None
        return data
    if isinstance(value, list | tuple):
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{what} has rows of different lengths: give one entry for each column") from error
        if array.dtype.kind in "SU":  # beside text, NumPy turns numbers and None into text
            return np.asarray(value, dtype=object)
    return value


def is_time(value: Any) -> bool:
    """Whether a cell is a date, a time or a duration, or text that says one."""
    return isinstance(value, TIMES) or bool(isinstance(value, str) and _DATE.fullmatch(value.strip()))


def holds_times(column: pd.Series) -> bool:
    """Whether a column holds a date or a duration, or text of which at least half says one."""
    if _has_time_type(column):
        return True
    if column.dtype.kind in "biufc":
        return False
    values = [v for v in column if v is not None and v is not pd.NA]
    text = [is_time(v) for v in values if isinstance(v, str)]
    return any(isinstance(v, TIMES) for v in values) or (bool(text) and 2 * sum(text) >= len(text))


def _has_time_type(column: pd.Series) -> bool:
    types = pd.api.types
    return types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column)


def refuse_times(column: pd.Series, name: str, what: str) -> None:
    """Refuse the dates and durations of a column (n,).

    Raises
    ------
    ValueError
        If it holds one.
    """
    times = np.array([is_time(v) for v in column], dtype=bool) | _has_time_type(column)
    if times.any():
        raise ValueError(
            f"column {name!r} of {what} holds {cells(column, column.index, times)}, a date or a duration: {_UNITS}, or give the "
            "task a likelihood for classes if it is one"
            if what != "X"
            else f"column {name!r} of {what} holds {cells(column, column.index, times)}, a date or a duration: {_UNITS}"
        )


def read_column(column: pd.Series, name: str, what: str, advice: str) -> np.ndarray:
    """A column as floats (n,), NaN where a cell is missing; text, decimals and fractions are read.

    Raises
    ------
    ValueError
        For cells that are no numbers; naming column, rows and values.
    """
    types = pd.api.types
    if types.is_complex_dtype(column):
        raise ValueError(f"Complex data not supported: column {name!r} of {what}")
    if types.is_bool_dtype(column.dtype) or types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=float, na_value=np.nan)
    refuse_times(column, name, what)
    values = list(column.astype(object))
    numbers = np.full(len(values), np.nan)
    wrong, large = np.zeros((2, len(values)), dtype=bool)
    for i, value in enumerate(values):
        if value is None or value is pd.NA:
            continue
        try:
            numbers[i] = number_in(value)
        except OverflowError:
            large[i] = True
        except (TypeError, ValueError):
            wrong[i] = True
    if any(isinstance(values[i], complex | np.complexfloating) for i in np.flatnonzero(wrong)):
        raise ValueError(f"Complex data not supported: column {name!r} of {what}")
    if wrong.any():
        advice = _advice([values[i] for i in np.flatnonzero(wrong)], name, what) or advice
        raise ValueError(
            f"column {name!r} of {what} holds {cells(values, column.index, wrong)}, which is not a number: {advice}"
        )
    if large.any():
        raise ValueError(
            f"column {name!r} of {what} holds {cells(values, column.index, large)}, more than a computer can hold: use other units"
        )
    return numbers


def number_in(value: Any) -> float:
    """A cell as a number.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If it is none, or too large for one.
    """
    if isinstance(value, Real | Decimal | np.bool_):
        number = float(value)
        if math.isinf(number) and isinstance(value, Decimal) and value.is_finite():
            raise OverflowError
        return number
    if isinstance(value, str) and is_number(value):
        return float(value)
    raise TypeError


def is_number(value: Any) -> bool:
    """Whether a cell is a number, or text that says one."""
    return bool(_NUMBER.fullmatch(value.strip())) if isinstance(value, str) else isinstance(value, Real | Decimal)


def _advice(bad: list[Any], name: str, what: str) -> str:
    """What to do about cells that are no numbers, where that is known."""
    if any(isinstance(v, Mapping) for v in bad):
        return "features.CompositionFeatures turns compositions and formulas into numbers"
    text = [v.strip() for v in bad if isinstance(v, str)]
    if any(_COMMA.fullmatch(v) for v in text):
        return "a decimal needs a point: with decimal=',' pandas reads columns of numbers; in columns with text, such as limits, replace it"
    if any(LIMIT.fullmatch(v) for v in text):
        if what in ("X", "Y_std", "observed_std"):
            return "a limit is no number: give one, and for a feature a further column that says where it is a limit"
        return f"it is a limit: give Task({name!r}, likelihood=Censored()) in tasks="
    if text and all(QUANTITY.fullmatch(v) for v in text):
        return "leave out units and errors of numbers: units belong to Task(unit=), standard errors to Y_std"
    if any(isinstance(v, bytes) for v in bad):
        return "bytes are no text: decode them"
    if any(isinstance(v, list | tuple | set | np.ndarray) for v in bad):
        return "a cell holds one number: make a column of each"
    return ""
