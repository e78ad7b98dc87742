"""Checks of negative transfer: the model's leave-one-out density against the same model without one source's labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayestl import metrics
from bayestl.diagnostics.checks import Check, judge
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.exact.model import ExactModel
from bayestl.table.graph import levels_without


class TransferModel(ExactModel):
    """Base of exact models in which the labels of one task inform another; whether they help is one of the checks."""

    def _transfer_checks(self, loo: pd.DataFrame) -> Iterator[Check]:
        names = self.table_.names
        for source in names if len(names) > 1 else ():
            if not _informs(self, source):
                continue
            without = refit_without(self, source).leave_one_out()
            for task in (t for t in names if t != source):
                gain, se = metrics.paired_difference(_densities(loo, task), _densities(without, task))
                harm = gain < -2 * se
                advice = f"the labels of {source!r} make it worse: leave them out, or use IndependentGP" if harm else ""
                pair = f"{source} -> {task}"
                yield Check("transfer (nats gained)", pair, gain, -2 * se, judge(harm, gain < -4 * se), advice)


def _informs(model: ExactModel, source: str) -> bool:
    """Whether a task shares a family with another task, or is an input of another task's function."""
    position = model.table_.names.index(source)
    return model._labels_are_inputs or any(
        len({p.task for p in f.parts}) > 1 and position in {p.task for p in f.parts} for f in model.families_
    )


def _densities(loo: pd.DataFrame, task: str) -> np.ndarray:
    """Log densities of a task's labels in the order of the rows."""
    return loo[loo["task"] == task].sort_values("row")["log_density"].to_numpy()


def refit_without(model: ExactModel, task: str) -> ExactModel:
    """The same architecture fitted to the same table without the labels of one task."""
    table = model.table_
    others = [t for t, name in enumerate(table.names) if name != task]
    tasks = [table.tasks[t] for t in others]
    parameters: Mapping[str, Any] = model.get_params(deep=False)
    reduced: dict[str, Any] = {k: v for k, v in parameters.items() if k in IndependentGP._get_param_names()}
    reduced |= {"tasks": tasks, "verbose": False}
    if len(others) == 1:
        member: ExactModel = IndependentGP(**reduced)
    else:
        reduced = {**parameters, **reduced}
        if "levels" in reduced:
            reduced["levels"] = levels_without(reduced["levels"], task)
        member = type(model)(**reduced)
    smaller = table.only(others)
    scaler = member._scale(smaller)
    member._become(smaller, scaler, member._learn(smaller, scaler, model.seed_), model.seed_)
    return member
