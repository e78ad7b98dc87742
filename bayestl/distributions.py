"""Predictive distributions of one quantity, row by row: what is left once the latent value is averaged out.

``NormalMixture``  p(y_i) = sum_s w_s N(y_i | m_si, v_si)   (S = 1 is the plain Gaussian)
``Empirical``      equally weighted draws, for functions of tasks that are not affine
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri


class Marginals(Protocol):
    """The distribution of one quantity in each of n rows."""

    def mean(self) -> np.ndarray:
        """Shape (n,)."""

    def std(self) -> np.ndarray:
        """Shape (n,)."""

    def quantile(self, q: float) -> np.ndarray:
        """Shape (n,)."""


def check_probability(q: float, name: str = "q") -> float:
    """``q`` if it is a number strictly between 0 and 1; else ``ValueError``."""
    if not (isinstance(q, int | float | np.floating) and 0.0 < q < 1.0):
        raise ValueError(f"{name} must be a number strictly between 0 and 1, got {q!r}")
    return float(q)


@dataclass(frozen=True)
class NormalMixture:
    """``weights`` (S,), ``means`` (S, n), ``variances`` (S, n)."""

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    def mean(self) -> np.ndarray:
        """Mean of the mixture, (n,)."""
        return self.weights @ self.means

    def std(self) -> np.ndarray:
        """Standard deviation of the mixture, (n,)."""
        spread = self.weights @ (self.means - self.mean()) ** 2
        return np.sqrt(self.weights @ self.variances + spread)

    def cdf(self, y: np.ndarray) -> np.ndarray:
        """``P(Y_i <= y_i)``, (n,)."""
        return self.weights @ ndtr((y - self.means) / np.sqrt(self.variances))

    def log_density(self, y: np.ndarray) -> np.ndarray:
        """``log p(y_i)``, (n,)."""
        terms = -0.5 * np.log(2 * np.pi * self.variances) - 0.5 * (y - self.means) ** 2 / self.variances
        with np.errstate(divide="ignore"):
            return logsumexp(terms + np.log(self.weights)[:, None], axis=0)

    def quantile(self, q: float) -> np.ndarray:
        """The ``q`` quantile, (n,): closed form for one component, else bisection to machine precision."""
        q = check_probability(q)
        each = self.means + np.sqrt(self.variances) * ndtri(q)
        low, high = each.min(axis=0), each.max(axis=0)
        if len(self.weights) == 1:
            return low
        for _ in range(60):
            middle = 0.5 * (low + high)
            below = self.cdf(middle) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return 0.5 * (low + high)

    def scaled(self, location: float, scale: float) -> NormalMixture:
        """The distribution of ``location + scale * y``."""
        return NormalMixture(self.weights, location + scale * self.means, scale**2 * self.variances)

    def widened(self, variance: float | np.ndarray) -> NormalMixture:
        """With independent Gaussian noise added."""
        return NormalMixture(self.weights, self.means, self.variances + variance)


@dataclass(frozen=True)
class Empirical:
    """Equally weighted ``draws`` (K, n)."""

    draws: np.ndarray

    def mean(self) -> np.ndarray:
        """Mean of the draws, (n,)."""
        return self.draws.mean(axis=0)

    def std(self) -> np.ndarray:
        """Standard deviation of the draws, (n,)."""
        return self.draws.std(axis=0, ddof=1)

    def quantile(self, q: float) -> np.ndarray:
        """The ``q`` quantile of the draws, (n,)."""
        return np.quantile(self.draws, check_probability(q), axis=0)
