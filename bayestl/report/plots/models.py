"""Pictures of fitted models: each takes the model, or the table that its method of the same name returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayestl.diagnostics.checks import far_off
from bayestl.diagnostics.words import plus_minus
from bayestl.report.plots.axes import COLOURS, MANY_ROWS, diagonal, name_far, new_axes, points, titled, with_columns
from bayestl.report.units import typeset


def plot_held_out(held: pd.DataFrame, label: str, ax: Any = None, names: Sequence[Any] | None = None) -> Any:
    """Predictions of the labels of one task from all others, with two standard deviations, against the labels.

    ``held`` holds the rows of one task of ``leave_one_out()``; ``label`` is the name of the task with its unit.  With ``names``
    of those rows, the names of labels far from their predictions are written, and every point has its name and numbers as the
    address of a link, which an SVG keeps.
    """
    ax = new_axes(ax)
    held = with_columns(held, "y", "high", "mean", "std")
    known = held.assign(name=range(len(held)) if names is None else list(names))[(held["y"] == held["high"]).to_numpy()]
    if len(known) <= MANY_ROWS:
        bars = {"yerr": 2 * known["std"], "fmt": "none", "lw": 0.7, "alpha": 0.5}
        ax.errorbar(known["y"], known["mean"], color=COLOURS[0], **bars)
    texts = [f"{r.name}: label {r.y:.4g}, predicted {r.mean:.4g} ± {2 * r.std:.2g}" for r in known.itertuples()]
    points(ax, known["y"], known["mean"], None if names is None else texts, color=COLOURS[0])
    if len(known):
        diagonal(ax, known["y"], known["mean"])
    if names is not None and "pit" in known:
        far = known[far_off(known["pit"].to_numpy())]
        name_far(ax, far["y"], far["mean"], far["name"])
    ax.set_xlabel(f"{label}, label")
    ax.set_ylabel(f"{label}, from all others")
    return titled(ax)


def _table(source: Any, method: str) -> pd.DataFrame:
    """The table itself, or the table that a method of a fitted model returns."""
    if not isinstance(source, pd.DataFrame) and not hasattr(source, method):
        raise ValueError(f"{type(source).__name__} has no {method}(): give a model that has, or that table")
    return source if isinstance(source, pd.DataFrame) else getattr(source, method)()


def plot_task_correlation(model: Any, ax: Any = None) -> Any:
    """Correlation between functions of tasks with its standard deviation, of a model or its ``task_correlation()``."""
    correlation = _table(model, "task_correlation")
    ax = new_axes(ax)
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
    ax = new_axes(ax, 0.32 * len(offsets) + 1.0)
    y = np.arange(len(offsets))
    errors = np.vstack([offsets["mean"] - offsets["lower"], offsets["upper"] - offsets["mean"]])
    ax.errorbar(offsets["mean"], y, xerr=errors, fmt="o", color=COLOURS[0], capsize=2)
    ax.axvline(0.0, color="0.6", lw=1, zorder=0)
    ax.set_yticks(y, [" ".join(str(part) for part in key if part != "") for key in offsets.index], fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel("label units (rho: a factor)")
    return titled(ax)


def plot_edge(model: Any, task: str | None = None, source: str | None = None, ax: Any = None) -> Any:
    """The dependence of one task on another with its interval, of a ``LatentVariableGP`` or its ``edge_curves()``.

    ``task`` and ``source`` choose the edge, by default the first one.

    Raises
    ------
    ValueError
        If the graph has no such edge.
    """
    curves = _table(model, "edge_curves")
    ax = new_axes(ax)
    edges = list(dict.fromkeys(zip(curves["task"], curves["source"], strict=True)))
    chosen = [e for e in edges if task in (None, e[0]) and source in (None, e[1])]
    if not chosen:
        raise ValueError(f"no edge from {source!r} to {task!r}; the edges (task, source) are {edges}")
    child, parent = chosen[0]
    edge = curves[(curves["task"] == child) & (curves["source"] == parent)]
    ax.fill_between(edge["value"], edge["lower"], edge["upper"], color=COLOURS[0], alpha=0.25, lw=0, label="interval")
    ax.plot(edge["value"], edge["mean"], color=COLOURS[0], label="mean")
    labels = curves.attrs.get("labels", {})
    ax.set_xlabel(typeset(labels.get(parent, parent)))
    ax.set_ylabel(typeset(labels.get(child, child)))
    return titled(ax)


def plot_transfer(links: pd.DataFrame, ax: Any = None) -> Any:
    """Which task informs which: tasks on a circle, a line for each pair, as wide as its strength.

    Parameters
    ----------
    links : DataFrame
        One row per line: ``source``, ``target``, ``strength`` (of any unit), its standard error ``se``, and ``directed``, whether
        the line is an arrow.  A line whose strength is within two standard errors of zero is grey and broken.
    """
    links = with_columns(links, "source", "target", "strength", "se", "directed")
    names = list(dict.fromkeys([*links["source"], *links["target"]]))
    ax = new_axes(ax, 3.9 if len(names) > 2 else 1.9)
    angles = np.pi * (1.0 - 2.0 * np.arange(len(names)) / len(names))
    place = {name: (np.cos(a), 0.8 * np.sin(a)) for name, a in zip(names, angles, strict=True)}
    largest = max(links["strength"].abs().max(), 1e-12)
    for link in links.itertuples():
        (x0, y0), (x1, y1) = place[link.source], place[link.target]
        sure = not abs(link.strength) < 2 * link.se
        style = {
            "arrowstyle": "-|>,head_width=0.35,head_length=0.6" if link.directed else "-",
            "connectionstyle": f"arc3,rad={0.18 if link.directed else 0.0}",
            "lw": 0.8 + 4.0 * abs(link.strength) / largest if sure else 0.8,
            "ls": "-" if sure else (0, (4, 3)),
            "color": "0.5" if not sure else COLOURS[0] if link.strength > 0 else COLOURS[1],
            "shrinkA": 26,
            "shrinkB": 26,
        }
        ax.annotate("", (x1, y1), (x0, y0), arrowprops=style)
        length, bend = np.hypot(x1 - x0, y1 - y0), 0.09 if link.directed else 0.0
        aside = bend + 0.09 / length
        at = (x0 + 0.38 * (x1 - x0) + aside * (y1 - y0), y0 + 0.38 * (y1 - y0) - aside * (x1 - x0))
        ax.text(*at, plus_minus(link.strength, link.se), ha="center", va="center", fontsize=8)
    for name, (x, y) in place.items():
        ax.text(
            x,
            y,
            name,
            ha="center",
            va="center",
            fontsize=9,
            bbox={"boxstyle": "round", "fc": "0.5", "alpha": 0.2, "lw": 0},
        )
    ax.set_xlim(-1.45, 1.45)
    ax.set_ylim(*((-1.05, 1.05) if len(names) > 2 else (-0.5, 0.5)))
    ax.set_axis_off()
    return ax
