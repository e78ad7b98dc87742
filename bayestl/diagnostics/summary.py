"""Draws of hyperparameters as a table, in units of features and labels where they have these."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from bayestl.diagnostics.draws import Variable
from bayestl.likelihoods import Part
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import TaskPart

SCALED = "scaled"
"""The unit of what is about features and labels with mean 0 and variance 1."""
LENGTHSCALE = "lengthscale"
SIZES = ("noise", "row_effect_size")
"""Hyperparameters in scaled units of the labels."""


def summary_of_hyperparameters(
    variables: dict[str, Variable], table: Table, scaler: Scaler, level: float
) -> pd.DataFrame:
    """One row per number: mean, standard deviation, central interval of a ``level``, and unit."""
    rows, index = [], []
    for name, variable in variables.items():
        for of, values in _entries(variable):
            factor, unit = _unit(name, of, table, scaler)
            ends = np.quantile(factor * values, [0.5 - level / 2, 0.5 + level / 2])
            std = abs(factor) * values.std() if len(values) > 1 else np.nan
            rows.append((factor * values.mean(), std, *ends, unit))
            index.append((name, of))
    return pd.DataFrame(
        rows,
        index=pd.MultiIndex.from_tuples(index, names=["parameter", "of"]),
        columns=["mean", "std", "lower", "upper", "unit"],
    )


def _entries(variable: Variable) -> Iterator[tuple[str, np.ndarray]]:
    """The name and the draws (D,) of each number of a variable."""
    shape = variable.values.shape[1:]
    axes = [list(variable.coords.get(dim, range(k))) for dim, k in zip(variable.dims, shape, strict=True)]
    for position, labels in zip(np.ndindex(*shape), product(*axes), strict=True):
        yield ", ".join(map(str, labels)), variable.values[(slice(None), *position)]


def _unit(name: str, of: str, table: Table, scaler: Scaler) -> tuple[float, str]:
    """The factor from scaled units to those of the feature or label that the number is about, and their name."""
    kind = name.rsplit(".", 1)[-1]
    if kind == LENGTHSCALE and of in table.features:
        return float(scaler.x_scale[table.features.index(of)]), "feature"
    for part in table.parts:
        if of in part.names and kind in SIZES and not part.role and part.likelihood.has_noise:
            return scaler.units(part)[1], unit_of(part, table) or "label"
    return 1.0, SCALED


def unit_of(part: TaskPart, table: Table) -> str:
    """The unit of the latent values of a part: that of its labels, what they were made into, or none."""
    task = table.tasks[part.task]
    if part.role or not part.likelihood.has_noise:
        return ""
    return f"transformed {task.name}" if is_transformed(part.likelihood) else task.unit


def is_transformed(likelihood: Part) -> bool:
    """Whether the latent value of a likelihood is a function of the label, its logarithm for one."""
    return bool(np.any(likelihood.log_jacobian(np.full(1, 2.0))))


def channel_labels(table: Table) -> dict[str, str]:
    """The names of the latent functions with their units, for axes."""
    units = {name: unit_of(part, table) for part in table.parts for name in part.names}
    return {name: f"{name} ({unit})" if unit else name for name, unit in units.items()}
