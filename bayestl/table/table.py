"""The validated table of features, labels, standard errors and groups, in label units: the border for user data.

:func:`build_table` is the one place where data are checked.  Missing labels are NaN here and nowhere beyond: engines
take labels in long form, one entry per label (:mod:`bayestl.inference.gaussian.table_labels`).
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bayestl.likelihoods import Censored, Hurdle, Likelihood
from bayestl.table.cells import holds_times, plain_table
from bayestl.table.columns import (
    decide,
    encode,
    label_frame,
    read_features,
    read_numbers,
    refuse,
    refuse_narrow,
    with_names,
)
from bayestl.table.groups import encode_groups, refuse_other_rows
from bayestl.table.limits import holds_limits
from bayestl.table.measured import Measured
from bayestl.table.task import Task, TaskPart, match_tasks, task_parts

MANY_ZEROS = 0.2
"""Fraction of exact zeros in a column without negatives from which a hurdle likelihood is suggested."""


@dataclass(frozen=True)
class Table:
    """Validated data in label units.

    ``x`` (n, d); ``labels`` (n, T); ``group`` (n,) codes into ``groups`` (-1: unknown) or None; ``index`` the rows'
    names.
    """

    x: np.ndarray
    labels: Measured
    features: tuple[str, ...]
    tasks: tuple[Task, ...]
    index: pd.Index
    group: np.ndarray | None = None
    groups: tuple[Hashable, ...] = ()

    @property
    def names(self) -> list[str]:
        """The tasks' names, in the order of the columns."""
        return [task.name for task in self.tasks]

    @property
    def y(self) -> np.ndarray:
        """Labels (n, T), see :class:`~bayestl.table.measured.Measured`."""
        return self.labels.y

    @property
    def present(self) -> np.ndarray:
        """Boolean (n, T): which labels were measured."""
        return self.labels.present

    @property
    def group_names(self) -> np.ndarray | None:
        """The names (n,) of the rows' groups, None where one is unknown; None without groups."""
        if self.group is None:
            return None
        return np.array([*self.groups, None], dtype=object)[self.group] if self.groups else np.full(len(self.x), None)

    def at(self, rows: np.ndarray) -> Table:
        """The table with the rows at the given positions."""
        group = None if self.group is None else self.group[rows]
        return replace(self, x=self.x[rows], labels=self.labels.at(rows), index=self.index[rows], group=group)

    def with_row(self, x: np.ndarray, name: pd.Index) -> Table:
        """The table with one more row, of features ``x`` (1, d), without labels and group."""
        pairs = zip(self.labels, Measured.none(1, len(self.tasks)), strict=True)
        labels = Measured(*(np.vstack(pair) for pair in pairs))
        group = None if self.group is None else np.append(self.group, -1)
        return replace(self, x=np.vstack([self.x, x]), labels=labels, group=group, index=self.index.append(name))

    def only(self, positions: Sequence[int]) -> Table:
        """The table with the tasks at the given positions."""
        return replace(self, tasks=tuple(self.tasks[t] for t in positions), labels=self.labels.only(list(positions)))

    @property
    def parts(self) -> tuple[TaskPart, ...]:
        """The parts of the tasks' labels, and the latent functions behind them."""
        return task_parts(self.tasks)


def many_zeros(y: np.ndarray) -> bool:
    """Whether so many of some labels (n,) are exactly zero, and none negative, that zero has a probability of its own."""
    labels = y[~np.isnan(y)]
    zeros = int((labels == 0).sum())
    return zeros >= 5 and MANY_ZEROS * len(labels) <= zeros < len(labels) and bool((labels >= 0).all())


def _suggest_hurdle(y: np.ndarray, name: str) -> None:
    if many_zeros(y):
        warnings.warn(
            f"{int((y == 0).sum())} of the {int((~np.isnan(y)).sum())} labels of task {name!r} are exactly 0 and none is "
            f"negative: Task({name!r}, likelihood=Hurdle()) gives zero a probability of its own",
            UserWarning,
            stacklevel=4,
        )


def build_table(
    X: Any,
    Y: Any,
    Y_std: Any = None,
    groups: Any = None,
    tasks: Sequence[Task] | None = None,
    suggest: bool = True,
    unlabelled: bool = False,
) -> Table:
    """The validated table of what the user passed to ``fit``.

    ``suggest``: warn where the default likelihood is a poor choice.  ``unlabelled``: accept columns without labels.

    Raises
    ------
    ValueError
        For invalid data; the message names the column, the row and the value, and says what to do.
    """
    x, features, index, named = read_features(X)
    frame = with_names(label_frame(Y, len(x)), index)
    names = list(frame.columns)
    refuse_other_rows(index, Y, "Y")
    for name in names:
        if frame[name].isna().all() and not unlabelled and not holds_times(frame[name]):
            raise ValueError(f"task {name!r} has no labels: drop the column, or add at least one measurement")
    matched = tuple(decide(task, frame[task.name]) for task in match_tasks(names, tasks))
    labels = read_labels(frame, Y_std, index, matched, "Y")
    refuse_narrow(x, features, index, "X")
    refuse_narrow(labels.y, names, index, "Y")
    for t, task in enumerate(matched):
        if suggest and task.likelihood is None:
            _suggest_hurdle(labels.y[:, t], task.name)
    group, group_names = (None, ()) if groups is None else encode_groups(groups, index)
    return Table(x, labels, tuple(features), matched, index, group, group_names)


def read_labels(frame: pd.DataFrame, Y_std: Any, index: pd.Index, tasks: Sequence[Task], what: str) -> Measured:
    """The labels (n, T) of all tasks; of columns that the frame lacks, none.

    ``index`` names the rows; ``what`` names the labels in error messages, and with ``_std`` their standard errors.

    Raises
    ------
    ValueError
        For a label that its task cannot have, or a standard error that is negative, infinite or of another table.
    """
    names = [task.name for task in tasks]
    labels = Measured.none(len(frame), len(names))
    for t, task in enumerate(tasks):
        if task.name in frame:
            labels.y[:, t], labels.high[:, t] = encode(frame[task.name], task, what)
    if Y_std is None:
        return labels
    se = _standard_errors(Y_std, labels, index, names, what)
    of_class = (se > 0) & np.array([task.classes is not None for task in tasks])
    refuse(of_class, se, names, index, f"{what}_std", "a class has no standard error; leave the column out")
    return labels._replace(se=se)


def _standard_errors(Y_std: Any, labels: Measured, index: pd.Index, names: list[str], what: str) -> np.ndarray:
    """Known standard errors (n, T) of labels, 0 where there is none."""
    what_std = f"{what}_std"
    frame = with_names(label_frame(Y_std, len(labels.y), what_std, names), index)
    refuse_other_rows(index, Y_std, what_std)
    if isinstance(Y_std, pd.Series) and len(names) == 1:
        frame.columns = names
    if unknown := [name for name in frame.columns if name not in names]:
        raise ValueError(f"{what_std} has the column {unknown[0]!r}, which is no task; the tasks are {names}")
    se = read_numbers(frame, what_std)
    refuse(se < 0, se, list(frame.columns), index, what_std, "a standard error cannot be negative")
    errors = np.zeros_like(labels.y)
    errors[:, [names.index(name) for name in frame.columns]] = se
    return np.where(np.isnan(errors) | ~labels.present, 0.0, errors)


def refuse_empty_parts(table: Table, parts: Sequence[TaskPart]) -> None:
    """Raise if one of the parts has no labels.

    Raises
    ------
    ValueError
        For a task without labels, and for a hurdle task whose labels are all zero: its positive part has none.
    """
    for part in parts:
        task = table.tasks[part.task]
        if not table.present[:, part.task].any():
            raise ValueError(f"task {task.name!r} has no labels: drop the column, or add at least one measurement")
        if np.isnan(task.observes.split(table.y[:, part.task])[part.role]).all():
            raise ValueError(
                f"task {task.name!r} has no positive labels: a hurdle likelihood needs some; drop the column"
            )


def row_groups(table: Table) -> np.ndarray:
    """Codes (n,) of the rows' groups, -1 where a row has none."""
    return np.full(len(table.x), -1) if table.group is None else table.group


def evident_tasks(Y: Any, tasks: Sequence[Task] | None) -> list[Task]:
    """The given tasks, and one for each other column of ``Y`` whose cells say how its labels arise.

    Columns with text such as ``"<0.1"`` are censored; those of which many labels are exactly zero, and none is negative, have
    a hurdle.
    """
    Y = plain_table(Y, "Y")
    frame = label_frame(Y, len(Y))
    found = list(tasks or ())
    named = {task.name for task in found if task.likelihood is not None}
    for name in frame.columns:
        column = frame[name]
        if name in named:
            continue
        likelihood: Likelihood | None = None
        if holds_limits(column):
            likelihood = Censored()
        elif many_zeros(_numbers_of(column, name)):
            likelihood = Hurdle()
        if likelihood is not None:
            given = next((t for t in found if t.name == name), Task(name))
            found = [t for t in found if t.name != name] + [replace(given, likelihood=likelihood)]
    return found


def _numbers_of(column: pd.Series, name: str) -> np.ndarray:
    """The labels (n,) of a column of numbers, however its cells hold them; none for classes, and where some cannot be read."""
    try:
        task = decide(Task(name), column)
        return encode(column, task)[0] if task.likelihood is None else np.empty(0)
    except ValueError:  # said where the labels are read
        return np.empty(0)
