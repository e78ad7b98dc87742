"""Draws from a posterior by tempered Hamiltonian Monte Carlo, such as those of the hyperparameters of an exact model.

The curvature at a good point is the preconditioner: in its coordinates the posterior is near a unit normal, so a few long
steps suffice.  Small tables often have several explanations (a rough function, or a smooth one and noise), between which
a single chain does not move: walkers at several temperatures, in which the labels count less and less, exchange their
states.  All walkers of all chains go in step, since the gradients of many cost little more than that of one.
Neal 2011, *MCMC using Hamiltonian dynamics*; Earl, Deem 2005, *Parallel tempering*.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol

import numpy as np

from bayestl.inference.gaussian.labels import Data
from bayestl.inference.gaussian.laplace import covariance_root, laplace_covariance
from bayestl.inference.reports import ChainReport
from bayestl.inference.threads import threads_for
from bayestl.priors.prior import Prior
from bayestl.priors.vector import RAW_BOUND, get_raw, set_raw

TEMPERATURES = (1.0, 0.4, 0.1)
"""Powers of the likelihood."""
TARGET_ACCEPTANCE = 0.8
LEAST_STEP = 1e-3
"""A chain with shorter steps, in standard deviations, stays where it is."""
SHORT_CHAINS, SHORT_WARMUP, SHORT_STATES = 4, 40, 24
"""Of :func:`short_chains`: the chains, their first states that are dropped, and the least number of those kept."""
LEAST_OF_STEP, LEARNING, LEARNT = 0.8, 0.1, 0.3
"""Least part of a step that is drawn, and where the covariance is learnt, in that time and after it: a posterior that is not round
has narrow places, in which a walker needs shorter steps.
"""
PRIOR_DRAWS = 10
"""Draws that the present covariance counts for where it is learnt."""
MOST_ERROR = 1000.0
"""Of the energy along a trajectory, nats: beyond, it has broken down."""
MEAN_STEPS = 4


class Evaluated(NamedTuple):
    """Log likelihood and log prior density (R,) at points (R, P), and their gradients (R, P); ``-inf`` where there is none."""

    likelihood: np.ndarray
    prior: np.ndarray
    slope_likelihood: np.ndarray
    slope_prior: np.ndarray


class Density(Protocol):
    """A posterior density as the chains see it; what counts as its likelihood is what temperatures weaken."""

    def at(self, points: np.ndarray) -> Evaluated:
        """At points (R, P)."""


class _OfHyperparameters:
    """The posterior of the raw hyperparameters of a prior, within bounds that are far outside every prior."""

    def __init__(self, prior: Prior, data: Data) -> None:
        self.prior, self.data = prior, data

    def at(self, points: np.ndarray) -> Evaluated:
        inside = np.abs(points).max(axis=1) <= RAW_BOUND
        out = Evaluated(*(np.full(len(points), -np.inf) for _ in range(2)), *(np.zeros_like(points) for _ in range(2)))
        if inside.any():
            out.likelihood[inside], out.slope_likelihood[inside] = self.data.evidences(self.prior, points[inside])
            out.prior[inside], out.slope_prior[inside] = self.prior.hyperprior.at(points[inside])
        return out


@dataclass
class _Walkers:
    """Points (R, P) in preconditioned coordinates: log likelihoods and log prior densities (R,), and their gradients."""

    w: np.ndarray
    likelihood: np.ndarray
    prior: np.ndarray
    slope_likelihood: np.ndarray
    slope_prior: np.ndarray

    def value(self, power: np.ndarray) -> np.ndarray:
        return power * self.likelihood + self.prior

    def slope(self, power: np.ndarray) -> np.ndarray:
        return power[:, None] * self.slope_likelihood + self.slope_prior

    def where(self, chosen: np.ndarray, other: _Walkers) -> _Walkers:
        """These where ``chosen`` (R,), the other ones elsewhere."""
        pairs = [(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return _Walkers(*(np.where(chosen if a.ndim == 1 else chosen[:, None], a, b) for a, b in pairs))

    def at(self, order: np.ndarray) -> _Walkers:
        """In another order."""
        return _Walkers(*(getattr(self, f.name)[order] for f in fields(self)))


def short_chains(prior: Prior, data: Data, n: int, seed: int) -> np.ndarray:
    """``n`` draws (n, P) for an average: chains at temperature one, all but one from a draw of the Laplace approximation on.

    A few dozen states do not tell whether they have settled, but have wider tails and fewer wrong turns than that approximation.
    """
    states = max(SHORT_STATES, -(-n // SHORT_CHAINS))
    draws, _ = hmc_draws(prior, data, states, seed, warmup=SHORT_WARMUP, temperatures=(1.0,), chains=SHORT_CHAINS)
    return draws[np.linspace(0, len(draws) - 1, n).round().astype(int)]


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
    """States (chains * n, P) over the raw hyperparameters of a prior, and how the chains went (see :func:`vectorised_chains`).

    ``prior`` is at the maximum, where the first chain starts, and left as it was; the others start at a draw from the
    Laplace approximation.

    Warns
    -----
    RuntimeWarning
        If the chains do not move: their states then tell nothing of the uncertainty.
    """
    centre = get_raw(prior)
    root = covariance_root(laplace_covariance(prior, data))
    with threads_for(len(data)):
        states, report = vectorised_chains(
            _OfHyperparameters(prior, data),
            centre,
            root,
            n,
            seed,
            warmup=warmup,
            temperatures=temperatures,
            chains=chains,
            callback=callback,
        )
    set_raw(prior, centre)
    if report.step < LEAST_STEP:
        warnings.warn(
            f"the chain of the hyperparameters does not move (steps of {report.step:.1g} standard deviations): intervals of "
            "offsets and scale factors are too narrow; scale the labels and features, or ask for more n_starts",
            RuntimeWarning,
            stacklevel=2,
        )
    return states, report


def vectorised_chains(
    density: Density,
    centre: np.ndarray,
    root: np.ndarray,
    n: int,
    seed: int,
    *,
    warmup: int = 80,
    temperatures: tuple[float, ...] = TEMPERATURES,
    chains: int = 1,
    learn: int | None = None,
    mean_steps: int = MEAN_STEPS,
    callback: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, ChainReport]:
    """Successive states (chains * n, P) at temperature one, one chain after another, and how the chains went.

    Parameters
    ----------
    density : Density
    centre : ndarray, shape (P,)
        Where the first chain starts.
    root : ndarray, shape (P, P)
        Of a covariance that is roughly that of the posterior; the other chains start at a draw with it around the centre.
    n : int
        States of a chain that are kept, after ``warmup`` others in which the step sizes are adapted, one a temperature.
    seed : int
    temperatures : tuple of float
        Powers of the likelihood, the first of them one.
    chains : int
        Each with all temperatures.
    learn : int, optional
        In the first half of the warmup the covariance of so many of the first coordinates, and the variances of the others, are
        learnt from the walkers.  Default: that of ``root`` is good enough.
    mean_steps : int
        Leapfrog steps of a trajectory, on average; their number is drawn, so that none returns to where it started.
    callback : callable, optional
        Told the number of states of each chain so far.
    """
    generator = np.random.default_rng(seed)
    levels = len(temperatures)
    power = np.tile(temperatures, chains)  # walker c * levels + k is at temperature k of chain c

    def at(w: np.ndarray) -> _Walkers:
        found = density.at(centre + w @ root.T)
        return _Walkers(w, found.likelihood, found.prior, found.slope_likelihood @ root, found.slope_prior @ root)

    def move(state: _Walkers, step: np.ndarray, shortest: float) -> tuple[_Walkers, np.ndarray, np.ndarray]:
        """The next states, the chance that each had, and which ways broke down (beyond the bounds is no breakdown)."""
        momentum = generator.standard_normal(state.w.shape)
        start = state.value(power) - 0.5 * (momentum**2).sum(axis=1)
        length = (np.tile(step, chains) * generator.uniform(shortest, 1.2, len(power)))[:, None]
        new, gain = state, np.zeros(len(power))
        alive, broken = np.ones(len(power), dtype=bool), np.zeros(len(power), dtype=bool)
        for _ in range(generator.integers(1, 2 * mean_steps)):
            momentum = np.where(alive[:, None], momentum + 0.5 * length * new.slope(power), 0.0)
            new = at(np.where(alive[:, None], new.w + length * momentum, state.w))
            momentum = momentum + 0.5 * length * new.slope(power)
            gain = new.value(power) - 0.5 * (momentum**2).sum(axis=1) - start
            lost = alive & ~(gain > -MOST_ERROR)
            broken |= lost & np.isfinite(new.prior)
            alive &= ~lost
        chance = np.where(alive, np.exp(np.minimum(gain, 0.0, where=alive, out=np.zeros_like(gain))), 0.0)
        return new.where(generator.random(len(power)) < chance, state), chance, broken

    def exchanged(state: _Walkers, first: int) -> _Walkers:
        """Neighbouring temperatures of each chain may exchange their states."""
        order = np.arange(len(power))
        for lower in range(first, levels - 1, 2):
            low = lower + levels * np.arange(chains)
            gain = (power[low] - power[low + 1]) * (state.likelihood[low + 1] - state.likelihood[low])
            swap = low[np.log(generator.uniform(1e-300, 1.0, chains)) < gain]
            order[swap], order[swap + 1] = swap + 1, swap
        return state.at(order)

    kept: list[np.ndarray] = []
    seen: list[np.ndarray] = []
    values: list[np.ndarray] = []
    chances: list[float] = []
    diverged = 0
    step = np.full(levels, 0.4)
    shortest = LEAST_OF_STEP if learn is None else LEARNT
    away = np.concatenate([np.zeros((1, len(centre))), generator.standard_normal((chains - 1, len(centre)))])
    state = at(np.repeat(away, levels, axis=0))
    while not (found := np.isfinite(state.likelihood)).all() and np.abs(state.w).max() > 1e-3:
        state = at(np.where(found[:, None], state.w, 0.5 * state.w))
    for iteration in range(warmup + n):
        learning = learn is not None and iteration < warmup // 2
        with np.errstate(over="ignore"):  # on ways that break down
            state, chance, broken = move(state, step, shortest if not learning else LEARNING)
        each = chance.reshape(chains, levels)
        if iteration < warmup:
            step *= np.exp((each.mean(axis=0) - TARGET_ACCEPTANCE) / np.sqrt(1 + 0.3 * iteration))
            if learning:
                seen.append(state.w[::levels])
            if learn is not None and iteration + 1 in (warmup // 4, warmup // 2):
                turn = _root_of(np.concatenate(seen[len(seen) // 3 :]), learn)
                root = root @ turn
                state = at(np.linalg.solve(turn, state.w.T).T)
                seen.clear()
        else:
            chances.append(each[:, 0].mean())
            diverged += int(broken[::levels].sum())
        state = exchanged(state, iteration % 2)
        if iteration >= warmup:
            kept.append(state.w[::levels])
            values.append((state.likelihood + state.prior)[::levels])
        if callback is not None:
            callback(iteration + 1)
    report = ChainReport.of(np.stack(values, axis=1), diverged, float(np.mean(chances)), float(step[0]))
    states = np.stack(kept, axis=1).reshape(chains * n, -1)
    return centre + states @ root.T, report


def _root_of(w: np.ndarray, dense: int) -> np.ndarray:
    """A root (P, P) of the covariance of points (N, P), of which a unit one is expected: that of the first ``dense`` coordinates,
    and the variances of the others.
    """
    covariance = (np.cov(w.T) * len(w) + PRIOR_DRAWS * np.eye(w.shape[1])) / (len(w) + PRIOR_DRAWS)
    root = np.diag(np.sqrt(np.diag(covariance)))
    root[:dense, :dense] = np.linalg.cholesky(covariance[:dense, :dense])
    return root
