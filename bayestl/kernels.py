"""Covariance over (x, task, group), written as the formula is.

Every exact architecture is a linear model of unit-variance processes,

    f_t(x, g) = sum_p W[t, p] u_p(x, g),        u_p ~ GP(0, k_p),

and differs from the others only in which processes it has and in how it fills ``W``.
So this file holds the processes (a smooth function of x, a constant, one value a group), the
stationary kernels behind the smooth ones, and :class:`Prior`, which sums them up.

The length-scale prior scales with the dimension: Hvarfner, Hellsten, Nardi 2024, *Vanilla Bayesian
optimization performs great in high dimensions* (arXiv 2402.02229).
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import gpytorch
import torch
from gpytorch.priors import HalfCauchyPrior, LogNormalPrior, NormalPrior
from torch import Tensor

from bayestl.hyperparameters import HyperPrior, draw_from_priors, register_positive, register_real
from bayestl.observation import Noise

SHARED_LOG_SD = math.sqrt(3.0)
"""Prior standard deviation of the logarithm of the length scale that the features of a kernel share."""
RELATIVE_LOG_SD = math.sqrt(3.0)
"""Prior standard deviation of the logarithm of one feature's length scale, relative to the shared one."""
TAU = 0.1
"""Prior scale of the inverse squared length scale that the features of a sparse kernel share."""
LEAST_LENGTH_SCALE = 1e-3
"""Of a feature's standard deviation.  Shorter ones count as this: a function that is as rough is white noise already, and
the rounding of squared distances, which grows as their inverse square, would tell equal points apart."""


class Points(NamedTuple):
    """Where functions are evaluated: ``x`` (n, d) scaled features, ``task`` (n,) and ``group`` (n,) codes."""

    x: Tensor
    task: Tensor
    group: Tensor

    def at(self, index: Tensor | slice) -> Points:
        """The points at the given positions."""
        return Points(self.x[index], self.task[index], self.group[index])

    def join(self, other: Points) -> Points:
        """These points, then the other ones."""
        return Points(*(torch.cat(pair) for pair in zip(self, other, strict=True)))


# ---------------------------------------------------------------------------------------- stationary kernels


class _OfSquaredDistance(torch.autograd.Function):
    """``phi(|z1_i - z2_j|^2)`` with its derivative kept from the forward pass: one matrix product each way."""

    @staticmethod
    def forward(ctx: Any, z1: Tensor, z2: Tensor, profile: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:  # type: ignore[override]
        norms = (z1 * z1).sum(-1, keepdim=True) + (z2 * z2).sum(-1).unsqueeze(-2)
        multiply = torch.addmm if z1.ndim == 2 else torch.baddbmm
        d2 = multiply(norms, z1, z2.mT, alpha=-2.0).clamp_min_(0.0)
        if z1.data_ptr() == z2.data_ptr() and z1.shape == z2.shape:
            torch.diagonal(d2, dim1=-2, dim2=-1).zero_()
        value, slope = profile(d2)
        ctx.save_for_backward(z1, z2, slope)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        z1, z2, slope = ctx.saved_tensors
        g = grad * slope
        g1 = 2.0 * (g.sum(-1, keepdim=True) * z1 - g @ z2)
        g2 = 2.0 * (g.sum(-2).unsqueeze(-1) * z2 - g.mT @ z1)
        return g1, g2, None


class Stationary(gpytorch.kernels.Kernel, ABC):
    """``k(x, x') = phi(r^2)``, ``r^2 = sum_j (x_j - x'_j)^2 / l_j^2``: a subclass states ``profile``.

    Length scales are pooled: ``log l_j = s + e_j`` with ``s ~ N(log(scale sqrt(d)), SHARED_LOG_SD^2)`` and
    ``e_j ~ N(0, RELATIVE_LOG_SD^2)``, for features scaled to unit variance.  Where most features do not matter,
    ``s`` grows and only those that do pay for a short ``l_j``.
    """

    is_stationary = True

    def __init__(self, d: int, scale: float = 1.0) -> None:
        super().__init__()
        centre = math.log(scale) + 0.5 * math.log(max(d, 1))
        register_real(self, "log_shared", torch.full((1,), centre), NormalPrior(centre, SHARED_LOG_SD))
        register_real(self, "log_relative", torch.zeros(d), NormalPrior(0.0, RELATIVE_LOG_SD))

    @property
    def lengthscale(self) -> Tensor:
        """``l``, shape (d,)."""
        return (self.log_shared + self.log_relative).clamp_min(math.log(LEAST_LENGTH_SCALE)).exp()

    @staticmethod
    @abstractmethod
    def profile(d2: Tensor) -> tuple[Tensor, Tensor]:
        """``phi(d2)`` and ``phi'(d2)``."""

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        if diag:
            return x1.new_ones(x1.shape[:-1])
        z1 = x1 / self.lengthscale
        z2 = z1 if x1 is x2 else x2 / self.lengthscale
        return _OfSquaredDistance.apply(z1, z2, self.profile)


class RBF(Stationary):
    """``exp(-r^2 / 2)``"""

    @staticmethod
    def profile(d2: Tensor) -> tuple[Tensor, Tensor]:
        value = (-0.5 * d2).exp_()
        return value, -0.5 * value


class Matern52(Stationary):
    """``(1 + a + a^2/3) exp(-a)``, ``a = sqrt(5) r``"""

    @staticmethod
    def profile(d2: Tensor) -> tuple[Tensor, Tensor]:
        a = (5.0 * d2).sqrt_()
        e = (-a).exp()
        slope = e * (1.0 + a)
        return torch.addcmul(slope, d2, e, value=5.0 / 3.0), slope.mul(-5.0 / 6.0)


class Matern32(Stationary):
    """``(1 + a) exp(-a)``, ``a = sqrt(3) r``"""

    @staticmethod
    def profile(d2: Tensor) -> tuple[Tensor, Tensor]:
        a = (3.0 * d2).sqrt_()
        e = (-a).exp()
        return e * (1.0 + a), -1.5 * e


class Exponential(Stationary):
    """``exp(-r)`` (Matern 1/2)"""

    @staticmethod
    def profile(d2: Tensor) -> tuple[Tensor, Tensor]:
        r = (d2 + 1e-12).sqrt_()
        value = (-r).exp()
        return value, -0.5 * value / r


class RationalQuadratic(Stationary):
    """``(1 + r^2 / (2 a))^-a``: squared exponentials of many length scales; ``a ~ LogNormal(0, 1)`` is learnt."""

    raw_alpha: Tensor

    def __init__(self, d: int, scale: float = 1.0) -> None:
        super().__init__(d, scale)
        register_positive(self, "alpha", torch.ones(1), LogNormalPrior(0.0, 1.0))

    @staticmethod
    def profile(d2: Tensor) -> tuple[Tensor, Tensor]:
        return d2, torch.ones_like(d2)

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        if diag:
            return x1.new_ones(x1.shape[:-1])
        alpha = self.raw_alpha.exp()
        return (-alpha * torch.log1p(super().forward(x1, x2) / (2.0 * alpha))).exp()


class Sparse(Stationary):
    """Length scales of which most are long: ``1 / l_j^2 = tau lambda_j``, ``tau ~ HalfCauchy(0.1)``, ``lambda_j ~ HalfCauchy(1)``.

    A feature matters only where the labels say so.  Average over it (``hyperparameters="mcmc"``): the best point of such a
    prior is one choice of features among many.  Eriksson, Jankowiak 2021, *High-dimensional Bayesian optimization with
    sparse axis-aligned subspaces*.
    """

    raw_tau: Tensor
    raw_lambda: Tensor

    def __init__(self, d: int, scale: float = 1.0) -> None:
        gpytorch.kernels.Kernel.__init__(self)
        self.scale = scale
        start = torch.full((max(d, 1),), 1.0 / (TAU * max(d, 1)))[:d]
        register_positive(self, "tau", torch.full((1,), TAU), HalfCauchyPrior(TAU))
        register_positive(self, "lambda", start, HalfCauchyPrior(1.0))

    @property
    def lengthscale(self) -> Tensor:
        """``l``, shape (d,)."""
        log = -0.5 * (self.raw_tau + self.raw_lambda) + math.log(self.scale)
        return log.clamp_min(math.log(LEAST_LENGTH_SCALE)).exp()


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
"""The kernels that a model may be asked for by name."""


# --------------------------------------------------------------------------------------------------- processes


class _Weighted(torch.autograd.Function):
    """``a_i K_ij b_j`` with as few passes over the matrix as it can be done with."""

    @staticmethod
    def forward(ctx: Any, block: Tensor, a: Tensor, b: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(block, a, b)
        return (block * a[:, None]).mul_(b)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        block, a, b = ctx.saved_tensors
        h = grad * block
        return (grad * a[:, None]).mul_(b), h @ b, a @ h


class _SumOfBlocks(torch.autograd.Function):
    """A matrix of the given shape with blocks added at (rows, columns): one pass a block, and views going back."""

    @staticmethod
    def forward(ctx: Any, shape: tuple[int, int], places: list, *blocks: Tensor) -> Tensor:  # type: ignore[override]
        ctx.places = [_place(*place) for place in places]
        total = blocks[0].clone() if blocks[0].shape == shape else blocks[0].new_zeros(shape)
        for place, block in zip(ctx.places, blocks, strict=True):
            if block is not blocks[0] or block.shape != shape:
                total[place] += block
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        return None, None, *(grad[place] for place in ctx.places)


def _place(rows: slice | Tensor, columns: slice | Tensor) -> tuple:
    if isinstance(rows, Tensor) and isinstance(columns, Tensor):
        return rows[:, None], columns[None, :]
    return rows, columns


class Process(gpytorch.Module, ABC):
    """A zero-mean, unit-variance Gaussian process over (x, group)."""

    @abstractmethod
    def covariance(self, a: Points, b: Points) -> Tensor:
        """``k(a_i, b_j)``, shape (len(a), len(b))."""

    def weighted_covariance(self, a: Points, b: Points, w_a: Tensor, w_b: Tensor) -> Tensor:
        """``w_a[i] k(a_i, b_j) w_b[j]``."""
        return _Weighted.apply(self.covariance(a, b), w_a, w_b)


class Smooth(Process):
    """``u(x) ~ GP(0, k)`` with any GPyTorch kernel of unit variance."""

    def __init__(self, kernel: gpytorch.kernels.Kernel) -> None:
        super().__init__()
        self.kernel = kernel

    def covariance(self, a: Points, b: Points) -> Tensor:
        return self.kernel.forward(a.x, b.x)


class Constant(Process):
    """One number: ``u ~ N(0, 1)`` everywhere."""

    def covariance(self, a: Points, b: Points) -> Tensor:
        return a.x.new_ones(len(a.x), len(b.x))

    def weighted_covariance(self, a: Points, b: Points, w_a: Tensor, w_b: Tensor) -> Tensor:
        return torch.outer(w_a, w_b)


class PerGroup(Process):
    """One number a group: ``u_g ~ N(0, 1)``."""

    def covariance(self, a: Points, b: Points) -> Tensor:
        return (a.group[:, None] == b.group[None, :]).to(a.x.dtype)


class Mixing(gpytorch.Module, ABC):
    """How processes add up to tasks: a matrix ``W`` (T, P) with a fixed pattern of zeros."""

    support: Tensor
    """Boolean (T, P): where ``W`` may differ from zero."""

    @abstractmethod
    def weights(self) -> Tensor:
        """``W``, shape (T, P)."""


class Prior(gpytorch.Module):
    """``f_t(x, g) = sum_p W[t, p] u_p(x, g)``, the noise of each task, and what else its likelihood needs."""

    def __init__(
        self,
        processes: Sequence[Process],
        mixing: Mixing,
        noise: Noise,
        further: Sequence[gpytorch.Module | None] = (),
    ) -> None:
        super().__init__()
        self.processes = torch.nn.ModuleList(processes)
        self.mixing = mixing
        self.noise = noise
        self._further = torch.nn.ModuleDict({str(j): m for j, m in enumerate(further) if m is not None})
        self._forget()

    def _forget(self) -> None:
        """Drop what is kept to save walks over the modules."""
        self._hyperprior: HyperPrior | None = None
        self._raw: list[torch.nn.Parameter] | None = None
        self._places: list[tuple[Tensor, list[slice | Tensor | None]]] = []

    def raw_parameters(self) -> list[torch.nn.Parameter]:
        """All raw hyperparameters, always in the same order."""
        if self._raw is None:
            self._raw = list(self.parameters())
        return self._raw

    def further(self, part: int) -> Tensor:
        """Further hyperparameters of the likelihood of a part (none: an empty vector)."""
        name = str(part)
        return self._further[name]() if name in self._further else torch.zeros(0, dtype=torch.float64)

    def __iter__(self) -> Iterator[Process]:
        return iter(self.processes)  # type: ignore[arg-type]

    def __getitem__(self, p: int) -> Process:
        return self.processes[p]  # type: ignore[return-value]

    @property
    def n_tasks(self) -> int:
        """How many tasks the prior speaks of."""
        return self.mixing.support.shape[0]

    def covariance(self, a: Points, b: Points) -> Tensor:
        """``cov(f(a_i), f(b_j))``, shape (len(a), len(b)); fastest where points are sorted by task."""
        weights = self.mixing.weights()
        places, blocks = [], []
        all_rows = self._touched(a.task)
        all_columns = all_rows if a is b else self._touched(b.task)
        for p, process in enumerate(self):
            rows, columns = all_rows[p], all_columns[p]
            if rows is None or columns is None:
                continue
            part_a = a.at(rows)
            part_b = part_a if a is b else b.at(columns)
            blocks.append(process.weighted_covariance(part_a, part_b, weights[part_a.task, p], weights[part_b.task, p]))
            places.append((rows, columns))
        return _SumOfBlocks.apply((len(a.x), len(b.x)), places, *blocks)

    def variance(self, a: Points) -> Tensor:
        """``var f(a_i)``, shape (len(a),): the processes have unit variance."""
        return (self.mixing.weights() ** 2).sum(1)[a.task]

    def process_covariance(self, p: int, a: Points, b: Points) -> Tensor:
        """``cov(u_p(a_i), f(b_j))``, shape (len(a), len(b))."""
        return self[p].covariance(a, b) * self.mixing.weights()[b.task, p]

    def _touched(self, task: Tensor) -> list[slice | Tensor | None]:
        """The positions whose task has each process: a slice where they lie together, None where there are none."""
        for known, places in self._places:
            if known is task:
                return places
        places = []
        for p in range(len(self.processes)):
            index = torch.nonzero(self.mixing.support[task, p]).ravel()
            first, last = (int(index[0]), int(index[-1])) if len(index) else (0, -1)
            together = slice(first, last + 1) if last - first + 1 == len(index) else index
            places.append(together if len(index) else None)
        self._places = [*self._places[-3:], (task, places)]
        return places

    def draw_hyperparameters(self, seed: int) -> None:
        """Set all hyperparameters to a draw from their priors."""
        draw_from_priors(self, seed)

    def log_density(self) -> Tensor:
        """``log p(raw hyperparameters)``: the registered priors and the Jacobian of the logarithms."""
        if self._hyperprior is None:
            self._hyperprior = HyperPrior(self)
        return self._hyperprior.log_density()

    def __deepcopy__(self, memo: dict[int, Any]) -> Prior:
        self._forget()
        own = self.__class__.__new__(self.__class__)
        memo[id(self)] = own
        own.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return own
