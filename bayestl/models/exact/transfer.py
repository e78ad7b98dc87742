"""Whether a source's labels help the other tasks: the same model without that source, on the same labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayestl import metrics
from bayestl.diagnostics.checks import Check, judge
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.exact.model import ExactModel


def transfer_checks(model: ExactModel, loo: pd.DataFrame) -> Iterator[Check]:
    """Log density that the labels of each source gain each other task, leave-one-out; ``loo`` is that of the model."""
    names = model.table_.names
    for source in names if len(names) > 1 else ():
        if not _informs(model, source):
            continue
        without = refit_without(model, source).leave_one_out()
        for task in (t for t in names if t != source):
            gain, se = metrics.paired_difference(_densities(loo, task), _densities(without, task))
            harm = gain < -2 * se
            advice = f"the labels of {source!r} make it worse: leave them out, or use IndependentGP" if harm else ""
            what = f"{source} -> {task}"
            yield Check("transfer (nats gained)", what, gain, -2 * se, judge(harm, gain < -4 * se), advice)


def _informs(model: ExactModel, source: str) -> bool:
    """Whether a task shares a family with another one, or is an input of one."""
    position = model.table_.names.index(source)
    return model._labels_are_inputs or any(
        len({p.task for p in f.parts}) > 1 and position in {p.task for p in f.parts} for f in model.families_
    )


def _densities(loo: pd.DataFrame, task: str) -> np.ndarray:
    own = loo[loo["task"] == task].sort_values("row")
    return own["log_density"].to_numpy()


def refit_without(model: ExactModel, task: str) -> ExactModel:
    """The same model of the same table without the labels of a task."""
    table = model.table_
    kept = [t for t, name in enumerate(table.names) if name != task]
    tasks = [table.tasks[t] for t in kept]
    parameters: Mapping[str, Any] = model.get_params(deep=False)
    own: dict[str, Any] = {k: v for k, v in parameters.items() if k in IndependentGP._get_param_names()}
    own |= {"tasks": tasks, "verbose": False}
    if len(kept) == 1:
        other: ExactModel = IndependentGP(**own)
    else:
        own = {**parameters, **own}
        if own.get("levels") is not None:
            own["levels"] = [name for name in own["levels"] if name != task]
        other = type(model)(**own)
    less = table.only(kept)
    other._become(less, other._scale(less), other._learn(less, other._scale(less)))
    return other
