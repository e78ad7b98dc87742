"""Axes, colours, legends and points that all pictures share."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pandas as pd

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette."""
WIDTH = 5.2
"""Width of every picture, inches."""
MANY_ROWS = 400
"""Above this number of rows, points are drawn without their intervals."""
MOST_NAMED = 6
"""Most points whose name is written beside them."""


def new_axes(ax: Any, height: float = 3.9) -> Any:
    """The given axes, or those of a new figure that is not registered with pyplot, so nothing needs closing."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained").add_subplot()


def image(figure: Any, ending: str = "png") -> bytes:
    """A figure as the bytes of an image file with the given ending."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending, dpi=130)
    return buffer.getvalue()


def titled(ax: Any, title: str = "", columns: int = 2) -> Any:
    """The axes with their legend above the data, if they have labels, the title above it, and no frame at top and right."""
    handles, _ = ax.get_legend_handles_labels()
    if handles:
        ax.legend(
            frameon=False,
            fontsize=8,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=columns,
            borderpad=0.1,
            borderaxespad=0.1,
            columnspacing=1.2,
            handletextpad=0.5,
        )
    if title:
        ax.set_title(title, fontsize=10, loc="left", pad=6 + 14 * -(-len(handles) // columns))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def points(ax: Any, x: Any, y: Any, hover: Sequence[str] | None = None, **how: Any) -> Any:
    """Points whose texts, if given, are the addresses of their links in an SVG; a report shows them on hovering."""
    drawn = ax.scatter(x, y, **{"s": 14, "lw": 0, "zorder": 3} | how)
    if hover is not None:
        drawn.set_urls(list(hover))
    return drawn


def name_far(ax: Any, x: Any, y: Any, names: Sequence[Any]) -> None:
    """Write the names of a few points beside them."""
    for at_x, at_y, name in list(zip(x, y, names, strict=True))[:MOST_NAMED]:
        ax.annotate(str(name), (at_x, at_y), (4, 3), textcoords="offset points", fontsize=8, zorder=4)


def diagonal(ax: Any, x: Any, y: Any) -> None:
    """The line of equal values through the range of some points, which is the range of both axes' labels."""
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    pad = 0.05 * (high - low) or 1.0
    ax.plot([low - pad, high + pad], [low - pad, high + pad], color="0.5", lw=1, zorder=0)
    ax.set_xlim(low - pad, high + pad)


def with_columns(table: Any, *names: str) -> pd.DataFrame:
    """A table that has some columns, which a plot draws."""
    if not isinstance(table, pd.DataFrame) or not set(names) <= set(table.columns):
        raise ValueError(f"a table with the columns {', '.join(names)} is drawn, got {type(table).__name__}")
    return table
