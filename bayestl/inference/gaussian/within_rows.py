"""Latent values of many rows given labels, all functions of a row together, from as few triangular solves as they allow.

    f_t = sum_j A[t, j] b_j,        b_j = sum_p B[j, p] u_p,        W = A B

Each kernel is evaluated once for all functions that have it.  ``B`` has as many rows as ``W``, chosen so that they begin as
late among the labels as they can: ``L^-1`` of a vector is zero before the first label that knows of it.  Where a level follows
another, ``f_2 = rho f_1 + delta``, they are ``f_1`` and ``delta``, of which only the labels of the second level know.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bayestl.device import tensor
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Constant, Points, Process

LARGEST_RATIO = 100.0
"""Largest multiple of another function that is subtracted from one, which bounds what rounding can grow by."""
ROUNDING = 1e-13
"""Size, relative to its terms, below which a difference is zero."""


class _Part(NamedTuple):
    """A process in functions: its points among the labels, their places, and its weight in each of these functions."""

    process: Process
    points: Points
    place: slice | Tensor
    weights: list[tuple[int, Tensor]]


class Functions:
    """The functions ``b_j`` of a prior, which mix to its latent functions, and their covariances with labels.

    Parameters
    ----------
    prior : Prior
        At the hyperparameters of the labels' posterior.
    points : Points
        The latent values of the labels.
    """

    def __init__(self, prior: Prior, points: Points) -> None:
        self._prior = prior
        n, weights, terms = len(points.x), prior.weights(), prior.terms(points)
        host = weights.cpu()  # what is decided for each function is decided there
        first = torch.full_like(host[0], n, dtype=torch.long)
        for term in terms:
            first[term.p] = term.place.start if isinstance(term.place, slice) else int(term.place[0])
        mixing, basis = late(host, first, n)
        self.mixing = mixing.to(weights.device)
        starts = [begins(row, first, n) for row in basis]
        starts_of = sorted(set(starts) - {n})
        self.groups = {start: [j for j, s in enumerate(starts) if s == start] for start in starts_of}
        self._places = {start: tensor(np.array(js), weights.device) for start, js in self.groups.items()}
        self._constant = weights.new_zeros(len(basis), n)
        self._parts = []
        for term in terms:
            own = weights[term.points.task, term.p]
            of_functions = [(j, float(basis[j, term.p]) * own) for j in range(len(basis)) if basis[j, term.p] != 0]
            if isinstance(term.process, Constant):
                for j, w in of_functions:
                    self._constant[j, term.place] += w
            else:
                self._parts.append(_Part(term.process, term.points, term.place, of_functions))

    def covariances(self, at: Points) -> dict[int, Tensor]:
        """``cov(b_j(x), y)`` (J, n, N - start) of n rows with the labels from ``start`` on, for the J functions of each group."""
        k, n = len(at.x), self._constant.shape[1]
        vectors = {s: self._constant[js, None, s:].repeat(1, k, 1) for s, js in self._places.items()}
        of_function = {j: (vectors[s][i], s) for s, js in self.groups.items() for i, j in enumerate(js)}
        for process, points, place, weights in self._parts:
            reached = process.reaches(at, points)
            if not bool(reached.any()):
                continue
            rows = None if bool(reached.all()) else torch.nonzero(reached)
            block = process.covariance(at if rows is None else at.at(rows[:, 0]), points)
            for j, w in weights:
                vector, start = of_function[j]
                if rows is None and isinstance(place, slice):
                    vector[:, place.start - start : place.stop - start].addcmul_(block, w)
                else:
                    columns = torch.arange(n, device=w.device)[place] if isinstance(place, slice) else place
                    every = torch.arange(k, device=w.device)[:, None]
                    vector[every if rows is None else rows, columns - start] += block * w
        return vectors

    def given(self, at: Points, factor: Tensor, whitened: Tensor) -> tuple[Tensor, Tensor]:
        """Means (n, C) and covariances (n, C, C) of all latent functions at n rows, from ``L`` and ``L^-1 y`` of the labels."""
        k, size = len(at.x), len(self.mixing)
        mean, known = factor.new_zeros(k, size), factor.new_zeros(k, size, size)
        halves: list[tuple[int, list[int], Tensor]] = []
        for start, cross in self.covariances(at).items():
            functions, rest = self.groups[start], cross.shape[-1]
            right = cross.view(-1, rest).T  # by columns, as the solve takes it without a copy
            half = torch.linalg.solve_triangular(factor[start:, start:], right, upper=False).T.view(cross.shape)
            mean[:, self._places[start]] = (half @ whitened[start:]).T
            halves.append((start, functions, half))
            for earlier, others, other_half in halves:
                for j, h in zip(functions, half, strict=True):
                    for i, g in zip(others, other_half, strict=True):
                        known[:, i, j] = known[:, j, i] = (h * g[:, start - earlier :]).sum(1)
        return mean @ self.mixing.T, self._prior.within_rows(at) - self.mixing @ known @ self.mixing.T


def begins(row: Tensor, first: Tensor, n: int) -> int:
    """The first of n labels that knows of a function with weights (P,) of processes, which begin at ``first`` (P,)."""
    return int(first[row != 0].min()) if bool((row != 0).any()) else n


def late(weights: Tensor, first: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """``A`` (T, T) and ``B`` (T, P) with ``W = A B``: from each row multiples of earlier ones, where it then begins later."""
    mixing, basis = torch.eye(len(weights), dtype=weights.dtype, device=weights.device), weights.clone()
    for t in range(len(weights)):
        for j in range(t):
            present = basis[j] != 0
            start = begins(basis[t], first, n)
            if begins(basis[j], first, n) != start or start == n:
                continue
            pivot = int(torch.where(present & (first == start), basis[j].abs(), -1.0).argmax())
            multiple = basis[t, pivot] / basis[j, pivot]
            left = basis[t] - multiple * basis[j]
            left[left.abs() <= ROUNDING * (basis[t].abs() + (multiple * basis[j]).abs())] = 0.0
            if multiple.abs() <= LARGEST_RATIO and begins(left, first, n) > start:
                basis[t], mixing[t, j] = left, multiple
    return mixing, basis
