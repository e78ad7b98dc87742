"""Simulated active learning: find compounds with a measured gap of 1.3 to 1.5 eV, starting from 50 measurements.

The pool is one official fold of the measured gaps (about 920 formulas), with the PBE gap where the Materials Project
has one; a measurement costs 20 calculations.  The policies are random choice; a Gaussian process of the measured gap
alone; lolo's forest (the paper's learner) with the PBE gap as a feature, where lolopy is installed; and the chain from
PBE to measured gap.  All but the first rank by the probability of a gap in the range.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayestl.active.goals import Between
from bayestl.active.plots import plot_simulation
from bayestl.active.policies import ByModel, Policy, Random
from bayestl.active.simulation import Simulation, simulate
from bayestl.datasets import load_experimental_band_gaps
from bayestl.features import CompositionFeatures
from bayestl.models.chain.model import ChainGP
from bayestl.models.exact.independent import IndependentGP
from bayestl.studies import choose
from bayestl.studies.gap import OFFICIAL, SOURCE, TARGET
from bayestl.studies.peers import lolo_installed
from bayestl.table.task import Task
from benchmarks.lolo_policy import Lolo

GOAL = Between(TARGET, 1.3, 1.5)
START, BATCH, MEASUREMENTS = 50, 10, 100
COST = 20.0
"""Cost of a measurement, in calculations."""
FURTHER = 350
"""Number of further rows with only a PBE gap, from which the source is learnt too."""


def policies(tasks: list[Task], seed: int = 0) -> dict[str, Policy]:
    """The policies by name."""
    common: dict[str, Any] = {
        "tasks": tasks,
        "random_state": seed,
        "verbose": False,
        "hyperparameters": "map",
        "n_starts": 1,
    }
    by_name: dict[str, Policy] = {
        "random": Random(),
        "single task": ByModel(IndependentGP(**common), alone=True),
        "chain": ByModel(ChainGP([SOURCE, TARGET], inputs=None, **common)),
    }
    if lolo_installed():
        by_name["lolo"] = Lolo()
    return by_name


class Result:
    """The simulation, and how many rows each policy finds."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def __str__(self) -> str:
        lines = [str(self.simulation)]
        for measured in (20, 50, MEASUREMENTS):
            wide = self.simulation.at_cost(measured * COST)
            mean, se = wide.mean(), wide.sem()
            counts = ", ".join(f"{p} {mean[p]:.1f} ± {se[p]:.1f}" for p in wide)
            lines.append(f"after {measured} measurements: {counts}")
        return "\n".join(lines)

    @property
    def figures(self) -> pd.DataFrame:
        """Rows found after some measurements: mean and standard error, one row per policy."""
        parts = {}
        for measured in (20, 50, MEASUREMENTS):
            wide = self.simulation.at_cost(measured * COST)
            parts[f"after {measured}"], parts[f"after {measured} se"] = wide.mean(), wide.sem()
        return pd.DataFrame(parts).rename_axis("policy")

    def write(self, folder: Path) -> None:
        """Write the records as CSV and the curves as a picture."""
        folder.mkdir(parents=True, exist_ok=True)
        self.simulation.records.to_csv(folder / "campaigns.csv", index=False)
        figure = Figure(figsize=(5.2, 3.7), layout="constrained")
        plot_simulation(self.simulation, ax=figure.add_subplot())
        figure.savefig(folder / "campaigns.png", dpi=130)


def run(
    n_seeds: int = 20,
    only: list[str] | None = None,
    n_jobs: int | None = 2,
    folder: Path | None = None,
    verbose: bool = True,
) -> Result:
    """Simulate ``n_seeds`` campaigns of each policy; the pool is the fold of the seed.

    Parameters
    ----------
    folder : path, optional
        Folder for finished campaigns: an interrupted run continues.
    """
    data = load_experimental_band_gaps(pbe=True)
    features = CompositionFeatures(("magpie", "fractions"), n_jobs=n_jobs, verbose=verbose)
    X = features.fit_transform(data.X).reset_index(drop=True)
    Y = data.Y[[SOURCE, TARGET]].reset_index(drop=True)
    likelihood = {task.name: task.likelihood for task in data.tasks}
    tasks = [Task(SOURCE, likelihood[SOURCE]), Task(TARGET, likelihood[TARGET], cost=COST)]
    chosen = choose(policies(tasks), only)
    frames = []
    for fold, (train, pool) in enumerate(OFFICIAL.split(X)):
        seeds = [s for s in range(n_seeds) if s % OFFICIAL.get_n_splits() == fold]
        if not seeds:
            continue
        with_source = train[Y[SOURCE].iloc[train].notna().to_numpy()]
        chosen_rows = np.random.default_rng(fold).permutation(with_source)[:FURTHER]
        further = (X.iloc[chosen_rows], Y.iloc[chosen_rows].assign(**{TARGET: np.nan}))
        simulation = simulate(
            X.iloc[pool],
            Y.iloc[pool],
            GOAL,
            chosen,
            tasks,
            start=START,
            known=[SOURCE],
            further=further,
            budget=MEASUREMENTS * COST,
            batch=BATCH,
            seeds=seeds,
            folder=folder,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        frames.append(simulation.records)
    return Result(Simulation(pd.concat(frames, ignore_index=True), GOAL, "eV"))
