"""Search for the graph of a latent-variable model: graphs of tasks ranked by the log density of held-out labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from bayestl.evaluation.cross_validation import compare, splits_of
from bayestl.models.latent.model import LatentVariableGP
from bayestl.parallel import in_parallel
from bayestl.table.columns import label_frame

MOST_TASKS = 5
"""Most tasks that are searched: five tasks have 1296 graphs."""


def suggest_graph(
    X: Any,
    Y: Any,
    model: LatentVariableGP | None = None,
    cv: Any = None,
    split_groups: Any = None,
    n_jobs: int | None = None,
    verbose: bool = True,
) -> pd.DataFrame:
    """Rank the graphs in which a task has at most one parent, by held-out log density.

    A graph's density of a row's labels is the product of the densities of each label given its parent's label, so each
    pair of tasks is cross-validated once: a held-out row keeps its label of the parent.  T tasks need T^2 fits per
    fold.

    Parameters
    ----------
    X, Y
        The table, as for ``fit``, with two to five label columns.
    model : LatentVariableGP, optional
        The unfitted model for each pair, its ``graph`` ignored; default: ``LatentVariableGP()``.
    cv, split_groups
        The splits, as for :func:`~bayestl.compare`.
    n_jobs : int, optional
        Number of processes, as in joblib.
    verbose : bool
        Whether to show progress on a terminal.

    Returns
    -------
    DataFrame
        Best first: ``graph`` (as ``LatentVariableGP(graph=...)`` takes it), ``elpd`` (nats, summed over the held-out
        labels of all tasks), ``difference`` to the best and its standard error ``se`` over labels.  The two directions
        of an edge often differ by less than that: the labels then do not determine which task follows which.

    Raises
    ------
    ValueError
        If there are fewer than two label columns, or more than five, or the model is another one.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> Y = pd.DataFrame({"a": np.sin(9 * x[:, 0]), "b": np.sin(9 * x[:, 0]) ** 2})
    >>> quick = btl.LatentVariableGP(inference="svi", max_steps=20, n_inducing=8)
    >>> len(btl.suggest_graph(x, Y, quick, cv=2, verbose=False))  # none, a to b, b to a
    3
    """
    frame = label_frame(Y, len(X))
    names = list(frame.columns)
    if not 2 <= len(names) <= MOST_TASKS:
        raise ValueError(f"suggest_graph: 2 to {MOST_TASKS} label columns are compared, got {len(names)}: {names}")
    pairs = [(p, t) for t in names for p in (None, *names) if p != t]
    template = LatentVariableGP() if model is None else model
    if not isinstance(template, LatentVariableGP):
        raise ValueError(f"suggest_graph: model must be a LatentVariableGP, got {type(template).__name__}")
    splits = splits_of(cv, np.zeros(len(frame)), frame, split_groups)  # the same for all pairs
    calls = [(X, frame, template, p, t, splits) for p, t in pairs]
    density_of_pair = dict(zip(pairs, in_parallel(_held_out, calls, n_jobs, "pairs of tasks", verbose), strict=True))
    graphs = list(_forests(names))
    density_of_graph = [np.concatenate([density_of_pair[parents.get(t), t] for t in names]) for parents in graphs]
    elpd = np.array([values.sum() for values in density_of_graph])
    order = np.argsort(-elpd, kind="stable")
    best_density = density_of_graph[order[0]]
    return pd.DataFrame(
        {
            "graph": [{t: [p] for t, p in graphs[k].items()} for k in order],
            "elpd": elpd[order],
            "difference": elpd[order] - elpd[order[0]],
            "se": [np.sqrt(len(best_density)) * (density_of_graph[k] - best_density).std(ddof=1) for k in order],
        }
    )


def _held_out(
    X: Any,
    Y: pd.DataFrame,
    model: LatentVariableGP,
    parent: str | None,
    target: str,
    splits: list[list[np.ndarray]],
) -> np.ndarray:
    """Log densities of a task's held-out labels given its parent's labels, in the order of the rows."""
    names = [target] if parent is None else [parent, target]
    member = clone(model).set_params(graph={} if parent is None else {target: [parent]}, verbose=False)
    if member.tasks is not None:
        member.set_params(tasks=[task for task in member.tasks if task.name in names] or None)
    comparison = compare({"": member}, X, Y[names], target, splits, n_jobs=1, verbose=False)
    if comparison.failures:
        raise ValueError(f"suggest_graph: {comparison.failures[0].lstrip(', ')}")
    return comparison.predictions.sort_values(["row", "fold"])["log_density"].to_numpy()


def _forests(names: Sequence[str]) -> Iterator[dict[str, str]]:
    """All graphs without a cycle in which a task has at most one parent: the parent of each task that has one."""
    for choice in product(*([None, *(p for p in names if p != t)] for t in names)):
        parents = {t: p for t, p in zip(names, choice, strict=True) if p is not None}
        if not any(_reaches(parents, t) for t in parents):
            yield parents


def _reaches(parents: dict[str, str], start: str) -> bool:
    """Whether the chain of parents of a task leads back to it."""
    seen = set()
    ancestor = parents.get(start)
    while ancestor is not None and ancestor not in seen:
        if ancestor == start:
            return True
        seen.add(ancestor)
        ancestor = parents.get(ancestor)
    return False
