"""What an ensemble learns from held-out labels: weights of its models, and a correction of their mixture.

The labels of a row are predicted twice, from the other labels of the row and of all other rows, and from other rows only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from bayestl.diagnostics.words import held_out_error
from bayestl.distributions import Discrete
from bayestl.distributions.sinh_arcsinh import SinhArcsinh
from bayestl.distributions.warp import ClassTemperature
from bayestl.models.base import BayesianModel
from bayestl.models.crossfit import FOLDS, cross_fitted, with_refits
from bayestl.models.ensembles.candidates import MANY_LABELS
from bayestl.models.ensembles.stacking import expected_weights
from bayestl.table.task import Task

REFITS = 1
"""Most fits without an influential label, for each model, up to :data:`MANY_LABELS` labels."""
LEAST_WEIGHT = 0.02
"""Smallest weight of a model that is used."""
LEAST_LABELS = 10
"""Labels beside others of their row from which these alone determine the weights for such labels."""
TEMPERATURE_SD = 0.25
"""Prior standard deviation of the logarithm of a temperature of class probabilities."""
COLUMNS = ("task", "row", "y", "high", "log_density", "pit", "mean", "std")
"""The first columns of held-out labels, in their order."""
SCORES = ("density", "error", "gain", "se")
"""The columns of the scores."""
MIXTURE = "mixture"
"""Name of the corrected mixture among the models that are scored."""
Correction = SinhArcsinh | ClassTemperature


class HeldOut(NamedTuple):
    """Held-out labels of all tasks under one model: beside the other labels of their row, and without these."""

    beside: pd.DataFrame
    alone: pd.DataFrame | None
    """None where the model cannot say anything of such rows, or only after further fits: it is not used for them."""
    has_others: np.ndarray
    """Whether (n,) another label of the row is known."""

    def of(self, task: str) -> HeldOut:
        """The labels of one task."""
        mine = (self.beside["task"] == task).to_numpy()
        return HeldOut(self.beside[mine], None if self.alone is None else self.alone[mine], self.has_others[mine])


def held_out(
    member: BayesianModel, cv: int | None, seed: int, targets: Sequence[int], tell: Callable[[str], None]
) -> HeldOut:
    """The held-out labels of a fitted model.

    Exact leave-one-out where that is honest for the hyperparameters too, with fits without the most influential labels of the
    tasks ``targets``; else ``cv`` folds.  ``tell`` is told what is done.
    """
    table = member.table_
    several = len(table.tasks) > 1
    frames: dict[str, pd.DataFrame] = {}
    hides = ("target", "row") if several else ("target",)
    if cv is None and member._leaves_out_honestly():
        tell("each label without itself")
        frames = {hide: member.leave_one_out(hide=hide) for hide in hides if member._has_leave_one_out(hide)}
        names = [table.names[t] for t in targets if table.present[:, t].sum() > 1]
        sensitivity = frames["target"]["sensitivity"].where(frames["target"]["task"].isin(names), 0.0)
        most = REFITS if table.present.sum() <= MANY_LABELS else 0
        frames["target"] = with_refits(member, frames["target"].assign(sensitivity=sensitivity), most=most)
    else:
        folds = cv or FOLDS
        frames = cross_fitted(member, folds, seed, hides, callback=lambda i: tell(f"fold {i} of {folds}"))
    if not member._predicts_from_features:
        frames.pop("row", None)
    beside = frames["target"]
    task = beside["task"].map(table.names.index).to_numpy()
    others = table.present[beside["row"]].sum(axis=1) > table.present[beside["row"], task]
    return HeldOut(beside, frames.get("row") if several else beside, others)


def aligned(found: Mapping[str, HeldOut]) -> dict[str, HeldOut]:
    """The labels that all models have predicted, in the same order.

    The only label of a task cannot be predicted from others of it.
    """
    frames = {name: [f for f in h[:2] if f is not None] for name, h in found.items()}
    keys = [pd.MultiIndex.from_frame(f[["task", "row"]]) for of_model in frames.values() for f in of_model]
    common = keys[0]
    for other in keys[1:]:
        common = common[common.isin(other)]
    counts = common.get_level_values("task").value_counts()
    common = common[common.get_level_values("task").map(counts) > 1]
    kept = {}
    for name, held in found.items():
        inside = [None if f is None else pd.MultiIndex.from_frame(f[["task", "row"]]).isin(common) for f in held[:2]]
        beside, alone = (f if i is None else f[i].reset_index(drop=True) for f, i in zip(held[:2], inside, strict=True))
        kept[name] = HeldOut(beside, alone, held.has_others[inside[0]])
    return kept


def weights_of(found: Mapping[str, HeldOut], task: str) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K,) of the models for a task's labels beside other labels of their row, and without any."""
    of_task = [h.of(task) for h in found.values()]
    others = of_task[0].has_others
    chosen = others if others.sum() >= LEAST_LABELS else np.ones_like(others)
    beside = _used(expected_weights(np.column_stack([h.beside["log_density"] for h in of_task])[chosen]))
    alone = np.zeros(len(of_task))
    able = [k for k, h in enumerate(of_task) if h.alone is not None]
    if not able:
        return beside, beside
    densities = [h.alone["log_density"] for h in of_task if h.alone is not None]
    alone[able] = _used(expected_weights(np.column_stack(densities)))
    return beside, alone


def _used(weights: np.ndarray) -> np.ndarray:
    """The weights without those that are too small to be worth their models."""
    kept = np.where(weights >= min(LEAST_WEIGHT, weights.max()), weights, 0.0)
    return np.asarray(kept / kept.sum())


def corrections(tasks: Sequence[Task], found: Mapping[str, HeldOut], weights: pd.DataFrame) -> dict[str, Correction]:
    """The correction of each task's mixture, fitted to its labels of both kinds, which count half each."""
    fixed: dict[str, Correction] = {}
    for task in tasks:
        of_task = [h.of(task.name) for h in found.values()]
        kinds = [_beside(task, of_task, weights)]
        if of_task[0].has_others.any() and any(h.alone is not None for h in of_task):
            able = [h.alone is not None for h in of_task]
            kinds.append(
                _mixture(
                    task,
                    [h.alone for h in of_task if h.alone is not None],
                    weights[task.name].iloc[:, 1].to_numpy()[None, able],
                )
            )
        labels = pd.concat(kinds, ignore_index=True)
        if task.classes is None:
            fixed[task.name] = SinhArcsinh.fit(labels["pit"].to_numpy(), np.full(len(labels), 1.0 / len(kinds)))
        else:
            chances = labels[[f"p{k}" for k in range(len(task.classes))]].to_numpy()
            sd = TEMPERATURE_SD / np.sqrt(len(kinds))
            fixed[task.name] = ClassTemperature.fit(chances, labels["y"].to_numpy(), sd)
    return fixed


def mixed(
    tasks: Sequence[Task],
    found: Mapping[str, HeldOut],
    weights: pd.DataFrame,
    fixed: Mapping[str, Correction],
) -> pd.DataFrame:
    """Each label beside the others, as the corrected mixture predicts it."""
    frames = []
    for task in tasks:
        of_task = [h.of(task.name) for h in found.values()]
        frame = _beside(task, of_task, weights)
        warp = fixed[task.name]
        if isinstance(warp, ClassTemperature):
            columns = [f"p{k}" for k in range(len(task.classes or ()))]
            chances = warp.apply(Discrete(frame[columns].to_numpy(), task.classes or ())).probabilities
            position = frame["y"].to_numpy().astype(int)
            frame[columns] = chances
            frame["log_density"] = np.log(np.maximum(chances[np.arange(len(frame)), position], 1e-300))
        else:
            level = frame["pit"].to_numpy()
            frame["log_density"] += warp.log_slope(level)
            frame["pit"] = warp.level(level)
        frames.append(frame)
    labels = pd.concat(frames, ignore_index=True)
    return labels[[c for c in COLUMNS if c in labels] + [c for c in labels if c not in COLUMNS]]


def scores_of(
    tasks: Sequence[Task], found: Mapping[str, HeldOut], mixture: pd.DataFrame, alone: str | None
) -> pd.DataFrame:
    """How well each model and the mixture predict the labels beside the others, by (task, model).

    ``density``: mean log density, nats a label; ``error``: mean absolute error of the mean, or the share of wrong classes;
    ``gain`` and its standard error ``se``: ``density`` minus that of the model ``alone``, in which no task informs another; NaN
    where there is none.
    """
    rows = {}
    for task in tasks:
        frames = {name: h.of(task.name).beside for name, h in found.items()}
        frames[MIXTURE] = mixture[mixture["task"] == task.name]
        of_task_alone = np.nan if alone is None else frames[alone]["log_density"].to_numpy()
        for name, frame in frames.items():
            if not len(frame):
                rows[task.name, name] = dict.fromkeys(SCORES, np.nan)
                continue
            density = frame["log_density"].to_numpy()
            gain, error = density - of_task_alone, held_out_error(frame, task)
            se = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
            rows[task.name, name] = {"density": density.mean(), "error": error, "gain": gain.mean(), "se": se}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.set_axis(pd.MultiIndex.from_tuples(list(rows), names=["task", "model"]))


def _beside(task: Task, of_task: Sequence[HeldOut], weights: pd.DataFrame) -> pd.DataFrame:
    """The labels of a task beside what is known of their rows, under the mixture with the weights for that."""
    beside, alone = (weights[task.name].iloc[:, i].to_numpy() for i in (0, 1))
    return _mixture(task, [h.beside for h in of_task], np.where(of_task[0].has_others[:, None], beside, alone))


def _mixture(task: Task, frames: Sequence[pd.DataFrame], weights: np.ndarray) -> pd.DataFrame:
    """Held-out labels (n) under a mixture of K models with weights (n or 1, K) of each label."""

    def average(column: str) -> np.ndarray:
        values = np.column_stack([f[column] for f in frames])
        return np.asarray((weights * np.where(weights > 0, values, 0.0)).sum(axis=1))

    with np.errstate(divide="ignore"):
        logs = np.log(weights) + np.column_stack([f["log_density"] for f in frames])
    frame = frames[0][["task", "row", "y", "high"]].assign(log_density=logsumexp(logs, axis=1), pit=average("pit"))
    if task.classes is not None:
        return frame.assign(**{f"p{k}": average(f"p{k}") for k in range(len(task.classes))})
    mean = average("mean")
    second = np.column_stack([f["std"] ** 2 + (f["mean"] - mean) ** 2 for f in frames])
    variance = (weights * np.where(weights > 0, second, 0.0)).sum(axis=1)
    return frame.assign(mean=mean, std=np.sqrt(variance))


def correction_from(task: Task, state: np.ndarray) -> Correction:
    """The correction of a task from the array that its ``state()`` returned."""
    return SinhArcsinh(*map(float, state)) if task.classes is None else ClassTemperature(float(state[0]))
