"""Matplotlib pictures of comparisons, of calibration on simulated tables, and of fitted models.

Each function takes ``ax=`` and returns the axes; the colours can be told apart by the colour-blind.  Pictures of a
model take the fitted model, or the table that its method of the same name returns.
"""

from bayestl.report.plots.axes import COLOURS, image, new_axes
from bayestl.report.plots.comparisons import (
    plot_calibration,
    plot_comparison,
    plot_levels,
    plot_parity,
    plot_pit,
    plot_reliability,
)
from bayestl.report.plots.models import (
    plot_edge,
    plot_held_out,
    plot_offsets,
    plot_task_correlation,
    plot_transfer,
)
from bayestl.report.plots.studies import plot_learning_curve, plot_ranks

__all__ = [
    "COLOURS",
    "image",
    "new_axes",
    "plot_calibration",
    "plot_comparison",
    "plot_edge",
    "plot_held_out",
    "plot_learning_curve",
    "plot_levels",
    "plot_offsets",
    "plot_parity",
    "plot_pit",
    "plot_ranks",
    "plot_reliability",
    "plot_task_correlation",
    "plot_transfer",
]
