"""Scores of predictions: proper scoring rules, coverage, calibration, and the scores of point predictions.

Lower is better unless a docstring says otherwise; NaN labels are left out.  Gneiting, Raftery 2007, *Strictly proper
scoring rules, prediction, and estimation*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from bayestl import streams
from bayestl.distributions import NormalMixture, Predictive, cdf_below, interval_ends
from bayestl.distributions.base import weighted
from bayestl.distributions.warp import WarpedIntervals

Array = np.ndarray
QUADRATURE = 64
"""Quadrature nodes on each side of the label, for a score without a closed form."""


def _pairs(*arrays: Array) -> list[Array]:
    """The arrays as floats, at the positions where none is NaN.

    Raises
    ------
    ValueError
        If the lengths differ or no position is left.
    """
    flat = [np.asarray(a, dtype=float).ravel() for a in arrays]
    if len({len(a) for a in flat}) > 1:
        raise ValueError(f"arrays of different lengths: {[len(a) for a in flat]}")
    is_present = ~np.isnan(np.stack(flat)).any(axis=0)
    if not is_present.any():
        raise ValueError("no pair of a label and a prediction is left")
    return [a[is_present] for a in flat]


def mae(y: Array, prediction: Array) -> float:
    """Mean absolute error."""
    y, prediction = _pairs(y, prediction)
    return float(np.abs(y - prediction).mean())


def rmse(y: Array, prediction: Array) -> float:
    """Root mean squared error."""
    y, prediction = _pairs(y, prediction)
    return float(np.sqrt(((y - prediction) ** 2).mean()))


def crps_gaussian(y: Array, mean: Array, std: Array) -> Array:
    """Continuous ranked probability score of N(mean, std^2) in each row, in closed form."""
    y, mean, std = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (y, mean, std)))
    return _gaussian_part(y - mean, std) - std / np.sqrt(np.pi)


def _gaussian_part(difference: Array, std: Array) -> Array:
    """``E|difference + std Z|`` for a standard normal Z."""
    z = difference / std
    return std * (z * (2 * ndtr(z) - 1) + 2 * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))


def crps_mixture(y: Array, mixture: NormalMixture) -> Array:
    """Continuous ranked probability score of a Gaussian mixture in each row, in closed form (Grimit et al. 2006)."""
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
    """Continuous ranked probability score in each row from draws (K, n); unbiased in K."""
    draws = np.sort(np.asarray(draws, dtype=float), axis=0)
    k = len(draws)
    if k < 2:
        raise ValueError("at least two draws are needed")
    rank = np.arange(1, k + 1)[:, None]
    spread = ((2 * rank - k - 1) * draws).sum(axis=0) / (k * (k - 1))
    return np.abs(draws - np.asarray(y, dtype=float)).mean(axis=0) - spread


def nlpd(log_density: Array) -> float:
    """Negative log predictive density: minus the mean log density of held-out labels, in nats per label."""
    (values,) = _pairs(log_density)
    return float(-values.mean())


def interval_score(y: Array, lower: Array, upper: Array, level: float) -> float:
    """Mean interval score: width plus ``2 / (1 - level)`` times the distance by which a label falls outside."""
    y, lower, upper = _pairs(y, lower, upper)
    outside = np.maximum(lower - y, 0.0) + np.maximum(y - upper, 0.0)
    return float((upper - lower + 2.0 / (1.0 - level) * outside).mean())


def coverage(y: Array, lower: Array, upper: Array) -> float:
    """Fraction of labels inside their interval; best is the level of the intervals."""
    y, lower, upper = _pairs(y, lower, upper)
    return float(((y >= lower) & (y <= upper)).mean())


def sharpness(lower: Array, upper: Array) -> float:
    """Mean width of the intervals."""
    lower, upper = _pairs(lower, upper)
    return float((upper - lower).mean())


def pit(y: Array, distribution: Predictive, seed: int = 0, high: Array | None = None) -> Array:
    """Probability integral transform: the predictive cdf at the label, uniform where the prediction is calibrated.

    At an atom (a class, an exact zero) it is a uniform draw between the cdf just below and at the atom; for a label
    that is only known to lie between ``y`` and ``high``, a uniform draw between the cdf at the two ends.
    """
    y = np.asarray(y, dtype=float)
    known = y if high is None else np.where(y < high, 0.0, y)
    above, below = distribution.cdf(known), cdf_below(distribution, known)
    if high is not None:
        bottom, top = interval_ends(distribution, y, high)
        below, above = np.where(y < high, bottom, below), np.where(y < high, top, above)
    return below + (above - below) * streams.generator(seed, "pit").uniform(size=len(y))


def accuracy(y: Array, predicted: Array) -> float:
    """Fraction of labels (class positions) that are predicted right; higher is better."""
    y, predicted = _pairs(y, predicted)
    return float((y == predicted).mean())


def macro_f1(y: Array, predicted: Array) -> float:
    """Mean F1 score over the classes that occur or are predicted; higher is better."""
    from sklearn.metrics import f1_score

    y, predicted = _pairs(y, predicted)
    return float(f1_score(y.astype(int), predicted.astype(int), average="macro", zero_division=0.0))


def mean_score(
    truth: Array, predicted: pd.DataFrame, classes: Sequence[Sequence[Any] | None], weight: Any = None
) -> float:
    """Mean over tasks of the coefficient of determination, or of the accuracy for classes; higher is better.

    Parameters
    ----------
    truth : ndarray, shape (n, T)
        Labels, classes as positions; NaN where there is no label.
    predicted : DataFrame, shape (n, T)
        Point predictions, classes by name.
    classes : sequence of length T
        The classes of each task, None for numbers.
    weight : array-like, shape (n,), optional
        Weights of the rows.
    """
    from sklearn.metrics import accuracy_score, r2_score

    weight = np.ones(len(predicted)) if weight is None else np.asarray(weight)
    scores = []
    for t, names in enumerate(classes):
        labelled = ~np.isnan(truth[:, t])
        y, point, w = truth[labelled, t], predicted.iloc[:, t][labelled], weight[labelled]
        if names is not None and labelled.any():
            position = {name: k for k, name in enumerate(names)}
            scores.append(accuracy_score(y.astype(int), [position[name] for name in point], sample_weight=w))
        elif labelled.sum() > 1:
            numbers = point.to_numpy(dtype=float)
            scores.append(r2_score(y, numbers, sample_weight=w) if np.isfinite(numbers).all() else -np.inf)
    return float(np.mean(scores)) if scores else float("nan")


def expected_calibration_error(event: Array, probability: Array, n_bins: int = 10) -> float:
    """Mean distance between the predicted probability of an event and its frequency, over equally filled bins.

    Naeini, Cooper, Hauskrecht 2015, with bins of equal numbers of rows.
    """
    event, probability = _pairs(event, probability)
    order = np.argsort(probability, kind="stable")
    bins = [b for b in np.array_split(order, n_bins) if len(b)]
    gaps = [abs(event[b].mean() - probability[b].mean()) * len(b) for b in bins]
    return float(sum(gaps) / len(event))


def calibration_curve(pit_values: Array, levels: Array | None = None) -> tuple[Array, Array]:
    """Nominal levels of central intervals, and the fraction of labels inside the interval of each level.

    Parameters
    ----------
    pit_values : ndarray
        Probability integral transforms of the labels, from :func:`pit`.
    levels : ndarray, optional
        Nominal levels; default: 0.05, 0.10 ... 0.95.
    """
    (values,) = _pairs(pit_values)
    levels = np.linspace(0.05, 0.95, 19) if levels is None else np.asarray(levels, dtype=float)
    inside = np.abs(2 * values - 1)
    return levels, np.array([(inside <= level).mean() for level in levels])


def calibration_error(pit_values: Array) -> float:
    """Mean distance between nominal level and coverage of the central intervals at levels 0.05, 0.10 ... 0.95."""
    levels, inside = calibration_curve(pit_values)
    return float(np.abs(levels - inside).mean())


def paired_difference(one: Array, other: Array) -> tuple[float, float]:
    """Summed difference of two models' log densities of the same labels (n,), and its standard error over labels."""
    difference = np.asarray(one, dtype=float) - np.asarray(other, dtype=float)
    n = len(difference)
    return float(difference.sum()), float(np.sqrt(n) * difference.std(ddof=1)) if n > 1 else float("inf")
