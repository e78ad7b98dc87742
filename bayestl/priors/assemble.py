"""The covariance matrix of one set of points under a prior, with its gradient in closed form.

    K = sum_p w_p w_p' o K_p,        w_p[i] = W[task_i, p],        o the elementwise product

Every step of a fit needs it, so it is a single node in automatic differentiation, whose overhead dominates on small
tables; it can also be evaluated for many sets of hyperparameters at once (any leading dimensions).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bayestl.priors.processes import Points, Process


class Term(NamedTuple):
    """A process among points: its index p, the process, the points whose task has it, and their places among all."""

    p: int
    process: Process
    points: Points
    place: slice | Tensor


class Assembled(NamedTuple):
    """The covariance matrix ``sum_p w_p w_p' o K_p``, shape (..., n, n), and the pull-back of a gradient."""

    covariance: Tensor
    pull: Callable[[Tensor], list[Tensor]]
    """From a symmetric gradient in the covariance to the gradients in ``W`` and in the argument of each process."""


def assemble(n: int, terms: Sequence[Term], weights: Tensor, arguments: Sequence[Tensor]) -> Assembled:
    """The covariance matrix of n points from ``W`` (..., T, P) and the argument (..., k) of each term."""
    total = weights.new_zeros(*weights.shape[:-2], n, n)
    evaluated = []
    for (p, process, points, place), argument in zip(terms, arguments, strict=True):
        value, pull_value = process.evaluate(argument, points)
        w = weights[..., points.task, p]
        total[_places(place, place)] += (w[..., None] * value).mul_(w[..., None, :])
        evaluated.append((value, pull_value, w))

    def pull(gradient: Tensor) -> list[Tensor]:
        in_weights = torch.zeros_like(weights)
        in_arguments = []
        for (p, _, points, place), (value, pull_value, w) in zip(terms, evaluated, strict=True):
            block = gradient[_places(place, place)]
            in_weights[..., p].index_add_(-1, points.task, 2.0 * ((block * value) @ w[..., None])[..., 0])
            in_arguments.append(pull_value((w[..., None] * block).mul_(w[..., None, :])))
        return [in_weights, *in_arguments]

    return Assembled(total, pull)


def _places(rows: slice | Tensor, columns: slice | Tensor) -> tuple:
    if isinstance(rows, Tensor) and isinstance(columns, Tensor):
        return ..., rows[:, None], columns
    return ..., rows, columns


class _Covariance(torch.autograd.Function):
    """The matrix of :func:`assemble` as one node in automatic differentiation."""

    @staticmethod
    def forward(ctx: Any, n: int, terms: Sequence[Term], weights: Tensor, *arguments: Tensor) -> Tensor:  # type: ignore[override]
        total, ctx.pull = assemble(n, terms, weights, arguments)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        return None, None, *ctx.pull(0.5 * (grad + grad.mT))
