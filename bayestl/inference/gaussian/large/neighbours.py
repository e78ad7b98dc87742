"""What the labels near a row, and its own, say of it beyond the inducing values.

    f = A w + r,    y_N = A_N w + r_N + noise,    r | y_N, w ~ N(G (y_N - A_N w), D),    G = R_N* (R_NN + V_N)^-1

``w`` are the whitened inducing values, ``r`` is what they leave of the latent values, with the covariance
``R = K - A A'``, and ``N`` are the row's own labels and the nearest ones of each latent function, by the distance that the
kernels have learnt.  Gyger, Furrer, Sigrist 2025, *Vecchia-inducing-points full-scale approximations for Gaussian processes*
(arXiv 2507.05064), with whole rows in place of labels, and neighbours for predictions alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from bayestl.priors.prior import Prior
from bayestl.priors.processes import Points, Smooth

NEAR = 10
"""Labels of each latent function near a row."""
JITTER = 1e-8
"""Jitter of the covariance of the labels near a row, scaled units."""
BLOCK = 2048
"""Labels whose covariance with all others is held at a time, for joint draws."""


class Given(NamedTuple):
    """Latent values (n, C) of n rows as ``f = A w + shift + error`` given K labels near each, ``w`` the inducing values."""

    a: Tensor
    """``A_* - G A_N``, shape (n, C, M)."""
    shift: Tensor
    """``G y_N``, shape (n, C)."""
    rest: Tensor
    """Covariance (n, C, C) of the errors."""
    gain: Tensor
    """``G``, shape (n, C, K)."""
    place: Tensor
    """Positions (n, K) of the labels, 0 where there is none and the gain is zero."""


class Neighbours:
    """Labels, and which of them are near any row.

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
        self._prior, self._points, self._y, self._variance = prior, points, y, variance
        self._metric = _metric(prior, points.x.shape[1])
        task, z = points.task.numpy(), (points.x * self._metric).numpy()
        self._of_task = [np.flatnonzero(task == t) for t in range(prior.n_tasks)]
        self._trees = [NearestNeighbors().fit(z[of]) if len(of) else None for of in self._of_task]
        self._sort_rows()

    def _sort_rows(self) -> None:
        """Order the labels by row, so that those of a row are found by bisection."""
        row = self._points.row.numpy()
        self._by_row = np.argsort(row, kind="stable")
        self._rows = row[self._by_row]

    def joined(self, points: Points, y: Tensor, variance: Tensor) -> Neighbours:
        """With more labels, which count for their own rows, not for those near them."""
        new = object.__new__(Neighbours)
        vars(new).update(vars(self))
        new._points = self._points.join(points)
        new._y, new._variance = torch.cat([self._y, y]), torch.cat([self._variance, variance])
        new._sort_rows()
        return new

    def places(self, at: Points) -> np.ndarray:
        """Positions (n, K) of the labels of n rows and of those near them, -1 where there are fewer."""
        row = at.row.numpy()
        first, end = (np.searchsorted(self._rows, row, side) for side in ("left", "right"))
        most = int((end - first)[row >= 0].max(initial=0))
        slots = first[:, None] + np.arange(most)
        there = (slots < end[:, None]) & (row >= 0)[:, None]
        places = [np.where(there, self._by_row[np.minimum(slots, len(self._by_row) - 1)], -1)]
        z, rows = (at.x * self._metric).numpy(), self._points.row.numpy()
        for of_task, tree in zip(self._of_task, self._trees, strict=True):
            if tree is not None:
                near = of_task[tree.kneighbors(z, min(NEAR, len(of_task)), return_distance=False)]
                places.append(np.where((rows[near] == row[:, None]) & (row >= 0)[:, None], -1, near))
        return np.concatenate(places, axis=1)

    def given(self, at: Points, at_inducing: Points, root: Tensor) -> Given:
        """The latent values of n rows given the labels near them; ``root`` (M, M) is that of the inducing values."""
        prior, n_tasks = self._prior, self._prior.n_tasks
        place = torch.from_numpy(self.places(at))
        n, there = len(place), place >= 0
        place = place.clamp_min(0)
        near, everywhere = self._points.at(place), _every_task(at, n_tasks)
        unique, position = torch.unique(place, return_inverse=True)
        a_near = features(prior, self._points.at(unique), at_inducing, root)[position]
        a = features(prior, _flat(everywhere), at_inducing, root).view(n, n_tasks, -1)
        mask = there.to(a.dtype)
        among = (prior.blocks(near, near) - a_near @ a_near.mT) * mask[:, :, None] * mask[:, None, :]
        noise = torch.where(there, self._variance[place] + JITTER, 1.0)
        cross = (prior.blocks(everywhere, near) - a @ a_near.mT) * mask[:, None, :]
        gain = torch.linalg.solve(among + torch.diag_embed(noise), cross.mT).mT
        rest = prior.blocks(everywhere, everywhere) - a @ a.mT - gain @ cross.mT
        shift = (gain @ self._y[place][..., None])[..., 0]
        return Given(a - gain @ a_near, shift, rest, gain, place)

    def errors_jointly(self, at: Points, given: Given, at_inducing: Points, root: Tensor) -> Tensor:
        """Covariance (C n, C n) of the errors of all rows together, function by function."""
        prior, (n, n_tasks) = self._prior, given.shift.shape
        unique, position = torch.unique(given.place, return_inverse=True)
        gain = given.gain.new_zeros(n, n_tasks, len(unique))
        gain.scatter_add_(2, position[:, None, :].expand(n, n_tasks, -1), given.gain)
        gain = gain.transpose(0, 1).reshape(n * n_tasks, -1)
        everywhere = Points(*(v.transpose(0, 1).flatten(0, 1) for v in _every_task(at, n_tasks)))
        a = features(prior, everywhere, at_inducing, root)
        near = self._points.at(unique)
        a_near = features(prior, near, at_inducing, root)
        cross = prior.covariance(everywhere, near) - a @ a_near.T
        half = cross - (gain * self._variance[unique]) / 2
        for block in torch.arange(len(unique)).split(BLOCK):
            among = prior.covariance(near, near.at(block)) - a_near @ a_near[block].T
            half[:, block] -= gain @ among / 2
        return prior.covariance(everywhere, everywhere) - a @ a.T - half @ gain.T - gain @ half.T


def features(prior: Prior, points: Points, at: Points, root: Tensor) -> Tensor:
    """``A`` (n, M) with ``f = A w`` in mean, ``w`` the whitened inducing values at the points ``at``."""
    return torch.linalg.solve_triangular(root, prior.covariance(at, points), upper=False).T


def _metric(prior: Prior, d: int) -> Tensor:
    """Weights (d,) of the inputs in the distance by which rows are near: those of all smooth functions, by their size."""
    weights = (prior.weights() ** 2).sum(0)
    smooth = ((w, process.kernel) for w, process in zip(weights, prior, strict=True) if isinstance(process, Smooth))
    total = sum((w * kernel.metric(kernel.argument(), d) for w, kernel in smooth), torch.zeros(d, dtype=torch.float64))
    return total.sqrt()


def _every_task(at: Points, n_tasks: int) -> Points:
    """The rows as points (n, C) of every latent function."""
    n = len(at.row)
    task = torch.arange(n_tasks).expand(n, n_tasks)
    return Points(at.x[:, None].expand(n, n_tasks, -1), task, *(v[:, None].expand(n, n_tasks) for v in at[2:]))


def _flat(points: Points) -> Points:
    """Points (n, C) as points (n C,)."""
    return Points(*(v.flatten(0, 1) for v in points))
