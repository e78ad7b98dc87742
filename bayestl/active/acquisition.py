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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp, ndtr

from bayestl.active.expressions import Expression
from bayestl.active.goals import Goal, Learn, Maximise
from bayestl.distributions import NormalMixture
from bayestl.inference.gaussian import ExactPosterior
from bayestl.kernels import Points
from bayestl.likelihoods import Gaussian
from bayestl.models.base import BayesianModel
from bayestl.models.exact import ExactModel, jointly_gaussian
from bayestl.models.training import part_data
from bayestl.table import Known

NODES = np.array([0.05, 0.275, 0.5, 0.725, 0.95])
"""Levels of a measurement's predictive distribution at which one looks ahead."""
LOOKAHEAD_ROWS = 300
"""The most promising rows, for which one looks ahead."""
TARGET_ROWS = 400
"""Rows of the pool over which knowledge counts."""
CHUNK = 2048
BOTORCH = ("logei", "noisy-ei", "ucb", "thompson", "max-value-entropy")
ACQUISITIONS = ("auto", "knowledge-gradient", "uncertainty", *BOTORCH)


@dataclass
class Pool:
    """What is asked about: features of n rows, the labels (n, T) that are known of them, which may be measured, and costs (T,)."""

    X: pd.DataFrame
    known: pd.DataFrame
    possible: np.ndarray
    """Boolean (n, T)."""
    costs: np.ndarray
    tasks: list[str]

    def at(self, rows: np.ndarray) -> Pool:
        """Some of the rows."""
        return replace(self, X=self.X.iloc[rows], known=self.known.iloc[rows], possible=self.possible[rows])


def rates(
    model: BayesianModel, pool: Pool, goal: Goal, best: float, acquisition: str = "auto", seed: int = 0
) -> np.ndarray:
    """Worth for its cost of each possible measurement, (n, T); minus infinity where it is not possible.

    Parameters
    ----------
    model : BayesianModel
        Fitted to all that is known.
    pool : Pool
    goal : Goal
    best : float
        Utility of the best row so far; minus infinity where there is none.
    acquisition : str
        One of :data:`ACQUISITIONS`.
    seed : int
        For acquisitions that draw.

    Raises
    ------
    ValueError
        Where an acquisition does not fit the goal or the model.
    """
    if acquisition not in ACQUISITIONS:
        raise ValueError(f"acquisition must be one of {ACQUISITIONS}, got {acquisition!r}")
    if acquisition == "uncertainty":
        spread = goal.marginals(model.posterior(pool.X, observed=given(model, pool.known))).std()
        worth = _by_row(pool, goal, spread)
    elif isinstance(goal, Learn):
        if acquisition != "auto":
            raise ValueError(
                f"acquisition {acquisition!r} is for a best row; Learn has a closed form of its own: 'auto'"
            )
        worth = knowledge(model, pool, goal)
    elif acquisition == "knowledge-gradient":
        worth = knowledge_gradient(model, pool, goal) / pool.costs
    elif acquisition in BOTORCH:
        worth = _by_row(pool, goal, botorch_scores(model, pool, goal, best, acquisition, seed))
    else:
        worth = _look_ahead(model, pool, goal, best)
    return np.where(pool.possible, worth, -np.inf)


def _lacking(pool: Pool, goal: Goal) -> np.ndarray:
    """Boolean (n, T): which measurements the quantity still lacks."""
    needed = np.isin(pool.tasks, goal.needs(pool.tasks))
    return needed & pool.known.isna().to_numpy()


def _by_row(pool: Pool, goal: Goal, scores: np.ndarray) -> np.ndarray:
    """Scores (n,) of rows as those of the measurements that the quantity lacks."""
    return np.where(_lacking(pool, goal), scores[:, None], -np.inf)


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


def given(model: BayesianModel, known: pd.DataFrame) -> pd.DataFrame | None:
    """What a prediction of rows of the pool must be told: exact models were fitted to these very rows and know."""
    return None if jointly_gaussian(model) or known.isna().all().all() else known


# ------------------------------------------------------------------------------------ closed forms for exact models


def knowledge(model: BayesianModel, pool: Pool, goal: Goal) -> np.ndarray:
    """Variance of the quantity, summed over target rows, that each measurement takes away, for its cost, (n, T).

    Closed form for Gaussian labels of exact models and linear quantities; else the spread of the quantity at the row itself.
    """
    if not has_closed_form(model, goal):
        spread = goal.promise(goal.marginals(model.posterior(pool.X, observed=given(model, pool.known))), 0.0)
        return np.where(_lacking(pool, goal), spread[:, None] / pool.costs, -np.inf)
    targets = _spread_over(len(pool.X), TARGET_ROWS)
    covariance, variance = covariances(model, pool, goal, targets)
    reduction = (covariance**2).sum(axis=1) / variance
    return np.asarray(reduction / pool.costs)


def knowledge_gradient(model: BayesianModel, pool: Pool, goal: Goal) -> np.ndarray:
    """``E[max_j mean_j after the measurement] - max_j mean_j`` over the rows that might be best, (n, T), exact.

    Raises
    ------
    ValueError
        For goals other than a largest or smallest linear quantity, or models that are not exact and Gaussian.
    """
    if not (isinstance(goal, Maximise) and has_closed_form(model, goal)):
        raise ValueError(
            "acquisition 'knowledge-gradient' is for Maximise or Minimise of a quantity that is linear in Gaussian tasks of "
            "IndependentGP, MultiTaskGP or DifferenceGP: use 'auto'"
        )
    sign = goal.sign
    post = model.posterior(pool.X, observed=given(model, pool.known), noise=False)
    predicted = goal.marginals(post)
    mean, sd = sign * predicted.mean(), predicted.std()
    rivals = np.argsort(-(mean + 2.5 * sd), kind="stable")[:TARGET_ROWS]
    covariance, variance = covariances(model, pool, goal, rivals)
    slopes = sign * covariance / np.sqrt(variance)[:, None, :]
    out = np.empty((len(pool.X), len(pool.tasks)))
    for i in range(len(pool.X)):
        for t in range(len(pool.tasks)):
            out[i, t] = expected_maximum(mean[rivals], slopes[i, :, t]) if pool.possible[i, t] else -np.inf
    return out


def expected_maximum(a: np.ndarray, b: np.ndarray) -> float:
    """``E[max_j a_j + b_j Z] - max_j a_j`` for a standard normal Z, by the upper envelope of the lines."""
    order = np.lexsort([a, b])
    a, b = a[order], b[order]
    keep = np.append(np.diff(b) > 1e-14 * (np.abs(b).max() + 1e-300), True)
    a, b = a[keep], b[keep]
    hull: list[int] = []
    starts: list[float] = []
    for j in range(len(a)):
        while hull:
            i = hull[-1]
            start = (a[i] - a[j]) / (b[j] - b[i])
            if starts[-1] < start:
                break
            hull.pop()
            starts.pop()
        starts.append(-np.inf if not hull else float(start))
        hull.append(j)
    z, slope = np.array(starts[1:]), np.diff(b[hull])
    s = -np.abs(z)
    gain = slope * (s * ndtr(s) + np.exp(-0.5 * s**2) / np.sqrt(2 * np.pi))
    return float(gain.sum()) if len(z) else 0.0


def has_closed_form(model: BayesianModel, goal: Goal) -> bool:
    """Whether covariances between the quantity and labels are known: exact models, Gaussian labels, a linear quantity."""
    if not jointly_gaussian(model) or goal.function is not None:
        return False
    if any(type(task.observes) is not Gaussian for task in model.tasks_):
        return False
    names = model.table_.names
    return goal.quantity in names or Expression(goal.quantity, names).linear(names) is not None


def _affine(goal: Goal, names: list[str]) -> tuple[float, np.ndarray]:
    """Constant and coefficients (T,) of a linear quantity."""
    if goal.quantity in names:
        return 0.0, np.array([float(n == goal.quantity) for n in names])
    found = Expression(goal.quantity, names).linear(names)
    assert found is not None
    return found


@torch.no_grad()
def covariances(model: BayesianModel, pool: Pool, goal: Goal, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior covariance (n, k, T) of the quantity at target rows with a label of each row and task, and its variance (n, T).

    In label units; at the first set of hyperparameters of the model.
    """
    assert isinstance(model, ExactModel)
    x = torch.from_numpy(model.scaler_.features(model._new_rows(pool.X)[0]))
    n, n_tasks = len(x), len(pool.tasks)
    scale = model.scaler_.y_scale
    weights = _affine(goal, model.table_.names)[1] * scale
    out = np.zeros((n, len(targets), n_tasks))
    variance = np.empty((n, n_tasks))
    for family in model.families_:
        c = family.posterior.components[0]
        local = {channel: i for i, channel in enumerate(family.channels)}
        own = x[torch.from_numpy(targets)]
        noise = c.prior.noise.variance().numpy()
        quantity = torch.zeros(len(c.labels), len(targets), dtype=torch.float64)
        for channel, i in local.items():
            quantity += weights[channel] * c.prior.covariance(c.labels.points, _points(own, i))
        half_targets = torch.linalg.solve_triangular(c.factor, quantity, upper=False)
        for channel, i in local.items():
            for start in range(0, n, CHUNK):
                rows = slice(start, min(start + CHUNK, n))
                points = _points(x[rows], i)
                half = torch.linalg.solve_triangular(c.factor, c.prior.covariance(c.labels.points, points), upper=False)
                prior = sum(weights[d] * c.prior.covariance(points, _points(own, k)) for d, k in local.items())
                out[rows, :, channel] = ((prior - half.T @ half_targets) * scale[channel]).numpy()
                left = (c.prior.variance(points) - (half * half).sum(0)).numpy()
                variance[rows, channel] = scale[channel] ** 2 * (np.maximum(left, 1e-12) + noise[i])
    return out, variance


def _points(x: torch.Tensor, channel: int) -> Points:
    n = len(x)
    return Points(x, torch.full((n,), channel, dtype=torch.long), -1 - torch.arange(n))


def _spread_over(n: int, k: int) -> np.ndarray:
    return np.unique(np.linspace(0, n - 1, min(n, k)).astype(int))


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


# ---------------------------------------------------------------------------------------------------------- BoTorch


def botorch_scores(
    model: BayesianModel, pool: Pool, goal: Goal, best: float, acquisition: str, seed: int
) -> np.ndarray:
    """Score (n,) of each row by one of BoTorch's acquisition functions, on the model's own BoTorch form.

    Raises
    ------
    ValueError
        For goals other than a largest or smallest quantity, and models without a BoTorch form.
    ImportError
        If botorch is not installed.
    """
    if not isinstance(goal, Maximise):
        raise ValueError(f"acquisition {acquisition!r} is for Maximise or Minimise, the goal is: {goal.words}")
    from botorch.acquisition import LogExpectedImprovement, UpperConfidenceBound, qLogNoisyExpectedImprovement
    from botorch.acquisition.max_value_entropy_search import qLowerBoundMaxValueEntropy
    from botorch.utils.sampling import manual_seed

    from bayestl.active.botorch import as_botorch

    quantity = goal.quantity if goal.sign > 0 else f"-({_quoted(goal, pool.tasks)})"
    own = as_botorch(model, quantity if goal.sign < 0 or goal.quantity not in pool.tasks else [goal.quantity])
    x = torch.from_numpy(model._new_rows(pool.X)[0])
    with manual_seed(seed), torch.no_grad():
        if acquisition == "thompson":
            rows = _spread_over(len(x), CHUNK)
            drawn = own.posterior(x[torch.from_numpy(rows)]).rsample(torch.Size([1]))[0, :, 0].numpy()
            scores = np.full(len(x), -np.inf)
            scores[rows] = drawn
            return scores
        if acquisition == "logei":
            function: Any = LogExpectedImprovement(own, best_f=best)
        elif acquisition == "ucb":
            function = UpperConfidenceBound(own, beta=4.0)
        elif acquisition == "noisy-ei":
            function = qLogNoisyExpectedImprovement(own, own.train_inputs[0], cache_root=False, prune_baseline=True)
        else:
            function = qLowerBoundMaxValueEntropy(own, x[torch.from_numpy(_spread_over(len(x), CHUNK))])
        return np.concatenate([function(part.unsqueeze(1)).numpy() for part in x.split(CHUNK)])


def _quoted(goal: Goal, tasks: Sequence[str]) -> str:
    return f"`{goal.quantity}`" if goal.quantity in tasks else goal.quantity
