"""The unit of work: one model on one draw of a table, its scores, and the seconds of its fit and of its prediction."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone

from bayestl import metrics
from bayestl.datasets import Dataset
from bayestl.evaluation.cross_validation import label_scores, of_measured
from bayestl.studies.small_tables.models import AUTO
from bayestl.studies.small_tables.tables import Split
from bayestl.table.table import build_table

LEVELS = {"in 50 %": 0.5, "in 90 %": 0.9}
"""Levels of the central intervals, of which the labels inside are counted."""

EACH = ("mae", "rmse", "crps", "nlpd", "accuracy")
"""Scores that are means over labels; ``rmse`` is that of a draw, averaged over draws."""


class Unit(NamedTuple):
    """What a line of the results stands for: a table, a number of rows with both labels, a draw and a model."""

    table: str
    n: int | None
    draw: str
    model: str


def run_unit(
    unit: Unit, model: Any, data: Dataset, split: Split, targets: Sequence[str], hide: str = "target"
) -> dict[str, Any]:
    """Fit a model to the training rows of a draw and score its predictions of the held-out ones.

    Returns
    -------
    dict
        The fields of ``unit``, and ``fit_seconds`` and ``scores``: one dictionary for each model and target, from the
        same fit those of the members of an ensemble too.  If anything failed, ``failure`` instead.
    """
    record: dict[str, Any] = unit._asdict()
    try:
        return record | _fitted_and_scored(unit.model, model, data, split, targets, hide)
    except Exception as error:  # of any library, here or in Java
        return record | {"failure": f"{type(error).__name__}: {error}"}


def _fitted_and_scored(
    name: str, model: Any, data: Dataset, split: Split, targets: Sequence[str], hide: str
) -> dict[str, Any]:
    """Seconds of the fit, and the scores of the model and of its members."""
    X, Y, std = data.X, data.Y, data.Y_std
    training = Y.iloc[split.train].copy()
    training.loc[np.isin(split.train, split.unlabelled), list(targets)] = None
    known_std = {} if std is None else {"Y_std": std.iloc[split.train]}
    start = time.perf_counter()
    fitted = clone(model).fit(X.iloc[split.train], training, **known_std)
    seconds = time.perf_counter() - start
    members = getattr(fitted, "members_", {}) if name == AUTO else {}
    scores = [
        record
        for label, one in [(name, fitted), *((f"{AUTO}: {key}", member) for key, member in members.items())]
        for record in _scores(label, one, data, split.test, targets, hide)
    ]
    return {"fit_seconds": seconds, "scores": scores}


def _scores(
    name: str, fitted: Any, data: Dataset, test: np.ndarray, targets: Sequence[str], hide: str
) -> Iterator[dict[str, Any]]:
    """The scores of each target that has a held-out label."""
    table = build_table(data.X, data.Y, data.Y_std, None, list(data.tasks), suggest=False)
    labels, X = table.labels.at(test), data.X.iloc[test]
    for target in targets:
        truth = labels.task(table.names.index(target))
        if not truth.present.any():
            continue
        known: dict[str, Any] = {}
        if hide == "target":
            observed = data.Y.iloc[test].copy()
            observed[target] = None
            known["observed"] = observed
            if data.Y_std is not None:
                known["observed_std"] = data.Y_std.iloc[test]
        start = time.perf_counter()
        marginal = of_measured(fitted.posterior(X, **known), labels).marginal(target)
        rows = label_scores(name, 0, target, test, truth, marginal)
        seconds = time.perf_counter() - start
        yield {"model": name, "quantity": target, **summarised(pd.DataFrame(rows)), "seconds": seconds}


def summarised(rows: pd.DataFrame) -> dict[str, float]:
    """The scores of a target from those of each label: means, and counts of labels inside of the intervals.

    At an atom of the distribution (an exact zero) a label is inside with the share of the atom that is, by the
    probability integral transform.  For classes ``crps`` is the Brier score, and nothing is counted.
    """
    y, found = rows["y"].to_numpy(), {"labels": len(rows), "nlpd": metrics.nlpd(rows["log_density"].to_numpy())}
    if "likeliest" in rows:
        chances = rows.filter(regex=r"^p\d+$").to_numpy()
        hit = np.arange(chances.shape[1]) == y[:, None]
        return found | {
            "accuracy": metrics.accuracy(y, rows["likeliest"].to_numpy()),
            "crps": float(((chances - hit) ** 2).sum(axis=1).mean()),
        }
    off_centre = np.abs(2 * rows["pit"].to_numpy() - 1)
    return found | {
        "mae": metrics.mae(y, rows["median"].to_numpy()),
        "rmse": metrics.rmse(y, rows["mean"].to_numpy()),
        "crps": float(rows["crps"].mean()),
        **{name: int((off_centre <= level).sum()) for name, level in LEVELS.items()},
    }
