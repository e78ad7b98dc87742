"""Labels of single rows as equally weighted draws: their distribution, and what they tell of the latent values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, softmax
from scipy.stats import qmc

from bayestl.device import tensor, to_numpy
from bayestl.distributions import Predictive
from bayestl.distributions.base import Array, cdf_below
from bayestl.likelihoods import LabelBlock, Part, Setting

NODES = 20
"""Gauss-Hermite nodes over one latent value."""
DRAWS = 256
"""Quasi-random draws over several latent values."""
LEAST_VARIANCE = 1e-10


@dataclass(frozen=True)
class ByRow:
    """Distributions of n numbers: those at ``rows`` follow one predictive distribution, the others another one.

    ``chosen`` has len(rows) rows, ``others`` has n.
    """

    n: int
    rows: np.ndarray
    chosen: Predictive
    others: Predictive

    def _merged(self, of: Callable[[Predictive, Callable[[Array], Array]], Array]) -> Array:
        values = np.array(of(self.others, lambda v: v))
        values[..., self.rows] = of(
            self.chosen, lambda v: np.broadcast_to(v, (*np.shape(v)[:-1], self.n))[..., self.rows]
        )
        return values

    def mean(self) -> Array:
        """Means (n,)."""
        return self._merged(lambda m, _: m.mean())

    def std(self) -> Array:
        """Standard deviations (n,)."""
        return self._merged(lambda m, _: m.std())

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``, (n,) or (k, n)."""
        return self._merged(lambda m, at: m.cdf(at(np.asarray(y, dtype=float))))

    def cdf_below(self, y: Array) -> Array:
        """``P(Y_i < y_i)``."""
        return self._merged(lambda m, at: cdf_below(m, at(np.asarray(y, dtype=float))))

    def log_density(self, y: Array) -> Array:
        """``log p(y_i)``, (n,)."""
        return self._merged(lambda m, at: m.log_density(at(np.asarray(y, dtype=float))))

    def quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile, (n,)."""
        return self._merged(lambda m, at: m.quantile(at(q) if isinstance(q, np.ndarray) and q.ndim else q))


def particles(y: np.ndarray) -> np.ndarray:
    """As many numbers (K, R) as there are draws ``y`` (K, R), evenly from those that are not NaN; sorted."""
    size = len(y)
    ordered = np.sort(y, axis=0)  # NaN comes last
    count = (~np.isnan(y)).sum(axis=0)
    index = ((np.arange(size)[:, None] + 0.5) / size * count).astype(int)
    return np.take_along_axis(ordered, index, axis=0)


def smoothed(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances (K, R) of Gaussians around draws (K, R) that keep the moments of the draws.

    Liu, West 2001, *Combined parameter and state estimation in simulation-based filtering*; the width is Silverman's.
    """
    width = (4 / (3 * len(y))) ** 0.4
    centre = y.mean(axis=0)
    variances = np.broadcast_to(np.maximum(width * y.var(axis=0), LEAST_VARIANCE), y.shape)
    return centre + np.sqrt(1 - width) * (y - centre), variances


def given_number(
    mean: np.ndarray, variance: np.ndarray, noise: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Moments of latent values given a number each, with Gaussian noise of variance ``noise``; NaN: no number."""
    gain = np.where(np.isnan(y), 0.0, variance / (variance + noise))
    return mean + gain * (np.nan_to_num(y) - mean), variance * (1 - gain)


def given_label(
    likelihood: Part,
    means: np.ndarray,
    covariances: np.ndarray,
    setting: Setting,
    y: np.ndarray,
    high: np.ndarray,
    se2: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Moments (S, K, R, L) of latent values given a label each, between ``y`` and ``high`` (K, R); NaN: not labelled.

    ``se2`` (K, R) are the known variances of the labels.

    A number that is known exactly counts as one with Gaussian noise; for classes and intervals the moments are those of
    a quadrature.
    """
    means, covariances = means.copy(), covariances.copy()
    exact = (y == high) & likelihood.has_noise
    if exact.any():
        means[:, exact, 0], covariances[:, exact, 0, 0] = given_number(
            means[:, exact, 0], covariances[:, exact, 0, 0], setting.noise[:, None] + se2[exact], y[exact]
        )
    rest = ~np.isnan(y) & ~exact
    if rest.any():
        labels = LabelBlock(*(tensor(v) for v in (y[rest], se2[rest], high[rest])))
        nodes, log_mass = _nodes(means.shape[-1])
        for s in range(len(means)):
            values, vectors = np.linalg.eigh(covariances[s, rest])
            root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
            f = means[s, rest] + np.einsum("nij,qj->qni", root, nodes)
            noise, further = (tensor(np.asarray(v[s])) for v in (setting.noise, setting.further))
            density = to_numpy(likelihood.log_density(labels, tensor(f), noise, further))
            weights = softmax(density + log_mass[:, None], axis=0)
            centre = np.einsum("qn,qni->ni", weights, f)
            means[s, rest] = centre
            covariances[s, rest] = np.einsum("qn,qni,qnj->nij", weights, f - centre, f - centre)
    return means, covariances


def _nodes(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal nodes (Q, n) and the logarithms (Q,) of their masses."""
    if n == 1:
        nodes, mass = np.polynomial.hermite_e.hermegauss(NODES)
        return nodes[:, None], np.log(mass / mass.sum())
    uniform = qmc.Sobol(n, scramble=True, rng=np.random.default_rng(0)).random(DRAWS)
    return ndtri(np.clip(uniform, 1e-9, 1 - 1e-9)), np.full(DRAWS, -np.log(DRAWS))


def with_rows(values: np.ndarray, rows: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The values (n, k) with others at some rows, also at the one below the last."""
    longer = np.vstack([values, np.empty((max(rows.max() + 1 - len(values), 0), values.shape[1]))])
    longer[rows] = new
    return longer
