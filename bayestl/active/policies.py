"""A campaign played again on a table whose answers are known: what would each policy have found, at what cost?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from bayestl.active.acquisition.pool import Pool, given
from bayestl.active.batch import Choice, choose_batch
from bayestl.active.goals import Goal
from bayestl.table.task import Task


@dataclass(frozen=True)
class Evidence:
    """All that is known: features and labels (n, T) of the pool's rows, then of further ones, and what the tasks are."""

    X: pd.DataFrame
    labels: pd.DataFrame
    tasks: Sequence[Task]


@dataclass(frozen=True)
class Decision:
    """What a policy decided: rows of the pool and positions of tasks, and, where it has a model, what that predicts."""

    picks: list[tuple[int, int]]
    predicted: Callable[[], np.ndarray] | None = None
    """The quantity at all rows of the pool, (n,), before the measurements."""


class Policy(ABC):
    """How a campaign decides: a choice and evidence in, rows and tasks out."""

    @abstractmethod
    def choose(self, choice: Choice, known: Evidence, n: int, seed: int) -> Decision:
        """Up to ``n`` measurements."""


@dataclass(frozen=True)
class Random(Policy):
    """Any row that lacks a label of the quantity; ``model`` is what learns from them, if anything does."""

    model: Any = None

    def choose(self, choice: Choice, known: Evidence, n: int, seed: int) -> Decision:
        pool = choice.pool
        predicted = (
            None if self.model is None else _prediction(_fitted(self.model, known, pool.tasks), pool, choice.goal)
        )
        generator = np.random.default_rng(seed)
        needed = [choice.pool.tasks.index(t) for t in choice.goal.needs(choice.pool.tasks)]
        out: list[tuple[int, int]] = []
        for row in generator.permutation(len(choice.pool.X)):
            for t in needed:
                if len(out) < n and choice.free(np.array([row]))[0, t]:
                    out.append((int(row), t))
                    choice.take(int(row), t)
        return Decision(out, predicted)


@dataclass(frozen=True)
class ByModel(Policy):
    """As a :class:`~bayestl.active.Campaign` with this model and acquisition.

    ``alone``: the model is given the tasks of the quantity only, the others are not measured (a policy without transfer).
    """

    model: Any
    acquisition: str = "auto"
    alone: bool = False

    def choose(self, choice: Choice, known: Evidence, n: int, seed: int) -> Decision:
        every = names = choice.pool.tasks
        if self.alone:
            names = choice.goal.needs(names)
            kept = [choice.pool.tasks.index(t) for t in names]
            pool = choice.pool
            choice.pool = Pool(pool.X, pool.known[names], pool.possible[:, kept], pool.costs[kept], names)
        model = _fitted(self.model, known, names)
        predicted = _prediction(model, choice.pool, choice.goal)
        picks = choose_batch(model, choice, n, self.acquisition, seed)
        return Decision([(row, every.index(names[t])) for row, t, _ in picks], predicted)


def _fitted(model: Any, known: Evidence, names: Sequence[str]) -> Any:
    """A copy of a model, fitted to the labels of some tasks."""
    labels = known.labels[list(names)].reset_index(drop=True)
    there = labels.notna().any(axis=1)
    own = clone(model).set_params(tasks=[t for t in known.tasks if t.name in names], verbose=False)
    return own.fit(known.X.reset_index(drop=True)[there].reset_index(drop=True), labels[there].reset_index(drop=True))


def _prediction(model: Any, pool: Pool, goal: Goal) -> Callable[[], np.ndarray]:
    """Mean of the quantity at the rows of a pool, made when it is asked for."""
    known = pool.known.copy()
    return lambda: goal.marginals(model.posterior(pool.X, observed=given(model, known))).mean()
