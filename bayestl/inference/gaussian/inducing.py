"""Inducing values, for more labels than a full covariance matrix can hold.

    q(f) = p(f | u) q(u),     q(u) proportional to p(u) prod_i N(y_i | a_i' u, v_i),     a_i = K_uu^-1 k_u(i)

with ``u`` the latent values at the points of some of the labels.  ``q(u)`` equals the posterior given M Gaussian labels
of ``u`` itself with a full noise covariance (Titsias 2009, *Variational learning of inducing variables*), so these
labels represent it, and prediction and further conditioning are as for exact ones.  Labels that are not Gaussian have
pseudo-labels here as well, fitted with the marginals of ``q(f)``.

What is of one row alone (row effects) no inducing value can hold: there ``f`` are the functions of x, and row effects are
noise that is correlated within a row.  Given the functions, they follow from the row's own labels, which
:class:`RowLabels` keeps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
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
CHUNK = 2048
"""Number of rows processed at a time, which bounds the memory."""
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
    own: RowLabels


class GivenFunctions(NamedTuple):
    """Latent values ``f = T f(x) + s + N(0, V)`` of k of n rows, given their functions of x and their own labels."""

    rows: Tensor
    """Positions (k,) of the rows."""
    transform: Tensor
    """``T`` (k, C, C)"""
    shift: Tensor
    """``s`` (k, C)"""
    rest: Tensor
    """``V`` (k, C, C)"""
    prior: Tensor
    """Covariance (k, C, C) of what is of the row alone, without its labels."""

    def marginal(self, mean: Tensor, covariance: Tensor) -> None:
        """Change the means (n, C) and covariances (n, C, C) of rows whose labels were left out, in place."""
        t, at = self.transform, self.rows
        mean[at] = self.shift + (t @ mean[at][..., None])[..., 0]
        covariance[at] = t @ (covariance[at] - self.prior) @ t.mT + self.rest

    def joint(self, mean: Tensor, covariance: Tensor) -> None:
        """The same for the mean (C n,) and covariance (C n, C n) of all rows together, function by function."""
        n_channels = self.shift.shape[1]
        n, (k, channels) = len(mean) // n_channels, (len(self.rows), torch.arange(n_channels))
        place = (self.rows[:, None] + n * channels).ravel()  # row by row
        blocks = [torch.block_diag(*v) if k else torch.zeros(0, 0) for v in (self.transform, self.rest, self.prior)]
        t, rest, prior = blocks
        mean[place] = self.shift.ravel() + t @ mean[place]
        covariance[place[:, None], place] -= prior
        covariance[place] = t @ covariance[place]
        covariance[:, place] = covariance[:, place] @ t.T
        covariance[place[:, None], place] += rest


class RowLabels:
    """The (pseudo-)labels of each row, for what is of that row alone: ``y = f(x) + Lambda e + noise``, ``e ~ N(0, I)``.

    Parameters
    ----------
    prior : Prior
        At the hyperparameters of the labels' posterior.
    points : Points
        The latent values of the labels.
    y, variance : Tensor, shape (N,)
        The (pseudo-)labels and their noise variances.
    """

    def __init__(self, prior: Prior, points: Points, y: Tensor, variance: Tensor) -> None:
        self._prior, self._task, self._y, self._variance = prior, points.task, y, variance
        self.loadings = prior.row_loadings(points)
        _, row, count = torch.unique(points.row, return_inverse=True, return_counts=True)
        self._places = torch.argsort(row, stable=True).split(count.tolist())
        self._of_row = {int(points.row[place[0]]): place for place in self._places}

    def blocks(self, most: int = CHUNK) -> Iterator[Tensor]:
        """Positions (r, k) of the labels of rows that have k labels, at most ``most`` rows at a time."""
        by_count: dict[int, list[Tensor]] = {}
        for place in self._places:
            by_count.setdefault(len(place), []).append(place)
        for places in by_count.values():
            yield from torch.stack(places).split(most)

    def noise(self, place: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """``Lambda Lambda'`` (r, k, k) of labels (r, k), and that plus their noise variances, those of all N."""
        loadings = self.loadings[place]
        shared = loadings @ loadings.mT
        return shared, shared + torch.diag_embed(variance[place])

    def given(self, at: Points, n_channels: int) -> GivenFunctions:
        """The latent values of those of n rows that have labels here, given their functions of x and these labels."""
        rows = [i for i, row in enumerate(at.row.tolist()) if row in self._of_row]
        at = at.at(torch.tensor(rows, dtype=torch.long))
        everywhere = [at._replace(task=torch.full_like(at.task, c)) for c in range(n_channels)]
        loadings = torch.stack([self._prior.row_loadings(points) for points in everywhere], dim=1)
        prior = loadings @ loadings.mT
        transform = torch.eye(n_channels, dtype=loadings.dtype).repeat(len(rows), 1, 1)
        shift, rest = loadings.new_zeros(len(rows), n_channels), prior.clone()
        for i, row in enumerate(at.row.tolist()):
            place = self._of_row[row]
            cross = loadings[i] @ self.loadings[place].T
            _, noisy = self.noise(place, self._variance)
            gain = torch.linalg.solve(noisy, cross.T).T
            shift[i] = gain @ self._y[place]
            transform[i].index_add_(1, self._task[place], -gain)
            rest[i] -= gain @ cross.T
        return GivenFunctions(torch.tensor(rows, dtype=torch.long), transform, shift, rest, prior)


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
    at = points.at(chosen).of_functions()
    root, _ = cholesky(prior.covariance(at, at), torch.full((len(chosen),), JITTER, dtype=torch.float64))
    own = RowLabels(prior, points, torch.zeros(len(task)), torch.zeros(len(task)))
    linear, precision = _settle(prior, data, own, at, root)
    information, linear_u = _gather(prior, points, own, at, root, linear, precision)
    # in whitened coordinates w = root^-1 u the prior is I and the labels have this precision
    values, vectors = torch.linalg.eigh(information)
    values = values.clamp_min(LEAST_INFORMATION)
    target = vectors @ ((vectors.T @ linear_u) / values)
    spread = root @ (vectors * ((1.0 + values) / values).sqrt())
    factor = torch.linalg.qr(spread.T, mode="r").R.T
    factor = factor * factor.diagonal().sign()
    y = root @ target
    site = torch.ones(len(chosen), dtype=torch.bool)
    labels = Labels(at, y, torch.zeros_like(y), site)
    return Summary(labels, factor, RowLabels(prior, points, linear / precision, 1.0 / precision))


def _features(prior: Prior, points: Points, at: Points, root: Tensor) -> Tensor:
    """``A`` (n, M) with ``f(x) = A w`` in mean, ``w`` the whitened inducing values."""
    return torch.linalg.solve_triangular(root, prior.covariance(at, points), upper=False).T


def _gather(
    prior: Prior, points: Points, own: RowLabels, at: Points, root: Tensor, linear: Tensor, precision: Tensor
) -> tuple[Tensor, Tensor]:
    """Precision (M, M) and precision-times-mean (M,) of ``w`` from labels with these natural parameters.

    The noise of a row's labels is correlated by what is of the row alone; whitened, they are independent labels.
    """
    m = len(at.x)
    information, total = torch.zeros(m, m, dtype=torch.float64), torch.zeros(m, dtype=torch.float64)
    for place in own.blocks():
        a = _features(prior, points.at(place.ravel()), at, root).view(*place.shape, m)
        _, noisy = own.noise(place, 1.0 / precision)
        both = torch.cat([a, (linear / precision)[place][..., None]], dim=-1)
        white = torch.linalg.solve_triangular(torch.linalg.cholesky(noisy), both, upper=False).flatten(0, 1)
        information += white[:, :-1].T @ white[:, :-1]
        total += white[:, :-1].T @ white[:, -1]
    return information, total


def _settle(prior: Prior, data: Data, own: RowLabels, at: Points, root: Tensor) -> tuple[Tensor, Tensor]:
    """Natural parameters (N,) of all labels; those of non-Gaussian labels converged with the marginals of ``q(f)``."""
    if isinstance(data, Labels):
        precision = 1.0 / noise_variance(prior, data)
        return precision * data.y, precision
    assert isinstance(data, Observations)
    points, prior_variance = data.points, prior.variance(data.points)
    function_variance = prior_variance - (own.loadings**2).sum(1)
    linear, precision = data.sites_for(prior, torch.zeros_like(prior_variance), prior_variance)
    previous_mean = torch.full_like(linear, math.inf)
    for iteration in range(ITERATIONS):
        information, total = _gather(prior, points, own, at, root, linear, precision)
        factor, _ = cholesky(information, torch.ones(len(total), dtype=torch.float64))
        weights = torch.cholesky_solve(total[:, None], factor)[:, 0]
        mean, variance = torch.empty_like(linear), torch.empty_like(linear)
        for place in own.blocks():
            a = _features(prior, points.at(place.ravel()), at, root)
            half = torch.linalg.solve_triangular(factor, a.T, upper=False).T.view(*place.shape, -1)
            left = function_variance[place] - (a * a).sum(1).view(place.shape)
            spread = half @ half.mT + torch.diag_embed(left.clamp_min(0.0))
            shared, noisy = own.noise(place, 1.0 / precision)
            gain = torch.linalg.solve(noisy, shared).mT
            rest = torch.eye(place.shape[1], dtype=gain.dtype) - gain
            centre = (a @ weights).view(place.shape)
            mean[place] = centre + (gain @ ((linear / precision)[place] - centre)[..., None])[..., 0]
            variance[place] = (rest @ spread @ rest.mT + rest @ shared).diagonal(dim1=-2, dim2=-1)
        target_linear, target_precision = data.sites_for(prior, mean, variance.clamp_min(1e-10))
        step = 1.0 if iteration < 5 else 0.5
        linear, precision = linear + step * (target_linear - linear), precision + step * (target_precision - precision)
        if float((mean - previous_mean).abs().max()) < TOLERANCE:
            break
        previous_mean = mean
    return linear, precision
