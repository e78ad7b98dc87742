"""Simulation-based calibration of three architectures at small n: 30 source labels, 15 target labels, two features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayestl.evaluation.simulated import Calibration, simulate_calibration
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.exact.multitask import MultiTaskGP
from bayestl.models.latent.model import LatentVariableGP
from bayestl.report import plots
from bayestl.studies import choose

N_SOURCE, N_TARGET = 30, 15


def models() -> dict[str, Any]:
    """The unfitted architectures by name, all averaged over chains of their hyperparameters."""
    return {
        "multi-task": MultiTaskGP(hyperparameters="mcmc"),
        "difference": DifferenceGP(["source", "target"], hyperparameters="mcmc"),
        "latent variable": LatentVariableGP(graph={"target": ["source"]}, inference="mcmc"),
    }


@dataclass
class Result:
    """The calibration of each model."""

    calibrations: dict[str, Calibration]

    def __str__(self) -> str:
        return "\n\n".join(f"{name}\n{calibration}" for name, calibration in self.calibrations.items())

    @property
    def figures(self) -> pd.DataFrame:
        """A row per model: least and greatest p value and spread of latent values and of hyperparameters, and the p value of all."""
        return pd.DataFrame([_figures(name, calibration) for name, calibration in self.calibrations.items()])

    def write(self, folder: Path) -> None:
        """Write the ranks of each model as CSV and as a picture."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, calibration in self.calibrations.items():
            stem = f"sbc-{name.replace(' ', '-')}"
            calibration.ranks.to_csv(folder / f"{stem}.csv", index_label="table")
            plots.plot_ranks(calibration).figure.savefig(folder / f"{stem}.png", dpi=130)


def _figures(name: str, calibration: Calibration) -> dict[str, Any]:
    table = calibration.table
    of_rows = table.index.str.contains(", row ")
    found: dict[str, Any] = {"model": name, "tables": len(calibration.ranks)}
    for what, part in (("latent", table[of_rows]), ("hyperparameters", table[~of_rows])):
        for column, said in (("p value", "p"), ("spread", "spread")):
            found |= {f"{what} {said} least": part[column].min(), f"{what} {said} greatest": part[column].max()}
    return found | {"p": calibration.p_value}


def pattern() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features, and labels of which only the missing ones count: they say where a drawn table has labels."""
    x = np.random.default_rng(0).standard_normal((N_SOURCE, 2))
    labels = pd.DataFrame({"source": np.zeros(N_SOURCE), "target": np.zeros(N_SOURCE)})
    labels.loc[N_TARGET:, "target"] = np.nan
    return pd.DataFrame(x, columns=["p", "q"]), labels


def run(
    n_tables: int = 200, only: list[str] | None = None, n_jobs: int | None = 2, seed: int = 0, verbose: bool = True
) -> Result:
    """Rank the truth on ``n_tables`` tables for each model."""
    chosen = choose(models(), only)
    return Result(
        {
            name: simulate_calibration(model, *pattern(), n_tables=n_tables, seed=seed, n_jobs=n_jobs, verbose=verbose)
            for name, model in chosen.items()
        }
    )
