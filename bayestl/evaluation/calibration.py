"""Calibration over all held-out labels of a comparison: coverage of intervals, and probabilities of classes.

Gneiting, Balabdaoui, Raftery 2007, *Probabilistic forecasts, calibration and sharpness*; for classes, the confidence in
the predicted class (Guo et al. 2017).  Plots: :func:`bayestl.report.plots.plot_calibration`, ``plot_pit``,
``plot_reliability``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from bayestl import metrics, streams

if TYPE_CHECKING:
    from bayestl.evaluation.comparison import Comparison

BAND_DRAWS = 2000
"""Simulated samples behind :func:`uniform_band`."""
LEVELS = np.array([0.5, 0.9])
"""Levels of the central intervals whose coverage is reported."""


def calibration_table(comparison: Comparison) -> pd.DataFrame:
    """Calibration of each model and quantity over all its held-out labels.

    Parameters
    ----------
    comparison : Comparison
        The result of :func:`bayestl.compare`.

    Returns
    -------
    DataFrame
        Index (quantity, model).  ``labels``: number of held-out labels, repeats counted each time.  ``error``: expected
        calibration error; for numbers the mean distance between the level of central intervals and their coverage, for
        classes that between the probability of the predicted class and its accuracy.  ``p value``: Kolmogorov-Smirnov
        test of a uniform probability integral transform (PIT); too small where rows are held out several times.  ``in
        50 %``, ``in 90 %``: coverage of those intervals, for numbers.  ``bias``: mean PIT less one half; positive where
        predictions are too low.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> Y = pd.DataFrame({"gap": np.sin(5 * x[:, 0])})
    >>> models = {k: btl.IndependentGP(kernel=k, hyperparameters="map") for k in ("rbf", "exponential")}
    >>> comparison = btl.compare(models, x, Y, cv=2, verbose=False)
    >>> btl.evaluation.calibration_table(comparison).columns.tolist()
    ['labels', 'error', 'p value', 'in 50 %', 'in 90 %', 'bias']
    """
    rows = {}
    for (quantity, model), part in comparison.predictions.groupby(["quantity", "model"], sort=False):
        pit = part["pit"].to_numpy()
        row = {"labels": len(part), "p value": stats.kstest(pit, "uniform").pvalue, "bias": pit.mean() - 0.5}
        if "likeliest" in part and part["likeliest"].notna().any():
            right, confidence = confidence_of(part)
            row["error"] = metrics.expected_calibration_error(right, confidence)
        else:
            row["error"] = metrics.calibration_error(pit)
            row["in 50 %"], row["in 90 %"] = metrics.calibration_curve(pit, LEVELS)[1]
        rows[quantity, model] = row
    table = pd.DataFrame(rows).T.reindex(columns=["labels", "error", "p value", "in 50 %", "in 90 %", "bias"])
    table.index.names = ["quantity", "model"]
    return table


def confidence_of(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Whether the predicted class is right (n,), and its predicted probability (n,)."""
    names = [c for c in predictions if isinstance(c, str) and c[:1] == "p" and c[1:].isdigit()]
    chances = predictions[names].fillna(0.0).to_numpy()
    right = predictions["likeliest"].to_numpy() == predictions["y"].to_numpy()
    return right.astype(float), chances.max(axis=1)


def uniform_band(n: int, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous 95 % band of the empirical distribution function of n uniform ranks, less the uniform's."""
    u = np.sort(streams.generator(0, "band").uniform(size=(BAND_DRAWS, n)), axis=1)
    curves = np.stack([np.searchsorted(row, grid, side="right") for row in u]) / n
    spread = np.sqrt(np.maximum(grid * (1 - grid) / n, 1e-12))
    inner = (grid > 0.005) & (grid < 0.995)
    width = np.quantile(np.abs((curves - grid) / spread)[:, inner].max(axis=1), 0.95)
    return -width * spread, width * spread
