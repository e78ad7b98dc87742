"""A warp of levels with two parameters, one for the width of intervals and one for the weight of the tails.

    F'(y) = g(F(y)),      g(u) = Phi(s(Phi^-1(u) / width)),      s(z) = c sinh(tail asinh(z)) / sinh(tail asinh(c))

``s`` leaves the scores 0, c and -c where they are, so that ``tail`` changes the shape alone.
Jones, Pewsey 2009, *Sinh-arcsinh distributions*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri

from bayestl.distributions.base import Array
from bayestl.distributions.warp import EDGE, OfDistribution

NEAREST = 2.0**-53
"""The least distance of a level from one, 8.2 standard deviations, beyond which the slope of the warp stays."""
CENTRE = 1.3
"""The normal score c that the weight of the tails leaves where it is: intervals of 81 %."""
WIDTH, WIDTH_SD = -0.05, 0.15
"""Prior mean and standard deviation of the logarithm of the width: mixtures of models are too wide in their middle."""
TAIL, TAIL_SD = -0.4, 0.2
"""Prior mean and standard deviation of the logarithm of ``tail``: labels of new rows have heavy tails."""


@dataclass(frozen=True)
class SinhArcsinh(OfDistribution):
    """The normal scores of held-out labels are ``width sinh(asinh(z sinh(tail asinh(c)) / c) / tail)``, z standard normal.

    ``width`` above one: labels scatter more than was predicted; ``tail`` below one: more of them lie far away, and more of them
    near the middle.
    """

    width: float = 1.0
    tail: float = 1.0

    @classmethod
    def fit(cls, u: Array, weights: Array | None = None) -> SinhArcsinh:
        """The most probable parameters, given held-out levels (n,) that count with ``weights`` (n,), under their prior."""
        z, of_centre = ndtri(np.clip(u, EDGE, 1 - EDGE)), np.arcsinh(CENTRE)
        count = np.ones(len(z)) if weights is None else weights

        def loss(logs: Array) -> tuple[float, Array]:
            log_width, log_tail = logs
            tail, b = np.exp(log_tail), z * np.exp(-log_width)
            a, scale = np.arcsinh(b), np.sinh(tail * of_centre) / CENTRE
            ratio, score, slope = b / np.sqrt(1 + b**2), np.sinh(tail * a) / scale, np.cosh(tail * a) / scale
            bend, turn = tail * np.tanh(tail * a), tail * of_centre / np.tanh(tail * of_centre)
            value = count @ (0.5 * score**2 - np.log(slope) + 0.5 * np.log1p(b**2) + log_width - log_tail)
            by_width = count @ (1.0 + ratio * (bend - ratio - tail * score * slope))
            by_tail = count @ (score * (tail * a * slope - turn * score) - a * bend + turn - 1.0)
            off = (logs - [WIDTH, TAIL]) / [WIDTH_SD, TAIL_SD]
            return float(value + 0.5 * off @ off), np.array([by_width, by_tail]) + off / [WIDTH_SD, TAIL_SD]

        found = minimize(loss, np.array([WIDTH, TAIL]), jac=True, method="L-BFGS-B", bounds=[(-2.0, 2.0), (-1.5, 1.0)])
        return cls(*map(float, np.exp(found.x)))

    @property
    def _scale(self) -> float:
        """``sinh(tail asinh(c)) / c``."""
        return float(np.sinh(self.tail * np.arcsinh(CENTRE)) / CENTRE)

    def level(self, u: Array) -> Array:
        """``g(u)``."""
        with np.errstate(over="ignore"):  # an infinite score is a level of zero or one
            return np.asarray(ndtr(np.sinh(self.tail * np.arcsinh(ndtri(u) / self.width)) / self._scale))

    def inverse(self, v: Array) -> Array:
        """``g^-1(v)``."""
        with np.errstate(over="ignore"):
            return np.asarray(ndtr(self._wider(ndtri(v))))

    def _wider(self, score: Array) -> Array:
        """The scores of labels that the warp turns into ``score``."""
        return np.asarray(self.width * np.sinh(np.arcsinh(score * self._scale) / self.tail))

    def log_slope(self, u: Array) -> Array:
        """``log g'(u)``."""
        z = ndtri(np.clip(u, NEAREST, 1 - NEAREST))
        b = z / self.width
        a = np.arcsinh(b)
        score = np.sinh(self.tail * a) / self._scale
        stretch = np.log(self.tail / self.width / self._scale) + np.log(np.cosh(self.tail * a)) - 0.5 * np.log1p(b**2)
        return np.asarray(0.5 * (z**2 - score**2) + stretch)

    def level_width(self, level: float) -> float:
        """Width of the central interval of a normal distribution, over the one before."""
        end = ndtri(0.5 * (1 + level))
        return float(self._wider(end) / end)

    def state(self) -> Array:
        """The parameters, as an array."""
        return np.array([self.width, self.tail])
