"""Stacking: mixtures of the labels of several models, and weights that maximise the density of held-out labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import digamma, logsumexp

from bayestl.distributions import Predictive
from bayestl.distributions.mixture import average
from bayestl.joint import Asked, JointLabels, Moments
from bayestl.models.base import BayesianModel

STEPS = 10_000
"""Most steps of expectation-maximisation for the weights."""
PRIOR = 2.0
"""Concentration of the prior on the weights of each model."""
TOLERANCE = 1e-10
"""Change of the weights at which it stops."""


class StackedLabels:
    """A mixture of the joint distributions of K models (:class:`bayestl.joint.JointLabels`).

    ``weights``: (K,), or (K, n, T) where they differ between rows or tasks.
    """

    def __init__(self, members: Sequence[JointLabels], weights: np.ndarray) -> None:
        self.members = members
        self.weights = weights

    def marginals(self, asked: Asked) -> list[Predictive]:
        """The mixture of the models' distributions of each task's labels."""
        by_task = enumerate(zip(*(m.marginals(asked) for m in self.members), strict=True))
        return [average(self._of_task(t), list(of_task)) for t, of_task in by_task]

    def _of_task(self, t: int) -> np.ndarray:
        """The weights of a task's labels, (K,) or (K, n)."""
        return self.weights if self.weights.ndim == 1 else self.weights[:, :, t]

    def moments(self, asked: Asked) -> Moments | None:
        """The Gaussian components of all models; None where a model has only draws, or rows or tasks other weights."""
        per_model = [m.moments(asked) for m in self.members]
        gaussian = [m for m in per_model if m is not None]
        if len(gaussian) < len(per_model) or self.weights.ndim > 1:
            return None
        weights = np.concatenate([w * m[0] for w, m in zip(self.weights, gaussian, strict=True)])
        means, covariances, noise = (np.concatenate([m[i] for m in gaussian]) for i in (1, 2, 3))
        return weights, means, covariances, noise

    def draws(self, n: int, generator: np.random.Generator, joint_rows: bool, asked: Asked) -> np.ndarray:
        """``n`` draws (n, rows, T), each from one of the models for all rows and tasks of the same weights."""
        if len(self.members) == 1:
            return self.members[0].draws(n, generator, joint_rows, asked)
        if self.weights.ndim == 1:
            counts = generator.multinomial(n, self.weights)
            pairs = zip(self.members, counts, strict=True)
            draws = [m.draws(int(k), generator, joint_rows, asked) for m, k in pairs if k]
            return generator.permutation(np.concatenate(draws))
        upper = np.cumsum(self.weights, axis=0)
        level = generator.uniform(size=(n, 1, 1)) * upper[-1]  # one for all rows and tasks of a draw
        drawn = self.members[-1].draws(n, generator, joint_rows, asked)
        for k in reversed(range(len(self.members) - 1)):
            drawn = np.where(level < upper[k], self.members[k].draws(n, generator, joint_rows, asked), drawn)
        return drawn


def stacking_weights(log_density: np.ndarray) -> np.ndarray:
    """Weights (K,) that maximise the sum over labels of ``log sum_k w_k p_k(y_i)``, by expectation-maximisation.

    Parameters
    ----------
    log_density : ndarray, shape (n, K)
        Log density of each held-out label under each model.
    """
    weights = np.full(log_density.shape[1], 1.0 / log_density.shape[1])
    for _ in range(STEPS):
        with np.errstate(divide="ignore"):
            joint = log_density + np.log(weights)
        new = np.exp(joint - logsumexp(joint, axis=1, keepdims=True)).mean(axis=0)
        change = np.abs(new - weights).max()
        weights = new / new.sum()
        if change < TOLERANCE:
            break
    weights[weights < 1e-4] = 0.0
    return np.asarray(weights / weights.sum())


def expected_weights(log_density: np.ndarray, prior: float = PRIOR) -> np.ndarray:
    """Expected weights (K,) given the labels, under a symmetric Dirichlet prior on them.

    Few labels leave them near ``1/K``, many give those of :func:`stacking_weights`.  By variational inference of the mixture
    (Bishop 2006, *Pattern Recognition and Machine Learning*, section 10.2, with fixed components).

    Parameters
    ----------
    log_density : ndarray, shape (n, K)
        Log density of each held-out label under each model.
    prior : float
        Concentration of the prior, as so many labels for each model.
    """
    counts = np.full(log_density.shape[1], prior + len(log_density) / log_density.shape[1])
    for _ in range(STEPS):
        joint = log_density + digamma(counts)
        new = prior + np.exp(joint - logsumexp(joint, axis=1, keepdims=True)).sum(axis=0)
        change = np.abs(new - counts).max()
        counts = new
        if change < TOLERANCE * len(log_density):
            break
    return np.asarray(counts / counts.sum())


def models_by_name(ensemble: BayesianModel, models: Any) -> dict[str, Any]:
    """The models of an ensemble by name.

    Raises
    ------
    ValueError
        If they have no names.
    """
    if models is not None and not isinstance(models, Mapping):
        raise ValueError(
            f"{type(ensemble).__name__}: models= must map a name to each model, such as {{'alone': IndependentGP()}}, got "
            f"{type(models).__name__}"
        )
    return dict(models or {})


def mixed_correlation(members: Iterable[BayesianModel], weights: np.ndarray) -> pd.DataFrame:
    """Weighted mean of the models' task correlations; ``.attrs["std"]`` is the spread within and between models."""
    correlations = [m.task_correlation() for m in members]
    pairs = [(c, c.attrs["std"]) for c in correlations]
    correlation, std = _mixed_moments(pairs, weights)
    correlation.attrs["std"] = std
    if all("residual" in c.attrs for c in correlations):
        pairs = [(c.attrs["residual"], c.attrs["residual_std"]) for c in correlations]
        residual = _mixed_moments(pairs, weights)
        correlation.attrs |= dict(zip(("residual", "residual_std"), residual, strict=True))
    return correlation


def _mixed_moments(moments: Sequence[tuple[pd.DataFrame, pd.DataFrame]], w: np.ndarray) -> list[pd.DataFrame]:
    """Mean and standard deviation of a mixture with weights (K,), from those of each component."""
    means, spreads = (np.stack([pair[i].to_numpy() for pair in moments]) for i in (0, 1))
    mean = np.einsum("k,ktu->tu", w, means)
    variance = np.einsum("k,ktu->tu", w, spreads**2 + (means - mean) ** 2)
    first = moments[0][0]
    return [pd.DataFrame(v, first.index, first.columns) for v in (mean, np.sqrt(variance))]
