"""The continuous ranked probability score.  Gneiting, Raftery 2007."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from bayestl.distributions import NormalMixture, Predictive, cdf_below
from bayestl.distributions.base import weighted
from bayestl.distributions.warp import WarpedIntervals

Array = np.ndarray
QUADRATURE = 64
"""Quadrature nodes on each side of the label, for a score without a closed form."""


def crps_gaussian(y: Array, mean: Array, std: Array) -> Array:
    """Continuous ranked probability score of N(mean, std^2) in each row, in closed form.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Labels.
    mean, std : ndarray, shape (n,)
        Predicted means and standard deviations.

    Returns
    -------
    ndarray, shape (n,)
        The score of each row, in the units of the labels.

    Raises
    ------
    ValueError
        If a standard deviation is negative.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.metrics.crps_gaussian([1.0], [1.0], [0.5]).round(3).tolist()
    [0.117]
    """
    y, mean, std = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (y, mean, std)))
    if (std < 0).any():
        raise ValueError(f"a standard deviation cannot be negative, got {std.min():g}")
    return _gaussian_part(y - mean, std) - std / np.sqrt(np.pi)


def _gaussian_part(difference: Array, std: Array) -> Array:
    """``E|difference + std Z|`` for a standard normal Z."""
    z = np.divide(difference, std, out=np.zeros_like(difference), where=std > 0)
    return np.where(
        std > 0, std * (z * (2 * ndtr(z) - 1) + 2 * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)), np.abs(difference)
    )


def crps_mixture(y: Array, mixture: NormalMixture) -> Array:
    """Continuous ranked probability score of a Gaussian mixture in each row, in closed form (Grimit et al. 2006).

    Parameters
    ----------
    y : ndarray, shape (n,)
        Labels.
    mixture : NormalMixture
        Predictive distributions that are mixtures of Gaussians.

    Returns
    -------
    ndarray, shape (n,)
        The score of each row, in the units of the labels.

    Examples
    --------
    >>> import numpy as np, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> post = btl.IndependentGP(verbose=False).fit(x, np.sin(5 * x[:, 0])).posterior([[0.5]])
    >>> marginal = post.marginal(post.tasks[0].name)
    >>> bool(btl.metrics.crps_mixture(np.sin([2.5]), marginal)[0] < 0.05)
    True
    """
    std = np.sqrt(mixture.variances)
    distance = weighted(mixture.weights, _gaussian_part(y - mixture.means, std))
    within = np.zeros_like(distance)
    for i, weight in enumerate(mixture.weights):
        std_of_pair = np.sqrt(mixture.variances[i] + mixture.variances)
        within += weight * weighted(mixture.weights, _gaussian_part(mixture.means[i] - mixture.means, std_of_pair))
    return distance - 0.5 * within


def crps(y: Array, distribution: Predictive, high: Array | None = None) -> Array:
    """Continuous ranked probability score of any distribution in each row.

    In closed form for Gaussians and their mixtures, else ``int (F(x) - 1{x >= y})^2 dx`` by Gauss-Legendre quadrature
    below and above the label, over ``arcsinh`` of the distance from the median so that heavy tails do not thin out the
    nodes in the middle; the integral starts at zero for distributions on the positive axis.  Where only intervals are
    recalibrated (conformal), it is the score of the distribution below them.  For a label that is only known to lie
    between ``y`` and ``high`` the integral leaves out the interval, in which nothing is known of it (Gneiting, Ranjan
    2011, *Comparing density forecasts using threshold- and quantile-weighted scoring rules*).

    Parameters
    ----------
    y : ndarray, shape (n,)
        Labels.
    distribution : Predictive
        The predictive distributions of the rows, such as ``posterior.marginal(task)``.
    high : ndarray, shape (n,), optional
        Upper ends of labels that are known to lie between ``y`` and ``high`` only.

    Returns
    -------
    ndarray, shape (n,)
        The score of each row, in the units of the labels.

    Examples
    --------
    >>> import numpy as np, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> post = btl.IndependentGP(verbose=False).fit(x, np.sin(5 * x[:, 0])).posterior([[0.5]])
    >>> marginal = post.marginal(post.tasks[0].name)
    >>> bool(btl.metrics.crps(np.sin([2.5]), marginal)[0] < 0.05)
    True
    """
    y = np.asarray(y, dtype=float)
    if isinstance(distribution, WarpedIntervals):
        return crps(y, distribution.base, high)
    if high is not None and (y < high).any():
        exact = crps(np.where(y < high, np.nan, y), distribution)
        return np.where(y < high, _outside(y, np.asarray(high, dtype=float), distribution), exact)
    if isinstance(distribution, NormalMixture):
        return crps_mixture(y, distribution)
    return _outside(y, y, distribution)


def _outside(y: Array, high: Array, distribution: Predictive) -> Array:
    """``int F(x)^2 dx`` below ``y`` plus ``int (1 - F(x))^2 dx`` above ``high``, in each row."""
    finite = np.where(np.isfinite(y), y, np.where(np.isfinite(high), high, 0.0))
    low, quarter, centre, three, last = (distribution.quantile(q) for q in (1e-4, 0.25, 0.5, 0.75, 1 - 1e-4))
    pad = np.maximum(0.05 * (last - low), 1e-9 * np.abs(centre) + 1e-290)
    positive = cdf_below(distribution, np.zeros_like(y)) <= 0
    bottom = np.where(positive, np.minimum(0.0, finite), np.minimum(low, finite) - pad)
    top = np.maximum(last, np.where(np.isfinite(high), high, finite)) + pad
    size = np.where(three > quarter, 0.5 * (three - quarter), pad)
    nodes, weights = np.polynomial.legendre.leggauss(QUADRATURE)
    nodes, weights = 0.5 * (nodes[:, None] + 1.0), 0.5 * weights[:, None]

    def integral(start: Array, stop: Array, below: bool) -> Array:
        first, last = (np.arcsinh((x - centre) / size) for x in (start, stop))
        t = first + nodes * (last - first)
        cdf = distribution.cdf(centre + size * np.sinh(t))
        integrand = (cdf if below else 1.0 - cdf) ** 2 * size * np.cosh(t)
        return (last - first) * (weights * integrand).sum(axis=0)

    return integral(bottom, np.maximum(y, bottom), True) + integral(np.minimum(high, top), top, False)  # NaN stays


def crps_samples(y: Array, draws: Array) -> Array:
    """Continuous ranked probability score in each row from draws (K, n); unbiased in K.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Labels.
    draws : ndarray, shape (K, n)
        Two or more draws of each label.

    Returns
    -------
    ndarray, shape (n,)
        The score of each row, in the units of the labels.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.metrics.crps_samples([1.0], [[0.5], [1.5], [1.0]]).round(3).tolist()
    [0.0]
    """
    draws = np.sort(np.asarray(draws, dtype=float), axis=0)
    k = len(draws)
    if k < 2:
        raise ValueError("at least two draws are needed")
    rank = np.arange(1, k + 1)[:, None]
    spread = ((2 * rank - k - 1) * draws).sum(axis=0) / (k * (k - 1))
    return np.abs(draws - np.asarray(y, dtype=float)).mean(axis=0) - spread
