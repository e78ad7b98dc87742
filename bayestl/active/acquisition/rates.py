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

import numpy as np

from bayestl.active.acquisition.botorch_scores import BOTORCH, botorch_scores
from bayestl.active.acquisition.knowledge import (
    knowledge,
    knowledge_gradient,
)
from bayestl.active.acquisition.look_ahead import (
    _look_ahead,
)
from bayestl.active.acquisition.pool import Pool, _by_row, given
from bayestl.active.goals import Goal, Learn
from bayestl.models.base import BayesianModel

ACQUISITIONS = ("auto", "knowledge-gradient", "uncertainty", *BOTORCH)


def rates(
    model: BayesianModel, pool: Pool, goal: Goal, best: float, acquisition: str = "auto", seed: int = 0
) -> np.ndarray:
    """Worth for its cost of each possible measurement, (n, T); minus infinity where it is not possible.

    Parameters
    ----------
    model : BayesianModel
        Fitted to all that is known.
    pool : Pool
    goal : Goal
    best : float
        Utility of the best row so far; minus infinity where there is none.
    acquisition : str
        One of :data:`ACQUISITIONS`.
    seed : int
        For acquisitions that draw.

    Raises
    ------
    ValueError
        Where an acquisition does not fit the goal or the model.
    """
    if acquisition not in ACQUISITIONS:
        raise ValueError(f"acquisition must be one of {ACQUISITIONS}, got {acquisition!r}")
    if acquisition == "uncertainty":
        spread = goal.marginals(model.posterior(pool.X, observed=given(model, pool.known))).std()
        worth = _by_row(pool, goal, spread)
    elif isinstance(goal, Learn):
        if acquisition != "auto":
            raise ValueError(
                f"acquisition {acquisition!r} is for a best row; Learn has a closed form of its own: 'auto'"
            )
        worth = knowledge(model, pool, goal)
    elif acquisition == "knowledge-gradient":
        worth = knowledge_gradient(model, pool, goal) / pool.costs
    elif acquisition in BOTORCH:
        worth = _by_row(pool, goal, botorch_scores(model, pool, goal, best, acquisition, seed))
    else:
        worth = _look_ahead(model, pool, goal, best)
    return np.where(pool.possible, worth, -np.inf)
