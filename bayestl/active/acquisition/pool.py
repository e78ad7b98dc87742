"""What each possible measurement is worth, for its cost.

Of a row, a goal has a promise P_i (``goals.py``) that costs C_i to redeem: the measurements that its quantity still lacks.
The best rate of all rows is R* = max P_i / C_i.  A measurement of task t at row i costs c_t and leaves C'_i to pay; after it one may
go on with the row or spend the rest on the best other one, so its rate is

    E_y[max(P_i(y), R* C'_i)] / (c_t + C'_i)

which is P_i / c_t for the last measurement that a quantity lacks, and tells whether a cheap source is worth asking first.
``Learn`` has a closed form instead: the variance of the quantity over target rows that a measurement takes away, for its cost.
BoTorch's acquisition functions score rows through ``as_botorch()``.  Frazier, Powell, Dayanik 2009, *The knowledge-gradient policy
for correlated normal beliefs*, is the knowledge gradient over a pool, exact for any task.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bayestl.active.goals import Goal
from bayestl.models.base import BayesianModel
from bayestl.models.exact.model import jointly_gaussian

NODES = np.array([0.05, 0.275, 0.5, 0.725, 0.95])
"""Levels of a measurement's predictive distribution at which one looks ahead."""
LOOKAHEAD_ROWS = 300
"""The most promising rows, for which one looks ahead."""
TARGET_ROWS = 400
"""Rows of the pool over which knowledge counts."""
CHUNK = 2048


@dataclass
class Pool:
    """What is asked about: features of n rows, the labels (n, T) that are known of them, which may be measured, and costs (T,)."""

    X: pd.DataFrame
    known: pd.DataFrame
    possible: np.ndarray
    """Boolean (n, T)."""
    costs: np.ndarray
    tasks: list[str]

    def at(self, rows: np.ndarray) -> Pool:
        """Some of the rows."""
        return replace(self, X=self.X.iloc[rows], known=self.known.iloc[rows], possible=self.possible[rows])


def _lacking(pool: Pool, goal: Goal) -> np.ndarray:
    """Boolean (n, T): which measurements the quantity still lacks."""
    needed = np.isin(pool.tasks, goal.needs(pool.tasks))
    return needed & pool.known.isna().to_numpy()


def _by_row(pool: Pool, goal: Goal, scores: np.ndarray) -> np.ndarray:
    """Scores (n,) of rows as those of the measurements that the quantity lacks."""
    return np.where(_lacking(pool, goal), scores[:, None], -np.inf)


def given(model: BayesianModel, known: pd.DataFrame) -> pd.DataFrame | None:
    """What a prediction of rows of the pool must be told: exact models were fitted to these very rows and know."""
    return None if jointly_gaussian(model) or known.isna().all().all() else known
