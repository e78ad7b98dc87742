"""Predictive distributions of one quantity, row by row, with the latent value averaged out.

``NormalMixture``     p(y_i) = sum_s w_s N(y_i | m_si, v_si)               (S = 1 is the plain Gaussian)
``LogNormalMixture``  log y_i follows a ``NormalMixture``
``PowerNormalMixture``  a power of y is the absolute value of a ``NormalMixture``
``TruncatedMixture``  as ``NormalMixture``, each component cut off below zero
``Hurdle``            exactly zero with probability p_i, else one of the positive ones
``Discrete``          one of K classes
``Empirical``         equally weighted draws, for functions of tasks that are not affine

Means, spreads, distribution functions and quantiles are closed forms or bisections, never draws, except in ``Empirical``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import numpy as np

BISECTIONS = 60
"""Halvings of a bracket, down to machine precision."""
SMALLEST = 1e-300
"""Least probability or density of which a logarithm is taken."""
Array = np.ndarray


class Marginals(Protocol):
    """The distribution of one number in each of n rows."""

    def mean(self) -> Array:
        """Means (n,)."""

    def std(self) -> Array:
        """Standard deviations (n,)."""

    def quantile(self, q: float | Array) -> Array:
        """Quantiles (n,); ``q`` is a number, or one per row."""


class Predictive(Marginals, Protocol):
    """A distribution whose distribution function and density are known."""

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``, shape (n,) or, for ``y`` of shape (k, n), (k, n)."""

    def log_density(self, y: Array) -> Array:
        """``log p(y_i)``, shape (n,); at an atom the logarithm of its probability."""


class Root(Protocol):
    """A distribution of a number, and that of its absolute value."""

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``."""

    def log_density(self, y: Array) -> Array:
        """``log p(y_i)``, (n,)."""

    def absolute_moment(self, power: float) -> Array:
        """``E|y_i|^power``, (n,)."""

    def absolute_quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile of ``|y_i|``, (n,)."""


def standard_deviation(mean: Array, second: Array) -> Array:
    """The standard deviation (n,) from the first and second moments, infinite where the second is."""
    finite = np.isfinite(second)
    variance = np.where(finite, second, 0.0) - np.where(finite, mean, 0.0) ** 2
    return np.where(finite, np.sqrt(np.maximum(variance, 0.0)), second)


def check_probability(q: float, name: str = "q") -> float:
    """``q`` if it is a number strictly between 0 and 1, else a ``ValueError``."""
    if not (isinstance(q, int | float | np.floating) and 0.0 < q < 1.0):
        raise ValueError(f"{name} must be a number strictly between 0 and 1, got {q!r}")
    return float(q)


def is_number(value: Any) -> bool:
    """Whether a value is a real number, NaN and infinity among them; truth values are none."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_number(value: float, name: str, infinite: bool = False) -> float:
    """``value`` if it is a number, and finite unless it may be ``infinite``, else a ``ValueError``."""
    if not is_number(value) or np.isnan(value):
        raise ValueError(f"{name} must be a number, got {value!r}")
    if np.isinf(value) and not infinite:
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def check_level(q: float | Array) -> float | Array:
    """``q`` if it is an array or a number strictly between 0 and 1, else a ``ValueError``."""
    return q if isinstance(q, np.ndarray) and q.ndim else check_probability(cast(float, q))


def bisect(cdf: Callable[[Array], Array], q: float | Array, low: Array, high: Array) -> Array:
    """The least value (n,) between ``low`` and ``high`` at which an increasing function reaches ``q``, by bisection.

    ``scipy.optimize.elementwise.find_root`` needs fewer steps, but it stops anywhere where the function is flat at ``q`` (the
    median of two modes far apart), and corrected for that it is slower: for medians of 30 components about three times, for a
    few rows up to ten times.
    """
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        is_below = cdf(middle) < q
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return 0.5 * (low + high)


def by_row(weights: Array) -> Array:
    """Weights of S components, (S,) or (S, n), as (S, 1) or (S, n)."""
    return weights if weights.ndim == 2 else weights[:, None]


def weighted(weights: Array, values: Array) -> Array:
    """Values (..., S, n) summed over components with their weights, (S,) or (S, n)."""
    if weights.ndim == 1 and values.ndim == 2:
        return cast(Array, weights @ values)
    return cast(Array, (by_row(weights) * values).sum(axis=-2))


def cdf_below(distribution: Predictive, y: Array) -> Array:
    """``P(Y_i < y_i)``; less than the cdf where the distribution has an atom at ``y_i``."""
    below = getattr(distribution, "cdf_below", distribution.cdf)
    return cast(Array, below(y))


def interval_ends(distribution: Predictive, low: Array, high: Array) -> tuple[Array, Array]:
    """The cdf at the lower and the upper ends (n,) of intervals; the ends may be infinite."""
    bottom = np.where(np.isinf(low), 0.0, distribution.cdf(np.where(np.isfinite(low), low, 0.0)))
    top = np.where(np.isinf(high), 1.0, distribution.cdf(np.where(np.isfinite(high), high, 0.0)))
    return bottom, top


def log_density_of(marginal: Predictive, y: np.ndarray, high: np.ndarray) -> np.ndarray:
    """``log p(y)`` of labels (n,), NaN where a label is missing; for a label between ``y`` and ``high``, of the interval."""
    is_interval = ~np.isnan(y) & (y < high)
    log_density = marginal.log_density(np.where(is_interval, np.where(np.isfinite(y), y, 0.0), y))
    if is_interval.any():
        bottom, top = interval_ends(marginal, y, high)
        log_density = np.where(is_interval, np.log(np.maximum(top - bottom, SMALLEST)), log_density)
    return log_density
