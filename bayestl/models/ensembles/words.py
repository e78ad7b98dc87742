"""What a fitted ensemble says of itself, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from bayestl.diagnostics.words import (
    FEW_LABELS,
    LEAST_LABELS,
    data_in_words,
    error_in_words,
    inside,
    intervals_in_words,
    wrapped,
)
from bayestl.distributions.sinh_arcsinh import SinhArcsinh
from bayestl.models.ensembles.candidates import alone_among
from bayestl.models.ensembles.held_out import MIXTURE, Correction
from bayestl.table.table import Table
from bayestl.table.task import Task

FAR = 1e-3
"""Probability of a label as far from its prediction, below which its row is named."""


class Fitted(Protocol):
    """What is told of an ensemble: the fitted attributes of :class:`AutoTransfer`."""

    table_: Table
    members_: Mapping[str, Any]
    weights_: pd.DataFrame
    corrections_: Mapping[str, Correction]
    held_out_: pd.DataFrame
    scores_: pd.DataFrame
    left_out_: Mapping[str, str]


def summary_of(model: Fitted, positions: Sequence[int]) -> str:
    """The data of a fitted ensemble, then a paragraph for each task at the given positions, then what was left out."""
    table = model.table_
    counts = table.present.sum(axis=0)
    lines = [data_in_words(table)]
    for t in positions:
        lines += ["", *_about(model, table.tasks[t], int(counts[t]))]
    if model.left_out_:
        lines += ["", "Left out: " + "; ".join(f"{name} ({why})" for name, why in model.left_out_.items()) + "."]
    return wrapped(lines, indent="  ")


def _about(model: Fitted, task: Task, n: int) -> list[str]:
    """What a task gains, how far its intervals are right, what was chosen, and whom not to believe."""
    if n < LEAST_LABELS:
        few = f"{n} label{'s' * (n > 1)} cannot tell which model is right"
        return [f"{task.name}: {few}.", _weights(model, task)]
    scores = model.scores_.xs(task.name, level="task")
    error = scores.loc[MIXTURE, "error"]
    what, shown = error_in_words(task, error)
    first = f"{task.name}: held-out labels have a {what} of {shown}"
    lines = [first + "."]
    name = alone_among(model.members_)
    if name is not None and len(model.members_) > 1:
        alone = scores.loc[name, "error"]
        lines = [
            f"{first}; from {task.name} alone it is {error_in_words(task, alone)[1]}{_change(error, alone)}.",
            _transfer(model, scores.drop(index=[name, MIXTURE])),
        ]
    if task.classes is None:
        lines.append(_intervals(model, task))
    return [*lines, _weights(model, task), *_doubts(model, task, n, scores)]


def _change(error: float, alone: float) -> str:
    """By how much an error is below or above another one, where that is a per cent at least."""
    percent = 100 * (1 - error / alone) if alone > 0 else 0.0
    return "" if abs(percent) < 1 else f" ({abs(percent):.0f} % {'less' if percent > 0 else 'more'})"


def _weights(model: Fitted, task: Task) -> str:
    """The weights of the models, where other labels of the row are known and where none is."""
    beside, nothing = (model.weights_[task.name].iloc[:, i] for i in (0, 1))
    if len(model.members_) == 1:
        return f"It is predicted by {next(iter(model.members_))!r}."
    if len(model.table_.tasks) == 1:
        return "Weights: " + _listed(beside) + "."
    return f"Weights where other labels of the row are known: {_listed(beside)}; where none is: {_listed(nothing)}."


def _listed(weights: pd.Series) -> str:
    """The models with a weight, the heaviest first."""
    ordered = weights[weights > 0].sort_values(ascending=False)
    return ", ".join(f"{name} {w:.2f}" for name, w in ordered.items())


def _transfer(model: Fitted, others: pd.DataFrame) -> str:
    """Whether the other tasks help, by the best of the ``others`` than the model of each task alone."""
    if len(model.table_.tasks) < 2 or not len(others):
        return "No other task is there to learn from."
    best = others.loc[others["gain"].idxmax()]
    gain, se = best["gain"], best["se"]
    times = f"a held-out label has {np.exp(gain):.2g} times the density that it has without them"
    names = f"under the model {best.name!r} {times} (a log density of {gain:+.2f} +- {se:.2f} nats)"
    if gain > 2 * se:
        return f"The other tasks help: {names}."
    if gain < -2 * se:
        return f"The other tasks do not help, so most weight is with the task alone: {names}."
    return f"Whether the other tasks help cannot be told from these labels: {names}."


def _intervals(model: Fitted, task: Task) -> str:
    """How the intervals were corrected, and what they hold now."""
    held = model.held_out_[model.held_out_["task"] == task.name]
    text = f"Its {intervals_in_words(inside(held), len(held), 'held-out labels')}"
    warp = model.corrections_[task.name]
    if isinstance(warp, SinhArcsinh):
        width = (warp.level_width(0.9) - 1) * 100
        text += f", after they were made {abs(width):.0f} % {'wider' if width >= 0 else 'narrower'}"
    return text + "."


def _doubts(model: Fitted, task: Task, n: int, scores: pd.DataFrame) -> list[str]:
    """Whom not to believe: few labels, models that are worse than the task alone, labels far from their predictions."""
    lines = []
    if n < FEW_LABELS:
        lines.append(f"Doubt: {n} labels are few; another few may change the weights, and intervals may be off.")
    members = scores.drop(index=MIXTURE)
    if bad := [str(name) for name, row in members.iterrows() if row["gain"] < -2 * row["se"]]:
        lines.append(f"Doubt: worse than {task.name} alone: {', '.join(bad)}.")
    if task.classes is None:
        held = model.held_out_[model.held_out_["task"] == task.name]
        tail = 2 * np.minimum(held["pit"], 1 - held["pit"])
        rows = held["row"].to_numpy()[(tail < FAR).to_numpy()]
        if len(rows):
            named = ", ".join(str(model.table_.index[r]) for r in rows[:6]) + (" ..." if len(rows) > 6 else "")
            lines.append(f"Doubt: labels far from their predictions by all others, to be checked: rows {named}.")
    return lines
