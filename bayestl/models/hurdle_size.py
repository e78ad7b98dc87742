"""The likelihood of a hurdle task's positive part, chosen by its log evidence under a single GP."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from bayestl import streams
from bayestl.inference.gaussian import maximise
from bayestl.inference.gaussian.sites import Observations, PartLabels
from bayestl.kernels.stationary import KERNELS
from bayestl.likelihoods import AUTO, SIZES, Hurdle, LabelBlock
from bayestl.priors.processes import Smooth
from bayestl.priors.task_specific import independent_prior
from bayestl.streams import spawn
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import TaskPart

LARGEST = 200
"""Most positive labels that the evidence is computed from; of more, a random subset."""


def decide_sizes(table: Table, seed: int = 0) -> Table:
    """The table with every ``Hurdle(size="auto")`` replaced by the size of largest evidence."""
    tasks = list(table.tasks)
    for t, task in enumerate(tasks):
        likelihood = task.observes
        if isinstance(likelihood, Hurdle) and likelihood.size == "auto":
            evidence = size_evidence(table, t, seed)
            tasks[t] = replace(task, likelihood=likelihood.of_size(max(evidence, key=evidence.__getitem__)))
    return replace(table, tasks=tuple(tasks))


def size_evidence(table: Table, t: int, seed: int = 0) -> dict[str, float]:
    """Log evidence (a bound, nats, label units) of a task's positive labels under each candidate of ``AUTO``."""
    rows = np.flatnonzero(table.y[:, t] > 0)
    rows = streams.generator(seed, "hurdle size: rows", t).permutation(rows)[:LARGEST]
    if len(rows) == 0:
        return dict.fromkeys(AUTO, 0.0)
    x = torch.from_numpy(Scaler.of(table).features(table.x)[rows])
    y = table.y[rows, t]
    rows_of_part, zeros = torch.arange(len(rows)), torch.zeros(len(rows), dtype=torch.long)
    evidence = {}
    for name in AUTO:
        likelihood = SIZES[name]
        location, scale = likelihood.scale(y)
        scaled = torch.from_numpy((likelihood.split(y)[""] - location) / scale)
        part = TaskPart(0, "", likelihood, (0,), ("",))
        errors = (table.labels.se[rows, t] * np.exp(likelihood.log_jacobian(y)) / scale) ** 2
        block = LabelBlock(scaled, torch.from_numpy(errors), scaled)
        data = Observations(x, zeros, rows_of_part, [PartLabels(0, likelihood, (0,), rows_of_part, block)]).simplest()
        prior = independent_prior((part,), False, lambda: Smooth(KERNELS["matern52"](x.shape[1])))
        report = maximise.fit(prior, data, seed=spawn(seed, f"hurdle size: {name}", t), n_starts=1, max_iterations=50)
        jacobian = likelihood.log_jacobian(y).sum() - len(rows) * np.log(scale)
        evidence[name] = float(report.log_posterior + jacobian)
    return evidence
