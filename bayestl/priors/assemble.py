"""Covariance over (x, task, group), written as the formula is.

Every exact architecture is a linear model of unit-variance processes,

    f_t(x, g) = sum_p W[t, p] u_p(x, g),        u_p ~ GP(0, k_p),

and differs from the others only in which processes it has and in how it fills ``W``.
So this file holds the processes (a smooth function of x, a constant, one value a group) and :class:`Prior`, which sums
them up.  The covariance of points with themselves, which every step of a fit needs with its gradient, is one node of the
graph of derivatives, with closed forms inside: on small tables the graph is what costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bayestl.priors.processes import Points, Process


class Term(NamedTuple):
    """A process among points: its position, itself, the points that have it and where they are."""

    p: int
    process: Process
    points: Points
    place: slice | Tensor


class Assembled(NamedTuple):
    """``sum_p w_p w_p' o k_p`` of points with themselves, shape (..., n, n), and the way back from a gradient in it."""

    covariance: Tensor
    pull: Callable[[Tensor], list[Tensor]]
    """To gradients in ``W`` and in what each process was evaluated from; the gradient in the covariance is symmetric."""


def assemble(n: int, terms: Sequence[Term], weights: Tensor, arguments: Sequence[Tensor]) -> Assembled:
    """From ``W`` (..., T, P) and the arguments (..., k) of each term."""
    total = weights.new_zeros(*weights.shape[:-2], n, n)
    kept = []
    for (p, process, points, place), argument in zip(terms, arguments, strict=True):
        value, pull_value = process.evaluate(argument, points)
        w = weights[..., points.task, p]
        total[_places(place, place)] += (w[..., None] * value).mul_(w[..., None, :])
        kept.append((value, pull_value, w))

    def pull(gradient: Tensor) -> list[Tensor]:
        in_weights = torch.zeros_like(weights)
        in_arguments = []
        for (p, _, points, place), (value, pull_value, w) in zip(terms, kept, strict=True):
            own = gradient[_places(place, place)]
            in_weights[..., p].index_add_(-1, points.task, 2.0 * ((own * value) @ w[..., None])[..., 0])
            in_arguments.append(pull_value((w[..., None] * own).mul_(w[..., None, :])))
        return [in_weights, *in_arguments]

    return Assembled(total, pull)


def _places(rows: slice | Tensor, columns: slice | Tensor) -> tuple:
    if isinstance(rows, Tensor) and isinstance(columns, Tensor):
        return ..., rows[:, None], columns
    return ..., rows, columns


class _Covariance(torch.autograd.Function):
    """:func:`assemble` as one node of a graph of derivatives."""

    @staticmethod
    def forward(ctx: Any, n: int, terms: Sequence[Term], weights: Tensor, *arguments: Tensor) -> Tensor:  # type: ignore[override]
        total, ctx.pull = assemble(n, terms, weights, arguments)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        return None, None, *ctx.pull(0.5 * (grad + grad.mT))
