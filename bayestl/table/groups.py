"""Groups of rows as integer codes."""

from __future__ import annotations

import datetime
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayestl.table.names import python_object


def plain_name(name: Any) -> Any:
    """The name of a row or group as a saved model has it: a number or text; of any other type (a date, a tuple) the text.

    A name that is missing (None, NaN, NaT) stays as it is.
    """
    if isinstance(name, tuple):
        return str(tuple(map(python_object, name)))
    if pd.api.types.is_scalar(name) and pd.isna(name):
        return name
    name = python_object(name)
    if isinstance(name, datetime.timedelta):  # pandas writes durations in words of its own, and has them in a Series
        name = pd.Timedelta(name)
    return name if isinstance(name, str | int | float | bool) else str(name)


def encode_groups(
    groups: Any, n: int, known: Sequence[Hashable] | None = None
) -> tuple[np.ndarray, tuple[Hashable, ...]]:
    """Codes (n,) of the rows' groups, -1 where the group is missing, and the names of all groups.

    Known groups come first, in their order, then new ones in the order in which they appear.  Names are those of
    :func:`plain_name`.

    Raises
    ------
    ValueError
        If ``groups`` does not have one entry per row.
    """
    if isinstance(groups, pd.Series | pd.Index):
        values = list(groups)
    elif isinstance(groups, list | tuple) and any(isinstance(v, tuple) for v in groups):
        values = list(groups)  # NumPy would make columns of tuples
    else:
        values = list(np.asarray(groups, dtype=object).ravel())
    if len(values) != n:
        raise ValueError(f"groups= has {len(values)} entries for {n} rows")
    known = tuple(known or ())
    entries = pd.Series([*known, *map(plain_name, values)], dtype=object).to_numpy()
    codes, names = pd.factorize(entries)
    return codes[len(known) :], tuple(names)
