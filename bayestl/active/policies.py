"""Policies of simulated campaigns: measurements chosen at random, or by a model with an acquisition function.

A policy sees what a campaign would see (labels known so far, costs, the budget left) and returns its picks;
``simulation.py`` plays it on a table whose answers are known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from bayestl import streams
from bayestl.active.acquisition.batch import Choice, choose_batch
from bayestl.active.acquisition.pool import Pool, observed_labels
from bayestl.active.goals import Goal
from bayestl.files.models import model_to_document
from bayestl.models.base import BayesianModel
from bayestl.table.task import Task


@dataclass(frozen=True)
class Evidence:
    """All that is known so far: features and labels (n, T) of the pool and of further rows below it, and the tasks."""

    X: pd.DataFrame
    labels: pd.DataFrame
    tasks: Sequence[Task]


@dataclass(frozen=True)
class Decision:
    """The picks of a policy, as (row, task) positions, and, where it has a model, the prediction of that model."""

    picks: list[tuple[int, int]]
    predicted: Callable[[], np.ndarray] | None = None
    """Predicts the quantity at all rows of the pool, (n,), before the measurements."""


class Policy(ABC):
    """Base class of policies: from a choice and the evidence so far to a decision.

    Examples
    --------
    >>> from bayestl.active import Policy, Random
    >>> isinstance(Random(), Policy)
    True
    """

    def document(self) -> dict[str, Any]:
        """What its decisions depend on, as a JSON value: its class and attributes, models with all of their parameters."""
        values = {k: model_to_document(v) if isinstance(v, BayesianModel) else repr(v) for k, v in vars(self).items()}
        return {"policy": type(self).__qualname__, **values}

    @abstractmethod
    def choose(self, choice: Choice, known: Evidence, n: int, seed: int) -> Decision:
        """The decision on up to ``n`` measurements.

        Parameters
        ----------
        choice : Choice
            The pool with what may be measured, the goal, the best utility so far and the budget that is left.
        known : Evidence
            What is known so far.
        n : int
            Most measurements.
        seed : int
            Seed of the decision.

        Returns
        -------
        Decision
            What is measured.
        """


@dataclass(frozen=True)
class Random(Policy):
    """Random rows that lack a label of the quantity.

    An optional ``model`` is fitted to them, so that its error can be followed.

    Parameters
    ----------
    model : model, optional
        An unfitted model.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.active.Random()
    Random(model=None)
    """

    model: Any = None

    def choose(self, choice: Choice, known: Evidence, n: int, seed: int) -> Decision:
        pool = choice.pool
        predicted = (
            None if self.model is None else _prediction(_fitted(self.model, known, pool.tasks), pool, choice.goal)
        )
        generator = streams.generator(seed, "order of rows")
        needed = [pool.tasks.index(t) for t in choice.goal.needs(pool.tasks)]
        picks: list[tuple[int, int]] = []
        for row in generator.permutation(len(pool.X)):
            for t in needed:
                if len(picks) < n and choice.free(np.array([row]))[0, t]:
                    picks.append((int(row), t))
                    choice.take(int(row), t)
        return Decision(picks, predicted)


@dataclass(frozen=True)
class ByModel(Policy):
    """The choices of a :class:`~bayestl.active.Campaign` with this model and acquisition.

    With ``alone=True`` the model sees only the tasks of the quantity and no other is measured: a policy without
    transfer.

    Parameters
    ----------
    model : model
        An unfitted model.
    acquisition : str
        As for :class:`~bayestl.active.Campaign`.
    alone : bool
        Whether the model sees the tasks of the quantity only.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.active.ByModel(btl.IndependentGP(), acquisition="uncertainty").acquisition
    'uncertainty'
    """

    model: Any
    acquisition: str = "auto"
    alone: bool = False

    def choose(self, choice: Choice, known: Evidence, n: int, seed: int) -> Decision:
        all_names = names = choice.pool.tasks
        if self.alone:
            names = choice.goal.needs(names)
            columns = [all_names.index(t) for t in names]
            pool = choice.pool
            choice.pool = Pool(pool.X, pool.known[names], pool.possible[:, columns], pool.costs[columns], names)
        model = _fitted(self.model, known, names)
        predicted = _prediction(model, choice.pool, choice.goal)
        picks = choose_batch(model, choice, n, self.acquisition, seed)
        return Decision([(row, all_names.index(names[t])) for row, t, _ in picks], predicted)


def _fitted(model: Any, known: Evidence, names: Sequence[str]) -> Any:
    """A copy of a model, fitted to the labels of the tasks ``names``."""
    labels = known.labels[list(names)].set_axis(known.X.index)
    labelled = labels.notna().any(axis=1)
    copy = clone(model).set_params(tasks=[t for t in known.tasks if t.name in names], verbose=False)
    return copy.fit(known.X[labelled], labels[labelled])


def _prediction(model: Any, pool: Pool, goal: Goal) -> Callable[[], np.ndarray]:
    """A function that predicts the mean of the quantity at the rows of a pool, with the labels known now."""
    known = pool.known.copy()
    return lambda: goal.marginals(model.posterior(pool.X, observed=observed_labels(model, known))).mean()
