"""The covariance matrix of one set of points under a prior, with its gradient in closed form.

    K = sum_p w_p w_p' o K_p,        w_p[i] = W[task_i, p],        o the elementwise product

Every step of a fit needs it, so it is a single node in automatic differentiation, whose overhead dominates on small
tables; it can also be evaluated for many sets of hyperparameters at once (any leading dimensions).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bayestl.priors.processes import Points, Process

PullTerm = Callable[[Tensor, Tensor], Tensor]
"""Of a term: from a gradient in the covariance to that in its argument; that in ``W`` is added in place."""
TILE = 256
"""Points of which the covariance with as many others is evaluated at a time, in the cache of a processor."""


@dataclass(frozen=True)
class Term:
    """A process among n points: its index p, the process, the points whose task has it, and their places among all."""

    p: int
    process: Process
    points: Points
    place: slice | Tensor

    def add(self, total: Tensor, weights: Tensor, argument: Tensor) -> PullTerm:
        """Add ``w_p w_p' o K_p`` to the covariance (..., n, n) in place; the result takes gradients back."""
        w = weights[..., self.points.task, self.p]
        n = len(self.points.task)
        size = TILE if total.ndim == 2 and n >= 2 * TILE else max(n, 1)
        tiles = [slice(start, min(start + size, n)) for start in range(0, n, size)]
        pulls = [self._add(total, w, argument, a, b) for i, a in enumerate(tiles) for b in tiles[: i + 1]]

        def pull(gradient: Tensor, in_weights: Tensor) -> Tensor:
            in_w = torch.zeros_like(w)
            slope = reduce(add, [pull_tile(gradient, in_w) for pull_tile in pulls])
            in_weights[..., self.p].index_add_(-1, self.points.task, in_w)
            return slope

        return pull

    def _add(self, total: Tensor, w: Tensor, argument: Tensor, a: slice, b: slice) -> PullTerm:
        """The part of :meth:`add` of two runs of points, ``a`` and ``b``, and of ``b`` and ``a``."""
        at = self.points if a == slice(0, len(self.points.task)) else self.points.at(a)
        value, pull_value = self.process.evaluate(argument, at, at if a == b else self.points.at(b))
        w_a, w_b, across = w[..., a], w[..., b], block_index(part_of(self.place, a), part_of(self.place, b))
        back = block_index(part_of(self.place, b), part_of(self.place, a))
        weighted = (w_a[..., :, None] * value).mul_(w_b[..., None, :])
        total[across] += weighted
        if a != b:
            total[back] += weighted.mT

        def pull(gradient: Tensor, in_w: Tensor) -> Tensor:
            both = gradient[across] + gradient[back].mT
            weighted = both * value
            in_w[..., a] += (weighted @ w_b[..., None])[..., 0]
            if a == b:
                both *= 0.5
            else:
                in_w[..., b] += (weighted.mT @ w_a[..., None])[..., 0]
            return pull_value(both.mul_(w_a[..., :, None]).mul_(w_b[..., None, :]))

        return pull


class RowTerm(Term):
    """A process with a number for each row: only the few pairs of points of one row covary."""

    @cached_property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """Positions (k,), (k,) among the term's points of the pairs that are of one row."""
        first, second = torch.nonzero(self.process.covariance(self.points, self.points), as_tuple=True)
        return first, second

    def add(self, total: Tensor, weights: Tensor, argument: Tensor) -> PullTerm:
        i, j = self.pairs
        at = self._places()
        w = weights[..., self.points.task, self.p]
        total[..., at[i], at[j]] += w[..., i] * w[..., j]

        def pull(gradient: Tensor, in_weights: Tensor) -> Tensor:
            slope = (gradient[..., at[i], at[j]] + gradient[..., at[j], at[i]]) * w[..., j]
            in_weights[..., self.p].index_add_(-1, self.points.task[i], slope)
            return gradient.new_zeros(*gradient.shape[:-2], 0)

        return pull

    def _places(self) -> Tensor:
        """The places of the points as positions."""
        if isinstance(self.place, Tensor):
            return self.place
        return torch.arange(self.place.start, self.place.stop)


class RecentTerms:
    """The terms of the last few sets of points at which a prior was evaluated.

    Each step of a fit evaluates the prior at the same points, and finding out which of them have which process would cost as
    much as the covariance of a small table.  Points are the same if they are one object; their numbers are not compared.  A
    deep copy is empty: its prior has other processes.
    """

    def __init__(self, size: int = 4) -> None:
        self._entries: deque[tuple[Points, list[Term]]] = deque(maxlen=size)

    def at(self, points: Points) -> list[Term] | None:
        """The terms at some points, None if they are not among the last ones."""
        return next((terms for known, terms in self._entries if known is points), None)

    def add(self, points: Points, terms: list[Term]) -> None:
        """Keep the terms at some points, in the place of the oldest."""
        self._entries.append((points, terms))

    def __deepcopy__(self, memo: dict[int, Any]) -> RecentTerms:
        return RecentTerms(self._entries.maxlen or 0)


class Assembled(NamedTuple):
    """The covariance matrix ``sum_p w_p w_p' o K_p``, shape (..., n, n), and the pull-back of a gradient."""

    covariance: Tensor
    pull: Callable[[Tensor], list[Tensor]]
    """From a gradient in the covariance, which is symmetric, to the gradients in ``W`` and in the argument of each process.

    Only the sum of a gradient and its transpose counts: it may be twice a triangle, with the diagonal once.
    """


def assemble(n: int, terms: Sequence[Term], weights: Tensor, arguments: Sequence[Tensor]) -> Assembled:
    """The covariance matrix of n points from ``W`` (..., T, P) and the argument (..., k) of each term."""
    total = weights.new_zeros(*weights.shape[:-2], n, n)
    pulls = [term.add(total, weights, argument) for term, argument in zip(terms, arguments, strict=True)]

    def pull(gradient: Tensor) -> list[Tensor]:
        in_weights = torch.zeros_like(weights)
        return [in_weights, *(pull_term(gradient, in_weights) for pull_term in pulls)]

    return Assembled(total, pull)


def part_of(place: slice | Tensor, run: slice) -> slice | Tensor:
    """The places of a run of points, from those of all."""
    return place[run] if isinstance(place, Tensor) else slice(place.start + run.start, place.start + run.stop)


def block_index(rows: slice | Tensor, columns: slice | Tensor) -> tuple:
    """Index of a block of a matrix (..., n, m)."""
    if isinstance(rows, Tensor) and isinstance(columns, Tensor):
        return ..., rows[:, None], columns
    return ..., rows, columns


class PriorCovariance(torch.autograd.Function):
    """The matrix of :func:`assemble` as one node in automatic differentiation."""

    @staticmethod
    def forward(ctx: Any, n: int, terms: Sequence[Term], weights: Tensor, *arguments: Tensor) -> Tensor:
        total, ctx.pull = assemble(n, terms, weights, arguments)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        return None, None, *ctx.pull(grad)
