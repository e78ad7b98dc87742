"""Names of classes: what they may be, and as JSON values that come back as the same Python objects.

Numbers, truth values and text are themselves; everything else is an object ``{"type": ..., "value": ...}``.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

SHOWN = 3
"""How many cells of a column a message shows."""


def python_object(value: Any) -> Any:
    """A scalar of NumPy as the object of Python or pandas that it is equal to; everything else as it is."""
    if isinstance(value, np.datetime64):
        return pd.Timestamp(value)
    if isinstance(value, np.timedelta64):
        return pd.Timedelta(value)
    return value.item() if isinstance(value, np.generic) else value


def name_to_json(name: Any) -> Any:
    """The name of a class as a JSON value.

    Raises
    ------
    TypeError
        For a type that :func:`name_from_json` does not know.
    """
    name = python_object(name)
    if isinstance(name, bool | int | str) or (isinstance(name, float) and math.isfinite(name)):
        return name
    for kind, (of_kind, to_json, _) in _KINDS.items():
        if isinstance(name, of_kind):
            return {"type": kind, "value": to_json(name)}
    raise TypeError(type(name).__name__)


def name_from_json(value: Any) -> Any:
    """The name of a class from the JSON value that :func:`name_to_json` made of it.

    Raises
    ------
    ValueError
        For a type that it does not know.
    """
    if not isinstance(value, dict):
        return value
    if value.get("type") not in _KINDS:
        raise ValueError(f"unknown type {value.get('type')!r} of a class: written by a newer version?")
    return _KINDS[value["type"]][2](value["value"])


def _timestamp(value: Any) -> pd.Timestamp:
    time = pd.Timestamp(value["time"]).as_unit(value["unit"])
    return time if value["zone"] is None else time.tz_localize("UTC").tz_convert(value["zone"])


def _of_timestamp(name: pd.Timestamp) -> dict[str, Any]:
    zone = None if name.tz is None else str(name.tz)
    time = name if zone is None else name.tz_convert("UTC").tz_localize(None)
    return {"time": time.isoformat(), "unit": name.unit, "zone": zone}


def _of_interval(name: pd.Interval) -> dict[str, Any]:
    return {"ends": [name_to_json(name.left), name_to_json(name.right)], "closed": name.closed}


def _interval(value: Any) -> pd.Interval:
    return pd.Interval(*map(name_from_json, value["ends"]), closed=value["closed"])


_KINDS: dict[str, tuple[type, Any, Any]] = {
    "float": (float, repr, float),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "tuple": (tuple, lambda v: [name_to_json(k) for k in v], lambda v: tuple(name_from_json(k) for k in v)),
    "Timestamp": (pd.Timestamp, _of_timestamp, _timestamp),
    "datetime": (datetime.datetime, datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    "date": (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    "Timedelta": (
        pd.Timedelta,
        lambda v: [int(v.as_unit("ns").value), v.unit],
        lambda v: pd.Timedelta(v[0], unit="ns").as_unit(v[1]),
    ),
    "timedelta": (
        datetime.timedelta,
        lambda v: [v.days, v.seconds, v.microseconds],
        lambda v: datetime.timedelta(*v),
    ),
    "Interval": (pd.Interval, _of_interval, _interval),
    "Period": (
        pd.Period,
        lambda v: [int(v.ordinal), v.freqstr],
        lambda v: pd.Period(ordinal=v[0], freq=v[1]),
    ),
}
"""For each tag the class, its JSON value and the inverse; a subclass comes before its base."""


def spelled(cell: Any) -> Any:
    """A cell as text, one spelling for a whole number (``"100"`` for 100, 100.0 and ``"100.0"``); None where it is empty."""
    if pd.api.types.is_scalar(cell) and (pd.isna(cell) or cell == ""):
        return None
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    text = str(cell)
    whole, point, zeros = text.partition(".")
    return whole if point and zeros and not zeros.strip("0") and whole.lstrip("+-").isdigit() else text


def as_known(values: Iterable[Any], known: Sequence[Any]) -> list[Any]:
    """Classes, each as the known one that is spelled alike, whatever its type: 2.0 for ``"2"``, True for ``"true"``."""
    truths = all(isinstance(c, bool | np.bool_) for c in known)

    def spelling(value: Any) -> Any:
        text = spelled(value)
        return text.casefold() if truths and text is not None else text

    by_spelling: dict[Any, Any] = {}
    for c in known:
        by_spelling.setdefault(spelling(c), c)
    alike = {c: c for c in known}
    return [alike.get(value, by_spelling.get(spelling(value), value)) for value in values]


def row_label(index: pd.Index, i: int) -> str:
    """How a message calls the row at position ``i``: by its name, and by its position where the name is not unique."""
    name = python_object(index[i])
    return f"row {name!r}" if index.is_unique else f"row {name!r} (position {i})"


def cells(values: Any, index: pd.Index, is_meant: Any) -> str:
    """Values and rows of the first three cells of a column (n,) in a boolean mask (n,), and the number of others, in words."""
    rows = np.flatnonzero(np.asarray(is_meant, dtype=bool))
    values = values.array if isinstance(values, pd.Series) else values
    first, *others = [f"{_shown(values[int(i)])} in {row_label(index, int(i))}" for i in rows[:SHOWN]]
    more = [f"{len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    return f"{first} (also {' and '.join([', '.join(others), *more])})" if others else first


def _shown(value: Any) -> str:
    text = repr(python_object(value))
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
