"""Inducing values, for more labels than a full covariance matrix can hold.

    q(f) = p(f | u) q(u),     q(u) proportional to p(u) prod_i N(y_i | a_i' u, v_i),     a_i = K_uu^-1 k_u(i)

with ``u`` the latent values at the points of some of the labels.  ``q(u)`` equals the posterior given M Gaussian labels
of ``u`` itself with a full noise covariance (Titsias 2009, *Variational learning of inducing variables*), so these
labels represent it, and prediction and further conditioning are as for exact ones.  Labels that are not Gaussian have
pseudo-labels here as well, fitted with the marginals of ``q(f)``.

What the inducing values leave of a row, its row effect and finer detail of the functions, is noise that is correlated within
the row (:class:`RowLabels`).  A prediction adds what the row's own labels and those near it say of it
(:mod:`bayestl.inference.gaussian.large.neighbours`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bayestl import streams
from bayestl.inference.gaussian.labels import Data, Labels, noise_variance, stratified
from bayestl.inference.gaussian.large.neighbours import JITTER, Neighbours, features
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
LEAST_INFORMATION = 1e-8
"""Least information about a direction of ``u``, relative to its prior."""


class Summary(NamedTuple):
    """Gaussian labels of ``u`` for many labels, and the factor (M, M) of ``K_uu`` plus their noise covariance."""

    labels: Labels
    factor: Tensor
    root: Tensor
    """Cholesky factor (M, M) of ``K_uu``."""
    near: Neighbours
    chosen: Tensor
    """Positions (M,) of the labels at whose points the inducing values are."""


class RowLabels:
    """The (pseudo-)labels of each row, for what the inducing values leave of that row: ``y = A u + left + noise``.

    What is left of the rows (their row effects, and detail of the functions that is finer than the distance between the
    inducing values) is shared by the labels of a row, and independent between rows: ``K_rr - A A'`` of each row.  This is
    the fully independent training conditional with rows in place of labels (Quinonero-Candela, Rasmussen 2005, *A unifying
    view of sparse approximate Gaussian process regression*).

    Parameters
    ----------
    prior : Prior
        At the hyperparameters of the labels' posterior.
    points : Points
        The latent values of the labels.
    at : Points
        The inducing values.
    root : Tensor, shape (M, M)
        Cholesky factor of their covariance.
    """

    def __init__(self, prior: Prior, points: Points, at: Points, root: Tensor) -> None:
        self._prior, self._points, self._at, self._root = prior, points, at, root
        weights = prior.weights()
        self._shared = weights @ weights.T  # covariance of one row's latent values: the processes have unit variance
        _, row, count = torch.unique(points.row, return_inverse=True, return_counts=True)
        self._places = torch.argsort(row, stable=True).split(count.tolist())

    @property
    def size(self) -> int:
        """Number M of inducing values."""
        return len(self._root)

    def features(self, points: Points) -> Tensor:
        """``A`` (n, M) with ``f = A w`` in mean, ``w`` the whitened inducing values."""
        return features(self._prior, points, self._at, self._root)

    def blocks(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Rows with k labels, at most :data:`CHUNK` at a time: places (r, k), ``A`` (r, k, M), what it leaves (r, k, k)."""
        by_count: dict[int, list[Tensor]] = {}
        for place in self._places:
            by_count.setdefault(len(place), []).append(place)
        for places in by_count.values():
            for place in torch.stack(places).split(CHUNK):
                a = self.features(self._points.at(place.ravel())).view(*place.shape, -1)
                task = self._points.task[place]
                yield place, a, self._shared[task[:, :, None], task[:, None, :]] - a @ a.mT


def summarise(prior: Prior, data: Data, n_inducing: int, seed: int = 0) -> Summary:
    """The labels summarised as Gaussian labels at ``n_inducing`` of their points.

    Raises
    ------
    torch.linalg.LinAlgError
        If a covariance cannot be factorised.
    """
    points = data.points
    task = points.task.numpy()
    generator = streams.generator(seed, "inducing points")
    chosen = torch.from_numpy(stratified(task, np.arange(len(task)), min(n_inducing, len(task)), generator))
    at, root = _inducing(prior, points, chosen)
    own = RowLabels(prior, points, at, root)
    linear, precision = _settle(prior, data, own)
    information, linear_u, _ = _gather(own, linear, precision)
    # in whitened coordinates w = root^-1 u the prior is I and the labels have this precision
    values, vectors = torch.linalg.eigh(information)
    values = values.clamp_min(LEAST_INFORMATION)
    target = vectors @ ((vectors.T @ linear_u) / values)
    spread = root @ (vectors * ((1.0 + values) / values).sqrt())
    factor = torch.linalg.qr(spread.T, mode="r").R.T
    factor = factor * factor.diagonal().sign()
    near = Neighbours(prior, points, linear / precision, 1.0 / precision)
    return Summary(_labels(at, root @ target), factor, root, near, chosen)


def restored(prior: Prior, points: Points, arrays: Mapping[str, Tensor]) -> Summary:
    """The summary of labels at ``points`` from the arrays of a file, without looking at the labels again."""
    at, root = _inducing(prior, points, arrays["chosen"])
    near = Neighbours(prior, points, arrays["near y"], arrays["near variance"])
    return Summary(_labels(at, arrays["y"]), arrays["factor"], root, near, arrays["chosen"])


def _inducing(prior: Prior, points: Points, chosen: Tensor) -> tuple[Points, Tensor]:
    """The points of the inducing values, and the Cholesky factor of their covariance."""
    at = points.at(chosen).of_functions()
    return at, cholesky(prior.covariance(at, at), torch.full((len(chosen),), JITTER, dtype=torch.float64))[0]


def _labels(at: Points, y: Tensor) -> Labels:
    """Labels of the inducing values, whose noise is in the factor."""
    return Labels(at, y, torch.zeros_like(y), torch.ones(len(y), dtype=torch.bool))


class _Gathered(NamedTuple):
    """Precision (M, M) and precision-times-mean (M,) of ``w`` from labels, and their log density were ``w`` zero."""

    information: Tensor
    linear: Tensor
    log_density: float


def _gather(own: RowLabels, linear: Tensor, precision: Tensor) -> _Gathered:
    """What labels with these natural parameters say of ``w``.

    The noise of a row's labels is correlated by what ``w`` leaves of the row; whitened, they are independent labels.
    """
    information = torch.zeros(own.size, own.size, dtype=torch.float64)
    total = torch.zeros(own.size, dtype=torch.float64)
    log_density = -0.5 * len(linear) * math.log(2 * math.pi)
    for place, a, left in own.blocks():
        factor = torch.linalg.cholesky(left + torch.diag_embed(1.0 / precision[place] + JITTER))
        both = torch.cat([a, (linear / precision)[place][..., None]], dim=-1)
        white = torch.linalg.solve_triangular(factor, both, upper=False).flatten(0, 1)
        information += white[:, :-1].T @ white[:, :-1]
        total += white[:, :-1].T @ white[:, -1]
        log_density -= 0.5 * float(white[:, -1] @ white[:, -1]) + float(factor.diagonal(dim1=-2, dim2=-1).log().sum())
    return _Gathered(information, total, log_density)


def _settle(prior: Prior, data: Data, own: RowLabels) -> tuple[Tensor, Tensor]:
    """Natural parameters (N,) of all labels; those of non-Gaussian labels are the best sites for ``q(f)``."""
    if isinstance(data, Labels):
        precision = 1.0 / noise_variance(prior, data)
        return precision * data.y, precision
    assert isinstance(data, Observations)

    def posterior(linear: Tensor, precision: Tensor) -> tuple[Tensor, Tensor, float]:
        found = _gather(own, linear, precision)
        factor, _ = cholesky(found.information, torch.ones(own.size, dtype=torch.float64))
        half = torch.linalg.solve_triangular(factor, found.linear[:, None], upper=False)
        weights = torch.linalg.solve_triangular(factor.mT, half, upper=True)[:, 0]
        mean, variance = torch.empty_like(linear), torch.empty_like(linear)
        for place, a, left in own.blocks():
            of_w = torch.linalg.solve_triangular(factor, a.flatten(0, 1).T, upper=False).T.view(a.shape)
            noisy = left + torch.diag_embed(1.0 / precision[place] + JITTER)
            gain = torch.linalg.solve(noisy, left).mT
            rest = torch.eye(place.shape[1], dtype=gain.dtype) - gain
            centre = a @ weights
            mean[place] = centre + (gain @ ((linear / precision)[place] - centre)[..., None])[..., 0]
            variance[place] = (rest @ (of_w @ of_w.mT) @ rest.mT + rest @ left).diagonal(dim1=-2, dim2=-1)
        evidence = found.log_density + 0.5 * float((half**2).sum()) - float(factor.diagonal().log().sum())
        return mean, variance, evidence

    prior_variance = prior.variance(data.points)
    sites = data.settle_by(prior, posterior, *data.sites_for(prior, torch.zeros_like(prior_variance), prior_variance))
    return sites.linear, sites.precision
