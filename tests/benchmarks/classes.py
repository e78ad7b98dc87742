"""Unordered classes at known hyperparameters: evidence and probabilities beside Markov chains of the latent values.

Tables of 30 labels in six classes are drawn with an amplitude of two; inference is told another amplitude, so that the
evidences show which one each method prefers.  Truth: elliptical slice sampling (Murray, Adams, MacKay 2010), the evidence by
thermodynamic integration.  ``bound``: ``E[log sum exp f] <= log sum exp(m + v / 2)`` (Blei, Lafferty 2007) in place of
quadrature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp, softmax

from bayestl.inference.gaussian.component import Component
from bayestl.inference.gaussian.sites import Observations, PartLabels
from bayestl.kernels.stationary import KERNELS
from bayestl.likelihoods import Categorical, LabelBlock, LatentBlock, Setting
from bayestl.parallel import in_parallel
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Constant, Points, Smooth
from bayestl.priors.task_specific import TaskSpecific, likelihood_hyperparameters
from bayestl.table.task import Task, TaskPart, task_parts

N_TRAIN, N_TEST, CLASSES = 30, 200, tuple("abcdef")
TRUE, AMPLITUDES = 2.0, (0.5, 1.0, 2.0, 4.0)
TEMPERATURES, STATES, WARMUP = 16, 800, 200


@dataclass(frozen=True)
class Bounded(Categorical):
    """The same likelihood with the old bound."""

    def expected_log_density(self, labels, mean, variance, noise, further):
        chosen = mean.gather(1, labels.y.long()[:, None])[:, 0]
        return chosen - (mean + 0.5 * variance).logsumexp(1)


def _prior(likelihood: Categorical, amplitude: float) -> tuple[Prior, TaskPart]:
    """The prior of six functions of two features with known hyperparameters."""
    (part,) = task_parts([Task("colour", likelihood)])
    processes = [Smooth(KERNELS["rbf"](2)) for _ in CLASSES] + [Constant() for _ in CLASSES]
    prior = Prior(processes, TaskSpecific([part], grouped=False), *likelihood_hyperparameters([part]))
    with torch.no_grad():
        prior.mixing.raw_kappa.fill_(math.log(amplitude))
    return prior, part


def _points(x: torch.Tensor) -> Points:
    rows = torch.arange(len(x))
    return Points(x, torch.zeros_like(rows), torch.zeros_like(rows), rows)


def _log_likelihood(f: np.ndarray, y: np.ndarray) -> float:
    return float((f[np.arange(len(y)), y] - logsumexp(f, axis=1)).sum())


def _states(root: np.ndarray, y: np.ndarray, f: np.ndarray, power: float, generator: np.random.Generator) -> np.ndarray:
    """States (K, n, C) of a chain of latent values that starts at ``f``, the likelihood to a power."""
    states, now = [], power * _log_likelihood(f, y)
    for _ in range(STATES):
        other = root @ generator.standard_normal(f.shape)
        least = now + math.log(generator.uniform())
        angle = generator.uniform(0.0, 2 * math.pi)
        low, high = angle - 2 * math.pi, angle
        while True:
            proposed = f * math.cos(angle) + other * math.sin(angle)
            then = power * _log_likelihood(proposed, y)
            if then > least:
                break
            low, high = (angle, high) if angle < 0 else (low, angle)
            angle = generator.uniform(low, high)
        f, now = proposed, then
        states.append(f)
    return np.array(states)


def _chains(covariance: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> tuple[float, np.ndarray]:
    """The log evidence and the class probabilities of the rows beyond the labels."""
    n = len(y)
    root = np.linalg.cholesky(covariance[:n, :n] + 1e-8 * np.eye(n))
    powers = np.linspace(0.0, 1.0, TEMPERATURES) ** 4
    f, averages = np.zeros((n, len(CLASSES))), []
    for power in powers:
        states = _states(root, y, f, power, generator)[WARMUP:]
        f = states[-1]
        averages.append(np.mean([_log_likelihood(s, y) for s in states]))
    weights = np.linalg.solve(covariance[:n, :n] + 1e-8 * np.eye(n), covariance[:n, n:])
    sd = np.sqrt(np.maximum(covariance.diagonal()[n:] - (weights * covariance[:n, n:]).sum(0), 0.0))
    shape = (len(states), len(sd), len(CLASSES))
    drawn = weights.T @ states + sd[:, None] * generator.standard_normal(shape)
    return float(np.trapezoid(averages, powers)), softmax(drawn, axis=2).mean(0)


def _table(seed: int) -> list[dict[str, float]]:
    """Evidences and probabilities of one drawn table, for each amplitude that inference is told."""
    generator = np.random.default_rng(seed)
    n = N_TRAIN
    x = torch.from_numpy(generator.uniform(-1.5, 1.5, (n + N_TEST, 2)))
    with torch.no_grad():
        covariance = _prior(Categorical(CLASSES), TRUE)[0].covariance(_points(x), _points(x)).numpy()
    root = np.linalg.cholesky(covariance + 1e-6 * np.eye(len(covariance)))
    f = root @ generator.standard_normal((len(root), len(CLASSES)))
    y = (f + generator.gumbel(size=f.shape)).argmax(1)
    labels = torch.from_numpy(y[:n].astype(float))
    records = []
    for amplitude in AMPLITUDES:
        with torch.no_grad():
            prior, _ = _prior(Categorical(CLASSES), amplitude)
            evidence, truth = _chains(prior.covariance(_points(x), _points(x)).numpy(), y[:n], generator)
        record = {"amplitude": amplitude, "log evidence": evidence}
        for name, likelihood in (("quadrature", Categorical(CLASSES)), ("bound", Bounded(CLASSES))):
            prior, part = _prior(likelihood, amplitude)
            block = PartLabels(0, likelihood, part.channels, torch.arange(n), LabelBlock(labels, 0 * labels, labels))
            zeros = torch.zeros(n, dtype=torch.long)
            data = Observations(x[:n], zeros, torch.arange(n), [block])
            with torch.no_grad():
                record[name] = data.bound(prior).item()
                at = _points(x[n:])._replace(row=torch.full((N_TEST,), -1))
                mean, spread = Component.of(prior, data).within_rows(at)
            latent = LatentBlock(np.ones(1), mean.numpy()[None], spread.numpy()[None])
            found = likelihood.predictive(latent, Setting(np.ones(1), np.zeros((1, 0)))).probabilities
            record[f"distance, {name}"] = float(0.5 * np.abs(found - truth).sum(1).mean())
        records.append(record)
    return records


def run(n_tables: int = 10, n_jobs: int | None = 2, verbose: bool = True) -> pd.DataFrame:
    """Means over tables for each amplitude: log evidences, and total variation distances of probabilities to the chains'."""
    records = in_parallel(_table, [(seed,) for seed in range(n_tables)], n_jobs, "tables of classes", verbose)
    return pd.DataFrame([r for table in records for r in table]).groupby("amplitude").mean()
