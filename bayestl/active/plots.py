"""Pictures of campaigns, real and simulated: each function takes ``ax=`` and returns the axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bayestl.active.campaign import Campaign
from bayestl.active.goals import Between
from bayestl.active.simulation import Simulation
from bayestl.active.words import in_words
from bayestl.report.plots import COLOURS, new_axes
from bayestl.report.units import typeset, unit_typeset
from bayestl.table.task import labelled

TITLES = {"found": "rows found", "regret": "regret", "best": "best so far", "error": "error over the pool"}
"""Columns of the records as they are written at an axis."""


def plot_campaign(campaign: Campaign, ax: Any = None) -> Any:
    """The quantity of each measured row against the cost spent by then, with the best so far or the goal's range.

    Parameters
    ----------
    campaign : Campaign
        The campaign.
    ax : matplotlib axes, optional
        Where to draw; default: those of a new figure.

    Returns
    -------
    matplotlib axes
        Those drawn on.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl, tempfile, pathlib
    >>> pool, path = pd.DataFrame({"x": np.linspace(0, 1, 12)}), pathlib.Path(tempfile.mkdtemp()) / "campaign.db"
    >>> goal, known = btl.active.Maximise("y"), pd.DataFrame({"y": [0.1, 0.4]})
    >>> campaign = btl.active.Campaign(pool, [btl.Task("y")], goal, btl.IndependentGP(), path, known=known)
    >>> len(btl.active.plot_campaign(campaign).collections + btl.active.plot_campaign(campaign).lines) > 0
    True
    """
    ax = new_axes(ax, 3.6)
    progress = campaign.progress()
    wanted = in_words(campaign.goal, unit_typeset(campaign.unit))
    if isinstance(campaign.goal, Between):
        inside = progress["utility"] > 0
        low, high = (np.clip(v, -1e300, 1e300) for v in (campaign.goal.lower, campaign.goal.upper))
        ends = progress["value"].min(), progress["value"].max()
        ax.axhspan(max(low, ends[0]), min(high, ends[1]), color=COLOURS[2], alpha=0.15, lw=0, label=wanted)
        ax.plot(progress["cost"][~inside], progress["value"][~inside], "o", ms=3, color="0.6")
        ax.plot(
            progress["cost"][inside],
            progress["value"][inside],
            "o",
            ms=5,
            color=COLOURS[2],
            label=f"{inside.sum()} rows in it",
        )
    else:
        ax.plot(progress["cost"], progress["value"], "o", ms=3, color="0.6")
        ax.step(
            progress["cost"],
            progress["best"],
            where="post",
            color=COLOURS[0],
            label=f"best so far ({wanted})",
        )
    ax.set_xlabel("cost")
    ax.set_ylabel(typeset(labelled(campaign.goal.quantity, campaign.unit)))
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_simulation(simulation: Simulation, column: str | None = None, ax: Any = None) -> Any:
    """The mean over seeds of a column of the records against cost: a line per policy, a band of one standard error.

    ``column`` defaults to the criterion of the goal.

    Parameters
    ----------
    simulation : Simulation
        The result of :func:`bayestl.active.simulate`.
    column : str, optional
        A column of its records.
    ax : matplotlib axes, optional
        Where to draw; default: those of a new figure.

    Returns
    -------
    matplotlib axes
        Those drawn on.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> X = pd.DataFrame({"x": np.linspace(0, 1, 12)})
    >>> Y, goal = pd.DataFrame({"y": np.sin(5 * X["x"])}), btl.active.Maximise("y")
    >>> policies = {"random": btl.active.Random()}
    >>> simulation = btl.active.simulate(X, Y, goal, policies, start=2, budget=3, seeds=[0, 1], verbose=False)
    >>> btl.active.plot_simulation(simulation).get_xlabel()
    'cost'
    """
    ax = new_axes(ax, 3.6)
    column = column or simulation.criterion
    last = float(simulation.records.groupby(["policy", "seed"])["cost"].max().min())
    grid = np.linspace(0.0, last, 60)
    scored = simulation.records[simulation.records[column].notna()]
    for i, policy in enumerate(dict.fromkeys(scored["policy"])):
        played = scored[scored["policy"] == policy]
        curves = []
        for _, part in played.groupby("seed"):
            at = np.searchsorted(part["cost"].to_numpy(), grid + 1e-9, side="right") - 1
            curves.append(np.where(at >= 0, part[column].to_numpy()[np.maximum(at, 0)], np.nan))
        mean = np.nanmean(curves, axis=0)
        se = np.nanstd(curves, axis=0) / math.sqrt(len(curves))
        colour = COLOURS[i % len(COLOURS)]
        ax.fill_between(grid, mean - se, mean + se, color=colour, alpha=0.2, lw=0)
        ax.plot(grid, mean, color=colour, label=policy)
    ax.set_xlabel("cost")
    title = TITLES.get(column, column)
    ax.set_ylabel(typeset(labelled(title, simulation.unit)) if simulation.has_unit(column) else title)
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
