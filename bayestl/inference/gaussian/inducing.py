"""Inducing values, for more labels than a full covariance matrix can hold.

    q(f) = p(f | u) q(u),     q(u) proportional to p(u) prod_i N(y_i | a_i' u, v_i),     a_i = K_uu^-1 k_u(i)

with ``u`` the latent values at the points of some of the labels.  ``q(u)`` equals the posterior given M Gaussian labels
of ``u`` itself with a full noise covariance (Titsias 2009, *Variational learning of inducing variables*), so these
labels represent it, and prediction and further conditioning are as for exact ones.  Labels that are not Gaussian have
pseudo-labels here as well, fitted with the marginals of ``q(f)``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bayestl.inference.gaussian.labels import Data, Labels, noise_variance, stratified
from bayestl.inference.gaussian.sites import Observations
from bayestl.kernels.cholesky import cholesky
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Points

FULL_LABELS = 8000
"""Largest number of latent values of labels for a full covariance matrix, of 0.5 GB."""
INDUCING = 2000
"""Number of inducing values for more."""
CHUNK = 4096
"""Number of labels processed at a time, which bounds the memory."""
ITERATIONS = 30
"""Largest number of updates of the sites."""
TOLERANCE = 1e-4
"""The sites have converged when the means change by less than this, scaled units."""
LEAST_INFORMATION = 1e-8
"""Least information about a direction of ``u``, relative to its prior."""
JITTER = 1e-8
"""Jitter of the covariance of the inducing values, scaled units."""


class Summary(NamedTuple):
    """Gaussian labels of ``u`` for many labels, and the factor (M, M) of ``K_uu`` plus their noise covariance."""

    labels: Labels
    factor: Tensor


def summarise(prior: Prior, data: Data, n_inducing: int, seed: int = 0) -> Summary:
    """The labels summarised as Gaussian labels at ``n_inducing`` of their points.

    Raises
    ------
    torch.linalg.LinAlgError
        If a covariance cannot be factorised.
    """
    points = data.points
    task = points.task.numpy()
    generator = np.random.default_rng(seed)
    chosen = torch.from_numpy(stratified(task, np.arange(len(task)), min(n_inducing, len(task)), generator))
    at = points.at(chosen)
    root, _ = cholesky(prior.covariance(at, at), torch.full((len(chosen),), JITTER, dtype=torch.float64))
    linear, precision = _settle(prior, data, at, root)
    information, linear_u = _gather(prior, points, at, root, linear, precision)
    # in whitened coordinates w = root^-1 u the prior is I and the labels have this precision
    values, vectors = torch.linalg.eigh(information)
    values = values.clamp_min(LEAST_INFORMATION)
    target = vectors @ ((vectors.T @ linear_u) / values)
    spread = root @ (vectors * ((1.0 + values) / values).sqrt())
    factor = torch.linalg.qr(spread.T, mode="r").R.T
    factor = factor * factor.diagonal().sign()
    y = root @ target
    site = torch.ones(len(chosen), dtype=torch.bool)
    return Summary(Labels(at, y, torch.zeros_like(y), site), factor)


def _features(prior: Prior, points: Points, at: Points, root: Tensor) -> Tensor:
    """``A`` (n, M) with ``f = A w`` in mean, ``w`` the whitened inducing values."""
    return torch.linalg.solve_triangular(root, prior.covariance(at, points), upper=False).T


def _gather(
    prior: Prior, points: Points, at: Points, root: Tensor, linear: Tensor, precision: Tensor
) -> tuple[Tensor, Tensor]:
    """Precision (M, M) and precision-times-mean (M,) of ``w`` from labels with these natural parameters."""
    m = len(at.x)
    information, total = torch.zeros(m, m, dtype=torch.float64), torch.zeros(m, dtype=torch.float64)
    for start in range(0, len(linear), CHUNK):
        rows = slice(start, start + CHUNK)
        a = _features(prior, points.at(rows), at, root)
        information += a.T @ (a * precision[rows, None])
        total += a.T @ linear[rows]
    return information, total


def _settle(prior: Prior, data: Data, at: Points, root: Tensor) -> tuple[Tensor, Tensor]:
    """Natural parameters (N,) of all labels; those of non-Gaussian labels converged with the marginals of ``q(f)``."""
    if isinstance(data, Labels):
        precision = 1.0 / noise_variance(prior, data)
        return precision * data.y, precision
    assert isinstance(data, Observations)
    points, prior_variance = data.points, prior.variance(data.points)
    linear, precision = data.sites_for(prior, torch.zeros_like(prior_variance), prior_variance)
    previous_mean = torch.full_like(linear, math.inf)
    for iteration in range(ITERATIONS):
        information, total = _gather(prior, points, at, root, linear, precision)
        factor, _ = cholesky(information, torch.ones(len(total), dtype=torch.float64))
        weights = torch.cholesky_solve(total[:, None], factor)[:, 0]
        mean, variance = torch.empty_like(linear), torch.empty_like(linear)
        for start in range(0, len(linear), CHUNK):
            rows = slice(start, start + CHUNK)
            a = _features(prior, points.at(rows), at, root)
            half = torch.linalg.solve_triangular(factor, a.T, upper=False)
            mean[rows] = a @ weights
            variance[rows] = prior_variance[rows] - (a * a).sum(1) + (half * half).sum(0)
        target_linear, target_precision = data.sites_for(prior, mean, variance.clamp_min(1e-10))
        step = 1.0 if iteration < 5 else 0.5
        linear, precision = linear + step * (target_linear - linear), precision + step * (target_precision - precision)
        if float((mean - previous_mean).abs().max()) < TOLERANCE:
            break
        previous_mean = mean
    return linear, precision
