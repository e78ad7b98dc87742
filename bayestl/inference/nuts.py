"""The no-U-turn sampler over a vector, given its log density and gradient (Pyro's; Hoffman, Gelman 2014).

It moves in coordinates in which the posterior is near a unit normal: the caller may give a root of the covariance of the
first of them; only the step size is adapted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayestl.inference.chains import ChainReport
from bayestl.inference.variational import alone_with_pyro

Density = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""Value and gradient at a point; ``-inf`` and zeros where there is none."""

TARGET_ACCEPTANCE = 0.9
"""Few labels leave narrow regions of small noise, which longer steps overshoot."""
TREE_DEPTH = 4
"""Doublings of a trajectory, at the most."""


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
    chains: int = 1,
    callback: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, ChainReport]:
    """Successive states (chains * n, P) of each chain, one chain after another, and how they went.

    Parameters
    ----------
    density : Density
    start : ndarray, shape (P,)
    n : int
        States of a chain that are kept, after ``warmup`` others in which its step size is adapted.
    seed : int
    root : ndarray, shape (k, k), optional
        Of the covariance of the first k coordinates, roughly.
    chains : int
        The first starts at ``start``, the others a draw from a unit normal in the sampler's coordinates away from it.
    callback : callable, optional
        Told the number of states so far.

    Warns
    -----
    RuntimeWarning
        If the chain has not settled, or many of its trajectories diverged.
    """
    from pyro.infer import NUTS

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

    kept: list[np.ndarray] = []
    divergences, acceptance, steps = 0, [], []
    for chain in range(chains):
        with alone_with_pyro(seed + 7919 * chain):
            sampler = NUTS(
                potential_fn=lambda at: _Potential.apply(at["w"], scaled),
                step_size=0.2,
                adapt_mass_matrix=False,
                max_tree_depth=TREE_DEPTH,
                target_accept_prob=TARGET_ACCEPTANCE,
            )
            sampler.initial_params = {"w": _first(scaled, len(start), chain)}
            sampler.setup(warmup)
            state = sampler.initial_params
            for i in range(warmup + n):
                state = sampler.sample(state)
                if i >= warmup:
                    kept.append(to_point(state["w"].numpy()))
                if callback is not None:
                    callback(chain * (warmup + n) + i + 1)
            told = sampler.diagnostics()
            divergences += len(told["divergences"])
            acceptance.append(float(told["acceptance rate"]))
            steps.append(float(sampler.step_size))
            sampler.cleanup()
    values = np.array([density(w)[0] for w in kept]).reshape(chains, n)
    report = ChainReport.of(values, divergences, float(np.mean(acceptance)), min(steps))
    if not report.converged:
        warnings.warn(
            f"the chains have not settled ({report.message}): ask for more n_draws, or check for labels that are far outside "
            "what their noise allows",
            RuntimeWarning,
            stacklevel=2,
        )
    return np.stack(kept), report


def _first(scaled: Density, size: int, chain: int) -> Tensor:
    """Where a chain starts; nearer to the given start where the density is not finite farther away."""
    away = torch.randn(size, dtype=torch.float64) if chain else torch.zeros(size, dtype=torch.float64)
    while chain and not np.isfinite(scaled(away.numpy())[0]):
        away = 0.5 * away
    return away
