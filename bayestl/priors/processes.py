"""Unit-variance Gaussian processes ``u_p(x, g, i) ~ GP(0, k_p)`` over features x, groups g and rows i.

They are a smooth function of x, a constant, one value per group and one per row; a prior mixes them linearly to the tasks
(:class:`~bayestl.priors.prior.Prior`).  Each gives ``k_p`` between any points, also together with the
pull-back of a gradient (:data:`~bayestl.kernels.stationary.Pull`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import gpytorch
import torch
from torch import Tensor

from bayestl.kernels.stationary import Pull, UnitKernel


class Points(NamedTuple):
    """Points at which functions are evaluated: ``x`` (n, d) scaled features, and codes (n,) of task, group and row.

    A point without a group (a negative code) is a group of its own.  A point without a row is the function of x and of
    known groups alone.
    """

    x: Tensor
    task: Tensor
    group: Tensor
    row: Tensor

    def at(self, index: Tensor | slice) -> Points:
        """The points at the given positions."""
        return Points(*(values[index] for values in self))

    def to(self, device: torch.device) -> Points:
        """The points on a device; themselves where they are there."""
        return self if self.x.device == device else Points(*(values.to(device) for values in self))

    def of_functions(self) -> Points:
        """The same points without their rows."""
        return self._replace(row=torch.full_like(self.row, -1))

    def of_task(self, task: int) -> Points:
        """The same rows as points of one task."""
        return self._replace(task=torch.full_like(self.row, task))

    def every_task(self, n_tasks: int) -> Points:
        """The same rows as points of each task, task by task."""
        task = torch.arange(n_tasks, device=self.task.device).repeat_interleave(len(self.row))
        return Points(*(v.repeat(n_tasks, *[1] * (v.ndim - 1)) for v in self))._replace(task=task)

    def join(self, other: Points) -> Points:
        """The points followed by the other points."""
        return Points(*(torch.cat(pair) for pair in zip(self, other, strict=True)))


class Process(gpytorch.Module, ABC):
    """A zero-mean, unit-variance Gaussian process over (x, group, row)."""

    @abstractmethod
    def covariance(self, a: Points, b: Points) -> Tensor:
        """``k(a_i, b_j)``, shape (len(a), len(b)); of points (..., n) and (..., m) shape (..., n, m)."""

    def variance(self, a: Points) -> Tensor:
        """``k(a_i, a_i)`` (len(a),): one, or zero where there is no such thing at a point."""
        return a.x.new_ones(len(a.x))

    def reaches(self, a: Points, b: Points) -> Tensor:
        """Boolean (len(a),): which of the points may covary with any of the others."""
        return a.x.new_ones(len(a.x), dtype=torch.bool)

    @abstractmethod
    def argument(self) -> Tensor:
        """The argument (k,) of :meth:`evaluate`, differentiable in the hyperparameters."""

    @abstractmethod
    def evaluate(self, argument: Tensor, a: Points, b: Points) -> tuple[Tensor, Pull]:
        """``k(a_i, b_j)`` (..., n, m) at arguments (..., k), and its pull-back to the arguments."""


class Smooth(Process):
    """``u(x) ~ GP(0, k)`` with a kernel of unit variance."""

    def __init__(self, kernel: UnitKernel) -> None:
        super().__init__()
        self.kernel = kernel

    def covariance(self, a: Points, b: Points) -> Tensor:
        return self.kernel.forward(a.x, b.x)

    def argument(self) -> Tensor:
        return self.kernel.argument()

    def evaluate(self, argument: Tensor, a: Points, b: Points) -> tuple[Tensor, Pull]:
        return self.kernel.evaluate(argument, a.x, b.x)


class _Fixed(Process):
    """A process whose covariance depends on no hyperparameter."""

    nothing: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("nothing", torch.zeros(0, dtype=torch.float64), persistent=False)

    def argument(self) -> Tensor:
        return self.nothing

    def evaluate(self, argument: Tensor, a: Points, b: Points) -> tuple[Tensor, Pull]:
        return self.covariance(a, b), lambda gradient: gradient.new_zeros(*gradient.shape[:-2], 0)


class Constant(_Fixed):
    """A constant: the same ``u ~ N(0, 1)`` everywhere."""

    def covariance(self, a: Points, b: Points) -> Tensor:
        return a.x.new_ones(*a.x.shape[:-1], b.x.shape[-2])


class PerGroup(_Fixed):
    """One number per group: ``u_g ~ N(0, 1)``."""

    def covariance(self, a: Points, b: Points) -> Tensor:
        alone = (a.group < 0)[..., :, None] & (b.group < 0)[..., None, :]
        same = (a.group[..., :, None] == b.group[..., None, :]) & ~alone
        return (same | (alone & _same_row(a, b))).to(a.x.dtype)

    def variance(self, a: Points) -> Tensor:
        return ((a.group >= 0) | (a.row >= 0)).to(a.x.dtype)

    def reaches(self, a: Points, b: Points) -> Tensor:
        return ((a.group >= 0) & torch.isin(a.group, b.group)) | _in_rows(a, b)


class PerRow(_Fixed):
    """One number per row: ``u_i ~ N(0, 1)``, what the features do not say of it; zero where there is no row."""

    def covariance(self, a: Points, b: Points) -> Tensor:
        return _same_row(a, b).to(a.x.dtype)

    def variance(self, a: Points) -> Tensor:
        return (a.row >= 0).to(a.x.dtype)

    def reaches(self, a: Points, b: Points) -> Tensor:
        return _in_rows(a, b)


def _same_row(a: Points, b: Points) -> Tensor:
    """Boolean (len(a), len(b)): which pairs of points are of one row."""
    return (a.row[..., :, None] == b.row[..., None, :]) & (a.row >= 0)[..., :, None]


def _in_rows(a: Points, b: Points) -> Tensor:
    """Boolean (len(a),): which of the points are of the row of any of the others."""
    return (a.row >= 0) & torch.isin(a.row, b.row)
