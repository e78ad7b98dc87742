"""The pool that acquisition functions score: features, known labels, possible measurements and their costs.

Also the quantities of a pool that all scores share: which labels the goal's quantity still lacks, and which labels a
model must be given as observed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bayestl.active.goals import Goal
from bayestl.distributions import Marginals
from bayestl.models.base import BayesianModel
from bayestl.models.exact.model import jointly_gaussian

NODES = np.array([0.05, 0.275, 0.5, 0.725, 0.95])
"""Quantile levels of a measurement's predictive distribution at which look-ahead evaluates it."""
LOOKAHEAD_ROWS = 300
"""Number of most promising rows for which look-ahead is computed."""
CONDITIONED_ROWS = 8
"""The same where the model is conditioned on each row by itself."""
TARGET_ROWS = 400
"""Largest number of rows of the pool over which knowledge is summed or maximised."""
POOL_ROWS = 4000
"""Most rows, beside those that are scored or measured, from which these are taken."""
CHUNK = 2048
"""Rows that are evaluated at a time."""


@dataclass
class Pool:
    """Candidates: features of n rows, their known labels (n, T), which measurements are possible, and costs (T,)."""

    X: pd.DataFrame
    known: pd.DataFrame
    possible: np.ndarray
    """Boolean (n, T): which measurements are possible."""
    costs: np.ndarray
    tasks: list[str]

    def __post_init__(self) -> None:
        self.known = self.known.set_axis(self.X.index)  # models match rows by name

    def at(self, rows: np.ndarray) -> Pool:
        """The pool of some of the rows."""
        return replace(self, X=self.X.iloc[rows], known=self.known.iloc[rows], possible=self.possible[rows])


def candidates(X: pd.DataFrame, what: str = "candidate") -> pd.DataFrame:
    """The features with names by which a model fitted to some of the rows recognises them: numbers alone would not do."""
    return X.set_axis([f"{what} {name}" for name in X.index], axis=0)


def lacking_labels(pool: Pool, goal: Goal) -> np.ndarray:
    """Boolean (n, T): the labels that the quantity of each row still lacks."""
    needed = np.isin(pool.tasks, goal.needs(pool.tasks))
    return needed & pool.known.isna().to_numpy()


def scores_by_row(pool: Pool, goal: Goal, scores: np.ndarray) -> np.ndarray:
    """Scores (n,) of rows as scores (n, T) of the measurements that the quantity lacks; minus infinity elsewhere."""
    return np.where(lacking_labels(pool, goal), scores[:, None], -np.inf)


def spread_over(n: int, k: int) -> np.ndarray:
    """Positions of up to ``k`` of ``n`` rows, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, k)).astype(int))


def observed_labels(model: BayesianModel, known: pd.DataFrame) -> pd.DataFrame | None:
    """Labels to pass as ``observed=`` for rows of the pool; None for exact models, which were fitted to these rows."""
    return None if jointly_gaussian(model) or known.isna().all().all() else known


def with_label(model: BayesianModel, known: pd.DataFrame, row: int, t: int, value: float) -> pd.DataFrame:
    """The known labels with one more, which is a position for classes."""
    classes = model.tasks_[t].classes
    column = known.iloc[:, t].astype(object)  # classes and limits of numbers are text
    column.iloc[row] = value if classes is None else classes[int(value)]
    numbers = pd.api.types.is_numeric_dtype(known.dtypes.iloc[t]) and classes is None
    return known.assign(**{str(known.columns[t]): column.astype(float) if numbers else column})


def predicted_quantity(model: BayesianModel, pool: Pool, goal: Goal) -> Marginals:
    """The distribution of the goal's quantity in the rows of the pool, with their known labels at their values."""
    posterior = model.posterior(pool.X, observed=observed_labels(model, pool.known))
    return goal.marginals(posterior, pool.known)
