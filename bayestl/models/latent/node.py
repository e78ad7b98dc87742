"""One node of a graph of tasks: a latent function of the features and of the parents' latent values, with its prior.

    z_ic = m_c + sum_p rho_cp z_ip + g_c(x_i, z_i,pa(c)) + xi_ic,   xi_ic ~ N(0, omega_c^2),  g_c ~ GP(0, alpha_c^2 k_c)

The functions ``g_c`` have inducing values ``u_c``, and the rows are independent given those (the fully independent
training conditional: Snelson, Ghahramani 2006).  ``prior.py`` joins the nodes and the labels into the model of a whole
table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import gpytorch
import torch
from gpytorch.priors import LogNormalPrior, NormalPrior
from torch import Tensor

from bayestl.kernels.hyperpriors import HyperPrior, draw_prior, register_positive, register_real
from bayestl.kernels.stationary import UnitKernel
from bayestl.streams import torch_normal

INDUCING_JITTER = 1e-6
"""Added to the unit-variance covariance of the inducing values."""
MIN_VARIANCE = 1e-6
"""Least conditional variance of a latent value, scaled units."""


class NodeValues(NamedTuple):
    """The hyperparameters of a node; with a leading dimension, many sets of them."""

    kernel: Tensor
    """Arguments (k,) of the covariance."""
    mean: Tensor
    """Constant mean (1,)."""
    rho: Tensor
    """Coefficients of the parents (number of parents,)."""
    variance: Tensor
    """Variance (1,) of the function."""
    residual_variance: Tensor
    """Variance (1,) of the latent values around the function."""
    noise: Tensor
    """Noise variance (1,) of the labels."""


class Node(gpytorch.Module):
    """One latent function of the graph: its parents, its prior and its noise."""

    inducing: Tensor
    mean: Tensor
    rho: Tensor
    raw_amplitude: Tensor
    raw_omega: Tensor
    raw_sigma: Tensor

    def __init__(
        self,
        kernel: UnitKernel,
        parents: Sequence[int],
        inducing: Tensor,
        signs: Tensor,
        size: float = 1.0,
    ) -> None:
        super().__init__()
        self.parents = tuple(parents)
        k = len(self.parents)
        self.kernel = kernel
        self.register_buffer("inducing", inducing)
        with inducing.device:
            register_real(self, "mean", torch.zeros(1), NormalPrior(0.0, 1.0))
            if k:
                register_real(self, "rho", signs / k, NormalPrior(signs / k, torch.ones(k, dtype=torch.float64)))
            amplitude = size * (0.3 if k else 1.0)
            for name, median in (("amplitude", amplitude), ("omega", 0.1), ("sigma", 0.1)):
                register_positive(self, name, torch.full((1,), median), LogNormalPrior(math.log(median), 1.0))
            self._hyperprior = HyperPrior(self)

    def log_hyperprior(self) -> Tensor:
        """``log p(hyperparameters of this node)``."""
        return self._hyperprior.log_density()

    def forward(self) -> NodeValues:
        """The hyperparameters of the node."""
        rho = self.rho if self.parents else self.mean.new_zeros(0)
        scales = ((2 * raw).exp() for raw in (self.raw_amplitude, self.raw_omega, self.raw_sigma))
        return NodeValues(self.kernel.argument(), self.mean, rho, *scales)

    def inputs(self, x: Tensor, z: Mapping[int, Tensor]) -> Tensor:
        """Features ``x`` (n, d) with the parents' latent values (..., n) as further columns."""
        if not self.parents:
            return x
        shape = z[self.parents[0]].shape
        return torch.cat([x.expand(*shape, x.shape[-1]), *(z[p][..., None] for p in self.parents)], dim=-1)

    def unit_covariance(self, inputs: Tensor) -> Tensor:
        """Covariance (m, m) of a function of unit variance at ``inputs`` (m, .), with some jitter."""
        return self.kernel.forward(inputs, inputs) + INDUCING_JITTER * torch.eye(
            len(inputs), dtype=inputs.dtype, device=inputs.device
        )

    def unit_features(self, x: Tensor, z: Mapping[int, Tensor]) -> Tensor:
        """Whitened features (..., n, m) of a function of unit variance."""
        root = torch.linalg.cholesky(self.unit_covariance(self.inducing))
        inputs = self.inputs(x, z)
        flat = inputs.reshape(-1, inputs.shape[-1])
        half = torch.linalg.solve_triangular(root, self.kernel.forward(self.inducing, flat), upper=False).T
        return half.reshape(*inputs.shape[:-1], -1)

    def features(self, x: Tensor, z: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
        """Features ``A`` (..., n, m) with ``g = A u`` in mean, and the conditional variance (..., n)."""
        size = self.raw_amplitude.exp()
        a = size * self.unit_features(x, z)
        variance = size**2 - (a * a).sum(-1) + (2 * self.raw_omega).exp()
        return a, variance.clamp_min(MIN_VARIANCE)

    def linear(self, z: Mapping[int, Tensor], values: NodeValues | None = None) -> Tensor:
        """``m + sum_p rho_p z_p`` (..., n), or (..., 1) without parents; ``values`` replace the present hyperparameters."""
        hyperparameters = self if values is None else values
        total = hyperparameters.mean
        for i, p in enumerate(self.parents):
            total = total + hyperparameters.rho[..., i, None] * z[p]
        return total

    def conditional(self, x: Tensor, z: Mapping[int, Tensor], u: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (..., n) of ``z_c`` given its parents and whitened inducing values ``u`` (..., 1, m)."""
        a, variance = self.features(x, z)
        return self.linear(z) + (a * u).sum(-1), variance

    def conditional_in_blocks(self, x: Tensor, z: Mapping[int, Tensor], u: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`conditional` in blocks of rows; both results have shape (S, n) and their own memory."""
        n_draws = len(u)
        means, variances = [], []
        for rows in row_blocks(len(x), n_draws * len(self.inducing)):
            mean, variance = self.conditional(x[rows], {p: z[p][:, rows] for p in self.parents}, u)
            means.append(mean.expand(n_draws, -1))
            variances.append(variance.expand(n_draws, -1))
        return torch.cat(means, dim=1).clone(), torch.cat(variances, dim=1).clone()

    def prior_conditional(
        self, x: Tensor, z: Mapping[int, Tensor], n: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and variance (n, rows) of ``z_c`` given the parents, and noise variance (n,), for a node without labels.

        One for each of ``n`` draws of the function and of its hyperparameters from their priors; length scales stay at
        their medians.
        """
        with torch.no_grad():
            sizes = {"mean": 1, "amplitude": 1, "omega": 1, "sigma": 1}
            if self.parents:
                sizes["rho"] = len(self.parents)
            priors = {name: getattr(self, f"{name}_prior") for name in sizes}
            drawn = {name: draw_prior(priors[name], (n, size), generator, x.device) for name, size in sizes.items()}
            u = torch_normal((n, 1, len(self.inducing)), generator, x)
            means, variances = [], []
            for rows in row_blocks(len(x), n * len(self.inducing)):
                half = self.unit_features(x[rows], {p: v[:, rows] for p, v in z.items()})
                means.append((half * u).sum(-1))
                variances.append((1 - (half * half).sum(-1)).expand(n, -1))
            mean = drawn["mean"] + drawn["amplitude"] * torch.cat(means, dim=1)
            for i, p in enumerate(self.parents):
                mean = mean + drawn["rho"][:, i, None] * z[p]
            variance = drawn["amplitude"] ** 2 * torch.cat(variances, dim=1) + drawn["omega"] ** 2
        return mean, variance.clamp_min(MIN_VARIANCE), drawn["sigma"][:, 0] ** 2


def row_blocks(n: int, cost: int, limit: int = 4_000_000) -> Iterator[slice]:
    """Consecutive slices of ``n`` rows; a row costs ``cost`` numbers, a slice at most ``limit``."""
    step = max(1, limit // cost)
    return (slice(start, start + step) for start in range(0, n, step))
