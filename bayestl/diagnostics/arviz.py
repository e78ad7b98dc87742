"""A fitted model in ArviZ's form.

The groups are made with NumPy and xarray alone; only the last step, :func:`assemble`, asks which ArviZ is there: an
``InferenceData`` for 0.x, an ``xarray.DataTree`` from 1.0 on.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from bayestl.diagnostics.draws import RowDraws
    from bayestl.table.scaler import Scaler
    from bayestl.table.table import Table


def to_arviz(table: Table, scaler: Scaler, posterior: RowDraws, prior: RowDraws | None, seed: int, model: str) -> Any:
    """Draws from the posterior, and from the prior where there are any, as ArviZ data (see ``model.to_arviz``)."""
    groups = posterior_groups(table, scaler, posterior, seed)
    if prior is not None:
        drawn = posterior_groups(table, scaler, prior, seed)
        groups |= {"prior": drawn["posterior"], "prior_predictive": drawn["posterior_predictive"]}
    for group in groups.values():
        group.attrs |= {"inference_library": "bayestl", "model": model}
    return assemble(groups)


def posterior_groups(table: Table, scaler: Scaler, draws: RowDraws, seed: int) -> dict[str, xr.Dataset]:
    """The groups that draws at a table's rows give."""
    from bayestl.diagnostics.draws import draw_labels  # needs torch, the rest of this file does not

    rows = np.asarray(table.index) if table.index.is_unique else np.arange(len(table.x))
    n_chains = draws.n_chains

    def by_chain(values: np.ndarray) -> np.ndarray:
        return np.asarray(values).reshape(n_chains, -1, *np.shape(values)[1:])

    names = [name for part in table.parts for name in part.names]
    units = np.array([scaler.units(part) for part in table.parts for _ in part.channels])
    latent = units[:, 0] + units[:, 1] * draws.latent
    posterior: dict[str, Any] = {
        name: (("chain", "draw", *v.dims), by_chain(v.values)) for name, v in draws.variables.items()
    }
    posterior["latent"] = (("chain", "draw", "row", "function"), by_chain(latent))
    coords: dict[str, Any] = {"row": rows, "function": names}
    for v in draws.variables.values():
        coords |= {k: list(labels) for k, labels in v.coords.items()}
    groups = {"posterior": _dataset(posterior, coords)}

    generator = np.random.default_rng([1, seed])  # the latent values were drawn with those of ``seed``
    predicted: dict[str, Any] = {}
    observed: dict[str, Any] = {}
    density: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for t, task in enumerate(table.tasks):
        there = np.flatnonzero(table.present[:, t])
        if len(there) == 0:
            continue
        dim = f"{task.name}_row"
        own[dim] = rows[there]
        predicted[task.name] = (
            ("chain", "draw", dim),
            by_chain(draw_labels(table, scaler, draws, t, there, generator)),
        )
        y, high = table.y[there, t], table.high[there, t]
        observed[task.name] = ((dim,), np.where(np.isfinite(y), y, high))
        if task.name in draws.log_likelihood:
            density[task.name] = (("chain", "draw", dim), by_chain(draws.log_likelihood[task.name]))
    groups["posterior_predictive"] = _dataset(predicted, own)
    if density:
        groups["log_likelihood"] = _dataset(density, own)
    if draws.sample_stats:
        groups["sample_stats"] = _dataset(
            {k: (("chain", "draw"), by_chain(v)) for k, v in draws.sample_stats.items()}, {}
        )
    groups["observed_data"] = xr.Dataset(observed, coords=own)
    if draws.fixed:
        labels = {k: list(v) for one in draws.fixed.values() for k, v in one.coords.items()}
        points = {name: (v.dims, v.values[0]) for name, v in draws.fixed.items()}
        groups["constant_data"] = xr.Dataset(points, coords=labels)
    return groups


def _dataset(variables: Mapping[str, Any], coords: Mapping[str, Any]) -> xr.Dataset:
    """With chains and draws numbered, and no coordinate that no variable has."""
    shape = np.shape(next(iter(variables.values()))[1])
    used = {dim for dims, _ in variables.values() for dim in dims}
    kept = {name: values for name, values in coords.items() if name in used}
    return xr.Dataset(dict(variables), coords={"chain": np.arange(shape[0]), "draw": np.arange(shape[1]), **kept})


def assemble(groups: Mapping[str, xr.Dataset]) -> Any:
    """The groups as what the installed ArviZ works on."""
    with warnings.catch_warnings():
        # 0.23 tells at import that 1.0 will be different; what it gives is the same
        warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing a major refactor", category=FutureWarning)
        import arviz
    if int(arviz.__version__.split(".")[0]) < 1:  # 1.x answers to InferenceData too, with a DataTree
        return arviz.InferenceData(**dict(groups))  # type: ignore[arg-type]
    return xr.DataTree.from_dict(dict(groups))
