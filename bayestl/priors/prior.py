"""Covariance over (x, task, group, row), written as the formula is.

Every exact architecture is a linear model of unit-variance processes,

    f_t(x, g, i) = sum_p W[t, p] u_p(x, g, i),        u_p ~ GP(0, k_p),

and differs from the others only in which processes it has and in how it fills ``W``.  This file holds the mixing ``W`` and
:class:`Prior`, which sums the processes (``processes.py``).  The covariance of points with themselves, which every step of a
fit needs with its gradient, is one node of the graph of derivatives, with closed forms inside (``assemble.py``): on small
tables the graph is what costs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add
from typing import cast

import gpytorch
import torch
from torch import Tensor

from bayestl.kernels.hyperpriors import HyperPrior, draw_from_priors
from bayestl.priors.assemble import PriorCovariance, RecentTerms, RowTerm, Term, block_index
from bayestl.priors.processes import PerRow, Points, Process
from bayestl.priors.rows import Residual


class Mixing(gpytorch.Module, ABC):
    """How processes add up to tasks: a matrix ``W`` (T, P) with a fixed pattern of zeros."""

    support: Tensor
    """Boolean (T, P): where ``W`` may differ from zero."""

    @abstractmethod
    def weights(self, row_effects: Tensor) -> Tensor:
        """``W``, shape (T, P), from the loadings (T,) of the row effects."""


class Prior(gpytorch.Module):
    """``f_t(x, g, i) = sum_p W[t, p] u_p(x, g, i)``, with the residual and the likelihood's hyperparameters of each task.

    Parameters
    ----------
    processes : sequence of Process
        The ``u_p``.
    mixing : Mixing
        ``W``.
    residual : Residual
        Row effect and label noise of each task.
    further : sequence of (Module or None)
        Further hyperparameters of the likelihood of each part, None where it has none.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        mixing: Mixing,
        residual: Residual,
        further: Sequence[gpytorch.Module | None] = (),
    ) -> None:
        super().__init__()
        self.processes = torch.nn.ModuleList(processes)
        self.mixing = mixing
        self.residual = residual
        self._further = torch.nn.ModuleDict({str(j): m for j, m in enumerate(further) if m is not None})
        self._raw = list(self.parameters())  # these two save walks over the modules in each step of a fit
        self._hyperprior = HyperPrior(self)
        self._recent = RecentTerms()

    def raw_parameters(self) -> list[torch.nn.Parameter]:
        """All raw hyperparameters, always in the same order."""
        return self._raw

    def further(self, part: int) -> Tensor:
        """Further hyperparameters of the likelihood of a part, an empty vector if it has none."""
        name = str(part)
        return self._further[name]() if name in self._further else self._raw[0].new_zeros(0)

    def weights(self) -> Tensor:
        """``W``, shape (T, P)."""
        return self.mixing.weights(self.residual.row_effects())

    def __iter__(self) -> Iterator[Process]:
        return (cast(Process, process) for process in self.processes)

    def __getitem__(self, p: int) -> Process:
        return cast(Process, self.processes[p])

    @property
    def device(self) -> torch.device:
        """The device that it was made on."""
        return self._raw[0].device

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return self.mixing.support.shape[0]

    def forward(self, terms: Sequence[Term]) -> tuple[Tensor, ...]:
        """What the density of Gaussian labels depends on: ``W``, the noise variances (T,), and the argument of each term."""
        return self.weights(), self.residual.variance(), *(term.process.argument() for term in terms)

    def covariance(self, a: Points, b: Points) -> Tensor:
        """``cov(f(a_i), f(b_j))``, shape (len(a), len(b)); fastest if the points are sorted by task."""
        weights = self.weights()
        if a is b and not a.x.requires_grad:
            terms = self.terms(a)
            return PriorCovariance.apply(len(a.x), terms, weights, *(term.process.argument() for term in terms))
        total = weights.new_zeros(len(a.x), len(b.x))
        columns = {term.p: term for term in self.terms(b)}
        for rows in self.terms(a):
            p = rows.p
            if p in columns:
                other = columns[p]
                block = rows.process.covariance(rows.points, other.points)
                w_a, w_b = weights[rows.points.task, p], weights[other.points.task, p]
                total[block_index(rows.place, other.place)] += w_a[:, None] * block * w_b
        return total

    def blocks(self, a: Points, b: Points) -> Tensor:
        """``cov(f(a_i), f(b_j))`` of many small sets of points (..., n) and (..., m), shape (..., n, m)."""
        weights = self.weights()
        of_a, of_b = (weights[points.task].unbind(-1) for points in (a, b))
        terms = zip(self, of_a, of_b, strict=True)
        return reduce(add, (w[..., :, None] * process.covariance(a, b) * v[..., None, :] for process, w, v in terms))

    def variance(self, a: Points) -> Tensor:
        """``var f(a_i)``, shape (len(a),)."""
        return ((self.weights() ** 2)[a.task] * self._variances(a)).sum(1)

    def within_rows(self, a: Points) -> Tensor:
        """``cov(f_t, f_u)`` (len(a), C, C) of all functions at each of the rows of some points."""
        weights = self.weights()
        return (weights * self._variances(a)[:, None]) @ weights.T

    def _variances(self, a: Points) -> Tensor:
        """The variance (len(a), P) of each process at each point."""
        return torch.stack([process.variance(a) for process in self], dim=-1)

    def process_covariance(self, p: int, a: Points, b: Points) -> Tensor:
        """``cov(u_p(a_i), f(b_j))``, shape (len(a), len(b))."""
        return self[p].covariance(a, b) * self.weights()[b.task, p]

    def terms(self, points: Points) -> list[Term]:
        """Each process with those of the points whose task has it; none where no task of the points has it."""
        terms = self._recent.at(points)
        if terms is None:
            terms = self._split(points)
            self._recent.add(points, terms)
        return terms

    def _split(self, points: Points) -> list[Term]:
        terms = []
        for p, process in enumerate(self):
            index = torch.nonzero(self.mixing.support[points.task, p]).ravel()
            if len(index):
                first, last = int(index[0]), int(index[-1])
                is_contiguous = last - first + 1 == len(index)
                place = slice(first, last + 1) if is_contiguous else index  # a slice needs no copy
                kind = RowTerm if isinstance(process, PerRow) else Term
                terms.append(kind(p, process, points.at(place), place))
        return terms

    def draw_hyperparameters(self, seed: int) -> None:
        """Set all hyperparameters to a draw from their priors."""
        draw_from_priors(self, seed)

    def log_density(self) -> Tensor:
        """``log p(raw hyperparameters)`` at their present values."""
        return self._hyperprior.log_density()

    @property
    def hyperprior(self) -> HyperPrior:
        """The joint prior of all raw hyperparameters, with the Jacobian of the logarithms."""
        return self._hyperprior
