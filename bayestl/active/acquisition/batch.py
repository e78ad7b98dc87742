"""A batch of measurements, chosen one after another, each given those before it, whose values are not known yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from bayestl import streams
from bayestl.active.acquisition.look_ahead import conditioned
from bayestl.active.acquisition.pool import LOOKAHEAD_ROWS, Pool, observed_labels, with_label
from bayestl.active.acquisition.rates import rates
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
    """The choice that a batch is made from: the pool, the budget left, the rows used already and the constraint."""

    pool: Pool
    goal: Goal
    best: float
    left: float = math.inf
    used: list[int] = field(default_factory=list)
    permits: Permits = unconstrained

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

    Exact models and chains are conditioned on a few values of each chosen measurement, drawn from its prediction; other
    models only leave out the rows that are under way.
    """
    generator = streams.generator(seed, "fantasies")
    models = [(model, choice.pool.known)]
    picks: list[tuple[int, int, float]] = []
    rows = np.flatnonzero(choice.pool.possible.any(axis=1))
    while len(picks) < n and len(rows):
        free = choice.free(rows)
        if not free.any():
            break
        pool = replace(choice.pool.at(rows), possible=free)
        scored = spawn(seed, "scores", len(picks))
        per_model = [
            rates(m, replace(pool, known=known.iloc[rows]), choice.goal, choice.best, acquisition, scored)
            for m, known in models
        ]
        worth = np.where(free, np.mean([np.where(free, w, 0.0) for w in per_model], axis=0), -np.inf)
        worth[~np.isfinite(np.stack(per_model)).all(axis=0)] = -np.inf
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
        if len(picks) == 1:  # rows with a low score now are not considered for the rest of the batch
            order = np.argsort(-worth.max(axis=1), kind="stable")
            rows = rows[np.sort(order[: max(LOOKAHEAD_ROWS, 20 * n)])]
        models = _fantasies(models, choice.pool, row, t, generator) or models
    return picks


def _fantasies(
    models: list[tuple[BayesianModel, pd.DataFrame]], pool: Pool, row: int, t: int, generator: np.random.Generator
) -> list[tuple[BayesianModel, pd.DataFrame]]:
    """The models and the labels that each knows, given stratified draws of a measurement.

    There are several draws for a single model, else one for each.
    """
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
    """Measurements of ``tasks`` with too few labels for a model: rows far from each other and from those used.

    Their scores are NaN.
    """
    generator = streams.generator(seed, "first batch")
    pool = choice.pool
    x = pool.X.to_numpy(dtype=float)
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 1e-12 * np.abs(x).max(axis=0), spread, 1.0)
    columns = [pool.tasks.index(t) for t in tasks]
    nearest = np.full(len(x), np.inf)  # squared distance of each row to the nearest one used
    for row in choice.used:
        nearest = np.minimum(nearest, ((x - x[row]) ** 2).sum(axis=1))
    picks: list[tuple[int, int, float]] = []
    all_rows = np.arange(len(x))
    while len(picks) < n:
        free = choice.free(all_rows)[:, columns]
        if not free.any():
            break
        distance = np.where(free.any(axis=1), nearest, -np.inf)
        row = (
            int(generator.choice(np.flatnonzero(np.isinf(distance) & (distance > 0))))
            if np.isposinf(distance).any()
            else int(np.argmax(distance))
        )
        for t in columns:
            if len(picks) < n and choice.free(np.array([row]))[0, t]:
                picks.append((row, t, math.nan))
                choice.take(row, t)
        nearest = np.minimum(nearest, ((x - x[row]) ** 2).sum(axis=1))
    return picks
