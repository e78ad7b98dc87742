"""Stationary kernels ``k(x, x') = phi(r^2)`` of the scaled distance r, length scales partially pooled over features.

The covariance matrix, which every step of a fit needs with its gradient, has both in closed form, also for many sets of hyperparameters at once (any leading dimensions).

The length-scale prior scales with the dimension: Hvarfner, Hellsten, Nardi 2024, *Vanilla Bayesian
optimization performs great in high dimensions* (arXiv 2402.02229).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import gpytorch
import torch
from gpytorch.priors import HalfCauchyPrior, LogNormalPrior, NormalPrior
from torch import Tensor

from bayestl.kernels.hyperpriors import register_positive, register_real

SHARED_LOG_SD = math.sqrt(3.0)
"""Prior standard deviation of the logarithm of the length scale that the features of a kernel share."""
RELATIVE_LOG_SD = math.sqrt(3.0)
"""Prior standard deviation of the logarithm of one feature's length scale, relative to the shared one."""
TAU = 0.1
"""Prior scale of the inverse squared length scale that the features of a sparse kernel share."""
LEAST_LENGTH_SCALE = 1e-3
"""Least length scale, relative to a feature's standard deviation.  Shorter ones count as this: so rough a function is
white noise already, and the rounding of squared distances, which grows as their inverse square, would separate equal
points."""
SHORTEST = math.log(LEAST_LENGTH_SCALE)
Pull = Callable[[Tensor], Tensor]
"""Pull-back (vector-Jacobian product): from the gradient with respect to a matrix (..., n, m) to the gradient with respect to
the argument (..., k) from which the matrix was evaluated."""


class _OfSquaredDistance(torch.autograd.Function):
    """``phi(|z1_i - z2_j|^2)`` with its derivative kept from the forward pass: one matrix product each way."""

    @staticmethod
    def forward(ctx: Any, z1: Tensor, z2: Tensor, profile: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        value, slope = profile(_between(z1, z2))
        ctx.save_for_backward(z1, z2, slope)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        z1, z2, slope = ctx.saved_tensors
        g = grad * slope
        g1 = 2.0 * (g.sum(-1, keepdim=True) * z1 - g @ z2)
        g2 = 2.0 * (g.sum(-2).unsqueeze(-1) * z2 - g.mT @ z1)
        return g1, g2, None


def _between(z1: Tensor, z2: Tensor) -> Tensor:
    """Squared distances (..., n, m) of points (..., n, d) and (..., m, d), by one matrix product."""
    norms1, norms2 = ((z * z).sum(-1, keepdim=True) for z in (z1, z2))
    first = torch.cat([-2.0 * z1, norms1, torch.ones_like(norms1)], dim=-1)
    d2 = (first @ torch.cat([z2, torch.ones_like(norms2), norms2], dim=-1).mT).clamp_min_(0.0)
    if z1.data_ptr() == z2.data_ptr() and z1.shape == z2.shape:
        torch.diagonal(d2, dim1=-2, dim2=-1).zero_()
    return d2


class UnitKernel(gpytorch.kernels.Kernel, ABC):
    """A covariance function over x with unit variance."""

    @abstractmethod
    def argument(self) -> Tensor:
        """What the covariance depends on (log length scales, ...), (k,), differentiable in the hyperparameters."""

    @abstractmethod
    def covariance(self, argument: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
        """``k(x1_i, x2_j)`` (..., n, m) at arguments (..., k), differentiable in all; points (..., n, d) or (n, d)."""

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        return x1.new_ones(x1.shape[:-1]) if diag else self.covariance(self.argument(), x1, x2)

    @abstractmethod
    def evaluate(self, argument: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, Pull]:
        """``k(x1_i, x2_j)`` (..., n, m) at arguments (..., k), and its :data:`Pull` to the arguments."""

    @abstractmethod
    def metric(self, argument: Tensor, d: int) -> Tensor:
        """Weights (d,) of the squared differences of the inputs by which points are near in this kernel."""


class Stationary(UnitKernel):
    """``k(x, x') = phi(r^2)``, ``r^2 = sum_j (x_j - x'_j)^2 / l_j^2``: a subclass states ``profile``.

    Length scales are partially pooled: ``log l_j = s + e_j`` with ``s ~ N(log(scale sqrt(d)), SHARED_LOG_SD^2)`` and
    ``e_j ~ N(0, RELATIVE_LOG_SD^2)``, for features scaled to unit variance.  Where most features do not matter,
    ``s`` grows and only those that do pay for a short ``l_j``.
    """

    is_stationary = True

    def __init__(self, d: int, scale: float = 1.0) -> None:
        super().__init__()
        centre = math.log(scale) + 0.5 * math.log(max(d, 1))
        register_real(self, "log_shared", torch.full((1,), centre), NormalPrior(centre, SHARED_LOG_SD))
        register_real(self, "log_relative", torch.zeros(d), NormalPrior(0.0, RELATIVE_LOG_SD))

    def log_lengthscale(self) -> Tensor:
        """``log l``, shape (d,), before it is bounded from below."""
        return self.log_shared + self.log_relative

    @property
    def lengthscale(self) -> Tensor:
        """``l``, shape (d,)."""
        return self.log_lengthscale().clamp_min(SHORTEST).exp()

    @staticmethod
    @abstractmethod
    def profile(d2: Tensor) -> tuple[Tensor, Tensor]:
        """``phi(d2)`` and ``phi'(d2)``."""

    @classmethod
    def value(cls, d2: Tensor) -> Tensor:
        """``phi(d2)`` alone, which may take the place of ``d2``."""
        return cls.profile(d2)[0]

    def argument(self) -> Tensor:
        return self.log_lengthscale()

    def covariance(self, argument: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
        inverse = _inverse_lengthscale(argument)
        z1 = x1 * inverse
        z2 = z1 if x1 is x2 else x2 * inverse
        if not torch.is_grad_enabled():
            return self.value(_between(z1, z2))
        return _OfSquaredDistance.apply(z1, z2, self.profile)

    def metric(self, argument: Tensor, d: int) -> Tensor:
        return (-2.0 * argument[:d].clamp_min(SHORTEST)).exp()

    def evaluate(self, argument: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, Pull]:
        d2, pull = _squared_distances(x1, x2, argument)
        value, slope = self.profile(d2)
        return value, lambda gradient: pull(gradient * slope)


def _inverse_lengthscale(log_lengthscale: Tensor) -> Tensor:
    """``1 / l``, shape (..., 1, d)."""
    return (-log_lengthscale.clamp_min(SHORTEST)).exp()[..., None, :]


def _squared_distances(x1: Tensor, x2: Tensor, log_lengthscale: Tensor) -> tuple[Tensor, Pull]:
    """``r^2`` between the points of two sets, and its :data:`Pull` to ``log l``."""
    inverse = _inverse_lengthscale(log_lengthscale)
    z1 = x1 * inverse
    z2 = z1 if x1 is x2 else x2 * inverse

    def pull(gradient: Tensor) -> Tensor:
        of_first = (z1 * torch.addcmul(gradient @ z2, gradient.sum(-1, keepdim=True), z1, value=-0.5)).sum(-2)
        slope = of_first - 0.5 * (gradient.sum(-2).unsqueeze(-1) * z2 * z2).sum(-2)
        return slope.mul_(4.0).masked_fill_(log_lengthscale < SHORTEST, 0.0)

    return _between(z1, z2), pull


class RBF(Stationary):
    """``exp(-r^2 / 2)``."""

    @staticmethod
    def profile(d2: Tensor) -> tuple[Tensor, Tensor]:
        value = RBF.value(d2.clone())
        return value, -0.5 * value

    @classmethod
    def value(cls, d2: Tensor) -> Tensor:
        return d2.mul_(-0.5).exp_()


class Matern52(Stationary):
    """``(1 + a + a^2/3) exp(-a)``, ``a = sqrt(5) r``."""

    @staticmethod
    def profile(d2: Tensor) -> tuple[Tensor, Tensor]:
        a = (5.0 * d2).sqrt_()
        e = (-a).exp()
        slope = e * (1.0 + a)
        return torch.addcmul(slope, d2, e, value=5.0 / 3.0), slope.mul(-5.0 / 6.0)

    @classmethod
    def value(cls, d2: Tensor) -> Tensor:
        a = d2.mul_(5.0).sqrt()
        e = a.neg().exp_()
        return torch.addcmul(e, a.add_(d2, alpha=1.0 / 3.0), e, out=d2)


class Matern32(Stationary):
    """``(1 + a) exp(-a)``, ``a = sqrt(3) r``."""

    @staticmethod
    def profile(d2: Tensor) -> tuple[Tensor, Tensor]:
        a = (3.0 * d2).sqrt_()
        e = (-a).exp()
        return e * (1.0 + a), -1.5 * e


class Exponential(Stationary):
    """``exp(-r)`` (Matern 1/2)."""

    @staticmethod
    def profile(d2: Tensor) -> tuple[Tensor, Tensor]:
        r = (d2 + 1e-12).sqrt_()
        value = (-r).exp()
        return value, -0.5 * value / r


class RationalQuadratic(Stationary):
    """``(1 + r^2 / (2 a))^-a``, ``a ~ LogNormal(0, 1)``: a mixture of squared exponentials of many length scales."""

    raw_alpha: Tensor

    def __init__(self, d: int, scale: float = 1.0) -> None:
        super().__init__(d, scale)
        register_positive(self, "alpha", torch.ones(1), LogNormalPrior(0.0, 1.0))

    @staticmethod
    def profile(d2: Tensor) -> tuple[Tensor, Tensor]:
        return d2, torch.ones_like(d2)

    def argument(self) -> Tensor:
        return torch.cat([self.log_lengthscale(), self.raw_alpha])

    def covariance(self, argument: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
        alpha = argument[..., -1, None, None].exp()
        return (-alpha * torch.log1p(super().covariance(argument[..., :-1], x1, x2) / (2.0 * alpha))).exp()

    def evaluate(self, argument: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, Pull]:
        alpha = argument[..., -1, None, None].exp()
        d2, pull_distances = _squared_distances(x1, x2, argument[..., :-1])
        u = d2 / (2.0 * alpha)
        logs = u.log1p()
        value = (-alpha * logs).exp()

        def pull(gradient: Tensor) -> Tensor:
            h = gradient * value
            in_log_alpha = alpha[..., 0] * (h * (u / (1.0 + u) - logs)).sum(dim=(-2, -1))[..., None]
            return torch.cat([pull_distances(h / (-2.0 * (1.0 + u))), in_log_alpha], dim=-1)

        return value, pull


class Sparse(Stationary):
    """Mostly long length scales: ``1 / l_j^2 = tau lambda_j``, ``tau ~ HalfCauchy(0.1)``, ``lambda_j ~ HalfCauchy(1)``.

    A feature matters only where the labels say so.  Average over the hyperparameters (``hyperparameters="mcmc"``):
    their posterior mode is one choice of features among many.  Eriksson, Jankowiak 2021, *High-dimensional Bayesian
    optimization with sparse axis-aligned subspaces*.
    """

    raw_tau: Tensor
    raw_lambda: Tensor

    def __init__(self, d: int, scale: float = 1.0) -> None:
        UnitKernel.__init__(self)
        self.scale = scale
        start = torch.full((max(d, 1),), 1.0 / (TAU * max(d, 1)))[:d]
        register_positive(self, "tau", torch.full((1,), TAU), _half_cauchy(TAU))
        register_positive(self, "lambda", start, _half_cauchy(1.0))

    def log_lengthscale(self) -> Tensor:
        return math.log(self.scale) - 0.5 * (self.raw_tau + self.raw_lambda)


def _half_cauchy(scale: float) -> HalfCauchyPrior:
    """A half-Cauchy prior in double precision: its density rounds values to the type of its scale."""
    return HalfCauchyPrior(torch.tensor(scale, dtype=torch.float64))


class SparseMatern52(Sparse, Matern52):
    """:class:`Matern52` with :class:`Sparse` length scales."""


class SparseRBF(Sparse, RBF):
    """:class:`RBF` with :class:`Sparse` length scales."""


KERNELS: dict[str, type[Stationary]] = {
    "matern52": Matern52,
    "matern32": Matern32,
    "rbf": RBF,
    "exponential": Exponential,
    "rational-quadratic": RationalQuadratic,
    "sparse-matern52": SparseMatern52,
    "sparse-rbf": SparseRBF,
}
"""The stationary kernels by the names that ``kernel=`` takes."""
