"""Units of tasks beside the numbers of a campaign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from bayestl.table.task import Task

NUMBERS = ("upper", "value", "task")
"""Columns behind one of which the units stand, the first that there is."""


def with_units(frame: pd.DataFrame, tasks: Sequence[Task], before: str | None = None) -> pd.DataFrame:
    """A table with a row for each measurement and a column ``unit``, where a task has one, behind its numbers or ``before`` a column."""
    units = {t.name: t.unit for t in tasks if t.unit}
    if not units:
        return frame
    columns = list(frame.columns)
    at = columns.index(before) if before else 1 + columns.index(next(c for c in NUMBERS if c in columns))
    there = frame.copy()
    there.insert(at, "unit", frame["task"].map(units).fillna("").astype(object))
    return there


def to_fill_in(suggestions: pd.DataFrame, tasks: Sequence[Task]) -> pd.DataFrame:
    """Suggestions with empty columns for their results, in the units beside them."""
    return with_units(suggestions.assign(value=None, se=None), tasks, before="value")
