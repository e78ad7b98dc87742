"""Covariance over (x, task, group), written as the formula is.

Every exact architecture is a linear model of unit-variance processes,

    f_t(x, g) = sum_p W[t, p] u_p(x, g),        u_p ~ GP(0, k_p),

and differs from the others only in which processes it has and in how it fills ``W``.
So this file holds the processes (a smooth function of x, a constant, one value a group) and :class:`Prior`, which sums
them up.  The covariance of points with themselves, which every step of a fit needs with its gradient, is one node of the
graph of derivatives, with closed forms inside: on small tables the graph is what costs.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import gpytorch
import torch
from torch import Tensor

from bayestl.kernels.hyperpriors import HyperPrior, draw_from_priors
from bayestl.likelihoods.hyperparameters import Noise
from bayestl.priors.assemble import Term, _Covariance, _places
from bayestl.priors.processes import Points, Process


class Mixing(gpytorch.Module, ABC):
    """How processes add up to tasks: a matrix ``W`` (T, P) with a fixed pattern of zeros."""

    support: Tensor
    """Boolean (T, P): where ``W`` may differ from zero."""

    @abstractmethod
    def weights(self) -> Tensor:
        """``W``, shape (T, P)."""


class Prior(gpytorch.Module):
    """``f_t(x, g) = sum_p W[t, p] u_p(x, g)``, the noise of each task, and what else its likelihood needs."""

    def __init__(
        self,
        processes: Sequence[Process],
        mixing: Mixing,
        noise: Noise,
        further: Sequence[gpytorch.Module | None] = (),
    ) -> None:
        super().__init__()
        self.processes = torch.nn.ModuleList(processes)
        self.mixing = mixing
        self.noise = noise
        self._further = torch.nn.ModuleDict({str(j): m for j, m in enumerate(further) if m is not None})
        self._forget()

    def _forget(self) -> None:
        """Drop what is kept to save walks over the modules."""
        self._hyperprior: HyperPrior | None = None
        self._raw: list[torch.nn.Parameter] | None = None
        self._places: list[tuple[Points, list[Term]]] = []

    def raw_parameters(self) -> list[torch.nn.Parameter]:
        """All raw hyperparameters, always in the same order."""
        if self._raw is None:
            self._raw = list(self.parameters())
        return self._raw

    def further(self, part: int) -> Tensor:
        """Further hyperparameters of the likelihood of a part (none: an empty vector)."""
        name = str(part)
        return self._further[name]() if name in self._further else torch.zeros(0, dtype=torch.float64)

    def __iter__(self) -> Iterator[Process]:
        return iter(self.processes)  # type: ignore[arg-type]

    def __getitem__(self, p: int) -> Process:
        return self.processes[p]  # type: ignore[return-value]

    @property
    def n_tasks(self) -> int:
        """How many tasks the prior speaks of."""
        return self.mixing.support.shape[0]

    def forward(self, terms: Sequence[Term]) -> tuple[Tensor, ...]:
        """All that a likelihood of Gaussian labels depends on: ``W``, the noise variances (T,), and the argument of each term."""
        return self.mixing.weights(), self.noise.variance(), *(term.process.argument() for term in terms)

    def covariance(self, a: Points, b: Points) -> Tensor:
        """``cov(f(a_i), f(b_j))``, shape (len(a), len(b)); fastest where points are sorted by task."""
        weights = self.mixing.weights()
        if a is b and not a.x.requires_grad:
            terms = self.terms(a)
            return _Covariance.apply(len(a.x), terms, weights, *(term.process.argument() for term in terms))
        total = weights.new_zeros(len(a.x), len(b.x))
        columns = {term.p: term for term in self.terms(b)}
        for p, process, own_a, rows in self.terms(a):
            if p in columns:
                _, _, own_b, place = columns[p]
                block = process.covariance(own_a, own_b)
                w_a, w_b = weights[own_a.task, p], weights[own_b.task, p]
                total[_places(rows, place)] += w_a[:, None] * block * w_b
        return total

    def variance(self, a: Points) -> Tensor:
        """``var f(a_i)``, shape (len(a),): the processes have unit variance."""
        return (self.mixing.weights() ** 2).sum(1)[a.task]

    def process_covariance(self, p: int, a: Points, b: Points) -> Tensor:
        """``cov(u_p(a_i), f(b_j))``, shape (len(a), len(b))."""
        return self[p].covariance(a, b) * self.mixing.weights()[b.task, p]

    def terms(self, points: Points) -> list[Term]:
        """Each process with those of the points whose task has it: a slice of them where they lie together."""
        for known, terms in self._places:
            if known is points:
                return terms
        terms = []
        for p, process in enumerate(self):
            index = torch.nonzero(self.mixing.support[points.task, p]).ravel()
            if len(index):
                first, last = int(index[0]), int(index[-1])
                place = slice(first, last + 1) if last - first + 1 == len(index) else index
                terms.append(Term(p, process, points.at(place), place))
        self._places = [*self._places[-3:], (points, terms)]
        return terms

    def draw_hyperparameters(self, seed: int) -> None:
        """Set all hyperparameters to a draw from their priors."""
        draw_from_priors(self, seed)

    def log_density(self) -> Tensor:
        """``log p(raw hyperparameters)`` at the present ones."""
        return self.hyperprior.log_density()

    @property
    def hyperprior(self) -> HyperPrior:
        """The registered priors of all raw hyperparameters, with the Jacobian of the logarithms."""
        if self._hyperprior is None:
            self._hyperprior = HyperPrior(self)
        return self._hyperprior

    def __deepcopy__(self, memo: dict[int, Any]) -> Prior:
        self._forget()
        own = self.__class__.__new__(self.__class__)
        memo[id(self)] = own
        own.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return own
