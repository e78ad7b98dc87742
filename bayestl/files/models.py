"""Writing models to a folder and reading them, without pickle and without running code.

A file names a class of the registry, which models join when they are defined (:func:`register`); parameters are plain
JSON, arrays are safetensors.
"""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np
import pandas as pd

from bayestl.files.documents import plain, task_from_document, task_to_document
from bayestl.files.folder import FileError, read_folder, write_folder
from bayestl.kernels.combined import from_document, to_document
from bayestl.table.groups import plain_name
from bayestl.table.measured import Measured
from bayestl.table.table import Table

FORMAT = 4
"""Version of the file format."""
_MODELS: dict[str, type] = {}


def _name(model: type) -> str:
    """What a file calls a class: its name, and for a class from outside the package its module too."""
    outside = model.__module__.split(".")[0] != "bayestl"
    return f"{model.__module__}.{model.__qualname__}" if outside else model.__name__


def register(model: type) -> None:
    """Add a model class to the registry, so that a file may name it."""
    _MODELS[_name(model)] = model


def registered() -> dict[str, Any]:
    """The model classes that a file may name."""
    return {name: model for name, model in _MODELS.items() if not inspect.isabstract(model)}


def model_to_document(model: Any) -> dict[str, Any]:
    """The class and parameters of a model as a JSON object; models among the parameters become nested objects."""
    parameters = {k: _parameter_to_document(k, v) for k, v in model._saved_parameters().items() if k != "tasks"}
    own_tasks = model.tasks
    tasks = None if own_tasks is None else [task_to_document(t) for t in own_tasks]
    return {"class": _name(type(model)), "parameters": parameters, "tasks_given": tasks}


def _parameter_to_document(name: str, value: Any) -> Any:
    """A constructor parameter as a JSON value."""
    if name == "kernel":
        return to_document(value)
    if name == "models":
        return {k: model_to_document(v) for k, v in (value or {}).items()}
    if name == "model":
        return None if value is None else model_to_document(value)
    return plain(value)


def model_from_document(document: dict[str, Any]) -> Any:
    """The unfitted model of a document written by :func:`model_to_document`.

    Raises
    ------
    FileError
        If the class is unknown, or does not have the parameters.
    """
    models = registered()
    if document.get("class") not in models:
        raise FileError(f"unknown model {document.get('class')!r}: one of {sorted(models)} is expected")
    tasks = document["tasks_given"]
    try:
        parameters = {k: _parameter_from_document(k, v) for k, v in document["parameters"].items()}
        model_class = models[document["class"]]
        if "kernel" in model_class._get_param_names() and "kernel" not in parameters:
            raise FileError("the kernel of the model is missing")
        return model_class(**parameters, tasks=None if tasks is None else [task_from_document(t) for t in tasks])
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(str(error)) from error


def _parameter_from_document(name: str, value: Any) -> Any:
    """The constructor parameter of a JSON value."""
    if name == "kernel":
        return from_document(value)
    if name == "models":
        return {k: model_from_document(v) for k, v in value.items()}
    if name == "model":
        return None if value is None else model_from_document(value)
    return value


def write_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted model to the folder ``path``, created if it does not exist; a crash leaves the earlier files."""
    table = model.table_
    document = {
        "format": FORMAT,
        **model_to_document(model),
        "tasks": [task_to_document(t) for t in table.tasks],
        "features": list(table.features),
        "groups": _names(list(table.groups)),
        "rows": _names(list(table.index)),
        "named": hasattr(model, "feature_names_in_"),
        "seed": model.seed_,
        "output": model.output_,
    }
    arrays = {f"state.{k}": v for k, v in model._state().items()}
    arrays |= {"table.x": table.x} | {f"table.{name}": v for name, v in table.labels._asdict().items()}
    if table.group is not None:
        arrays["table.group"] = table.group
    write_folder(path, document, arrays)


def _names(values: list[Any]) -> list[Any]:
    """Names of groups or rows as JSON values; a name that is missing is None."""
    return plain([None if name is pd.NaT or name is pd.NA else plain_name(name) for name in values])


def read_model(path: str | os.PathLike[str]) -> Any:
    """Read a model written by :func:`write_model`; it predicts exactly as it did.

    Raises
    ------
    FileError
        If the folder holds no model, or one that this version cannot read.
    """
    document, arrays = read_folder(path, FORMAT)
    try:
        model = model_from_document(document)
    except FileError as error:
        raise FileError(f"{path}: {error}") from error
    x = arrays["table.x"]
    table = Table(
        x,
        Measured(*(arrays[f"table.{name}"] for name in Measured._fields)),
        tuple(document["features"]),
        tuple(task_from_document(t) for t in document["tasks"]),
        pd.Index(document["rows"]),
        arrays.get("table.group"),
        tuple(document["groups"]),
    )
    scaler = model._scale(table)
    state = {k.removeprefix("state."): v for k, v in arrays.items() if k.startswith("state.")}
    seed = int(document["seed"])
    model._become(table, scaler, model._restore(table, scaler, state, seed), seed)
    model.n_features_in_ = x.shape[1]
    if document["named"]:
        model.feature_names_in_ = np.asarray(table.features, dtype=object)
    model.output_ = document["output"]
    return model
