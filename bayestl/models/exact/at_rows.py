"""An exact model at the rows of its own table, by draws: from its posterior and from its prior."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from bayestl.diagnostics.draws import RowDraws, Variable, chains_of_independent, hyperparameters, stack_draws
from bayestl.inference.gaussian.condition import ExactPosterior
from bayestl.inference.gaussian.latent import resample
from bayestl.likelihoods import Setting
from bayestl.models.exact.hyperparameters import sampler_of
from bayestl.models.exact.leave_one_out import held_out
from bayestl.priors.draws import draw_processes, mix
from bayestl.table.table import Table, row_groups
from bayestl.table.task import TaskPart

if TYPE_CHECKING:
    from bayestl.models.exact.architecture import ExactArchitecture
    from bayestl.models.exact.family import Family
    from bayestl.priors.prior import Prior

JOINT_DRAWS = 4000
"""Up to so many latent values at the rows of a table are drawn jointly, beyond row by row."""


def posterior_at_rows(model: ExactArchitecture, n: int, seed: int) -> RowDraws:
    """``n`` draws of hyperparameters and latent values; of a chain of hyperparameters its states."""
    generator = np.random.default_rng(seed)
    families = [_redrawn(model, family, n, seed) for family in model.families_]
    size = max(len(f.posterior.weights) for f in families)
    size = n if size == 1 else size
    rows, n_channels = np.arange(len(model.table_.x)), sum(len(p.channels) for p in model.table_.parts)
    variables: dict[str, Variable] = {}
    fixed: dict[str, Variable] = {}
    latent = np.empty((size, len(rows), n_channels))
    settings: dict[TaskPart, Setting] = {}
    for family in families:
        component = resample(family.posterior.weights, size)
        d, alone = model._family_inputs(family).shape[1], len(families) == 1
        each = [_variables(model, model.table_, family.parts, c.prior, d, alone) for c in family.posterior.components]
        if len(each) == 1:
            fixed |= each[0]
        else:
            variables |= stack_draws([each[s] for s in component])
        variables |= model._effects(family, component, generator)
        at = model._at_rows(family, rows)
        latent[:, :, family.channels] = at.draw(component, generator, len(rows) * len(family.channels) <= JOINT_DRAWS)
        settings |= {part: at.setting(first, j).at(component) for j, part, first in _first_channels(family.parts)}
    held = held_out(model, families)
    densities = {name: one.log_density[resample(one.weights, size)] for name, one in held.items()}
    chains = [f.report.chain for f in families if f.report.chain is not None]
    n_chains = chains[0].n_chains if chains else chains_of_independent(size)
    return RowDraws(variables, latent, settings, densities, n_chains, fixed)


def prior_at_rows(model: ExactArchitecture, n: int, seed: int) -> RowDraws:
    """``n`` draws of hyperparameters and latent values from the prior, at the rows of the model's table."""
    priors = [(f.parts, copy.deepcopy(f.prior), model._family_inputs(f)) for f in model.families_]
    return _prior_draws(model, model.table_, priors, n, seed)


def prior_at_table(model: ExactArchitecture, table: Table, seed: int) -> RowDraws:
    """One draw from the prior of a model that need not be fitted, at the rows of a table whose features are scaled already."""
    priors = []
    for parts in model._families(table):
        columns = model._columns(table, parts, table.x.shape[1])
        priors.append((parts, model._prior(table, parts, columns), table.x))
    return _prior_draws(model, table, priors, 1, seed)


def _prior_draws(
    model: ExactArchitecture,
    table: Table,
    priors: Sequence[tuple[tuple[TaskPart, ...], Prior, np.ndarray]],
    n: int,
    seed: int,
) -> RowDraws:
    """``n`` draws; ``priors`` are the parts, the prior (changed) and the inputs of each family."""
    generator = np.random.default_rng(seed)
    group = row_groups(table)
    latent = np.empty((n, len(table.x), sum(len(p.channels) for p in table.parts)))
    each: list[dict[str, Variable]] = [{} for _ in range(n)]
    settings: dict[TaskPart, Setting] = {}
    for i, (parts, prior, x) in enumerate(priors):
        noise: list[np.ndarray] = []
        further: list[list[np.ndarray]] = [[] for _ in parts]
        channels = [c for part in parts for c in part.channels]
        for d in range(n):
            prior.draw_hyperparameters(seed + 7919 * (d * len(priors) + i))
            each[d] |= _variables(model, table, parts, prior, x.shape[1], len(priors) == 1)
            latent[d][:, channels] = mix(prior, draw_processes(prior, x, group, generator))
            with torch.no_grad():
                noise.append(prior.noise.variance().numpy().copy())
                for j, values in enumerate(further):
                    values.append(prior.further(j).numpy().copy())
        for j, part, first in _first_channels(parts):
            settings[part] = Setting(np.stack(noise)[:, first], np.stack(further[j]))
    return RowDraws(stack_draws(each), latent, settings)


def _redrawn(model: ExactArchitecture, family: Family, n: int, seed: int) -> Family:
    """With ``n`` components where the hyperparameters are averaged over draws that cost little."""
    data = model._family_data(family)
    sampler = sampler_of(model.hyperparameters, data)
    if len(family.posterior.weights) == 1 or sampler is None:
        return family
    draws = sampler(family.prior, data, n, seed)
    return replace(family, posterior=ExactPosterior.of(family.prior, data, draws))


def _variables(
    model: ExactArchitecture, table: Table, parts: tuple[TaskPart, ...], prior: Prior, d: int, alone: bool
) -> dict[str, Variable]:
    """The present hyperparameters of a family's prior over ``d`` inputs, by name; ``alone`` if there is no other family."""
    columns = model._columns(table, parts, d)
    return hyperparameters(prior, columns, table.features, "" if alone else f"{parts[0].names[0]}.")


def _first_channels(parts: Sequence[TaskPart]) -> Iterator[tuple[int, TaskPart, int]]:
    """Position, part and first channel within the family of each part."""
    first = 0
    for j, part in enumerate(parts):
        yield j, part, first
        first += len(part.channels)
