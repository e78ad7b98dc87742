"""The families of predictive distributions, row by row, with the latent value averaged out.

``NormalMixture``     p(y_i) = sum_s w_s N(y_i | m_si, v_si)               (S = 1 is the plain Gaussian)
``LogNormalMixture``  log y_i follows a ``NormalMixture``
``PowerNormalMixture``  a power of y is the absolute value of a ``NormalMixture`` or ``StudentMixture`` (``student.py``)
``TruncatedMixture``  as ``NormalMixture``, each component truncated to ``y > 0``
``Hurdle``            exactly zero with probability p_i, else one of the positive ones
``Discrete``          one of K classes
``Empirical``         equally weighted draws, for functions of tasks that are not affine

Means, standard deviations, distribution functions and quantiles are closed forms, quadratures or bisections, never
draws, except in ``Empirical``.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.special import gammaln, hyp1f1, log_ndtr, logsumexp, ndtr, ndtri

from bayestl.distributions.base import (
    SMALLEST,
    Array,
    Predictive,
    Root,
    bisect,
    by_row,
    check_level,
    standard_deviation,
    weighted,
)


@dataclass(frozen=True)
class NormalMixture:
    """A mixture of S Gaussians in each row: ``weights`` (S,) or (S, n), ``means`` (S, n), ``variances`` (S, n)."""

    weights: Array
    means: Array
    variances: Array

    def mean(self) -> Array:
        """Mean of the mixture, (n,)."""
        return weighted(self.weights, self.means)

    def std(self) -> Array:
        """Standard deviation of the mixture, (n,)."""
        spread = weighted(self.weights, (self.means - self.mean()) ** 2)
        return np.sqrt(weighted(self.weights, self.variances) + spread)

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``, (n,), or (k, n) for k values per row."""
        z = (np.asarray(y)[..., None, :] - self.means) / np.sqrt(self.variances)
        return weighted(self.weights, ndtr(z))

    def log_density(self, y: Array) -> Array:
        """``log p(y_i)``, (n,)."""
        terms = -0.5 * np.log(2 * np.pi * self.variances) - 0.5 * (y - self.means) ** 2 / self.variances
        with np.errstate(divide="ignore"):
            return logsumexp(terms + np.log(by_row(self.weights)), axis=0)

    def quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile, (n,): closed form for one component, else bisection to machine precision."""
        q = check_level(q)
        quantiles = self.means + np.sqrt(self.variances) * ndtri(q)  # of the components
        if len(self.weights) == 1:
            return quantiles[0]
        return bisect(self.cdf, q, quantiles.min(axis=0), quantiles.max(axis=0))

    def scaled(self, location: float, scale: float) -> NormalMixture:
        """The distribution of ``location + scale * y``."""
        return NormalMixture(self.weights, location + scale * self.means, scale**2 * self.variances)

    def widened(self, variance: float | Array) -> NormalMixture:
        """The distribution of ``y`` plus independent Gaussian noise of the given variance."""
        return NormalMixture(self.weights, self.means, self.variances + variance)

    def absolute_moment(self, power: float) -> Array:
        """``E|y_i|^power``, (n,)."""
        return weighted(self.weights, absolute_moment(self.means, self.variances, power))

    def absolute_quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile of ``|y_i|``, (n,), by bisection."""
        upper = (np.abs(self.means) + 40 * np.sqrt(self.variances)).max(axis=0)
        return bisect(lambda r: self.cdf(r) - self.cdf(-r), check_level(q), np.zeros_like(upper), upper)

    def expected_excess(self, threshold: float, sign: float = 1.0) -> Array:
        """``E max(sign y_i - threshold, 0)``, (n,)."""
        return weighted(self.weights, normal_excess(sign * self.means - threshold, self.variances))


def absolute_moment(means: Array, variances: Array, power: float) -> Array:
    """``E|r|^power`` of Gaussians (Winkelbauer 2012, *Moments and absolute moments of the normal distribution*)."""
    factor = np.exp(gammaln(0.5 * (power + 1.0)) + 0.5 * power * np.log(2.0)) / np.sqrt(np.pi)
    squared = 0.5 * means**2 / variances
    return factor * variances ** (0.5 * power) * hyp1f1(-0.5 * power, 0.5, -squared)


def normal_excess(means: Array, variances: Array) -> Array:
    """``E max(r, 0)`` of Gaussians."""
    sd = np.sqrt(variances)
    z = np.clip(means / sd, -1e3, 1e3)
    tail = sd * (z * ndtr(z) + np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
    return np.where(np.abs(z) < 1e3, np.maximum(tail, 0.0), np.maximum(means, 0.0))


@dataclass(frozen=True)
class LogNormalMixture:
    """A positive quantity whose logarithm follows ``log``."""

    log: NormalMixture

    def mean(self) -> Array:
        """``E[y]``, (n,); infinite where it is no number of the machine."""
        with np.errstate(over="ignore"):
            return weighted(self.log.weights, np.exp(self.log.means + 0.5 * self.log.variances))

    def std(self) -> Array:
        """Standard deviation, (n,)."""
        with np.errstate(over="ignore"):
            second = weighted(self.log.weights, np.exp(2 * self.log.means + 2 * self.log.variances))
        return standard_deviation(self.mean(), second)

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``."""
        y = np.asarray(y, dtype=float)
        return np.where(y > 0, self.log.cdf(np.log(np.maximum(y, SMALLEST))), 0.0)

    def log_density(self, y: Array) -> Array:
        """``log p(y_i)``; minus infinity where ``y_i`` is not positive."""
        y = np.asarray(y, dtype=float)
        logs = np.log(np.maximum(y, SMALLEST))
        return np.where(np.isnan(y) | (y > 0), self.log.log_density(np.where(np.isnan(y), y, logs)) - logs, -np.inf)

    def quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile, (n,)."""
        with np.errstate(over="ignore"):
            return np.exp(self.log.quantile(q))


@dataclass(frozen=True)
class PowerNormalMixture:
    """A positive quantity with ``y^power = |r|``, ``r ~ root``: a mixture of Gaussians, or one with Student noise."""

    root: Root
    power: float

    def _moment(self, k: int) -> Array:
        """``E[y^k]``, (n,)."""
        return self.root.absolute_moment(k / self.power)

    def mean(self) -> Array:
        """``E[y]``, (n,)."""
        return self._moment(1)

    def std(self) -> Array:
        """Standard deviation, (n,)."""
        return standard_deviation(self.mean(), self._moment(2))

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``."""
        r = np.maximum(np.asarray(y, dtype=float), 0.0) ** self.power
        return np.maximum(self.root.cdf(r) - self.root.cdf(-r), 0.0)

    def log_density(self, y: Array) -> Array:
        """``log p(y_i)``; minus infinity where ``y_i`` is not positive."""
        y = np.asarray(y, dtype=float)
        positive = np.where(y > 0, y, 1.0)
        r = positive**self.power
        value = np.logaddexp(self.root.log_density(r), self.root.log_density(-r))
        value += np.log(self.power) + (self.power - 1.0) * np.log(positive)
        return np.where(np.isnan(y), np.nan, np.where(y > 0, value, -np.inf))

    def quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile, (n,)."""
        return self.root.absolute_quantile(q) ** (1.0 / self.power)


@dataclass(frozen=True)
class TruncatedMixture:
    """A mixture of Gaussians truncated to positive values, with ``weights`` (S,) or (S, n).

    ``p(y_i) = sum_s w_s N(y_i | m_si, v_si) / P(N(m_si, v_si) > 0)`` for ``y_i > 0``.
    """

    weights: Array
    means: Array
    variances: Array

    def _parts(self) -> tuple[Array, Array, Array]:
        sd = np.sqrt(self.variances)
        ratio = self.means / sd
        return sd, ratio, log_ndtr(ratio)

    def mean(self) -> Array:
        """``E[y]``, (n,)."""
        sd, ratio, log_mass = self._parts()
        return weighted(self.weights, self.means + sd * self._hazard(ratio, log_mass))

    @staticmethod
    def _hazard(ratio: Array, log_mass: Array) -> Array:
        return np.exp(-0.5 * ratio**2 - 0.5 * np.log(2 * np.pi) - log_mass)

    def std(self) -> Array:
        """Standard deviation, (n,)."""
        sd, ratio, log_mass = self._parts()
        hazard = self._hazard(ratio, log_mass)
        mean = self.means + sd * hazard
        variance = np.maximum(self.variances * (1 - hazard * (hazard + ratio)), 0.0)
        return np.sqrt(np.maximum(weighted(self.weights, variance + mean**2) - weighted(self.weights, mean) ** 2, 0.0))

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``."""
        sd, _, log_mass = self._parts()
        y = np.asarray(y, dtype=float)
        above = np.exp(log_ndtr((self.means - np.maximum(y, 0.0)[..., None, :]) / sd) - log_mass)
        return np.clip(1.0 - weighted(self.weights, above), 0.0, 1.0)

    def log_density(self, y: Array) -> Array:
        """``log p(y_i)``; minus infinity where ``y_i`` is not positive."""
        sd, _, log_mass = self._parts()
        y = np.asarray(y, dtype=float)
        terms = -0.5 * ((y - self.means) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi) - log_mass
        weights = by_row(self.weights)
        with np.errstate(divide="ignore"):
            value = logsumexp(terms + np.log(weights), axis=0)
        return np.where(np.isnan(y) | (y > 0), value, -np.inf)

    def quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile, (n,)."""
        sd, ratio, _ = self._parts()
        high = (np.maximum(self.means, 0.0) + sd * (9.0 + np.maximum(-ratio, 0.0))).max(axis=0)
        return bisect(self.cdf, q, np.zeros_like(high), high)


@dataclass(frozen=True)
class Hurdle:
    """A quantity that is zero with probability ``zero`` (n,), else distributed as ``positive``."""

    zero: Array
    positive: Predictive

    def _average(self, values: Array) -> Array:
        """Zero and ``values`` (n,) of the positive part, of which some may be infinite, by their probabilities."""
        return (1 - self.zero) * np.where(self.zero < 1, values, 0.0)

    def mean(self) -> Array:
        """``E[y]``, (n,)."""
        return self._average(self.positive.mean())

    def std(self) -> Array:
        """Standard deviation, (n,)."""
        mean = self.positive.mean()
        return standard_deviation(self._average(mean), self._average(self.positive.std() ** 2 + mean**2))

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``."""
        y = np.asarray(y, dtype=float)
        return np.where(y < 0, 0.0, self.zero + (1 - self.zero) * self.positive.cdf(y))

    def cdf_below(self, y: Array) -> Array:
        """``P(Y_i < y_i)``, which differs from :meth:`cdf` by the atom, at zero only."""
        return np.where(np.asarray(y) == 0, 0.0, self.cdf(y))

    def log_density(self, y: Array) -> Array:
        """Log probability of the atom where ``y_i`` is zero, log density elsewhere."""
        y = np.asarray(y, dtype=float)
        size = self.positive.log_density(np.where(y == 0, 1.0, y))
        atom = np.log(np.maximum(self.cdf(np.zeros_like(y)), SMALLEST))  # latent sizes may be zero too
        return np.where(y == 0, atom, np.log(np.maximum(1 - self.zero, SMALLEST)) + size)

    def quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile, (n,): exactly 0 where ``q`` is at most the probability of zero."""
        beyond = (np.asarray(q) - self.zero) / np.maximum(1 - self.zero, SMALLEST)
        inside = np.clip(beyond, 1e-12, 1 - 1e-12)
        return np.where(beyond <= 0, 0.0, self.positive.quantile(inside))


@dataclass(frozen=True)
class Discrete:
    """A class, with ``probabilities`` (n, K) of ``classes`` (K,); methods take and return positions of classes."""

    probabilities: Array
    classes: tuple[Hashable, ...]

    def mean(self) -> Array:
        """Mean position, (n,)."""
        return self.probabilities @ np.arange(len(self.classes))

    def std(self) -> Array:
        """Standard deviation of the position, (n,)."""
        position = np.arange(len(self.classes))
        return np.sqrt(np.maximum(self.probabilities @ position**2 - self.mean() ** 2, 0.0))

    def mode(self) -> Array:
        """Position of the likeliest class, (n,)."""
        return self.probabilities.argmax(axis=1).astype(float)

    def cdf(self, y: Array) -> Array:
        """``P(position <= y_i)``."""
        y = np.asarray(y, dtype=float)
        up_to = np.arange(len(self.classes)) <= y[..., None] + 1e-9
        return np.where(np.isnan(y), np.nan, (self.probabilities * up_to).sum(axis=-1))

    def cdf_below(self, y: Array) -> Array:
        """``P(position < y_i)``."""
        return self.cdf(np.ceil(np.asarray(y, dtype=float) - 1e-9) - 1.0)

    def log_density(self, y: Array) -> Array:
        """Log probability of the class at position ``y_i``, (n,)."""
        y = np.asarray(y, dtype=float)
        position = np.where(np.isnan(y), 0, y).astype(int)
        probability = self.probabilities[np.arange(len(y)), position]
        return np.where(np.isnan(y), np.nan, np.log(np.maximum(probability, SMALLEST)))

    def quantile(self, q: float | Array) -> Array:
        """The least position whose cumulated probability reaches ``q``, (n,)."""
        cumulated = np.cumsum(self.probabilities, axis=1)
        level = np.broadcast_to(np.asarray(q, dtype=float), (len(cumulated),))[:, None]
        return np.minimum((cumulated < level - 1e-12).sum(axis=1), len(self.classes) - 1).astype(float)


@dataclass(frozen=True)
class Empirical:
    """The empirical distribution of equally weighted ``draws`` (K, n)."""

    draws: Array

    def mean(self) -> Array:
        """Mean of the draws, (n,)."""
        return self.draws.mean(axis=0)

    def std(self) -> Array:
        """Standard deviation of the draws, (n,)."""
        return self.draws.std(axis=0, ddof=1)

    def quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile of the draws, (n,)."""
        if not (isinstance(q, np.ndarray) and q.ndim):
            return cast(Array, np.quantile(self.draws, check_level(q), axis=0))
        return np.array([np.quantile(of_row, level) for of_row, level in zip(self.draws.T, q, strict=True)])
