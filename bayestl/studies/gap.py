"""Case G: band gaps from DFT and experiment (Hutchinson et al. 2017: difference wins).

The 4604 measured gaps of matbench_expt_gap, more than half of them exactly zero, and the PBE gap of the same
composition where the Materials Project has one.  ``KFold(5, shuffle=True, random_state=18012019)`` are the official
folds.

G0  no PBE gaps at all;  G1  held-out rows keep their PBE gap (``hide="target"``);
G2  only n training rows keep their measured gap: the curve of the error against n, with transfer and without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from bayestl import metrics
from bayestl.datasets import load_experimental_band_gaps
from bayestl.evaluation.comparison import Comparison
from bayestl.evaluation.cross_validation import compare
from bayestl.features import PRESETS, CompositionFeatures
from bayestl.files.output import write_output
from bayestl.likelihoods import Hurdle
from bayestl.models.chain.model import ChainGP
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.exact.multitask import MultiTaskGP
from bayestl.parallel import in_parallel
from bayestl.report import plots
from bayestl.studies import choose
from bayestl.table.task import Task

TARGET, SOURCE = "expt_gap", "pbe_gap"
OFFICIAL = KFold(5, shuffle=True, random_state=18012019)
"""The folds of matbench_expt_gap."""
CHAIN_SIZE = "power-0.75-t"
"""Distribution of the size of a measured gap in the chain: trees leave many small errors and some large ones."""
SIZES = (50, 100, 200, 400, 800)
"""Numbers of measured gaps in training, for G2."""
PEERS = pd.DataFrame(
    [
        ("G0", "lolo, single task", 0.437, 0.798, 0.311, 0.967),
        ("G0", "extra trees, hurdle median", 0.310, np.nan, np.nan, np.nan),
        ("G0", "gated boosted trees, blended (pull request 364 of the leaderboard)", 0.2775, 0.6825, np.nan, np.nan),
        ("G0", "Darwin (leaderboard)", 0.2865, 0.719, np.nan, np.nan),
        ("G0", "CrabNet, Ax/SAASBO (leaderboard)", 0.3310, np.nan, np.nan, np.nan),
        ("G0", "MODNet (leaderboard)", 0.3327, np.nan, np.nan, np.nan),
        ("G1", "lolo, difference", 0.376, 0.689, 0.283, 0.934),
        ("G1", "lolo, explicit latent", 0.333, 0.651, 0.245, 0.968),
        ("G1", "extra trees, hurdle median", 0.251, np.nan, np.nan, np.nan),
    ],
    columns=["case", "model", "MAE", "RMSE", "CRPS", "in 90 %"],
)
"""Scores of other learners, as measured beforehand on the official folds or published for them."""


@dataclass
class Result:
    """The comparison on the official folds, and the checks of its calibration, one row per model."""

    case: str
    comparison: Comparison
    checks: pd.DataFrame

    def __str__(self) -> str:
        peers = PEERS[PEERS["case"] == self.case].to_string(index=False, na_rep="-")
        return (
            f"{self.comparison}\n\n{self.checks.T.round(3).to_string()}"
            f"\n\npeers on the official folds, as measured beforehand:\n{peers}"
        )

    def write(self, folder: Path) -> None:
        """Write the predictions as CSV, and a picture of predictions against labels and of the calibration."""
        from matplotlib.figure import Figure

        write_output(folder / f"gap-{self.case}.csv", self.comparison.predictions.to_csv(index=False))
        figure = Figure(figsize=(7.6, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        plots.plot_parity(self.comparison, self.comparison.models[0], TARGET, ax=left)
        plots.plot_calibration(self.comparison, TARGET, ax=right)
        write_output(folder / f"gap-{self.case}.png", plots.image(figure))


@dataclass
class Curve:
    """The result of G2: ``records`` has one row per size, seed and model."""

    records: pd.DataFrame

    def __str__(self) -> str:
        return self.summary.round(3).to_string()

    @property
    def summary(self) -> pd.DataFrame:
        """Mean absolute error over seeds with its standard error, and the fraction that each kind of transfer saves."""
        wide = self.records.pivot(index=["n", "seed"], columns="model", values="mae")
        columns = {}
        for model in dict.fromkeys(self.records["model"]):
            mae = wide[model].groupby("n")
            columns[model, "MAE"], columns[model, "+-"] = mae.mean(), mae.sem()
            if model != "independent":
                cut = (1 - wide[model] / wide["independent"]).groupby("n")
                columns[model, "cut"], columns[model, "cut +-"] = cut.mean(), cut.sem()
        return pd.DataFrame(columns)

    def write(self, folder: Path) -> None:
        """Write the curve as CSV and as a picture."""
        write_output(folder / "gap-G2.csv", self.records.to_csv(index=False))
        write_output(folder / "gap-G2.png", plots.image(plots.plot_learning_curve(self.records, unit="eV").figure))


def table(
    transfer: bool, n_jobs: int | None = 2, verbose: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame, list[Task]]:
    """Features (all presets), labels and tasks."""
    data = load_experimental_band_gaps(pbe=transfer)
    X = CompositionFeatures(PRESETS, n_jobs=n_jobs, verbose=verbose).fit_transform(data.X)
    return X, data.Y, list(data.tasks)


def models(tasks: list[Task], seed: int = 0) -> dict[str, Any]:
    """The unfitted architectures by name; without a source only those that need none."""
    names = [task.name for task in tasks]
    common: dict[str, Any] = {"tasks": tasks, "random_state": seed, "n_starts": 1}
    heavy_tailed = [replace(t, likelihood=Hurdle(CHAIN_SIZE)) if t.name == TARGET else t for t in tasks]
    chain = ChainGP(names, **{**common, "tasks": heavy_tailed})
    if len(tasks) == 1:
        return {"chain": chain, "independent": IndependentGP(**common)}
    return {
        "chain": chain,
        "difference": DifferenceGP(names, **common),
        "multi-task": MultiTaskGP(**common),
    }


def checks(comparison: Comparison) -> pd.DataFrame:
    """Checks of the hurdle predictions, one row per model: accuracy of zero or not, and calibration of each part."""
    predictions = comparison.predictions
    rows = {}
    for model in comparison.models:
        p = predictions[predictions["model"] == model]
        metal, positive = p["y"] == 0, p[p["y"] > 0]
        inside = positive["y"].between(positive["positive_lower"], positive["positive_upper"])
        rows[model] = {
            "accuracy of metal or not": float(((p["zero"] > 0.5) == metal).mean()),
            "PIT within the central 90 %": float(metrics.calibration_curve(p["pit"].to_numpy(), np.array([0.9]))[1][0]),
            "positive part in 90 %": float(inside.mean()),
            "calibration error of P(gap = 0)": metrics.expected_calibration_error(
                metal.to_numpy(float), p["zero"].to_numpy()
            ),
        }
    return pd.DataFrame(rows).T


def run(
    case: str = "G1",
    only: list[str] | None = None,
    n_folds: int = 5,
    seed: int = 0,
    n_jobs: int | None = 2,
    verbose: bool = True,
) -> Result:
    """Run G0 or G1 on the official folds.

    Parameters
    ----------
    case : {"G0", "G1"}
        Without PBE gaps, or with those of the held-out rows known.
    only : list of str, optional
        Names of the models to run; by default the chain.
    n_folds : int
        Number of folds that are run, of the five.
    seed : int
        Seed of the models; the folds are fixed.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.

    Raises
    ------
    ValueError
        For another case, or a name that is not among the models.
    """
    if case not in ("G0", "G1"):
        raise ValueError(f"case must be G0 or G1, got {case!r}")
    X, Y, tasks = table(case == "G1", n_jobs, verbose)
    chosen = choose(models(tasks, seed), only or ["chain"])
    hide = "target" if case == "G1" else "row"
    splits = list(OFFICIAL.split(X))[:n_folds]
    comparison = compare(chosen, X, Y, target=TARGET, cv=splits, hide=hide, n_jobs=n_jobs, verbose=verbose)
    return Result(case, comparison, checks(comparison))


def scarcity(
    sizes: Sequence[int] | None = None,
    only: list[str] | None = None,
    n_seeds: int = 5,
    n_jobs: int | None = 2,
    verbose: bool = True,
) -> Curve:
    """Run G2: the error on the held-out fold against the number of measured gaps in training.

    Parameters
    ----------
    sizes : sequence of int, optional
        Numbers of measured gaps in training (50 to 800).
    only : list of str, optional
        Ways of transfer, of ``"chain"`` and ``"difference"``; by default both.  The model without transfer always runs.
    n_seeds : int
        Draws of the measured gaps; each has a fold of its own.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.
    """
    X, Y, tasks = table(True, n_jobs, verbose)
    ways = list(choose(_ways(tasks, 0), only))
    jobs = [(ways, n, seed) for seed in range(n_seeds) for n in sizes or SIZES]
    calls = [(X, Y, tasks, *job) for job in jobs]
    per_job = in_parallel(_scarce, calls, n_jobs, "scarcity", verbose)
    return Curve(pd.DataFrame([record for records in per_job for record in records]))


def _ways(tasks: list[Task], seed: int) -> dict[str, Any]:
    common: dict[str, Any] = {"tasks": tasks, "random_state": seed, "verbose": False, "n_starts": 1}
    return {"chain": ChainGP([SOURCE, TARGET], **common), "difference": DifferenceGP([SOURCE, TARGET], **common)}


def _scarce(
    X: pd.DataFrame, Y: pd.DataFrame, tasks: list[Task], ways: list[str], n: int, seed: int
) -> list[dict[str, Any]]:
    """Scores on the held-out fold with transfer and without, for ``n`` measured gaps in training."""
    folds = list(OFFICIAL.split(X))
    train, test = folds[seed % len(folds)]
    chosen = np.random.default_rng(seed).permutation(train)[:n]
    few = Y.iloc[train].copy()
    few.loc[~np.isin(train, chosen), TARGET] = np.nan
    measured = few[TARGET].notna()
    alone = ChainGP([TARGET], tasks=tasks[1:], random_state=seed, verbose=False)
    alone.fit(X.iloc[train][measured], few.loc[measured, [TARGET]])
    known = Y.iloc[test].assign(**{TARGET: np.nan})
    predictions = {"independent": alone.posterior(X.iloc[test]).marginal(TARGET)}
    for way in ways:
        model = _ways(tasks, seed)[way].fit(X.iloc[train], few)
        predictions[way] = model.posterior(X.iloc[test], observed=known).marginal(TARGET)
    truth = Y[TARGET].iloc[test].to_numpy()
    return [
        {
            "n": n,
            "seed": seed,
            "model": name,
            "mae": metrics.mae(truth, predicted.quantile(0.5)),
            "crps": float(metrics.crps(truth, predicted).mean()),
            "nlpd": metrics.nlpd(predicted.log_density(truth)),
        }
        for name, predicted in predictions.items()
    ]
