"""Covariance over (x, task, group), written as the formula is.

Every exact architecture is a linear model of unit-variance processes,

    f_t(x, g) = sum_p W[t, p] u_p(x, g),        u_p ~ GP(0, k_p),

and differs from the others only in which processes it has and in how it fills ``W``.
So this file holds the processes (a smooth function of x, a constant, one value a group) and :class:`Prior`, which sums
them up.  The covariance of points with themselves, which every step of a fit needs with its gradient, is one node of the
graph of derivatives, with closed forms inside: on small tables the graph is what costs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import gpytorch
import torch
from torch import Tensor

from bayestl.kernels.stationary import Pull, UnitKernel


class Points(NamedTuple):
    """Where functions are evaluated: ``x`` (n, d) scaled features, ``task`` (n,) and ``group`` (n,) codes."""

    x: Tensor
    task: Tensor
    group: Tensor

    def at(self, index: Tensor | slice) -> Points:
        """The points at the given positions."""
        return Points(self.x[index], self.task[index], self.group[index])

    def join(self, other: Points) -> Points:
        """These points, then the other ones."""
        return Points(*(torch.cat(pair) for pair in zip(self, other, strict=True)))


class Process(gpytorch.Module, ABC):
    """A zero-mean, unit-variance Gaussian process over (x, group)."""

    @abstractmethod
    def covariance(self, a: Points, b: Points) -> Tensor:
        """``k(a_i, b_j)``, shape (len(a), len(b))."""

    @abstractmethod
    def argument(self) -> Tensor:
        """What :meth:`evaluate` depends on, shape (k,), differentiable in the hyperparameters."""

    @abstractmethod
    def evaluate(self, argument: Tensor, at: Points) -> tuple[Tensor, Pull]:
        """``k(at_i, at_j)`` at arguments (..., k), and how a symmetric gradient (..., n, n) in it becomes one in them."""


class Smooth(Process):
    """``u(x) ~ GP(0, k)`` with a kernel of unit variance."""

    def __init__(self, kernel: UnitKernel) -> None:
        super().__init__()
        self.kernel = kernel

    def covariance(self, a: Points, b: Points) -> Tensor:
        return self.kernel.forward(a.x, b.x)

    def argument(self) -> Tensor:
        return self.kernel.argument()

    def evaluate(self, argument: Tensor, at: Points) -> tuple[Tensor, Pull]:
        return self.kernel.evaluate(argument, at.x)


class _Fixed(Process):
    """A process whose covariance depends on no hyperparameter."""

    def argument(self) -> Tensor:
        return torch.zeros(0, dtype=torch.float64)

    def evaluate(self, argument: Tensor, at: Points) -> tuple[Tensor, Pull]:
        return self.covariance(at, at), lambda gradient: gradient.new_zeros(*gradient.shape[:-2], 0)


class Constant(_Fixed):
    """One number: ``u ~ N(0, 1)`` everywhere."""

    def covariance(self, a: Points, b: Points) -> Tensor:
        return a.x.new_ones(len(a.x), len(b.x))


class PerGroup(_Fixed):
    """One number a group: ``u_g ~ N(0, 1)``."""

    def covariance(self, a: Points, b: Points) -> Tensor:
        return (a.group[:, None] == b.group[None, :]).to(a.x.dtype)
