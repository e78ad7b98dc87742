"""Matplotlib pictures of comparisons, of calibration on simulated tables, and of fitted models.

Each function takes ``ax=`` and returns the axes; the colours can be told apart by the colour-blind.  Pictures of a
model take the fitted model, or the table that its method of the same name returns.
"""

from __future__ import annotations

import io
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayestl import metrics
from bayestl.evaluation.calibration import confidence_of, uniform_band
from bayestl.evaluation.comparison import LEVEL, SCORES, Comparison

if TYPE_CHECKING:
    from bayestl.evaluation.simulated import Calibration

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette."""
MANY_ROWS = 400
"""Above this number of rows, points are drawn without their intervals."""


def new_axes(ax: Any, size: tuple[float, float]) -> Any:
    """The given axes, or those of a new figure that is not registered with pyplot, so nothing needs closing."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").add_subplot()


def image(figure: Any, ending: str = "png") -> bytes:
    """A figure as the bytes of an image file with the given ending."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending, dpi=130)
    return buffer.getvalue()


def plot_comparison(comparison: Comparison, score: str = "mae", ax: Any = None) -> Any:
    """Mean score of each model relative to that of the first model, one row per quantity; bars are standard errors.

    A log density has no natural zero, so ``"nlpd"`` is shown for classes only, where it is the log loss.
    """
    if not isinstance(comparison, Comparison):
        raise ValueError(f"a Comparison is expected, the result of compare, got {type(comparison).__name__}")
    if score not in SCORES:
        raise ValueError(f"no score {score!r}; the scores are {list(SCORES)}")
    scored = comparison.scores.groupby("quantity")[score].count()
    quantities = [q for q in comparison.quantities if scored[q] and (score != "nlpd" or comparison.classified(q))]
    models = comparison.models
    ax = new_axes(ax, (6.4, 0.5 * len(quantities) + 0.16 * len(quantities) * len(models) + 1.2))
    table = comparison.table[score]
    offsets = np.linspace(0.28, -0.28, len(models)) if len(models) > 1 else np.zeros(1)
    for j, model in enumerate(models):
        base = np.array([table.loc[(q, models[0]), "mean"] for q in quantities])
        mean = np.array([table.loc[(q, model), "mean"] for q in quantities])
        se = np.array([table.loc[(q, model), "se"] for q in quantities])
        y = np.arange(len(quantities)) - offsets[j]
        ax.errorbar(
            mean / base, y, xerr=se / base, fmt="o", color=COLOURS[j % len(COLOURS)], capsize=2, ms=5, label=model
        )
    ax.axvline(1.0, color="0.6", lw=1, zorder=0)
    ax.set_yticks(range(len(quantities)), [comparison.label(q) for q in quantities])
    ax.invert_yaxis()
    ax.set_xlabel(f"{'log loss' if score == 'nlpd' else score.upper()} relative to {models[0]} (lower is better)")
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_parity(comparison: Comparison, model: str, quantity: str, ax: Any = None) -> Any:
    """Predicted medians with 90 % intervals against held-out labels; one point per row (the first time it is held out).

    For more than :data:`MANY_ROWS` rows only the colour says whether the interval holds the label.  Labels of which only an
    interval is known (``"<0.1"``) are left out.
    """
    ax = new_axes(ax, (3.6, 3.4))
    for what, name, names in (("model", model, comparison.models), ("quantity", quantity, comparison.quantities)):
        if name not in names:
            raise ValueError(f"no {what} {name!r}; there are {names}")
    predictions = comparison.predictions
    p = predictions[(predictions["model"] == model) & (predictions["quantity"] == quantity)].drop_duplicates("row")
    p = p[p["y"] == p["high"]]
    inside = (p["y"] >= p["lower"]) & (p["y"] <= p["upper"])
    for mask, colour, text in ((inside, COLOURS[0], "inside"), (~inside, COLOURS[1], "outside")):
        q = p[mask]
        text = f"{text} its {LEVEL:.0%} interval"
        if len(p) > MANY_ROWS:
            ax.scatter(q["y"], q["median"], s=5, lw=0, alpha=0.4, color=colour, label=text, rasterized=True)
        elif len(q):
            errors = np.abs(np.vstack([q["median"] - q["lower"], q["upper"] - q["median"]]))
            ax.errorbar(
                q["y"],
                q["median"],
                yerr=errors,
                fmt="o",
                ms=3,
                lw=0.7,
                alpha=0.75,
                color=colour,
                label=text,
            )
    low, high = min(p["y"].min(), p["median"].min()), max(p["y"].max(), p["median"].max())
    pad = 0.05 * (high - low) or 1.0
    ax.plot([low - pad, high + pad], [low - pad, high + pad], color="0.5", lw=1, zorder=0)
    ax.set_xlim(low - pad, high + pad)
    label = comparison.label(quantity)
    ax.set_xlabel(f"{label}, label")
    ax.set_ylabel(f"{label}, predicted")
    ax.set_title(model, fontsize=10)
    ax.legend(frameon=False, fontsize=7)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_calibration(comparison: Comparison, quantity: str, ax: Any = None) -> Any:
    """Fraction of held-out labels in central intervals against their level; a calibrated model lies on the diagonal."""
    ax = new_axes(ax, (3.8, 3.4))
    ax.plot([0, 1], [0, 1], color="0.5", lw=1)
    for j, model in enumerate(comparison.models):
        p = comparison.predictions
        values = p[(p["model"] == model) & (p["quantity"] == quantity)]["pit"].to_numpy()
        levels, inside = metrics.calibration_curve(values)
        error = metrics.calibration_error(values)
        ax.plot(levels, inside, "o-", ms=3, lw=1, color=COLOURS[j % len(COLOURS)], label=f"{model} (error {error:.2f})")
    ax.set_xlabel("level of the interval")
    ax.set_ylabel("fraction of labels inside")
    ax.set_title(comparison.label(quantity), fontsize=10)
    ax.legend(frameon=False, fontsize=7)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_pit(comparison: Comparison, quantity: str, model: str | None = None, bins: int = 10, ax: Any = None) -> Any:
    """Histogram of the probability integral transforms of held-out labels; it is flat for a calibrated model.

    A hump in the middle: intervals are too wide.  High bars at both ends: too narrow.  A slope: predictions are too
    high or too low.  ``model`` defaults to the first; the band holds 95 % of the bars of as many uniform numbers.
    """
    model = model or comparison.models[0]
    p = comparison.predictions
    values = p[(p["model"] == model) & (p["quantity"] == quantity)]["pit"].to_numpy()
    return plot_levels(values, f"{comparison.label(quantity)}, {model}", bins, ax)


def plot_levels(values: np.ndarray, title: str = "", bins: int = 10, ax: Any = None) -> Any:
    """Histogram of probability integral transforms (n,), such as ``pit`` of ``leave_one_out()``: :func:`plot_pit`."""
    from scipy import stats

    if np.ndim(values) != 1:
        raise ValueError(f"levels are a column of numbers, such as pit of leave_one_out(), got {type(values).__name__}")
    ax = new_axes(ax, (3.8, 2.8))
    low, high = stats.binom(len(values), 1.0 / bins).ppf([0.025, 0.975]) * bins / len(values)
    ax.axhspan(low, high, color="0.88", zorder=0)
    ax.hist(values, bins=np.linspace(0, 1, bins + 1), density=True, color=COLOURS[0], edgecolor="white", lw=0.6)
    ax.axhline(1.0, color="0.4", lw=1)
    ax.set_xlim(0, 1)
    ax.set_xlabel("probability integral transform")
    ax.set_ylabel("density")
    ax.set_title(title, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_held_out(held: pd.DataFrame, label: str, ax: Any = None) -> Any:
    """Predictions of the labels of one task from all others, with two standard deviations, against the labels.

    ``held`` holds the rows of one task of ``leave_one_out()``; ``label`` is the name of the task with its unit.
    """
    ax = new_axes(ax, (3.6, 3.4))
    held = _with_columns(held, "y", "high", "mean", "std")
    known = held[held["y"] == held["high"]]
    many = len(known) > MANY_ROWS
    two_sd = None if many else 2 * known["std"]
    ax.errorbar(known["y"], known["mean"], yerr=two_sd, fmt="o", ms=3, lw=0.7, alpha=0.6, color=COLOURS[0])
    low, high = (float(f([f(known["y"]), f(known["mean"])])) for f in (np.min, np.max))
    pad = 0.05 * (high - low) or 1.0
    ax.plot([low - pad, high + pad], [low - pad, high + pad], color="0.5", lw=1, zorder=0)
    ax.set_xlim(low - pad, high + pad)
    ax.set_xlabel(f"{label}, label")
    ax.set_ylabel(f"{label}, from all others")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_reliability(comparison: Comparison, quantity: str, bins: int = 8, ax: Any = None) -> Any:
    """Accuracy of the predicted class against its probability, in bins with equally many labels.

    Raises
    ------
    ValueError
        If the quantity is a number.
    """
    if not comparison.classified(quantity):
        raise ValueError(f"{quantity!r} is a number: plot_calibration and plot_pit show its calibration")
    ax = new_axes(ax, (3.8, 3.4))
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
    ax.set_title(comparison.label(quantity), fontsize=10)
    ax.legend(frameon=False, fontsize=7)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _table(source: Any, method: str) -> pd.DataFrame:
    """The table itself, or the table that a method of a fitted model returns."""
    if not isinstance(source, pd.DataFrame) and not hasattr(source, method):
        raise ValueError(f"{type(source).__name__} has no {method}(): give a model that has, or that table")
    return source if isinstance(source, pd.DataFrame) else getattr(source, method)()


def _with_columns(table: Any, *names: str) -> pd.DataFrame:
    """A table that has some columns, which a plot draws."""
    if not isinstance(table, pd.DataFrame) or not set(names) <= set(table.columns):
        raise ValueError(f"a table with the columns {', '.join(names)} is drawn, got {type(table).__name__}")
    return table


def plot_task_correlation(model: Any, ax: Any = None) -> Any:
    """Correlation between functions of tasks with its standard deviation, of a model or its ``task_correlation()``."""
    correlation = _table(model, "task_correlation")
    size = 0.62 * len(correlation) + 1.6
    ax = new_axes(ax, (size + 0.6, size))
    std = correlation.attrs.get("std")
    image = ax.imshow(correlation.to_numpy(), vmin=-1, vmax=1, cmap="RdBu_r")
    for i in range(len(correlation)):
        for j in range(len(correlation)):
            text = f"{correlation.iloc[i, j]:.2f}"
            if std is not None and i != j:
                text += f"\n±{std.iloc[i, j]:.2f}"
            dark = abs(correlation.iloc[i, j]) > 0.6
            ax.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    ax.set_xticks(range(len(correlation)), correlation.columns, rotation=45, ha="right", fontsize=8)
    ax.set_yticks(range(len(correlation)), correlation.index, fontsize=8)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="correlation of the functions")
    return ax


def plot_offsets(model: Any, ax: Any = None) -> Any:
    """Scale factors, offsets and group deviations with intervals, of a ``DifferenceGP`` or its ``offsets()``."""
    offsets = _table(model, "offsets")
    ax = new_axes(ax, (5.0, 0.32 * len(offsets) + 1.0))
    y = np.arange(len(offsets))
    errors = np.vstack([offsets["mean"] - offsets["lower"], offsets["upper"] - offsets["mean"]])
    ax.errorbar(offsets["mean"], y, xerr=errors, fmt="o", color=COLOURS[0], capsize=2)
    ax.axvline(0.0, color="0.6", lw=1, zorder=0)
    ax.set_yticks(y, [" ".join(str(part) for part in key if part != "") for key in offsets.index], fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel("label units (rho: a factor)")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_learning_curve(curve: pd.DataFrame, unit: str = "", ax: Any = None) -> Any:
    """Error against the number of labels, a line per model: ``curve`` has columns ``n``, ``model``, ``mae``."""
    curve = _with_columns(curve, "n", "model", "mae")
    ax = new_axes(ax, (4.6, 3.4))
    for j, (model, part) in enumerate(curve.groupby("model", sort=False)):
        grouped = part.groupby("n")["mae"]
        mean, se = grouped.mean(), grouped.sem().fillna(0.0)
        ax.errorbar(mean.index, mean, yerr=se, fmt="o-", color=COLOURS[j % len(COLOURS)], capsize=2, ms=4, label=model)
    ax.set_xscale("log")
    ticks = sorted(curve["n"].unique())
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel("labels of the target")
    ax.set_ylabel(f"mean absolute error{f' ({unit})' if unit else ''}")
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_edge(model: Any, task: str | None = None, source: str | None = None, ax: Any = None) -> Any:
    """The dependence of one task on another with its interval, of a ``LatentVariableGP`` or its ``edge_curves()``.

    ``task`` and ``source`` choose the edge, by default the first one.

    Raises
    ------
    ValueError
        If the graph has no such edge.
    """
    curves = _table(model, "edge_curves")
    ax = new_axes(ax, (4.2, 3.4))
    edges = list(dict.fromkeys(zip(curves["task"], curves["source"], strict=True)))
    chosen = [e for e in edges if task in (None, e[0]) and source in (None, e[1])]
    if not chosen:
        raise ValueError(f"no edge from {source!r} to {task!r}; the edges (task, source) are {edges}")
    child, parent = chosen[0]
    edge = curves[(curves["task"] == child) & (curves["source"] == parent)]
    ax.fill_between(edge["value"], edge["lower"], edge["upper"], color=COLOURS[0], alpha=0.25, lw=0, label="interval")
    ax.plot(edge["value"], edge["mean"], color=COLOURS[0], label="mean")
    ax.set_xlabel(parent)
    ax.set_ylabel(f"{child}, given {parent}")
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_ranks(calibration: Calibration, quantities: Sequence[Hashable] | None = None, ax: Any = None) -> Any:
    """Distribution functions of ranks on simulated tables minus that of a uniform, with a 95 % band of such curves."""
    ax = new_axes(ax, (5.4, 3.6))
    n = int(calibration.ranks.notna().sum().max())
    grid = np.linspace(0, 1, 101)
    low, high = uniform_band(n, grid)
    ax.fill_between(grid, low, high, color="0.85", lw=0, label="uniform, 95 %")
    for i, name in enumerate(calibration.ranks.columns if quantities is None else quantities):
        values = np.sort(calibration.ranks[name].dropna().to_numpy())
        curve = np.searchsorted(values, grid, side="right") / len(values) - grid
        ax.plot(
            grid, curve, lw=1.1, color=COLOURS[i % len(COLOURS)], ls=("-", "--", ":")[(i // 6) % 3], label=str(name)
        )
    ax.axhline(0.0, color="0.5", lw=0.8)
    ax.set_xlabel("rank of the truth among the draws")
    ax.set_ylabel("fraction of ranks below, minus that of a uniform")
    ax.legend(frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5))
    ax.spines[["top", "right"]].set_visible(False)
    return ax
