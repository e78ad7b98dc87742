"""Draws of a model at the rows of its own table: hyperparameters, latent values, and the log likelihood of the labels.

Every model provides them (``BayesianModel._draws_at_rows``); :mod:`bayestl.diagnostics.arviz` exports them to ArviZ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import gpytorch
import numpy as np
import torch

from bayestl.device import to_numpy
from bayestl.distributions import Predictive, log_density_of
from bayestl.kernels.combined import OnBlock
from bayestl.kernels.stationary import Stationary
from bayestl.likelihoods import LatentBlock, Setting
from bayestl.priors.rows import Residual
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import TaskPart

_SHORT = (
    (r"^processes\.(\d+)\.kernel\.?", r"u\1."),
    (r"^mixing\.", ""),
    (r"^_further\.(\d+)\.", r"likelihood\1."),
    (r"^kernel\.", ""),
    (r"\.(base|terms)\b", ""),
    (r"(^|\.)raw_", r"\1"),
    (r"\.+", "."),
)
"""Patterns that turn the names of parameters in modules into short names of hyperparameters."""
INDEPENDENT = 4
"""Number of chains that independent draws are laid out as, for ArviZ's comparisons between chains."""


class Variable(NamedTuple):
    """Draws of one quantity: ``values`` (D, ...), and for each further axis its name and, if any, its labels."""

    values: np.ndarray
    dims: tuple[str, ...] = ()
    coords: Mapping[str, Sequence[object]] = {}


@dataclass
class RowDraws:
    """D draws at the rows of a table in scaled units, several chains one after another."""

    variables: dict[str, Variable]
    latent: np.ndarray
    """Latent values (D, n, C)."""
    settings: dict[TaskPart, Setting]
    """Noise and further hyperparameters of each part."""
    log_likelihood: dict[str, np.ndarray] = field(default_factory=dict)
    """Log likelihood (D, n_t) of each task's labels, in label units."""
    n_chains: int = 1
    fixed: dict[str, Variable] = field(default_factory=dict)
    """Hyperparameters that are point estimates, as single draws."""
    sample_stats: dict[str, np.ndarray] = field(default_factory=dict)
    """Statistics (D,) of the sampler by ArviZ's names."""


def hyperparameters(
    module: gpytorch.Module,
    inputs: Sequence[str],
    features: Sequence[str],
    prefix: str = "",
    functions: Sequence[str] = (),
) -> dict[str, Variable]:
    """The present hyperparameters of a module as single draws: length scales by input, scales not their logarithms.

    ``inputs`` names the inputs of the functions; if they are not the table's ``features``, they get a separate axis.
    ``functions`` names the latent functions that have noise and row effects.
    """
    dim = "feature" if list(inputs) == list(features) else f"{prefix}input"
    variables: dict[str, Variable] = {}
    pooled, blocks = set(), dict[str, list[str]]()
    with torch.no_grad():
        for name, submodule in module.named_modules():
            if isinstance(submodule, OnBlock):
                blocks[f"{name}.base"] = [inputs[i] for i in submodule.columns.tolist()]
            elif isinstance(submodule, Stationary):
                pooled |= {f"{name}.{suffix}" for suffix in ("log_shared", "log_relative", "raw_tau", "raw_lambda")}
                short, values = _short(f"{name}.lengthscale", prefix), to_numpy(submodule.lengthscale)
                axis, names = (f"{short}_of", blocks[name]) if name in blocks else (dim, list(inputs))
                variables[short] = Variable(values[None], (axis,), {axis: names})
            elif isinstance(submodule, Residual):
                pooled |= {f"{name}.{parameter}" for parameter, _ in submodule.named_parameters()}
                sizes = (
                    ("noise", submodule.variance().sqrt(), submodule.noise.present),
                    ("row_effect_size", submodule.row_effects(), submodule.has_effect),
                )
                for kind, size, there in sizes:
                    names = [name for name, has in zip(functions, there, strict=True) if has]
                    of = f"{prefix}{kind}_of"
                    if names:
                        variables[prefix + kind] = Variable(to_numpy(size[there])[None], (of,), {of: names})
        for name, parameter in module.named_parameters():
            if name not in pooled and parameter.numel():
                value = parameter.exp() if name.rsplit(".", 1)[-1].startswith("raw_") else parameter
                short = _short(name, prefix)
                variables[short] = _numbered(to_numpy(value).copy(), short)
    return variables


def _numbered(values: np.ndarray, name: str) -> Variable:
    """A single draw of an array as a variable with numbered axes, or of one number."""
    dims = tuple(f"{name}_{i}" for i in range(values.ndim) if values.size > 1)
    return Variable(values[None] if dims else values.reshape(1), dims)


def _short(name: str, prefix: str) -> str:
    """The short name of a hyperparameter."""
    for pattern, to in _SHORT:
        name = re.sub(pattern, to, name)
    return f"{prefix}{name}"


def chains_of_independent(n: int) -> int:
    """The number of chains that ``n`` independent draws are laid out as."""
    return INDEPENDENT if n % INDEPENDENT == 0 and n >= 4 * INDEPENDENT else 1


def stack_draws(single_draws: Sequence[Mapping[str, Variable]]) -> dict[str, Variable]:
    """D single draws as one set of D draws."""
    return {
        name: Variable(np.concatenate([draw[name].values for draw in single_draws]), first.dims, first.coords)
        for name, first in single_draws[0].items()
    }


def draw_labels(
    table: Table, scaler: Scaler, draws: RowDraws, t: int, rows: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """One label per draw, (D, k), of task ``t`` at ``rows`` (k,) of a table, in label units, classes as positions.

    Labels have the known standard errors of those in the table.
    """
    draws_of_parts = {}
    for part in (p for p in table.parts if p.task == t):
        location, scale = scaler.units(part)
        error = scaler.errors(table.labels.at(rows), part, table.tasks[t])
        setting = draws.settings[part]._replace(location=location, scale=scale, error=error)
        draws_of_parts[part.role] = part.likelihood.draw(
            draws.latent[:, rows][:, :, list(part.channels)], setting, generator
        )
    return table.tasks[t].observes.combine_draws(draws_of_parts)


def density_of_labels(table: Table, scaler: Scaler, draws: RowDraws) -> dict[str, np.ndarray]:
    """``log p(y_i | latent values)`` (D, n_t) of each task's labels, in label units."""
    densities = {}
    for t, task in enumerate(table.tasks):
        rows = np.flatnonzero(table.present[:, t])
        parts = [part for part in table.parts if part.task == t]
        labels = table.labels.at(rows)
        y, high, _ = labels.task(t)
        errors = {part: scaler.errors(labels, part, task) for part in parts}
        per_draw = []
        for d in range(len(draws.latent)):
            predicted: dict[str, Predictive] = {}
            for part in parts:
                f = draws.latent[d][rows][:, list(part.channels)]
                no_covariance = np.zeros((1, *f.shape, f.shape[-1]))
                location, scale = scaler.units(part)
                setting = draws.settings[part].at(np.array([d]))
                setting = setting._replace(location=location, scale=scale, error=errors[part])
                predicted[part.role] = part.likelihood.predictive(
                    LatentBlock(np.ones(1), f[None], no_covariance), setting
                )
            per_draw.append(log_density_of(task.observes.combine(predicted), y, high))
        densities[task.name] = np.stack(per_draw) if per_draw else np.zeros((0, len(rows)))
    return densities
