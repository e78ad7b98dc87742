"""Weighted mixtures of predictive distributions, such as those of several models for one quantity.

    p(y_i) = sum_k w_ki p_k(y_i)

A mixture of Gaussians, also of logarithms or powers, of those with Student noise, of hurdles (whose positive parts are weighted by the probability of a positive label under each)
or of classes is again of that family; a mixture of anything else is a :class:`WeightedMixture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
from scipy.special import logsumexp

from bayestl.distributions.base import (
    SMALLEST,
    Array,
    Predictive,
    bisect,
    by_row,
    cdf_below,
    check_level,
)
from bayestl.distributions.rows import Discrete, Hurdle, LogNormalMixture, NormalMixture, PowerNormalMixture
from bayestl.distributions.student import StudentMixture


@dataclass(frozen=True)
class WeightedMixture:
    """A mixture of K continuous distributions with ``weights`` (K, n), which sum to one in each row."""

    weights: Array
    members: Sequence[Predictive]

    def _average(self, per_member: Sequence[Array]) -> Array:
        values = np.stack(per_member)
        return np.asarray((self.weights * np.where(self.weights > 0, values, 0.0)).sum(axis=0))  # some are infinite

    def mean(self) -> Array:
        """Mean, (n,)."""
        return self._average([m.mean() for m in self.members])

    def std(self) -> Array:
        """Standard deviation, (n,)."""
        means = [m.mean() for m in self.members]
        with np.errstate(invalid="ignore"):  # an infinite mean has an infinite spread
            centre = self._average(means)
            variance = self._average(
                [m.std() ** 2 + (mean - centre) ** 2 for m, mean in zip(self.members, means, strict=True)]
            )
        return np.where(np.isnan(variance), np.inf, np.sqrt(variance))

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``, (n,), or (k, n) for k values per row."""
        return np.asarray(sum(w * m.cdf(y) for w, m in zip(self.weights, self.members, strict=True)))

    def cdf_below(self, y: Array) -> Array:
        """``P(Y_i < y_i)``."""
        return np.asarray(sum(w * cdf_below(m, y) for w, m in zip(self.weights, self.members, strict=True)))

    def log_density(self, y: Array) -> Array:
        """``log p(y_i)``, (n,); at an atom the logarithm of its probability."""
        atom = self.cdf(y) - self.cdf_below(y)
        return np.where(atom > 0, np.log(np.maximum(atom, SMALLEST)), self._log_density(y))

    def _log_density(self, y: Array) -> Array:
        weights = np.log(np.maximum(self.weights, SMALLEST))
        return np.asarray(logsumexp(weights + np.stack([m.log_density(y) for m in self.members]), axis=0))

    def quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile, (n,), by bisection between those of the members."""
        q = check_level(q)
        quantiles = np.stack([m.quantile(q) for m in self.members])
        lowest = quantiles.min(axis=0)
        found = bisect(self.cdf, q, lowest, quantiles.max(axis=0))
        return np.where(self.cdf(lowest) >= q, lowest, found)  # an atom is hit exactly


def average(weights: Array, members: Sequence[Predictive]) -> Predictive:
    """The mixture of K predictive distributions of the same n labels.

    Parameters
    ----------
    weights : ndarray, shape (K,) or (K, n)
        Weights, which sum to one over the members.
    members : sequence of K distributions
        Predictions, each of n rows.
    """
    if len(members) == 1:
        return members[0]
    columns = by_row(weights)
    for kind in (NormalMixture, StudentMixture):
        alike = [m for m in members if isinstance(m, kind)]
        if len(alike) == len(members):
            moments = [field.name for field in fields(kind)[1:]]  # all but the weights
            per_moment = ([np.broadcast_to(getattr(m, name), m.means.shape) for m in alike] for name in moments)
            return kind(_joined(columns, [m.weights for m in alike]), *map(np.concatenate, per_moment))
    logs = [m.log for m in members if isinstance(m, LogNormalMixture)]
    if len(logs) == len(members):
        joined = average(weights, logs)
        assert isinstance(joined, NormalMixture)
        return LogNormalMixture(joined)
    roots = [m for m in members if isinstance(m, PowerNormalMixture)]
    if len(roots) == len(members) and len({m.power for m in roots}) == 1:
        root = average(weights, [cast(Predictive, m.root) for m in roots])
        if isinstance(root, NormalMixture | StudentMixture):
            return PowerNormalMixture(root, roots[0].power)
    if all(isinstance(m, Discrete) for m in members):
        classes = [m for m in members if isinstance(m, Discrete)]
        probabilities = sum(w[:, None] * m.probabilities for w, m in zip(columns, classes, strict=True))
        return Discrete(np.asarray(probabilities), classes[0].classes)
    if all(isinstance(m, Hurdle) for m in members):
        hurdles = [m for m in members if isinstance(m, Hurdle)]
        zero = np.stack([m.zero for m in hurdles])
        positive = columns * np.maximum(1 - zero, SMALLEST)
        share = positive / positive.sum(axis=0)
        return Hurdle((columns * zero).sum(axis=0), average(share, [m.positive for m in hurdles]))
    return WeightedMixture(np.broadcast_to(columns, (len(members), len(members[0].mean()))), members)


def _joined(columns: Array, weights: Sequence[Array]) -> Array:
    """Weights of all components of K members, from those of the members (K, 1) or (K, n) and of their components."""
    if columns.shape[1] == 1 and all(w.ndim == 1 for w in weights):
        return np.concatenate([c * w for c, w in zip(columns[:, 0], weights, strict=True)])
    products = [c * by_row(w) for c, w in zip(columns, weights, strict=True)]
    n = max(p.shape[1] for p in products)
    return np.concatenate([np.broadcast_to(p, (len(p), n)) for p in products])
