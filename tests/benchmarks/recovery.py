"""Known truth: tables drawn from the difference model's prior, and how often its intervals hold ``rho`` and offsets."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayestl.models.exact.difference import DifferenceGP
from bayestl.parallel import in_parallel
from bayestl.priors.draws import draw_processes, mix
from bayestl.table.scaler import Scaler
from bayestl.table.table import build_table
from benchmarks.drawn import fit_unscaled

N_ROWS, N_FEATURES, N_GROUPS, N_TARGETS = 60, 2, 4, 30
LEVEL = 0.9


def draw_table(seed: int) -> tuple[np.ndarray, pd.DataFrame, np.ndarray, dict[tuple[str, str, str], float]]:
    """Features, labels, groups and the truth, all from the prior of a two-level model with groups."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((N_ROWS, N_FEATURES))
    groups = np.array([f"g{i % N_GROUPS}" for i in range(N_ROWS)])
    blank = pd.DataFrame({"low": np.zeros(N_ROWS), "high": np.zeros(N_ROWS)})
    template = DifferenceGP(levels=["low", "high"])
    table = build_table(x, blank, groups=groups)
    prior = template._prior(table, Scaler.identity(table), table.parts, table.features)
    prior.draw_hyperparameters(seed)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    values = draw_processes(prior, x, np.arange(N_ROWS) % N_GROUPS, generator)
    f = mix(prior, values)
    noise = prior.residual.variance().detach().sqrt().numpy()
    Y = pd.DataFrame(f + noise * generator.standard_normal(f.shape), columns=["low", "high"])
    Y.loc[generator.permutation(N_ROWS)[N_TARGETS:], "high"] = np.nan
    tau = float(prior.mixing.raw_tau.detach().exp()[0])
    truth = {("high", "rho", ""): float(prior.mixing.rho.detach()[0]), ("high", "offset", ""): float(values[3][0])}
    for g in range(N_GROUPS):
        truth["high", "group offset", f"g{g}"] = tau * float(values[4][g])
    return x, Y, groups, truth


def _intervals(seed: int, rescale: bool) -> list[dict]:
    """Whether the interval of each parameter holds the truth, and the z score of the truth."""
    x, Y, groups, truth = draw_table(seed)
    model = DifferenceGP(levels=["low", "high"], verbose=False)
    if rescale:
        model.fit(x, Y, groups=groups)
    else:
        fit_unscaled(model, x, Y, groups)
    offsets = model.offsets(LEVEL)
    records = []
    for key, value in truth.items():
        row = offsets.loc[key]
        records.append(
            {
                "parameter": key[1],
                "inside": bool(row["lower"] <= value <= row["upper"]),
                "z": (value - row["mean"]) / row["std"],
            }
        )
    return records


def run(n_tables: int = 200, n_jobs: int = 2, rescale: bool = False, verbose: bool = True) -> pd.DataFrame:
    """Fraction of 90 % intervals that hold the truth, with its binomial standard error, and the spread of z scores.

    With ``rescale`` labels are scaled by their own standard deviation, as for a user: the prior is then no longer the
    one from which the table was drawn.
    """
    jobs = [(seed, rescale) for seed in range(n_tables)]
    per_table = in_parallel(_intervals, jobs, n_jobs, "tables from the prior", verbose)
    frame = pd.DataFrame([record for records in per_table for record in records])
    grouped = frame.groupby("parameter", sort=False)
    summary = pd.DataFrame(
        {"intervals": grouped.size(), "inside 90 %": grouped["inside"].mean(), "sd of z": grouped["z"].std()}
    )
    summary["standard error"] = np.sqrt(LEVEL * (1 - LEVEL) / n_tables)
    return summary.round(3)
