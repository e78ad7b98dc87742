"""Pictures of many fits: learning curves, and ranks on simulated tables."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayestl.evaluation.calibration import uniform_band
from bayestl.report.plots.axes import COLOURS, new_axes, titled, with_columns

if TYPE_CHECKING:
    from bayestl.evaluation.simulated import Calibration


def plot_learning_curve(curve: pd.DataFrame, unit: str = "", ax: Any = None) -> Any:
    """Error against the number of labels, a line per model: ``curve`` has columns ``n``, ``model``, ``mae``."""
    curve = with_columns(curve, "n", "model", "mae")
    ax = new_axes(ax)
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
    return titled(ax)


def plot_ranks(calibration: Calibration, quantities: Sequence[Hashable] | None = None, ax: Any = None) -> Any:
    """Distribution functions of ranks on simulated tables minus that of a uniform, with a 95 % band of such curves."""
    ax = new_axes(ax)
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
    return titled(ax, columns=3)
