"""The architectures that a table offers itself for: by its tasks, their kinds of labels, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from bayestl.likelihoods import Gaussian
from bayestl.models.base import BayesianModel
from bayestl.models.chain.model import FOREST_LABELS, ChainGP
from bayestl.models.exact.difference import DifferenceGP, PairedDifferenceGP
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.exact.multitask import MultiTaskGP
from bayestl.models.label_evidence import one_quantity
from bayestl.models.subspace.model import LowRankLinear
from bayestl.table.table import Table

ALONE = "independent"
"""Name of the model in which no task informs another."""
MOST_LEVELS = 4
"""Most tasks that are put in one order."""
MANY_TASKS = 8
"""Number of tasks from which a shared subspace is a candidate."""
SHORT_LABELS, SHORT_CELLS = 500, 10_000
"""Most Gaussian labels of all tasks together, and most of these times features, whose hyperparameters are averaged over short
chains: closer to the truth than the Laplace approximation, and slower."""
MANY_LABELS = 400
"""Labels of all tasks from which one start of the optimiser is enough, and no single label decides."""
MOST_PAIRED = 200
"""Labels of the target from which the paired difference, which is for few, has nothing to add."""
FOREST_FEATURES = 8
"""Number of features from which forests are."""


def candidates(table: Table, target: str | None = None, device: str = "cpu") -> dict[str, BayesianModel]:
    """Unfitted models of a table's tasks by name, :data:`ALONE` first.

    Parameters
    ----------
    table : Table
        The table that they will be fitted to.
    target : str, optional
        The task that is to be predicted best.
    device : str
        Where they compute.
    """
    is_gaussian = all(isinstance(task.observes, Gaussian) for task in table.tasks)
    n = int(table.present.sum())
    short = is_gaussian and n <= SHORT_LABELS and n * len(table.features) <= SHORT_CELLS
    how: dict[str, Any] = {"hyperparameters": "short-mcmc" if short else "auto", "device": device}
    if n > MANY_LABELS:
        how["n_starts"] = 1
    found: dict[str, BayesianModel] = {ALONE: IndependentGP(**how)}
    levels = order_of_tasks(table, target)
    last = table.names.index(levels[-1])
    of_target = int(table.present[:, last].sum())
    forests = of_target >= FOREST_LABELS and len(table.features) >= FOREST_FEATURES
    if len(levels) > 1:
        found["multi-task"] = MultiTaskGP(**how)
    few = 1 < len(levels) <= MOST_LEVELS
    if few and of_target < MOST_PAIRED and _is_pairable(table, levels):
        found["paired difference"] = PairedDifferenceGP(levels, **how)
    numbers = [name for name in levels if table.tasks[table.names.index(name)].classes is None]
    if 1 < len(numbers) <= MOST_LEVELS:
        follows = dict.fromkeys(levels) | dict(zip(numbers[1:], numbers, strict=False))
        found["difference"] = DifferenceGP(levels if numbers == levels else follows, **how)
    if few:
        found["chain"] = ChainGP(levels, inputs=None, **how)
    if forests and len(levels) <= MOST_LEVELS:
        found["forests"] = ChainGP(levels, inputs="forest", device=device)
    if len(levels) >= MANY_TASKS and is_gaussian and table.group is None:
        found["low rank"] = LowRankLinear()
    return found


def alone_among(models: Mapping[str, Any]) -> str | None:
    """The name of the model in which no task informs another; None where there is none."""
    return next((name for name, model in models.items() if isinstance(model, IndependentGP)), None)


def order_of_tasks(table: Table, target: str | None = None) -> list[str]:
    """The tasks, those with the most labels first, for these are the cheapest; the target last.

    Of tasks with as many labels, classes come first: numbers are nearer to what follows.
    """
    counts, numbers = table.present.sum(axis=0), [task.classes is None for task in table.tasks]
    order = [table.names[t] for t in np.lexsort((numbers, -counts))]
    return order if target is None else [name for name in order if name != target] + [target]


def _is_pairable(table: Table, levels: list[str]) -> bool:
    """Whether each task is the quantity of the one before it, with errors on the same scale."""
    places = [table.names.index(name) for name in levels]
    kinds = {(type(t.observes), getattr(t.observes, "power", None)) for t in table.tasks}
    is_gaussian = all(isinstance(task.observes, Gaussian) for task in table.tasks)
    return is_gaussian and len(kinds) == 1 and all(one_quantity(table, a, b) for a, b in pairwise(places))
