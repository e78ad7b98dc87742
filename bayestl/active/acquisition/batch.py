"""A batch of measurements, chosen one after another, each given those before it, whose values are not known yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from bayestl import streams
from bayestl.active.acquisition.look_ahead import conditioned
from bayestl.active.acquisition.pool import LOOKAHEAD_ROWS, POOL_ROWS, Pool, observed_labels, spread_over, with_label
from bayestl.active.acquisition.rates import over_pool, rates
from bayestl.active.goals import Goal
from bayestl.models.base import BayesianModel
from bayestl.streams import spawn

FANTASIES = 4
"""Number of fantasy values of a chosen measurement; the rest of the batch is chosen on average over them."""

Permits = Callable[[np.ndarray, Sequence[int]], np.ndarray]
"""A constraint: which of some rows (k,) may be measured, boolean (k,), given the rows used already."""


def unconstrained(rows: np.ndarray, used: Sequence[int]) -> np.ndarray:
    """The constraint that permits every row."""
    return np.ones(len(rows), dtype=bool)


@dataclass
class Choice:
    """The choice that a batch is made from: the pool, the budget left, the rows used already, the constraint, what is under way."""

    pool: Pool
    goal: Goal
    best: float
    left: float = math.inf
    used: list[int] = field(default_factory=list)
    permits: Permits = unconstrained
    under_way: Sequence[tuple[int, int]] = ()
    """Rows and tasks, as positions, of measurements that were suggested before and have no result yet."""
    failed: Sequence[int] = ()
    """Rows in which a measurement failed."""
    seed: int = 0
    """Seed of the values that are imagined for measurements under way: the same for all batches of a campaign."""

    def free(self, rows: np.ndarray) -> np.ndarray:
        """Boolean (k, T): the measurements of some rows that are possible, permitted and within the budget."""
        permitted = self.permits(rows, self.used)[:, None]
        return self.pool.possible[rows] & permitted & (self.pool.costs <= self.left + 1e-9)

    def take(self, row: int, t: int) -> None:
        """Mark the measurement of task ``t`` at ``row`` as under way and pay for it."""
        self.pool.possible[row, t] = False
        self.used = sorted({*self.used, row})
        self.left -= float(self.pool.costs[t])


def choose_batch(
    model: BayesianModel,
    choice: Choice,
    n: int,
    acquisition: str,
    seed: int,
    callback: Callable[[int], None] | None = None,
) -> list[tuple[int, int, float]]:
    """Rows, tasks and scores of up to ``n`` measurements; ``choice`` is changed in place.

    Exact models and chains are conditioned on a few values of each measurement that is under way, from this batch or an earlier
    one, drawn from its prediction; other models only leave out the rows that are under way.
    """
    scores = _Scores(model, choice, acquisition)
    picks: list[tuple[int, int, float]] = []
    if choice.under_way and scores.any():
        scores.keep_best(scores.of(spawn(seed, "scores")), n + len(choice.under_way))
        for row, t in choice.under_way:
            scores.imagine(row, t)
    while len(picks) < n and scores.any():
        worth = scores.of(spawn(seed, "scores", len(picks)))
        i, t = (int(v) for v in np.unravel_index(int(np.argmax(worth)), worth.shape))
        if not np.isfinite(worth[i, t]):
            break
        row = int(scores.rows[i])
        picks.append((row, t, float(worth[i, t])))
        choice.take(row, t)
        if callback is not None:
            callback(len(picks))
        if len(picks) == 1:
            scores.keep_best(worth, n + len(choice.under_way))
        if len(picks) < n:
            scores.imagine(row, t)
    return picks


class _Scores:
    """What the measurements of some ``rows`` are worth, to a model that may know imagined values of what is under way."""

    def __init__(self, model: BayesianModel, choice: Choice, acquisition: str) -> None:
        self.choice, self.acquisition = choice, acquisition
        self.models = [(model, choice.pool.known)]
        self.rows = np.flatnonzero(choice.pool.possible.any(axis=1))
        self.company = np.array([], dtype=int)  # rows of which something is believed, beside those that are scored
        if over_pool(choice.goal, acquisition):
            self.company = np.union1d(np.array(choice.used, dtype=int), spread_over(len(choice.pool.X), POOL_ROWS))

    def any(self) -> bool:
        """Whether any measurement is left."""
        return len(self.rows) > 0 and bool(self.choice.free(self.rows).any())

    def of(self, seed: int) -> np.ndarray:
        """The mean score (k, T) over the models; minus infinity where a measurement is not possible, or a score not finite."""
        choice = self.choice
        free, every = choice.free(self.rows), np.union1d(self.rows, self.company)
        own = np.searchsorted(every, self.rows)
        possible = np.zeros((len(every), len(choice.pool.tasks)), dtype=bool)
        possible[own] = free
        pool = replace(choice.pool.at(every), possible=possible)
        per_model = [
            rates(m, replace(pool, known=known.iloc[every]), choice.goal, choice.best, self.acquisition, seed)[own]
            for m, known in self.models
        ]
        worth = np.where(free, np.mean([np.where(free, w, 0.0) for w in per_model], axis=0), -np.inf)
        worth[~np.isfinite(np.stack(per_model)).all(axis=0)] = -np.inf
        return worth

    def keep_best(self, worth: np.ndarray, n: int) -> None:
        """Leave out rows with a low score from now on, in a batch of ``n``."""
        order = np.argsort(-worth.max(axis=1), kind="stable")
        self.rows = self.rows[np.sort(order[: max(LOOKAHEAD_ROWS, 20 * n)])]

    def imagine(self, row: int, t: int) -> None:
        """Let the models know a few values of a measurement, where they can be conditioned."""
        self.models = _fantasies(self.models, self.choice.pool, row, t, self.choice.seed) or self.models


def _fantasies(
    models: list[tuple[BayesianModel, pd.DataFrame]], pool: Pool, row: int, t: int, seed: int
) -> list[tuple[BayesianModel, pd.DataFrame]]:
    """The models and the labels that each knows, given stratified draws of a measurement.

    There are several draws for a single model, else one for each.  They are the same whether the measurement is of this batch or
    an earlier one.
    """
    generator = streams.generator(seed, "fantasies", row * len(pool.tasks) + t)
    x, task = pool.X.iloc[[row]], pool.tasks[t]
    fantasies: list[tuple[BayesianModel, pd.DataFrame]] = []
    n_values = FANTASIES if len(models) == 1 else 1
    for model, known in models:
        own = known.iloc[[row]]
        marginal = model.posterior(x, observed=observed_labels(model, own)).marginal(task)
        levels = (generator.permutation(n_values) + generator.uniform(size=n_values)) / n_values
        values = [float(marginal.quantile(np.full(1, level))[0]) for level in levels]
        copies = conditioned(model, x, task, values, own)
        fantasies += [(m, with_label(model, known, row, t, v)) for m, v in zip(copies, values, strict=False)]
    return fantasies


def first_batch(choice: Choice, tasks: Sequence[str], n: int, seed: int) -> list[tuple[int, int, float]]:
    """Measurements of ``tasks`` with too few labels for a model: all of them in rows far from each other.

    Rows in which one of them is known or under way, and others are not, come first; then rows far from all in which one of them
    was begun.  Their scores are NaN.
    """
    generator = streams.generator(seed, "first batch")
    pool = choice.pool
    x = pool.X.to_numpy(dtype=float)
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 1e-12 * np.abs(x).max(axis=0), spread, 1.0)
    columns = [pool.tasks.index(t) for t in tasks]
    begun = pool.known.iloc[:, columns].notna().any(axis=1).to_numpy()
    begun[[row for row, t in choice.under_way if t in columns]] = True
    nearest = np.full(len(x), np.inf)  # squared distance of each row to the nearest one that was begun
    for row in {*np.flatnonzero(begun), *choice.failed}:
        nearest = np.minimum(nearest, ((x - x[row]) ** 2).sum(axis=1))
    picks: list[tuple[int, int, float]] = []
    all_rows = np.arange(len(x))
    while len(picks) < n:
        free = choice.free(all_rows)[:, columns].any(axis=1)
        if not free.any():
            break
        distance = np.where(free, np.where(begun, np.inf, nearest), -np.inf)
        first = np.flatnonzero(np.isposinf(distance))
        if (free & begun).any():
            row = int(np.flatnonzero(free & begun)[0])
        else:
            row = int(generator.choice(first)) if len(first) else int(np.argmax(distance))
        for t in columns:
            if len(picks) < n and choice.free(np.array([row]))[0, t]:
                picks.append((row, t, math.nan))
                choice.take(row, t)
        begun[row] = True
        nearest = np.minimum(nearest, ((x - x[row]) ** 2).sum(axis=1))
    return picks
