"""One reading of the labels for all models of a comparison: their tasks, and limits that one of them sees in the cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from sklearn.base import clone

from bayestl.likelihoods import Censored
from bayestl.models.base import BayesianModel
from bayestl.models.exact.independent import IndependentGP
from bayestl.table.limits import holds_limits
from bayestl.table.task import Task


def check_models(models: Any) -> None:
    """Refuse what is no dict of names and unfitted models.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not isinstance(models, Mapping):
        one = type(next(iter(models), None) if isinstance(models, Sequence) and not isinstance(models, str) else models)
        raise ValueError(
            f"models must be a dict of names and unfitted models, such as {{'difference': DifferenceGP()}}, got {one.__name__} without a name"
        )
    for name, model in models.items():
        if isinstance(model, type) or not hasattr(model, "get_params"):
            raise ValueError(
                f"models holds {model!r} under {name!r}, which is no model: give one, such as DifferenceGP()"
            )


def check_functions(functions: Any) -> None:
    """Refuse what is no dict of names and functions.

    Raises
    ------
    ValueError
        If it is none.
    """
    named = functions if isinstance(functions, Mapping) else {None: functions}
    if functions is not None and not all(isinstance(name, str) and callable(f) for name, f in named.items()):
        raise ValueError(
            f"functions must be a dict of names and functions, such as {{'gap': lambda y: y['a'] - y['b']}}, got {functions!r}"
        )


def tasks_of_all(models: Mapping[str, Any], Y: Any) -> list[Task] | None:
    """The tasks with which held-out labels are read: of each, the first model's that knows its likelihood, or else its name."""
    per_model = [m._tasks_for(Y) if isinstance(m, BayesianModel) else _tasks_of(m) for m in models.values()]
    found: dict[str, Task] = {}
    for task in (task for tasks in per_model for task in tasks or ()):
        name = str(getattr(task, "name", task))  # what is no task is refused where labels are read
        if name not in found or getattr(found[name], "likelihood", None) is None:
            found[name] = task
    return list(found.values()) or None


def told_of_limits(model: Any, Y: pd.DataFrame, tasks: Sequence[Task]) -> Any:
    """The model, or a clone that takes those tasks for censored whose cells hold limits, which it would take for classes."""
    limits = [task for task in tasks if isinstance(task.likelihood, Censored) and holds_limits(Y[task.name])]
    if not limits or not isinstance(model, BayesianModel):
        return model
    given = list(model._tasks_for(Y) or ())
    knows = {task.name for task in given if task.likelihood is not None}
    if not (new := [task for task in limits if task.name not in knows]):
        return model
    names = {task.name for task in new}
    return clone(model).set_params(tasks=[*(task for task in given if task.name not in names), *new])


def informs(model: Any) -> bool | None:
    """Whether tasks inform each other in a model; None where that is not known, for it is not one of bayestl."""
    if not isinstance(model, BayesianModel):
        return None
    given = getattr(model, "models", None)
    inner = [getattr(model, "model", None), *(given.values() if isinstance(given, Mapping) else ())]
    found = [informs(m) for m in inner if isinstance(m, BayesianModel)]
    return any(found) if found else not isinstance(model, IndependentGP)


def units_of(models: Mapping[str, Any]) -> dict[str, str]:
    """The units of the tasks, from all models."""
    return {task.name: task.unit for model in models.values() for task in _tasks_of(model) if task.unit}


def _tasks_of(model: Any) -> list[Task]:
    """The tasks that the user gave to a model, or to the models of which it is made."""
    return list((model._given_tasks() if isinstance(model, BayesianModel) else getattr(model, "tasks", None)) or ())
