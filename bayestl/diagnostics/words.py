"""What a fitted model is about and how well it predicts its own labels, in words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

from bayestl.table.table import Table
from bayestl.table.task import Task

WIDTH = 88
"""Longest line of text that is printed, in characters."""
LEAST_LABELS = 3
"""Number of labels below which nothing is said of them."""
FEW_LABELS = 20
"""Number of labels below which weights and intervals say little."""
LEVEL = 0.9
"""Level of the central intervals whose coverage and width are reported."""
OFF_P = 0.01
"""Probability of a coverage under right intervals below which they are called wrong."""


def wrapped(paragraphs: Iterable[str], indent: str = "", between: str = "\n") -> str:
    """Paragraphs of printed text, none of whose lines is longer than :data:`WIDTH`; ``90 %`` stays in one line."""
    together = (text.replace(" %", "\N{NO-BREAK SPACE}%") for text in paragraphs)
    filled = between.join(textwrap.fill(text, WIDTH, subsequent_indent=indent) for text in together)
    return filled.replace("\N{NO-BREAK SPACE}%", " %")


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
        return "share of wrong classes", rounded(error)
    return "mean absolute error", f"{rounded(error)} {task.unit}".rstrip()


def inside(held: pd.DataFrame) -> float:
    """The share of held-out labels in their 90 % intervals."""
    return float(held["pit"].between(0.05, 0.95).mean())


def coverage_is_off(held: float, n: int, level: float = LEVEL) -> int:
    """-1 where intervals hold too few of ``n`` labels for chance, 1 where too many, 0 where chance may be all."""
    k = round(held * n)
    p = stats.binomtest(k, n, level).pvalue if n else 1.0
    return 0 if p >= OFF_P else -1 if k < level * n else 1


def intervals_in_words(held: float, n: int, what: str = "labels") -> str:
    """What share of ``n`` labels the 90 % intervals hold, and whether that is as it should be."""
    said = f"90 % intervals hold {100 * held:.0f} % of {n} {what}"
    if n < FEW_LABELS:
        return f"{said}, which are too few to judge them"
    off = coverage_is_off(held, n)
    return f"{said}, {('so they are too narrow', 'which is right within chance', 'so they are too wide')[off + 1]}"


def held_out_in_words(held: pd.DataFrame, task: Task) -> str:
    """How well the labels of a task are predicted from the others."""
    if len(held) < LEAST_LABELS:
        return f"{task.name}: {len(held)} label{'s' * (len(held) != 1)}, too few to judge."
    what, error = error_in_words(task, held_out_error(held, task))
    line = f"{task.name}: each label predicted from all others has a {what} of {error}"
    if task.classes is not None:
        return f"{line}; {len(held)} labels."
    return f"{line}; {intervals_in_words(inside(held), len(held))}."


def rounded(value: float, sign: str = "") -> str:
    """A number to three digits, or all those before the point; ``sign`` as in a format.

    Examples
    --------
    >>> rounded(0.08351), rounded(3695.2), rounded(12.0, "+"), rounded(2.5e7)
    ('0.0835', '3695', '+12', '2.5e+07')
    """
    return f"{value:{sign}.0f}" if 999.5 <= abs(value) < 999_999.5 else f"{value:{sign}.3g}"


def plus_minus(value: float, error: float, sign: str = "±") -> str:
    """A number with its standard error, both to the second digit of the error.

    Examples
    --------
    >>> plus_minus(0.08351, 0.0204), plus_minus(1234.0, 37.0), plus_minus(0.5, float("nan"))
    ('0.084 ± 0.020', '1234 ± 37', '0.5')
    """
    if not (math.isfinite(error) and error > 0):
        return rounded(value)
    digits = max(1 - math.floor(math.log10(error)), 0)
    return f"{value:.{digits}f} {sign} {error:.{digits}f}" if digits < 7 else f"{value:.2g} {sign} {error:.2g}"


def _kind(task: Task) -> str:
    """The likelihood of a task in a word or two."""
    power = getattr(task.observes, "power", None) or getattr(task.observes, "size", None)
    return type(task.observes).__name__ + ("" if power is None else f" {power}")
