"""Scores of rows by BoTorch's acquisition functions, evaluated on the BoTorch form of a fitted model (``as_botorch``).

They score the goal's quantity as a whole, so the score of a row counts for each measurement that its quantity lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from bayestl.active.acquisition.pool import CHUNK, Pool, spread_over
from bayestl.active.goals import Goal, Maximise
from bayestl.device import tensor, to_numpy
from bayestl.models.base import BayesianModel

BOTORCH = ("logei", "noisy-ei", "ucb", "thompson", "max-value-entropy")
"""Names of BoTorch's acquisition functions."""


def botorch_scores(
    model: BayesianModel, pool: Pool, goal: Goal, best: float, acquisition: str, seed: int
) -> np.ndarray:
    """The score (n,) of each row by one of BoTorch's acquisition functions.

    Raises
    ------
    ValueError
        For goals other than ``Maximise`` and ``Minimise``, and models without a BoTorch form.
    ImportError
        If botorch is not installed.
    """
    if not isinstance(goal, Maximise):
        raise ValueError(f"acquisition {acquisition!r} is for Maximise or Minimise, the goal is: {goal.description}")
    from botorch.acquisition import LogExpectedImprovement, UpperConfidenceBound, qLogNoisyExpectedImprovement
    from botorch.acquisition.max_value_entropy_search import qLowerBoundMaxValueEntropy
    from botorch.utils.sampling import manual_seed

    from bayestl.active.botorch import as_botorch

    quantity = goal.quantity if goal.sign > 0 else f"-({_quoted(goal, pool.tasks)})"
    botorch_model = as_botorch(model, quantity if goal.sign < 0 or goal.quantity not in pool.tasks else [goal.quantity])
    x = tensor(model._new_rows(pool.X)[0])
    with manual_seed(seed), torch.no_grad():
        if acquisition == "thompson":
            rows = spread_over(len(x), CHUNK)
            draw = botorch_model.posterior(x[tensor(rows)]).rsample(torch.Size([1]))[0, :, 0]
            scores = np.full(len(x), -np.inf)
            scores[rows] = to_numpy(draw)
            return scores
        if acquisition == "logei":
            function: Any = LogExpectedImprovement(botorch_model, best_f=best)
        elif acquisition == "ucb":
            function = UpperConfidenceBound(botorch_model, beta=4.0)
        elif acquisition == "noisy-ei":
            baseline = botorch_model.train_inputs[0]
            function = qLogNoisyExpectedImprovement(botorch_model, baseline, cache_root=False, prune_baseline=True)
        else:
            function = qLowerBoundMaxValueEntropy(botorch_model, x[tensor(spread_over(len(x), CHUNK))])
        return np.concatenate([to_numpy(function(part.unsqueeze(1))) for part in x.split(CHUNK)])


def _quoted(goal: Goal, tasks: Sequence[str]) -> str:
    """The quantity as part of an expression: the name of a task stands between backticks."""
    return f"`{goal.quantity}`" if goal.quantity in tasks else goal.quantity
