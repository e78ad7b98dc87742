"""The validated table of features, labels, standard errors and groups, in label units: the border for user data.

:func:`build_table` is the one place where data are checked.  Missing labels are NaN here and nowhere beyond: engines
take labels in long form, one entry per label (:mod:`bayestl.inference.gaussian.table_labels`).
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayestl.table.columns import decide, encode, label_frame, read_features, read_numbers, refuse, refuse_narrow
from bayestl.table.groups import encode_groups
from bayestl.table.task import Task, TaskPart, match_tasks, task_parts

MANY_ZEROS = 0.2
"""Fraction of exact zeros in a column without negatives from which a hurdle likelihood is suggested."""


class Known(NamedTuple):
    """Known labels of new rows, (n, T) with NaN where not known: ``y``, and ``high``, the upper end of its interval."""

    y: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Table:
    """Validated data in label units.

    ``x`` (n, d); ``y`` (n, T) with NaN where not measured, classes as positions; ``high`` (n, T) the upper end of
    labels known to lie in an interval (``y`` is the lower end, infinite where there is none), else equal to ``y``;
    ``se`` (n, T) known standard errors, 0 where not known; ``group`` (n,) codes into ``groups`` (-1: unknown) or None;
    ``index`` the rows' names.
    """

    x: np.ndarray
    y: np.ndarray
    high: np.ndarray
    se: np.ndarray
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
    def present(self) -> np.ndarray:
        """Boolean (n, T): which labels were measured."""
        return ~np.isnan(self.y)

    def at(self, rows: np.ndarray) -> Table:
        """The table with the rows at the given positions."""
        values = {name: getattr(self, name)[rows] for name in ("x", "y", "high", "se", "index")}
        return replace(self, **values, group=None if self.group is None else self.group[rows])

    def with_row(self, x: np.ndarray, name: pd.Index) -> Table:
        """The table with one more row, of features ``x`` (1, d), without labels and group."""
        empty = np.full((1, len(self.tasks)), np.nan)
        x, y, high = (np.vstack(pair) for pair in ((self.x, x), (self.y, empty), (self.high, empty)))
        se = np.vstack([self.se, np.zeros_like(empty)])
        group = None if self.group is None else np.append(self.group, -1)
        return replace(self, x=x, y=y, high=high, se=se, group=group, index=self.index.append(name))

    def only(self, positions: Sequence[int]) -> Table:
        """The table with the tasks at the given positions."""
        labels = {name: getattr(self, name)[:, list(positions)] for name in ("y", "high", "se")}
        return replace(self, tasks=tuple(self.tasks[t] for t in positions), **labels)

    @property
    def parts(self) -> tuple[TaskPart, ...]:
        """The parts of the tasks' labels, and the latent functions behind them."""
        return task_parts(self.tasks)


def _suggest_hurdle(y: np.ndarray, name: str) -> None:
    labels = y[~np.isnan(y)]
    zeros = int((labels == 0).sum())
    if zeros >= 5 and zeros >= MANY_ZEROS * len(labels) and (labels >= 0).all() and zeros < len(labels):
        warnings.warn(
            f"{zeros} of the {len(labels)} labels of task {name!r} are exactly 0 and none is negative: "
            f"Task({name!r}, likelihood=Hurdle()) gives zero a probability of its own",
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
    x, features, index, _ = read_features(X)
    frame = label_frame(Y, len(x))
    names = list(frame.columns)
    if isinstance(X, pd.DataFrame) and isinstance(Y, pd.DataFrame | pd.Series):
        refuse_shuffled(X.index, Y.index, "Y")
    for name in names:
        if frame[name].isna().all() and not unlabelled:
            raise ValueError(f"task {name!r} has no labels: drop the column, or add at least one measurement")
    matched = [decide(task, frame[task.name]) for task in match_tasks(names, tasks)]
    columns = [encode(frame[task.name], task) for task in matched]
    y, high = (np.column_stack(side) for side in zip(*columns, strict=True))
    refuse_narrow(x, features, index, "X")
    refuse_narrow(y, names, index, "Y")
    for t, task in enumerate(matched):
        if suggest and task.likelihood is None:
            _suggest_hurdle(y[:, t], task.name)
    se = np.zeros_like(y)
    if Y_std is not None:
        std_frame = label_frame(Y_std, len(x), "Y_std", names)
        if list(std_frame.columns) != names:
            if set(std_frame.columns) != set(names):
                raise ValueError(
                    f"Y_std has the columns {list(std_frame.columns)}, Y has {names}: they must be the same"
                )
            std_frame = std_frame[names]
        se = read_numbers(std_frame, "Y_std")
        refuse(se < 0, se, names, index, "Y_std", "a standard error cannot be negative")
        se = np.where(np.isnan(se) | np.isnan(y), 0.0, se)
    group, group_names = (None, ()) if groups is None else encode_groups(groups, len(x))
    return Table(x, y, high, se, tuple(features), tuple(matched), index, group, group_names)


def refuse_empty_parts(table: Table, parts: Sequence[TaskPart]) -> None:
    """Raise if one of the parts has no labels.

    Raises
    ------
    ValueError
        For a hurdle task whose labels are all zero: its positive part has no labels.
    """
    for part in parts:
        task = table.tasks[part.task]
        if np.isnan(task.observes.split(table.y[:, part.task])[part.role]).all():
            raise ValueError(
                f"task {task.name!r} has no positive labels: a hurdle likelihood needs some; drop the column"
            )


def refuse_shuffled(a: pd.Index, b: pd.Index, what: str) -> None:
    """Raise if the names ``b`` of the rows of ``what`` are those of X in another order.

    Raises
    ------
    ValueError
        If they are.
    """
    if len(a) == len(b) and not a.equals(b) and a.is_unique and b.is_unique and set(a) == set(b):
        raise ValueError(
            f"X and {what} have the same row names in different orders: align them, such as {what}.loc[X.index]"
        )


def row_groups(table: Table) -> np.ndarray:
    """Codes (n,) of the rows' groups, -1 where a row has none."""
    return np.full(len(table.x), -1) if table.group is None else table.group
