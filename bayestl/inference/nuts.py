"""The no-U-turn sampler over a vector, given its log density and gradient (Pyro's; Hoffman, Gelman 2014).

It moves in coordinates in which the posterior is near a unit normal: the caller may give a root of the covariance of the
first of them; only the step size is adapted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayestl.inference.variational import alone_with_pyro

Density = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""Value and gradient at a point; ``-inf`` and zeros where there is none."""

TREE_DEPTH = 4
"""Doublings of a trajectory, at the most."""
MOST_R_HAT = 1.2
"""Of the log density: the two halves of a chain that has settled agree."""
MOST_DIVERGENT = 0.05


@dataclass
class NUTSReport:
    """How a chain went."""

    log_density: np.ndarray
    """(S,) nats, of the states that were kept."""
    r_hat: float
    """Of the log density, between the halves of the chain."""
    effective: float
    """Effective number of draws of the log density."""
    divergences: int
    acceptance: float
    step: float

    @property
    def converged(self) -> bool:
        """Whether the halves of the chain agree and few of its trajectories diverged."""
        return self.r_hat < MOST_R_HAT and self.divergences <= MOST_DIVERGENT * len(self.log_density)

    @property
    def message(self) -> str:
        """In words."""
        return (
            f"R-hat of the log density {self.r_hat:.2f}, {self.effective:.0f} effective draws, "
            f"{self.divergences} divergences"
        )


class _Potential(torch.autograd.Function):
    """Minus the log density, with the gradient that came with it."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, density: Density) -> Tensor:  # type: ignore[override]
        value, gradient = density(w.detach().numpy())
        ctx.save_for_backward(torch.from_numpy(gradient))
        return w.new_tensor(-value)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return -grad * gradient, None


def nuts_draws(
    density: Density,
    start: np.ndarray,
    n: int,
    seed: int,
    *,
    root: np.ndarray | None = None,
    warmup: int = 100,
    callback: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, NUTSReport]:
    """``n`` successive states (n, P) of one chain, and how it went.

    Parameters
    ----------
    density : Density
    start : ndarray, shape (P,)
    n : int
        States kept, after ``warmup`` others in which the step size is adapted.
    seed : int
    root : ndarray, shape (k, k), optional
        Of the covariance of the first k coordinates, roughly.
    callback : callable, optional
        Told the number of states so far.

    Warns
    -----
    RuntimeWarning
        If the chain has not settled, or many of its trajectories diverged.
    """
    from pyro.infer import NUTS
    from pyro.ops.stats import effective_sample_size, split_gelman_rubin

    k = 0 if root is None else len(root)

    def to_point(v: np.ndarray) -> np.ndarray:
        w = start + v
        if root is not None:
            w[:k] = start[:k] + root @ v[:k]
        return w

    def scaled(v: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = density(to_point(v))
        if root is not None:
            gradient = np.concatenate([root.T @ gradient[:k], gradient[k:]])
        return value, gradient

    with alone_with_pyro(seed):
        sampler = NUTS(
            potential_fn=lambda at: _Potential.apply(at["w"], scaled),
            step_size=0.2,
            adapt_mass_matrix=False,
            max_tree_depth=TREE_DEPTH,
        )
        sampler.initial_params = {"w": torch.zeros(len(start), dtype=torch.float64)}
        sampler.setup(warmup)
        state = sampler.initial_params
        kept = []
        for i in range(warmup + n):
            state = sampler.sample(state)
            if i >= warmup:
                kept.append(to_point(state["w"].numpy()))
            if callback is not None:
                callback(i + 1)
        told = sampler.diagnostics()
        step = float(sampler.step_size)
        sampler.cleanup()
    values = np.array([density(w)[0] for w in kept])
    chain = torch.from_numpy(values)[None]
    r_hat, effective = (float(f(chain)) for f in (split_gelman_rubin, effective_sample_size))
    divergences = len(told["divergences"])
    report = NUTSReport(values, r_hat, effective, divergences, float(told["acceptance rate"]), step)
    if not report.converged:
        warnings.warn(
            f"the chain has not settled ({report.message}): ask for more n_draws, or check for labels that are far outside "
            "what their noise allows",
            RuntimeWarning,
            stacklevel=2,
        )
    return np.stack(kept), report
