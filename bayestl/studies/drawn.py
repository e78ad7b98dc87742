"""Known truth: functions drawn from a prior, and models fitted in the units in which they were drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from bayestl.inference.exact import cholesky
from bayestl.kernels import Points, Prior
from bayestl.models.base import BayesianModel
from bayestl.table import Scaler, build_table


def draw_processes(prior: Prior, x: np.ndarray, group: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Values (P, n) of the processes of a prior at inputs ``x`` (n, d) of groups (n,)."""
    n = len(x)
    points = Points(torch.from_numpy(x), torch.zeros(n, dtype=torch.long), torch.from_numpy(group))
    with torch.no_grad():
        roots = [cholesky(process.covariance(points, points), torch.full((n,), 1e-9))[0] for process in prior]
    return np.stack([root.numpy() @ generator.standard_normal(n) for root in roots])


def mix(prior: Prior, values: np.ndarray) -> np.ndarray:
    """Latent values (n, C) of all channels from those of the processes (P, n)."""
    with torch.no_grad():
        return values.T @ prior.mixing.weights().numpy().T


def fit_unscaled(
    model: BayesianModel, x: np.ndarray, Y: pd.DataFrame, groups: np.ndarray | None = None
) -> BayesianModel:
    """Fit without scaling features and labels: the prior is then the one from which they were drawn."""
    table = build_table(x, Y, tasks=model.tasks, groups=groups)
    scaler = Scaler.identity(table)
    model._become(table, scaler, model._learn(table, scaler))
    model.n_features_in_ = x.shape[1]
    return model
