"""Scores of intervals, and whether predictions are calibrated."""

from __future__ import annotations

import numpy as np

from bayestl import streams
from bayestl.distributions import Predictive, cdf_below, interval_ends
from bayestl.distributions.base import check_probability
from bayestl.metrics.points import pairs

Array = np.ndarray


def interval_score(y: Array, lower: Array, upper: Array, level: float) -> float:
    """Mean interval score: width plus ``2 / (1 - level)`` times the distance by which a label falls outside.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Labels; those that are NaN are left out.
    lower, upper : ndarray, shape (n,)
        Ends of the intervals.
    level : float
        Probability of the intervals.

    Returns
    -------
    float
        In the units of the labels; lower is better.

    Raises
    ------
    ValueError
        If the level is not between 0 and 1.

    Examples
    --------
    >>> import bayestl as btl
    >>> round(btl.metrics.interval_score([1.0, 3.0], [0.5, 1.0], [1.5, 2.0], level=0.9), 1)
    11.0
    """
    y, lower, upper = pairs(y, lower, upper)
    level = check_probability(level, "level")
    outside = np.maximum(lower - y, 0.0) + np.maximum(y - upper, 0.0)
    return float((upper - lower + 2.0 / (1.0 - level) * outside).mean())


def coverage(y: Array, lower: Array, upper: Array) -> float:
    """Fraction of labels inside their interval; best is the level of the intervals.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Labels; those that are NaN are left out.
    lower, upper : ndarray, shape (n,)
        Ends of the intervals.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.metrics.coverage([1.0, 3.0], [0.5, 1.0], [1.5, 2.0])
    0.5
    """
    y, lower, upper = pairs(y, lower, upper)
    return float(((y >= lower) & (y <= upper)).mean())


def sharpness(lower: Array, upper: Array) -> float:
    """Mean width of the intervals.

    Parameters
    ----------
    lower, upper : ndarray, shape (n,)
        Ends of the intervals.

    Returns
    -------
    float
        In the units of the labels; lower is better among calibrated intervals.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.metrics.sharpness([0.5, 1.0], [1.5, 2.0])
    1.0
    """
    lower, upper = pairs(lower, upper)
    return float((upper - lower).mean())


def pit(y: Array, distribution: Predictive, seed: int = 0, high: Array | None = None) -> Array:
    """Probability integral transform: the predictive cdf at the label, uniform where the prediction is calibrated.

    At an atom (a class, an exact zero) it is a uniform draw between the cdf just below and at the atom; for a label
    that is only known to lie between ``y`` and ``high``, a uniform draw between the cdf at the two ends.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Labels.
    distribution : Predictive
        The predictive distributions of the rows, such as ``posterior.marginal(task)``.
    seed : int
        Seed of the uniform draws.
    high : ndarray, shape (n,), optional
        Upper ends of labels that are known to lie between ``y`` and ``high`` only.

    Returns
    -------
    ndarray, shape (n,)
        Numbers between 0 and 1; 0.5 where the label is the predicted median.

    Examples
    --------
    >>> import numpy as np, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> post = btl.IndependentGP(verbose=False).fit(x, np.sin(5 * x[:, 0])).posterior([[0.5]])
    >>> marginal = post.marginal(post.tasks[0].name)
    >>> btl.metrics.pit(marginal.quantile(0.5), marginal).round(2).tolist()
    [0.5]
    """
    y = np.asarray(y, dtype=float)
    known = y if high is None else np.where(y < high, 0.0, y)
    above, below = distribution.cdf(known), cdf_below(distribution, known)
    if high is not None:
        bottom, top = interval_ends(distribution, y, high)
        below, above = np.where(y < high, bottom, below), np.where(y < high, top, above)
    return below + (above - below) * streams.generator(seed, "pit").uniform(size=len(y))


def expected_calibration_error(event: Array, probability: Array, n_bins: int = 10) -> float:
    """Mean distance between the predicted probability of an event and its frequency, over equally filled bins.

    Naeini, Cooper, Hauskrecht 2015, with bins of equal numbers of rows.

    Parameters
    ----------
    event : ndarray, shape (n,)
        1 where the event came true, else 0.
    probability : ndarray, shape (n,)
        Its predicted probability.
    n_bins : int
        Number of bins.

    Returns
    -------
    float
        Between 0 and 1; lower is better.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.metrics.expected_calibration_error([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5], n_bins=1)
    0.0
    """
    event, probability = pairs(event, probability)
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

    Returns
    -------
    (ndarray, ndarray)
        Levels, and the fraction of labels in the intervals, both of shape (k,).

    Examples
    --------
    >>> import bayestl as btl
    >>> level, inside = btl.metrics.calibration_curve([0.1, 0.3, 0.5, 0.9], levels=[0.5])
    >>> inside.tolist()
    [0.5]
    """
    (values,) = pairs(pit_values)
    levels = np.linspace(0.05, 0.95, 19) if levels is None else np.asarray(levels, dtype=float)
    inside = np.abs(2 * values - 1)
    return levels, np.array([(inside <= level).mean() for level in levels])


def calibration_error(pit_values: Array) -> float:
    """Mean distance between nominal level and coverage of the central intervals at levels 0.05, 0.10 ... 0.95.

    Parameters
    ----------
    pit_values : ndarray, shape (n,)
        Probability integral transforms of the labels, from :func:`pit`.

    Returns
    -------
    float
        Between 0 and 1; lower is better.

    Examples
    --------
    >>> import bayestl as btl
    >>> import numpy as np
    >>> round(btl.metrics.calibration_error(np.linspace(0.005, 0.995, 100)), 2)
    0.0
    """
    levels, inside = calibration_curve(pit_values)
    return float(np.abs(levels - inside).mean())
