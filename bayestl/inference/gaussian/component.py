"""The posterior of latent values given Gaussian labels, under one set of hyperparameters.

    p(f | y) = N(f | K_* C^-1 y,  K_** - K_* C^-1 K_*'),        C = K + D = L L'

New labels extend the Cholesky factor L by a block of rows, so conditioning on them costs no second factorisation of C.
Rasmussen, Williams 2006, *Gaussian processes for machine learning*, algorithm 2.1.
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
    """The labels under one set of hyperparameters: ``factor`` L of their covariance, and ``whitened`` = ``L^-1 y``."""

    prior: Prior
    labels: Labels
    factor: Tensor
    whitened: Tensor
    jitter: float
    own: inducing.RowLabels | None = None
    """The labels themselves, row by row, where ``labels`` are inducing values that summarise them."""

    @classmethod
    def of(cls, prior: Prior, data: Data) -> Component:
        """The component of a prior at its present hyperparameters.

        Raises
        ------
        torch.linalg.LinAlgError
            If the covariance of the labels cannot be factorised.
        """
        if len(data.points.x) > inducing.FULL_LABELS:
            labels, factor, own = inducing.summarise(prior, data, inducing.INDUCING)
            return cls(prior, labels, factor, _solve(factor, labels.y), 0.0, own)
        labels, _ = data.conditioned(prior)
        factor, jitter = cholesky(prior.covariance(labels.points, labels.points), noise_variance(prior, labels))
        return cls(prior, labels, factor, _solve(factor, labels.y), jitter)

    @property
    def full(self) -> bool:
        """Whether ``labels`` are all labels, not inducing values."""
        return self.own is None

    def extended(self, data: Data) -> tuple[Component, float]:
        """The component with more labels, and their log predictive density (a bound on it if they are not Gaussian)."""
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
        labels = self.labels.join(extra)
        component = Component(self.prior, labels, factor, torch.cat([self.whitened, whitened]), self.jitter, self.own)
        return component, log_density + correction

    def project(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (k,) of quantities whose covariance with the labels is (k, N), and ``L^-1 covariance'`` (N, k)."""
        half = _solve(self.factor, covariance.T)
        return half.T @ self.whitened, half


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    columns = right if right.ndim == 2 else right[:, None]
    solution = torch.linalg.solve_triangular(factor, columns, upper=False)
    return solution if right.ndim == 2 else solution[:, 0]
