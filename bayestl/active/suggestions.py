"""Suggestions as the user sees them: a measurement with its cost, its predicted value and the reason for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayestl.active.goals import Goal
from bayestl.posterior import Posterior
from bayestl.table.task import Task

LEVEL = 0.9
"""Probability of the interval of the predicted value."""


def first_suggestion(row: int, task: Task) -> dict[str, Any]:
    """A suggestion without a model, of a task that has too few labels for one."""
    unpredicted: dict[str, Any] = dict.fromkeys(("predicted", "lower", "upper"))
    reason = "first measurements: far from what is known"
    return {"row": row, "task": task.name, "score": None, "cost": float(task.cost), **unpredicted, "reason": reason}


def suggestion(
    row: int, task: Task, score: float, posterior: Posterior, goal: Goal, known: pd.DataFrame
) -> dict[str, Any]:
    """A suggestion with its prediction, from the posterior of its row and its ``known`` labels (1, T)."""
    marginal = posterior.marginal(task.name)
    lower, median, upper = (float(marginal.quantile(np.full(1, q))[0]) for q in (0.5 - LEVEL / 2, 0.5, 0.5 + LEVEL / 2))
    quantity = goal.marginals(posterior, known)
    predicted = f"{float(quantity.mean()[0]):.4g} ± {float(quantity.std()[0]):.2g}"
    reason = f"{goal.words}: {goal.quantity} predicted {predicted}"
    if task.name not in goal.needs(list(known.columns)):
        reason = f"for its cost {task.name} says most about {goal.quantity}, now {predicted}"
    return {
        "row": row,
        "task": task.name,
        "score": score,
        "cost": float(task.cost),
        "predicted": median,
        "lower": lower,
        "upper": upper,
        "reason": reason,
    }
