"""What a fitted model believes of its own table, by draws: hyperparameters, latent values, and how its labels fit them.

Every model states these (``BayesianModel._draws_at_rows``); :mod:`bayestl.diagnostics.arviz` puts them in ArviZ's form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import gpytorch
import numpy as np
import torch

from bayestl.distributions import Predictive, log_density_of
from bayestl.kernels.stationary import Stationary
from bayestl.likelihoods import LatentBlock, Setting
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import TaskPart

_SHORT = (
    (r"^processes\.(\d+)\.kernel\.?", r"u\1."),
    (r"^(mixing|noise)\.", ""),
    (r"^_further\.(\d+)\.", r"likelihood\1."),
    (r"^kernel\.", ""),
    (r"\.(base|terms)\b", ""),
    (r"(^|\.)raw_", r"\1"),
    (r"^sd$", "noise"),
    (r"\.+", "."),
)
"""From the names of modules to those that a person reads."""
INDEPENDENT = 4
"""Draws that are independent of each other count as so many chains, for what ArviZ computes between chains."""


class Variable(NamedTuple):
    """Draws of one quantity: ``values`` (D, ...), and for each further axis its name and, where it has any, its labels."""

    values: np.ndarray
    dims: tuple[str, ...] = ()
    coords: Mapping[str, Sequence[object]] = {}


@dataclass
class RowDraws:
    """D draws at the rows of a table, scaled units; those of several chains one chain after another."""

    variables: dict[str, Variable]
    latent: np.ndarray
    """(D, n, C)"""
    settings: dict[TaskPart, Setting]
    log_likelihood: dict[str, np.ndarray] = field(default_factory=dict)
    """(D, n_t) of each task's labels, label units."""
    n_chains: int = 1
    fixed: dict[str, Variable] = field(default_factory=dict)
    """Hyperparameters that are points, as draws of one."""
    sample_stats: dict[str, np.ndarray] = field(default_factory=dict)
    """(D,) each."""


def hyperparameters(
    module: gpytorch.Module, inputs: Sequence[str], features: Sequence[str], prefix: str = ""
) -> dict[str, Variable]:
    """The present hyperparameters below a module, as draws of one: length scales by input, scales not their logarithms.

    ``inputs`` of its functions are the table's ``features``, or others, which then have an axis of their own.
    """
    dim = "feature" if list(inputs) == list(features) else f"{prefix}input"
    out: dict[str, Variable] = {}
    pooled = set()
    with torch.no_grad():
        for name, inner in module.named_modules():
            if isinstance(inner, Stationary):
                pooled |= {f"{name}.{own}" for own in ("log_shared", "log_relative", "raw_tau", "raw_lambda")}
                out[_short(f"{name}.lengthscale", prefix)] = _by_input(inner.lengthscale.numpy(), inputs, dim)
        for name, parameter in module.named_parameters():
            if name not in pooled and parameter.numel():
                value = parameter.exp() if name.rsplit(".", 1)[-1].startswith("raw_") else parameter
                values = value.numpy().copy()
                short = _short(name, prefix)
                dims = tuple(f"{short}_{i}" for i in range(values.ndim) if values.size > 1)
                out[short] = Variable(values[None] if dims else values.reshape(1), dims)
    return out


def _by_input(values: np.ndarray, inputs: Sequence[str], dim: str) -> Variable:
    if len(values) == len(inputs):
        return Variable(values[None], (dim,), {dim: list(inputs)})
    return Variable(values[None], (f"block_{len(values)}",))  # of some of the inputs


def _short(name: str, prefix: str) -> str:
    for pattern, to in _SHORT:
        name = re.sub(pattern, to, name)
    return f"{prefix}{name}"


def chains_of_independent(n: int) -> int:
    """How many chains ``n`` independent draws are laid out as."""
    return INDEPENDENT if n % INDEPENDENT == 0 and n >= 4 * INDEPENDENT else 1


def stack_draws(each: Sequence[Mapping[str, Variable]]) -> dict[str, Variable]:
    """Draws of one, D times, as D draws."""
    return {
        name: Variable(np.concatenate([one[name].values for one in each]), first.dims, first.coords)
        for name, first in each[0].items()
    }


def draw_labels(
    table: Table, scaler: Scaler, draws: RowDraws, t: int, rows: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Labels (D, k) of task ``t`` at ``rows`` (k,) of a table, label units, classes as positions: one for each draw."""
    made = {}
    for part in (p for p in table.parts if p.task == t):
        location, scale = scaler.units(part)
        setting = draws.settings[part]._replace(location=location, scale=scale)
        made[part.role] = part.likelihood.draw(draws.latent[:, rows][:, :, list(part.channels)], setting, generator)
    return table.tasks[t].observes.combine_draws(made)


def density_of_labels(table: Table, scaler: Scaler, draws: RowDraws) -> dict[str, np.ndarray]:
    """``log p(y_i | latent values)``, (D, n_t) for each task, label units."""
    out = {}
    for t, task in enumerate(table.tasks):
        rows = np.flatnonzero(table.present[:, t])
        parts = [part for part in table.parts if part.task == t]
        y, high = table.y[rows, t], table.high[rows, t]
        each = []
        for d in range(len(draws.latent)):
            predicted: dict[str, Predictive] = {}
            for part in parts:
                f = draws.latent[d][rows][:, list(part.channels)]
                nothing = np.zeros((1, *f.shape, f.shape[-1]))
                location, scale = scaler.units(part)
                setting = draws.settings[part].at(np.array([d]))._replace(location=location, scale=scale)
                predicted[part.role] = part.likelihood.predictive(LatentBlock(np.ones(1), f[None], nothing), setting)
            each.append(log_density_of(task.observes.combine(predicted), y, high))
        out[task.name] = np.stack(each) if each else np.zeros((0, len(rows)))
    return out
