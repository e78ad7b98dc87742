"""Groups of rows as integer codes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd


def plain_name(name: Any) -> Any:
    """The name of a row or group as a saved model has it: a number or text; of any other type (a date, a tuple) the text."""
    if isinstance(name, str | int | float | bool | np.generic) or name is None or name is pd.NaT or name is pd.NA:
        return name
    return str(name)


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
    is_pandas = isinstance(groups, pd.Series | pd.Index)
    values = list(groups.to_numpy() if is_pandas else np.asarray(groups, dtype=object).ravel())
    if len(values) != n:
        raise ValueError(f"groups= has {len(values)} entries for {n} rows")
    known = tuple(known or ())
    entries = pd.Series([*known, *map(plain_name, values)], dtype=object).to_numpy()
    codes, names = pd.factorize(entries)
    return codes[len(known) :], tuple(names)
