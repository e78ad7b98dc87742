"""The exact posterior given Gaussian labels, averaged over hyperparameters: ``p(f | y) = sum_s w_s p(f | y, theta_s)``.

There is one component per set of hyperparameters theta_s: one at their maximum, or several from the Laplace
approximation or a Markov chain.  New labels ``y+`` update the components, and multiply the weights by
``p(y+ | y, theta_s)``.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from bayestl.inference.gaussian.component import Component
from bayestl.inference.gaussian.labels import Data
from bayestl.inference.gaussian.latent import ExactLatent
from bayestl.inference.threads import threads_for
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Points
from bayestl.priors.vector import get_raw, set_raw


class ExactPosterior:
    """A weighted mixture of :class:`Component`, one per set of hyperparameters."""

    def __init__(self, components: list[Component], weights: np.ndarray) -> None:
        self.components = components
        self.weights = weights / weights.sum()

    @classmethod
    @torch.no_grad()
    def of(
        cls, prior: Prior, data: Data | list[Data], draws: np.ndarray, weights: np.ndarray | None = None
    ) -> ExactPosterior:
        """One component per row of ``draws`` (S, P) that can be factorised; ``data`` may be a list, one entry per row.

        Raises
        ------
        torch.linalg.LinAlgError
            If no row can be factorised.
        """
        weights = np.ones(len(draws)) if weights is None else weights
        components, component_weights = [], []
        data_per_draw = data if isinstance(data, list) else [data] * len(draws)
        with threads_for(max(map(len, data_per_draw))):
            for labels, raw, weight in zip(data_per_draw, draws, weights, strict=True):
                prior_at_raw = copy.deepcopy(prior)
                set_raw(prior_at_raw, raw)
                try:
                    components.append(Component.of(prior_at_raw, labels))
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
    def jitter(self) -> float:
        """The largest jitter that a component needed."""
        return max(c.jitter for c in self.components)

    @torch.no_grad()
    def condition(self, extra: Data) -> ExactPosterior:
        """The posterior given more labels, the weights multiplied by the predictive density of these labels."""
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
