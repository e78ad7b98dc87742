"""Case C: colour with band gap (Hutchinson et al. 2017: multi-task wins).

The formulas of Strehlow and Cook that parse: 495 band gaps, 80 colours in six classes. ``RepeatedStratifiedKFold(5,
n_repeats=4, random_state=0)`` over the rows with a colour; the other rows are always in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import RepeatedStratifiedKFold

from bayestl.datasets import load_strehlow_cook
from bayestl.evaluation.calibration import calibration_table
from bayestl.evaluation.comparison import Comparison
from bayestl.evaluation.cross_validation import compare
from bayestl.evaluation.figures import of_comparison
from bayestl.features import CompositionFeatures
from bayestl.models.chain.model import ChainGP
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.exact.multitask import MultiTaskGP
from bayestl.models.latent.model import LatentVariableGP
from bayestl.studies import choose
from bayestl.table.task import Task

SOURCE, TARGET = "band_gap", "color"
PEERS = pd.DataFrame(
    {"accuracy": [0.306, 0.341, 0.500], "macro F1": [0.244, 0.236, 0.379], "log loss": [1.682, 1.768, 1.535]},
    index=["lolo, single task", "lolo, explicit latent, gap unknown", "lolo, explicit latent, gap known"],
)
"""Scores of the paper's learner on the same splits, as measured beforehand."""


@dataclass
class Result:
    """The comparison, with its calibration and the figures of the paper's learner."""

    comparison: Comparison

    @property
    def figures(self) -> pd.DataFrame:
        """Scores and calibration."""
        return of_comparison(self.comparison)

    def __str__(self) -> str:
        calibration = calibration_table(self.comparison).round(3).to_string()
        peers = f"peers on the same splits, as measured beforehand:\n{PEERS.to_string()}"
        return f"{self.comparison}\n\ncalibration:\n{calibration}\n\n{peers}"


def models(tasks: list[Task], seed: int = 0) -> dict[str, Any]:
    """The unfitted architectures by name."""
    common: dict[str, Any] = {"tasks": tasks, "random_state": seed}
    return {
        "chain": ChainGP([SOURCE, TARGET], inputs=None, **common),
        "independent": IndependentGP(n_starts=1, **common),
        "multi-task": MultiTaskGP(n_starts=1, **common),
        "difference": DifferenceGP([SOURCE, TARGET], n_starts=1, **common),
        "latent variable": LatentVariableGP(graph={TARGET: [SOURCE]}, **common),
    }


def run(
    hide: str = "target",
    only: list[str] | None = None,
    n_repeats: int = 4,
    seed: int = 0,
    n_jobs: int | None = 2,
    verbose: bool = True,
) -> Result:
    """Run the protocol.

    Parameters
    ----------
    hide : {"target", "row"}
        Whether the gap of a held-out row is known (``"target"``) or hidden too.
    only : list of str, optional
        Names of the models to run; by default all.
    n_repeats : int
        Repeats of the five folds.
    seed : int
        Seed of the models; the folds are fixed.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.
    """
    data = load_strehlow_cook()
    chosen = choose(models(list(data.tasks), seed), only)
    X = CompositionFeatures(("magpie", "fractions"), n_jobs=n_jobs, verbose=verbose).fit_transform(data.X)
    coloured = np.flatnonzero(data.Y[TARGET].notna())
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=n_repeats, random_state=0)
    splits = [
        (np.setdiff1d(np.arange(len(X)), coloured[test]), coloured[test])
        for _, test in folds.split(coloured, data.Y[TARGET].iloc[coloured])
    ]
    comparison = compare(chosen, X, data.Y, target=TARGET, cv=splits, hide=hide, n_jobs=n_jobs, verbose=verbose)
    return Result(comparison)
