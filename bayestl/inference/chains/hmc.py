"""Hamiltonian Monte Carlo with parallel tempering, vectorised over all chains and temperatures.

The curvature at a good point is the preconditioner: in its coordinates the posterior is near a unit normal, so a few
long steps suffice.  Small tables often have several explanations (a rough function, or a smooth one and noise), between
which a single chain does not move.  So each chain has walkers at several temperatures, ``p(y | .)^power p(.)``, and
walkers at neighbouring temperatures exchange their states.  The walkers of all chains are vectorised, since the
gradients of many cost little more than the gradient of one.
Neal 2011, *MCMC using Hamiltonian dynamics*; Earl, Deem 2005, *Parallel tempering*.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol

import numpy as np

from bayestl import streams
from bayestl.inference.gaussian.labels import Data, log_posteriors
from bayestl.inference.gaussian.laplace import covariance_root, inverse_curvature
from bayestl.inference.reports import ChainReport
from bayestl.inference.threads import threads_for
from bayestl.priors.prior import Prior
from bayestl.priors.vector import RAW_BOUND, get_raw, set_raw

TEMPERATURES = (1.0, 0.4, 0.1)
"""Powers of the likelihood in parallel tempering (inverse temperatures), the first of them one."""
TARGET_ACCEPTANCE = 0.8
"""Mean acceptance probability to which the step sizes are adapted."""
LEAST_STEP = 1e-3
"""Step size in standard deviations below which a chain counts as not moving."""
SHORT_CHAINS, SHORT_WARMUP, SHORT_STATES = 4, 40, 24
"""Settings of :func:`short_chains`: chains, warmup states, and the least number of kept states per chain."""
SHORTEST_STEP, SHORTEST_WHILE_LEARNING, SHORTEST_LEARNT = 0.8, 0.1, 0.3
LONGEST_STEP = 1.2
"""Each trajectory draws its step size uniformly between the shortest and the longest multiple of the adapted one.  The
shortest is smaller while the covariance is learnt, and after it: a posterior for which the given covariance is not good
enough has narrow regions, in which a walker needs shorter steps.
"""
PRIOR_DRAWS = 10
"""Number of draws with which the present covariance is weighted when it is learnt anew."""
MOST_ERROR = 1000.0
"""Energy error along a trajectory, nats, beyond which it is divergent."""
START_POWER = 0.1
"""Power of the likelihood at the start of chains that learn the covariance: it rises to that of each walker in the first
quarter of the warmup, so that the chains leave poor local maxima near their starts (simulated annealing)."""
MEAN_STEPS = 4
"""Mean number of leapfrog steps of a trajectory."""


class Evaluated(NamedTuple):
    """Log likelihood and log prior density (R,) at points (R, P), ``-inf`` where undefined, and gradients (R, P)."""

    likelihood: np.ndarray
    prior: np.ndarray
    slope_likelihood: np.ndarray
    slope_prior: np.ndarray


class Density(Protocol):
    """A posterior density for the chains, as likelihood times prior; temperatures weaken the likelihood."""

    def at(self, points: np.ndarray) -> Evaluated:
        """Log likelihood, log prior density and gradients at points (R, P)."""


class _HyperparameterPosterior:
    """The posterior density of the raw hyperparameters of a prior, within bounds that are far outside every prior."""

    def __init__(self, prior: Prior, data: Data) -> None:
        self.prior, self.data = prior, data

    def at(self, points: np.ndarray) -> Evaluated:
        inside = np.abs(points).max(axis=1) <= RAW_BOUND
        likelihood, prior = np.full(len(points), -np.inf), np.full(len(points), -np.inf)
        slope_likelihood, slope_prior = np.zeros_like(points), np.zeros_like(points)
        if inside.any():
            likelihood[inside], slope_likelihood[inside] = self.data.evidences(self.prior, points[inside])
            prior[inside], slope_prior[inside] = self.prior.hyperprior.at(points[inside])
        return Evaluated(likelihood, prior, slope_likelihood, slope_prior)


@dataclass
class _Walkers:
    """Walkers at ``w`` (R, P) in preconditioned coordinates: log likelihoods and log priors (R,), gradients (R, P)."""

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
        """The walkers where ``chosen`` (R,), the other ones elsewhere."""
        pairs = [(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return _Walkers(*(np.where(chosen if a.ndim == 1 else chosen[:, None], a, b) for a, b in pairs))

    def at(self, order: np.ndarray) -> _Walkers:
        """The walkers in the given order."""
        return _Walkers(*(getattr(self, f.name)[order] for f in fields(self)))


def short_chains(prior: Prior, data: Data, n: int, seed: int) -> np.ndarray:
    """``n`` draws (n, P) of raw hyperparameters for an average, from short chains at temperature one.

    All chains but the first start at a draw from the Laplace approximation.  A few dozen states are too few to judge
    convergence, but have wider tails and fewer implausible values than draws from that approximation.
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
    """States (chains * n, P) of the raw hyperparameters of a prior, and the report of the chains.

    ``prior`` is at the maximum, where the first chain starts, and left as it was; each other chain starts at a draw
    from the Laplace approximation.  The keyword arguments are those of :func:`vectorised_chains`.

    Warns
    -----
    RuntimeWarning
        If the chains do not move: their states then carry no information on the uncertainty.
    """
    centre = get_raw(prior)
    with threads_for(len(data)):
        root = covariance_root(inverse_curvature(lambda at: log_posteriors(prior, data, at)[1], centre))
        states, report = vectorised_chains(
            _HyperparameterPosterior(prior, data),
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
    exchangeable: Sequence[np.ndarray] = (),
    patience: int = 0,
    callback: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, ChainReport]:
    """Successive states (chains * n, P) at temperature one, one chain after another, and the report of the chains.

    Parameters
    ----------
    density : Density
        The posterior density.
    centre : ndarray, shape (P,)
        Start of the first chain.
    root : ndarray, shape (P, P)
        Root of a covariance near that of the posterior; the other chains start at a draw from the normal distribution
        with this covariance around the centre.
    n : int
        Number of states kept per chain, after ``warmup`` others in which one step size per temperature is adapted.
    seed : int
        Seed of all random numbers.
    temperatures : tuple of float
        Powers of the likelihood, the first of them one.
    chains : int
        Number of chains, each with one walker per temperature.
    learn : int, optional
        Number of leading coordinates whose covariance is learnt from the walkers in three quarters of the warmup, with
        the variances of the others, both from draws and gradients (:func:`_learnt_root`).  Default: nothing is learnt,
        the covariance of ``root`` is good enough.
    mean_steps : int
        Mean number of leapfrog steps of a trajectory; it is drawn, so that no trajectory returns to its start.
    exchangeable : sequence of ndarray of int
        Groups of coordinates with the same independent prior, such as the length scales of features.  Before each
        trajectory two of a group may change places: trajectories seldom pass from one choice of relevant features to
        another.
    patience : int
        How often chains that have not converged go on for ``n`` further states, which replace those before.
    callback : callable, optional
        Called with the number of states of each chain so far.
    """
    generator = streams.generator(seed, "chains")
    levels = len(temperatures)
    inverse = np.linalg.inv(root) if exchangeable else np.eye(len(root))
    powers = np.tile(temperatures, chains)  # walker c * levels + k is at temperature k of chain c
    power = powers

    def at(w: np.ndarray) -> _Walkers:
        values = density.at(centre + w @ root.T)
        return _Walkers(w, values.likelihood, values.prior, values.slope_likelihood @ root, values.slope_prior @ root)

    def move(state: _Walkers, step: np.ndarray, shortest: float) -> tuple[_Walkers, np.ndarray, np.ndarray]:
        """The next states, their acceptance probabilities, and which trajectories diverged (within the bounds)."""
        momentum = generator.standard_normal(state.w.shape)
        start = state.value(power) - 0.5 * (momentum**2).sum(axis=1)
        length = (np.tile(step, chains) * generator.uniform(shortest, LONGEST_STEP, len(power)))[:, None]
        new, gain = state, np.zeros(len(power))
        alive, divergent = np.ones(len(power), dtype=bool), np.zeros(len(power), dtype=bool)
        for _ in range(generator.integers(1, 2 * mean_steps)):
            momentum = np.where(alive[:, None], momentum + 0.5 * length * new.slope(power), 0.0)
            new = at(np.where(alive[:, None], new.w + length * momentum, state.w))
            momentum = momentum + 0.5 * length * new.slope(power)
            gain = new.value(power) - 0.5 * (momentum**2).sum(axis=1) - start
            lost = alive & ~(gain > -MOST_ERROR)
            divergent |= lost & np.isfinite(new.prior)
            alive &= ~lost
        acceptance = np.where(alive, np.exp(np.minimum(gain, 0.0, where=alive, out=np.zeros_like(gain))), 0.0)
        return new.where(generator.random(len(power)) < acceptance, state), acceptance, divergent

    def swapped(state: _Walkers) -> _Walkers:
        """The walkers after two coordinates of a group changed places, or not (Metropolis)."""
        pairs = np.array(
            [
                generator.choice(exchangeable[k], 2, replace=False)
                for k in generator.integers(len(exchangeable), size=len(power))
            ]
        )
        here = np.arange(len(power))[:, None]
        points = centre + state.w @ root.T
        shift = np.zeros_like(points)
        shift[here, pairs] = points[here, pairs[:, ::-1]] - points[here, pairs]
        new = at(state.w + shift @ inverse.T)
        with np.errstate(invalid="ignore"):
            gain = new.value(power) - state.value(power)
        return new.where(np.log(generator.uniform(1e-300, 1.0, len(power))) < gain, state)

    def exchanged(state: _Walkers, first: int) -> _Walkers:
        """The walkers after exchanges between neighbouring temperatures of each chain (Metropolis)."""
        order = np.arange(len(power))
        for lower in range(first, levels - 1, 2):
            low = lower + levels * np.arange(chains)
            gain = (power[low] - power[low + 1]) * (state.likelihood[low + 1] - state.likelihood[low])
            swap = low[np.log(generator.uniform(1e-300, 1.0, chains)) < gain]
            order[swap], order[swap + 1] = swap + 1, swap
        return state.at(order)

    draws: list[np.ndarray] = []
    warmup_draws: list[np.ndarray] = []
    warmup_slopes: list[np.ndarray] = []
    log_densities: list[np.ndarray] = []
    acceptances: list[float] = []
    divergences = 0
    step = np.full(levels, 0.4)
    shortest = SHORTEST_STEP if learn is None else SHORTEST_LEARNT
    starts = np.concatenate([np.zeros((1, len(centre))), generator.standard_normal((chains - 1, len(centre)))])
    state = at(np.repeat(starts, levels, axis=0))
    while not (finite := np.isfinite(state.likelihood)).all() and (far := np.abs(state.w[~finite]).max()) > 0:
        state = at(np.where(finite[:, None], state.w, 0.5 * state.w if far > 1e-3 else 0.0))  # back towards the centre
    for iteration in range(warmup + (1 + patience) * n):
        if learn is not None:
            power = powers * min(1.0, START_POWER + (1.0 - START_POWER) * 4 * iteration / max(warmup, 1))
        learning = learn is not None and iteration < 3 * warmup // 4
        if exchangeable:
            state = swapped(state)
        with np.errstate(over="ignore"):  # in divergent trajectories
            state, acceptance, divergent = move(state, step, shortest if not learning else SHORTEST_WHILE_LEARNING)
        acceptance = acceptance.reshape(chains, levels)
        if iteration < warmup:
            step *= np.exp((acceptance.mean(axis=0) - TARGET_ACCEPTANCE) / np.sqrt(1 + 0.3 * iteration))
            if learning:
                warmup_draws.append(state.w[::levels])
                warmup_slopes.append(state.slope(power)[::levels])
            if learn is not None and iteration + 1 in (warmup // 4, warmup // 2, 3 * warmup // 4):
                later = slice(len(warmup_draws) // 3, None)
                change = _learnt_root(np.concatenate(warmup_draws[later]), np.concatenate(warmup_slopes[later]), learn)
                root = root @ change
                inverse = np.linalg.solve(change, inverse)
                state = at(np.linalg.solve(change, state.w.T).T)
                warmup_draws.clear()
                warmup_slopes.clear()
        else:
            acceptances.append(acceptance[:, 0].mean())
            divergences += int(divergent[::levels].sum())
        state = exchanged(state, iteration % 2)
        if iteration >= warmup:
            draws.append(state.w[::levels])
            log_densities.append((state.likelihood + state.prior)[::levels])
        if callback is not None:
            callback(iteration + 1)
        if len(draws) == n:
            mean = float(np.mean(acceptances))
            report = ChainReport.of(np.stack(log_densities, axis=1), divergences, mean, float(step[0]))
            if report.converged or iteration + 1 == warmup + (1 + patience) * n:
                break
            divergences = 0
            for kept in (draws, log_densities, acceptances):
                kept.clear()
    states = np.stack(draws, axis=1).reshape(chains * n, -1)
    return centre + states @ root.T, report


def _learnt_root(w: np.ndarray, slopes: np.ndarray, dense: int) -> np.ndarray:
    """A root (P, P) of the covariance that suits draws (N, P) and the gradients of the log density there (N, P).

    It is the geometric mean of the covariance of the draws and the inverse of that of the gradients, both shrunk
    towards the unit matrix: for a normal density both are its covariance, but the errors of one from few draws, and
    the shrinkage, are the inverse of those of the other.  It minimises the Fisher divergence from a normal density
    (Seyboldt, Carlson, Carpenter 2026, *Preconditioning Hamiltonian Monte Carlo by minimizing Fisher divergence*).
    The first ``dense`` coordinates are correlated, the others have variances only.
    """
    draws, gradients = (_shrunk(v, dense) for v in (w, slopes))
    scale = covariance_root(gradients)
    inverse = np.linalg.inv(scale)
    mean = inverse @ covariance_root(scale @ draws @ scale) @ inverse
    return np.linalg.cholesky(0.5 * (mean + mean.T))


def _shrunk(values: np.ndarray, dense: int) -> np.ndarray:
    """The covariance (P, P) of the first ``dense`` columns of values (N, P) and the variances of the others, shrunk."""
    n, size = values.shape
    covariance = np.diag(np.var(values, axis=0, ddof=1))
    if dense:
        covariance[:dense, :dense] = np.cov(values[:, :dense].T)
    return (n * covariance + PRIOR_DRAWS * np.eye(size)) / (n + PRIOR_DRAWS)
