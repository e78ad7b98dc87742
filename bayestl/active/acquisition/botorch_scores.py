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

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from bayestl.active.acquisition.knowledge import (
    _spread_over,
)
from bayestl.active.acquisition.pool import CHUNK, Pool
from bayestl.active.goals import Goal, Maximise
from bayestl.models.base import BayesianModel

BOTORCH = ("logei", "noisy-ei", "ucb", "thompson", "max-value-entropy")


# ---------------------------------------------------------------------------------------------------------- BoTorch


def botorch_scores(
    model: BayesianModel, pool: Pool, goal: Goal, best: float, acquisition: str, seed: int
) -> np.ndarray:
    """Score (n,) of each row by one of BoTorch's acquisition functions, on the model's own BoTorch form.

    Raises
    ------
    ValueError
        For goals other than a largest or smallest quantity, and models without a BoTorch form.
    ImportError
        If botorch is not installed.
    """
    if not isinstance(goal, Maximise):
        raise ValueError(f"acquisition {acquisition!r} is for Maximise or Minimise, the goal is: {goal.words}")
    from botorch.acquisition import LogExpectedImprovement, UpperConfidenceBound, qLogNoisyExpectedImprovement
    from botorch.acquisition.max_value_entropy_search import qLowerBoundMaxValueEntropy
    from botorch.utils.sampling import manual_seed

    from bayestl.active.botorch import as_botorch

    quantity = goal.quantity if goal.sign > 0 else f"-({_quoted(goal, pool.tasks)})"
    own = as_botorch(model, quantity if goal.sign < 0 or goal.quantity not in pool.tasks else [goal.quantity])
    x = torch.from_numpy(model._new_rows(pool.X)[0])
    with manual_seed(seed), torch.no_grad():
        if acquisition == "thompson":
            rows = _spread_over(len(x), CHUNK)
            drawn = own.posterior(x[torch.from_numpy(rows)]).rsample(torch.Size([1]))[0, :, 0].numpy()
            scores = np.full(len(x), -np.inf)
            scores[rows] = drawn
            return scores
        if acquisition == "logei":
            function: Any = LogExpectedImprovement(own, best_f=best)
        elif acquisition == "ucb":
            function = UpperConfidenceBound(own, beta=4.0)
        elif acquisition == "noisy-ei":
            function = qLogNoisyExpectedImprovement(own, own.train_inputs[0], cache_root=False, prune_baseline=True)
        else:
            function = qLowerBoundMaxValueEntropy(own, x[torch.from_numpy(_spread_over(len(x), CHUNK))])
        return np.concatenate([function(part.unsqueeze(1)).numpy() for part in x.split(CHUNK)])


def _quoted(goal: Goal, tasks: Sequence[str]) -> str:
    return f"`{goal.quantity}`" if goal.quantity in tasks else goal.quantity
