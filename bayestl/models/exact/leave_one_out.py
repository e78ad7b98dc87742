"""Every training label predicted from all others, without fitting again: what diagnostics are made of."""

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
    """The labels of a task, each given all others, under each of S sets of hyperparameters with ``weights`` (S,)."""

    rows: np.ndarray
    """Of the table, (n,)."""
    y: np.ndarray
    high: np.ndarray
    weights: np.ndarray
    each: list[Predictive]
    """One distribution over the n labels a component."""

    @cached_property
    def log_density(self) -> np.ndarray:
        """``log p(y_i | y_-i, hyperparameters)``, (S, n)."""
        return np.stack([log_density_of(m, self.y, self.high) for m in self.each])

    def frame(self, task: str, seed: int) -> pd.DataFrame:
        """One row a label; see :meth:`~bayestl.models.exact.model.ExactModel.leave_one_out`."""
        # Hyperparameters that saw the label are weighed back by 1 / p(y_i | y_-i, theta).  The ratios are cut off (truncated
        # importance sampling, Ionides 2008): of a few draws from an approximation the worst one would count alone.
        ratios = -self.log_density
        most = np.median(ratios, axis=0) + 0.5 * np.log(len(self.weights))
        log_share = np.log(self.weights)[:, None] + np.minimum(ratios, most)
        share = np.exp(log_share - logsumexp(log_share, axis=0))
        total = logsumexp(np.log(share) + self.log_density, axis=0)
        pit = np.stack([metrics.pit(self.y, m, seed, self.high) for m in self.each])
        columns = {
            "task": task,
            "row": self.rows,
            "y": self.y,
            "log_density": total,
            "pit": (share * pit).sum(axis=0),
            "sensitivity": self.log_density.var(axis=0) if len(self.each) > 1 else np.nan,
        }
        discrete = [m for m in self.each if isinstance(m, Discrete)]
        if discrete:
            chances = np.einsum("sn,snk->nk", share, np.stack([m.probabilities for m in discrete]))
            return pd.DataFrame(columns | {f"p{k}": chances[:, k] for k in range(chances.shape[1])})
        means, spreads = np.stack([m.mean() for m in self.each]), np.stack([m.std() for m in self.each])
        mean = (share * means).sum(axis=0)
        variance = (share * (spreads**2 + (means - mean) ** 2)).sum(axis=0)
        return pd.DataFrame(columns | {"mean": mean, "std": np.sqrt(variance)})


def held_out(model: ExactArchitecture, families: Sequence[Family]) -> dict[str, LeaveOneOut]:
    """The labels of every task, each given all others, as the families of the model have their posterior.

    Raises
    ------
    ValueError
        If the table was too large for its labels to be kept one by one.
    """
    if not all(c.full for family in families for c in family.posterior.components):
        raise ValueError(
            "leave-one-out needs every label, but this table is summarised by inducing values: use compare"
        )
    homes = {part: home for family in families for home in [_LeaveOneOutFamily(model, family)] for part in family.parts}
    return {name: _of_task(model, t, homes) for t, name in enumerate(model.table_.names)}


class _LeaveOneOutFamily:
    """The latent values behind each label of a family given all others, component by component."""

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
        """Of one component at table rows: cavities where the part has a label there, else the posterior."""
        position = self._family.parts.index(part)
        if s not in self._cavities:
            self._cavities[s] = cavities(self._family.posterior.components[s], self._places)
        mean, covariance = self._cavities[s][position]
        labelled = self._labelled(part)
        there = np.isin(rows, labelled)
        other = rows[~there]
        means = np.empty((len(rows), mean.shape[1]))
        covariances = np.empty((*means.shape, mean.shape[1]))
        at = np.searchsorted(labelled, rows[there])
        means[there], covariances[there] = mean[at], covariance[at]
        if part not in self._elsewhere:
            self._elsewhere[part] = self._model._at_rows(self._family, other)
        latent = self._elsewhere[part]
        if len(other):
            channels = self._local[position]
            own_means, own_covariances = latent.moments()
            means[~there] = own_means[s][:, channels]
            covariances[~there] = own_covariances[s][:, channels][:, :, channels]
        setting = latent.setting(self._local[position][0], position).at(np.array([s]))
        return LatentBlock(np.ones(1), means[None], covariances[None]), setting

    def _labelled(self, part: TaskPart) -> np.ndarray:
        table = self._model.table_
        task = table.tasks[part.task]
        return np.flatnonzero(~np.isnan(task.observes.split(table.y[:, part.task])[part.role]))


def _of_task(model: ExactArchitecture, t: int, homes: dict[TaskPart, _LeaveOneOutFamily]) -> LeaveOneOut:
    table, task = model.table_, model.table_.tasks[t]
    rows = np.flatnonzero(table.present[:, t])
    parts = [part for part in table.parts if part.task == t]
    own = [homes[part] for part in parts]
    if len({id(home) for home in own}) == 1:
        chosen = [np.arange(len(home.weights)) for home in own]
        weights = own[0].weights
    else:  # hyperparameters of different families are independent: components are paired in proportion to their weights
        size = max(len(home.weights) for home in own)
        chosen = [resample(home.weights, size) for home in own]
        weights = np.full(size, 1.0 / size)
    each = []
    for s in range(len(weights)):
        predicted: dict[str, Predictive] = {}
        for part, home, component in zip(parts, own, chosen, strict=True):
            block, setting = home.block(part, rows, int(component[s]))
            location, scale = model.scaler_.units(part)
            in_units = setting._replace(location=location, scale=scale)
            predicted[part.role] = part.likelihood.predictive(block, in_units)
        each.append(task.observes.combine(predicted))
    return LeaveOneOut(rows, table.y[rows, t], table.high[rows, t], weights, each)
