"""Draws from a prior over functions: of its processes, and of the latent values that these mix to."""

from __future__ import annotations

import numpy as np
import torch

from bayestl.device import tensor, to_numpy
from bayestl.kernels.cholesky import cholesky
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Points


def draw_processes(prior: Prior, x: np.ndarray, group: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Values (P, n) of the processes of a prior at inputs ``x`` (n, d) of groups (n,)."""
    n = len(x)
    codes = np.zeros(n, dtype=int), group, np.arange(n)
    points = Points(*(tensor(v, prior.device) for v in (x, *codes)))
    with torch.no_grad():
        roots = [cholesky(process.covariance(points, points), points.x.new_full((n,), 1e-9))[0] for process in prior]
    return np.stack([to_numpy(root) @ generator.standard_normal(n) for root in roots])


def mix(prior: Prior, values: np.ndarray) -> np.ndarray:
    """Latent values (n, C) of all channels from the values of the processes (P, n)."""
    with torch.no_grad():
        return np.asarray(values.T @ to_numpy(prior.weights()).T)
