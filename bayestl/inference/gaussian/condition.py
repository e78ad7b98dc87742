"""Conditioning: the posterior of latent values given Gaussian labels, averaged over hyperparameters.

    p(f | y) = sum_s w_s N(f | K_s* (K_s + D_s)^-1 y, K_s** - K_s* (K_s + D_s)^-1 K_*s)

One component a set of hyperparameters: one at their maximum, several from the Laplace approximation (or, later, from
MCMC).  New labels are conditioned on exactly, by extending the Cholesky factor, and shift the weights.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from bayestl.inference.gaussian.component import Component
from bayestl.inference.gaussian.labels import Data
from bayestl.inference.gaussian.latent import (
    ExactLatent,
)
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Points
from bayestl.priors.vector import get_raw, set_raw


class ExactPosterior:
    """A mixture of :class:`Component` over hyperparameters."""

    def __init__(self, components: list[Component], weights: np.ndarray) -> None:
        self.components = components
        self.weights = weights / weights.sum()

    @classmethod
    @torch.no_grad()
    def of(
        cls, prior: Prior, data: Data | list[Data], draws: np.ndarray, weights: np.ndarray | None = None
    ) -> ExactPosterior:
        """A component for each row of ``draws`` (S, P) that can be factorised; ``data`` may be one for each.

        Raises
        ------
        torch.linalg.LinAlgError
            If none can.
        """
        weights = np.ones(len(draws)) if weights is None else weights
        components, kept = [], []
        each = data if isinstance(data, list) else [data] * len(draws)
        for own_data, raw, weight in zip(each, draws, weights, strict=True):
            own = copy.deepcopy(prior)
            set_raw(own, raw)
            try:
                components.append(Component.of(own, own_data))
            except torch.linalg.LinAlgError:
                continue
            kept.append(weight)
        if not components:
            raise torch.linalg.LinAlgError("no set of hyperparameters gives a positive definite covariance")
        return cls(components, np.asarray(kept))

    @property
    def draws(self) -> np.ndarray:
        """The raw hyperparameters of each component, (S, P)."""
        return np.stack([get_raw(c.prior) for c in self.components])

    @property
    def jitter(self) -> float:
        """The largest that any component needed."""
        return max(c.jitter for c in self.components)

    @torch.no_grad()
    def condition(self, extra: Data) -> ExactPosterior:
        """Given more labels, with the hyperparameters' weights updated by how well each predicted them."""
        pairs = [component.extended(extra) for component in self.components]
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights) + np.array([log_density for _, log_density in pairs])
        return ExactPosterior([c for c, _ in pairs], np.exp(log_weights - logsumexp(log_weights)))

    @torch.no_grad()
    def process(self, p: int, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Mean (S, k) and covariance (S, k, k) of the process ``u_p`` at ``points``."""
        means, covariances = [], []
        for c in self.components:
            mean, half = c.project(c.prior.process_covariance(p, points, c.labels.points))
            means.append(mean.numpy())
            covariances.append((c.prior[p].covariance(points, points) - half.T @ half).numpy())
        return np.stack(means), np.stack(covariances)

    def at(self, x: Tensor, group: Tensor) -> ExactLatent:
        """The latent values of rows ``x`` (n, d) with group codes (n,), for all tasks."""
        return ExactLatent(self.components, self.weights, x, group)
