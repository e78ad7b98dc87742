"""One step of look-ahead: is it worth measuring a cheap source before the target?

Row i has an acquisition value P_i (the goal's ``promise``) that is realised at a cost C_i, that of the measurements its
quantity still lacks; the best rate over all rows is R* = max_i P_i / C_i.  Measuring task t at row i costs c_t and
leaves a cost C'_i.  Afterwards one may complete the row, or spend C'_i on the best other row, so the rate of the
measurement is

    E_y[max(P_i(y), R* C'_i)] / (c_t + C'_i)

which is P_i / c_t for the last measurement that a quantity lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from bayestl.active.acquisition.knowledge import has_closed_form
from bayestl.active.acquisition.pool import (
    CONDITIONED_ROWS,
    LOOKAHEAD_ROWS,
    NODES,
    Pool,
    lacking_labels,
    observed_labels,
    predicted_quantity,
    with_label,
)
from bayestl.active.goals import Goal
from bayestl.distributions import NormalMixture
from bayestl.distributions.affine import affine_form
from bayestl.models.base import BayesianModel
from bayestl.models.exact.model import ExactModel, jointly_gaussian
from bayestl.table.measured import Measured


def look_ahead_rates(model: BayesianModel, pool: Pool, goal: Goal, best: float) -> np.ndarray:
    """The rate (n, T) of each measurement, see the top of this file; zero where it is not computed."""
    lacking = lacking_labels(pool, goal)
    cost_left = lacking @ pool.costs
    predicted = predicted_quantity(model, pool, goal)
    if np.isneginf(best):  # no row is known yet: improvement over a typical one
        best = float(np.median(goal.utility(predicted.quantile(0.5))))
    promise = goal.promise(predicted, best)
    attainable = (cost_left > 0) & (lacking & pool.possible).any(axis=1)
    rate = np.where(attainable, promise / np.maximum(cost_left, 1e-300), 0.0)
    best_rate = float(rate.max(initial=0.0))
    one_lacking = lacking.sum(axis=1) == 1
    worth = np.where(lacking & one_lacking[:, None], rate[:, None], 0.0)
    rows = np.argsort(-rate, kind="stable")[:LOOKAHEAD_ROWS]
    rows = rows[attainable[rows]]
    one_by_one = jointly_gaussian(model) and not has_closed_form(model, goal)
    for t, cost in enumerate(pool.costs):
        unknown = pool.known.iloc[rows, t].isna().to_numpy()
        sources = rows[pool.possible[rows, t] & ~(lacking[rows, t] & one_lacking[rows]) & unknown]
        if one_by_one:
            sources = sources[:CONDITIONED_ROWS]
        if len(sources):
            after = cost_left[sources] - np.where(lacking[sources, t], cost, 0.0)
            promises = (_promises_one_by_one if one_by_one else _promises_after)(model, pool.at(sources), goal, best, t)
            gain = np.maximum(promises, best_rate * after).mean(axis=0)
            worth[sources, t] = gain / (cost + after)
    return worth


def _promises_after(model: BayesianModel, pool: Pool, goal: Goal, best: float, t: int) -> np.ndarray:
    """The goal's promise (K, n) for each row after a measurement of its task ``t``, at K equally likely values."""
    if has_closed_form(model, goal):
        return np.stack([goal.promise(m, best) for m in _quantity_after(model, pool, goal, t)])
    marginal = model.posterior(pool.X, observed=observed_labels(model, pool.known)).marginal(pool.tasks[t])
    promises = []
    for level in NODES:
        value = marginal.quantile(np.full(len(pool.X), level))
        observed = pool.known.copy()
        classes = model.tasks_[t].classes
        observed[pool.tasks[t]] = value if classes is None else [classes[int(k)] for k in value]
        promises.append(goal.promise(predicted_quantity(model, replace(pool, known=observed), goal), best))
    return np.stack(promises)


def _promises_one_by_one(model: BayesianModel, pool: Pool, goal: Goal, best: float, t: int) -> np.ndarray:
    """The same for exact models without a closed form: they would be conditioned on the values of all rows at once."""
    promises = np.empty((len(NODES), len(pool.X)))
    for i in range(len(pool.X)):
        own = pool.at(np.array([i]))
        marginal = model.posterior(own.X).marginal(pool.tasks[t])
        values = [float(marginal.quantile(np.full(1, level))[0]) for level in NODES]
        for k, copy in enumerate(conditioned(model, own.X, pool.tasks[t], values)):
            after = replace(own, known=with_label(model, own.known, 0, t, values[k]))
            promises[k, i] = goal.promise(predicted_quantity(copy, after, goal), best)[0]
    return promises


def _quantity_after(model: BayesianModel, pool: Pool, goal: Goal, t: int) -> list[NormalMixture]:
    """The distribution of each row's quantity after each value of its label of task ``t``, in closed form."""
    moments = model.posterior(pool.X).moments()
    assert moments is not None
    weights, means, covariances, noise = moments
    form = affine_form(goal.given(pool.tasks, pool.known), pool.tasks, len(pool.X))
    assert form is not None  # has_closed_form
    constant, slope = form  # (n,) and (n, T), zero for labels that are known
    variance = covariances[:, :, t, t] + noise[:, t, None]
    labels = NormalMixture(weights, means[:, :, t], variance)
    mean = constant + np.einsum("nt,snt->sn", slope, means)
    noisy = covariances + noise[:, None, :, None] * np.eye(len(pool.tasks))
    # a label that is part of the quantity keeps its measured value; only the other tasks stay uncertain
    others = slope.copy()
    others[:, t] = 0.0
    with_label = np.einsum("sntu,nu->snt", covariances, others)[:, :, t]
    before = np.einsum("nt,sntu,nu->sn", others, noisy, others)
    rest = np.maximum(before - with_label**2 / variance, 1e-12 * before + 1e-300)
    partial = with_label / variance
    after = []
    for level in NODES:
        y = labels.quantile(np.full(len(pool.X), level))
        shift = y - means[:, :, t]
        log_share = np.log(weights)[:, None] - 0.5 * shift**2 / variance - 0.5 * np.log(variance)
        share = np.exp(log_share - logsumexp(log_share, axis=0))
        centre = mean + partial * shift + slope[:, t] * shift
        after.append(_moment_matched(share, centre, rest))
    return after


def _moment_matched(share: np.ndarray, means: np.ndarray, variances: np.ndarray) -> NormalMixture:
    """One Gaussian (1, n) with the moments of a mixture whose weights (S, n) differ from row to row."""
    mean = (share * means).sum(axis=0)
    variance = (share * (variances + (means - mean) ** 2)).sum(axis=0)
    return NormalMixture(np.ones(1), mean[None], variance[None])


def conditioned(
    model: BayesianModel, x: pd.DataFrame, task: str, values: Sequence[float], known: pd.DataFrame | None = None
) -> list[BayesianModel]:
    """Copies of an exact model or a chain, one per value, each conditioned on one more label of ``task`` at a row ``x`` (1, d).

    ``known`` are the labels of the row (1, T) that are known before.  The list is empty for models whose rows cannot be
    conditioned on each other without a new fit.
    """
    if not isinstance(model, ExactModel):
        return []
    names = [t.name for t in model.tasks_]
    at = model._rows(x, observed=None if known is None else observed_labels(model, known))
    table = model.table_ if at.row[0] < len(model.table_.x) else model.table_.with_row(*model._new_rows(x))
    copies: list[BayesianModel] = []
    for value in values:
        y = np.full((1, len(names)), np.nan)
        y[0, names.index(task)] = value
        fantasy = object.__new__(
            type(model)
        )  # copy.copy would save and restore it; here all but the new label is shared
        fantasy.__dict__.update(model.__dict__)
        fantasy.__dict__.update(model._learning(at, table, Measured.of(y)))
        copies.append(fantasy)
    return copies
