"""More labels than a full covariance can hold: the posterior through inducing values.

    q(f) = p(f | u) q(u),     q(u) proportional to p(u) prod_i N(y_i | a_i' u, v_i),     a_i = K_uu^-1 k_u(i)

with ``u`` the latent values at some of the labels' own points.  ``q(u)`` is what Gaussian labels of ``u`` itself would give
(Titsias 2009, *Variational learning of inducing variables*), so it is handed on as M such labels with a full noise
covariance, and prediction and further conditioning go on as with exact ones.  Labels that are not Gaussian are pseudo-labels
here as well, settled with the marginals of ``q(f)``.
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
"""Latent values of labels up to which the covariance is full: 0.5 GB a matrix."""
INDUCING = 2000
"""Inducing values beyond."""
CHUNK = 4096
ITERATIONS = 30
TOLERANCE = 1e-4
"""Sites are settled when the means move less than this, scaled units."""
LEAST = 1e-8
"""Information about a direction of ``u``, relative to its prior, below which it counts as this."""
JITTER = 1e-8


class Summary(NamedTuple):
    """What many labels say about ``u``: labels at its points, and the factor (M, M) of ``K_uu`` plus their noise covariance."""

    labels: Labels
    factor: Tensor


def summarise(prior: Prior, data: Data, n_inducing: int, seed: int = 0) -> Summary:
    """The labels as Gaussian labels at ``n_inducing`` of their own points.

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
    values = values.clamp_min(LEAST)
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
    """Precision (M, M) and precision-times-mean (M,) that labels with these natural parameters give ``w``."""
    m = len(at.x)
    information, total = torch.zeros(m, m, dtype=torch.float64), torch.zeros(m, dtype=torch.float64)
    for start in range(0, len(linear), CHUNK):
        rows = slice(start, start + CHUNK)
        a = _features(prior, points.at(rows), at, root)
        information += a.T @ (a * precision[rows, None])
        total += a.T @ linear[rows]
    return information, total


def _settle(prior: Prior, data: Data, at: Points, root: Tensor) -> tuple[Tensor, Tensor]:
    """Natural parameters (N,) of all labels, those that are not Gaussian settled with the marginals of ``q(f)``."""
    if isinstance(data, Labels):
        precision = 1.0 / noise_variance(prior, data)
        return precision * data.y, precision
    assert isinstance(data, Observations)
    points, variance0 = data.points, prior.variance(data.points)
    linear, precision = data.sites_for(prior, torch.zeros_like(variance0), variance0)
    before = torch.full_like(linear, math.inf)
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
            variance[rows] = variance0[rows] - (a * a).sum(1) + (half * half).sum(0)
        aim = data.sites_for(prior, mean, variance.clamp_min(1e-10))
        step = 1.0 if iteration < 5 else 0.5
        linear, precision = linear + step * (aim[0] - linear), precision + step * (aim[1] - precision)
        if float((mean - before).abs().max()) < TOLERANCE:
            break
        before = mean
    return linear, precision
