"""The paper's learner, lolo's random forest, as a policy of simulated campaigns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayestl.active.acquisition.batch import Choice
from bayestl.active.policies import Decision, Evidence, Policy


@dataclass(frozen=True)
class Lolo(Policy):
    """A forest of the target with jackknife uncertainties and the goal's acquisition value; needs lolopy and Java."""

    n_trees: int = 100

    def choose(self, choice: Choice, known: Evidence, n: int, seed: int) -> Decision:
        from bayestl.studies.peers import LoloForests

        (target,) = choice.goal.needs(choice.pool.tasks)
        t = choice.pool.tasks.index(target)
        sources = [name for name in choice.pool.tasks if name != target]
        inputs = known.X.assign(**{f"label {s}": known.labels[s].to_numpy() for s in sources})
        inputs = inputs.fillna(inputs.median())
        forest = LoloForests(self.n_trees, seed % 10_000).fit(inputs, known.labels[[target]])
        promise = choice.goal.promise(forest.posterior(inputs.iloc[: len(choice.pool.X)]).marginal(target), choice.best)
        free = choice.free(np.arange(len(choice.pool.X)))[:, t]
        order = np.argsort(-np.where(free, promise, -np.inf), kind="stable")[:n]
        return Decision([(int(row), t) for row in order if free[row]])
