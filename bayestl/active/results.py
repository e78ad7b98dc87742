"""Results as a user enters them, checked before anything is written, and the tables that a campaign makes of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayestl.active.acquisition.pool import candidates
from bayestl.active.goals import Goal
from bayestl.table.columns import decide, encode
from bayestl.table.task import Task


def ledger_entries(
    results: pd.DataFrame, candidates: pd.Index, tasks: Sequence[Task]
) -> list[tuple[int, str, str, float | None, float]]:
    """Results as the ledger records them: position of the row, task, value as JSON, standard error, cost.

    Raises
    ------
    ValueError
        For a row that is no candidate, an unknown task, or a value that the task cannot have, naming it.
    """
    long = long_form(results, candidates, [t.name for t in tasks])
    costs = {t.name: float(t.cost) for t in tasks}
    for task in tasks:
        of_task = long[long["task"] == task.name]
        if len(of_task):
            column = pd.Series(list(of_task["value"]), of_task["row"].astype(str), name=task.name)
            encode(column, decide(task, column), "the results")  # refuses, naming row and value
    positions = {name: i for i, name in enumerate(candidates)}
    entries = []
    for i, entry in enumerate(long.itertuples(index=False)):
        se, cost = (non_negative(getattr(entry, c, None), c, i) for c in ("se", "cost"))
        value = entry.value.item() if isinstance(entry.value, np.generic) else entry.value
        paid = costs[entry.task] if cost is None else cost
        entries.append((positions[entry.row], entry.task, json.dumps(value), se, paid))
    return entries


def long_form(results: pd.DataFrame, candidates: pd.Index, names: Sequence[str]) -> pd.DataFrame:
    """Results that have a value, one per row: columns ``row``, ``task``, ``value``, ``se`` and ``cost`` where given.

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
            f"results lack the column {lacking[0]!r}: give one row per measurement with row, task, value, or a column for each "
            f"of the tasks {list(names)}"
        )
    long = long[long["value"].notna()]
    for i, (row, task) in enumerate(zip(long["row"], long["task"], strict=True)):
        if row not in candidates:
            raise ValueError(f"result {i}: {row!r} is no candidate of the pool")
        if task not in names:
            raise ValueError(f"result {i} (row {row!r}): no task {task!r}; the tasks are {list(names)}")
    return long


def non_negative(value: Any, what: str, i: int) -> float | None:
    """A number that is not negative; None for a missing value.

    Raises
    ------
    ValueError
        For anything else, naming the number ``i`` of the result and ``what`` the value is.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"result {i}: {what} must be a number that is not negative, got {value!r}")
    return number


def label_table(results: pd.DataFrame, tasks: Sequence[Task], index: pd.Index) -> pd.DataFrame:
    """Labels (n, T) known of the candidates: the mean of repeated numbers, the last of repeated classes."""
    labels = pd.DataFrame(np.nan, index, [t.name for t in tasks])
    for task in tasks:
        of_task = results[results["task"] == task.name]
        if task.classes is not None or any(isinstance(v, str) for v in of_task["value"]):
            labels[task.name] = labels[task.name].astype(object).where(labels[task.name].notna(), None)
            last = of_task.groupby("row")["value"].last()
            labels.loc[last.index, task.name] = last
        elif len(of_task):
            mean = of_task.assign(value=of_task["value"].astype(float)).groupby("row")["value"].mean()
            labels.loc[mean.index, task.name] = mean
    return labels


def known_quantity(labels: pd.DataFrame, tasks: Sequence[Task], goal: Goal) -> pd.Series:
    """The goal's quantity for the rows of ``labels`` (n, T) that have all labels it needs, each of them one number or class."""
    names = [t.name for t in tasks]
    complete = labels[goal.needs(names)].dropna().index
    if len(complete) == 0:
        return pd.Series(dtype=float)
    numbers = {}
    for task in tasks:
        column = labels.loc[complete, task.name]
        if column.notna().all():
            low, high = encode(column, decide(task, column))
            numbers[task.name] = np.where(low == high, low, np.nan)
        else:
            numbers[task.name] = column.to_numpy()
    exact = np.all([~pd.isna(numbers[name]) for name in goal.needs(names)], axis=0)
    value = np.asarray(goal.value(numbers, names), dtype=float)
    return pd.Series(value[exact], complete[exact], name=goal.quantity)


def training_table(
    results: pd.DataFrame, tasks: Sequence[Task], pool: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Features, labels and standard errors (None if no result has one), the rows named as candidates.

    A candidate is one row, whose label is that of :func:`label_table`; the standard error of a mean is that of its parts,
    where all of them have one, else not known.
    """
    labels = label_table(results, tasks, pool.index)
    rows = labels.notna().any(axis=1)
    X = candidates(pool[rows])
    by_label = results.assign(se=results["se"].astype(float)).groupby(["row", "task"])["se"]
    error = by_label.agg(lambda se: math.sqrt((se**2).sum()) / len(se) if se.notna().all() else np.nan).unstack("task")
    for name in error.columns:
        if any(isinstance(v, str) for v in results.loc[results["task"] == name, "value"]):  # the last counts
            error[name] = by_label.agg(lambda se: se.iloc[-1]).unstack("task")[name]
    spread = error.reindex(index=labels.index, columns=labels.columns)[rows].astype(float).set_axis(X.index)
    labels = labels[rows].set_axis(X.index)
    return X, labels, spread if spread.notna().any().any() else None


def progress_table(results: pd.DataFrame, known: pd.Series, goal: Goal, names: Sequence[str]) -> pd.DataFrame:
    """The table of ``Campaign.progress``: the rows whose quantity is ``known``, in the order of the results."""
    results = results.assign(spent=lambda r: r["cost"].cumsum())
    needed = results[results["task"].isin(goal.needs(list(names))) & results["row"].isin(known.index)]
    complete = needed.groupby(["row", "task"])["spent"].first().groupby("row").max().sort_values(kind="stable")
    value = known.loc[complete.index].to_numpy()
    utility = goal.utility(value)
    best = value[np.array([np.argmax(utility[: i + 1]) for i in range(len(value))], dtype=int)]
    columns = {"cost": complete.to_numpy(), "row": complete.index, "value": value, "utility": utility, "best": best}
    return pd.DataFrame(columns)
