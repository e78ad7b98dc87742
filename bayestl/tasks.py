"""What is measured: a task is one label column, with the likelihood of its labels, its unit and its cost."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bayestl.likelihoods import Gaussian, Likelihood, Part, Setting


@dataclass(frozen=True)
class Task:
    """One label column.

    Parameters
    ----------
    name : str
        The column of ``Y``.
    likelihood : Likelihood, optional
        How a label arises from the latent value; by default numbers are Gaussian, and strings, bools and categories
        are classified.
    unit : str
        For tables and plots, such as ``"eV"``.
    cost : float
        Of one measurement, in any unit that all tasks share; positive.

    Raises
    ------
    ValueError
        If the name is empty or the cost is not a positive number.

    Examples
    --------
    >>> Task("expt_gap", unit="eV", cost=20.0).label
    'expt_gap (eV)'
    """

    name: str
    likelihood: Likelihood | None = None
    unit: str = ""
    cost: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"a task's name must be a non-empty string, got {self.name!r}")
        if self.likelihood is not None and not isinstance(self.likelihood, Likelihood):
            raise ValueError(f"task {self.name!r}: likelihood must be a bayestl likelihood, got {self.likelihood!r}")
        if not (isinstance(self.cost, int | float) and math.isfinite(self.cost) and self.cost > 0):
            raise ValueError(f"task {self.name!r}: cost must be a positive number, got {self.cost!r}")

    @property
    def observes(self) -> Likelihood:
        """The likelihood; Gaussian where none was chosen."""
        return Gaussian() if self.likelihood is None else self.likelihood

    @property
    def classes(self) -> tuple[Hashable, ...] | None:
        """The classes of the label, None where it is a number."""
        return self.observes.classes_

    @property
    def label(self) -> str:
        """Name and unit, for axes and tables."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True)
class TaskPart:
    """A part of a task's label with the latent functions (channels) behind it."""

    task: int
    """Position of the task."""
    role: str
    """Name of the part; empty for the main one."""
    likelihood: Part
    channels: tuple[int, ...]
    """Positions among the latent functions of all tasks."""
    names: tuple[str, ...]
    """A name for each channel."""


class PartDraws(NamedTuple):
    """Draws of the latent values behind a part, each with the hyperparameters of its likelihood."""

    part: TaskPart
    f: np.ndarray
    """(K, n, L)"""
    setting: Setting
    """Of each draw."""


def task_parts(tasks: Sequence[Task]) -> tuple[TaskPart, ...]:
    """The parts of all tasks, channels counted through in their order."""
    out: list[TaskPart] = []
    used = 0
    for t, task in enumerate(tasks):
        for role, likelihood in task.observes.parts().items():
            stem = f"{task.name}: {role}" if role else task.name
            k = likelihood.n_latent
            names = (stem,) if k == 1 else tuple(f"{stem} = {c}" for c in likelihood.classes_ or range(k))
            out.append(TaskPart(t, role, likelihood, tuple(range(used, used + k)), names))
            used += k
    return tuple(out)


def parent_channels(parts: Sequence[TaskPart], child: TaskPart, parent: int) -> tuple[TaskPart, bool]:
    """The part of the task ``parent`` that a part of another task follows, and whether the two are of one kind.

    The part of the same role where there is one with as many latent functions, else the main one.
    """
    main = next(p for p in parts if p.task == parent and not p.role)
    for p in parts:
        if p.task == parent and p.role == child.role and p.likelihood.n_latent == child.likelihood.n_latent:
            return p, p.likelihood.has_noise == child.likelihood.has_noise
    return main, False


def match_tasks(columns: Sequence[str], tasks: Sequence[Task] | None) -> tuple[Task, ...]:
    """A task for each label column: the given one of that name, else the default.

    Raises
    ------
    ValueError
        If a given task names no column, or two have one name.
    """
    given = {}
    for task in tasks or ():
        if not isinstance(task, Task):
            raise ValueError(f"tasks= must hold bayestl.Task objects, got {task!r}")
        if task.name in given:
            raise ValueError(f"tasks= names {task.name!r} twice")
        given[task.name] = task
    if unknown := [name for name in given if name not in columns]:
        raise ValueError(f"tasks= names {unknown[0]!r}, which is no column of Y; the columns are {list(columns)}")
    return tuple(given.get(name, Task(name)) for name in columns)


def order_levels(levels: Sequence[str] | None, columns: Sequence[str]) -> tuple[int, ...]:
    """Positions of ``levels`` among ``columns``; all columns in their order where ``levels`` is None.

    Raises
    ------
    ValueError
        If a level is no column, stands twice, or a column is no level.
    """
    if levels is None:
        return tuple(range(len(columns)))
    if isinstance(levels, str):
        raise ValueError(f"levels= must be a list of label columns, lowest fidelity first, got the string {levels!r}")
    for name in levels:
        if name not in columns:
            raise ValueError(f"levels= names {name!r}, which is no column of Y; the columns are {list(columns)}")
        if list(levels).count(name) > 1:
            raise ValueError(f"levels= names {name!r} twice")
    if missing := [name for name in columns if name not in levels]:
        raise ValueError(f"column {missing[0]!r} of Y is not in levels={list(levels)}: add it or drop the column")
    return tuple(list(columns).index(name) for name in levels)


def order_graph(graph: Mapping[str, Sequence[str]] | None, columns: Sequence[str]) -> dict[int, tuple[int, ...]]:
    """Parents of each task as positions among ``columns``, in an order in which parents come first.

    ``None`` is the chain of the columns in their order.

    Raises
    ------
    ValueError
        If the graph names an unknown task, a task as its own parent, or has a cycle.
    """
    columns = list(columns)
    if graph is None:
        return {i: (i - 1,) if i else () for i in range(len(columns))}
    parents: dict[str, tuple[str, ...]] = dict.fromkeys(columns, ())
    for child, names in graph.items():
        if isinstance(names, str):
            raise ValueError(f"graph={{{child!r}: {names!r}}}: parents must be a list, such as [{names!r}]")
        for name in (child, *names):
            if name not in columns:
                raise ValueError(f"graph= names {name!r}, which is no column of Y; the columns are {columns}")
        if len(set(names)) < len(names):
            raise ValueError(f"graph= gives {child!r} the same parent twice: {list(names)}")
        parents[child] = tuple(names)
    done: dict[int, tuple[int, ...]] = {}
    while len(done) < len(columns):
        ready = [
            n for n in columns if columns.index(n) not in done and all(columns.index(p) in done for p in parents[n])
        ]
        if not ready:
            left = [n for n in columns if columns.index(n) not in done]
            raise ValueError(f"graph= has a cycle among {left}: a task cannot be its own ancestor")
        for name in ready:
            done[columns.index(name)] = tuple(columns.index(p) for p in parents[name])
    return done
