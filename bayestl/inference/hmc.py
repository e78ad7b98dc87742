"""Draws of the hyperparameters of an exact model from their posterior, by Hamiltonian Monte Carlo.

The Laplace approximation is the preconditioner: in its coordinates the posterior is near a unit normal, so a few long
steps suffice.  Where the posterior is skewed (scales, ``rho`` under a noisy source) the draws follow it, which the
Laplace approximation itself does not.  Neal 2011, *MCMC using Hamiltonian dynamics*.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from bayestl.inference.exact import (
    RAW_BOUND,
    Labels,
    covariance_root,
    get_raw,
    laplace_covariance,
    laplace_draws,
    set_raw,
    threads_for,
    value_and_gradient,
)
from bayestl.kernels import Prior

TARGET_ACCEPTANCE = 0.8
LEAST_SPREAD = 0.2
"""A chain whose states spread less than this, in standard deviations of the Laplace approximation, has not moved (its
step size collapsed): the approximation's own draws are better."""
MEAN_STEPS = 4
"""Leapfrog steps of a trajectory, on average; each is drawn, so that none returns to where it started."""


def hmc_draws(
    prior: Prior,
    labels: Labels,
    n: int,
    seed: int,
    *,
    warmup: int = 50,
    callback: Callable[[int], None] | None = None,
) -> np.ndarray:
    """``n`` successive states (n, P) of a chain over the raw hyperparameters, started at their maximum.

    Parameters
    ----------
    prior : Prior
        At the maximum; left as it was.
    labels : Labels
    n : int
        States kept, after ``warmup`` others in which the step size is adapted.
    seed : int
    callback : callable, optional
        Told the number of states so far.

    Returns
    -------
    ndarray
        Draws of the Laplace approximation where the chain has not moved (:data:`LEAST_SPREAD`).
    """
    generator = np.random.default_rng(seed)
    centre = get_raw(prior)
    root = covariance_root(laplace_covariance(prior, labels))

    def target(w: np.ndarray) -> tuple[float, np.ndarray]:
        raw = centre + root @ w
        if np.abs(raw).max() > RAW_BOUND:
            return -np.inf, np.zeros_like(w)
        value, gradient = value_and_gradient(prior, labels, raw)
        return value, root.T @ gradient

    step = 0.4
    with threads_for(len(labels)):
        w = np.zeros_like(centre)
        value, gradient = target(w)
        kept = []
        for iteration in range(warmup + n):
            momentum = generator.standard_normal(len(w))
            start = value - 0.5 * momentum @ momentum
            at, height, slope = w, value, gradient
            length = step * generator.uniform(0.8, 1.2)
            for _ in range(generator.integers(1, 2 * MEAN_STEPS)):
                momentum = momentum + 0.5 * length * slope
                at = at + length * momentum
                height, slope = target(at)
                momentum = momentum + 0.5 * length * slope
                if not np.isfinite(height):
                    break
            chance = (
                math.exp(min(0.0, float(height - 0.5 * momentum @ momentum - start))) if np.isfinite(height) else 0.0
            )
            if generator.random() < chance:
                w, value, gradient = at, height, slope
            if iteration < warmup:
                step *= np.exp((chance - TARGET_ACCEPTANCE) / np.sqrt(1 + 0.3 * iteration))
            else:
                kept.append(w)
            if callback is not None:
                callback(iteration + 1)
    set_raw(prior, centre)
    states = np.stack(kept)
    if np.median(states.std(axis=0)) < LEAST_SPREAD:
        return laplace_draws(prior, labels, n, seed)
    return centre + states @ root.T
