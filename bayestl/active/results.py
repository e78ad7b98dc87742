"""Results as a user enters them, checked before anything is written, and the tables that a campaign makes of them."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from bayestl.active.acquisition.pool import candidates
from bayestl.active.goals import Goal
from bayestl.active.ledger.schema import Entry, plain_candidate
from bayestl.likelihoods import Censored
from bayestl.likelihoods.classes import Classified
from bayestl.table.columns import decide, encode
from bayestl.table.limits import LIMIT
from bayestl.table.names import as_known, name_to_json, python_object
from bayestl.table.task import Task

FAILED = "failed"
"""What stands for the value of a measurement that failed, in tasks of numbers."""


def ledger_entries(
    results: pd.DataFrame, candidates: pd.Index, tasks: Sequence[Task], earlier: pd.DataFrame | None = None
) -> list[Entry]:
    """Results as the ledger records them.

    ``earlier`` results say whether a task without a likelihood has classes.  The first labels of a campaign, where it is None,
    say it themselves, and cost nothing.

    Raises
    ------
    ValueError
        For a row that is no candidate, an unknown task, or a value that the task cannot have, naming it.
    """
    long = long_form(results, candidates, [t.name for t in tasks])
    costs = {t.name: 0.0 if earlier is None else float(t.cost) for t in tasks}
    values: dict[int, Any] = {}
    for task in tasks:
        of_task = long[long["task"] == task.name]
        if len(of_task):
            known = None if earlier is None else list(earlier.loc[earlier["task"] == task.name, "value"])
            values |= zip(of_task.index, _kept(of_task, task, known), strict=True)
    positions = {name: i for i, name in enumerate(candidates)}
    entries = []
    for i, entry in zip(long.index, long.to_dict("records"), strict=True):
        se, cost = (non_negative(entry.get(c), c, i) for c in ("se", "cost"))
        suggestion = non_negative(entry.get("suggestion"), "suggestion", i)
        paid, number = costs[entry["task"]] if cost is None else cost, None if suggestion is None else int(suggestion)
        value = json.dumps(None if values[i] is None else name_to_json(values[i]))
        entries.append(Entry(positions[entry["row"]], entry["task"], value, se, paid, number))
    return entries


def _kept(of_task: pd.DataFrame, task: Task, known: list[Any] | None) -> list[Any]:
    """Values of one task as they are kept: numbers as numbers, also where they are text; None where a measurement failed.

    Raises
    ------
    ValueError
        For a value that the task cannot have, naming row and value.
    """
    names = list(of_task["row"].astype(str))
    column = pd.Series(list(of_task["value"]), names, name=task.name)
    classes = has_classes(task, known or [])
    if known is None and task.likelihood is None:
        classes = decide(task, column).classes is not None
    if classes:
        given = getattr(task.likelihood, "classes", None)
        column = pd.Series(
            as_known(column, list(dict.fromkeys(known or [])) if given is None else given), names, name=task.name
        )
        joint = pd.Series([*(known or []), *column], name=task.name, dtype=object)
        named = given is not None
        if named or len(set(map(repr, joint))) > 1:  # one class is no mistake: the next result may be of another
            encode(column, decide(task, column if named else joint), "the results")
        return [python_object(v) for v in column]
    values = [_number(*entry, task) for entry in zip(of_task.index, of_task["row"], of_task["value"], strict=True)]
    told = [(name, v) for name, v in zip(names, values, strict=True) if v is not None]
    if told:
        text = any(isinstance(v, str) for _, v in told)
        numbers = pd.Series([v for _, v in told], [n for n, _ in told], object if text else float, task.name)
        encode(numbers, task, "the results")
    return values


def has_classes(task: Task, known: Sequence[Any]) -> bool:
    """Whether a task has classes: its likelihood says so, or its ``known`` results where it has none."""
    if task.likelihood is not None:
        return isinstance(task.likelihood, Classified)
    return any(map(_is_class, known))


def _is_class(value: Any) -> bool:
    """Whether a result of a task without a likelihood is a class."""
    return isinstance(value, bool) or not isinstance(value, int | float)


def _number(i: int, row: Any, value: Any, task: Task) -> float | str | None:
    """The value of a result as a number, a limit of one where the task has limits, or None for a measurement that failed."""
    value = python_object(value)
    text = value.strip() if isinstance(value, str) else ""
    if text.casefold() == FAILED:
        return None
    limits = LIMIT.fullmatch(text) is not None
    if limits and isinstance(task.likelihood, Censored):
        return text
    if limits:
        raise ValueError(
            f"result {i} (row {row!r}): {value!r} is a limit: begin the campaign with Task({task.name!r}, likelihood=Censored())"
        )
    try:
        is_one = isinstance(value, str | Real | Decimal) and not isinstance(value, bool) and "_" not in text
        number = float(value) if is_one else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise ValueError(
            f"result {i} (row {row!r}): {value!r} is no number, as results of {task.name!r} are: correct it, leave it empty where "
            "there is no result yet, or write failed where the measurement failed (classes need likelihood=Categorical())"
        )
    return number


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
        numbered = results.index.name == "suggestion" and "suggestion" not in results
        long = results.reset_index(drop=not numbered)
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
    known = [isinstance(row, Hashable) and row in candidates for row in long["row"]]
    plain = [row if there else plain_candidate(row) for row, there in zip(long["row"], known, strict=True)]
    long = long.assign(row=pd.Series(plain, long.index, dtype=object))
    for i, row, task in zip(long.index, long["row"], long["task"], strict=True):
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


def in_state(table: pd.DataFrame, state: str | None, states: Sequence[str]) -> pd.DataFrame:
    """The rows of a ledger's table in a state; without one all that are not withdrawn.

    Raises
    ------
    ValueError
        For a state that is none of the ``states``.
    """
    if state is not None and state not in states:
        raise ValueError(f"state must be one of {states}, got {state!r}")
    chosen = table["state"] != "withdrawn" if state is None else table["state"] == state
    return table[chosen].reset_index(drop=True)


def label_table(results: pd.DataFrame, tasks: Sequence[Task], index: pd.Index) -> pd.DataFrame:
    """Labels (n, T) known of the candidates: the mean of repeated numbers, the last of repeated classes and limits."""
    labels = pd.DataFrame(np.nan, index, [t.name for t in tasks])
    results = results[results["state"] == "known"]
    for task in tasks:
        of_task = results[results["task"] == task.name]
        last = of_task["row"].isin(of_task["row"][_no_number(of_task["value"], task)])
        if last.any():
            labels[task.name] = labels[task.name].astype(object).where(labels[task.name].notna(), None)
            by_row = of_task[last].groupby("row", sort=False)["value"].last()
            labels.loc[by_row.index, task.name] = by_row
        mean = of_task[~last].astype({"value": float}).groupby("row", sort=False)["value"].mean()
        labels.loc[mean.index, task.name] = mean
    return labels


def _no_number(values: pd.Series, task: Task) -> np.ndarray:
    """Which of some results of a task have no mean: classes, and limits of numbers."""
    classes = has_classes(task, list(values))
    return np.array([classes or isinstance(v, str) for v in values], dtype=bool)


def known_quantity(labels: pd.DataFrame, tasks: Sequence[Task], goal: Goal) -> pd.Series:
    """The goal's quantity for the rows of ``labels`` (n, T) that have all labels it needs; a limit counts as what it is sure to be."""
    names = [t.name for t in tasks]
    complete = labels[goal.needs(names)].dropna().index
    if len(complete) == 0:
        return pd.Series(dtype=float)
    values: dict[str, Any] = {}
    exact = np.ones(len(complete), dtype=bool)
    for task in tasks:
        column = labels.loc[complete, task.name]
        values[task.name] = column.to_numpy()
        alone = task.name == goal.quantity
        if column.notna().all() and (alone or not has_classes(task, list(column))):  # functions see classes by name
            low, high = encode(column, decide(task, labels[task.name]))
            # of an expression nothing is sure where one of its labels is a limit
            values[task.name] = goal.sure(low, high) if alone else np.where(low == high, low, np.nan)
            exact &= ~np.isnan(values[task.name]) | (task.name not in goal.needs(names))
    with np.errstate(all="ignore"):  # log(-1) and 1 / 0 are no value
        value = np.asarray(goal.value(values, names), dtype=float)
    exact &= np.isfinite(value)
    return pd.Series(value[exact], complete[exact], name=goal.quantity)


def training_table(
    results: pd.DataFrame, tasks: Sequence[Task], pool: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Features, labels and standard errors (None if no result has one), the rows named as candidates.

    A candidate is one row, whose label is that of :func:`label_table`; the standard error of a mean is that of its parts,
    where all of them have one, else not known.
    """
    results = results[results["state"] == "known"]
    labels = label_table(results, tasks, pool.index)
    rows = labels.notna().any(axis=1)
    X = candidates(pool[rows])
    text = [isinstance(v, str) for v in results["value"]]
    by_label = results.assign(se=results["se"].astype(float), text=text).groupby(["row", "task"], sort=False)
    error = by_label["se"].agg(lambda se: math.sqrt((se**2).sum()) / len(se) if se.notna().all() else np.nan)
    last = by_label["se"].agg(lambda se: se.iloc[-1])
    error = error.mask(by_label["text"].any(), last).unstack("task")
    spread = error.reindex(index=labels.index, columns=labels.columns)[rows].astype(float).set_axis(X.index)
    labels = labels[rows].set_axis(X.index)
    return X, labels, spread if spread.notna().any().any() else None


def progress_table(results: pd.DataFrame, known: pd.Series, goal: Goal, names: Sequence[str]) -> pd.DataFrame:
    """The table of ``Campaign.progress``: the rows whose quantity is ``known``, in the order of the results."""
    results = results.assign(spent=lambda r: r["cost"].cumsum())
    results = results[results["state"] == "known"]
    needed = results[results["task"].isin(goal.needs(list(names))) & results["row"].isin(known.index)]
    complete = needed.groupby(["row", "task"])["spent"].first().groupby("row").max().sort_values(kind="stable")
    value = known.loc[complete.index].to_numpy()
    utility = goal.utility(value)
    best = value[np.array([goal.best_of(value[: i + 1]) for i in range(len(value))], dtype=int)]
    columns = {"cost": complete.to_numpy(), "row": complete.index, "value": value, "utility": utility, "best": best}
    return pd.DataFrame(columns)
