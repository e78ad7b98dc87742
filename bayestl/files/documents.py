"""Conversion of tasks and model parameters to JSON values and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayestl.files.folder import FileError
from bayestl.likelihoods import NAMED
from bayestl.table.names import name_from_json, name_to_json
from bayestl.table.task import Task


def task_to_document(task: Task) -> dict[str, Any]:
    """A task as a JSON object."""
    likelihood = task.likelihood
    if likelihood is None:
        entry = None
    else:
        parameters = {
            k: [name_to_json(c) for c in v] if k == "classes" and v is not None else plain(v)
            for k, v in vars(likelihood).items()
        }
        entry = {"name": type(likelihood).__name__, "parameters": parameters}
    return {"name": task.name, "likelihood": entry, "unit": task.unit, "cost": task.cost}


def task_from_document(entry: dict[str, Any]) -> Task:
    """The task of a JSON object written by :func:`task_to_document`."""
    kind = entry["likelihood"]
    if kind is not None and kind["name"] not in NAMED:
        raise FileError(f"unknown likelihood {kind['name']!r}: written by a newer version?")
    likelihood = None
    if kind is not None:
        parameters = dict(kind["parameters"])
        if parameters.get("classes") is not None:
            parameters["classes"] = [name_from_json(c) for c in parameters["classes"]]
        likelihood = NAMED[kind["name"]](**parameters)
    return Task(entry["name"], likelihood, entry["unit"], entry["cost"])


def plain(value: Any) -> Any:
    """A parameter as a JSON value; NumPy scalars become Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value
