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
import torch
from scipy.special import logsumexp

from bayestl import metrics
from bayestl.device import tensor, to_numpy
from bayestl.distributions import Discrete, Predictive, log_density_of
from bayestl.inference.gaussian.latent import coupled
from bayestl.inference.gaussian.loo import cavities
from bayestl.likelihoods import LatentBlock, Setting
from bayestl.priors.processes import Points
from bayestl.table.new_rows import fitted_rows

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
            "high": self.high,
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


def held_out(model: ExactArchitecture, families: Sequence[Family], hide: str = "target") -> dict[str, LeaveOneOut]:
    """Leave-one-out predictions of the labels of every task, from the posteriors of the model's families.

    ``hide``: whether a label is left out alone ("target"), or with all labels of its row ("row").

    Raises
    ------
    ValueError
        If the table is so large that it is summarised by inducing values.
    """
    if not all(family.posterior.full for family in families):
        raise ValueError(
            "leave-one-out needs every label, but this table is summarised by inducing values: use compare"
        )
    left_out = [_LeaveOneOutFamily(model, family, hide == "row") for family in families]
    return {name: _of_task(model, t, left_out) for t, name in enumerate(model.table_.names)}


class _LeaveOneOutFamily:
    """The latent values behind each label of a family given all other labels, component by component.

    ``whole_rows``: given the labels of all other rows.
    """

    def __init__(self, model: ExactArchitecture, family: Family, whole_rows: bool) -> None:
        self._model, self.family, self._whole_rows = model, family, whole_rows
        self.weights = family.posterior.weights
        used = np.cumsum([0, *(len(p.channels) for p in family.parts)])
        self._local = {part: list(range(a, b)) for part, (a, b) in zip(family.parts, pairwise(used), strict=True)}

    def has(self, t: int) -> bool:
        """Whether a part of task ``t`` belongs to the family."""
        return any(part.task == t for part in self.family.parts)

    def together(self, t: int, rows: np.ndarray, s: int) -> tuple[LatentBlock, dict[TaskPart, Setting]]:
        """Latent values of all parts of task ``t`` at its labelled ``rows`` under component ``s``, and their settings."""
        component = self.family.posterior.components[s]
        local = {part: channels for part, channels in self._local.items() if part.task == t}
        asked = [c for of_part in local.values() for c in of_part]
        others = [c for c in range(len(self.family.channels)) if c not in asked] if self._whole_rows else []
        channels = asked + others
        points = component.labels.points
        own = np.full((len(rows), len(channels)), -1)
        position = {int(row): i for i, row in enumerate(rows)}
        task, row_of = to_numpy(points.task), to_numpy(points.row)
        for place in np.flatnonzero(np.isin(task, channels)):
            if (i := position.get(int(row_of[place]))) is not None:
                own[i, channels.index(task[place])] = place
        codes = fitted_rows(self._model.table_, self._model._family_inputs(self.family), rows)
        device = component.prior.device
        x, group, row = (tensor(v, device) for v in codes[:3])
        at = [Points(x, torch.full_like(row, c), group, row) for c in channels]
        mean, covariance = cavities(component, at, tensor(own, device))
        mean, covariance = mean[:, : len(asked)], covariance[:, : len(asked), : len(asked)]
        noise = to_numpy(component.prior.residual.variance())
        settings = {}
        for part, of_part in local.items():
            further = to_numpy(component.prior.further(self.family.parts.index(part)))
            settings[part] = Setting(noise[None, of_part[0]], further[None])
        return LatentBlock(np.ones(1), mean[None], covariance[None]), settings


def _of_task(model: ExactArchitecture, t: int, left_out: Sequence[_LeaveOneOutFamily]) -> LeaveOneOut:
    """Leave-one-out predictions of task ``t``."""
    table, task = model.table_, model.table_.tasks[t]
    rows = np.flatnonzero(table.present[:, t])
    labels = table.labels.at(rows)
    families = [family for family in left_out if family.has(t)]
    weights, components = coupled([family.weights for family in families])
    predictions = []
    for s in range(len(weights)):
        predicted: dict[str, Predictive] = {}
        for family, component in zip(families, components, strict=True):
            block, settings = family.together(t, rows, int(component[s]))
            in_units: dict[str, Setting] = {}
            for part, setting in settings.items():
                location, scale = model.scaler_.units(part)
                error = model.scaler_.errors(labels, part, task)
                in_units[part.role] = setting._replace(location=location, scale=scale, error=error)
            if len(families) == 1:
                predictions.append(task.observes.together(block, in_units))
            else:  # one part each
                (part,) = settings
                predicted[part.role] = part.likelihood.predictive(block, in_units[part.role])
        if predicted:
            predictions.append(task.observes.combine(predicted))
    return LeaveOneOut(rows, labels.y[:, t], labels.high[:, t], weights, predictions)
