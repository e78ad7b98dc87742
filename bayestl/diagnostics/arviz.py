"""Export of a fitted model to ArviZ.

The groups are built with NumPy and xarray alone; only the last step, :func:`assemble`, depends on the installed ArviZ:
an ``InferenceData`` for 0.x, an ``xarray.DataTree`` from 1.0 on.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayestl import streams
from bayestl.streams import spawn

if TYPE_CHECKING:
    from bayestl.diagnostics.draws import RowDraws
    from bayestl.table.scaler import Scaler
    from bayestl.table.table import Table


def to_arviz(table: Table, scaler: Scaler, posterior: RowDraws, prior: RowDraws | None, seed: int, model: str) -> Any:
    """Draws from the posterior, and from the prior if given, as ArviZ data (the result of ``model.to_arviz``)."""
    groups = posterior_groups(table, scaler, posterior, spawn(seed, "posterior predictive"))
    if prior is not None:
        drawn = posterior_groups(table, scaler, prior, spawn(seed, "prior predictive"))
        groups |= {"prior": drawn["posterior"], "prior_predictive": drawn["posterior_predictive"]}
    for group in groups.values():
        group.attrs |= {"inference_library": "bayestl", "model": model}
    return assemble(groups)


def posterior_groups(table: Table, scaler: Scaler, draws: RowDraws, seed: int) -> dict[str, xr.Dataset]:
    """The ArviZ groups of draws at the rows of a table, by name."""
    from bayestl.diagnostics.draws import draw_labels  # imports torch, which the rest of this file does not need

    dimensions = {"chain", "draw", *(f"{name}_row" for name in table.names)}
    if taken := [name for name in table.names if name in dimensions]:
        raise ValueError(f"task {taken[0]!r} has the name of a dimension of the data of ArviZ: rename the column")
    rows = np.asarray(table.index) if table.index.is_unique else np.arange(len(table.x))
    n_chains = draws.n_chains

    def by_chain(values: np.ndarray) -> np.ndarray:
        """Values (D, ...) as (chains, draws, ...)."""
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

    generator = streams.generator(seed, "labels")
    predicted: dict[str, Any] = {}
    observed: dict[str, Any] = {}
    density: dict[str, Any] = {}
    row_coords: dict[str, Any] = {}
    for t, task in enumerate(table.tasks):
        labelled = np.flatnonzero(table.present[:, t])
        if len(labelled) == 0:
            continue
        dim = f"{task.name}_row"
        row_coords[dim] = rows[labelled]
        predicted[task.name] = (
            ("chain", "draw", dim),
            by_chain(draw_labels(table, scaler, draws, t, labelled, generator)),
        )
        y, high, _ = table.labels.at(labelled).task(t)
        observed[task.name] = ((dim,), np.where(np.isfinite(y), y, high))
        if task.name in draws.log_likelihood:
            density[task.name] = (("chain", "draw", dim), by_chain(draws.log_likelihood[task.name]))
    groups["posterior_predictive"] = _dataset(predicted, row_coords)
    if density:
        groups["log_likelihood"] = _dataset(density, row_coords)
    if draws.sample_stats:
        groups["sample_stats"] = _dataset(
            {k: (("chain", "draw"), by_chain(v)) for k, v in draws.sample_stats.items()}, {}
        )
    groups["observed_data"] = xr.Dataset(observed, coords=row_coords)
    if draws.fixed:
        labels = {k: list(v) for variable in draws.fixed.values() for k, v in variable.coords.items()}
        points = {name: (v.dims, v.values[0]) for name, v in draws.fixed.items()}
        groups["constant_data"] = xr.Dataset(points, coords=labels)
    return groups


def _dataset(variables: Mapping[str, Any], coords: Mapping[str, Any]) -> xr.Dataset:
    """A dataset with numbered chains and draws, and only the coordinates that a variable uses."""
    shape = np.shape(next(iter(variables.values()))[1])
    used = {dim for dims, _ in variables.values() for dim in dims}
    used_coords = {name: values for name, values in coords.items() if name in used}
    return xr.Dataset(
        dict(variables), coords={"chain": np.arange(shape[0]), "draw": np.arange(shape[1]), **used_coords}
    )


def assemble(groups: Mapping[str, xr.Dataset]) -> Any:
    """The groups in the container of the installed ArviZ."""
    with warnings.catch_warnings():
        # 0.23 warns at import about changes in 1.0, which do not affect the data
        warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing a major refactor", category=FutureWarning)
        import arviz
    if int(arviz.__version__.split(".")[0]) < 1:  # 1.x has the name InferenceData too, for a DataTree
        return arviz.InferenceData(attrs=None, warn_on_custom_groups=False, **dict(groups))
    return xr.DataTree.from_dict(dict(groups))
