"""Scores of points and of log densities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray


def pairs(labels: Array, *predictions: Array) -> list[Array]:
    """The arrays as floats, at the positions where a label is not NaN.

    Raises
    ------
    ValueError
        If the lengths differ, no position is left, or a prediction of a label is NaN.
    """
    flat = [np.asarray(a, dtype=float).ravel() for a in (labels, *predictions)]
    if len({len(a) for a in flat}) > 1:
        raise ValueError(f"arrays of different lengths: {[len(a) for a in flat]}")
    is_present = ~np.isnan(flat[0])
    if not is_present.any():
        raise ValueError("no pair of a label and a prediction is left")
    for values in flat[1:]:
        if (lost := is_present & np.isnan(values)).any():
            raise ValueError(f"the prediction at position {int(lost.argmax())} is NaN, and its label is not")
    return [a[is_present] for a in flat]


def mae(y: Array, prediction: Array) -> float:
    """Mean absolute error.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Labels; those that are NaN are left out.
    prediction : ndarray, shape (n,)
        Predicted values, in the units of the labels.

    Returns
    -------
    float
        In the units of the labels.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.metrics.mae([1.0, 2.0], [1.5, 2.0])
    0.25
    """
    y, prediction = pairs(y, prediction)
    return float(np.abs(y - prediction).mean())


def rmse(y: Array, prediction: Array) -> float:
    """Root mean squared error.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Labels; those that are NaN are left out.
    prediction : ndarray, shape (n,)
        Predicted values, in the units of the labels.

    Returns
    -------
    float
        In the units of the labels.

    Examples
    --------
    >>> import bayestl as btl
    >>> round(btl.metrics.rmse([1.0, 2.0], [1.5, 2.0]), 2)
    0.35
    """
    y, prediction = pairs(y, prediction)
    return float(np.sqrt(((y - prediction) ** 2).mean()))


def accuracy(y: Array, predicted: Array) -> float:
    """Fraction of labels (class positions) that are predicted right; higher is better.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Positions of the classes; those that are NaN are left out.
    predicted : ndarray, shape (n,)
        Positions of the predicted classes.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.metrics.accuracy([0, 1, 2, 1], [0, 1, 1, 1])
    0.75
    """
    y, predicted = pairs(y, predicted)
    return float((y == predicted).mean())


def macro_f1(y: Array, predicted: Array) -> float:
    """Mean F1 score over the classes that occur or are predicted; higher is better.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Positions of the classes; those that are NaN are left out.
    predicted : ndarray, shape (n,)
        Positions of the predicted classes.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> import bayestl as btl
    >>> round(btl.metrics.macro_f1([0, 1, 2, 1], [0, 1, 1, 1]), 2)
    0.6
    """
    from sklearn.metrics import f1_score

    y, predicted = pairs(y, predicted)
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

    Returns
    -------
    float
        1 is perfect; NaN where there is nothing to score.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> predicted = pd.DataFrame({"gap": [1.0, 2.0, 3.0]})
    >>> btl.metrics.mean_score(np.array([[1.0], [2.0], [3.0]]), predicted, [None])
    1.0
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


def nlpd(log_density: Array) -> float:
    """Negative log predictive density: minus the mean log density of held-out labels, in nats per label.

    Parameters
    ----------
    log_density : ndarray, shape (n,)
        Log densities of held-out labels, such as those of ``model.log_density(X, Y)``; NaN is left out.

    Returns
    -------
    float
        Lower is better.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.metrics.nlpd([-1.0, -2.0])
    1.5
    """
    (values,) = pairs(log_density)
    return float(-values.mean())


def paired_difference(one: Array, other: Array) -> tuple[float, float]:
    """Summed difference of two models' log densities of the same labels (n,), and its standard error over labels.

    Parameters
    ----------
    one, other : ndarray, shape (n,)
        Log densities of the same labels under two models.

    Returns
    -------
    (float, float)
        The sum of ``one - other`` in nats, and its standard error.

    Examples
    --------
    >>> import bayestl as btl
    >>> difference, se = btl.metrics.paired_difference([-1.0, -1.2, -0.9], [-1.5, -1.4, -1.0])
    >>> round(difference, 1), round(se, 1)
    (0.8, 0.4)
    """
    difference = np.asarray(one, dtype=float) - np.asarray(other, dtype=float)
    n = len(difference)
    return float(difference.sum()), float(np.sqrt(n) * difference.std(ddof=1)) if n > 1 else float("inf")
