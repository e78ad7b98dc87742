"""Case H: measured formation enthalpies beside calculated ones, of which SCAN's are the most accurate.

A draw, among the compositions with both: 100 with both labels, 200 further ones with the calculation only, 150 held out
whose calculation is known.  Features are element fractions and twelve statistics of the elements.
"""

from __future__ import annotations

from collections.abc import Sequence

from bayestl.datasets import load_formation_enthalpies
from bayestl.studies.draws import Design, Result, compare_draws, draw_rows, formula_features

SOURCES = ("scan", "oqmd", "mp")
"""The calculations that may be the source."""
TARGET = "measured"
SIZES = (100,)
"""Numbers of compositions with both labels."""
FURTHER, TEST = 200, 150
"""Compositions with the calculation only, and held-out ones."""


def run(
    source: str = "scan",
    sizes: Sequence[int] | None = None,
    n_draws: int = 10,
    only: Sequence[str] | None = None,
    hyperparameters: str = "auto",
    seed: int = 0,
    n_jobs: int | None = 2,
    verbose: bool = True,
) -> Result:
    """Run the protocol.

    Parameters
    ----------
    source : {"scan", "oqmd", "mp"}
        The calculation beside the measurement.
    sizes : sequence of int, optional
        Numbers of compositions with both labels; 100 by default.
    n_draws : int
        Number of draws, of the seeds 0, 1 and so on.
    only, hyperparameters, seed, n_jobs, verbose
        As for :func:`bayestl.studies.draws.compare_draws`.

    Raises
    ------
    ValueError
        For an unknown source or model.
    """
    if source not in SOURCES:
        raise ValueError(f"source must be one of {SOURCES}, got {source!r}")
    data = load_formation_enthalpies()
    both = data.Y[[source, TARGET]].notna().all(axis=1)
    data = data.rows(both.to_numpy())
    X = formula_features(data.X, n_jobs, verbose)
    comparisons = {}
    for n in sizes or SIZES:
        draws = [draw_rows(data.Y, source, TARGET, Design(n, FURTHER, TEST), k) for k in range(n_draws)]
        comparisons[f"enthalpies, {source}", f"{n} rows with both"] = compare_draws(
            X, data, source, TARGET, draws, only, hyperparameters, seed, n_jobs, verbose
        )
    return Result(comparisons)
