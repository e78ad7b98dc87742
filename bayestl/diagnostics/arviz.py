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
    from bayestl.models.base import BayesianModel
    from bayestl.models.draws import RowDraws
    from bayestl.table import Scaler, Table


def to_arviz(model: BayesianModel, n_draws: int = 200, prior: bool = False, seed: int = 0) -> Any:
    """The posterior of a fitted model as ArviZ data.

    Parameters
    ----------
    model : BayesianModel
        Fitted.
    n_draws : int
        Draws, where the model can make as many as it is asked for; a chain has its own number.
    prior : bool
        Whether draws from the prior are added, as groups ``prior`` and ``prior_predictive`` (exact models).
    seed : int
        The draws repeat exactly from it.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        ``posterior``: hyperparameters in scaled units (length scales by ``feature``), offsets of a difference model in label
        units, and ``latent`` by ``row`` and ``function`` in label units.  ``posterior_predictive``, ``log_likelihood`` and ``observed_data``: a
        variable a task, over the rows that it has labels for; classes as positions.  ``sample_stats`` where there is a chain,
        ``constant_data`` with the hyperparameters where they are points.  Independent draws are laid out as four chains.

    Notes
    -----
    ``log_likelihood`` of an exact model is that of each label given all others and the hyperparameters, so that ``arviz.loo``
    gives the leave-one-out density with the hyperparameters corrected for having seen the label; where a few draws of them dominate that,
    its Pareto k says so, and ``model.leave_one_out()`` is the one to use.  Of a model by draws of
    latent values it is that of the label given those.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        Before ``fit``.
    ValueError
        For draws from the prior of a model that has none.
    """
    from sklearn.utils.validation import check_is_fitted

    from bayestl.inference.threads import threads_for

    check_is_fitted(model, "table_")
    if not (isinstance(n_draws, int | np.integer) and n_draws >= 1):
        raise ValueError(f"n_draws must be a positive integer, got {n_draws!r}")
    with threads_for(len(model.table_.x)):
        groups = posterior_groups(model.table_, model.scaler_, model._draws_at_rows(int(n_draws), seed), seed)
        if prior:
            drawn = posterior_groups(model.table_, model.scaler_, model._prior_at_rows(int(n_draws), seed), seed)
            groups |= {"prior": drawn["posterior"], "prior_predictive": drawn["posterior_predictive"]}
    for group in groups.values():
        group.attrs |= {"inference_library": "bayestl", "model": type(model).__name__}
    return assemble(groups)


def posterior_groups(table: Table, scaler: Scaler, draws: RowDraws, seed: int) -> dict[str, xr.Dataset]:
    """The groups that draws at a table's rows give."""
    from bayestl.models.draws import draw_labels  # needs torch, the rest of this file does not

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
