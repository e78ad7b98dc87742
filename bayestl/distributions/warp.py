"""Recalibration: a predictive distribution with its levels mended by what held-out labels showed.

    F'(y) = g(F(y)),        g increasing from 0 to 1

Where F is calibrated its value at a held-out label is uniform and g the identity; else g is learnt from those values.
Atoms stay atoms and supports stay as they are, so it works for every number; classes have their probabilities changed.
Kuleshov, Fenner, Ermon 2018, *Accurate uncertainties for deep learning using calibrated regression*;
Guo et al. 2017, *On calibration of modern neural networks*;
Chernozhukov, Wuethrich, Zhu 2021, *Distributional conformal prediction*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, ndtr, ndtri, softmax

from bayestl.distributions.base import SMALLEST, Array, Predictive, cdf_below, check_level
from bayestl.distributions.rows import Discrete

EDGE = 1e-12
"""Levels are kept so far from zero and one."""
SCORES = np.linspace(-5.5, 5.5, 151)
"""Normal scores of the levels between which quantiles are interpolated, and over which moments are summed."""
PER_KNOT, MOST_KNOTS = 10, 20
"""Held-out labels behind each step of an isotonic warp, and the most steps it has."""


class Warp(Protocol):
    """An increasing function of levels."""

    def level(self, u: Array) -> Array:
        """``g(u)``."""

    def inverse(self, v: Array) -> Array:
        """``g^-1(v)``."""

    def log_slope(self, u: Array) -> Array:
        """``log g'(u)``."""

    def state(self) -> Array:
        """Its parameters, as an array."""

    def apply(self, base: Predictive) -> Predictive:
        """The distribution with its levels warped."""


class _Whole:
    """What warps of a whole distribution share."""

    def apply(self: Warp, base: Predictive) -> Predictive:
        return Warped(base, self)


@dataclass(frozen=True)
class Temperature(_Whole):
    """``g(u) = Phi(Phi^-1(u) / temperature)``: of a Gaussian, all widths times the temperature."""

    temperature: float

    @classmethod
    def fit(cls, u: Array) -> Temperature:
        """The likeliest temperature of held-out levels (n,)."""
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
class Isotonic(_Whole):
    """Straight lines between ``knots`` (k, 2): levels and how many held-out labels lay below them."""

    knots: Array

    @classmethod
    def fit(cls, u: Array) -> Isotonic:
        """The distribution function of held-out levels (n,), a step for every :data:`PER_KNOT` of them."""
        steps = int(np.clip(len(u) // PER_KNOT, 1, MOST_KNOTS))
        inner = np.arange(1, steps) / steps
        at = np.quantile(u, inner)
        keep = np.concatenate([[True], np.diff(at) > EDGE]) & (at > EDGE) & (at < 1 - EDGE) if len(at) else at > 0
        return cls(np.vstack([[0.0, 0.0], np.column_stack([at[keep], inner[keep]]), [1.0, 1.0]]))

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
    """Central intervals whose level is met in finite samples: ``spread`` (n,) are sorted ``|2u - 1|`` of n held-out labels.

    The interval of level a holds the labels with ``|2u - 1|`` up to the ``ceil((n + 1) a)``-th smallest of them; beyond
    ``n / (n + 1)`` it is everything.
    """

    spread: Array

    @classmethod
    def fit(cls, u: Array) -> Conformal:
        """From held-out levels (n,)."""
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


@dataclass(frozen=True)
class Warped:
    """A distribution of numbers with its levels warped."""

    base: Predictive
    warp: Warp

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``."""
        return self.warp.level(self.base.cdf(y))

    def cdf_below(self, y: Array) -> Array:
        """``P(Y_i < y_i)``."""
        return self.warp.level(cdf_below(self.base, y))

    def log_density(self, y: Array) -> Array:
        """``log p(y_i)``; at an atom the logarithm of its probability."""
        above, below = self.base.cdf(y), cdf_below(self.base, y)
        atom = self.warp.level(above) - self.warp.level(below)
        smooth = self.base.log_density(y) + self.warp.log_slope(np.where(np.isnan(above), 0.5, above))
        return np.where(above > below, np.log(np.maximum(atom, SMALLEST)), smooth)

    def quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile, (n,)."""
        n = len(self.base.mean())
        level = self.warp.inverse(np.broadcast_to(np.asarray(check_level(q), dtype=float), (n,)))
        found = self.base.quantile(np.clip(level, EDGE, 1 - EDGE))
        return np.where(level <= 0, -np.inf, np.where(level >= 1, np.inf, found))

    def _grid(self) -> Array:
        """Quantiles (k, n) of the base at the levels of :data:`SCORES`, warped."""
        n = len(self.base.mean())
        levels = np.clip(self.warp.inverse(ndtr(SCORES)), 1e-15, 1 - 1e-15)
        return np.stack([self.base.quantile(np.full(n, level)) for level in levels])

    def _moment(self, of: Array) -> Array:
        mass = np.exp(-0.5 * SCORES**2)
        return np.asarray((mass / mass.sum()) @ of)

    def mean(self) -> Array:
        """Mean, (n,)."""
        return self._moment(self._grid())

    def std(self) -> Array:
        """Standard deviation, (n,)."""
        grid = self._grid()
        return np.sqrt(np.maximum(self._moment(grid**2) - self._moment(grid) ** 2, 0.0))

    def moved(self, draws: Array, generator: np.random.Generator) -> Array:
        """Draws (K, n) of the base, each moved to the level that it has here: what belonged together still does."""
        above, below = self.base.cdf(draws), cdf_below(self.base, draws)
        score = ndtri(np.clip(below + (above - below) * generator.uniform(size=draws.shape), EDGE, 1 - EDGE))
        grid = self._grid()
        columns = [np.interp(score[:, i], SCORES, grid[:, i]) for i in range(draws.shape[1])]
        return np.column_stack(columns)


@dataclass(frozen=True)
class WarpedIntervals(Warped):
    """A distribution whose quantiles alone are warped: its mean, spread, density and draws are those of the base."""

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
        """The draws (K, n) as they are."""
        return draws


@dataclass(frozen=True)
class ClassTemperature:
    """Class probabilities in proportion to ``p^(1 / temperature)``."""

    temperature: float

    @classmethod
    def fit(cls, chances: Array, y: Array) -> ClassTemperature:
        """The likeliest temperature for held-out probabilities (n, K) and class positions (n,)."""
        logs, at = np.log(np.maximum(chances, SMALLEST)), (np.arange(len(y)), y.astype(int))
        found = minimize_scalar(
            lambda t: -float(log_softmax(logs * np.exp(-t), axis=1)[at].sum()), bounds=(-2.0, 2.0), method="bounded"
        )
        return cls(float(np.exp(found.x)))

    def apply(self, base: Discrete) -> Discrete:
        """The distribution with these probabilities."""
        logs = np.log(np.maximum(base.probabilities, SMALLEST))
        return Discrete(softmax(logs / self.temperature, axis=1), base.classes)

    def state(self) -> Array:
        """Its parameter, as a vector."""
        return np.array([self.temperature])


@dataclass(frozen=True)
class ClassIsotonic:
    """The probability of each class through an increasing function of its own, then divided by their sum.

    ``knots`` (K, 2, m): probabilities and how often the class occurred, padded with their last values.
    Zadrozny, Elkan 2002, *Transforming classifier scores into accurate multiclass probability estimates*.
    """

    knots: Array

    @classmethod
    def fit(cls, chances: Array, y: Array) -> ClassIsotonic:
        """From held-out probabilities (n, K) and class positions (n,); each class counts as seen once more than it was."""
        from sklearn.isotonic import IsotonicRegression

        n, n_classes = chances.shape
        fits = []
        for k in range(n_classes):
            occurred = (y == k).astype(float) * (n / (n + 2.0)) + 1.0 / (n + 2.0)
            found = IsotonicRegression(out_of_bounds="clip").fit(chances[:, k], occurred)
            fits.append(np.stack([found.X_thresholds_, found.y_thresholds_]))
        most = max(f.shape[1] for f in fits)
        return cls(np.stack([np.pad(f, ((0, 0), (0, most - f.shape[1])), mode="edge") for f in fits]))

    def apply(self, base: Discrete) -> Discrete:
        """The distribution with these probabilities."""
        columns = [np.interp(base.probabilities[:, k], *self.knots[k]) for k in range(len(base.classes))]
        chances = np.column_stack(columns)
        return Discrete(chances / chances.sum(axis=1, keepdims=True), base.classes)

    def state(self) -> Array:
        """Its parameters, as an array."""
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
"""Those of classes."""


def from_state(method: str, state: Array, classes: bool) -> Warp | ClassTemperature | ClassIsotonic:
    """The inverse of ``state()``."""
    if method == "temperature":
        return (ClassTemperature if classes else Temperature)(float(state[0]))
    if classes:
        return ClassIsotonic(state)
    return Isotonic(state) if method == "isotonic" else Conformal(state)
