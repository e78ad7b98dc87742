"""The score of every possible measurement per unit of cost, by the acquisition function that the user chose.

``rates`` dispatches: ``"auto"`` looks ahead (``look_ahead.py``) or, for the goal ``Learn``, uses the closed form of
``knowledge.py``; ``"knowledge-gradient"`` is in that file too; ``"uncertainty"`` is the predicted spread, and BoTorch's
functions are in ``botorch_scores.py``.
"""

from __future__ import annotations

import numpy as np

from bayestl.active.acquisition.botorch_scores import BOTORCH, botorch_scores
from bayestl.active.acquisition.knowledge import knowledge, knowledge_gradient
from bayestl.active.acquisition.look_ahead import look_ahead_rates
from bayestl.active.acquisition.pool import Pool, predicted_quantity, scores_by_row
from bayestl.active.goals import Goal, Learn
from bayestl.models.base import BayesianModel

ACQUISITIONS = ("auto", "knowledge-gradient", "uncertainty", *BOTORCH)
"""Names of the acquisition functions."""


def over_pool(goal: Goal, acquisition: str) -> bool:
    """Whether the score of a row depends on what is believed of all others, measured or not."""
    return acquisition == "knowledge-gradient" or (isinstance(goal, Learn) and acquisition == "auto")


def rates(
    model: BayesianModel, pool: Pool, goal: Goal, best: float, acquisition: str = "auto", seed: int = 0
) -> np.ndarray:
    """The score of each measurement per unit of cost, (n, T); minus infinity where it is not possible.

    Parameters
    ----------
    model : BayesianModel
        A model fitted to all known labels.
    pool : Pool
        The candidates.
    goal : Goal
        The goal of the campaign.
    best : float
        Utility of the best row so far; minus infinity before the first one.
    acquisition : str
        One of :data:`ACQUISITIONS`.
    seed : int
        Seed of acquisition functions that draw random numbers.

    Raises
    ------
    ValueError
        Where an acquisition does not fit the goal or the model.
    """
    if acquisition not in ACQUISITIONS:
        raise ValueError(f"acquisition must be one of {ACQUISITIONS}, got {acquisition!r}")
    if acquisition == "uncertainty":
        worth = scores_by_row(pool, goal, predicted_quantity(model, pool, goal).std())
    elif isinstance(goal, Learn):
        if acquisition != "auto":
            raise ValueError(
                f"acquisition {acquisition!r} is for a best row; Learn has a closed form of its own: 'auto'"
            )
        worth = knowledge(model, pool, goal)
    elif acquisition == "knowledge-gradient":
        worth = knowledge_gradient(model, pool, goal) / pool.costs
    elif acquisition in BOTORCH:
        worth = scores_by_row(pool, goal, botorch_scores(model, pool, goal, best, acquisition, seed))
    else:
        worth = look_ahead_rates(model, pool, goal, best)
    return np.where(pool.possible, worth, -np.inf)
