"""Results as a user brings them, checked before anything is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayestl.active.goals import Goal
from bayestl.table.task import Task


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


def label_table(results: pd.DataFrame, tasks: Sequence[Task], index: pd.Index) -> pd.DataFrame:
    """What is known of the candidates, (n, T): the mean of repeated numbers, the last of repeated classes."""
    out = pd.DataFrame(np.nan, index, [t.name for t in tasks])
    for task in tasks:
        own = results[results["task"] == task.name]
        if task.classes is not None or any(isinstance(v, str) for v in own["value"]):
            out[task.name] = out[task.name].astype(object).where(out[task.name].notna(), None)
            last = own.groupby("row")["value"].last()
            out.loc[last.index, task.name] = last
        elif len(own):
            mean = own.assign(value=own["value"].astype(float)).groupby("row")["value"].mean()
            out.loc[mean.index, task.name] = mean
    return out


def training_table(
    results: pd.DataFrame, tasks: Sequence[Task], pool: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Features, labels and standard errors (None where no result has one); repeated measurements are rows of their own."""
    names = [t.name for t in tasks]
    results = results.assign(repeat=results.groupby(["row", "task"]).cumcount())
    wide = results.pivot(index=["row", "repeat"], columns="task", values="value")
    spread = results.pivot(index=["row", "repeat"], columns="task", values="se").reindex(columns=names)
    labels = wide.reindex(columns=names)
    X = pool.loc[labels.index.get_level_values("row")].reset_index(drop=True)
    labels, spread = labels.reset_index(drop=True), spread.reset_index(drop=True)
    for task in tasks:
        if task.classes is None and not any(isinstance(v, str) for v in labels[task.name]):
            labels[task.name] = labels[task.name].astype(float)
    return X, labels, spread.astype(float) if spread.notna().any().any() else None


def progress_table(results: pd.DataFrame, known: pd.Series, goal: Goal, names: Sequence[str]) -> pd.DataFrame:
    """The rows whose quantity is ``known``, in the order in which it became so; see ``Campaign.progress``."""
    results = results.assign(spent=lambda r: r["cost"].cumsum())
    needed = results[results["task"].isin(goal.needs(list(names))) & results["row"].isin(known.index)]
    complete = needed.groupby(["row", "task"])["spent"].first().groupby("row").max().sort_values(kind="stable")
    value = known.loc[complete.index].to_numpy()
    utility = goal.utility(value)
    best = value[np.array([np.argmax(utility[: i + 1]) for i in range(len(value))], dtype=int)]
    columns = {"cost": complete.to_numpy(), "row": complete.index, "value": value, "utility": utility, "best": best}
    return pd.DataFrame(columns)
