"""What a comparison says and what it leaves open: paired differences over held-out labels, coverage, and where errors are large.

A difference counts where it is beyond the central range of Student's t over the held-out rows, shared among the models that
are compared (Bonferroni), since the best of several is the best partly by luck.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bayestl.diagnostics.checks import far_off
from bayestl.evaluation.comparison import Comparison

ALPHA = 0.05
"""Chance with which a difference between equal models is taken for one, all models together."""
LEAST_ROWS = 10
"""Fewest held-out rows that tell anything."""
LOSSES = ("error", "score")
"""``error``: absolute error of the median, for classes whether it is wrong; ``score``: CRPS, for classes the log loss."""


@dataclass(frozen=True)
class Difference:
    """Mean loss of one model less that of another on the same held-out rows."""

    one: float
    other: float
    mean: float
    se: float
    n: int
    alpha: float

    @property
    def sign(self) -> int:
        """-1 where the one is better, 1 where it is worse, 0 where that cannot be told."""
        if self.n < LEAST_ROWS or not abs(self.mean) > stats.t.ppf(1 - self.alpha / 2, self.n - 1) * self.se:
            return 0
        return int(np.sign(self.mean))

    @property
    def cut(self) -> float:
        """The share by which the one is below the other."""
        return -self.mean / self.other if self.other > 0 else 0.0


@dataclass(frozen=True)
class Verdict:
    """What the held-out labels of one quantity say."""

    quantity: str
    best: str
    """The model with the lowest score."""
    as_good: tuple[str, ...]
    """The models that cannot be told from the best one, which is the first of them."""
    informed: str
    """The best model in which tasks inform each other; empty where the models to compare are not there."""
    error: Difference | None
    """Of that model to the task alone."""
    score: Difference | None
    held: float
    """Share of the labels in the best model's intervals; NaN for classes."""
    n: int
    """Held-out rows."""
    skill: Difference
    """Error of the best model to that of one guess for all: the middle label, or the most common class."""
    narrow: Difference | None
    """Errors of the half of the rows with the narrowest intervals (one) and of the other half, not paired."""
    wide_from: float
    """Width of the interval from which the other half begins."""
    beside: Difference | None
    """Errors of the rows of which other labels are known (one), and of which none is, not paired."""
    far: pd.DataFrame
    """Labels too far from their predictions for chance: row, name, y, high, median, lower, upper."""

    @property
    def only_best(self) -> bool:
        """Whether one model is better than each other one."""
        return len(self.as_good) == 1


def losses(comparison: Comparison, quantity: str, model: str) -> pd.DataFrame:
    """Error and score of each held-out row, means over repeats; index row, columns :data:`LOSSES`."""
    p = comparison.predictions
    p = p[(p["quantity"] == quantity) & (p["model"] == model)]
    if comparison.classified(quantity):
        loss = pd.DataFrame({"error": (p["likeliest"] != p["y"]).astype(float), "score": -p["log_density"]})
    else:
        y = np.clip(p["median"], p["y"], p["high"])
        loss = pd.DataFrame({"error": (p["median"] - y).abs(), "score": p["crps"]})
    return loss.groupby(p["row"]).mean()


def difference(comparison: Comparison, quantity: str, one: str, other: str, loss: str = "score") -> Difference:
    """The paired difference between two models of a quantity."""
    alpha = ALPHA / max(len(comparison.models) - 1, 1)
    return _paired(losses(comparison, quantity, one)[loss], losses(comparison, quantity, other)[loss], alpha)


def verdict(comparison: Comparison, quantity: str) -> Verdict:
    """What the held-out labels of a quantity say of the models."""
    classified = comparison.classified(quantity)
    best = comparison.best(quantity, "nlpd" if classified else "crps")
    models = [m for m in comparison.models if (quantity, m) in comparison.table.index]
    others = {m: difference(comparison, quantity, best, m) for m in models if m != best}
    if better := {m: d.other for m, d in others.items() if d.sign > 0}:  # over rows, where folds are of unlike size
        best = min(better, key=lambda m: better[m])
        others = {m: difference(comparison, quantity, best, m) for m in models if m != best}
    as_good = (best, *(m for m, d in others.items() if d.sign >= 0))
    informed = min(
        (m for m in comparison.informed if m in models),
        key=lambda m: comparison.table.loc[(quantity, m), ("nlpd" if classified else "crps", "mean")],
        default="",
    )
    alone = comparison.alone if comparison.alone in models else ""
    error, score = (
        (difference(comparison, quantity, informed, alone, loss) if informed and alone else None) for loss in LOSSES
    )
    loss = losses(comparison, quantity, best)
    skill = _paired(loss["error"], _guess(comparison, quantity), ALPHA)
    found = (quantity, best, as_good, informed, error, score)
    p = comparison.predictions
    p = p[(p["quantity"] == quantity) & (p["model"] == best)]
    if classified:
        return Verdict(*found, np.nan, len(loss), skill, None, np.nan, None, p.iloc[:0])
    width = (p["upper"] - p["lower"]).groupby(p["row"]).mean()
    middle = float(width.median())
    first = p.drop_duplicates("row")
    far = first[far_off(first["pit"].to_numpy())]
    far = far.assign(name=comparison.names_of(far["row"]))[["row", "name", "y", "high", "median", "lower", "upper"]]
    held = comparison.held(quantity, best)
    narrow, beside = (_split(loss["error"], mask) for mask in (width < middle, _has_others(comparison, quantity, loss)))
    return Verdict(*found, held, len(loss), skill, narrow, middle, beside, far)


def verdicts(comparison: Comparison) -> dict[str, Verdict]:
    """What the held-out labels of each quantity say."""
    return {quantity: verdict(comparison, quantity) for quantity in comparison.quantities}


def _paired(one: pd.Series, other: pd.Series, alpha: float) -> Difference:
    """The difference of two losses of the same rows."""
    d = (one - other).dropna()
    se = float(d.std(ddof=1) / np.sqrt(len(d))) if len(d) > 1 else np.inf
    return Difference(float(one[d.index].mean()), float(other[d.index].mean()), float(d.mean()), se, len(d), alpha)


def _split(loss: pd.Series, chosen: pd.Series | None) -> Difference | None:
    """The difference of the losses of some rows and of the others; None where one side has too few."""
    if chosen is None:
        return None
    one, other = loss[chosen], loss[~chosen]
    if min(len(one), len(other)) < LEAST_ROWS:
        return None
    se = float(np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other)))
    return Difference(one.mean(), other.mean(), one.mean() - other.mean(), se, min(len(one), len(other)), ALPHA)


def _guess(comparison: Comparison, quantity: str) -> pd.Series:
    """The error of each row where one guess is made for all: the middle label, or the most common class."""
    p = comparison.predictions
    p = p[p["quantity"] == quantity].drop_duplicates("row").set_index("row")
    if comparison.classified(quantity):
        return (p["y"] != p["y"].mode()[0]).astype(float)
    middle = np.nan_to_num(p["y"]).clip(*p["y"][np.isfinite(p["y"])].agg(["min", "max"]))
    return (float(np.median(middle)) - np.clip(float(np.median(middle)), p["y"], p["high"])).abs()


def _has_others(comparison: Comparison, quantity: str, loss: pd.DataFrame) -> pd.Series | None:
    """Whether other labels of the row of each loss are known, where they may be used."""
    whole = comparison.whole
    if whole is None or comparison.hide != "target" or quantity not in whole.names:
        return None
    others = np.delete(whole.present, whole.names.index(quantity), axis=1).any(axis=1)
    return pd.Series(np.asarray(others)[loss.index], loss.index)
