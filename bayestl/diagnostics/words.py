"""What a fitted model is about and how well it predicts its own labels, in words."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayestl.table.table import Table
from bayestl.table.task import Task

LEAST_LABELS = 3
"""Number of labels below which nothing is said of them."""


def data_in_words(table: Table) -> str:
    """Rows, features, and the labels of each task with their likelihood."""
    counts = table.present.sum(axis=0)
    labels = ", ".join(f"{t.name} {n} ({_kind(t)})" for t, n in zip(table.tasks, counts, strict=True))
    return f"{len(table.x)} rows, {len(table.features)} features; labels: {labels}."


def held_out_error(held: pd.DataFrame, task: Task) -> float:
    """Mean absolute error of a task's held-out labels (of intervals the distance); for classes the share of wrong ones."""
    y = held["y"].to_numpy()
    if task.classes is None:
        return float(np.abs(held["mean"] - np.clip(held["mean"], y, held["high"])).mean())
    chances = held[[f"p{k}" for k in range(len(task.classes))]].to_numpy()
    return float((chances.argmax(axis=1) != y).mean())


def error_in_words(task: Task, error: float) -> tuple[str, str]:
    """What kind of error a task has, and a number of that kind with its unit."""
    if task.classes is not None:
        return "share of wrong classes", f"{error:.3g}"
    return "mean absolute error", f"{error:.3g} {task.unit}".rstrip()


def inside(held: pd.DataFrame) -> float:
    """The share of held-out labels in their 90 % intervals."""
    return float(held["pit"].between(0.05, 0.95).mean())


def held_out_in_words(held: pd.DataFrame, task: Task) -> str:
    """How well the labels of a task are predicted from the others."""
    if len(held) < LEAST_LABELS:
        return f"{task.name}: {len(held)} label{'s' * (len(held) != 1)}, too few to judge."
    what, error = error_in_words(task, held_out_error(held, task))
    line = f"{task.name}: each label predicted from all others has a {what} of {error}"
    if task.classes is not None:
        return f"{line}; {len(held)} labels."
    return f"{line}; 90 % intervals hold {100 * inside(held):.0f} % of {len(held)} labels."


def _kind(task: Task) -> str:
    """The likelihood of a task in a word or two."""
    power = getattr(task.observes, "power", None) or getattr(task.observes, "size", None)
    return type(task.observes).__name__ + ("" if power is None else f" {power}")
