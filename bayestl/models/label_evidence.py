"""Likelihoods chosen by their log evidence under a single GP: of a hurdle task's positive part, and of positive labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import skew, spearmanr

from bayestl import streams
from bayestl.device import tensor
from bayestl.inference.gaussian import maximise
from bayestl.inference.gaussian.sites import Observations, PartLabels
from bayestl.kernels.stationary import KERNELS
from bayestl.likelihoods import AUTO, SIZES, Gaussian, Hurdle, LabelBlock, Likelihood, LogNormal, Part, PowerNormal
from bayestl.priors.processes import Smooth
from bayestl.priors.task_specific import independent_prior
from bayestl.streams import spawn
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import TaskPart

LARGEST = 200
"""Most positive labels that the evidence is computed from; of more, a random subset."""
OF_POSITIVE: dict[str, Part] = {"gaussian": Gaussian(), "log-normal": LogNormal(), "power-0.5": PowerNormal(0.5)}
"""The likelihoods among which one is chosen for positive labels."""
SKEWED, LEAST_LABELS = 1.0, 10
"""Skewness of positive labels from which, and number of them from which, another likelihood than Gaussian is considered."""
ADVANTAGE = 3.0
"""Log evidence in nats by which a likelihood must be better than a Gaussian one."""
ALIKE = 0.7
"""Rank correlation from which two tasks of about the same size count as one quantity, which takes one likelihood."""


def decide_sizes(table: Table, seed: int = 0) -> Table:
    """The table with every ``Hurdle(size="auto")`` replaced by the size of largest evidence."""
    tasks = list(table.tasks)
    for t, task in enumerate(tasks):
        likelihood = task.observes
        if isinstance(likelihood, Hurdle) and likelihood.size == "auto":
            evidence = evidence_of(table, t, {name: SIZES[name] for name in AUTO}, spawn(seed, "hurdle size", t))
            tasks[t] = replace(task, likelihood=likelihood.of_size(max(evidence, key=evidence.__getitem__)))
    return replace(table, tasks=tuple(tasks))


def decide_positive(table: Table, seed: int = 0) -> Table:
    """The table with a likelihood chosen for every task of positive, skewed labels for which none was named.

    Tasks that are one quantity (:func:`one_quantity`) take the same one, by the sum of their evidence.
    """
    tasks = list(table.tasks)
    positive = [t for t, task in enumerate(tasks) if task.likelihood is None and _is_positive(table, t)]
    while positive:
        together = [t for t in positive if t == positive[0] or one_quantity(table, positive[0], t)]
        positive = [t for t in positive if t not in together]
        if not any(_is_skewed(table.y[table.present[:, t], t]) for t in together):
            continue
        evidence = dict.fromkeys(OF_POSITIVE, 0.0)
        for t in together:
            for name, value in evidence_of(table, t, OF_POSITIVE, spawn(seed, "positive labels", t)).items():
                evidence[name] += value
        best = max(evidence, key=evidence.__getitem__)
        if evidence[best] > evidence["gaussian"] + ADVANTAGE:
            chosen = OF_POSITIVE[best]
            assert isinstance(chosen, Likelihood)
            for t in together:
                tasks[t] = replace(tasks[t], likelihood=chosen)
    return replace(table, tasks=tuple(tasks))


def _is_positive(table: Table, t: int) -> bool:
    """Whether all labels of a task are positive numbers, and enough for a choice."""
    y = table.y[table.present[:, t], t]
    return len(y) >= LEAST_LABELS and bool((y > 0).all())


def _is_skewed(y: np.ndarray) -> bool:
    """Whether labels (n,) differ, and are skewed."""
    return bool(y.std() > 1e-9 * np.abs(y).max() and skew(y) > SKEWED)


def one_quantity(table: Table, a: int, b: int) -> bool:
    """Whether two tasks of numbers seem to be one quantity from two sources: close in size and in the order of the rows."""
    both = table.present[:, a] & table.present[:, b]
    tasks = table.tasks[a], table.tasks[b]
    units = {t.unit for t in tasks} - {""}
    if len(units) > 1 or any(t.classes is not None for t in tasks) or both.sum() < LEAST_LABELS:
        return False
    y = table.y[both][:, [a, b]]
    if not np.isfinite(y).all():
        return False
    centre, spread = np.median(y, axis=0), y.std(axis=0)
    near = abs(centre[0] - centre[1]) <= 2 * spread.max() and spread.max() <= 3 * spread.min()
    return bool(near and spearmanr(*y.T).statistic >= ALIKE)


def evidence_of(table: Table, t: int, candidates: Mapping[str, Part], seed: int = 0) -> dict[str, float]:
    """Log evidence (a bound, nats, label units) of a task's positive labels under each candidate likelihood."""
    rows = np.flatnonzero(table.y[:, t] > 0)
    rows = streams.generator(seed, "rows").permutation(rows)[:LARGEST]
    if len(rows) == 0:
        return dict.fromkeys(candidates, 0.0)
    x = tensor(Scaler.of(table).features(table.x)[rows])
    y = table.y[rows, t]
    rows_of_part = tensor(np.arange(len(rows)))
    zeros = torch.zeros_like(rows_of_part)
    evidence = {}
    for name, likelihood in candidates.items():
        location, scale = likelihood.scale(y)
        scaled = tensor((likelihood.split(y)[""] - location) / scale)
        part = TaskPart(0, "", likelihood, (0,), ("",))
        errors = (table.labels.se[rows, t] * np.exp(likelihood.log_jacobian(y)) / scale) ** 2
        block = LabelBlock(scaled, tensor(errors), scaled)
        data = Observations(x, zeros, rows_of_part, [PartLabels(0, likelihood, (0,), rows_of_part, block)]).simplest()
        with x.device:  # the processor: there are few labels
            prior = independent_prior((part,), False, lambda: Smooth(KERNELS["matern52"](x.shape[1])))
        report = maximise.fit(prior, data, seed=spawn(seed, name), n_starts=1, max_iterations=50)
        jacobian = likelihood.log_jacobian(y).sum() - len(rows) * np.log(scale)
        evidence[name] = float(report.log_posterior + jacobian)
    return evidence
