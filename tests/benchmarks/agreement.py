"""Variational inference against Markov chain Monte Carlo: the latent values of case N at the same hyperparameters."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayestl.datasets import load_no_decomposition
from bayestl.inference.chains.hmc import vectorised_chains
from bayestl.inference.threads import threads_for
from bayestl.models.latent.ancestral import latent_draws
from bayestl.models.latent.by_chains import Chain
from bayestl.models.latent.density import CollapsedDensity
from bayestl.models.latent.model import LatentVariableGP
from bayestl.models.latent.prior import LatentGraph
from bayestl.progress import progress
from bayestl.studies.no import GRAPH

CHAINS, WARMUP = 8, 100
CLOSE_MEAN, CLOSE_SPREAD = 0.1, 0.15
"""Tolerances: of a mean, in posterior standard deviations; of a standard deviation, relative."""


def reference(graph: LatentGraph, n: int, seed: int, verbose: bool = True) -> Chain:
    """A chain of ``n`` draws of the latent values at the hyperparameters of ``graph``."""
    density = CollapsedDensity(graph, vary=False)
    start = density.start()
    states = -(-n // CHAINS)
    with threads_for(len(graph.x)), progress("reference: states", total=WARMUP + states, verbose=verbose) as update:
        points, _ = vectorised_chains(
            density,
            start,
            np.eye(len(start)),
            states,
            seed,
            warmup=WARMUP,
            temperatures=(1.0,),
            chains=CHAINS,
            learn=0,
            callback=lambda i: update(completed=i),
        )
    return Chain.of(graph, density, points, seed)


def compare_latent(model: LatentVariableGP, n_draws: int, seed: int = 0, verbose: bool = True) -> pd.DataFrame:
    """The distance of the model's posterior from the reference: one row per latent value that a label informs.

    The columns are ``task``; ``mean``, the difference of the means in standard deviations of the reference; and
    ``spread``, the ratio of the standard deviations.
    """
    graph = model.posterior_.graph
    chain = latent_draws(reference(graph, n_draws, seed, verbose), n_draws, seed)
    variational = latent_draws(model.posterior_, 4 * n_draws, seed)
    sd = chain.std(axis=0)
    shift, ratio = (variational.mean(axis=0) - chain.mean(axis=0)) / sd, variational.std(axis=0) / sd
    per_task = [
        pd.DataFrame({"task": graph.names[c], "mean": shift[rows, c], "spread": ratio[rows, c]})
        for c, rows in ((c, graph.rows[c].numpy()) for c in graph.learnt)
    ]
    return pd.concat(per_task, ignore_index=True)


def run(n_draws: int = 8000, seed: int = 0, verbose: bool = True) -> pd.DataFrame:
    """For each task of case N, and all: latent values, and the fractions with mean and spread within the tolerances."""
    data = load_no_decomposition()
    model = LatentVariableGP(
        graph=GRAPH,
        tasks=list(data.tasks),
        inference="svi",
        random_state=seed,
        verbose=verbose,
    ).fit(data.X, data.Y)
    agreement = compare_latent(model, n_draws, seed, verbose)
    agreement["mean close"] = agreement["mean"].abs() < CLOSE_MEAN
    agreement["spread close"] = (agreement["spread"] - 1).abs() < CLOSE_SPREAD
    grouped = pd.concat([agreement, agreement.assign(task="all")]).groupby("task", sort=False)
    return pd.DataFrame(
        {
            "latent values": grouped.size(),
            "mean close": grouped["mean close"].mean(),
            "spread close": grouped["spread close"].mean(),
            "median |shift|": grouped["mean"].agg(lambda v: np.median(np.abs(v))),
            "median spread": grouped["spread"].median(),
        }
    )
