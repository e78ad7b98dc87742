"""The exact posterior given Gaussian labels, averaged over hyperparameters: ``p(f | y) = sum_s w_s p(f | y, theta_s)``.

There is one component per set of hyperparameters theta_s: one at their maximum, or several from the Laplace
approximation or a Markov chain.  New labels ``y+`` update the components, and multiply the weights by
``p(y+ | y, theta_s)``: by as much of it as leaves a quarter of the components effective.  Many labels at once would leave one
component, which is the best of a few draws and not the posterior of the hyperparameters.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from bayestl.inference.gaussian.component import Component
from bayestl.inference.gaussian.labels import Data
from bayestl.inference.gaussian.large import inducing
from bayestl.inference.gaussian.large.component import Kept, Summarised
from bayestl.inference.gaussian.latent import ExactLatent
from bayestl.inference.threads import threads_for
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Points
from bayestl.priors.vector import get_raw, set_raw

LEAST_EFFECTIVE = 0.25
"""Least effective number of components after conditioning, relative to that before."""


class ExactPosterior:
    """A weighted mixture of :class:`Component`, one per set of hyperparameters."""

    def __init__(self, components: list[Component], weights: np.ndarray) -> None:
        self.components = components
        self.weights = weights / weights.sum()

    @classmethod
    @torch.no_grad()
    def of(
        cls, prior: Prior, data: Data | Sequence[Data | Kept], draws: np.ndarray, weights: np.ndarray | None = None
    ) -> ExactPosterior:
        """One component per row of ``draws`` (S, P) that can be factorised; ``data`` may be a list, one entry per row.

        Raises
        ------
        torch.linalg.LinAlgError
            If no row can be factorised.
        """
        weights = np.ones(len(draws)) if weights is None else weights
        components, component_weights = [], []
        data_per_draw = data if isinstance(data, Sequence) else [data] * len(draws)
        with threads_for(max(map(len, data_per_draw))):
            for labels, raw, weight in zip(data_per_draw, draws, weights, strict=True):
                prior_at_raw = copy.deepcopy(prior)
                set_raw(prior_at_raw, raw)
                try:
                    components.append(component_of(prior_at_raw, labels))
                except torch.linalg.LinAlgError:
                    continue
                component_weights.append(weight)
        if not components:
            raise torch.linalg.LinAlgError("no set of hyperparameters gives a positive definite covariance")
        return cls(components, np.asarray(component_weights))

    @property
    def draws(self) -> np.ndarray:
        """The raw hyperparameters of each component, (S, P)."""
        return np.stack([get_raw(c.prior) for c in self.components])

    @property
    def full(self) -> bool:
        """Whether no component is summarised by inducing values."""
        return all(c.full for c in self.components)

    @property
    def jitter(self) -> float:
        """The largest jitter that a component needed."""
        return max(c.jitter for c in self.components)

    @torch.no_grad()
    def condition(self, extra: Data) -> ExactPosterior:
        """The posterior given more labels; the weights follow :func:`reweighted`."""
        components, log_densities = zip(*(component.extended(extra) for component in self.components), strict=True)
        return ExactPosterior(list(components), reweighted(self.weights, np.array(log_densities)))

    @torch.no_grad()
    def process(self, p: int, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Mean (S, k) and covariance (S, k, k) of the process ``u_p`` at ``points``."""
        means, covariances = [], []
        for c in self.components:
            mean, covariance = c.process(p, points)
            means.append(mean.numpy())
            covariances.append(covariance.numpy())
        return np.stack(means), np.stack(covariances)

    def at(self, x: Tensor, group: Tensor, row: Tensor) -> ExactLatent:
        """The latent values of rows ``x`` (n, d) with codes (n,) of their groups and rows, for all tasks."""
        return ExactLatent(self.components, self.weights, x, group, row)


def component_of(prior: Prior, data: Data | Kept) -> Component:
    """The component of a prior at its present hyperparameters: exact, or summarised where there are many labels.

    Raises
    ------
    torch.linalg.LinAlgError
        If the covariance of the labels cannot be factorised.
    """
    if isinstance(data, Kept):
        return Summarised.by(prior, data.summary(prior))
    kind = Summarised if len(data.points.x) > inducing.FULL_LABELS else Component
    return kind.of(prior, data)


def reweighted(weights: np.ndarray, log_densities: np.ndarray) -> np.ndarray:
    """Weights (S,) times the largest power, at most one, of densities that leaves enough components effective.

    The effective number of components is ``1 / sum_s w_s^2`` (Kong 1992), and falls to at least :data:`LEAST_EFFECTIVE` of
    what it was.  With a few dozen components a Pareto tail (Vehtari et al. 2024, *Pareto smoothed importance sampling*)
    cannot be fitted: it takes more draws in the tail than there are.
    """
    least = LEAST_EFFECTIVE / (weights**2).sum()
    relative = log_densities - log_densities.max()

    def at(power: float) -> np.ndarray:
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights) + np.where(np.isneginf(log_densities), -np.inf, power * relative)
        return np.exp(log_weights - logsumexp(log_weights))

    if 1.0 / (at(1.0) ** 2).sum() >= least:
        return at(1.0)
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if 1.0 / (at(middle) ** 2).sum() >= least else (low, middle)
    return at(low)
