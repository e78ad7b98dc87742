"""The tasks of an ensemble: those that it was given, and what its members know of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from bayestl.models.base import BayesianModel
from bayestl.table.task import Task


def tasks_given(ensemble: str, own: Any, models: Mapping[str, Any]) -> Sequence[Task] | None:
    """The tasks that the user gave to an ensemble and to its members (:func:`together`)."""
    return together(ensemble, own, {k: m._given_tasks() for k, m in models.items() if isinstance(m, BayesianModel)})


def tasks_for(ensemble: str, own: Any, models: Mapping[str, Any], Y: Any) -> Sequence[Task] | None:
    """The tasks of labels ``Y``, as the ensemble was given them and as its members see them (:func:`together`)."""
    return together(ensemble, own, {k: m._tasks_for(Y) for k, m in models.items() if isinstance(m, BayesianModel)})


def together(ensemble: str, own: Any, of_members: Mapping[str, Any]) -> Sequence[Task] | None:
    """The ensemble's own tasks, with what its members know and it leaves open; None where nobody names one.

    All members are fitted to one table, so that their densities of a label can be compared.

    Parameters
    ----------
    ensemble : str
        What it is called in messages.
    own : sequence of Task, Task or None
        Its own tasks, which come first.
    of_members : mapping
        The tasks of each member, by its name.

    Raises
    ------
    ValueError
        If two members say different things of one task.
    """
    first, lists = _listed(own), {name: _listed(tasks) for name, tasks in of_members.items()}
    if any(not isinstance(task, Task) for tasks in (first, *lists.values()) for task in tasks):  # refused later
        return next((tasks for tasks in (first, *lists.values()) if tasks), None)
    if len({task.name for task in first}) < len(first):  # refused later, too
        return first
    found, said_by = {task.name: task for task in first}, dict[tuple[str, str], str]()
    for member, tasks in lists.items():
        for task in tasks:
            known = found.setdefault(task.name, Task(task.name))
            for field in fields(Task)[1:]:
                value, so_far = getattr(task, field.name), getattr(known, field.name)
                if value == field.default:
                    continue
                if so_far == field.default:
                    known = replace(known, **{field.name: value})
                    said_by[task.name, field.name] = str(member)
                elif value != so_far and (other := said_by.get((task.name, field.name))) is not None:
                    raise ValueError(
                        f"{ensemble}: models[{other!r}] has the {field.name} {so_far!r} for task {task.name!r}, and "
                        f"models[{member!r}] has {value!r}: all models of an ensemble share their tasks, so give tasks= to "
                        f"{ensemble} alone; `compare` takes models that differ in them"
                    )
            found[task.name] = known
    return list(found.values()) or None


def _listed(tasks: Any) -> list[Any]:
    return [tasks] if isinstance(tasks, Task) else list(tasks or ())
