"""A warp of levels with two parameters, one for the spread of labels and one for the weight of their tails.

    F'(y) = g(F(y)),      g(u) = Phi(sinh(tail asinh(Phi^-1(u))) / spread)

Jones, Pewsey 2009, *Sinh-arcsinh distributions*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri

from bayestl.distributions.base import Array
from bayestl.distributions.warp import EDGE, OfDistribution

SPREAD, TAIL = -0.05, -0.15
"""Prior means of the logarithms of the two parameters: labels of few rows seem better predicted than they are, and those of new
rows have heavier tails."""
SD = 0.1
"""Prior standard deviation of both."""


@dataclass(frozen=True)
class SinhArcsinh(OfDistribution):
    """The normal scores of held-out labels are ``sinh(asinh(spread z) / tail)``, z standard normal.

    ``spread`` above one: labels scatter more than was predicted; ``tail`` below one: more of them lie far away.
    """

    spread: float = 1.0
    tail: float = 1.0

    @classmethod
    def fit(cls, u: Array, weights: Array | None = None) -> SinhArcsinh:
        """The most probable parameters, given held-out levels (n,) that count with ``weights`` (n,), under their prior."""
        z = ndtri(np.clip(u, EDGE, 1 - EDGE))
        a, count = np.arcsinh(z), np.ones(len(z)) if weights is None else weights

        def loss(logs: Array) -> tuple[float, Array]:
            log_spread, log_tail = logs
            tail = np.exp(log_tail)
            sinh, cosh = np.sinh(tail * a), np.cosh(tail * a)
            score = sinh * np.exp(-log_spread)
            value = count @ (0.5 * score**2 - np.log(cosh) + log_spread - log_tail)
            by_spread = count @ (1.0 - score**2)
            by_tail = count @ (tail * a * (score * cosh * np.exp(-log_spread) - sinh / cosh) - 1.0)
            off = (logs - [SPREAD, TAIL]) / SD
            return float(value + 0.5 * off @ off), np.array([by_spread, by_tail]) + off / SD

        found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-2.0, 2.0), (-1.0, 1.0)])
        return cls(*map(float, np.exp(found.x)))

    def level(self, u: Array) -> Array:
        """``g(u)``."""
        with np.errstate(over="ignore"):  # an infinite score is a level of zero or one
            return np.asarray(ndtr(np.sinh(self.tail * np.arcsinh(ndtri(u))) / self.spread))

    def inverse(self, v: Array) -> Array:
        """``g^-1(v)``."""
        with np.errstate(over="ignore"):
            return np.asarray(ndtr(np.sinh(np.arcsinh(self.spread * ndtri(v)) / self.tail)))

    def log_slope(self, u: Array) -> Array:
        """``log g'(u)``."""
        z = ndtri(np.clip(u, EDGE, 1 - EDGE))
        a = np.arcsinh(z)
        score = np.sinh(self.tail * a) / self.spread
        stretch = np.log(self.tail / self.spread) + np.log(np.cosh(self.tail * a)) - 0.5 * np.log1p(z**2)
        return np.asarray(0.5 * (z**2 - score**2) + stretch)

    def level_width(self, level: float) -> float:
        """Width of the central interval of a normal distribution, over the one before."""
        tail = ndtri(0.5 * (1 + level))
        return float(np.sinh(np.arcsinh(self.spread * tail) / self.tail) / tail)

    def state(self) -> Array:
        """The parameters, as an array."""
        return np.array([self.spread, self.tail])
