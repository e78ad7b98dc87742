"""The positive part of a Gaussian mixture: what a truncated normal label is where it has no noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from bayestl.distributions.base import SMALLEST, Array, weighted
from bayestl.distributions.rows import NormalMixture, normal_excess


@dataclass(frozen=True)
class Clipped:
    """``y = max(r, 0)``, ``r ~ root``: exactly zero wherever ``r`` is negative."""

    root: NormalMixture

    def mean(self) -> Array:
        """``E[y]``, (n,)."""
        return self.root.expected_excess(0.0)

    def std(self) -> Array:
        """Standard deviation, (n,)."""
        m, v = self.root.means, self.root.variances
        chance = ndtr(m / np.sqrt(v))
        density = np.exp(-0.5 * m**2 / v) * np.sqrt(v / (2 * np.pi))
        second = weighted(self.root.weights, (m**2 + v) * chance + m * density)
        mean = weighted(self.root.weights, normal_excess(m, v))
        return np.sqrt(np.maximum(second - mean**2, 0.0))

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``."""
        y = np.asarray(y, dtype=float)
        return np.where(y < 0, 0.0, self.root.cdf(y))

    def cdf_below(self, y: Array) -> Array:
        """``P(Y_i < y_i)``, which differs from :meth:`cdf` by the atom, at zero only."""
        return np.where(np.asarray(y) <= 0, 0.0, self.cdf(y))

    def log_density(self, y: Array) -> Array:
        """Log probability of the atom where ``y_i`` is zero, log density elsewhere; minus infinity below zero."""
        y = np.asarray(y, dtype=float)
        atom = np.log(np.maximum(self.root.cdf(np.zeros_like(y)), SMALLEST))
        return np.where(y == 0, atom, np.where(y < 0, -np.inf, self.root.log_density(y)))

    def quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile, (n,)."""
        return np.maximum(self.root.quantile(q), 0.0)
