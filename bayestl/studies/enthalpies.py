"""Case H: measured formation enthalpies beside calculated ones, of which SCAN's are the most accurate.

At full size (:func:`full`) all sources and measurements are in one table, and ``KFold(5, shuffle=True, random_state=0)`` holds
out measured compositions.

A draw, among the compositions with both: 100 with both labels, 200 further ones with the calculation only, 150 held out
whose calculation is known.  Features are element fractions and twelve statistics of the elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from bayestl.datasets import load_formation_enthalpies
from bayestl.evaluation.comparison import Comparison
from bayestl.evaluation.cross_validation import compare
from bayestl.evaluation.figures import of_comparison
from bayestl.files.output import write_output
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.exact.multitask import MultiTaskGP
from bayestl.studies import choose
from bayestl.studies.draws import Design, Result, compare_draws, draw_rows, formula_features

SOURCES = ("scan", "oqmd", "mp")
"""The calculations that may be the source."""
TARGET = "measured"
SIZES = (100,)
"""Numbers of compositions with both labels."""
FURTHER, TEST = 200, 150
"""Compositions with the calculation only, and held-out ones."""
LEVELS = ("mp", "oqmd", "scan", "measured")
"""The order of the difference model: the less accurate a calculation, the earlier."""
PUBLISHED = pd.DataFrame(
    [
        ("SCAN corrected by machine learning, 1011 compounds (arXiv 2307.07609)", 0.076),
        ("PBE corrected by machine learning (arXiv 2307.07609)", 0.080),
        ("transfer from composition alone (Jha 2019)", 0.07),
        ("transfer with structures, 137 held out (Jha 2022)", 0.064),
    ],
    columns=["published, other splits", "MAE eV/atom"],
)
"""Errors that others report for measured formation enthalpies."""


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


@dataclass
class Full:
    """The comparison of case H at full size."""

    comparison: Comparison

    @property
    def by_source(self) -> pd.DataFrame:
        """MAE of held-out measurements and how many 90 % intervals hold, by the sources that are known of the composition."""
        data, parts = load_formation_enthalpies(), {}
        predictions = self.comparison.predictions
        known = data.Y[list(SOURCES)].notna().to_numpy()[predictions["row"]]
        for name, rows in {s: known[:, i] for i, s in enumerate(SOURCES)}.items():
            parts[name] = rows
        parts["none"] = ~known.any(axis=1)
        error = (predictions["median"] - predictions["y"]).abs()
        inside = predictions["y"].between(predictions["lower"], predictions["upper"])
        columns = {}
        for name, rows in parts.items():
            of_model = predictions.loc[rows, "model"]
            columns[name, "n"] = of_model.groupby(of_model).size()
            columns[name, "MAE"] = error[rows].groupby(of_model).mean()
            columns[name, "in 90 %"] = inside[rows].groupby(of_model).mean()
        return pd.DataFrame(columns).loc[self.comparison.models]

    @property
    def figures(self) -> pd.DataFrame:
        """Scores and calibration."""
        return of_comparison(self.comparison)

    def __str__(self) -> str:
        return (
            f"{self.comparison}\n\nby the source that the composition has:\n{self.by_source.round(3).to_string()}"
            f"\n\n{PUBLISHED.to_string(index=False)}"
        )

    def write(self, folder: Path) -> None:
        """Write the scores of each fold and the held-out predictions as CSV."""
        write_output(folder / "scores.csv", self.comparison.scores.to_csv(index=False))
        write_output(folder / "predictions.csv", self.comparison.predictions.to_csv(index=False))


def full(
    hide: str = "target",
    n_folds: int = 5,
    only: Sequence[str] | None = None,
    seed: int = 0,
    n_jobs: int | None = 2,
    verbose: bool = True,
) -> Full:
    """Run case H at full size: all measurements, Materials Project, OQMD and SCAN in one table.

    Parameters
    ----------
    hide : {"target", "row"}
        Whether the calculations of a held-out composition are known.
    n_folds : int
        Number of folds that are run, of the five.
    only : sequence of str, optional
        Names of the models; by default all of ``independent``, ``multi-task`` and ``difference``.
    seed, n_jobs, verbose
        As for :func:`run`.

    Raises
    ------
    ValueError
        For an unknown model or ``hide``.
    """
    data = load_formation_enthalpies()
    common: dict[str, Any] = {"tasks": list(data.tasks), "n_starts": 1, "random_state": seed, "verbose": False}
    models = {
        "independent": IndependentGP(**common),
        "multi-task": MultiTaskGP(**common),
        "difference": DifferenceGP(LEVELS, **common),
    }
    chosen = choose(models, only)
    X = formula_features(data.X, n_jobs, verbose)
    measured = np.flatnonzero(data.Y[TARGET].notna())
    folds = KFold(5, shuffle=True, random_state=0).split(measured)
    tests = [measured[test] for _, test in folds][:n_folds]
    splits = [(np.setdiff1d(np.arange(len(X)), test), test) for test in tests]
    return Full(compare(chosen, X, data.Y, TARGET, splits, hide, Y_std=data.Y_std, n_jobs=n_jobs, verbose=verbose))
