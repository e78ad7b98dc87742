"""Checks of parameters and tables that several models share; each raises a ValueError that says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from bayestl.models.base import BayesianModel
    from bayestl.table.table import Table


def check_positive_integers(model: BayesianModel, *names: str) -> None:
    """Raise a ValueError for a parameter of these names that is not a positive integer."""
    for name in names:
        value = getattr(model, name)
        if not (isinstance(value, int | np.integer) and value >= 1):
            raise ValueError(f"{name} must be a positive integer, got {value!r}")


def entry(parameter: str, values: Mapping[str, Any], *names: str) -> Any:
    """What a parameter that maps names to values says of the first of ``names`` that it has.

    Raises
    ------
    ValueError
        If it has none of them.
    """
    for name in names:
        if name in values:
            return values[name]
    raise ValueError(f"{parameter}= has no entry for {names[-1]!r}; it has entries for {list(values)}")


def refuse_groups(model: BayesianModel, table: Table, instead: str) -> None:
    """Raise a ValueError if the table has groups; ``instead`` names a model that uses them."""
    if table.group is not None:
        raise ValueError(f"{type(model).__name__} does not use groups=: leave them out, or use {instead}")
