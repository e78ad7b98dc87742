"""Inference of an exact family's hyperparameters: their posterior maximum, and draws where labels are few.

The number of labels, and whether they are Gaussian, decide between short chains, long chains and the Laplace
approximation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayestl import streams
from bayestl.inference.chains.hmc import hmc_draws, short_chains
from bayestl.inference.gaussian import maximise
from bayestl.inference.gaussian.condition import ExactPosterior
from bayestl.inference.gaussian.labels import Data, Labels
from bayestl.inference.gaussian.laplace import laplace_draws, raw_positions
from bayestl.inference.gaussian.sites import Observations
from bayestl.inference.reports import ChainReport
from bayestl.models.exact.family import Family
from bayestl.priors.prior import Prior
from bayestl.priors.vector import get_raw
from bayestl.progress import progress
from bayestl.streams import spawn
from bayestl.table.task import TaskPart

MODES = ("auto", "map", "laplace", "short-mcmc", "mcmc")
LAPLACE_LABELS, SITE_LAPLACE_LABELS = 2000, 400
"""Most labels at which ``"auto"`` averages over the hyperparameters' uncertainty; fewer where they are not Gaussian, since
their evidence is slow.  With a hundred features even two thousand labels leave most length scales unknown."""
AVERAGED, AVERAGED_OF_MANY, MANY = 24, 12, 1000
"""Sets of hyperparameters in that average, and beyond the last number of labels, where each takes memory and time."""
SHORT_LABELS = 250
"""Most Gaussian labels at which ``"auto"`` averages over short chains; beyond, over a Laplace approximation."""
CHAINS, WARMUP, STATES, KEPT = 4, 100, 192, 48
"""For ``"mcmc"``: chains, warm-up states, further states of each chain, and states kept from all chains together."""
SITE_CHAINS, SITE_STATES = 2, 96
"""Chains and states where labels are not Gaussian: their evidence is slow, one set of hyperparameters at a time."""
CHAIN_LABELS = 200
"""Most labels at which the offsets of a difference model are averaged over a chain of hyperparameters."""
LARGEST, LARGEST_SITES = 3000, 1000
"""Most labels that hyperparameters are fitted to (a random subset of larger tables); fewer for non-Gaussian labels."""
Sampler = Callable[[Prior, Data, int, int], np.ndarray]


def fit_family(
    parts: tuple[TaskPart, ...],
    prior: Prior,
    data: Data,
    mode: str,
    n_starts: int,
    seed: int,
    what: str,
    verbose: bool,
) -> Family:
    """Fit a family: its hyperparameters and its posterior under a prior, which is left at the hyperparameters' maximum.

    ``mode`` is one of :data:`MODES`; ``what`` names the model in the progress bar.
    """
    title = f"{what}, {', '.join(dict.fromkeys(p.names[0] for p in parts))}"
    with progress(f"{title}: hyperparameters", verbose=verbose) as update:
        report = maximise.fit(
            prior,
            data,
            seed=spawn(seed, "maximum"),
            n_starts=n_starts,
            restart=isinstance(data, Labels) and len(data) > LAPLACE_LABELS,
            largest=LARGEST_SITES if isinstance(data, Observations) else LARGEST,
            callback=lambda stage, i, value: update(
                completed=i, description=f"{title}: {stage}, log posterior per label {value:.3f}"
            ),
        )
    draws = get_raw(prior)[None]
    if mode == "mcmc":
        draws, report.chain = long_chains(prior, data, spawn(seed, "long chains"), what, verbose)
    elif sampler := sampler_of(mode, data):
        n = AVERAGED if len(data) <= MANY else min(AVERAGED, AVERAGED_OF_MANY)
        draws = sampler(prior, data, n, spawn(seed, "averaged draws"))
    posterior = ExactPosterior.of(prior, data, draws)
    report.jitter = posterior.jitter
    return Family(parts, prior, report, posterior)


def mode_for(mode: str, data: Data) -> str:
    """The mode, with what ``"auto"`` stands for where the labels of a family are ``data``."""
    if mode != "auto":
        return mode
    gaussian = isinstance(data, Labels)
    if gaussian and len(data) <= SHORT_LABELS:
        return "short-mcmc"
    return "laplace" if len(data) <= (LAPLACE_LABELS if gaussian else SITE_LAPLACE_LABELS) else "map"


def sampler_of(mode: str, data: Data) -> Sampler | None:
    """The function that draws the averaged hyperparameters; None if they are fixed or come from long chains."""
    samplers: dict[str, Sampler] = {"short-mcmc": short_chains, "laplace": laplace_draws}
    return samplers.get(mode_for(mode, data))


def long_chains(prior: Prior, data: Data, seed: int, what: str, verbose: bool) -> tuple[np.ndarray, ChainReport]:
    """Thinned states of long chains of the hyperparameters, one chain after another, and the report of the chains."""
    chains, states = (CHAINS, STATES) if isinstance(data, Labels) else (SITE_CHAINS, SITE_STATES)
    draws, report = _chains(prior, data, chains, states, seed, f"{what}: chains of hyperparameters", verbose)
    thin = len(draws) // KEPT
    return draws[thin - 1 :: thin], report


def effect_draws(family: Family, data: Data, n: int, seed: int, what: str, verbose: bool) -> np.ndarray:
    """About ``n`` draws (S, P) of the raw hyperparameters, computed once and kept in ``family.draws``.

    Every third state of Markov chains up to :data:`CHAIN_LABELS` labels; beyond, :func:`mixing_draws`.
    """
    if family.draws is None:
        if len(data) <= CHAIN_LABELS:
            chains = CHAINS if isinstance(data, Labels) else SITE_CHAINS
            title = f"{what}: posterior of the hyperparameters"
            family.draws = _chains(family.prior, data, chains, -(-3 * n // chains), seed, title, verbose)[0][2::3]
        else:
            family.draws = mixing_draws(family.prior, data, n, seed)
    return family.draws


def mixing_draws(prior: Prior, data: Data, n: int, seed: int) -> np.ndarray:
    """Draws (n, P) from the Laplace approximation of the mixing and the residuals' hyperparameters, the others fixed."""
    if len(data) > LARGEST:
        data = data.subset(LARGEST, streams.generator(seed, "subset"))
    return laplace_draws(prior, data, n, spawn(seed, "draws"), raw_positions(prior, ("mixing.", "residual.")))


def _chains(
    prior: Prior, data: Data, chains: int, states: int, seed: int, title: str, verbose: bool
) -> tuple[np.ndarray, ChainReport]:
    """``states`` states of each chain of the hyperparameters, under a progress bar."""
    with progress(title, total=WARMUP + states, verbose=verbose) as update:
        return hmc_draws(
            prior, data, states, seed, warmup=WARMUP, chains=chains, callback=lambda i: update(completed=i)
        )
