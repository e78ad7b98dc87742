"""Writing models to a folder and reading them, without pickle and without running code.

A file names a class of the registry, which models join when they are defined (:func:`register`); parameters are plain
JSON, arrays are safetensors.  Whatever is wrong with a file is a :class:`~bayestl.files.folder.FileError`.
"""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayestl.device import torch_device
from bayestl.files.documents import plain, task_from_document, task_to_document
from bayestl.files.folder import FILE, FileError, read_folder, write_folder
from bayestl.kernels.combined import from_document, to_document
from bayestl.table.groups import plain_name
from bayestl.table.measured import Measured
from bayestl.table.table import Table

FORMAT = 7
"""Version of the file format."""
NOT_SAVED = {"tasks", "device"}
"""Parameters that are not among the others of a file: tasks have a place of their own, the device is that of the reader."""
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
    saved = {k: v for k, v in model._saved_parameters().items() if k not in NOT_SAVED}
    parameters = {k: _parameter_to_document(k, v) for k, v in saved.items()}
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


def model_from_document(document: dict[str, Any], device: str = "cpu") -> Any:
    """The unfitted model of a document written by :func:`model_to_document`, which computes on a device.

    Raises
    ------
    FileError
        If the class is unknown, or does not have the parameters.
    """
    models = registered()
    if str(document.get("class")) not in models:
        raise FileError(f"unknown model {document.get('class')!r}: one of {sorted(models)} is expected")
    try:
        tasks = document["tasks_given"]
        parameters = {k: _parameter_from_document(k, v, device) for k, v in document["parameters"].items()}
        model_class = models[document["class"]]
        expected = {*model_class._get_param_names()} - NOT_SAVED
        if odd := expected ^ {*parameters}:
            raise FileError(f"{sorted(odd)[0]!r} is missing or is no parameter of {document['class']}")
        if "device" in model_class._get_param_names():
            parameters["device"] = device
        return model_class(**parameters, tasks=None if tasks is None else [task_from_document(t) for t in tasks])
    except FileError:
        raise
    except Exception as error:
        raise FileError(f"the parameters of {document['class']} are not as expected: {error}") from error


def _parameter_from_document(name: str, value: Any, device: str) -> Any:
    """The constructor parameter of a JSON value."""
    if name == "kernel":
        return from_document(value)
    if name == "models":
        return {k: model_from_document(v, device) for k, v in value.items()}
    if name == "model":
        return None if value is None else model_from_document(value, device)
    return value


def write_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted model to the folder ``path``, created if it does not exist; a crash leaves the earlier model.

    Raises
    ------
    FileError
        If ``path`` is no folder, holds another file of that name, or the model's notes are not JSON values.
    """
    table = model.table_
    document = {
        **model_to_document(model),
        "tasks": [task_to_document(t) for t in table.tasks],
        "features": list(table.features),
        "groups": _names(list(table.groups)),
        "rows": _names(list(table.index)),
        "named": hasattr(model, "feature_names_in_"),
        "seed": model.seed_,
        "output": model.output_,
        "notes": _checked_notes(model.notes_),
    }
    arrays = {f"state.{k}": v for k, v in model._state().items()}
    arrays |= {"table.x": table.x} | {f"table.{name}": v for name, v in table.labels._asdict().items()}
    if table.group is not None:
        arrays["table.group"] = table.group
    write_folder(path, FORMAT, document, arrays)


def _checked_notes(notes: Any) -> dict[str, Any]:
    """The user's notes as they will be read again; refuses what JSON does not give back."""
    try:
        same = isinstance(notes, dict) and json.loads(json.dumps(notes)) == notes
    except (TypeError, ValueError, RecursionError):
        same = False
    if not same:
        raise FileError(f"notes_ must be a dictionary of text, numbers, lists and dictionaries, got {str(notes)[:80]}")
    return dict(notes)


def _names(values: list[Any]) -> list[Any]:
    """Names of groups or rows as JSON values; a name that is missing is None."""
    return plain([None if name is pd.NaT or name is pd.NA else plain_name(name) for name in values])


def read_model(path: str | os.PathLike[str], device: str = "cpu") -> Any:
    """Read a model written by :func:`write_model`; it predicts exactly as it did where it computes on the same device.

    Raises
    ------
    FileError
        If the folder holds no model, a damaged one, or one that this version cannot read.
    ValueError
        If there is no such device.
    """
    torch_device(device, 0)
    document, arrays = read_folder(path, FORMAT)
    try:
        return _restored(document, arrays, device)
    except FileError as error:
        raise FileError(f"{Path(path) / FILE}: {error}") from error
    except Exception as error:  # an intact file whose content was changed by hand, or by a program that is no model
        reason = f"{type(error).__name__}: {error}"[:200]
        raise FileError(f"{Path(path) / FILE} describes no model of this version ({reason})") from error


def _restored(document: dict[str, Any], arrays: dict[str, np.ndarray], device: str) -> Any:
    """The fitted model of a document and its arrays."""
    model = model_from_document(document, device)
    table = _table(document, arrays)
    seed, output = document["seed"], document["output"]
    if type(seed) is not int or output not in ("frame", "column", "array"):
        raise FileError(f"a seed and a kind of output are expected, found {seed!r} and {output!r}")
    notes = _checked_notes(document["notes"])
    scaler = model._scale(table)
    state = {k.removeprefix("state."): v for k, v in arrays.items() if k.startswith("state.")}
    model._become(table, scaler, model._restore(table, scaler, state, seed), seed)
    model.n_features_in_ = table.x.shape[1]
    if document["named"]:
        model.feature_names_in_ = np.asarray(table.features, dtype=object)
    model.output_, model.notes_ = output, notes
    return model


def _table(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> Table:
    """The fitted table; refuses arrays that are not of its shape and type, and numbers that no table has."""
    features, rows = _list_of(document, "features", str), _list_of(document, "rows", _NAMES)
    groups = _list_of(document, "groups", _NAMES)
    tasks = tuple(task_from_document(t) for t in _list_of(document, "tasks", dict))
    n, shapes = len(rows), {"x": (len(rows), len(features))}
    shapes |= dict.fromkeys(Measured._fields, (n, len(tasks)))
    for name, shape in shapes.items():
        values = arrays.get(f"table.{name}")
        if values is None or values.shape != shape or values.dtype != np.float64:
            found = "nothing" if values is None else f"{values.dtype} {values.shape}"
            raise FileError(f"the array table.{name} must be float64 {shape}, found {found}")
    x, labels = arrays["table.x"], Measured(*(arrays[f"table.{name}"] for name in Measured._fields))
    group = arrays.get("table.group")
    if group is not None and not (group.shape == (n,) and np.isin(group, np.arange(-1, len(groups))).all()):
        raise FileError("the array table.group must hold a number of a group for each row")
    if not (np.isfinite(x).all() and np.isfinite(labels.se).all() and (labels.se >= 0).all()):
        raise FileError("features and standard errors must be finite")
    if (np.isnan(labels.y) != np.isnan(labels.high)).any() or (labels.y > labels.high).any():
        raise FileError("the ends of labels do not fit each other")
    return Table(x, labels, tuple(features), tasks, pd.Index(rows), group, tuple(groups))


_NAMES = (str, int, float, type(None))


def _list_of(document: dict[str, Any], name: str, kind: Any) -> list[Any]:
    """The list of a document whose entries are of a kind."""
    values = document.get(name)
    if not (isinstance(values, list) and all(isinstance(v, kind) for v in values)):
        raise FileError(f"{name!r} is not the list that is expected")
    return values
