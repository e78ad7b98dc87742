"""The validated table: the one border at which user data is checked, scaled and put in long form.

Behind it nothing sees a missing label: a table becomes :class:`~bayestl.inference.gaussian.labels.Labels`, one entry a label.
Scaling (features and labels to zero mean and unit variance) is made here and undone here, by :class:`Scaler`.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from bayestl.table.columns import decide, encode, label_frame, read_features, read_numbers, refuse
from bayestl.table.groups import distinct_codes, encode_groups
from bayestl.table.task import Task, TaskPart, match_tasks, task_parts

if TYPE_CHECKING:
    pass

MANY_ZEROS = 0.2
"""From this fraction of exact zeros in a column without negatives a hurdle likelihood is suggested."""


class Known(NamedTuple):
    """Labels of new rows, both (n, T) with NaN where not known: ``y`` and the upper end of its interval."""

    y: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Table:
    """Validated data in label units.

    ``x`` (n, d); ``y`` (n, T) with NaN where not measured, classes as positions; ``high`` (n, T) the upper end of labels
    that are known to lie in an interval (``y`` is the lower end, infinite where there is none), else equal to ``y``;
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
        """Boolean (n, T): which labels there are."""
        return ~np.isnan(self.y)

    def at(self, rows: np.ndarray) -> Table:
        """The table with the rows at the given positions."""
        values = {name: getattr(self, name)[rows] for name in ("x", "y", "high", "se", "index")}
        return replace(self, **values, group=None if self.group is None else self.group[rows])

    def only(self, kept: Sequence[int]) -> Table:
        """The table with the tasks at the given positions."""
        labels = {name: getattr(self, name)[:, list(kept)] for name in ("y", "high", "se")}
        return replace(self, tasks=tuple(self.tasks[t] for t in kept), **labels)

    @property
    def parts(self) -> tuple[TaskPart, ...]:
        """The parts of the tasks' labels, and the latent functions behind them."""
        return task_parts(self.tasks)


def _suggest_hurdle(y: np.ndarray, name: str) -> None:
    there = y[~np.isnan(y)]
    zeros = int((there == 0).sum())
    if zeros >= 5 and zeros >= MANY_ZEROS * len(there) and (there >= 0).all() and zeros < len(there):
        warnings.warn(
            f"{zeros} of the {len(there)} labels of task {name!r} are exactly 0 and none is negative: "
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
    """Check what the user passed to ``fit``; ``suggest`` a likelihood where the default is a poor choice.

    A column without any label is refused unless ``unlabelled``.

    Raises
    ------
    ValueError
        Naming the column, the row and the value, and saying what to do.
    """
    x, features, index, _ = read_features(X)
    frame = label_frame(Y, len(x))
    names = list(frame.columns)
    if isinstance(X, pd.DataFrame) and isinstance(Y, pd.DataFrame | pd.Series):
        _refuse_shuffled(X.index, Y.index)
    for name in names:
        if frame[name].isna().all() and not unlabelled:
            raise ValueError(f"task {name!r} has no labels: drop the column, or add at least one measurement")
    matched = [decide(task, frame[task.name]) for task in match_tasks(names, tasks)]
    columns = [encode(frame[task.name], task) for task in matched]
    y, high = (np.column_stack(side) for side in zip(*columns, strict=True))
    for t, task in enumerate(matched):
        if suggest and task.likelihood is None:
            _suggest_hurdle(y[:, t], task.name)
    se = np.zeros_like(y)
    if Y_std is not None:
        spread = label_frame(Y_std, len(x), "Y_std", names)
        if list(spread.columns) != names:
            if set(spread.columns) != set(names):
                raise ValueError(f"Y_std has the columns {list(spread.columns)}, Y has {names}: they must be the same")
            spread = spread[names]
        se = read_numbers(spread, "Y_std")
        refuse(se < 0, se, names, index, "Y_std", "a standard error cannot be negative")
        se = np.where(np.isnan(se) | np.isnan(y), 0.0, se)
    group, group_names = (None, ()) if groups is None else encode_groups(groups, len(x))
    return Table(x, y, high, se, tuple(features), tuple(matched), index, group, group_names)


def refuse_empty_parts(table: Table, parts: Sequence[TaskPart]) -> None:
    """Refuse labels that leave a part without any.

    Raises
    ------
    ValueError
        A hurdle task whose labels are all zero has no positive part.
    """
    for part in parts:
        task = table.tasks[part.task]
        if np.isnan(task.observes.split(table.y[:, part.task])[part.role]).all():
            raise ValueError(
                f"task {task.name!r} has no positive labels: a hurdle likelihood needs some; drop the column"
            )


def _refuse_shuffled(a: pd.Index, b: pd.Index) -> None:
    if len(a) == len(b) and not a.equals(b) and a.is_unique and b.is_unique and set(a) == set(b):
        raise ValueError("X and Y have the same row names in different orders: align them, such as Y.loc[X.index]")


def row_groups(table: Table) -> np.ndarray:
    """Codes (n,) of the rows' groups; a row without one has a code of its own."""
    group = np.full(len(table.x), -1) if table.group is None else table.group
    return distinct_codes(group, len(table.groups))
