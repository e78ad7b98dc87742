"""Full Bayes over hyperparameters, compared with BoTorch's fully Bayesian multi-task model in the same run.

Two tasks of five features, 40 labels of the source and 20 of the target: ``sin(3 x0) + x1^2``, and 1.2 times that plus
``0.3 sin(3 x2) + 0.5``, noise 0.05.  Reported are the negative log predictive density and the error on 400 new rows of
the target, the effective sample size (ESS) of the hyperparameters that a sampler moves (median and least), and seconds
per ESS of 100.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp

from bayestl.inference.chains.hmc import TEMPERATURES, hmc_draws
from bayestl.inference.gaussian.condition import ExactPosterior
from bayestl.models.exact import hyperparameters as exact
from bayestl.models.exact.multitask import MultiTaskGP
from bayestl.progress import progress

N_SOURCE, N_TARGET, N_FEATURES, N_TEST = 40, 20, 5, 400
STATES, WARMUP = 256, 256
"""States and warmup of BoTorch's sampler; its own default keeps as many states after twice the warmup."""


def draw_table(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features and labels (n, 2) with NaN for training, then features and target labels of new rows."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (N_SOURCE + N_TARGET + N_TEST, N_FEATURES))
    source = np.sin(3 * x[:, 0]) + x[:, 1] ** 2
    target = 1.2 * source + 0.3 * np.sin(3 * x[:, 2]) + 0.5
    y = np.column_stack([source, target]) + 0.05 * rng.standard_normal((len(x), 2))
    n = N_SOURCE + N_TARGET
    labels = y[:n].copy()
    labels[:N_SOURCE, 1] = labels[N_SOURCE:, 0] = np.nan
    return x[:n], labels, x[n:], y[n:, 1]


def sample_sizes(draws: np.ndarray) -> np.ndarray:
    """Effective sample size of each coordinate of chains (C, S, P), for those that move and are finite."""
    from pyro.ops.stats import effective_sample_size

    draws = draws[:, :, np.isfinite(draws).all(axis=(0, 1))]
    moving = np.moveaxis(draws[:, :, draws.std(axis=(0, 1)) > 1e-12], 2, 0)
    return np.array([float(effective_sample_size(torch.from_numpy(np.ascontiguousarray(c)))) for c in moving])


def _record(model: str, seconds: float, ess: np.ndarray, log_density: np.ndarray, error: np.ndarray) -> dict[str, Any]:
    """The figures of one run."""
    return {
        "model": model,
        "seconds": seconds,
        "ESS, median": float(np.median(ess)),
        "ESS, least": float(ess.min()),
        "s per ESS of 100": 100 * seconds / float(np.median(ess)),
        "NLPD": -float(log_density.mean()),
        "RMSE": float(np.sqrt((error**2).mean())),
    }


def multi_task(seed: int, tempered: bool) -> dict[str, Any]:
    """The chains of :class:`~bayestl.MultiTaskGP`, tempered or at one temperature; the time includes the fit."""
    x, y, x_new, y_new = draw_table(seed)
    start = time.perf_counter()
    model = MultiTaskGP(hyperparameters="map", random_state=seed, verbose=False).fit(x, y)
    family = model.families_[0]
    data = model._family_data(family)
    temperatures = TEMPERATURES if tempered else (1.0,)
    draws, _ = hmc_draws(
        family.prior, data, exact.STATES, seed, warmup=exact.WARMUP, chains=exact.CHAINS, temperatures=temperatures
    )
    seconds = time.perf_counter() - start
    family.posterior = ExactPosterior.of(family.prior, data, draws[:: len(draws) // exact.KEPT])
    density = model.log_density(x_new, np.column_stack([np.full(len(y_new), np.nan), y_new])).iloc[:, 1].to_numpy()
    error = model.posterior(x_new).mean.iloc[:, 1].to_numpy() - y_new
    name = f"bayestl MultiTaskGP{', tempered' if tempered else ''}"
    return _record(name, seconds, sample_sizes(draws.reshape(exact.CHAINS, exact.STATES, -1)), density, error)


def botorch_model(seed: int) -> dict[str, Any]:
    """The chains of BoTorch's SaasFullyBayesianMultiTaskGP by NUTS.

    Raises
    ------
    ImportError
        If botorch, or numpyro that it needs for such models, is not installed.
    """
    from botorch.fit import fit_fully_bayesian_model_nuts
    from botorch.models.fully_bayesian_multitask import SaasFullyBayesianMultiTaskGP

    x, y, x_new, y_new = draw_table(seed)
    row, task = np.nonzero(~np.isnan(y))
    labels = y[row, task]
    centre, scale = labels.mean(), labels.std()
    inputs = torch.from_numpy(np.column_stack([x[row], task.astype(float)]))
    start = time.perf_counter()
    model = SaasFullyBayesianMultiTaskGP(inputs, torch.from_numpy((labels - centre) / scale)[:, None], task_feature=-1)
    fit_fully_bayesian_model_nuts(model, warmup_steps=WARMUP, num_samples=STATES, thinning=1, disable_progbar=True)
    seconds = time.perf_counter() - start
    draws = [p.detach().reshape(STATES, -1).numpy() for p in model.parameters() if p.shape[0] == STATES]
    with torch.no_grad():
        at = torch.from_numpy(np.column_stack([x_new, np.ones(len(x_new))]))
        post = model.posterior(at, observation_noise=True)
        mean = post.mean[:, :, 0].numpy() * scale + centre
        sd = post.variance[:, :, 0].sqrt().numpy() * scale
    per_draw = -0.5 * np.log(2 * np.pi * sd**2) - 0.5 * ((y_new - mean) / sd) ** 2
    density = logsumexp(per_draw, axis=0) - np.log(len(mean))
    ess = sample_sizes(np.concatenate(draws, axis=1)[None])
    return _record("BoTorch SaasFullyBayesianMultiTaskGP", seconds, ess, density, mean.mean(axis=0) - y_new)


def run(n_repeats: int = 3, verbose: bool = True) -> pd.DataFrame:
    """Medians over tables; the row of BoTorch is left out where it is not installed."""
    records = []
    with progress("full Bayes", total=3 * n_repeats, verbose=verbose) as update:
        for seed in range(n_repeats):
            for k, make in enumerate((lambda s: multi_task(s, False), lambda s: multi_task(s, True), botorch_model)):
                try:
                    records.append(make(seed))
                except ImportError:
                    continue
                update(completed=3 * seed + k + 1)
    return pd.DataFrame(records).groupby("model", sort=False).median()
