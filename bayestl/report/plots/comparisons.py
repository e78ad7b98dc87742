"""Pictures of comparisons: errors, predictions against labels, and calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayestl import metrics
from bayestl.diagnostics.checks import far_off
from bayestl.evaluation.calibration import confidence_of
from bayestl.evaluation.comparison import LEVEL, SCORES, Comparison
from bayestl.report.plots.axes import COLOURS, MANY_ROWS, diagonal, name_far, new_axes, points, titled
from bayestl.report.units import typeset

MOST_HOVERED = 2000
"""Most points that tell their name."""


def plot_comparison(comparison: Comparison, score: str = "mae", ax: Any = None) -> Any:
    """Mean score of each model relative to that of the first model, one row per quantity.

    Bars are standard errors of the difference to the first model, fold by fold.

    A log density has no natural zero, so ``"nlpd"`` is shown for classes only, where it is the log loss.
    """
    if not isinstance(comparison, Comparison):
        raise ValueError(f"a Comparison is expected, the result of compare, got {type(comparison).__name__}")
    if score not in SCORES:
        raise ValueError(f"no score {score!r}; the scores are {list(SCORES)}")
    scored = comparison.scores.groupby("quantity")[score].count()
    quantities = [q for q in comparison.quantities if scored[q] and (score != "nlpd" or comparison.classified(q))]
    models = comparison.models
    ax = new_axes(ax, 0.3 * len(quantities) + 0.16 * len(quantities) * len(models) + 1.4)
    means, errors = comparison.table[score, "mean"], comparison.paired(models[0], score)["se"]
    base = means.xs(models[0], level="model").reindex(quantities).to_numpy()
    offsets = np.linspace(0.28, -0.28, len(models)) if len(models) > 1 else np.zeros(1)
    for j, model in enumerate(models):
        keys = pd.MultiIndex.from_product([quantities, [model]])
        mean, se = means.reindex(keys).to_numpy(), errors.reindex(keys).fillna(0.0).to_numpy()
        y = np.arange(len(quantities)) - offsets[j]
        ax.errorbar(
            mean / base, y, xerr=se / base, fmt="o", color=COLOURS[j % len(COLOURS)], capsize=2, ms=5, label=model
        )
    ax.axvline(1.0, color="0.6", lw=1, zorder=0)
    ax.set_yticks(range(len(quantities)), [typeset(comparison.label(q)).replace(" (", "\n(") for q in quantities])
    ax.invert_yaxis()
    ax.set_xlabel(f"{'log loss' if score == 'nlpd' else score.upper()} relative to {models[0]}")
    return titled(ax, columns=3)


def plot_parity(comparison: Comparison, model: str, quantity: str, ax: Any = None, hover: bool = False) -> Any:
    """Predicted medians with 90 % intervals against held-out labels; one point per row (the first time it is held out).

    For more than :data:`MANY_ROWS` rows only the colour says whether the interval holds the label.  Labels of which only an
    interval is known (``"<0.1"``) are left out.  The names of rows far outside are written; with ``hover`` every point has its
    name and numbers as the address of a link, which an SVG keeps.
    """
    ax = new_axes(ax)
    for what, name, names in (("model", model, comparison.models), ("quantity", quantity, comparison.quantities)):
        if name not in names:
            raise ValueError(f"no {what} {name!r}; there are {names}")
    predictions = comparison.predictions
    p = predictions[(predictions["model"] == model) & (predictions["quantity"] == quantity)].drop_duplicates("row")
    p = p[p["y"] == p["high"]]
    p = p.assign(name=comparison.names_of(p["row"]))
    inside = (p["y"] >= p["lower"]) & (p["y"] <= p["upper"])
    many = len(p) > MANY_ROWS
    for mask, colour, text in ((inside, COLOURS[0], "inside"), (~inside, COLOURS[1], "outside")):
        q = p[mask]
        if not len(q):
            continue
        text = f"{text} its {LEVEL:.0%} interval".replace("%", " %")
        if not many:
            errors = np.abs(np.vstack([q["median"] - q["lower"], q["upper"] - q["median"]]))
            ax.errorbar(q["y"], q["median"], yerr=errors, fmt="none", lw=0.7, alpha=0.6, color=colour)
        told = [_told(row) for row in q.itertuples()] if hover and len(p) <= MOST_HOVERED else None
        size = 6 if many else 14
        points(ax, q["y"], q["median"], told, s=size, color=colour, label=text, rasterized=len(p) > MOST_HOVERED)
    if len(p):
        diagonal(ax, p["y"], p["median"])
    far = p[far_off(p["pit"].to_numpy())]
    name_far(ax, far["y"], far["median"], far["name"])
    label = typeset(comparison.label(quantity))
    ax.set_xlabel(f"{label}, label")
    ax.set_ylabel(f"{label}, predicted")
    return titled(ax, model)


def _told(row: Any) -> str:
    """What a point says of its row."""
    return f"{row.name}: label {row.y:.4g}, predicted {row.median:.4g} ({row.lower:.4g} to {row.upper:.4g})"


def plot_calibration(comparison: Comparison, quantity: str, ax: Any = None) -> Any:
    """Fraction of held-out labels in central intervals against their level; a calibrated model lies on the diagonal."""
    ax = new_axes(ax)
    ax.plot([0, 1], [0, 1], color="0.5", lw=1)
    for j, model in enumerate(comparison.models):
        p = comparison.predictions
        values = p[(p["model"] == model) & (p["quantity"] == quantity)]["pit"].to_numpy()
        levels, inside = metrics.calibration_curve(values)
        error = metrics.calibration_error(values)
        ax.plot(levels, inside, "o-", ms=3, lw=1, color=COLOURS[j % len(COLOURS)], label=f"{model} (error {error:.2f})")
    ax.set_xlabel("level of the interval")
    ax.set_ylabel("fraction of labels inside")
    return titled(ax, typeset(comparison.label(quantity)))


def plot_pit(comparison: Comparison, quantity: str, model: str | None = None, bins: int = 10, ax: Any = None) -> Any:
    """Histogram of the probability integral transforms of held-out labels; it is flat for a calibrated model.

    A hump in the middle: intervals are too wide.  High bars at both ends: too narrow.  A slope: predictions are too
    high or too low.  ``model`` defaults to the first; the band holds 95 % of the bars of as many uniform numbers.
    """
    model = model or comparison.models[0]
    p = comparison.predictions
    values = p[(p["model"] == model) & (p["quantity"] == quantity)]["pit"].to_numpy()
    return plot_levels(values, f"{typeset(comparison.label(quantity))}, {model}", bins, ax)


def plot_levels(values: np.ndarray, title: str = "", bins: int = 10, ax: Any = None) -> Any:
    """Histogram of probability integral transforms (n,), such as ``pit`` of ``leave_one_out()``: :func:`plot_pit`."""
    from scipy import stats

    if np.ndim(values) != 1:
        raise ValueError(f"levels are a column of numbers, such as pit of leave_one_out(), got {type(values).__name__}")
    ax = new_axes(ax)
    low, high = stats.binom(len(values), 1.0 / bins).ppf([0.025, 0.975]) * bins / len(values)
    ax.axhspan(low, high, color="0.5", alpha=0.25, lw=0, zorder=0)
    ax.hist(values, bins=np.linspace(0, 1, bins + 1), density=True, color=COLOURS[0], edgecolor="white", lw=0.6)
    ax.axhline(1.0, color="0.4", lw=1)
    ax.set_xlim(0, 1)
    ax.set_xlabel("probability integral transform")
    ax.set_ylabel("density")
    return titled(ax, title)


def plot_reliability(comparison: Comparison, quantity: str, bins: int = 8, ax: Any = None) -> Any:
    """Accuracy of the predicted class against its probability, in bins with equally many labels.

    Raises
    ------
    ValueError
        If the quantity is a number.
    """
    if not comparison.classified(quantity):
        raise ValueError(f"{quantity!r} is a number: plot_calibration and plot_pit show its calibration")
    ax = new_axes(ax)
    ax.plot([0, 1], [0, 1], color="0.5", lw=1)
    p = comparison.predictions
    for j, model in enumerate(comparison.models):
        right, confidence = confidence_of(p[(p["model"] == model) & (p["quantity"] == quantity)])
        groups = [g for g in np.array_split(np.argsort(confidence, kind="stable"), bins) if len(g)]
        x, y = ([v[g].mean() for g in groups] for v in (confidence, right))
        error = metrics.expected_calibration_error(right, confidence)
        ax.plot(x, y, "o-", ms=3, lw=1, color=COLOURS[j % len(COLOURS)], label=f"{model} (error {error:.2f})")
    ax.set_xlabel("probability of the predicted class")
    ax.set_ylabel("how often it is right")
    return titled(ax, typeset(comparison.label(quantity)))
