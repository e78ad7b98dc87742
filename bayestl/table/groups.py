"""The validated table: the one border at which user data is checked, scaled and put in long form.

Behind it nothing sees a missing label: a table becomes :class:`~bayestl.inference.gaussian.labels.Labels`, one entry a label.
Scaling (features and labels to zero mean and unit variance) is made here and undone here, by :class:`Scaler`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd


def encode_groups(
    groups: Any, n: int, known: Sequence[Hashable] | None = None
) -> tuple[np.ndarray, tuple[Hashable, ...]]:
    """Codes (n,) into the known groups, then into new ones; -1 where a row's group is missing.

    Raises
    ------
    ValueError
        If there is not one entry a row.
    """
    values = list(
        groups.to_numpy() if isinstance(groups, pd.Series | pd.Index) else np.asarray(groups, dtype=object).ravel()
    )
    if len(values) != n:
        raise ValueError(f"groups= has {len(values)} entries for {n} rows")
    names = list(known or ())
    codes: dict[Hashable, int] = {name: i for i, name in enumerate(names)}
    out = np.full(n, -1)
    for i, value in enumerate(values):
        if pd.isna(value):
            continue
        if value not in codes:
            codes[value] = len(names)
            names.append(value)
        out[i] = codes[value]
    return out, tuple(names)


def distinct_codes(codes: np.ndarray, n_groups: int) -> np.ndarray:
    """The codes with each -1 (unknown) replaced by a number of its own."""
    unknown = codes < 0
    out = codes.copy()
    out[unknown] = n_groups + np.arange(unknown.sum())
    return out
