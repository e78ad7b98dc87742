"""Labels of a model's own table predicted by the same model without them: exactly where it can, else by folds of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import KFold

from bayestl import metrics
from bayestl.distributions import Discrete, NormalMixture, Predictive, log_density_of
from bayestl.models.base import BayesianModel
from bayestl.progress import progress
from bayestl.table.scaler import Scaler
from bayestl.table.table import Known, Table, row_groups

FOLDS = 5
"""Where a model has no leave-one-out."""
REFIT_SENSITIVITY = 0.2
"""Half of where importance ratios are known to fail."""


def refitted(model: BayesianModel, table: Table, scaler: Scaler) -> BayesianModel:
    """A clone of a model, fitted to a table whose tasks are decided, in the units of ``scaler``, silently."""
    own: BayesianModel = clone(model)
    own.set_params(verbose=False, tasks=None)
    return _become(own, table, scaler, own._learn(table, scaler))


def restored(
    model: BayesianModel, table: Table, scaler: Scaler, state: Mapping[str, np.ndarray], prefix: str
) -> BayesianModel:
    """A clone of a model as :func:`refitted` left it, from what it saved in ``state`` under names with a prefix."""
    own: BayesianModel = clone(model)
    own.set_params(verbose=False, tasks=None)
    kept = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return _become(own, table, scaler, own._restore(table, scaler, kept))


def _become(own: BayesianModel, table: Table, scaler: Scaler, learnt: dict[str, Any]) -> BayesianModel:
    own._become(table, scaler, learnt)
    own.n_features_in_, own.output_ = table.x.shape[1], "frame"
    return own


def check_folds(cv: Any, n: int) -> None:
    """Refuse a number of folds that ``n`` rows do not have.

    Raises
    ------
    ValueError
        Naming it.
    """
    if cv is not None and not (isinstance(cv, int | np.integer) and 2 <= cv <= n):
        raise ValueError(f"cv must be a number of folds from 2 to the {n} rows, got {cv!r}")


def predicted_without(
    model: BayesianModel, table: Table, rows: np.ndarray, tasks: Sequence[int]
) -> Iterator[tuple[int, np.ndarray, Predictive]]:
    """For each task: its position, the rows (of those given) with a label of it, and their predictions.

    The model has not seen the rows; each label is hidden, the other labels of its row are known.
    """
    for t in tasks:
        own = rows[table.present[rows, t]]
        if len(own):
            y, high = table.y[own].copy(), table.high[own].copy()
            y[:, t] = high[:, t] = np.nan
            known = None if np.isnan(y).all() else Known(y, high)
            yield t, own, _predicted(model, table, own, known)[t]


def _predicted(model: BayesianModel, table: Table, rows: np.ndarray, known: Known | None) -> list[Predictive]:
    """The labels of each task at rows of a table that the model may not have seen, where some are known."""
    latent = model._latent(model.scaler_.features(table.x[rows]), row_groups(table)[rows], known)
    return model._posterior_type(latent, table.tasks, model.scaler_, pd.RangeIndex(len(rows))).marginals


def held_out_labels(model: BayesianModel, cv: int | None = None, seed: int = 0, verbose: bool = True) -> pd.DataFrame:
    """Every label of a fitted model's table, predicted from the others.

    Parameters
    ----------
    model : BayesianModel
        Fitted.
    cv : int, optional
        Folds of rows; the model is fitted once more a fold.  Default: exact leave-one-out where the model has it and its
        table was small enough, else :data:`FOLDS`.
    seed : int
        Of the folds, and of the draws at atoms.
    verbose : bool
        Progress on a terminal.

    Returns
    -------
    DataFrame
        See :meth:`~bayestl.models.exact.model.ExactModel.leave_one_out`.
    """
    if cv is None and model._has_leave_one_out():
        return model.leave_one_out()
    table = model.table_
    splits = list(KFold(cv or FOLDS, shuffle=True, random_state=seed).split(table.x))
    frames = []
    with progress(f"{type(model).__name__}: held-out labels", total=len(splits), verbose=verbose) as update:
        for i, (train, test) in enumerate(splits):
            own = refitted(model, table.at(train), model.scaler_)
            for t, rows, marginal in predicted_without(own, table, test, range(len(table.tasks))):
                frames.append(_frame(table, t, rows, marginal, seed + i))
            update(completed=i + 1)
    found = pd.concat(frames, ignore_index=True)
    order = found["task"].map({name: t for t, name in enumerate(table.names)})
    return found.iloc[np.lexsort([found["row"], order])].reset_index(drop=True)


def with_refits(model: BayesianModel, found: pd.DataFrame) -> pd.DataFrame:
    """The labels of :meth:`~bayestl.models.exact.model.ExactModel.leave_one_out`, the sensitive ones predicted by fits without them."""
    table, found = model.table_, found.copy()
    again = np.flatnonzero(found["sensitivity"].to_numpy() > REFIT_SENSITIVITY)
    with progress(f"{type(model).__name__}: fits without a label", total=len(again), verbose=model.verbose) as update:
        for done, i in enumerate(again):
            t, rows = table.names.index(found["task"].iloc[i]), found["row"].to_numpy()[[i]]
            y, high = table.y.copy(), table.high.copy()
            y[rows, t] = high[rows, t] = np.nan
            own = refitted(model, replace(table, y=y, high=high), model.scaler_)
            marginal = _predicted(own, table, rows, None)[t]
            if isinstance(marginal, NormalMixture):  # the known error of a label is part of what is foretold
                marginal = marginal.widened(table.se[rows, t] ** 2)
            new = _frame(table, t, rows, marginal, t)
            for column in new.columns.difference(["task", "row", "y"]):
                found.iloc[i, found.columns.get_loc(column)] = new[column].iloc[0]
            update(completed=done + 1)
    return found


def _frame(table: Table, t: int, rows: np.ndarray, marginal: Predictive, seed: int) -> pd.DataFrame:
    y, high = table.y[rows, t], table.high[rows, t]
    columns = {
        "task": table.names[t],
        "row": rows,
        "y": y,
        "log_density": log_density_of(marginal, y, high),
        "pit": metrics.pit(y, marginal, seed, high),
    }
    if isinstance(marginal, Discrete):
        chances = marginal.probabilities
        return pd.DataFrame(columns | {f"p{k}": chances[:, k] for k in range(chances.shape[1])})
    return pd.DataFrame(columns | {"mean": marginal.mean(), "std": marginal.std()})
