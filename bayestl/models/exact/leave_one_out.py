"""Exact leave-one-out: every training label predicted from all others, without fitting again.

The hyperparameters have seen the left-out label; truncated importance weights correct for that (Ionides 2008,
*Truncated importance sampling*).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from bayestl import metrics
from bayestl.distributions import Discrete, Predictive, log_density_of
from bayestl.inference.gaussian.latent import ExactLatent, resample
from bayestl.inference.gaussian.loo import cavities, label_places
from bayestl.likelihoods import LatentBlock, Setting

if TYPE_CHECKING:
    from bayestl.models.exact.architecture import ExactArchitecture
    from bayestl.models.exact.family import Family
    from bayestl.table.task import TaskPart


@dataclass(frozen=True)
class LeaveOneOut:
    """Leave-one-out predictions of a task's labels under each of S sets of hyperparameters with ``weights`` (S,)."""

    rows: np.ndarray
    """Rows (n,) of the table that have a label of the task."""
    y: np.ndarray
    high: np.ndarray
    weights: np.ndarray
    per_component: list[Predictive]
    """The predictive distribution of the n labels under each set of hyperparameters."""

    @cached_property
    def log_density(self) -> np.ndarray:
        """``log p(y_i | y_-i, hyperparameters)``, shape (S, n)."""
        return np.stack([log_density_of(m, self.y, self.high) for m in self.per_component])

    def frame(self, task: str, seed: int) -> pd.DataFrame:
        """One row per label, with the columns of :meth:`~bayestl.models.exact.model.ExactModel.leave_one_out`."""
        # Importance weights 1 / p(y_i | y_-i, theta) remove the label from the hyperparameters' posterior.  They are
        # truncated: of a few draws from an approximation the worst one would otherwise carry all the weight.
        ratios = -self.log_density
        cutoff = np.median(ratios, axis=0) + 0.5 * np.log(len(self.weights))
        log_weights = np.log(self.weights)[:, None] + np.minimum(ratios, cutoff)
        weights = np.exp(log_weights - logsumexp(log_weights, axis=0))
        log_density = logsumexp(np.log(weights) + self.log_density, axis=0)
        pit = np.stack([metrics.pit(self.y, m, seed, self.high) for m in self.per_component])
        columns = {
            "task": task,
            "row": self.rows,
            "y": self.y,
            "log_density": log_density,
            "pit": (weights * pit).sum(axis=0),
            "sensitivity": self.log_density.var(axis=0) if len(self.per_component) > 1 else np.nan,
        }
        discrete = [m for m in self.per_component if isinstance(m, Discrete)]
        if discrete:
            chances = np.einsum("sn,snk->nk", weights, np.stack([m.probabilities for m in discrete]))
            return pd.DataFrame(columns | {f"p{k}": chances[:, k] for k in range(chances.shape[1])})
        means = np.stack([m.mean() for m in self.per_component])
        spreads = np.stack([m.std() for m in self.per_component])
        mean = (weights * means).sum(axis=0)
        centred = np.where(np.isfinite(mean), means, 0.0) - np.where(np.isfinite(mean), mean, 0.0)  # heavy tails
        variance = (weights * (spreads**2 + centred**2)).sum(axis=0)
        return pd.DataFrame(columns | {"mean": mean, "std": np.sqrt(variance)})


def held_out(model: ExactArchitecture, families: Sequence[Family]) -> dict[str, LeaveOneOut]:
    """Leave-one-out predictions of the labels of every task, from the posteriors of the model's families.

    Raises
    ------
    ValueError
        If the table is so large that it is summarised by inducing values.
    """
    if not all(family.posterior.full for family in families):
        raise ValueError(
            "leave-one-out needs every label, but this table is summarised by inducing values: use compare"
        )
    family_of_part = {
        part: left_out
        for family in families
        for left_out in [_LeaveOneOutFamily(model, family)]
        for part in family.parts
    }
    return {name: _of_task(model, t, family_of_part) for t, name in enumerate(model.table_.names)}


class _LeaveOneOutFamily:
    """The latent values behind each label of a family given all other labels, component by component."""

    def __init__(self, model: ExactArchitecture, family: Family) -> None:
        self._model, self._family = model, family
        self.weights = family.posterior.weights
        used = np.cumsum([0, *(len(p.channels) for p in family.parts)])
        self._local = [list(range(a, b)) for a, b in pairwise(used)]
        task = family.posterior.components[0].labels.points.task
        self._places = [label_places(task, channels) for channels in self._local]
        self._cavities: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._elsewhere: dict[TaskPart, ExactLatent] = {}

    def block(self, part: TaskPart, rows: np.ndarray, s: int) -> tuple[LatentBlock, Setting]:
        """Latent values of a part at ``rows`` under component ``s`` (cavities if labelled), and its setting."""
        position = self._family.parts.index(part)
        if s not in self._cavities:
            self._cavities[s] = cavities(self._family.posterior.components[s], self._places)
        mean, covariance = self._cavities[s][position]
        labelled = self._labelled(part)
        has_label = np.isin(rows, labelled)
        unlabelled = rows[~has_label]
        means = np.empty((len(rows), mean.shape[1]))
        covariances = np.empty((*means.shape, mean.shape[1]))
        position_in_cavity = np.searchsorted(labelled, rows[has_label])
        means[has_label], covariances[has_label] = mean[position_in_cavity], covariance[position_in_cavity]
        if part not in self._elsewhere:
            self._elsewhere[part] = self._model._at_rows(self._family, unlabelled)
        latent = self._elsewhere[part]
        if len(unlabelled):
            channels = self._local[position]
            posterior_means, posterior_covariances = latent.moments()
            means[~has_label] = posterior_means[s][:, channels]
            covariances[~has_label] = posterior_covariances[s][:, channels][:, :, channels]
        setting = latent.setting(self._local[position][0], position).at(np.array([s]))
        return LatentBlock(np.ones(1), means[None], covariances[None]), setting

    def _labelled(self, part: TaskPart) -> np.ndarray:
        """Rows of the table that have a label of the part."""
        table = self._model.table_
        task = table.tasks[part.task]
        return np.flatnonzero(~np.isnan(task.observes.split(table.y[:, part.task])[part.role]))


def _of_task(model: ExactArchitecture, t: int, family_of_part: dict[TaskPart, _LeaveOneOutFamily]) -> LeaveOneOut:
    """Leave-one-out predictions of task ``t``; ``family_of_part`` holds the families."""
    table, task = model.table_, model.table_.tasks[t]
    rows = np.flatnonzero(table.present[:, t])
    parts = [part for part in table.parts if part.task == t]
    families = [family_of_part[part] for part in parts]
    if len({id(family) for family in families}) == 1:
        components = [np.arange(len(family.weights)) for family in families]
        weights = families[0].weights
    else:  # hyperparameters of different families are independent: components are paired in proportion to their weights
        size = max(len(family.weights) for family in families)
        components = [resample(family.weights, size) for family in families]
        weights = np.full(size, 1.0 / size)
    predictions = []
    for s in range(len(weights)):
        predicted: dict[str, Predictive] = {}
        for part, family, component in zip(parts, families, components, strict=True):
            block, setting = family.block(part, rows, int(component[s]))
            location, scale = model.scaler_.units(part)
            in_units = setting._replace(location=location, scale=scale)
            predicted[part.role] = part.likelihood.predictive(block, in_units)
        predictions.append(task.observes.combine(predicted))
    return LeaveOneOut(rows, table.y[rows, t], table.high[rows, t], weights, predictions)
