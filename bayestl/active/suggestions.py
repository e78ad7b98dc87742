"""Suggestions as the user sees them, each with its cost, its predicted value and the reason for it, and the campaign itself."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bayestl.active.acquisition.batch import Choice
from bayestl.active.acquisition.pool import observed_labels, predicted_quantity
from bayestl.active.ledger.schema import SUGGESTED
from bayestl.active.words import in_words, unit_of
from bayestl.diagnostics.shown import TextTable
from bayestl.models.base import BayesianModel
from bayestl.report.units import typeset, unit_typeset
from bayestl.table.task import Task, labelled

SHOWN_ROWS = 10
"""Most rows of a table in a notebook."""
LEVEL = 0.9
"""Probability of the interval of the predicted value."""


class SuggestionTable(TextTable):
    """The suggestions of a batch, their reasons in full."""

    text = "reason"
    whole = SUGGESTED


def first_suggestion(row: int, task: Task) -> dict[str, Any]:
    """A suggestion without a model, of a task that has too few labels for one."""
    unpredicted: dict[str, Any] = dict.fromkeys(("predicted", "lower", "upper", "hit"))
    reason = "first measurements: far from what is known"
    return {"row": row, "task": task.name, "score": None, "cost": float(task.cost), **unpredicted, "reason": reason}


def best_or_expected(model: BayesianModel, choice: Choice) -> float:
    """The best utility so far; where no value of the quantity is known yet, what the model expects of the labelled rows."""
    if math.isfinite(choice.best):
        return choice.best
    labelled = choice.pool.at(np.flatnonzero(choice.pool.known.notna().any(axis=1).to_numpy()))
    return float(np.max(choice.goal.utility(predicted_quantity(model, labelled, choice.goal).mean())))


def suggestion(
    row: int, t: int, score: float, tasks: Sequence[Task], model: BayesianModel, choice: Choice
) -> dict[str, Any]:
    """A suggestion with its prediction, given the labels known of its row."""
    task, goal, at = tasks[t], choice.goal, choice.pool.at(np.array([row]))
    posterior = model.posterior(at.X, observed=observed_labels(model, at.known))
    marginal = posterior.marginal(task.name)
    lower, median, upper = (float(marginal.quantile(np.full(1, q))[0]) for q in (0.5 - LEVEL / 2, 0.5, 0.5 + LEVEL / 2))
    quantity = goal.marginals(posterior, at.known)
    hit = goal.hit(quantity, choice.best)
    middle = float(quantity.quantile(np.full(1, 0.5))[0])
    unit = unit_of(goal, tasks)
    predicted = f"{middle:.4g} ± {float(quantity.std()[0]):.2g} {unit}".rstrip()
    reason = f"{in_words(goal, unit)}: {goal.quantity} predicted {predicted}"
    if task.name not in goal.needs(list(at.known.columns)):
        reason = f"for its cost {task.name} says most about {goal.quantity}, now {predicted}"
    return {
        "row": row,
        "task": task.name,
        "score": score,
        "cost": float(task.cost),
        "predicted": median,
        "lower": lower,
        "upper": upper,
        "hit": None if hit is None else float(hit[0]),
        "reason": reason,
    }


def headline(campaign: Any) -> str:
    """Goal, candidates, results and costs in a line."""
    results, budget = campaign.results(), campaign.budget
    return (
        f"{in_words(campaign.goal, campaign.unit)}; {len(campaign.pool)} candidates, {len(results)} results, "
        f"spent {results['cost'].sum():g}{'' if budget is None else f' of {budget:g}'}"
    )


def shown(campaign: Any) -> str:
    """The headline, the best row, the measured rows from the best down, and the suggestions that are under way."""
    parts = [f"<p><b>Campaign</b>: {html.escape(headline(campaign))}.</p>"]
    best, progress, under_way = campaign.best(), campaign.progress(), campaign.suggestions("open")
    if best is None:
        parts.append("<p>No candidate is measured yet.</p>")
    else:
        value = f"{best['value']:.4g} {unit_typeset(campaign.unit)}".rstrip()
        parts.append(f"<p>Best so far: {html.escape(str(best['row']))}, {html.escape(value)}.</p>")
        ranked = progress.sort_values("utility", ascending=False, kind="stable")[["row", "value", "cost"]]
        ranked = ranked.rename(columns={"value": typeset(labelled("value", campaign.unit))})
        parts.append(ranked.head(SHOWN_ROWS).to_html(index=False, border=0, float_format="{:.4g}".format))
    if len(under_way):
        table = under_way[["row", "task", "cost"]].head(SHOWN_ROWS)
        parts.append(f"<p>{len(under_way)} under way:</p>{table.to_html(border=0, float_format='{:g}'.format)}")
    return "".join(parts)
