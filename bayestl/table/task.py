"""Tasks: a task is one label column, with the likelihood of its labels, their unit and the cost of a measurement."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
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
        Unit of the labels for tables and plots, such as ``"eV"``.
    cost : float
        Cost of one measurement, in any unit that all tasks share; positive.

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
        return labelled(self.name, self.unit)


def labelled(name: str, unit: str) -> str:
    """A name with its unit, once: ``"gap (eV)"`` from ``"gap"`` and ``"gap (eV)"`` alike."""
    return f"{name} ({unit})" if unit and not name.rstrip().endswith((f"({unit})", f"[{unit}]")) else name


@dataclass(frozen=True)
class TaskPart:
    """A part of a task's label, with the latent functions (channels) on which it depends."""

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
    """Draws of the latent values of a part, each with the hyperparameters of its likelihood."""

    part: TaskPart
    f: np.ndarray
    """(K, n, L)"""
    setting: Setting
    """Noise and further hyperparameters of the likelihood, one component per draw."""
    label: np.ndarray | None = None
    """(K, n) labels in label units that were drawn with the latent values; NaN where the likelihood is to draw them."""


def task_parts(tasks: Sequence[Task]) -> tuple[TaskPart, ...]:
    """The parts of all tasks, their channels numbered consecutively."""
    parts: list[TaskPart] = []
    first = 0
    for t, task in enumerate(tasks):
        for role, likelihood in task.observes.parts().items():
            stem = f"{task.name}: {role}" if role else task.name
            k = likelihood.n_latent
            names = (stem,) if k == 1 else tuple(f"{stem} = {c}" for c in likelihood.classes_ or range(k))
            parts.append(TaskPart(t, role, likelihood, tuple(range(first, first + k)), names))
            first += k
    return tuple(parts)


def match_tasks(columns: Sequence[str], tasks: Sequence[Task] | None) -> tuple[Task, ...]:
    """One task per label column: the given task of that name, else the default.

    Raises
    ------
    ValueError
        If a given task names no column, or two have one name.
    """
    given = {}
    for task in [tasks] if isinstance(tasks, Task) else tasks or ():
        if not isinstance(task, Task):
            raise ValueError(f"tasks= must hold bayestl.Task objects, got {task!r}")
        if task.name in given:
            raise ValueError(f"tasks= names {task.name!r} twice")
        given[task.name] = task
    if unknown := [name for name in given if name not in columns]:
        raise ValueError(f"tasks= names {unknown[0]!r}, which is no column of Y; the columns are {list(columns)}")
    return tuple(given.get(name, Task(name)) for name in columns)
