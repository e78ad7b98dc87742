"""Random draws of a table with a cheap source: few rows with both labels, more with the source's alone, and held-out rows.

A draw takes, in the order of ``numpy.random.default_rng(seed).permutation``: ``n`` rows with both labels, ``test`` rows
with both whose target is held out and whose source is known, and ``further`` rows with the source's label alone.  Models
are scored beside baselines that need no model: the source itself, a line through the pairs, and a Gaussian process on
the difference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayestl.datasets import Dataset
from bayestl.evaluation.comparison import Comparison
from bayestl.evaluation.cross_validation import compare
from bayestl.features import CompositionFeatures
from bayestl.files.output import write_output
from bayestl.models.chain.model import ChainGP
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.exact.multitask import MultiTaskGP
from bayestl.models.whole_table import decided_by
from bayestl.studies import choose
from bayestl.studies.peers import Line, OnDifference, SourceItself
from bayestl.table.task import Task

SOURCE_ITSELF, LINE, ON_DIFFERENCE = "source itself", "line", "GP on the difference"
BASELINES = (SOURCE_ITSELF, LINE, ON_DIFFERENCE)
"""Names of the baselines, which are always run."""
SHOWN = {"mae": "MAE", "rmse": "RMSE", "crps": "CRPS", "nlpd": "NLPD", "coverage": "in 90 %", "width": "width"}
"""The scores of the printed table, with their titles."""
PAIRED = ("mae", "crps", "nlpd")
"""The scores whose paired differences to the baselines are printed."""
STATISTICS = tuple(
    f"MagpieData {statistic} {quantity}"
    for quantity in ("Electronegativity", "CovalentRadius", "Column", "Row", "NValence", "MeltingT")
    for statistic in ("mean", "avg_dev")
)
"""Twelve features of a composition: mean and mean deviation of six properties of its elements."""


@dataclass(frozen=True)
class Design:
    """The numbers of rows of a draw.

    Attributes
    ----------
    n : int, optional
        Rows with both labels; None: every label of the target outside of the held-out rows, with or without a source.
    further : int, optional
        Rows with the source's label alone; None: all that are left.
    test : int
        Held-out rows, whose source is known.
    """

    n: int | None
    further: int | None
    test: int


@dataclass(frozen=True)
class Draw:
    """The positions of the rows of a draw: with their labels, with the source's alone, and held out."""

    labelled: np.ndarray
    further: np.ndarray
    test: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """All of them, in this order."""
        return np.concatenate([self.labelled, self.further, self.test])


def draw_rows(Y: pd.DataFrame, source: str, target: str, design: Design, seed: int) -> Draw:
    """Draw the rows of a design.

    Parameters
    ----------
    Y : DataFrame, shape (n, >= 2)
        Labels, NaN where there is none.
    source, target : str
        Columns of ``Y``.
    design : Design
        The numbers of rows.
    seed : int
        Seed of the permutation of all rows.

    Raises
    ------
    ValueError
        If too few rows have both labels, or the source's.
    """
    order = np.random.default_rng(seed).permutation(len(Y))
    has_source, has_target = (Y[name].notna().to_numpy()[order] for name in (source, target))
    both = order[has_source & has_target]
    n = design.n or 0
    if len(both) < n + design.test:
        raise ValueError(
            f"{len(both)} rows have labels of both {source!r} and {target!r}, fewer than the {n} + {design.test} asked for"
        )
    test = both[n : n + design.test]
    labelled = both[:n] if design.n else order[has_target & ~np.isin(order, test)]
    left = order[has_source & ~np.isin(order, np.concatenate([labelled, test]))]
    if design.further is not None and len(left) < design.further:
        raise ValueError(
            f"{len(left)} further rows have a label of {source!r}, fewer than the {design.further} asked for"
        )
    return Draw(labelled, left[: design.further], test)


def models(source: Task, target: Task, hyperparameters: str = "auto", seed: int = 0) -> dict[str, Any]:
    """The unfitted architectures by name."""
    common: dict[str, Any] = {"tasks": [source, target], "hyperparameters": hyperparameters, "random_state": seed}
    levels = [source.name, target.name]
    return {
        "multi-task": MultiTaskGP(**common),
        "difference": DifferenceGP(levels, **common),
        "chain": ChainGP(levels, inputs=None, **common),
        "independent": IndependentGP(**common),
    }


def baselines(source: Task, target: Task, hyperparameters: str = "auto", seed: int = 0) -> dict[str, Any]:
    """The unfitted baselines by name."""
    one = IndependentGP([target], hyperparameters=hyperparameters, random_state=seed, verbose=False)
    names = source.name, target.name
    return {
        SOURCE_ITSELF: SourceItself(*names),
        LINE: Line(*names),
        ON_DIFFERENCE: OnDifference(*names, model=one),
    }


def compare_draws(
    X: pd.DataFrame,
    data: Dataset,
    source: str,
    target: str,
    draws: Sequence[Draw],
    only: Sequence[str] | None = None,
    hyperparameters: str = "auto",
    seed: int = 0,
    n_jobs: int | None = None,
    verbose: bool = True,
) -> Comparison:
    """Score models and baselines on draws of a table; a fold of the result is a draw.

    Parameters
    ----------
    X : DataFrame, shape (>= rows drawn, d)
        Numeric features; rows are those of ``data`` with the same name.
    data : Dataset
        Labels, tasks and standard errors.
    source, target : str
        Tasks of ``data``; only units and costs are taken over from them: labels are Gaussian.
    draws : sequence of Draw
        Positions of rows of ``data``.
    only : sequence of str, optional
        Names of the models to run beside the baselines; by default all, and none for an empty list.
    hyperparameters : {"auto", "map", "laplace", "short-mcmc", "mcmc"}
        As for the models.
    seed : int
        Seed of the models.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.
    """
    tasks = {t.name: Task(t.name, unit=t.unit, cost=t.cost) for t in data.tasks if t.name in (source, target)}
    pair = tasks[source], tasks[target]
    chosen = choose(models(*pair, hyperparameters, seed), only) | baselines(*pair, hyperparameters, seed)
    rows = np.concatenate([d.rows for d in draws])
    labels = data.Y[[source, target]].iloc[rows].reset_index(drop=True)
    splits, start = [], 0
    for d in draws:
        n, n_train = len(d.labelled), len(d.labelled) + len(d.further)
        positions = start + np.arange(len(d.rows))
        labels.loc[positions[n:n_train], target] = np.nan
        splits.append((positions[:n_train], positions[n_train:]))
        start += len(positions)
    std = None if data.Y_std is None else data.Y_std[[source, target]].iloc[rows].reset_index(drop=True)
    table = X.loc[data.Y.index[rows]].reset_index(drop=True)
    first = splits[0][
        0
    ]  # what a model chooses by the number of labels, it chooses by those of a draw, not of all draws
    of_draw = table.iloc[first], labels.iloc[first], None if std is None else std.iloc[first]
    chosen = {name: decided_by(model, *of_draw) for name, model in chosen.items()}
    comparison = compare(
        chosen, table, labels, target=target, cv=splits, hide="target", Y_std=std, n_jobs=n_jobs, verbose=verbose
    )
    comparison.units |= {task.name: task.unit for task in pair}  # also where only baselines are run
    return comparison


@dataclass
class Result:
    """Comparisons over draws, by table and number of rows with both labels."""

    comparisons: dict[tuple[str, str], Comparison]

    @property
    def scores(self) -> pd.DataFrame:
        """One row per table, number of rows, model and draw, with all scores; draws of one number hold the same rows."""
        parts = {key: c.scores.rename(columns={"fold": "draw"}) for key, c in self.comparisons.items()}
        return pd.concat(parts, names=["table", "rows"]).reset_index(["table", "rows"]).reset_index(drop=True)

    def write(self, folder: Path) -> None:
        """Write :attr:`scores` as ``scores.csv``, and the held-out predictions of each table as CSV."""
        write_output(folder / "scores.csv", self.scores.to_csv(index=False))
        for (table, rows), comparison in self.comparisons.items():
            name = "-".join(re.findall(r"\w+", f"{table} {rows}"))
            write_output(folder / f"{name}.csv", comparison.predictions.to_csv(index=False))

    def to_frame(self) -> pd.DataFrame:
        """Mean over draws and its standard error: index (table, rows, model), columns (score, "mean"/"se")."""
        parts = {key: c.table.droplevel("quantity")[list(SHOWN)] for key, c in self.comparisons.items()}
        return pd.concat(parts, names=["table", "rows", "model"])

    @property
    def figures(self) -> pd.DataFrame:
        """Scores with their standard errors, and the MAE less that of each baseline, draw by draw."""
        scores, paired = self.to_frame(), self.paired()
        scores.columns = [score if side == "mean" else f"{score} se" for score, side in scores.columns]
        for name, column in (("difference", "minus {}"), ("se", "minus {} se")):
            scores = scores.join(paired[name].unstack("baseline").rename(columns=column.format))
        return scores

    def paired(self, score: str = "mae") -> pd.DataFrame:
        """Differences of each model to each baseline, draw by draw: mean and standard error; below zero is better.

        Parameters
        ----------
        score : str
            One of :data:`~bayestl.evaluation.comparison.SCORES`.

        Returns
        -------
        DataFrame
            Index (table, rows, model, baseline), columns ``difference``, ``se`` and their ``ratio``.
        """
        parts = {key: _paired(c, score).reindex(c.models, level="model") for key, c in self.comparisons.items()}
        return pd.concat(parts, names=["table", "rows", "model", "baseline"])

    def __str__(self) -> str:
        return "\n\n".join(_text(table, rows, comparison) for (table, rows), comparison in self.comparisons.items())


def _paired(comparison: Comparison, score: str) -> pd.DataFrame:
    """Differences to each baseline of which a fit succeeded, index (model, baseline)."""
    run = [b for b in BASELINES if b in comparison.models]
    parts = {b: comparison.paired(b, score).droplevel("quantity") for b in run}
    return pd.concat(parts, names=["baseline", "model"]).swaplevel()


def _text(table: str, rows: str, comparison: Comparison) -> str:
    """The scores of one table as text, and below them the paired differences of the models to the baselines."""
    scores, quantity = comparison.table.droplevel("quantity"), comparison.label(comparison.quantities[0])
    draws = comparison.scores["fold"].nunique()
    lines = [f"{table}, {rows}: {quantity}, mean over {draws} draw{'s' * (draws > 1)} +- standard error"]
    wide = max(len(m) for m in comparison.models)
    lines.append(f"  {'':{wide}}" + "".join(f" {title:>17}" for title in SHOWN.values()))
    for model in comparison.models:
        cells = [_cell(scores.loc[model, (s, "mean")], scores.loc[model, (s, "se")]) for s in SHOWN]
        lines.append(f"  {model:{wide}}" + "".join(f" {cell:>17}" for cell in cells))
    architectures = [m for m in comparison.models if m not in BASELINES]
    for score in PAIRED if architectures else ():
        paired = _paired(comparison, score)
        run = list(paired.index.unique("baseline"))
        lines += ["", f"  {SHOWN[score]} minus that of a baseline, on the same draws (below zero: better)"]
        lines.append(f"  {'':{wide}}" + "".join(f" {name:>21}" for name in run))
        for model in architectures:
            cells = [_cell(*paired.loc[(model, b), ["difference", "se"]]) for b in run]
            lines.append(f"  {model:{wide}}" + "".join(f" {cell:>21}" for cell in cells))
    return "\n".join(lines)


def _cell(mean: float, se: float) -> str:
    """A number with its standard error, if there is one."""
    return f"{mean:.3g}" + ("" if np.isnan(se) else f" +- {se:.2g}")


def formula_features(formulas: pd.DataFrame, n_jobs: int | None = None, verbose: bool = True) -> pd.DataFrame:
    """Element fractions and the twelve statistics (:data:`STATISTICS`) of a column ``formula``."""
    features = CompositionFeatures(("fractions", "magpie"), n_jobs=n_jobs, verbose=verbose).fit_transform(formulas)
    return features[[c for c in features.columns if not c.startswith("MagpieData") or c in STATISTICS]]
