"""Predictive distributions of one quantity, row by row: what is left once the latent value is averaged out.

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
from typing import Protocol, cast

import numpy as np

BISECTIONS = 60
"""Halvings of a bracket: machine precision."""
SMALLEST = 1e-300
"""Probabilities and densities below it have the logarithm of this."""
Array = np.ndarray


class Marginals(Protocol):
    """The distribution of one number in each of n rows."""

    def mean(self) -> Array:
        """Shape (n,)."""

    def std(self) -> Array:
        """Shape (n,)."""

    def quantile(self, q: float | Array) -> Array:
        """Shape (n,); ``q`` a number, or one for each row."""


class Predictive(Marginals, Protocol):
    """A distribution whose distribution function and density are known."""

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``, shape (n,) or, for ``y`` of shape (k, n), (k, n)."""

    def log_density(self, y: Array) -> Array:
        """``log p(y_i)``, shape (n,); at an atom the logarithm of its probability."""


def check_probability(q: float, name: str = "q") -> float:
    """``q`` if it is a number strictly between 0 and 1; else ``ValueError``."""
    if not (isinstance(q, int | float | np.floating) and 0.0 < q < 1.0):
        raise ValueError(f"{name} must be a number strictly between 0 and 1, got {q!r}")
    return float(q)


def check_level(q: float | Array) -> float | Array:
    """``q`` if it is an array, or a number strictly between 0 and 1."""
    return q if isinstance(q, np.ndarray) and q.ndim else check_probability(cast(float, q))


def bisect(cdf: Callable[[Array], Array], q: float | Array, low: Array, high: Array) -> Array:
    """Where an increasing function crosses ``q``, between ``low`` and ``high``."""
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = cdf(middle) < q
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)


def cdf_below(distribution: Predictive, y: Array) -> Array:
    """``P(Y_i < y_i)``: below the cdf where the distribution has an atom at ``y_i``."""
    below = getattr(distribution, "cdf_below", distribution.cdf)
    return cast(Array, below(y))


def interval_ends(distribution: Predictive, low: Array, high: Array) -> tuple[Array, Array]:
    """The cdf at both ends of intervals (n,), which may be infinite."""
    bottom = np.where(np.isinf(low), 0.0, distribution.cdf(np.where(np.isfinite(low), low, 0.0)))
    top = np.where(np.isinf(high), 1.0, distribution.cdf(np.where(np.isfinite(high), high, 0.0)))
    return bottom, top


def log_density_of(marginal: Predictive, y: np.ndarray, high: np.ndarray) -> np.ndarray:
    """``log p(y)`` of labels (n,), NaN where there is none; of one between ``y`` and ``high`` that of the interval."""
    wide = ~np.isnan(y) & (y < high)
    out = marginal.log_density(np.where(wide, np.where(np.isfinite(y), y, 0.0), y))
    if wide.any():
        bottom, top = interval_ends(marginal, y, high)
        out = np.where(wide, np.log(np.maximum(top - bottom, 1e-300)), out)
    return out
