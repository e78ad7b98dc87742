"""Active learning replayed: compounds with a measured gap of 1.3 to 1.5 eV, from 50 measurements on.

The pool is one official fold of the measured gaps (about 920 formulas), the PBE gap known where the Materials Project has one; a
measurement costs 20 calculations.  Policies: chance; a Gaussian process of the measured gap alone; lolo's forest (the paper's
learner) with the PBE gap as a feature, where lolopy is installed; and the chain from PBE to measurement.  All but chance rank by
the probability of a gap in the range.
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
"""Of a measurement, in calculations."""
FURTHER = 350
"""Rows with a PBE gap alone that the source is learnt from too."""


def policies(tasks: list[Task], seed: int = 0) -> dict[str, Policy]:
    """The policies by name."""
    common: dict[str, Any] = {
        "tasks": tasks,
        "random_state": seed,
        "verbose": False,
        "hyperparameters": "map",
        "n_starts": 1,
    }
    out: dict[str, Policy] = {
        "random": Random(),
        "single task": ByModel(IndependentGP(**common), alone=True),
        "chain": ByModel(ChainGP([SOURCE, TARGET], inputs=None, **common)),
    }
    if lolo_installed():
        out["lolo"] = Lolo()
    return out


class Result:
    """The simulation, and how much more each policy finds than chance."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def __str__(self) -> str:
        lines = [str(self.simulation)]
        for measured in (20, 50, MEASUREMENTS):
            wide = self.simulation.at_cost(measured * COST)
            mean, se = wide.mean(), wide.sem()
            found = ", ".join(f"{p} {mean[p]:.1f} ± {se[p]:.1f}" for p in wide)
            lines.append(f"after {measured} measurements: {found}")
        return "\n".join(lines)

    def write(self, folder: Path) -> None:
        """The records as CSV and the curves as a picture."""
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
    """``n_seeds`` campaigns a policy; the pool is the fold of the seed.

    Parameters
    ----------
    folder : path, optional
        Finished campaigns are kept there, an interrupted run goes on.
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
        others = train[Y[SOURCE].iloc[train].notna().to_numpy()]
        others = np.random.default_rng(fold).permutation(others)[:FURTHER]
        further = (X.iloc[others], Y.iloc[others].assign(**{TARGET: np.nan}))
        found = simulate(
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
        frames.append(found.records)
    return Result(Simulation(pd.concat(frames, ignore_index=True), GOAL))
