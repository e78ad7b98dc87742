"""What the labels near a row, and its own, say of it beyond the inducing values.

    f = A w + r,    y_N = A_N w + r_N + noise,    r | y_N, w ~ N(G (y_N - A_N w), D),    G = R_N* (R_NN + V_N)^-1

``w`` are the whitened inducing values, ``r`` is what they leave of the latent values, with the covariance
``R = K - A A'``, and ``N`` are the row's own labels and the nearest ones of each latent function, by the distance that the
kernels have learnt.  Gyger, Furrer, Sigrist 2025, *Vecchia-inducing-points full-scale approximations for Gaussian processes*
(arXiv 2507.05064), with whole rows in place of labels, and neighbours for predictions alone.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from bayestl.inference.gaussian.labels import Labels
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Points, Smooth

NEAR = 10
"""Labels of each latent function near a row."""
JITTER = 1e-8
"""Jitter of the covariances of the inducing values and of the labels near a row, scaled units."""
ROOM = 10**9
"""Bytes for the features of labels that were near any row, for one set of hyperparameters."""
ROWS = 128
"""Rows of which the features of all labels near them are held at a time."""
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


class Remembered:
    """Features of labels, each computed when a row near it is first predicted, and kept while there is :data:`ROOM` for them.

    Labels beyond the first ``n`` are computed each time.
    """

    def __init__(self, n: int) -> None:
        self._slot = torch.full((n,), -1)
        self._values = torch.empty(0, 0, dtype=torch.float64)
        self._used = 0
        self._lock = Lock()

    def at(self, place: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Features (..., M) of the labels at positions (...); ``compute`` gives those (k, M) of positions (k,)."""
        unique, position = torch.unique(place, return_inverse=True)
        n_first = int((unique < len(self._slot)).sum())
        of_first, later = unique[:n_first], unique[n_first:]
        with self._lock:
            new = of_first[self._slot[of_first] < 0]
            if len(new):
                values = compute(new)
                room = ROOM // (8 * values.shape[1])
                if self._used + len(new) > room:  # the earlier ones make room
                    self._slot.fill_(-1)
                    self._used, new = 0, of_first
                    values = compute(new)
                if len(new) > room:
                    return compute(unique)[position]
                if not len(self._values):
                    self._values = values.new_empty(min(room, len(self._slot)), values.shape[1])
                end = self._used + len(new)
                self._values[self._used : end] = values
                self._slot[new] = torch.arange(self._used, end)
                self._used = end
            if not len(later):
                return self._values[self._slot[place]]
            return torch.cat([self._values[self._slot[of_first]], compute(later)])[position]


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
        self.points, self._y, self._variance = points, y, variance
        self._metric = _metric(prior, points.x.shape[1]).detach()
        self._first = len(y)
        self._remembered = Remembered(len(y))
        self._trees = self._new_trees(0)
        self._sort_rows()

    def __len__(self) -> int:
        return len(self._y)

    def _new_trees(self, first: int) -> list[tuple[np.ndarray, NearestNeighbors]]:
        """Of each latent function with labels from the position ``first`` on, these and a search for the nearest of them."""
        task = self.points.task[first:].numpy()
        z = (self.points.x[first:].detach() * self._metric).numpy()
        of_tasks = [np.flatnonzero(task == t) for t in np.unique(task)]
        return [(first + of_task, NearestNeighbors().fit(z[of_task])) for of_task in of_tasks]

    def _sort_rows(self) -> None:
        """Order the labels by row, so that those of a row are found by bisection."""
        row = self.points.row.numpy()
        self._by_row = np.argsort(row, kind="stable")
        self._rows = row[self._by_row]

    def joined(self, points: Points, y: Tensor, variance: Tensor) -> Neighbours:
        """With more labels: as many of these are near a row as of the earlier ones."""
        new = object.__new__(Neighbours)
        vars(new).update(vars(self))
        new.points = self.points.join(points)
        new._y, new._variance = torch.cat([self._y, y]), torch.cat([self._variance, variance])
        new._trees = self._trees + new._new_trees(len(self._y))
        new._sort_rows()
        return new

    @property
    def joined_labels(self) -> Labels:
        """The labels that were added later, as pseudo-labels."""
        return self.labels(torch.arange(self._first, len(self)))

    def labels(self, place: Tensor) -> Labels:
        """The labels at the given positions, as pseudo-labels."""
        site = torch.ones(len(place), dtype=torch.bool)
        return Labels(self.points.at(place), self._y[place], self._variance[place], site)

    def places(self, at: Points, new: int | None = None, count: int | None = None) -> np.ndarray:
        """Positions (n, K) of the labels of n rows and of the ``count`` of each function near them, -1 where there are fewer.

        Of the labels from the position ``new`` on, each row has those of earlier rows alone: so new rows follow one after
        another.
        """
        row = at.row.numpy()
        first, end = (np.searchsorted(self._rows, row, side) for side in ("left", "right"))
        most = int((end - first)[row >= 0].max(initial=0))
        slots = first[:, None] + np.arange(most)
        there = (slots < end[:, None]) & (row >= 0)[:, None]
        places = [np.where(there, self._by_row[np.minimum(slots, len(self._by_row) - 1)], -1)]
        z, rows = (at.x.detach() * self._metric).numpy(), self.points.row.numpy()
        for of_task, tree in self._trees:
            near = of_task[tree.kneighbors(z, min(count or NEAR, len(of_task)), return_distance=False)]
            places.append(np.where((rows[near] == row[:, None]) & (row >= 0)[:, None], -1, near))
        found = np.concatenate(places, axis=1)
        if new is None:
            return found
        return np.where((found >= new) & (rows[found] >= row[:, None]), -1, found)

    def given(self, prior: Prior, at: Points, at_inducing: Points, root: Tensor, new: int | None = None) -> Given:
        """The latent values of n rows given the labels near them; ``root`` (M, M) is that of the inducing values."""
        places = torch.from_numpy(self.places(at, new))
        few = torch.arange(len(places)).split(ROWS)
        return Given(
            *map(
                torch.cat, zip(*(self._given(prior, at.at(k), places[k], at_inducing, root) for k in few), strict=True)
            )
        )

    def _given(self, prior: Prior, at: Points, place: Tensor, at_inducing: Points, root: Tensor) -> Given:
        """The same for a few rows, whose features all fit into memory; ``place`` (n, K) is of :meth:`places`."""
        n_tasks = prior.n_tasks
        n, there = len(place), place >= 0
        place = place.clamp_min(0)
        near, everywhere = self.points.at(place), _every_task(at, n_tasks)
        a_near = self._remembered.at(place, lambda some: features(prior, self.points.at(some), at_inducing, root))
        a = features(prior, _flat(everywhere), at_inducing, root).view(n, n_tasks, -1)
        mask = there.to(a.dtype)
        among = (prior.blocks(near, near) - a_near @ a_near.mT) * mask[:, :, None] * mask[:, None, :]
        noise = torch.where(there, self._variance[place] + JITTER, 1.0)
        cross = (prior.blocks(everywhere, near) - a @ a_near.mT) * mask[:, None, :]
        gain = torch.linalg.solve(among + torch.diag_embed(noise), cross.mT).mT
        rest = prior.blocks(everywhere, everywhere) - a @ a.mT - gain @ cross.mT
        shift = (gain @ self._y[place][..., None])[..., 0]
        return Given(a - gain @ a_near, shift, rest, gain, place)

    def errors(
        self, prior: Prior, rows: tuple[Points, Given], others: tuple[Points, Given], at_inducing: Points, root: Tensor
    ) -> Tensor:
        """Covariance (C n, C k) of the errors of n rows with those of k others, function by function."""
        first = points, gain, near, of_points, of_near = self._of(prior, *rows, at_inducing, root)
        second = first if others is rows else self._of(prior, *others, at_inducing, root)
        other_points, other_gain, other_near, of_others, of_other_near = second

        def left(a: Points, b: Points, of_a: Tensor, of_b: Tensor) -> Tensor:
            return prior.covariance(a, b) - of_a @ of_b.T

        across = left(points, other_near, of_points, of_other_near)
        places, other_places = (torch.unique(given.place) for _, given in (rows, others))
        for block in torch.arange(len(other_places)).split(BLOCK):
            among = left(near, other_near.at(block), of_near, of_other_near[block])
            same = places[:, None] == other_places[block]
            across[:, block] -= gain @ (among + torch.where(same, self._variance[other_places[block]], 0.0))
        direct = left(points, other_points, of_points, of_others) - gain @ left(near, other_points, of_near, of_others)
        return direct - across @ other_gain.T

    def _of(
        self, prior: Prior, at: Points, given: Given, at_inducing: Points, root: Tensor
    ) -> tuple[Points, Tensor, Points, Tensor, Tensor]:
        """The latent values of rows, function by function, their gains (C n, k) from all labels near any row, these, and the
        features of both.
        """
        n, n_tasks = given.shift.shape
        unique, position = torch.unique(given.place, return_inverse=True)
        gain = given.gain.new_zeros(n, n_tasks, len(unique))
        gain = gain.scatter_add(2, position[:, None, :].expand(n, n_tasks, -1), given.gain)
        points, near = at.every_task(n_tasks), self.points.at(unique)
        of_points, of_near = (features(prior, p, at_inducing, root) for p in (points, near))
        return points, gain.transpose(0, 1).reshape(n * n_tasks, -1), near, of_points, of_near


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
