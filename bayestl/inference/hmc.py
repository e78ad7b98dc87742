"""Draws of the hyperparameters of an exact model from their posterior: tempered Hamiltonian Monte Carlo.

The Laplace approximation is the preconditioner: in its coordinates the posterior is near a unit normal, so a few long
steps suffice.  Small tables often have several explanations (a rough function, or a smooth one and noise), between which
a single chain does not move: chains at several temperatures, in which the labels count less and less, exchange their
states.  Neal 2011, *MCMC using Hamiltonian dynamics*; Earl, Deem 2005, *Parallel tempering*.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayestl.inference.chains import ChainReport
from bayestl.inference.exact import RAW_BOUND, Data, differentiate, get_raw, set_raw, value_and_gradient
from bayestl.inference.laplace import covariance_root, laplace_covariance
from bayestl.inference.threads import threads_for
from bayestl.kernels import Prior

TEMPERATURES = (1.0, 0.4, 0.1)
"""Powers of the likelihood."""
TARGET_ACCEPTANCE = 0.8
LEAST_STEP = 1e-3
"""A chain with shorter steps, in standard deviations, stays where it is."""
MEAN_STEPS = 4
"""Leapfrog steps of a trajectory, on average; each is drawn, so that none returns to where it started."""


@dataclass
class _State:
    """A point in preconditioned coordinates: log likelihood, log prior density, and their gradients."""

    w: np.ndarray
    likelihood: float
    prior: float
    slope_likelihood: np.ndarray
    slope_prior: np.ndarray

    def value(self, power: float) -> float:
        return power * self.likelihood + self.prior

    def slope(self, power: float) -> np.ndarray:
        return power * self.slope_likelihood + self.slope_prior


def hmc_draws(
    prior: Prior,
    data: Data,
    n: int,
    seed: int,
    *,
    warmup: int = 80,
    temperatures: tuple[float, ...] = TEMPERATURES,
    chains: int = 1,
    callback: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, ChainReport]:
    """Successive states (chains * n, P) at temperature one, over the raw hyperparameters, and how the chains went.

    Parameters
    ----------
    prior : Prior
        At the maximum, where the first chain starts; left as it was.
    data : Data
    n : int
        States of a chain that are kept, after ``warmup`` others in which the step sizes are adapted.
    seed : int
    temperatures : tuple of float
        Powers of the likelihood, the first of them one.
    chains : int
        Each with all temperatures; those after the first start at a draw from the Laplace approximation.
    callback : callable, optional
        Told the number of states so far.

    Warns
    -----
    RuntimeWarning
        If the chain does not move: its states then tell nothing of the uncertainty.
    """
    generator = np.random.default_rng(seed)
    centre = get_raw(prior)
    root = covariance_root(laplace_covariance(prior, data))

    def at(w: np.ndarray) -> _State:
        raw = centre + root @ w
        nothing = np.zeros_like(w)
        if np.abs(raw).max() > RAW_BOUND:
            return _State(w, -np.inf, -np.inf, nothing, nothing)
        total, gradient = value_and_gradient(prior, data, raw)
        own, own_gradient = differentiate(prior, prior.log_density)
        return _State(w, total - own, own, root.T @ (gradient - own_gradient), root.T @ own_gradient)

    def move(state: _State, power: float, step: float) -> tuple[_State, float, bool]:
        """The next state, the chance that it had, and whether the way there broke down (beyond the bounds is no breakdown)."""
        momentum = generator.standard_normal(len(state.w))
        start = state.value(power) - 0.5 * momentum @ momentum
        length = step * generator.uniform(0.8, 1.2)
        new = state
        for _ in range(generator.integers(1, 2 * MEAN_STEPS)):
            momentum = momentum + 0.5 * length * new.slope(power)
            new = at(new.w + length * momentum)
            if not np.isfinite(new.likelihood):
                return state, 0.0, bool(np.isfinite(new.prior))
            momentum = momentum + 0.5 * length * new.slope(power)
        chance = math.exp(min(0.0, float(new.value(power) - 0.5 * momentum @ momentum - start)))
        return (new if generator.random() < chance else state), chance, False

    def first(chain: int) -> _State:
        away = generator.standard_normal(len(centre)) if chain else np.zeros_like(centre)
        state = at(away)
        while not np.isfinite(state.likelihood) and np.abs(away).max() > 1e-3:
            away = 0.5 * away
            state = at(away)
        return state

    kept: list[np.ndarray] = []
    values: list[float] = []
    chances: list[float] = []
    shortest, diverged = np.inf, 0
    with threads_for(len(data)):
        for chain in range(chains):
            steps = np.full(len(temperatures), 0.4)
            states = [first(chain)] * len(temperatures)
            for iteration in range(warmup + n):
                for k, power in enumerate(temperatures):
                    states[k], chance, broke = move(states[k], power, steps[k])
                    if iteration < warmup:
                        steps[k] *= np.exp((chance - TARGET_ACCEPTANCE) / np.sqrt(1 + 0.3 * iteration))
                    elif k == 0:
                        chances.append(chance)
                        diverged += broke
                for k in range(iteration % 2, len(temperatures) - 1, 2):
                    gain = (temperatures[k] - temperatures[k + 1]) * (states[k + 1].likelihood - states[k].likelihood)
                    if math.log(generator.uniform(1e-300, 1.0)) < gain:
                        states[k], states[k + 1] = states[k + 1], states[k]
                if iteration >= warmup:
                    kept.append(states[0].w)
                    values.append(states[0].value(1.0))
                if callback is not None:
                    callback(chain * (warmup + n) + iteration + 1)
            shortest = min(shortest, float(steps[0]))
    set_raw(prior, centre)
    if shortest < LEAST_STEP:
        warnings.warn(
            f"the chain of the hyperparameters does not move (steps of {shortest:.1g} standard deviations): intervals of "
            "offsets and scale factors are too narrow; scale the labels and features, or ask for more n_starts",
            RuntimeWarning,
            stacklevel=2,
        )
    report = ChainReport.of(np.reshape(values, (chains, n)), diverged, float(np.mean(chances)), shortest)
    return centre + np.stack(kept) @ root.T, report
