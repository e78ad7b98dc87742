"""Conditioning: the posterior of latent values given Gaussian labels, averaged over hyperparameters.

    p(f | y) = sum_s w_s N(f | K_s* (K_s + D_s)^-1 y, K_s** - K_s* (K_s + D_s)^-1 K_*s)

One component a set of hyperparameters: one at their maximum, several from the Laplace approximation (or, later, from
MCMC).  New labels are conditioned on exactly, by extending the Cholesky factor, and shift the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bayestl.inference.gaussian import inducing
from bayestl.inference.gaussian.labels import Data, Labels, noise_variance
from bayestl.kernels.cholesky import cholesky
from bayestl.priors.prior import Prior


@dataclass(frozen=True)
class Component:
    """The labels under one set of hyperparameters: ``factor`` of their covariance, ``whitened`` = factor^-1 y."""

    prior: Prior
    labels: Labels
    factor: Tensor
    whitened: Tensor
    jitter: float
    full: bool = True
    """Whether the labels stand for themselves, not for more of them (see ``inference/inducing.py``)."""

    @classmethod
    def of(cls, prior: Prior, data: Data) -> Component:
        """Factorise; raises ``torch.linalg.LinAlgError`` where that fails."""
        if len(data.points.x) > inducing.FULL_LABELS:
            labels, factor = inducing.summarise(prior, data, inducing.INDUCING)
            return cls(prior, labels, factor, _solve(factor, labels.y), 0.0, full=False)
        labels, _ = data.conditioned(prior)
        factor, jitter = cholesky(prior.covariance(labels.points, labels.points), noise_variance(prior, labels))
        return cls(prior, labels, factor, _solve(factor, labels.y), jitter)

    def extended(self, data: Data) -> tuple[Component, float]:
        """With more labels, and their log predictive density (a bound on it where they are not Gaussian)."""
        points = data.points
        cross = _solve(self.factor, self.prior.covariance(self.labels.points, points))
        schur = self.prior.covariance(points, points) - cross.T @ cross
        mean = cross.T @ self.whitened
        extra, correction = data.conditioned(self.prior, mean, schur)
        corner, _ = cholesky(schur, noise_variance(self.prior, extra))
        n, m = len(self.labels), len(extra)
        factor = self.factor.new_zeros(n + m, n + m)
        factor[:n, :n], factor[n:, :n], factor[n:, n:] = self.factor, cross.T, corner
        whitened = _solve(corner, extra.y - mean)
        log_density = (
            -0.5 * float(whitened @ whitened) - float(corner.diagonal().log().sum()) - 0.5 * m * np.log(2 * np.pi)
        )
        both = self.labels.join(extra)
        component = Component(self.prior, both, factor, torch.cat([self.whitened, whitened]), self.jitter)
        return component, log_density + correction

    def project(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of quantities whose covariance with the labels is (k, N), and ``factor^-1 covariance'`` (N, k)."""
        half = _solve(self.factor, covariance.T)
        return half.T @ self.whitened, half


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    columns = right if right.ndim == 2 else right[:, None]
    out = torch.linalg.solve_triangular(factor, columns, upper=False)
    return out if right.ndim == 2 else out[:, 0]
