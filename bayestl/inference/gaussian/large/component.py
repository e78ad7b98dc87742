"""The posterior given many labels, under one set of hyperparameters: inducing values, and the labels near each row."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bayestl.inference.gaussian.component import Component, Predictive, solve
from bayestl.inference.gaussian.labels import Data, Labels, noise_variance
from bayestl.inference.gaussian.large import inducing
from bayestl.inference.gaussian.large.neighbours import Neighbours
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Points


@dataclass(frozen=True)
class Summarised(Component):
    """A component whose ``labels`` are inducing values that summarise all labels.

    Labels that were added later follow the inducing values in ``factor`` and ``whitened``; ``a`` (k, M) are their features.
    """

    root: Tensor
    """Cholesky factor (M, M) of the covariance of the inducing values."""
    near: Neighbours
    a: Tensor

    @classmethod
    def of(cls, prior: Prior, data: Data) -> Summarised:
        labels, factor, root, near = inducing.summarise(prior, data, inducing.INDUCING)
        return cls(prior, labels, factor, solve(factor, labels.y), 0.0, root, near, root.new_zeros(0, len(root)))

    full = False

    def completed(self, cross: Tensor) -> Tensor:
        if not len(self.a):
            return cross
        return torch.cat([cross, self.a @ torch.linalg.solve_triangular(self.root, cross, upper=False)])

    def predictive(self, points: Points) -> Predictive:
        _, first, position = _first_of_rows(points.row)
        given = self.near.given(self.prior, points.at(first), self.labels.points, self.root)
        a, shift = given.a[position, points.task], given.shift[position, points.task]
        rest = given.rest[position[:, None], points.task[:, None], points.task] * (position[:, None] == position)
        cross = solve(self.factor, self.completed(self.root @ a.T))
        return Predictive(cross, cross.T @ self.whitened + shift, a @ a.T - cross.T @ cross + rest, a)

    def _with(self, extra: Labels, predictive: Predictive, factor: Tensor, whitened: Tensor) -> Summarised:
        assert predictive.a is not None
        near = self.near.joined(extra.points, extra.y, noise_variance(self.prior, extra))
        return replace(self, factor=factor, whitened=whitened, near=near, a=torch.cat([self.a, predictive.a]))

    def within_rows(self, at: Points) -> tuple[Tensor, Tensor]:
        given = self.near.given(self.prior, at, self.labels.points, self.root)
        n, n_tasks = given.shift.shape
        mean, half = self.project(self.completed(self.root @ given.a.flatten(0, 1).T).T)
        half = half.T.view(n, n_tasks, -1)
        return mean.view(n, n_tasks) + given.shift, given.a @ given.a.mT - half @ half.mT + given.rest

    def between(self, at: Points, others: Points | None = None) -> Tensor:
        rows = at, self.near.given(self.prior, at, self.labels.points, self.root)
        other_rows = (
            rows if others is None else (others, self.near.given(self.prior, others, self.labels.points, self.root))
        )
        a, b = (given.a.transpose(0, 1).flatten(0, 1) for _, given in (rows, other_rows))
        half, other_half = (solve(self.factor, self.completed(self.root @ v.T)) for v in (a, b))
        errors = self.near.errors(self.prior, rows, other_rows, self.labels.points, self.root)
        return a @ b.T - half.T @ other_half + errors

    def of_rows(self, at: Points) -> tuple[Tensor, Tensor]:
        return self.within_rows(at)[0].T.ravel(), self.between(at)


def _first_of_rows(row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The different rows of some points, the first point of each, and the position of each point's row among them."""
    unique, position = torch.unique(row, return_inverse=True)
    first = torch.full_like(unique, len(row)).scatter_reduce(0, position, torch.arange(len(row)), "amin")
    return unique, first, position
