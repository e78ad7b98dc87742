"""Fits to tables drawn from a model's own prior, in the units in which they were drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayestl.models.base import BayesianModel
from bayestl.streams import seed_of
from bayestl.table.scaler import Scaler
from bayestl.table.table import build_table


def fit_unscaled(
    model: BayesianModel, x: np.ndarray, Y: pd.DataFrame, groups: np.ndarray | None = None
) -> BayesianModel:
    """Fit a model without scaling features and labels: its prior is then the one from which they were drawn."""
    table = build_table(x, Y, tasks=model.tasks, groups=groups)
    scaler = Scaler.identity(table)
    seed = seed_of(model.random_state)
    model._become(table, scaler, model._learn(table, scaler, seed), seed)
    model.n_features_in_ = x.shape[1]
    return model
