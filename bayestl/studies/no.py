"""Case N: activation energies of NO decomposition (Hutchinson et al. 2017: explicit latent variables win).

10 metals x 5 facets, three steps, 118 labels.  ``RepeatedKFold(5, n_repeats=10, random_state=0)`` or leave one metal
out; besides the three tasks the function ``N2 - NO`` is scored, in which errors may cancel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import LeaveOneGroupOut, RepeatedKFold

from bayestl.datasets import Dataset, load_no_decomposition
from bayestl.evaluation.calibration import calibration_table
from bayestl.evaluation.comparison import Comparison
from bayestl.evaluation.cross_validation import compare
from bayestl.evaluation.figures import of_comparison
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.exact.multitask import MultiTaskGP
from bayestl.models.latent.model import LatentVariableGP
from bayestl.studies import choose
from bayestl.studies.peers import LoloForests, lolo_installed

PEERS = pd.DataFrame(
    {
        "N2": [0.209, 0.432, 0.398, 0.198],
        "NO": [0.224, 0.264, 0.179, 0.228],
        "O2": [0.354, np.nan, 0.233, 0.336],
        "N2 - NO": [0.219, 0.110, np.nan, 0.222],
    },
    index=["lolo, single", "lolo, multi-task", "lolo, difference", "lolo, explicit latent"],
)
"""MAE in eV of the paper's learner (lolopy 3.0.7, 100 trees), same splits, ``hide="row"``, as measured beforehand."""

GRAPH = {"N2": ["NO"], "O2": ["NO"]}
"""Graph of tasks: ``NO``, which the features explain best, comes first and the others follow it."""
FUNCTIONS = {"N2 - NO": lambda y: y["N2"] - y["NO"]}
"""Functions of several tasks that are scored too."""


@dataclass
class Result:
    """The comparison, the ratio by which errors cancel in ``N2 - NO``, and whether :data:`PEERS` apply."""

    data: Dataset
    comparison: Comparison
    cancellation: pd.Series
    beside_peers: bool = False

    @property
    def figures(self) -> pd.DataFrame:
        """Scores and calibration."""
        return of_comparison(self.comparison)

    def __str__(self) -> str:
        text = str(self.comparison)
        if len(self.cancellation):
            ratios = self.cancellation.round(2).to_string()
            text += f"\n\ncancellation of errors in N2 - NO (below 1):\n{ratios}"
        if self.beside_peers:
            peers = PEERS.to_string(na_rep="-")
            text += f"\n\npeers, MAE in eV on the same splits, as measured beforehand:\n{peers}"
        return f"{text}\n\ncalibration:\n{calibration_table(self.comparison).round(3).to_string()}"


def models(seed: int = 0, data: Dataset | None = None) -> dict[str, Any]:
    """The unfitted architectures by name, and lolo where lolopy is installed."""
    tasks = None if data is None else list(data.tasks)
    architectures: dict[str, Any] = {
        "independent": IndependentGP(tasks=tasks, random_state=seed),
        "multi-task": MultiTaskGP(tasks=tasks, random_state=seed, kernel="matern32"),
        "difference": DifferenceGP(levels=["N2", "NO", "O2"], tasks=tasks, random_state=seed, kernel="matern32"),
        "latent variable": LatentVariableGP(graph=GRAPH, tasks=tasks, random_state=seed),
    }
    if lolo_installed():
        architectures["lolo, single"] = LoloForests(random_state=seed)
    return architectures


def cancellation(comparison: Comparison) -> pd.Series:
    """Standard deviation of each model's error of ``N2 - NO`` over that of independent errors; cancelling is below one."""
    predictions = comparison.predictions
    ratios = {}
    for model in comparison.models:
        p = predictions[predictions["model"] == model].assign(error=lambda f: f["y"] - f["mean"])
        wide = p.pivot(index=["fold", "row"], columns="quantity", values="error").dropna(subset=["N2", "NO", "N2 - NO"])
        ratios[model] = float(wide["N2 - NO"].std() / np.sqrt(wide["N2"].var() + wide["NO"].var()))
    return pd.Series(ratios, name="cancellation ratio")


def run(
    n_repeats: int = 10,
    hide: str = "row",
    split: str = "kfold",
    variant: str | None = None,
    only: list[str] | None = None,
    seed: int = 0,
    n_jobs: int | None = 2,
    verbose: bool = True,
) -> Result:
    """Run the protocol.

    Parameters
    ----------
    n_repeats : int
        Repeats of the five folds.
    hide : {"row", "target"}
        Whether a held-out surface loses all labels (then ``N2 - NO`` is scored too) or keeps those of the other steps.
    split : {"kfold", "metal"}
        Random folds, or leave one metal out.
    variant : "cohesion", optional
        Features of the protocol, or also properties of the pure metals (:func:`load_no_decomposition`).
    only : list of str, optional
        Names of the models to run; by default all.
    seed : int
        Seed of the models; the folds are fixed.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.

    Raises
    ------
    ValueError
        For another split or variant, or a name that is not among the models.
    """
    if split not in ("kfold", "metal"):
        raise ValueError(f"split must be kfold or metal, got {split!r}")
    if variant not in (None, "cohesion"):
        raise ValueError(f"variant must be cohesion, or left out, got {variant!r}")
    data = load_no_decomposition(cohesion=variant == "cohesion")
    chosen = choose(models(seed, data), only)
    cv = RepeatedKFold(n_splits=5, n_repeats=n_repeats, random_state=0) if split == "kfold" else LeaveOneGroupOut()
    comparison = compare(
        chosen,
        data.X,
        data.Y,
        cv=cv,
        hide=hide,
        functions=FUNCTIONS if hide == "row" else None,
        split_groups=data.groups if split == "metal" else None,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    ratios = cancellation(comparison) if hide == "row" else pd.Series(dtype=float)
    return Result(data, comparison, ratios, beside_peers=hide == "row" and split == "kfold")
