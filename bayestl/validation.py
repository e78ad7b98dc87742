"""Which architecture predicts best, and how sure is that: cross-validation with paired differences.

``hide="row"``: a held-out row loses all labels.  ``hide="target"``: it keeps the labels of its other tasks, which go
in as ``observed``.  All models see the same splits, so differences are taken fold by fold.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import KFold, check_cv

from bayestl import metrics
from bayestl.columns import label_frame
from bayestl.distributions import Discrete, Empirical, Hurdle
from bayestl.likelihoods import Censored, Ordinal
from bayestl.parallel import in_parallel
from bayestl.table import Table, build_table
from bayestl.tasks import Task

LEVEL = 0.9
"""Of the intervals whose coverage and width are reported."""
HIDE = ("target", "row")
SCORES = ("mae", "rmse", "crps", "nlpd", "coverage", "width", "interval_score", "accuracy", "macro_f1")
"""The columns of a comparison: ``coverage`` is best at :data:`LEVEL`, ``accuracy`` and ``macro_f1`` are higher-is-better,
the others lower.  Classes have the last two and ``nlpd``, which is their log loss; numbers have all but the last two."""
HIGHER = ("accuracy", "macro_f1")

Function = Callable[[Any], Any]


@dataclass
class Comparison:
    """Result of :func:`compare`.

    Attributes
    ----------
    scores : DataFrame
        One row a model, quantity (task or function of tasks) and fold; columns :data:`SCORES` and ``n``.
    predictions : DataFrame
        One row a model, fold, quantity and held-out label: ``row``, ``y``, ``mean``, ``std``, ``lower``, ``upper``,
        ``median``, ``log_density``, ``crps``, ``pit``; classes as positions, ``likeliest`` the predicted one, ``p0``,
        ``p1`` ... their probabilities (``zero`` that of an exact zero).
    failures : list of str
        Fits that raised, by model and fold, with the error.
    shape : (int, int)
        Rows and features of the table.
    shared : DataFrame
        Rows that have labels of two tasks (T, T), on the diagonal those of one.
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame
    hide: str
    units: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    shape: tuple[int, int] = (0, 0)
    shared: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order given."""
        return list(dict.fromkeys(self.scores["model"]))

    @property
    def quantities(self) -> list[str]:
        """Tasks and functions that were scored."""
        return list(dict.fromkeys(self.scores["quantity"]))

    @property
    def table(self) -> pd.DataFrame:
        """Mean over folds and its standard error, index (quantity, model), columns (score, "mean"/"se").

        The standard error is that of the mean over folds as if folds were independent; training sets overlap, so it
        is somewhat too small.
        """
        grouped = self.scores.groupby(["quantity", "model"], sort=False)[list(SCORES)]
        out = pd.concat({"mean": grouped.mean(), "se": grouped.sem()}, axis=1).swaplevel(axis=1)
        return out[[(score, side) for score in SCORES for side in ("mean", "se")]]

    def paired(self, reference: str, score: str = "mae") -> pd.DataFrame:
        """Difference to a reference model, fold by fold: mean, standard error, and their ratio.

        Raises
        ------
        ValueError
            If the reference or the score is unknown.
        """
        if reference not in self.models:
            raise ValueError(f"no model {reference!r}; the models are {self.models}")
        if score not in SCORES:
            raise ValueError(f"no score {score!r}; the scores are {list(SCORES)}")
        wide = self.scores.pivot(index=["quantity", "fold"], columns="model", values=score)
        difference = wide.drop(columns=reference).sub(wide[reference], axis=0).stack().rename("difference")
        grouped = difference.groupby(level=["quantity", "model"], sort=False)
        out = pd.DataFrame({"difference": grouped.mean(), "se": grouped.sem()})
        out["ratio"] = out["difference"] / out["se"]
        return out

    def classified(self, quantity: str) -> bool:
        """Whether the quantity is a class."""
        return bool(self.scores.loc[self.scores["quantity"] == quantity, "accuracy"].notna().any())

    def best(self, quantity: str, score: str | None = None) -> str:
        """The model with the best mean score of a quantity: by default MAE, of classes the log loss."""
        score = score or ("nlpd" if self.classified(quantity) else "mae")
        column = self.table.xs(quantity, level="quantity")[score, "mean"]
        return str(column.idxmax() if score in HIGHER else column.idxmin())

    def __str__(self) -> str:
        return format_table(self)

    def plot(self, score: str = "mae", ax: Any = None) -> Any:
        """A dot and a standard error for each model and quantity; returns the axes."""
        from bayestl.plots import plot_comparison

        return plot_comparison(self, score=score, ax=ax)


def format_table(comparison: Comparison) -> str:
    """The table as text: one block a quantity, one line a model."""
    lines = []
    table = comparison.table
    width = max(len(m) for m in comparison.models)
    for quantity in comparison.quantities:
        unit = comparison.units.get(quantity, "")
        title = f"{quantity} ({unit})" if unit else quantity
        lines.append(f"{title}: mean over folds +- standard error")
        if comparison.classified(quantity):
            lines.append(f"  {'':{width}}  {'accuracy':>15} {'macro F1':>15} {'log loss':>15}")
            for model in comparison.models:
                row = table.loc[(quantity, model)]
                cells = [f"{row[s, 'mean']:7.4g} +- {row[s, 'se']:<5.2g}" for s in ("accuracy", "macro_f1", "nlpd")]
                lines.append(f"  {model:{width}}  " + " ".join(f"{c:>15}" for c in cells))
            lines.append("")
            continue
        lines.append(f"  {'':{width}}  {'MAE':>15} {'RMSE':>15} {'CRPS':>15} {'NLPD':>15} {'in 90 %':>13} {'width':>8}")
        for model in comparison.models:
            row = table.loc[(quantity, model)]
            cells = [f"{row[s, 'mean']:7.4g} +- {row[s, 'se']:<5.2g}" for s in ("mae", "rmse", "crps", "nlpd")]
            cells.append(f"{row['coverage', 'mean']:5.2f} +- {row['coverage', 'se']:<4.2f}")
            cells.append(f"{row['width', 'mean']:8.3g}")
            lines.append(
                f"  {model:{width}}  " + " ".join(f"{c:>15}" for c in cells[:4]) + f" {cells[4]:>13} {cells[5]}"
            )
        lines.append("")
    return "\n".join(lines).rstrip()


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
        Unfitted; each is cloned for each fold.
    X, Y, Y_std, groups
        As for ``fit``.
    target : str or list of str, optional
        The tasks to score; default: all.
    cv : int, splitter or iterable of (train, test), optional
        A number k is ``KFold(k, shuffle=True, random_state=0)`` (default 5); or any scikit-learn splitter.
    hide : {"target", "row"}
        What a held-out row keeps: its labels of the other tasks, or nothing.
    functions : mapping of str to callable, optional
        Functions of several tasks (see :meth:`Posterior.apply`), scored on rows that have all labels they need.
        With ``hide="row"`` only.
    split_groups : array-like, optional
        Passed to the splitter as ``groups`` (to leave out all rows of a composition or metal together).
    n_jobs : int, optional
        Processes, as in joblib; inside ``joblib.parallel_config(backend="dask")`` the folds go to a cluster.
    verbose : bool
        Progress on a terminal.

    Returns
    -------
    Comparison
        A fit that fails is named in ``failures`` and warned of; the others are kept.

    Raises
    ------
    ValueError
        For unknown targets or modes, or if every fit failed.
    """
    if hide not in HIDE:
        raise ValueError(f"hide must be one of {HIDE}, got {hide!r}")
    if not models:
        raise ValueError("no models to compare")
    if functions and hide != "row":
        raise ValueError('functions of several tasks are scored with hide="row" only')
    table = build_table(X, Y, Y_std, groups, _tasks(models), suggest=False)  # each model's fit suggests for itself
    names = table.names
    targets = names if target is None else [target] if isinstance(target, str) else list(target)
    if unknown := [t for t in targets if t not in names]:
        raise ValueError(f"target {unknown[0]!r} is no column of Y; the columns are {names}")
    frames = _Frames(
        X if isinstance(X, pd.DataFrame) else pd.DataFrame(table.x, columns=list(table.features)),
        _labels(Y, table),
        None if Y_std is None else pd.DataFrame(table.se, index=table.index, columns=names),
        None if groups is None else np.asarray(groups, dtype=object),
        pd.DataFrame(table.y, index=table.index, columns=names),
    )
    splits = list(splitter_of(cv).split(frames.X, frames.Y.notna().any(axis=1), split_groups))
    jobs = [(name, fold) for fold in range(len(splits)) for name in models]
    results: dict[tuple[int, int], tuple[list[dict], str | None]] = {}
    order = {name: i for i, name in enumerate(models)}
    calls = [
        (name, models[name], frames, *splits[fold], fold, targets, hide, dict(functions or {})) for name, fold in jobs
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
    units = _units(models)
    there = table.present.astype(int)
    shared = pd.DataFrame(there.T @ there, names, names)
    return Comparison(_summarise(predictions, list(models)), predictions, hide, units, failures, table.x.shape, shared)


def splitter_of(cv: Any) -> Any:
    """The scikit-learn splitter that ``cv`` stands for: a number of shuffled folds (default 5), a splitter or splits."""
    folds = 5 if cv is None else cv
    return KFold(folds, shuffle=True, random_state=0) if isinstance(folds, int | np.integer) else check_cv(folds)


@dataclass(frozen=True)
class _Frames:
    X: pd.DataFrame
    Y: pd.DataFrame
    Y_std: pd.DataFrame | None
    groups: np.ndarray | None
    truth: pd.DataFrame
    """Labels as numbers, classes as positions."""


def _tasks(models: Mapping[str, Any]) -> list[Task] | None:
    """The tasks of the first model that has any."""
    given = [list(model.tasks) for model in models.values() if getattr(model, "tasks", None)]
    return given[0] if given else None


def _labels(Y: Any, table: Table) -> pd.DataFrame:
    """The label columns; those of classes know all classes, so that a fold that lacks one still has its name."""
    frame = label_frame(Y, len(table.x)).set_axis(table.index)
    for task in table.tasks:
        if task.classes is not None:
            ordered = isinstance(task.observes, Ordinal)
            frame[task.name] = pd.Categorical(frame[task.name], categories=list(task.classes), ordered=ordered)
        elif not isinstance(task.observes, Censored):
            frame[task.name] = table.y[:, table.names.index(task.name)]
    return frame


def _units(models: Mapping[str, Any]) -> dict[str, str]:
    return {
        task.name: task.unit for model in models.values() for task in (getattr(model, "tasks", None) or ()) if task.unit
    }


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
    """Fit one model on one fold: the held-out predictions, or what went wrong."""
    own = clone(model)
    if hasattr(own, "verbose"):
        own.set_params(verbose=False)
    X_test, Y_test, truth = frames.X.iloc[test], frames.Y.iloc[test], frames.truth.iloc[test]
    groups_test = None if frames.groups is None else frames.groups[test]
    try:
        own.fit(
            frames.X.iloc[train],
            frames.Y.iloc[train],
            Y_std=None if frames.Y_std is None else frames.Y_std.iloc[train],
            groups=None if frames.groups is None else frames.groups[train],
        )
        rows: list[dict] = []
        if hide == "row":
            post = own.posterior(X_test, groups=groups_test)
            for target in targets:
                rows += _rows(name, fold, target, test, truth[target].to_numpy(), post.marginal(target))
            for label, function in functions.items():
                value = np.asarray(function(Y_test), dtype=float)
                rows += _rows(name, fold, label, test, value, post.apply(function).marginals)
        else:
            for target in targets:
                there = Y_test[target].notna().to_numpy()
                if there.any():
                    kept = Y_test.copy()
                    kept[target] = None
                    post = own.posterior(X_test, observed=kept, groups=groups_test)
                    rows += _rows(name, fold, target, test, truth[target].to_numpy(), post.marginal(target))
    except (ValueError, ArithmeticError, RuntimeError) as error:
        return name, fold, [], f"{name}, fold {fold}: {type(error).__name__}: {error}"
    return name, fold, rows, None


def _rows(name: str, fold: int, quantity: str, test: np.ndarray, y: np.ndarray, predicted: Any) -> list[dict]:
    """One record a held-out label that is there."""
    tail = 0.5 * (1 - LEVEL)
    columns: dict[str, np.ndarray] = {"y": y}
    if isinstance(predicted, Discrete):
        columns["likeliest"] = predicted.mode()
        columns |= {f"p{k}": predicted.probabilities[:, k] for k in range(len(predicted.classes))}
        columns["log_density"] = predicted.log_density(y)
        columns["pit"] = metrics.pit(y, predicted, fold)
    else:
        columns |= {
            "mean": predicted.mean(),
            "std": predicted.std(),
            "median": predicted.quantile(0.5),
            "lower": predicted.quantile(tail),
            "upper": predicted.quantile(1 - tail),
        }
        if isinstance(predicted, Empirical):
            spread = predicted.std()
            columns["log_density"] = -0.5 * np.log(2 * np.pi * spread**2) - 0.5 * ((y - predicted.mean()) / spread) ** 2
            columns["crps"] = metrics.crps_samples(y, predicted.draws)
            columns["pit"] = (predicted.draws <= y).mean(axis=0)
        else:
            columns["log_density"] = predicted.log_density(y)
            columns["crps"] = metrics.crps(y, predicted)
            columns["pit"] = metrics.pit(y, predicted, fold)
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
    """Scores of each model, quantity and fold; the point is the median for MAE and the mean for RMSE."""
    out = []
    for (quantity, model, fold), part in predictions.groupby(["quantity", "model", "fold"], sort=False):
        own: dict[str, Any] = {"model": model, "quantity": quantity, "fold": fold} | dict.fromkeys(SCORES, np.nan)
        y = part["y"].to_numpy()
        own |= {"nlpd": metrics.nlpd(part["log_density"].to_numpy()), "n": len(part)}
        if "likeliest" in part and part["likeliest"].notna().any():
            likeliest = part["likeliest"].to_numpy()
            own |= {"accuracy": metrics.accuracy(y, likeliest), "macro_f1": metrics.macro_f1(y, likeliest)}
        else:
            lower, upper = part["lower"].to_numpy(), part["upper"].to_numpy()
            own |= {
                "mae": metrics.mae(y, part["median"].to_numpy()),
                "rmse": metrics.rmse(y, part["mean"].to_numpy()),
                "crps": float(part["crps"].mean()),
                "coverage": metrics.coverage(y, lower, upper),
                "width": metrics.sharpness(lower, upper),
                "interval_score": metrics.interval_score(y, lower, upper, LEVEL),
            }
        out.append(own)
    frame = pd.DataFrame(out)
    rank = {name: i for i, name in enumerate(models)}
    return frame.sort_values("model", key=lambda s: s.map(rank), kind="stable").reset_index(drop=True)
