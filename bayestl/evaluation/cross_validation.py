"""Cross-validation of several models on the same splits.

``hide="row"``: a held-out row loses all its labels.  ``hide="target"``: it keeps the labels of its other tasks, which
are passed as ``observed``.  The result is a :class:`~bayestl.evaluation.comparison.Comparison`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import KFold, check_cv

from bayestl import metrics
from bayestl.distributions import Discrete, Empirical, Hurdle, log_density_of
from bayestl.evaluation.comparison import LEVEL, SCORES, Comparison
from bayestl.evaluation.shared_tasks import (
    check_functions,
    check_models,
    informs,
    tasks_of_all,
    told_of_limits,
    units_of,
)
from bayestl.likelihoods import Censored, Ordinal
from bayestl.models.whole_table import decided_by
from bayestl.parallel import in_parallel
from bayestl.streams import spawn
from bayestl.table.columns import label_frame
from bayestl.table.groups import refuse_other_rows
from bayestl.table.measured import Measured
from bayestl.table.table import Table, build_table

HIDE = ("target", "row")
Function = Callable[[Any], Any]


def compare(
    models: Mapping[str, Any],
    X: Any,
    Y: Any,
    target: str | Sequence[str] | None = None,
    cv: Any = None,
    hide: str = "target",
    functions: Mapping[str, Function] | None = None,
    Y_std: Any = None,
    groups: Any = None,
    split_groups: Any = None,
    n_jobs: int | None = None,
    verbose: bool = True,
) -> Comparison:
    """Cross-validate several models on the same splits.

    Parameters
    ----------
    models : mapping of str to model
        Unfitted models by name; each is cloned for each fold.  What a model chooses by the number of rows or labels, such as
        ``hyperparameters="auto"``, is chosen once, by the whole table.
    X, Y, Y_std, groups
        The table, as for ``fit``.
    target : str or list of str, optional
        The tasks to score; default: all.
    cv : int, splitter or iterable of (train, test), optional
        A number k stands for ``KFold(k, shuffle=True, random_state=0)`` (default 5); or any scikit-learn splitter.
    hide : {"target", "row"}
        Whether a held-out row loses the labels of the target only, or all its labels.
    functions : mapping of str to callable, optional
        Functions of several tasks (as for :meth:`Posterior.apply`), scored on rows that have all labels they need; with
        ``hide="row"`` only.
    split_groups : array-like, optional
        Passed to the splitter as ``groups``, to hold out all rows of a composition or metal together.
    n_jobs : int, optional
        Number of processes, as in joblib; inside ``joblib.parallel_config(backend="dask")`` the folds run on a cluster.
    verbose : bool
        Whether to show progress on a terminal.

    Returns
    -------
    Comparison
        Scores and held-out predictions.  A fit that fails is listed in ``failures``, with a warning; the others are
        kept.

    Raises
    ------
    ValueError
        If a target or ``hide`` is unknown, or if every fit failed.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> Y = pd.DataFrame({"gap": np.sin(5 * x[:, 0])})
    >>> models = {k: btl.IndependentGP(kernel=k, hyperparameters="map") for k in ("rbf", "exponential")}
    >>> comparison = btl.compare(models, x, Y, cv=2, verbose=False)
    >>> comparison.best("gap")
    'rbf'
    """
    if hide not in HIDE:
        raise ValueError(f"hide must be one of {HIDE}, got {hide!r}")
    if isinstance(models, Mapping) and not models:
        raise ValueError("no models to compare")
    check_models(models)
    check_functions(functions)
    if functions and hide != "row":
        raise ValueError('functions of several tasks are scored with hide="row" only')
    table = build_table(X, Y, Y_std, groups, tasks_of_all(models, Y), suggest=False)  # each model's fit gives the hints
    names = table.names
    targets = names if target is None else list(target) if isinstance(target, list | tuple) else [target]
    if unknown := [t for t in targets if t not in names]:
        raise ValueError(f"target {unknown[0]!r} is no column of Y; the columns are {names}")
    if not targets or len(set(targets)) < len(targets):
        raise ValueError(f"target must name columns of Y, each once, got {target!r}")
    refuse_other_rows(table.index, split_groups, "split_groups")
    frames = _Frames(
        X if isinstance(X, pd.DataFrame) else pd.DataFrame(table.x, columns=list(table.features)),
        _labels(Y, table),
        None if Y_std is None else pd.DataFrame(table.labels.se, index=table.index, columns=names),
        table.group_names,
        table,
    )
    splits = splits_of(cv, frames.X, frames.Y, split_groups)
    told = {name: told_of_limits(model, frames.Y, table.tasks) for name, model in models.items()}
    whole = {name: decided_by(model, frames.X, frames.Y, frames.Y_std, frames.groups) for name, model in told.items()}
    jobs = [(name, fold) for fold in range(len(splits)) for name in models]
    results: dict[tuple[int, int], tuple[list[dict], str | None]] = {}
    order = {name: i for i, name in enumerate(models)}
    calls = [
        (name, whole[name], frames, *splits[fold], fold, targets, hide, dict(functions or {})) for name, fold in jobs
    ]
    for name, fold, rows, failure in in_parallel(_score_fold, calls, n_jobs, "comparing", verbose):
        results[fold, order[name]] = (rows, failure)
    failures = [failure for _, failure in (results[k] for k in sorted(results)) if failure]
    for failure in failures:
        warnings.warn(failure, RuntimeWarning, stacklevel=2)
    rows = [row for k in sorted(results) for row in results[k][0]]
    if not rows:
        raise ValueError("no held-out label was predicted" + (f": {failures[0]}" if failures else ""))
    predictions = pd.DataFrame(rows)
    units = units_of(models)
    present = table.present.astype(int)
    label_counts = pd.DataFrame(present.T @ present, names, names)
    does = {name: informs(model) and len(names) > 1 for name, model in models.items()}
    return Comparison(
        _summarise(predictions, list(models)),
        predictions,
        hide,
        units,
        failures,
        table.x.shape,
        label_counts,
        table,
        next((name for name, informed in does.items() if informed is False and len(names) > 1), ""),
        tuple(name for name, informed in does.items() if informed),
    )


def splits_of(cv: Any, X: Any, Y: pd.DataFrame, split_groups: Any) -> list[list[np.ndarray]]:
    """Positions of the rows to fit and to score in each fold: ``cv`` shuffled folds (5), of a splitter, or splits themselves."""
    folds = 5 if cv is None else cv
    is_number = isinstance(folds, int | np.integer)
    splitter = KFold(folds, shuffle=True, random_state=0) if is_number else check_cv(folds)
    splits = splitter.split(X, Y.notna().any(axis=1), split_groups)
    return [[np.flatnonzero(r) if np.asarray(r).dtype == bool else np.asarray(r) for r in split] for split in splits]


@dataclass(frozen=True)
class _Frames:
    """The table as frames and arrays that can be split by rows."""

    X: pd.DataFrame
    Y: pd.DataFrame
    Y_std: pd.DataFrame | None
    groups: np.ndarray | None
    table: Table

    def values(self, rows: np.ndarray) -> pd.DataFrame:
        """Labels of some rows for functions of several tasks: numbers, NaN where only an interval is known, or classes."""
        frame, numbers = self.Y.iloc[rows].copy(), self.table.labels.at(rows).numbers
        for t, task in enumerate(self.table.tasks):
            if task.classes is None:
                frame[task.name] = numbers[:, t]
        return frame


def _labels(Y: Any, table: Table) -> pd.DataFrame:
    """The label columns; categorical ones list all classes, so that a fold without one of them still knows its name."""
    frame = label_frame(Y, len(table.x)).set_axis(table.index)
    for task in table.tasks:
        if task.classes is not None:
            ordered = isinstance(task.observes, Ordinal)
            frame[task.name] = pd.Categorical(list(frame[task.name]), categories=list(task.classes), ordered=ordered)
        elif not isinstance(task.observes, Censored):
            frame[task.name] = table.y[:, table.names.index(task.name)]
    return frame


def _score_fold(
    name: str,
    model: Any,
    frames: _Frames,
    train: np.ndarray,
    test: np.ndarray,
    fold: int,
    targets: list[str],
    hide: str,
    functions: dict[str, Function],
) -> tuple[str, int, list[dict], str | None]:
    """Fit one model on one fold: its name, the fold, the held-out predictions, and the error of a failed fit."""
    member = clone(model)
    if hasattr(member, "verbose"):
        member.set_params(verbose=False)
    X_test, Y_test, labels = frames.X.iloc[test], frames.Y.iloc[test], frames.table.labels.at(test)
    position = {task: t for t, task in enumerate(frames.table.names)}
    known_of_rows = {} if frames.groups is None else {"groups": frames.groups[test]}
    try:
        member.fit(
            frames.X.iloc[train],
            frames.Y.iloc[train],
            Y_std=None if frames.Y_std is None else frames.Y_std.iloc[train],
            groups=None if frames.groups is None else frames.groups[train],
        )
        rows: list[dict] = []
        if hide == "row":
            post = of_measured(member.posterior(X_test, **known_of_rows), labels)
            for target in targets:
                rows += label_scores(name, fold, target, test, labels.task(position[target]), post.marginal(target))
            for label, function in functions.items():
                value = Measured.of(_values(function, frames.values(test)))
                rows += label_scores(name, fold, label, test, value, post.apply(function).marginals)
        else:
            for target in targets:
                if Y_test[target].notna().any():
                    observed = Y_test.copy()
                    observed[target] = None
                    if frames.Y_std is not None:
                        known_of_rows["observed_std"] = frames.Y_std.iloc[test]
                    post = of_measured(member.posterior(X_test, observed=observed, **known_of_rows), labels)
                    rows += label_scores(name, fold, target, test, labels.task(position[target]), post.marginal(target))
    except (ValueError, ArithmeticError, RuntimeError) as error:
        return name, fold, [], f"{name}, fold {fold}: {type(error).__name__}: {error}"
    return name, fold, rows, None


class _Recorded:
    """A table of labels that remembers which columns were asked for."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame, self.used = frame, set[Any]()

    def __getitem__(self, name: Any) -> Any:
        self.used.update([name] if isinstance(name, str) else list(name))
        return self.frame[name]

    def __getattr__(self, name: str) -> Any:
        self.used.update([name] if name in self.frame else self.frame)
        return getattr(self.frame, name)


def _values(function: Function, labels: pd.DataFrame) -> np.ndarray:
    """Values (n,) of a function of several tasks, NaN in rows that lack one of the labels that it uses."""
    recorded = _Recorded(labels)
    value = np.asarray(function(recorded), dtype=float)
    used = [name for name in labels if name in recorded.used] or list(labels)
    return np.where(labels[used].notna().all(axis=1), value, np.nan)


def of_measured(post: Any, labels: Measured) -> Any:
    """The posterior of labels with the known standard errors of the held-out ones."""
    return post.with_errors(labels) if labels.se.any() else post


def label_scores(name: str, fold: int, quantity: str, test: np.ndarray, labels: Measured, predicted: Any) -> list[dict]:
    """One record per held-out label: the label, its prediction and their scores."""
    tail = 0.5 * (1 - LEVEL)
    y, high, _ = labels
    columns: dict[str, np.ndarray] = {"y": y, "high": high}
    if isinstance(predicted, Discrete):
        columns["likeliest"] = predicted.mode()
        columns |= {f"p{k}": predicted.probabilities[:, k] for k in range(len(predicted.classes))}
        columns["log_density"] = predicted.log_density(y)
        columns["pit"] = metrics.pit(y, predicted, spawn(fold, f"pit of {quantity}"))
    else:
        columns |= {
            "mean": predicted.mean(),
            "std": predicted.std(),
            "median": predicted.quantile(0.5),
            "lower": predicted.quantile(tail),
            "upper": predicted.quantile(1 - tail),
        }
        if isinstance(predicted, Empirical):
            spread = np.maximum(predicted.std(), 1e-12 * (1.0 + np.abs(predicted.mean())))  # draws may be equal
            columns["log_density"] = -0.5 * np.log(2 * np.pi * spread**2) - 0.5 * ((y - predicted.mean()) / spread) ** 2
            columns["crps"] = metrics.crps_samples(y, predicted.draws)
            columns["pit"] = (predicted.draws <= y).mean(axis=0)
        else:
            columns["log_density"] = log_density_of(predicted, y, high)
            columns["crps"] = metrics.crps(y, predicted, high)
            columns["pit"] = metrics.pit(y, predicted, spawn(fold, f"pit of {quantity}"), high)
        if isinstance(predicted, Hurdle):
            columns["zero"] = predicted.zero
            columns["positive_lower"] = predicted.positive.quantile(tail)
            columns["positive_upper"] = predicted.positive.quantile(1 - tail)
    return [
        {
            "model": name,
            "fold": fold,
            "quantity": quantity,
            "row": int(test[i]),
            **{k: float(v[i]) for k, v in columns.items()},
        }
        for i in np.flatnonzero(~np.isnan(y))
    ]


def _summarise(predictions: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Scores of each model, quantity and fold; the point is the median for MAE and the mean for RMSE.

    A label of which only an interval is known counts by the end that is nearer to the prediction, if that is outside, and
    for coverage by the probability of the interval.
    """
    records = []
    for (quantity, model, fold), part in predictions.groupby(["quantity", "model", "fold"], sort=False):
        record: dict[str, Any] = {"model": model, "quantity": quantity, "fold": fold} | dict.fromkeys(SCORES, np.nan)
        y = part["y"].to_numpy()
        record |= {"nlpd": metrics.nlpd(part["log_density"].to_numpy()), "n": len(part)}
        if "likeliest" in part and part["likeliest"].notna().any():
            likeliest = part["likeliest"].to_numpy()
            record |= {"accuracy": metrics.accuracy(y, likeliest), "macro_f1": metrics.macro_f1(y, likeliest)}
        else:
            high, median, mean, lower, upper, pit = (
                part[c].to_numpy() for c in ("high", "median", "mean", "lower", "upper", "pit")
            )
            level = np.where(y < high, np.abs(2 * pit - 1), np.where((y >= lower) & (y <= upper), 0.0, 1.0))
            record |= {
                "mae": metrics.mae(np.clip(median, y, high), median),
                "rmse": metrics.rmse(np.clip(mean, y, high), mean),
                "crps": float(part["crps"].mean()),
                "coverage": float((level <= LEVEL).mean()),
                "width": metrics.sharpness(lower, upper),
                "interval_score": metrics.interval_score(np.clip(0.5 * (lower + upper), y, high), lower, upper, LEVEL),
            }
        records.append(record)
    frame = pd.DataFrame(records)
    rank = {name: i for i, name in enumerate(models)}
    return frame.sort_values("model", key=lambda s: s.map(rank), kind="stable").reset_index(drop=True)
