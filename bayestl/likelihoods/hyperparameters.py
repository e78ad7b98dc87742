"""Hyperparameters of likelihoods: the noise of each task, degrees of freedom, cutpoints, each with a prior."""

from __future__ import annotations

import math
from collections.abc import Sequence

import gpytorch
import numpy as np
import torch
from gpytorch.priors import LogNormalPrior, NormalPrior
from scipy.special import ndtri
from torch import Tensor

from bayestl.kernels.hyperpriors import register_positive, register_real


class Noise(gpytorch.Module):
    """Gaussian noise with one standard deviation per task: ``log sigma_t ~ N(log 0.3, 1)`` on unit-variance labels.

    In an exact model it is all that the features do not say of a label, of which a row effect may take a share
    (:mod:`bayestl.priors.rows`).  A smaller median (0.05) makes the intervals of small tables too narrow.

    Parameters
    ----------
    present : int or sequence of bool
        Number of latent functions with noise, or one flag per latent function; the variance of the others is zero.
    medians : sequence of float, optional
        Prior median for each latent function; default: 0.3 for all.
    """

    MEDIAN = 0.3

    def __init__(self, present: int | Sequence[bool], medians: Sequence[float] = ()) -> None:
        super().__init__()
        mask = torch.ones(present, dtype=torch.bool) if isinstance(present, int) else torch.as_tensor(list(present))
        self.register_buffer("present", mask)
        self.register_buffer("position", (mask.cumsum(0) - 1).clamp_min(0))
        start = torch.tensor(list(medians) or [self.MEDIAN] * len(mask), dtype=torch.float64)[mask]
        register_positive(self, "sd", start, LogNormalPrior(start.log(), torch.ones_like(start)))

    def variance(self) -> Tensor:
        """``sigma_t^2``, shape (T,), never below 1e-8 (labels exact to 1e-4 of their standard deviation)."""
        variance = (2.0 * self.raw_sd).exp() + 1e-8  # of the latent functions that have noise
        if len(variance) == len(self.present):
            return variance
        if not len(variance):
            return variance.new_zeros(len(self.present))
        return torch.where(self.present, variance[self.position], 0.0)


class DegreesOfFreedom(gpytorch.Module):
    """Degrees of freedom of Student's t: ``log(dof - least) ~ N(log 2, 1)``.

    Parameters
    ----------
    least : float
        Degrees of freedom above which labels have a variance: 2, for a power p of labels 2 / p.
    """

    def __init__(self, least: float = 2.0) -> None:
        super().__init__()
        self._least = least
        register_positive(self, "dof_excess", torch.full((1,), 2.0), LogNormalPrior(math.log(2.0), 1.0))

    def forward(self) -> Tensor:
        """``dof``, shape (1,)."""
        return self._least + self.raw_dof_excess.exp()


class Cutpoints(gpytorch.Module):
    """Increasing cutpoints ``c_1 < ... < c_(K-1)``: their mean normal, gaps log-normal, centred on equally likely classes.

    So the prior is the same for classes listed from the other end.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        centre = torch.as_tensor(ndtri((1.0 + np.arange(n_classes - 1)) / n_classes)) * math.sqrt(5.0)
        register_real(self, "middle", torch.zeros_like(centre[:1]), NormalPrior(0.0, 2.0))
        if n_classes > 2:
            gaps = centre.diff()
            register_positive(self, "gap", gaps.clone(), LogNormalPrior(gaps.log(), torch.ones_like(gaps)))

    def forward(self) -> Tensor:
        """``c``, shape (K - 1,)."""
        if not hasattr(self, "raw_gap"):
            return self.middle
        from_first = torch.cat([torch.zeros_like(self.middle), self.raw_gap.exp().cumsum(0)])
        return self.middle + from_first - from_first.mean()
