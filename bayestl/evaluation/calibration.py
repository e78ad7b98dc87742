"""Whether predictions mean what they say, over all held-out labels of a comparison: levels of intervals, probabilities of classes.

Gneiting, Balabdaoui, Raftery 2007, *Probabilistic forecasts, calibration and sharpness*; for classes the confidence in the
predicted one (Guo et al. 2017).  Pictures: :func:`bayestl.report.plots.plot_calibration`, ``plot_pit``, ``plot_reliability``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from bayestl import metrics

if TYPE_CHECKING:
    from bayestl.evaluation.comparison import Comparison

LEVELS = np.array([0.5, 0.9])


def calibration_table(comparison: Comparison) -> pd.DataFrame:
    """Calibration of each model and quantity on all its held-out labels together.

    Parameters
    ----------
    comparison : Comparison
        See :func:`bayestl.compare`.

    Returns
    -------
    DataFrame
        Index (quantity, model).  ``labels``: their number, those of repeats counted each time.  ``error``: expected
        calibration error, of numbers the mean distance between the level of central intervals and how many labels they
        hold, of classes that between the probability of the predicted class and how often it is right.  ``p value``: of a
        uniform probability integral transform (Kolmogorov-Smirnov); too small where rows are held out several times.
        ``in 50 %``, ``in 90 %``: fraction of labels in those intervals, of numbers.  ``bias``: mean transform less one half;
        positive where predictions are too low.
    """
    rows = {}
    for (quantity, model), part in comparison.predictions.groupby(["quantity", "model"], sort=False):
        pit = part["pit"].to_numpy()
        own = {"labels": len(part), "p value": stats.kstest(pit, "uniform").pvalue, "bias": pit.mean() - 0.5}
        if "likeliest" in part and part["likeliest"].notna().any():
            right, confidence = confidence_of(part)
            own["error"] = metrics.expected_calibration_error(right, confidence)
        else:
            own["error"] = metrics.calibration_error(pit)
            own["in 50 %"], own["in 90 %"] = metrics.calibration_curve(pit, LEVELS)[1]
        rows[quantity, model] = own
    out = pd.DataFrame(rows).T.reindex(columns=["labels", "error", "p value", "in 50 %", "in 90 %", "bias"])
    out.index.names = ["quantity", "model"]
    return out


def confidence_of(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Whether the predicted class is right (n,), and the probability it was given (n,)."""
    names = [c for c in predictions if isinstance(c, str) and c[:1] == "p" and c[1:].isdigit()]
    chances = predictions[names].fillna(0.0).to_numpy()
    right = predictions["likeliest"].to_numpy() == predictions["y"].to_numpy()
    return right.astype(float), chances.max(axis=1)
