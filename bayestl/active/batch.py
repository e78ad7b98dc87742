"""A batch of measurements, chosen one after another: each in view of those chosen before it, whose values are not known yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bayestl.active.acquisition.look_ahead import conditioned
from bayestl.active.acquisition.pool import LOOKAHEAD_ROWS, Pool
from bayestl.active.acquisition.rates import rates
from bayestl.active.goals import Goal
from bayestl.models.base import BayesianModel

FANTASIES = 4
"""Values of a chosen measurement that the rest of a batch is chosen under."""

Permits = Callable[[np.ndarray, Sequence[int]], np.ndarray]
"""Which rows (k,) may be measured, (k,), where others have been."""


def everything(rows: np.ndarray, used: Sequence[int]) -> np.ndarray:
    """No constraint."""
    return np.ones(len(rows), dtype=bool)


@dataclass
class Choice:
    """What a batch is chosen from: the whole pool, how much may be spent, the rows that are used, what may be measured."""

    pool: Pool
    goal: Goal
    best: float
    left: float = math.inf
    used: list[int] = field(default_factory=list)
    permits: Permits = everything

    def free(self, rows: np.ndarray) -> np.ndarray:
        """Boolean (k, T): which measurements of rows may be made, and paid."""
        permitted = self.permits(rows, self.used)[:, None]
        return self.pool.possible[rows] & permitted & (self.pool.costs <= self.left + 1e-9)

    def take(self, row: int, t: int) -> None:
        """One of them is under way."""
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
    """Rows, tasks and scores of up to ``n`` measurements; ``choice`` is used up.

    The model sees each choice at a few values drawn from its prediction (exact models, correctly across tasks); of other
    models the rows that are under way are left out.
    """
    generator = np.random.default_rng(seed)
    models = [model]
    picks: list[tuple[int, int, float]] = []
    rows = np.flatnonzero(choice.pool.possible.any(axis=1))
    while len(picks) < n and len(rows):
        free = choice.free(rows)
        if not free.any():
            break
        pool = replace(choice.pool.at(rows), possible=free)
        each = [rates(m, pool, choice.goal, choice.best, acquisition, seed) for m in models]
        worth = np.where(free, np.mean([np.where(free, w, 0.0) for w in each], axis=0), -np.inf)
        worth[~np.isfinite(np.stack(each)).all(axis=0)] = -np.inf
        i, t = (int(v) for v in np.unravel_index(int(np.argmax(worth)), worth.shape))
        if not np.isfinite(worth[i, t]):
            break
        row = int(rows[i])
        picks.append((row, t, float(worth[i, t])))
        choice.take(row, t)
        if callback is not None:
            callback(len(picks))
        if len(picks) == n:
            break
        if len(picks) == 1:  # those that are hopeless under one model do not compete for the rest
            order = np.argsort(-worth.max(axis=1), kind="stable")
            rows = rows[np.sort(order[: max(LOOKAHEAD_ROWS, 20 * n)])]
        models = _fantasies(models, choice.pool, row, t, generator) or models
    return picks


def _fantasies(
    models: list[BayesianModel], pool: Pool, row: int, t: int, generator: np.random.Generator
) -> list[BayesianModel]:
    x, task = pool.X.iloc[[row]], pool.tasks[t]
    out: list[BayesianModel] = []
    each = FANTASIES if len(models) == 1 else 1
    for model in models:
        marginal = model.posterior(x).marginal(task)
        levels = (generator.permutation(each) + generator.uniform(size=each)) / each
        out += conditioned(model, x, task, [float(marginal.quantile(np.full(1, level))[0]) for level in levels])
    return out


def first_batch(choice: Choice, tasks: Sequence[str], n: int, seed: int) -> list[tuple[int, int, float]]:
    """Before there are labels enough of some tasks: rows far from each other and from those used; scores are NaN."""
    generator = np.random.default_rng(seed)
    pool = choice.pool
    x = pool.X.to_numpy(dtype=float)
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
    columns = [pool.tasks.index(t) for t in tasks]
    near = np.full(len(x), np.inf)
    for row in choice.used:
        near = np.minimum(near, ((x - x[row]) ** 2).sum(axis=1))
    picks: list[tuple[int, int, float]] = []
    every = np.arange(len(x))
    while len(picks) < n:
        free = choice.free(every)[:, columns]
        if not free.any():
            break
        distance = np.where(free.any(axis=1), near, -np.inf)
        row = (
            int(generator.choice(np.flatnonzero(np.isinf(distance) & (distance > 0))))
            if np.isposinf(distance).any()
            else int(np.argmax(distance))
        )
        for t in columns:
            if len(picks) < n and choice.free(np.array([row]))[0, t]:
                picks.append((row, t, math.nan))
                choice.take(row, t)
        near = np.minimum(near, ((x - x[row]) ** 2).sum(axis=1))
    return picks
