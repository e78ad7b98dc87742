"""The words of the reports that a reader may not know, each in a sentence, to be shown where they stand."""

from __future__ import annotations

TERMS = {
    "MAE": "mean absolute error: mean distance of the label from the predicted median, in the unit of the label.",
    "RMSE": "root mean squared error of the predicted mean, in the unit of the label; large misses count more than in the MAE.",
    "CRPS": (
        "continuous ranked probability score: error of the whole predicted distribution, in the unit of the label. For a "
        "prediction without spread it is the absolute error; it falls when intervals are narrow and right."
    ),
    "NLPD": "negative log density of the label under the prediction, in nats; too narrow intervals cost most here.",
    "nats": "natural logarithm units: a log density higher by 0.69 nats means twice the density at the label.",
    "in 90 %": "share of the labels in their 90 % intervals. It should be 0.90: less, and they are too narrow; more, and too wide.",
    "width": "mean width of the 90 % intervals, in the unit of the label.",
    "against alone": (
        "difference in CRPS (for classes in log loss) to the model in which no task informs another, on the same held-out labels, "
        "with its standard error; below zero is better."
    ),
    "best": (
        "marked where one model is better than each other one by more than chance allows on the same held-out labels (paired "
        "differences, 5 % for all models together); where several cannot be told apart, each of them is marked “among the best”."
    ),
    "accuracy": "share of the labels whose likeliest class is the true one.",
    "macro F1": "mean over the classes of F1, so that rare classes count as much as common ones.",
    "log loss": "negative log probability of the true class, in nats; 0 is certain and right.",
    "held-out": "a label that the model has not seen: it is predicted from others and then compared.",
    "leave-one-out": "each label is predicted from all others, as if it had not been measured.",
    "calibration": (
        "how far intervals keep what they promise: of intervals of level 0.5, half should hold their label. On the diagonal they "
        "do; above it they are too wide, below it too narrow."
    ),
    "PIT": (
        "probability integral transform: the predicted probability of a value below the label. For right predictions every value "
        "between 0 and 1 is as likely, and the histogram lies in the grey band; bars high at both ends say that intervals are too "
        "narrow, a hump in the middle that they are too wide, a slope that predictions are too high or too low."
    ),
    "hurdle": "a label that is exactly zero with a probability of its own (a metal's gap), and else has a size.",
    "censored": "a label of which only a limit is known, such as “<0.1”.",
    "correlation": (
        "of the tasks' functions over the features: 1, one task tells all of the other but for scale and offset; 0, nothing. The "
        "number behind ± is its standard deviation."
    ),
    "rho": "factor by which a level follows the one before it.",
    "offset": (
        "what is added to rho times the level before: the value where that level is 0, which may be far from all labels, and the "
        "smooth difference may take a part of it. “Mean shift” is what the two levels differ by in the mean over the rows."
    ),
    "group offset": "what a group (a laboratory, a functional) adds for its own rows.",
    "status": "pass, warn or fail: beyond two standard errors or below a p value of 0.01 a check warns, far beyond it fails.",
}
"""By the word, as it stands in tables and figures."""
