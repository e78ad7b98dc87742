"""What is run on each table: the one call of the package, and the peers that apply."""

from __future__ import annotations

import importlib.util
from typing import Any

import pandas as pd

from bayestl.datasets import Dataset
from bayestl.models.ensembles.auto import AutoTransfer
from bayestl.models.exact.independent import IndependentGP
from bayestl.studies.draws import LINE, ON_DIFFERENCE, SOURCE_ITSELF
from bayestl.studies.peers import (
    BoTorchMultiTask,
    ForestClassifier,
    Forests,
    Line,
    LoloForest,
    OnDifference,
    QuantileForest,
    SourceItself,
    lolo_installed,
)
from bayestl.studies.small_tables.tables import Table
from bayestl.table.task import Task

AUTO = "auto"
"""The name of the one call; its members are ``auto: NAME``."""
BOTORCH = "BoTorch multi-task"


def automatic(table: Table, data: Dataset) -> AutoTransfer:
    """The model that makes its choices itself."""
    return AutoTransfer(target=table.target, tasks=list(data.tasks), random_state=0, verbose=False)


def peers(table: Table, data: Dataset) -> dict[str, Any]:
    """The peers that apply to a table.

    A source itself, a line, a difference and BoTorch's model need one source that is known; the labels of several other
    tasks, as far as they are known, are features of a forest.  Classes have forests only.
    """
    learner, name = (LoloForest(), "lolo") if lolo_installed() else (QuantileForest(), "forest")
    targets, source, hide = table.targets, table.source, table.hide
    if isinstance(data.Y[targets[0]].dtype, pd.CategoricalDtype):
        return {f"forest {a}": ForestClassifier(targets[0], QuantileForest(), a, hide) for a in ("single", "latent")}
    found: dict[str, Any] = {}
    if source is not None and hide == "target":
        difference = IndependentGP([Task(targets[0])], verbose=False)
        found[SOURCE_ITSELF] = SourceItself(source, targets[0])
        found[LINE] = Line(source, targets[0])
        found[ON_DIFFERENCE] = OnDifference(source, targets[0], difference)
        found[f"{name} difference"] = Forests(targets, learner, "difference", source)
        if importlib.util.find_spec("botorch") is not None:
            found[BOTORCH] = BoTorchMultiTask(targets[0])
    return found | {f"{name} {a}": Forests(targets, learner, a, hide=hide) for a in ("single", "latent")}


def models(table: Table, data: Dataset) -> dict[str, Any]:
    """All unfitted models of a table by name."""
    return {AUTO: automatic(table, data), **peers(table, data)}
