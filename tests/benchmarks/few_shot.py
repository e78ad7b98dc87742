"""Many tasks with few labels: tables whose coefficients lie in a subspace of known rank, and whether the rank is found.

There are 50 tasks with five labels each and ten features; the reference is ridge regression of each task alone, its
penalty chosen by leave-one-out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from bayestl import metrics
from bayestl.models.subspace.model import LowRankLinear
from bayestl.parallel import in_parallel
from bayestl.studies.small_tables.few_shots import ridge_alone

N_TASKS, N_LABELS, N_FEATURES, N_NEW = 50, 5, 10, 200
NOISE = 0.1
"""Standard deviation of the noise; functions have about unit variance per direction."""
RANKS = (1, 2, 3)


class DrawnTable(NamedTuple):
    """Features and labels for training, new rows, and the functions (n, T) there."""

    x: np.ndarray
    Y: pd.DataFrame
    new: np.ndarray
    truth: np.ndarray


def draw_table(rank: int, seed: int) -> DrawnTable:
    """A table with coefficients ``U a_t``, ``U`` (d, rank) and ``a_t`` normal; each row has a label of one task."""
    generator = np.random.default_rng(seed)
    n = N_TASKS * N_LABELS
    x, new = (generator.standard_normal((rows, N_FEATURES)) for rows in (n, N_NEW))
    directions = generator.standard_normal((N_FEATURES, rank)) / np.sqrt(N_FEATURES)
    w = directions @ generator.standard_normal((rank, N_TASKS))
    task = np.repeat(np.arange(N_TASKS), N_LABELS)
    Y = np.full((n, N_TASKS), np.nan)
    Y[np.arange(n), task] = (x @ w)[np.arange(n), task] + NOISE * generator.standard_normal(n)
    return DrawnTable(x, pd.DataFrame(Y, columns=[f"t{t}" for t in range(N_TASKS)]), new, new @ w)


def _scores(rank: int, seed: int) -> dict[str, float]:
    """The rank found in one table, errors relative to the size of the functions, and coverage."""
    drawn = draw_table(rank, seed)
    model = LowRankLinear(random_state=seed, verbose=False).fit(drawn.x, drawn.Y)
    post = model.posterior(drawn.new, noise=False)
    interval = post.interval(0.9)
    lower, upper = (interval.xs(side, axis=1, level="side").to_numpy() for side in ("lower", "upper"))
    size = metrics.rmse(drawn.truth, np.zeros_like(drawn.truth))
    alone = ridge_alone(drawn.x, drawn.Y, drawn.new)
    return {
        "true rank": rank,
        "rank found": float(model.rank().idxmax() == rank),
        "probability of it": float(model.rank()[rank]),
        "RMSE": metrics.rmse(drawn.truth, post.mean.to_numpy()) / size,
        "RMSE, ridge": metrics.rmse(drawn.truth, alone) / size,
        "in 90 %": metrics.coverage(drawn.truth, lower, upper),
    }


def run(n_tables: int = 20, n_jobs: int | None = 2, verbose: bool = True) -> pd.DataFrame:
    """Means over tables for each rank: how often it is found, errors relative to the size of functions, coverage."""
    jobs = [(rank, seed) for rank in RANKS for seed in range(n_tables)]
    records = pd.DataFrame(in_parallel(_scores, jobs, n_jobs, "tables of many tasks", verbose))
    return records.groupby("true rank").mean()
