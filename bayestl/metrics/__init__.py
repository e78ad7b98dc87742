"""Scores of predictions: proper scoring rules, coverage, calibration, and the scores of point predictions.

Lower is better unless a docstring says otherwise; NaN labels are left out.  Gneiting, Raftery 2007, *Strictly proper
scoring rules, prediction, and estimation*.
"""

from bayestl.metrics.calibration import (
    calibration_curve,
    calibration_error,
    coverage,
    expected_calibration_error,
    interval_score,
    pit,
    sharpness,
)
from bayestl.metrics.points import accuracy, macro_f1, mae, mean_score, nlpd, paired_difference, rmse
from bayestl.metrics.ranked import crps, crps_gaussian, crps_mixture, crps_samples

__all__ = [
    "accuracy",
    "calibration_curve",
    "calibration_error",
    "coverage",
    "crps",
    "crps_gaussian",
    "crps_mixture",
    "crps_samples",
    "expected_calibration_error",
    "interval_score",
    "macro_f1",
    "mae",
    "mean_score",
    "nlpd",
    "paired_difference",
    "pit",
    "rmse",
    "sharpness",
]
