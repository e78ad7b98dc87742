"""Recalibration: predictive distributions whose levels are corrected by those observed for held-out labels.

    F'(y) = g(F(y)),        g increasing from 0 to 1

Where F is calibrated, its value at a held-out label (the PIT) is uniform and g the identity; else g is learnt from
those values.  Atoms and supports stay as they are, so this works for every number; for classes the probabilities are
changed.
Kuleshov, Fenner, Ermon 2018, *Accurate uncertainties for deep learning using calibrated regression*;
Guo et al. 2017, *On calibration of modern neural networks*;
Chernozhukov, Wuethrich, Zhu 2021, *Distributional conformal prediction*.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, ndtr, ndtri, softmax

from bayestl.distributions.base import SMALLEST, Array, Predictive, cdf_below, check_level
from bayestl.distributions.rows import Discrete

EDGE = 1e-12
"""Least distance of levels from zero and one."""
SCORES = np.linspace(-7.5, 7.5, 181)
"""Normal scores of the levels between which quantiles are interpolated, and over which moments are summed."""
PER_KNOT, MOST_KNOTS = 10, 20
"""Number of held-out labels per step of an isotonic warp, and its largest number of steps."""


class Warp(Protocol):
    """An increasing function g of levels, from 0 to 1."""

    def level(self, u: Array) -> Array:
        """``g(u)``."""

    def inverse(self, v: Array) -> Array:
        """``g^-1(v)``."""

    def log_slope(self, u: Array) -> Array:
        """``log g'(u)``."""

    def state(self) -> Array:
        """The parameters, as an array."""

    def apply(self, base: Predictive) -> Predictive:
        """The distribution whose distribution function is ``g(F(y))``."""


class OfDistribution:
    """Base of the warps that change the whole distribution, not its intervals alone."""

    def apply(self: Warp, base: Predictive) -> Predictive:
        return Warped(base, self)


@dataclass(frozen=True)
class Temperature(OfDistribution):
    """``g(u) = Phi(Phi^-1(u) / temperature)``: the standard deviation of a Gaussian times the temperature."""

    temperature: float

    @classmethod
    def fit(cls, u: Array) -> Temperature:
        """The maximum-likelihood temperature for held-out levels (n,)."""
        z = ndtri(np.clip(u, EDGE, 1 - EDGE))
        return cls(float(np.sqrt(np.mean(z**2))) or 1.0)

    def level(self, u: Array) -> Array:
        return np.asarray(ndtr(ndtri(u) / self.temperature))

    def inverse(self, v: Array) -> Array:
        return np.asarray(ndtr(ndtri(v) * self.temperature))

    def log_slope(self, u: Array) -> Array:
        z = ndtri(np.clip(u, EDGE, 1 - EDGE))
        return np.asarray(0.5 * z**2 * (1 - self.temperature**-2) - np.log(self.temperature))

    def state(self) -> Array:
        return np.array([self.temperature])


@dataclass(frozen=True)
class Isotonic(OfDistribution):
    """A piecewise linear g through ``knots`` (k, 2): levels, and the fraction of held-out levels below them."""

    knots: Array

    @classmethod
    def fit(cls, u: Array) -> Isotonic:
        """The distribution function of held-out levels (n,), one step per :data:`PER_KNOT` of them."""
        steps = int(np.clip(len(u) // PER_KNOT, 1, MOST_KNOTS))
        inner = np.arange(1, steps) / steps
        levels = np.quantile(u, inner)
        keep = (
            np.concatenate([[True], np.diff(levels) > EDGE]) & (levels > EDGE) & (levels < 1 - EDGE)
            if len(levels)
            else levels > 0
        )
        return cls(np.vstack([[0.0, 0.0], np.column_stack([levels[keep], inner[keep]]), [1.0, 1.0]]))

    def level(self, u: Array) -> Array:
        return np.interp(u, *self.knots.T)

    def inverse(self, v: Array) -> Array:
        return np.interp(v, *self.knots.T[::-1])

    def log_slope(self, u: Array) -> Array:
        slopes = np.diff(self.knots[:, 1]) / np.diff(self.knots[:, 0])
        step = np.searchsorted(self.knots[1:-1, 0], u, side="right")
        return np.asarray(np.log(slopes[step]))

    def state(self) -> Array:
        return self.knots


@dataclass(frozen=True)
class Conformal:
    """Central intervals with finite-sample coverage: ``spread`` (n,) is the sorted ``|2u - 1|`` of n held-out labels.

    The interval of level a holds the labels with ``|2u - 1|`` up to the ``ceil((n + 1) a)``-th smallest of them; for a
    beyond ``n / (n + 1)`` it is all that the label may be.
    """

    spread: Array

    @classmethod
    def fit(cls, u: Array) -> Conformal:
        """The conformal intervals from held-out levels (n,)."""
        return cls(np.sort(np.abs(2 * u - 1)))

    def level(self, u: Array) -> Array:
        n = len(self.spread)
        inside = np.searchsorted(self.spread, np.abs(2 * u - 1), side="right") / (n + 1)
        inside = np.where(np.abs(2 * u - 1) >= 1, 1.0, inside)
        return np.asarray(0.5 + 0.5 * np.sign(u - 0.5) * inside)

    def inverse(self, v: Array) -> Array:
        n = len(self.spread)
        rank = np.ceil((n + 1) * np.abs(2 * v - 1) - 1e-9).astype(int)
        width = np.concatenate([[0.0], self.spread, [1.0]])[np.clip(rank, 0, n + 1)]
        return np.asarray(0.5 + 0.5 * np.sign(v - 0.5) * width)

    def log_slope(self, u: Array) -> Array:
        return np.zeros(np.shape(u))

    def state(self) -> Array:
        return self.spread

    def apply(self, base: Predictive) -> Predictive:
        return WarpedIntervals(base, self)


def _probability(p: Array) -> Array:
    """Probabilities that rounding has left a little above one, in a mixture, become one: a warp of more is NaN."""
    return np.asarray(np.clip(p, 0.0, 1.0))


@dataclass(frozen=True)
class Warped:
    """The distribution of a number with the distribution function ``g(F(y))``, F of ``base`` and g the ``warp``."""

    base: Predictive
    warp: Warp

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``."""
        return self.warp.level(_probability(self.base.cdf(y)))

    def cdf_below(self, y: Array) -> Array:
        """``P(Y_i < y_i)``."""
        return self.warp.level(_probability(cdf_below(self.base, y)))

    def log_density(self, y: Array) -> Array:
        """``log p(y_i)``; at an atom the logarithm of its probability."""
        above, below = _probability(self.base.cdf(y)), _probability(cdf_below(self.base, y))
        atom = self.warp.level(above) - self.warp.level(below)
        smooth = self.base.log_density(y) + self.warp.log_slope(np.where(np.isnan(above), 0.5, above))
        return np.where(above > below, np.log(np.maximum(atom, SMALLEST)), smooth)

    def _level(self, q: float | Array) -> Array:
        """The level (n,) of the base that becomes ``q``."""
        n = len(self.base.mean())
        return self.warp.inverse(np.broadcast_to(np.asarray(check_level(q), dtype=float), (n,)))

    def quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile, (n,)."""
        return self.base.quantile(np.clip(self._level(q), EDGE, 1 - EDGE))

    @cached_property
    def _zero(self) -> Array:
        """The probability (n,) of an atom at zero, where numbers are not negative."""
        zero = np.zeros(len(self.base.mean()))
        return self.cdf(zero) - self.cdf_below(zero)

    @cached_property
    def _grid(self) -> Array:
        """Quantiles (k, n) of the warped distribution beyond its atom, at the normal scores :data:`SCORES`."""
        levels = self.warp.inverse(self._zero + (1.0 - self._zero) * ndtr(SCORES)[:, None])
        return np.stack([self.base.quantile(level) for level in np.clip(levels, EDGE, 1 - EDGE)])

    def _expectation(self, values: Array) -> Array:
        """The expectation (n,) of values (k, n) at the normal scores :data:`SCORES`, and of zero at the atom."""
        mass = np.exp(-0.5 * SCORES**2)
        return np.asarray((1.0 - self._zero) * ((mass / mass.sum()) @ values))

    def _or_infinite(self, moment: Array, of_base: Array) -> Array:
        """A moment, infinite where that of the base is and the tails are not made lighter."""
        is_lighter = isinstance(self.warp, Temperature) and self.warp.temperature < 1.0
        return moment if is_lighter else np.where(np.isinf(of_base), np.inf, moment)

    def mean(self) -> Array:
        """Mean, (n,)."""
        return self._or_infinite(self._expectation(self._grid), self.base.mean())

    def std(self) -> Array:
        """Standard deviation, (n,)."""
        centre = self._expectation(self._grid)
        variance = self._expectation((self._grid - centre) ** 2) + self._zero * centre**2
        return self._or_infinite(np.sqrt(variance), self.base.std())

    def moved(self, draws: Array, generator: np.random.Generator) -> Array:
        """Draws (K, n) of the base mapped to the warped distribution, level by level, which keeps their dependence."""
        above, below = self.base.cdf(draws), cdf_below(self.base, draws)
        level = below + (above - below) * generator.uniform(size=draws.shape)
        beyond = (level - self._zero) / np.maximum(1.0 - self._zero, SMALLEST)
        score = ndtri(np.clip(beyond, EDGE, 1 - EDGE))
        columns = [np.interp(score[:, i], SCORES, self._grid[:, i]) for i in range(draws.shape[1])]
        return np.where(beyond <= 0, 0.0, np.column_stack(columns))


@dataclass(frozen=True)
class WarpedIntervals(Warped):
    """A distribution with warped levels and quantiles, and mean, standard deviation, density and draws of ``base``."""

    def quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile, (n,); beyond the last held-out label, the end of what a label may be."""
        level = self._level(q)
        is_positive = np.isneginf(self.base.log_density(np.full(len(level), -SMALLEST)))
        lowest = np.where(is_positive, 0.0, -np.inf)
        return np.where(level <= 0, lowest, np.where(level >= 1, np.inf, super().quantile(q)))

    def log_density(self, y: Array) -> Array:
        """``log p(y_i)``."""
        return self.base.log_density(y)

    def mean(self) -> Array:
        """Mean, (n,)."""
        return self.base.mean()

    def std(self) -> Array:
        """Standard deviation, (n,)."""
        return self.base.std()

    def moved(self, draws: Array, generator: np.random.Generator) -> Array:
        """The draws (K, n), unchanged."""
        return draws


@dataclass(frozen=True)
class ClassTemperature:
    """Class probabilities in proportion to ``p^(1 / temperature)``."""

    temperature: float

    @classmethod
    def fit(cls, chances: Array, y: Array, prior_sd: float = np.inf) -> ClassTemperature:
        """The best temperature for held-out probabilities (n, K) and class positions (n,).

        ``prior_sd``: prior standard deviation of its logarithm, about zero; by default none.
        """
        logs, observed = np.log(np.maximum(chances, SMALLEST)), (np.arange(len(y)), y.astype(int))
        minimum = minimize_scalar(
            lambda t: 0.5 * (t / prior_sd) ** 2 - float(log_softmax(logs * np.exp(-t), axis=1)[observed].sum()),
            bounds=(-2.0, 2.0),
            method="bounded",
        )
        return cls(float(np.exp(minimum.x)))

    def apply(self, base: Discrete) -> Discrete:
        """The distribution with recalibrated probabilities."""
        logs = np.log(np.maximum(base.probabilities, SMALLEST))
        return Discrete(softmax(logs / self.temperature, axis=1), base.classes)

    def state(self) -> Array:
        """The parameter, as a vector."""
        return np.array([self.temperature])


@dataclass(frozen=True)
class ClassIsotonic:
    """Class probabilities, each mapped by an increasing function of its own (isotonic regression), then normalised.

    ``knots`` (K, 2, m): probabilities and how often the class occurred, padded with their last values.
    Zadrozny, Elkan 2002, *Transforming classifier scores into accurate multiclass probability estimates*.
    """

    knots: Array

    @classmethod
    def fit(cls, chances: Array, y: Array) -> ClassIsotonic:
        """The fit to held-out probabilities (n, K) and class positions (n,), with Laplace's rule of succession."""
        from sklearn.isotonic import IsotonicRegression

        n, n_classes = chances.shape
        fits = []
        for k in range(n_classes):
            occurred = (y == k).astype(float) * (n / (n + 2.0)) + 1.0 / (n + 2.0)
            regression = IsotonicRegression(out_of_bounds="clip").fit(chances[:, k], occurred)
            fits.append(np.stack([regression.X_thresholds_, regression.y_thresholds_]))
        size = max(f.shape[1] for f in fits)
        return cls(np.stack([np.pad(f, ((0, 0), (0, size - f.shape[1])), mode="edge") for f in fits]))

    def apply(self, base: Discrete) -> Discrete:
        """The distribution with recalibrated probabilities."""
        columns = [np.interp(base.probabilities[:, k], *self.knots[k]) for k in range(len(base.classes))]
        chances = np.column_stack(columns)
        return Discrete(chances / chances.sum(axis=1, keepdims=True), base.classes)

    def state(self) -> Array:
        """The parameters, as an array."""
        return self.knots


NUMBERS: dict[str, type[Temperature] | type[Isotonic] | type[Conformal]] = {
    "temperature": Temperature,
    "isotonic": Isotonic,
    "conformal": Conformal,
}
"""The warps of numbers by name."""
CLASSES: dict[str, type[ClassTemperature] | type[ClassIsotonic]] = {
    "temperature": ClassTemperature,
    "isotonic": ClassIsotonic,
}
"""The warps of class probabilities by name."""


def from_state(method: str, state: Array, classes: bool) -> Warp | ClassTemperature | ClassIsotonic:
    """The warp of a method from the array that its ``state()`` returned."""
    if method == "temperature":
        return (ClassTemperature if classes else Temperature)(float(state[0]))
    if classes:
        return ClassIsotonic(state)
    return Isotonic(state) if method == "isotonic" else Conformal(state)
