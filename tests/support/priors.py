"""Small priors and labels of Gaussian processes."""

import numpy as np
import torch

from bayestl.inference.gaussian.labels import Labels
from bayestl.kernels.stationary import KERNELS
from bayestl.likelihoods.hyperparameters import Noise
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Constant, Points, Smooth
from bayestl.priors.rows import Residual
from bayestl.priors.task_specific import TaskSpecific
from bayestl.table.task import Task, task_parts


def gaussian_parts(n):
    """The parts of n numeric tasks."""
    return task_parts([Task(f"t{i}") for i in range(n)])


def single_task_prior(d=1):
    """A smooth function of ``d`` features and a constant."""
    return Prior(
        [Smooth(KERNELS["rbf"](d)), Constant()], TaskSpecific(gaussian_parts(1), grouped=False), Residual(Noise(1))
    )


def sine_labels(n=25, seed=0, noise=0.1):
    """Labels of a sine, with standard errors of 0.1."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-2, 2, n))
    y = np.sin(2 * x) + noise * rng.standard_normal(n)
    zero = torch.zeros(n, dtype=torch.long)
    return Labels(
        Points(torch.from_numpy(x[:, None]), zero, zero, torch.arange(n)),
        torch.from_numpy(y),
        torch.full((n,), 0.01, dtype=torch.float64),
    )
