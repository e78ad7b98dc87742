"""The posterior of latent values given Gaussian labels, under one set of hyperparameters.

    p(f | y) = N(f | K_* C^-1 y,  K_** - K_* C^-1 K_*'),        C = K + D = L L'

New labels extend the Cholesky factor L by a block of rows, so conditioning on them costs no second factorisation of C.
Rasmussen, Williams 2006, *Gaussian processes for machine learning*, algorithm 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bayestl.inference.gaussian.labels import Data, Labels, noise_variance
from bayestl.inference.gaussian.within_rows import Functions
from bayestl.kernels.cholesky import cholesky
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Points


class Predictive(NamedTuple):
    """Latent values of k points given the labels of a component."""

    cross: Tensor
    """``L^-1 cov(labels, f)``, shape (N, k)."""
    mean: Tensor
    covariance: Tensor
    a: Tensor | None = None
    """Their features (k, M), where inducing values stand for the labels."""


@dataclass(frozen=True)
class Component:
    """The labels under one set of hyperparameters: ``factor`` L of their covariance, and ``whitened`` = ``L^-1 y``."""

    prior: Prior
    labels: Labels
    factor: Tensor
    whitened: Tensor
    jitter: float

    @classmethod
    def of(cls, prior: Prior, data: Data) -> Component:
        """The component of a prior at its present hyperparameters.

        Raises
        ------
        torch.linalg.LinAlgError
            If the covariance of the labels cannot be factorised.
        """
        labels, _ = data.conditioned(prior)
        factor, jitter = cholesky(prior.covariance(labels.points, labels.points), noise_variance(prior, labels))
        return cls(prior, labels, factor, solve(factor, labels.y), jitter)

    full = True
    """Whether ``labels`` are all labels, not inducing values."""
    rows_at_once = 512
    """Number of rows predicted at a time, which bounds the memory for cross-covariances."""

    def completed(self, cross: Tensor) -> Tensor:
        """Covariances (N, k) of all labels with some quantities, from those with ``labels``."""
        return cross

    def predictive(self, points: Points) -> Predictive:
        """The latent values of points given the labels."""
        cross = solve(self.factor, self.prior.covariance(self.labels.points, points))
        return Predictive(cross, cross.T @ self.whitened, self.prior.covariance(points, points) - cross.T @ cross)

    def extended(self, data: Data) -> tuple[Component, float]:
        """The component with more labels, and their log predictive density (a bound on it if they are not Gaussian)."""
        predictive = self.predictive(data.points)
        extra, correction = data.conditioned(self.prior, predictive.mean, predictive.covariance)
        predictive = self._in_turn(extra, predictive)
        corner, _ = cholesky(predictive.covariance, noise_variance(self.prior, extra))
        n, m = len(self.factor), len(extra)
        factor = self.factor.new_zeros(n + m, n + m)
        factor[:n, :n], factor[n:, :n], factor[n:, n:] = self.factor, predictive.cross.T, corner
        whitened = solve(corner, extra.y - predictive.mean)
        log_density = (
            -0.5 * float(whitened @ whitened) - float(corner.diagonal().log().sum()) - 0.5 * m * np.log(2 * np.pi)
        )
        component = self._with(extra, predictive, factor, torch.cat([self.whitened, whitened]))
        return component, log_density + correction

    def _in_turn(self, extra: Labels, predictive: Predictive) -> Predictive:
        """The latent values of further labels, in which the labels of one row may inform those of the next."""
        return predictive

    def _with(self, extra: Labels, predictive: Predictive, factor: Tensor, whitened: Tensor) -> Component:
        """The component with more labels and these arrays."""
        return replace(self, labels=self.labels.join(extra), factor=factor, whitened=whitened)

    def within_rows(self, at: Points) -> tuple[Tensor, Tensor]:
        """Means (n, C) and covariances (n, C, C) of all latent values of each of n rows."""
        return self._functions.given(at, self.factor, self.whitened)

    @cached_property
    def _functions(self) -> Functions:
        """The functions of the prior and what the labels know of them."""
        return Functions(self.prior, self.labels.points)

    def of_rows(self, at: Points) -> tuple[Tensor, Tensor]:
        """Mean (C n,) and covariance (C n, C n) of all latent values of n rows, function by function."""
        everywhere = at.every_task(self.prior.n_tasks)
        mean, half = self.project(self.prior.covariance(everywhere, self.labels.points))
        return mean, self.prior.covariance(everywhere, everywhere) - half.T @ half

    def between(self, at: Points, others: Points) -> Tensor:
        """Covariance (C n, C k) of all latent values of n rows with those of k others, function by function."""
        first, second = (points.every_task(self.prior.n_tasks) for points in (at, others))
        half, other_half = (solve(self.factor, self.prior.covariance(self.labels.points, p)) for p in (first, second))
        return self.prior.covariance(first, second) - half.T @ other_half

    def process(self, p: int, points: Points) -> tuple[Tensor, Tensor]:
        """Mean (k,) and covariance (k, k) of the process ``u_p`` at points."""
        cross = self.completed(self.prior.process_covariance(p, points, self.labels.points).T)
        mean, half = self.project(cross.T)
        return mean, self.prior[p].covariance(points, points) - half.T @ half

    def project(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (k,) of quantities whose covariance with the labels is (k, N), and ``L^-1 covariance'`` (N, k)."""
        half = solve(self.factor, covariance.T)
        return half.T @ self.whitened, half


def solve(factor: Tensor, right: Tensor) -> Tensor:
    """``L^-1 right`` for right sides (N,) or (N, k)."""
    columns = right if right.ndim == 2 else right[:, None]
    solution = torch.linalg.solve_triangular(factor, columns, upper=False)
    return solution if right.ndim == 2 else solution[:, 0]
