"""Results as a user brings them, checked before anything is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd


def long_form(results: pd.DataFrame, candidates: pd.Index, names: Sequence[str]) -> pd.DataFrame:
    """One row a result that is there: columns ``row``, ``task``, ``value``, and ``se`` and ``cost`` where given.

    Raises
    ------
    ValueError
        For another form, a row that is no candidate, or an unknown task, naming it.
    """
    if not isinstance(results, pd.DataFrame):
        raise ValueError(f"results must be a DataFrame, got {type(results).__name__}")
    if {"row", "task", "value"} <= set(results.columns):
        long = results
    elif set(results.columns) <= set(names) and len(results.columns):
        stacked = results.astype(object).stack()
        rows, tasks = (stacked.index.get_level_values(i) for i in (0, 1))
        long = pd.DataFrame({"row": rows, "task": tasks, "value": stacked.to_numpy()})
    else:
        lacking = [c for c in ("row", "task", "value") if c not in results]
        raise ValueError(
            f"results lack the column {lacking[0]!r}: a row a measurement with row, task, value, or a column for each of the "
            f"tasks {list(names)}"
        )
    long = long[long["value"].notna()]
    for i, (row, task) in enumerate(zip(long["row"], long["task"], strict=True)):
        if row not in candidates:
            raise ValueError(f"result {i}: {row!r} is no candidate of the pool")
        if task not in names:
            raise ValueError(f"result {i} (row {row!r}): no task {task!r}; the tasks are {list(names)}")
    return long


def number(value: Any, what: str, i: int) -> float | None:
    """A number that is not negative, None where there is none.

    Raises
    ------
    ValueError
        For anything else, naming the result ``i`` and ``what`` of it.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not (math.isfinite(found) and found >= 0):
        raise ValueError(f"result {i}: {what} must be a number that is not negative, got {value!r}")
    return found
