"""Draws of an exact model's hyperparameters and latent values at the rows of a table, from its posterior or its prior.

The posterior draws go to ArviZ, the prior draws to simulation-based calibration and to ArviZ's ``prior`` group.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from bayestl import streams
from bayestl.device import tensor, to_numpy
from bayestl.diagnostics.draws import RowDraws, Variable, chains_of_independent, hyperparameters, stack_draws
from bayestl.inference.gaussian.condition import ExactPosterior
from bayestl.inference.gaussian.latent import resample
from bayestl.likelihoods import Setting
from bayestl.models.exact.hyperparameters import sampler_of
from bayestl.models.exact.leave_one_out import held_out
from bayestl.priors.draws import draw_processes, mix
from bayestl.priors.processes import PerRow
from bayestl.streams import spawn
from bayestl.table.new_rows import fitted_rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table, row_groups
from bayestl.table.task import TaskPart

if TYPE_CHECKING:
    from bayestl.models.exact.architecture import ExactArchitecture
    from bayestl.models.exact.family import Family
    from bayestl.priors.prior import Prior

JOINT_DRAWS = 4000
"""Most latent values (rows times functions) that are drawn jointly; more are drawn row by row."""
SHIFT_ROWS = 300
"""Most rows over which a mean shift is taken, evenly chosen."""


@dataclass
class Hyperparameters:
    """Posterior draws of a model's hyperparameters: of each family, which component each draw is."""

    families: list[Family]
    components: list[np.ndarray]
    variables: dict[str, Variable]
    fixed: dict[str, Variable]
    """Those of families with one component, as single draws."""
    effects: dict[str, Variable]
    """What a model reports of them in label units, such as offsets, given these draws of the hyperparameters."""


def posterior_hyperparameters(model: ExactArchitecture, n: int, seed: int) -> Hyperparameters:
    """``n`` posterior draws of the hyperparameters and of what a model reports of them; for a Markov chain, its states."""
    generator = streams.generator(seed, "effects")
    families = [
        _redrawn(model, family, n, spawn(seed, f"family of {family.parts[0].names[0]}")) for family in model.families_
    ]
    n_draws = max(len(f.posterior.weights) for f in families)
    n_draws = n if n_draws == 1 else n_draws
    found = Hyperparameters(families, [], {}, {}, {})
    for family in families:
        component = resample(family.posterior.weights, n_draws)
        d, alone = model._family_inputs(family).shape[1], len(families) == 1
        per_component = [
            _variables(model, model.table_, family.parts, c.prior, d, alone) for c in family.posterior.components
        ]
        if len(per_component) == 1:
            found.fixed |= per_component[0]
        else:
            found.variables |= stack_draws([per_component[s] for s in component])
        found.effects |= model._effects(family, component, generator)
        found.components.append(component)
    return found


def posterior_at_rows(model: ExactArchitecture, n: int, seed: int) -> RowDraws:
    """Posterior draws of the hyperparameters, as above, and of the latent values at the rows of the table."""
    generator = streams.generator(seed, "latent values")
    found = posterior_hyperparameters(model, n, seed)
    n_draws = len(found.components[0])
    rows, n_channels = np.arange(len(model.table_.x)), sum(len(p.channels) for p in model.table_.parts)
    variables = found.variables | found.effects
    latent = np.empty((n_draws, len(rows), n_channels))
    settings: dict[TaskPart, Setting] = {}
    for family, component in zip(found.families, found.components, strict=True):
        latent[:, :, family.channels], effects = _latent_and_effects(model, family, rows, component, generator)
        variables |= effects
        values = model._at_rows(family, rows)
        settings |= {part: values.setting(first, j).at(component) for j, part, first in _first_channels(family.parts)}
    left_out = held_out(model, found.families)
    densities = {name: loo.log_density[resample(loo.weights, n_draws)] for name, loo in left_out.items()}
    chains = [f.report.chain for f in found.families if f.report.chain is not None]
    n_chains = chains[0].n_chains if chains else chains_of_independent(n_draws)
    return RowDraws(variables, latent, settings, densities, n_chains, found.fixed)


def _latent_and_effects(
    model: ExactArchitecture, family: Family, rows: np.ndarray, component: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, dict[str, Variable]]:
    """Draws (D, n, C) of the latent values at rows of the table, and what of them is of each row alone, in label units.

    Both come from one draw of the latent values and of the functions of x; where these are too many for a joint draw, the
    row effects are left out.
    """
    n, n_channels = len(rows), len(family.channels)
    per_row = [p for p, process in enumerate(family.prior) if isinstance(process, PerRow)]
    of_row = np.flatnonzero((to_numpy(family.prior.weights())[:, per_row] != 0).any(axis=1)).tolist()
    if not of_row or 2 * n * n_channels > JOINT_DRAWS:
        values = model._at_rows(family, rows).draw(component, generator, n * n_channels <= JOINT_DRAWS)
        return values, {}
    x, group, row = (tensor(v) for v in fitted_rows(model.table_, model._family_inputs(family), rows)[:3])
    functions = torch.full_like(row, -1)
    both = family.posterior.at(torch.cat([x, x]), torch.cat([group, group]), torch.cat([row, functions]))
    draws = both.draw(component, generator, joint_rows=True)
    channels = [(name, model.scaler_.units(part)[1]) for part in family.parts for name in part.names]
    effects = {
        f"row_effect[{channels[c][0]}]": Variable(channels[c][1] * (draws[:, :n, c] - draws[:, n:, c]), ("row",))
        for c in of_row
    }
    return draws[:, :n], effects


def prior_at_rows(model: ExactArchitecture, n: int, seed: int) -> RowDraws:
    """``n`` prior draws of hyperparameters and latent values at the rows of the model's table."""
    priors = [(f.parts, copy.deepcopy(f.prior), model._family_inputs(f)) for f in model.families_]
    return _prior_draws(model, model.table_, priors, n, seed)


def prior_at_table(model: ExactArchitecture, table: Table, seed: int) -> RowDraws:
    """One prior draw at the rows of a table whose features are already scaled; the model need not be fitted."""
    priors = []
    for parts in model._families(table):
        prior = model._made_prior(table, Scaler.identity(table), parts, table.x.shape[1])
        priors.append((parts, prior, table.x))
    return _prior_draws(model, table, priors, 1, seed)


def _prior_draws(
    model: ExactArchitecture,
    table: Table,
    priors: Sequence[tuple[tuple[TaskPart, ...], Prior, np.ndarray]],
    n: int,
    seed: int,
) -> RowDraws:
    """``n`` prior draws; ``priors`` holds the parts, the prior (which is changed) and the inputs of each family."""
    generator = streams.generator(seed, "latent values")
    group = row_groups(table)
    latent = np.empty((n, len(table.x), sum(len(p.channels) for p in table.parts)))
    per_draw: list[dict[str, Variable]] = [{} for _ in range(n)]
    settings: dict[TaskPart, Setting] = {}
    for parts, prior, x in priors:
        noise: list[np.ndarray] = []
        further: list[list[np.ndarray]] = [[] for _ in parts]
        channels = [c for part in parts for c in part.channels]
        for d in range(n):
            prior.draw_hyperparameters(spawn(seed, f"family of {parts[0].names[0]}", d))
            per_draw[d] |= _variables(model, table, parts, prior, x.shape[1], len(priors) == 1)
            latent[d][:, channels] = mix(prior, draw_processes(prior, x, group, generator))
            with torch.no_grad():
                noise.append(to_numpy(prior.residual.variance()).copy())
                for j, values in enumerate(further):
                    values.append(to_numpy(prior.further(j)).copy())
        for j, part, first in _first_channels(parts):
            settings[part] = Setting(np.stack(noise)[:, first], np.stack(further[j]))
    return RowDraws(stack_draws(per_draw), latent, settings)


def _redrawn(model: ExactArchitecture, family: Family, n: int, seed: int) -> Family:
    """The family with ``n`` components where draws of its hyperparameters are cheap, else the family itself."""
    data = model._family_data(family)
    sampler = sampler_of(model._mode(model.table_, family.parts), data)
    if len(family.posterior.weights) == 1 or sampler is None:
        return family
    draws = sampler(family.prior, data, n, seed)
    return replace(family, posterior=ExactPosterior.of(family.prior, data, draws))


def _variables(
    model: ExactArchitecture, table: Table, parts: tuple[TaskPart, ...], prior: Prior, d: int, alone: bool
) -> dict[str, Variable]:
    """The present hyperparameters of a family's prior over ``d`` inputs, by name.

    The names have a prefix unless the family is ``alone``.
    """
    columns, functions = model._columns(table, parts, d), [name for part in parts for name in part.names]
    return hyperparameters(prior, columns, table.features, "" if alone else f"{parts[0].names[0]}.", functions)


def _first_channels(parts: Sequence[TaskPart]) -> Iterator[tuple[int, TaskPart, int]]:
    """The position, the part and its first channel within the family, for each part."""
    first = 0
    for j, part in enumerate(parts):
        yield j, part, first
        first += len(part.channels)


def mean_shifts(model: ExactArchitecture, parents: Mapping[int, int], level: float, n_draws: int) -> pd.DataFrame:
    """One row per channel with a parent: over rows with a label of the parent, the parent's mean, and the mean difference to it.

    Unlike an offset, the value at a source of zero, which shares a constant with the smooth difference, the labels tell it well.
    """
    table, generator, found = model.table_, streams.generator(model.seed_, "shifts"), {}
    owner = {c: (part, name) for part in table.parts for c, name in zip(part.channels, part.names, strict=True)}
    for family in model.families_:
        for child, parent in ((c, parents[c]) for c in family.channels if c in parents):
            labelled = np.flatnonzero(table.present[:, owner[parent][0].task])
            rows = labelled[np.unique(np.linspace(0, len(labelled) - 1, SHIFT_ROWS).astype(int))]
            weights = family.posterior.weights
            component = generator.choice(len(weights), size=n_draws, p=weights)
            draws = model._at_rows(family, rows).draw(component, generator, True)
            above, below = (_in_units(model, draws, family.channels, owner[c][0], c) for c in (child, parent))
            shift = (above - below).mean(axis=1)
            ends = np.quantile(shift, [0.5 - level / 2, 0.5 + level / 2])
            found[owner[child][1], owner[parent][1]] = (len(rows), below.mean(), shift.mean(), shift.std(), *ends)
    index = pd.MultiIndex.from_tuples(list(found), names=["level", "source"])
    return pd.DataFrame(list(found.values()), index, ["rows", "at", "mean", "std", "lower", "upper"])


def _in_units(model: ExactArchitecture, draws: np.ndarray, channels: list[int], part: TaskPart, c: int) -> np.ndarray:
    location, scale = model.scaler_.units(part)
    return np.asarray(location + scale * draws[:, :, list(channels).index(c)])
