"""Calibration of each likelihood: PITs (probability integral transforms) of labels drawn from a model's own prior.

Hyperparameters, functions and labels come from the prior of :class:`~bayestl.models.exact.independent.IndependentGP`;
the model is fitted to most rows, and the randomised probability integral transform of the others is uniform where
inference is calibrated.  Talts et al. 2018, *Validating Bayesian inference algorithms with simulation-based
calibration*.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from scipy import stats

from bayestl import likelihoods, metrics
from bayestl.likelihoods import Likelihood, Setting
from bayestl.models.exact.independent import IndependentGP
from bayestl.parallel import in_parallel
from bayestl.priors.draws import draw_processes, mix
from bayestl.table.scaler import Scaler
from bayestl.table.table import build_table
from bayestl.table.task import Task, task_parts
from benchmarks.drawn import fit_unscaled

N_TRAIN, N_TEST, N_FEATURES = 80, 20, 2
KINDS: dict[str, Likelihood] = {
    "gaussian": likelihoods.Gaussian(),
    "student": likelihoods.StudentT(),
    "positive": likelihoods.Positive(),
    "hurdle": likelihoods.Hurdle("log-normal"),
    "censored": likelihoods.Censored(lower=-0.5),
    "bernoulli": likelihoods.Bernoulli((False, True)),
    "ordinal": likelihoods.Ordinal(("a", "b", "c")),
    "categorical": likelihoods.Categorical(("a", "b", "c")),
}


def draw_labels(likelihood: Likelihood, x: np.ndarray, seed: int) -> np.ndarray:
    """Labels (n,) of rows ``x`` (n, d) in scaled units, classes as positions, all from the prior."""
    generator = np.random.default_rng(seed)
    parts = task_parts([Task("y", likelihood)])
    model = IndependentGP(verbose=False)
    blank = build_table(x, np.zeros(len(x)))
    drawn = {}
    for j, part in enumerate(parts):
        prior = model._prior(blank, Scaler.identity(blank), (part,), blank.features)
        prior.draw_hyperparameters(1000 * seed + j)
        f = mix(prior, draw_processes(prior, x, np.zeros(len(x), dtype=int), generator))
        with torch.no_grad():
            setting = Setting(prior.residual.variance()[:1].numpy(), prior.further(0).numpy()[None])
        drawn[part.role] = part.likelihood.draw(f[None], setting, generator)
    return likelihood.combine_draws(drawn)[0]


def pits(kind: str, seed: int) -> np.ndarray:
    """Randomised PITs (n,) of the test rows of one drawn table.

    Empty for a table that cannot be fitted: with a single class, or with fewer than three labels within the limits.
    """
    likelihood = KINDS[kind]
    generator = np.random.default_rng([1, seed])  # another stream than that of the labels
    x = generator.standard_normal((N_TRAIN + N_TEST, N_FEATURES))
    y = draw_labels(likelihood, x, seed)
    classes = likelihood.classes_
    labels = pd.DataFrame({"y": y if classes is None else [classes[int(k)] for k in y]})
    model = IndependentGP([Task("y", likelihood)], verbose=False, random_state=seed)
    table = build_table(x[:N_TRAIN], labels.iloc[:N_TRAIN], tasks=model.tasks)
    split = table.tasks[0].observes.split(table.labels.numbers[:, 0])
    if any(np.isfinite(split[part.role]).sum() < 3 for part in table.parts):
        return np.empty(0)
    fit_unscaled(model, x[:N_TRAIN], labels.iloc[:N_TRAIN])
    return metrics.pit(y[N_TRAIN:], model.posterior(x[N_TRAIN:]).marginal("y"), seed + 1_000_000)


def uniform_p_value(tables: list[np.ndarray]) -> float:
    """The p value that PITs have the moments of a uniform: Hotelling's test over tables, since PITs within one depend."""
    moments = np.array([[u.mean() - 1 / 2, ((u - 1 / 2) ** 2).mean() - 1 / 12] for u in tables])
    n, k = moments.shape
    mean = moments.mean(axis=0)
    t2 = n * mean @ np.linalg.solve(np.cov(moments.T), mean)
    return float(stats.f.sf(t2 * (n - k) / (k * (n - 1)), k, n - k))


def run(n_tables: int = 100, n_jobs: int | None = 2, verbose: bool = True) -> pd.DataFrame:
    """For each likelihood: the number of labels, the p value of uniform PITs, and the fraction in the central 90 %."""
    jobs = [(kind, seed) for kind in KINDS for seed in range(n_tables)]
    by_kind: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for (kind, _), values in zip(jobs, in_parallel(pits, jobs, n_jobs, "drawn tables", verbose), strict=True):
        by_kind[kind].append(values)
    rows = {}
    for kind, tables in by_kind.items():
        inside = np.array([metrics.calibration_curve(p, np.array([0.9]))[1][0] for p in tables if len(p)])
        rows[kind] = {
            "labels": sum(map(len, tables)),
            "p value": uniform_p_value([p for p in tables if len(p)]),
            "in 90 %": inside.mean(),
            "standard error": inside.std(ddof=1) / np.sqrt(len(inside)),
        }
    return pd.DataFrame(rows).T
