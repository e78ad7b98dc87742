"""Hyperparameters with proper priors: how a module registers them, and the joint density of all those in a module.

Scales are stored and optimised as logarithms, with the Jacobian in the density, so that no scale collapses to zero or
diverges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import gpytorch
import numpy as np
import torch
from gpytorch.priors import LogNormalPrior, NormalPrior
from torch import Tensor

from bayestl.device import CPU, tensor, to_numpy
from bayestl.streams import torch_generator

LEAST_LEVEL = 2.0**-54
"""Least level of a quantile that stands for a draw: at level 0 it would be infinite."""


def positive() -> gpytorch.constraints.Interval:
    """A GPyTorch constraint to positive values whose raw parameter is the logarithm."""
    return gpytorch.constraints.Positive(transform=torch.exp, inv_transform=torch.log)


def register_positive(module: gpytorch.Module, name: str, value: Tensor, prior: gpytorch.priors.Prior) -> None:
    """Give ``module`` a positive parameter with a prior on its value, stored as ``raw_<name>`` = log(value)."""
    raw = f"raw_{name}"
    module.register_parameter(raw, torch.nn.Parameter(value.double().log()))
    module.register_constraint(raw, positive())
    module.register_prior(
        f"{name}_prior",
        prior,
        partial(_exponential, raw),
        partial(_set_exponential, raw),
    )
    prior.stored_as = raw


def register_real(module: gpytorch.Module, name: str, value: Tensor, prior: gpytorch.priors.Prior) -> None:
    """Give ``module`` an unbounded parameter ``name`` with a prior."""
    module.register_parameter(name, torch.nn.Parameter(value.double()))
    module.register_prior(f"{name}_prior", prior, partial(_value, name), partial(_set_value, name))
    prior.stored_as = name


# Functions of a module under a name of their own, so that a module can be pickled.


def _exponential(raw: str, module: gpytorch.Module) -> Tensor:
    return getattr(module, raw).exp()


def _set_exponential(raw: str, module: gpytorch.Module, value: Tensor) -> None:
    module.initialize(**{raw: value.log()})


def _value(name: str, module: gpytorch.Module) -> Tensor:
    return getattr(module, name)


def _set_value(name: str, module: gpytorch.Module, value: Tensor) -> None:
    module.initialize(**{name: value})


def draw_prior(
    prior: gpytorch.priors.Prior, shape: Sequence[int], generator: torch.Generator, device: torch.device = CPU
) -> Tensor:
    """A draw of a shape from a prior on numbers on a device, by the inverse of its distribution function.

    The ``sample`` of a prior would use torch's global generator.

    Raises
    ------
    ValueError
        If the prior has no inverse distribution function.
    """
    level = torch.rand(*shape, generator=generator, dtype=torch.float64, device=CPU).clamp_min(LEAST_LEVEL)
    try:
        return prior.icdf(level.to(device)).double()
    except NotImplementedError as error:
        raise ValueError(
            f"no draws from {type(prior).__name__}: it has no inverse distribution function; define icdf in a subclass"
        ) from error


def draw_from_priors(module: gpytorch.Module, seed: int) -> None:
    """Set all hyperparameters of a module and its submodules to a draw from their priors."""
    generator = torch_generator(seed, "draw from priors")
    for _, owner, prior, closure, setter in module.named_priors():
        value = closure(owner)
        setter(owner, draw_prior(prior, value.shape, generator, value.device))


class HyperPrior:
    """``log p(raw hyperparameters)`` of all priors in a module and its submodules, Jacobians of logarithms included.

    A normal prior on a number and a log-normal one on a scale are both normal in the stored value, so all of these are
    evaluated as one density.  The modules are traversed once, since that costs as much as a small fit.
    """

    def __init__(self, module: gpytorch.Module) -> None:
        self._normal: list[Tensor] = []
        self._others: list[tuple[Tensor, gpytorch.priors.Prior, np.ndarray]] = []
        means, sds, positions = [], [], []
        ends = np.cumsum([p.numel() for p in module.parameters()])
        positions_of = {
            id(p): np.arange(end - p.numel(), end) for p, end in zip(module.parameters(), ends, strict=True)
        }
        for _, owner, prior, _, _ in module.named_priors():
            raw = getattr(owner, prior.stored_as)
            if isinstance(prior, NormalPrior | LogNormalPrior):
                self._normal.append(raw)
                positions.append(positions_of[id(raw)])
                means.append(torch.as_tensor(prior.loc).double().expand(raw.shape).ravel())
                sds.append(torch.as_tensor(prior.scale).double().expand(raw.shape).ravel())
            else:
                self._others.append((raw, prior, positions_of[id(raw)]))
        self._positions = np.concatenate(positions) if positions else np.zeros(0, dtype=int)
        self._mean = torch.cat(means) if means else torch.zeros(0, dtype=torch.float64)
        self._sd = torch.cat(sds) if sds else torch.zeros(0, dtype=torch.float64)
        self._moments = to_numpy(self._mean), to_numpy(self._sd)
        self._constant = -float(self._sd.log().sum()) - 0.5 * len(self._sd) * math.log(2 * math.pi)

    def log_density(self) -> Tensor:
        """Log density at the present values, a differentiable scalar."""
        total = self._mean.new_zeros(())
        if self._normal:
            z = (torch.cat([p.ravel() for p in self._normal]) - self._mean) / self._sd
            total = self._constant - 0.5 * (z @ z)
        for raw, prior, _ in self._others:
            total = total + (prior.log_prob(raw.exp()) + raw).sum()
        return total

    def at(self, raws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density (S,) at each of several vectors (S, P) of all raw hyperparameters, and the gradients (S, P)."""
        gradients = np.zeros_like(raws)
        mean, sd = self._moments
        z = (raws[:, self._positions] - mean) / sd
        values = self._constant - 0.5 * (z * z).sum(axis=1)
        gradients[:, self._positions] = -z / sd
        for stored, prior, positions in self._others:
            raw = tensor(raws[:, positions], stored.device).requires_grad_(True)
            log_densities = (prior.log_prob(raw.exp()) + raw).sum(dim=1)
            log_densities.sum().backward()
            values += to_numpy(log_densities)
            assert raw.grad is not None
            gradients[:, positions] = to_numpy(raw.grad)
        return values, gradients
