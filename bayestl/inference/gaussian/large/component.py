"""The posterior given many labels, under one set of hyperparameters: inducing values, and the labels near each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from bayestl.inference.gaussian.component import Component, Predictive, solve
from bayestl.inference.gaussian.labels import Data, Labels, noise_variance
from bayestl.inference.gaussian.large import inducing
from bayestl.inference.gaussian.large.neighbours import Given, Neighbours
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Points

BLOCKS = 4
"""Blocks in which a triangular matrix is multiplied, so that most of its zeros are not."""


@dataclass(frozen=True)
class Summarised(Component):
    """A component whose ``labels`` are inducing values that summarise all labels.

    Labels that were added later follow the inducing values in ``factor`` and ``whitened``; ``a`` (k, M) are their features.
    """

    root: Tensor
    """Cholesky factor (M, M) of the covariance of the inducing values."""
    near: Neighbours
    a: Tensor
    chosen: Tensor
    """Positions (M,) of the labels at whose points the inducing values are."""

    @classmethod
    def of(cls, prior: Prior, data: Data) -> Summarised:
        return cls.by(prior, inducing.summarise(prior, data, inducing.INDUCING))

    @classmethod
    def by(cls, prior: Prior, summary: inducing.Summary) -> Summarised:
        """The component of a summary that is known."""
        labels, factor, root, near, chosen = summary
        none = root.new_zeros(0, len(root))
        return cls(prior, labels, factor, solve(factor, labels.y), 0.0, root, near, none, chosen)

    def arrays(self) -> dict[str, Tensor]:
        """What restores the summary of the labels of a fit, by :class:`Kept`."""
        near = self.near.labels(torch.arange(len(self.near)))
        return {
            "chosen": self.chosen,
            "y": self.labels.y,
            "factor": self.factor,
            "near y": near.y,
            "near variance": near.se2,
        }

    full = False

    def completed(self, cross: Tensor) -> Tensor:
        if not len(self.a):
            return cross
        return torch.cat([cross, self.a @ torch.linalg.solve_triangular(self.root, cross, upper=False)])

    def _given(self, at: Points, near: Neighbours | None = None, new: int | None = None) -> Given:
        """The latent values of rows given the labels near them; see :meth:`Neighbours.places`."""
        return (near or self.near).given(self.prior, at, self.labels.points, self.root, new)

    def _half(self, a: Tensor) -> Tensor:
        """``L^-1 cov(labels, a w)`` for features ``a`` (k, M)."""
        of_w, m = self._of_features, len(self.root)
        ends = [m * (i + 1) // BLOCKS for i in range(BLOCKS)]  # of the inducing values it is a triangle
        blocks = [of_w[i:j, :j] @ a[:, :j].T for i, j in zip([0, *ends], ends, strict=False)]
        return torch.cat([*blocks, of_w[m:] @ a.T])

    @cached_property
    def _of_features(self) -> Tensor:
        """``L^-1 cov(labels, w)``, shape (N, M), the first M rows a lower triangle."""
        return solve(self.factor, torch.cat([self.root, self.a]))

    def _errors(self, rows: tuple[Points, Given], others: tuple[Points, Given]) -> Tensor:
        return self.near.errors(self.prior, rows, others, self.labels.points, self.root)

    def predictive(self, points: Points) -> Predictive:
        return self._predictive(points)

    def _predictive(self, points: Points, near: Neighbours | None = None, new: int | None = None) -> Predictive:
        first, position = _first_of_rows(points.row)
        given = self._given(points.at(first), near, new)
        a, shift = given.a[position, points.task], given.shift[position, points.task]
        rest = given.rest[position[:, None], points.task[:, None], points.task] * (position[:, None] == position)
        cross = self._half(a)
        return Predictive(cross, cross.T @ self.whitened + shift, a @ a.T - cross.T @ cross + rest, a)

    def _joined(self, extra: Labels) -> Neighbours:
        return self.near.joined(extra.points, extra.y, noise_variance(self.prior, extra))

    def _in_turn(self, extra: Labels, predictive: Predictive) -> Predictive:
        if len(torch.unique(extra.points.row)) == 1:
            return predictive
        return self._predictive(extra.points, self._joined(extra), len(self.near))

    def _with(self, extra: Labels, predictive: Predictive, factor: Tensor, whitened: Tensor) -> Summarised:
        assert predictive.a is not None
        near = self._joined(extra)
        return replace(self, factor=factor, whitened=whitened, near=near, a=torch.cat([self.a, predictive.a]))

    def within_rows(self, at: Points) -> tuple[Tensor, Tensor]:
        given = self._given(at)
        n, n_tasks = given.shift.shape
        half = self._half(given.a.flatten(0, 1))
        mean, half = (half.T @ self.whitened).view(n, n_tasks), half.T.view(n, n_tasks, -1)
        return mean + given.shift, given.a @ given.a.mT - half @ half.mT + given.rest

    def of_rows(self, at: Points) -> tuple[Tensor, Tensor]:
        rows = at, self._given(at)
        a = _by_task(rows[1])
        half = self._half(a)
        mean = half.T @ self.whitened + rows[1].shift.T.ravel()
        return mean, a @ a.T - half.T @ half + self._errors(rows, rows)

    def between(self, at: Points, others: Points) -> Tensor:
        rows, other_rows = ((points, self._given(points)) for points in (at, others))
        a, b = _by_task(rows[1]), _by_task(other_rows[1])
        return a @ b.T - self._half(a).T @ self._half(b) + self._errors(rows, other_rows)


@dataclass(frozen=True)
class Kept:
    """Labels whose summary is known: the points of the latent values, and the arrays of :meth:`Summarised.arrays`."""

    points: Points
    arrays: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.points.x)

    def summary(self, prior: Prior) -> inducing.Summary:
        """The summary under the prior at its hyperparameters then.

        Raises
        ------
        ValueError
            If the arrays are not of these labels.
        """
        m = len(self.arrays["chosen"])
        shapes = {"chosen": (m,), "y": (m,), "factor": (m, m), "near y": (len(self),), "near variance": (len(self),)}
        if any(tuple(self.arrays[k].shape) != shape for k, shape in shapes.items()):
            raise ValueError("the summary of the labels is of other labels: fit the model again")
        return inducing.restored(prior, self.points, self.arrays)


def _by_task(given: Given) -> Tensor:
    """The features (C n, M) of all latent values of rows, function by function."""
    return given.a.transpose(0, 1).flatten(0, 1)


def _first_of_rows(row: Tensor) -> tuple[Tensor, Tensor]:
    """The first point of each of the different rows of some points, and the position of each point's row among these."""
    unique, position = torch.unique(row, return_inverse=True)
    first = torch.full_like(unique, len(row)).scatter_reduce(0, position, torch.arange(len(row)), "amin")
    return first, position
