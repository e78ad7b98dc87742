"""The picture of a battery: CRPS of every model over that of the best peer, and the coverage of the one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayestl.studies.small_tables.scores import LEVELS

MARKS = "sD^v<>Ph*"
"""Marks of the peers."""


def draw(table: pd.DataFrame, peers: pd.DataFrame) -> Any:
    """The figure: left the ratios of all peers and of ``auto``, right the shares of labels in the intervals of ``auto``.

    The bars of the shares are two standard errors of independent labels.

    Parameters
    ----------
    table : DataFrame
        A row for each table, with the counts of labels.
    peers : DataFrame
        The CRPS of ``auto`` over that of each peer, a column per peer.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator, ScalarFormatter

    best = peers.max(axis=1)  # auto over the best peer
    y = -np.arange(len(table), dtype=float)
    figure = Figure(figsize=(9.0, 1.8 + 0.24 * len(table)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for k, name in enumerate(peers):
        ratio = best / peers[name]
        left.scatter(ratio, y, s=22, marker=MARKS[k % len(MARKS)], color=f"C{k + 1}", alpha=0.75, lw=0, label=name)
    left.scatter(best, y, s=46, color="black", label="auto", zorder=3)
    left.axvline(1.0, color="0.6", lw=0.8, zorder=0)
    left.set_xscale("log")
    low, high = min(0.7, 0.95 * best.min()), max(1.5, 1.05 * best.max())
    left.set_xlim(low, min(6.0, max(high, float(np.nanquantile(best.to_numpy()[:, None] / peers, 0.9)))))
    left.set_xticks([t for t in (0.5, 0.7, 1, 1.5, 2, 3, 4, 6) if low <= t <= left.get_xlim()[1]])
    left.xaxis.set_major_formatter(ScalarFormatter())
    left.xaxis.set_minor_locator(NullLocator())
    left.set_xlabel("CRPS over that of the best peer (below 1: better)")
    left.set_yticks(y, [f"{t}, {n}" if n else f"{t}: {q}" for t, n, q in table.index])
    for k, (name, level) in enumerate(LEVELS.items()):
        share = (table[name] / table["labels"]).astype(float)
        error = 2 * np.sqrt(level * (1 - level) / table["labels"].astype(float))
        right.axvline(level, color="0.6", lw=0.8, zorder=0)
        right.errorbar(share, y, xerr=error, fmt="o", ms=4, lw=1, color=("0.45", "black")[k], label=name)
    right.set_xlim(0.2, 1.0)
    right.set_xlabel("labels in the intervals of auto")
    for axes in (left, right):
        axes.grid(axis="y", color="0.92", lw=0.6)
        axes.set_axisbelow(True)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3, fontsize=8, frameon=False, columnspacing=1.0)
    return figure
