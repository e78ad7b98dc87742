"""Held-out predictions of a model's own labels: exact leave-one-out where available, else cross-fitting by rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import KFold

from bayestl import metrics
from bayestl.distributions import Discrete, Predictive, log_density_of
from bayestl.joint import Asked
from bayestl.models.base import BayesianModel
from bayestl.models.whole_table import decided
from bayestl.progress import progress
from bayestl.streams import seed_of, small_seed, spawn
from bayestl.table.measured import Measured
from bayestl.table.new_rows import Rows, fitted_rows, unseen_rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table

SEED = "seed"
"""Name of the array that holds the seed of a fit, byte by byte: it may be any integer."""
FOLDS = 5
"""Default number of folds for a model without leave-one-out."""
REFIT_SENSITIVITY = 0.2
"""Sensitivity above which a label's leave-one-out is refitted: half of where importance ratios are known to fail."""


def refitted(
    model: BayesianModel, table: Table, scaler: Scaler, seed: int | None = None, whole: Table | None = None
) -> BayesianModel:
    """A clone of a model, fitted silently to a table with its tasks, in the units of ``scaler``.

    ``seed`` is that of the fit; by default the one of the model's ``random_state``.  If the table is a part of a ``whole``
    one, it is fitted in the same way as that one would be.
    """
    seed = seed_of(model.random_state) if seed is None else seed
    member: BayesianModel = clone(model) if whole is None else decided(model, whole)
    member.set_params(verbose=False, tasks=None)
    return _become(member, table, scaler, member._learn(table, scaler, seed), seed)


def restored(
    model: BayesianModel,
    table: Table,
    scaler: Scaler,
    state: Mapping[str, np.ndarray],
    prefix: str,
    whole: Table | None = None,
) -> BayesianModel:
    """The clone that :func:`refitted` returned, restored from the arrays of ``state`` whose names have the prefix."""
    member: BayesianModel = clone(model) if whole is None else decided(model, whole)
    member.set_params(verbose=False, tasks=None)
    arrays = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    seed = int.from_bytes(arrays.pop(SEED).tobytes(), "little")
    return _become(member, table, scaler, member._restore(table, scaler, arrays, seed), seed)


def state_of(member: BayesianModel, prefix: str) -> dict[str, np.ndarray]:
    """The arrays from which :func:`restored` makes a fitted model again, their names with a prefix."""
    digits = np.frombuffer(member.seed_.to_bytes(member.seed_.bit_length() // 8 + 1, "little"), np.uint8)
    return {f"{prefix}{name}": value for name, value in {**member._state(), SEED: digits}.items()}


def _become(member: BayesianModel, table: Table, scaler: Scaler, learnt: dict[str, Any], seed: int) -> BayesianModel:
    """The clone with the fitted attributes set."""
    member._become(table, scaler, learnt, seed)
    member.n_features_in_, member.output_ = table.x.shape[1], "frame"
    return member


def with_seed_of(fitted: BayesianModel, model: BayesianModel) -> BayesianModel:
    """The model, or a clone of it with the seed that its fitted clone drew from its generator."""
    if isinstance(model.random_state, np.random.RandomState | np.random.Generator):
        return clone(model).set_params(random_state=fitted.seed_)
    return model


def check_folds(cv: Any, n: int) -> None:
    """Check that ``n`` rows can be split into ``cv`` folds.

    Raises
    ------
    ValueError
        If ``cv`` is not an integer from 2 to ``n``.
    """
    if cv is not None and not (isinstance(cv, int | np.integer) and 2 <= cv <= n):
        raise ValueError(f"cv must be a number of folds from 2 to the {n} rows, got {cv!r}")


HIDE = ("target", "row")
"""What is not known of a row whose label is predicted: that label, or all labels of the row."""


def check_hide(hide: str) -> None:
    """Check what is hidden of a row.

    Raises
    ------
    ValueError
        If ``hide`` is not one of :data:`HIDE`.
    """
    if hide not in HIDE:
        raise ValueError(f"hide must be one of {HIDE}, got {hide!r}")


def predicted_without(
    model: BayesianModel, table: Table, rows: np.ndarray, tasks: Sequence[int], hide: str = "target"
) -> Iterator[tuple[int, np.ndarray, Predictive]]:
    """Predictions of the labels at unseen ``rows``: for each task its position, its labelled rows and the distribution.

    The predicted label is hidden; the other labels of its row are known unless ``hide`` is "row".
    """
    for t in tasks:
        labelled = rows[table.present[rows, t]]
        if len(labelled):
            labels = table.labels.at(labelled)
            others = labels.hidden(np.arange(len(table.tasks)) == t)
            known = None if others.empty or hide == "row" else others
            at = unseen_rows(table, model.scaler_.features(table.x), labelled, known)
            yield t, labelled, _predicted(model, at, labels)[t]


def _predicted(model: BayesianModel, rows: Rows, labels: Measured) -> list[Predictive]:
    """Predictive distribution of each task's ``labels`` at some rows, with their known standard errors."""
    return model._joint(rows).marginals(Asked(measured=labels))


def held_out_labels(
    model: BayesianModel, cv: int | None = None, seed: int = 0, verbose: bool = True, hide: str = "target"
) -> pd.DataFrame:
    """Predict every label of a fitted model's table from the other labels.

    Parameters
    ----------
    model : BayesianModel
        Fitted.
    cv : int, optional
        Number of folds of rows, with one more fit per fold.  Default: exact leave-one-out where the model has it and
        its table was small enough, else :data:`FOLDS`.
    seed : int
        Seed of the folds, and of the draws at atoms.
    verbose : bool
        Progress on a terminal.
    hide : {"target", "row"}
        What is not known of the row of a label: that label, or all of its labels.

    Returns
    -------
    DataFrame
        The columns of :meth:`~bayestl.models.exact.model.ExactModel.leave_one_out`.
    """
    if cv is None and model._has_leave_one_out(hide):
        return model.leave_one_out(hide=hide)
    cv = cv or FOLDS
    with progress(f"{type(model).__name__}: held-out labels", total=cv, verbose=verbose) as update:
        return cross_fitted(model, cv, seed, (hide,), callback=lambda i: update(completed=i))[hide]


def cross_fitted(
    model: BayesianModel,
    cv: int,
    seed: int,
    hides: Sequence[str],
    tasks: Sequence[int] | None = None,
    callback: Callable[[int], object] = lambda _: None,
) -> dict[str, pd.DataFrame]:
    """Held-out labels of ``cv`` folds of rows, one fit per fold, for each of what may be hidden of a row.

    ``tasks``: positions of those whose labels are predicted, all by default; ``callback`` is told the number of folds done.
    Rows without which a task would have no labels stay in the training rows.

    Raises
    ------
    ValueError
        If no label can be held out.
    """
    table = model.table_
    tasks = range(len(table.tasks)) if tasks is None else tasks
    folds = KFold(cv, shuffle=True, random_state=small_seed(seed, "folds"))
    frames: dict[str, list[pd.DataFrame]] = {hide: [] for hide in hides}
    for i, (_, test) in enumerate(folds.split(table.x)):
        test = _spared(table.present, test)
        train = np.setdiff1d(np.arange(len(table.x)), test)
        member = refitted(model, table.at(train), model.scaler_, model.seed_, table)
        for hide in hides:
            for t, rows, marginal in predicted_without(member, table, test, tasks, hide):
                frames[hide].append(_frame(table, t, rows, marginal, spawn(seed, "pit", i * len(table.tasks) + t)))
        callback(i + 1)
    if not all(frames.values()):
        raise ValueError("no label can be held out, for each is the only one of its task: add measurements")
    return {hide: _in_order(pd.concat(parts, ignore_index=True), table) for hide, parts in frames.items()}


def _spared(present: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Rows to hold out of labels (n, T), without those whose task would have no label left."""
    left = present.sum(axis=0) - present[test].sum(axis=0)
    return test[~present[test][:, left == 0].any(axis=1)]


def _in_order(labels: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Held-out labels sorted by task and row."""
    order = labels["task"].map({name: t for t, name in enumerate(table.names)})
    return labels.iloc[np.lexsort([labels["row"], order])].reset_index(drop=True)


def with_refits(
    model: BayesianModel,
    labels: pd.DataFrame,
    hide: str = "target",
    most: int | None = None,
) -> pd.DataFrame:
    """The leave-one-out table ``labels``, with its most influential labels predicted by a fit without each.

    ``hide``: what is hidden of a row in that table; ``most``: largest number of such fits, none by default.
    """
    table, labels = model.table_, labels.copy()
    refits = np.flatnonzero(labels["sensitivity"].to_numpy() > REFIT_SENSITIVITY)
    refits = np.sort(refits[np.argsort(-labels["sensitivity"].to_numpy()[refits], kind="stable")][:most])
    with progress(f"{type(model).__name__}: fits without a label", total=len(refits), verbose=model.verbose) as update:
        for done, i in enumerate(refits):
            t, rows = table.names.index(labels["task"].iloc[i]), labels["row"].to_numpy()[[i]]
            hidden = np.zeros_like(table.present)
            hidden[rows, slice(None) if hide == "row" else t] = True
            without = replace(table, labels=table.labels.hidden(hidden))
            member = refitted(model, without, model.scaler_, model.seed_, table)
            at = fitted_rows(member.table_, member.scaler_.features(table.x), rows)
            marginal = _predicted(member, at, table.labels.at(rows))[t]
            new = _frame(table, t, rows, marginal, spawn(model.seed_, "pit of refits", int(i)))
            for column in new.columns.difference(["task", "row", "y", "high"]):
                labels.iloc[i, labels.columns.get_loc(column)] = new[column].iloc[0]
            update(completed=done + 1)
    return labels


def _frame(table: Table, t: int, rows: np.ndarray, marginal: Predictive, seed: int) -> pd.DataFrame:
    y, high, _ = table.labels.at(rows).task(t)
    columns = {
        "task": table.names[t],
        "row": rows,
        "y": y,
        "high": high,
        "log_density": log_density_of(marginal, y, high),
        "pit": metrics.pit(y, marginal, seed, high),
    }
    if isinstance(marginal, Discrete):
        chances = marginal.probabilities
        return pd.DataFrame(columns | {f"p{k}": chances[:, k] for k in range(chances.shape[1])})
    return pd.DataFrame(columns | {"mean": marginal.mean(), "std": marginal.std()})
