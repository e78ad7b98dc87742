"""What each possible measurement is worth, for its cost.

Of a row, a goal has a promise P_i (``goals.py``) that costs C_i to redeem: the measurements that its quantity still lacks.
The best rate of all rows is R* = max P_i / C_i.  A measurement of task t at row i costs c_t and leaves C'_i to pay; after it one may
go on with the row or spend the rest on the best other one, so its rate is

    E_y[max(P_i(y), R* C'_i)] / (c_t + C'_i)

which is P_i / c_t for the last measurement that a quantity lacks, and tells whether a cheap source is worth asking first.
``Learn`` has a closed form instead: the variance of the quantity over target rows that a measurement takes away, for its cost.
BoTorch's acquisition functions score rows through ``as_botorch()``.  Frazier, Powell, Dayanik 2009, *The knowledge-gradient policy
for correlated normal beliefs*, is the knowledge gradient over a pool, exact for any task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp

from bayestl.active.acquisition.knowledge import (
    _affine,
    has_closed_form,
)
from bayestl.active.acquisition.pool import LOOKAHEAD_ROWS, NODES, Pool, _lacking, given
from bayestl.active.goals import Goal
from bayestl.distributions import NormalMixture
from bayestl.inference.gaussian.condition import ExactPosterior
from bayestl.inference.gaussian.table_labels import part_data
from bayestl.models.base import BayesianModel
from bayestl.models.exact.model import ExactModel, jointly_gaussian
from bayestl.table.table import Known


def _look_ahead(model: BayesianModel, pool: Pool, goal: Goal, best: float) -> np.ndarray:
    lacking = _lacking(pool, goal)
    left = lacking @ pool.costs
    post = model.posterior(pool.X, observed=given(model, pool.known))
    if np.isneginf(best):  # nothing is known yet: improvement over what is typical
        best = float(np.median(goal.utility(goal.marginals(post).quantile(0.5))))
    promise = goal.promise(goal.marginals(post), best)
    redeemable = (left > 0) & (lacking & pool.possible).any(axis=1)
    rate = np.where(redeemable, promise / np.maximum(left, 1e-300), 0.0)
    top = float(rate.max(initial=0.0))
    last = lacking.sum(axis=1) == 1
    worth = np.where(lacking & last[:, None], rate[:, None], 0.0)
    rows = np.argsort(-rate, kind="stable")[:LOOKAHEAD_ROWS]
    rows = rows[redeemable[rows]]
    for t, cost in enumerate(pool.costs):
        own = rows[
            pool.possible[rows, t] & ~(lacking[rows, t] & last[rows]) & pool.known.iloc[rows, t].isna().to_numpy()
        ]
        if len(own):
            after = left[own] - np.where(lacking[own, t], cost, 0.0)
            promises = _promises_after(model, pool.at(own), goal, best, t)
            if promises is None:
                continue
            gain = np.maximum(promises, top * after).mean(axis=0)
            worth[own, t] = gain / (cost + after)
    return worth


def _promises_after(model: BayesianModel, pool: Pool, goal: Goal, best: float, t: int) -> np.ndarray | None:
    """Promise (K, n) of each row after its task ``t`` was measured, at K values that are equally likely.

    None where that is not known: exact models of labels that are not Gaussian would see all rows' values at once.
    """
    if has_closed_form(model, goal):
        return np.stack([goal.promise(m, best) for m in _quantity_after(model, pool, goal, t)])
    if jointly_gaussian(model):
        return None
    marginal = model.posterior(pool.X, observed=given(model, pool.known)).marginal(pool.tasks[t])
    out = []
    for level in NODES:
        value = marginal.quantile(np.full(len(pool.X), level))
        seen = pool.known.copy()
        classes = model.tasks_[t].classes
        seen[pool.tasks[t]] = value if classes is None else [classes[int(k)] for k in value]
        out.append(goal.promise(goal.marginals(model.posterior(pool.X, observed=seen)), best))
    return np.stack(out)


def _quantity_after(model: BayesianModel, pool: Pool, goal: Goal, t: int) -> list[NormalMixture]:
    """The quantity's distribution in each row after a label of the row, from the moments within rows, closed form."""
    post = model.posterior(pool.X)
    moments = post.moments()
    assert moments is not None
    weights, means, covariances, noise = moments
    constant, slope = _affine(goal, pool.tasks)
    variance = covariances[:, :, t, t] + noise[:, t, None]
    labels = NormalMixture(weights, means[:, :, t], variance)
    mean = constant + means @ slope
    noisy = covariances + noise[:, None, :, None] * np.eye(len(slope))
    # a label that is part of the quantity stays what it was measured as
    own = slope.copy()
    own[t] = 0.0
    rest = (
        np.einsum("t,sntu,u->sn", own, noisy, own) - np.einsum("sntu,u->snt", covariances, own)[:, :, t] ** 2 / variance
    )
    partial = np.einsum("sntu,u->snt", covariances, own)[:, :, t] / variance
    out = []
    for level in NODES:
        y = labels.quantile(np.full(len(pool.X), level))
        shift = y - means[:, :, t]
        log_share = np.log(weights)[:, None] - 0.5 * shift**2 / variance - 0.5 * np.log(variance)
        share = np.exp(log_share - logsumexp(log_share, axis=0))
        centre = mean + partial * shift + slope[t] * shift
        out.append(_moment_matched(share, centre, np.maximum(rest, 1e-12)))
    return out


def _moment_matched(share: np.ndarray, means: np.ndarray, variances: np.ndarray) -> NormalMixture:
    """One Gaussian (1, n) with the moments of a mixture whose weights (S, n) differ from row to row."""
    mean = (share * means).sum(axis=0)
    variance = (share * (variances + (means - mean) ** 2)).sum(axis=0)
    return NormalMixture(np.ones(1), mean[None], variance[None])


# -------------------------------------------------------------------------------------------------------- fantasies


def conditioned(model: BayesianModel, x: pd.DataFrame, task: str, values: Sequence[float]) -> list[BayesianModel]:
    """Copies of an exact model that have seen one more label: of ``task`` at a row ``x`` (1, d), one for each value.

    An empty list for models whose rows cannot be conditioned on each other without a fit.
    """
    if not jointly_gaussian(model):
        return []
    names = [t.name for t in model.tasks_]
    rows = torch.from_numpy(model.scaler_.features(model._new_rows(x)[0]))
    out: list[BayesianModel] = []
    for value in values:
        y = np.full((1, len(names)), np.nan)
        y[0, names.index(task)] = value
        own = object.__new__(type(model))  # not copied by what is saved: the posterior is shared but for the new label
        own.__dict__.update(model.__dict__)
        own.families_ = [replace(f, posterior=_with(model, f, rows, Known(y, y))) for f in model.families_]
        out.append(own)
    return out


def _with(model: ExactModel, family: Any, x: torch.Tensor, known: Known) -> ExactPosterior:
    group = torch.full((len(x),), -1, dtype=torch.long)
    extra = part_data(x, group, known, np.zeros_like(known.y), model.scaler_, model.tasks_, family.parts)
    posterior: ExactPosterior = family.posterior
    return posterior if extra is None else posterior.condition(extra)
