"""Save and load fitted models without pickle: a folder with ``model.json`` and ``arrays.safetensors``.

The class is looked up in a fixed list, parameters are plain JSON, arrays are safetensors: loading never runs code.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file
from sklearn.utils.validation import check_is_fitted

from bayestl.blocks import from_document, to_document
from bayestl.likelihoods import NAMED
from bayestl.models.base import BayesianModel
from bayestl.models.chain import ChainGP
from bayestl.models.difference import DifferenceGP
from bayestl.models.independent import IndependentGP
from bayestl.models.latent import LatentVariableGP
from bayestl.models.multitask import MultiTaskGP
from bayestl.models.recalibrated import Recalibrated
from bayestl.models.stacked import StackedModel
from bayestl.models.subspace import SubspaceGP
from bayestl.table import Table
from bayestl.tasks import Task

FORMAT = 1
MODELS: dict[str, type[BayesianModel]] = {
    m.__name__: m
    for m in (
        IndependentGP,
        MultiTaskGP,
        DifferenceGP,
        ChainGP,
        LatentVariableGP,
        SubspaceGP,
        StackedModel,
        Recalibrated,
    )
}


class FileError(ValueError):
    """A folder that does not hold a model, or one of another format."""


def task_to_json(task: Task) -> dict[str, Any]:
    """A task as JSON has it."""
    likelihood = task.likelihood
    entry = None if likelihood is None else {"name": type(likelihood).__name__, "parameters": _plain(vars(likelihood))}
    return {"name": task.name, "likelihood": entry, "unit": task.unit, "cost": task.cost}


def task_from_json(entry: dict[str, Any]) -> Task:
    """The inverse of :func:`task_to_json`."""
    kind = entry["likelihood"]
    if kind is not None and kind["name"] not in NAMED:
        raise FileError(f"unknown likelihood {kind['name']!r}: written by a newer version?")
    likelihood = None if kind is None else NAMED[kind["name"]](**kind["parameters"])
    return Task(entry["name"], likelihood, entry["unit"], entry["cost"])


def _plain(value: Any) -> Any:
    """A JSON value for a parameter or group; NumPy scalars become Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def model_to_json(model: BayesianModel) -> dict[str, Any]:
    """The class and parameters of a model, and of those within it."""
    parameters = {k: _parameter_to_json(k, v) for k, v in model.get_params(deep=False).items() if k != "tasks"}
    given = model.tasks
    tasks = None if given is None else [task_to_json(t) for t in given]
    return {"class": type(model).__name__, "parameters": parameters, "tasks_given": tasks}


def _parameter_to_json(name: str, value: Any) -> Any:
    if name == "kernel":
        return to_document(value)
    if name == "models":
        return {k: model_to_json(v) for k, v in (value or {}).items()}
    if name == "model":
        return None if value is None else model_to_json(value)
    return _plain(value)


def model_from_json(document: dict[str, Any]) -> Any:
    """An unfitted model.

    Raises
    ------
    FileError
        For a class that is not in the list, or parameters that it does not have.
    """
    if document.get("class") not in MODELS:
        raise FileError(f"unknown model {document.get('class')!r}: one of {sorted(MODELS)} is expected")
    given = document["tasks_given"]
    try:
        parameters = {k: _parameter_from_json(k, v) for k, v in document["parameters"].items()}
        kind: Any = MODELS[document["class"]]
        if "kernel" in kind._get_param_names() and "kernel" not in parameters:
            raise FileError("the kernel of the model is missing")
        return kind(**parameters, tasks=None if given is None else [task_from_json(t) for t in given])
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(str(error)) from error


def _parameter_from_json(name: str, value: Any) -> Any:
    if name == "kernel":
        return from_document(value)
    if name == "models":
        return {k: model_from_json(v) for k, v in value.items()}
    if name == "model":
        return None if value is None else model_from_json(value)
    return value


def save(model: BayesianModel, path: str | os.PathLike[str]) -> None:
    """Write a fitted model to the folder ``path`` (made if it is not there); a crash leaves the earlier files.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    """
    check_is_fitted(model, "table_")
    table = model.table_
    document = {
        "format": FORMAT,
        **model_to_json(model),
        "tasks": [task_to_json(t) for t in table.tasks],
        "features": list(table.features),
        "groups": [g if isinstance(g, str | int | float | bool) else str(g) for g in _plain(list(table.groups))],
        "named": hasattr(model, "feature_names_in_"),
        "output": model.output_,
    }
    arrays = {f"state.{k}": np.ascontiguousarray(v) for k, v in model._state().items()}
    arrays |= {
        "table.x": np.ascontiguousarray(table.x),
        "table.y": np.ascontiguousarray(table.y),
        "table.high": np.ascontiguousarray(table.high),
        "table.se": np.ascontiguousarray(table.se),
    }
    if table.group is not None:
        arrays["table.group"] = table.group
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        (Path(scratch) / "model.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
        save_file(arrays, str(Path(scratch) / "arrays.safetensors"))
        for name in ("arrays.safetensors", "model.json"):
            os.replace(Path(scratch) / name, folder / name)


def load(path: str | os.PathLike[str]) -> Any:
    """Read a model written by :func:`save`; it predicts exactly as it did.

    Raises
    ------
    FileError
        If the folder holds no model, or one that this version cannot read.
    """
    folder = Path(path)
    try:
        document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        arrays = load_file(str(folder / "arrays.safetensors"))
    except FileNotFoundError as error:
        raise FileError(f"no model in {folder}: {Path(error.filename or '').name or error} is missing") from error
    except Exception as error:
        raise FileError(f"{folder} does not hold a readable model: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FileError(f"{folder}: this version reads format {FORMAT} of model files")
    try:
        model = model_from_json(document)
    except FileError as error:
        raise FileError(f"{folder}: {error}") from error
    x, y = arrays["table.x"], arrays["table.y"]
    table = Table(
        x,
        y,
        arrays["table.high"],
        arrays["table.se"],
        tuple(document["features"]),
        tuple(task_from_json(t) for t in document["tasks"]),
        pd.RangeIndex(len(x)),
        arrays.get("table.group"),
        tuple(document["groups"]),
    )
    scaler = model._scale(table)
    state = {k.removeprefix("state."): v for k, v in arrays.items() if k.startswith("state.")}
    model._become(table, scaler, model._restore(table, scaler, state))
    model.n_features_in_ = x.shape[1]
    if document["named"]:
        model.feature_names_in_ = np.asarray(table.features, dtype=object)
    model.output_ = document["output"]
    return model
