"""The expectation of ``log sum exp`` against averages over draws, and classes against brute force on a tiny table."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, ndtri, softmax
from scipy.stats import qmc

import bayestl as btl
from bayestl.inference.gaussian.component import Component
from bayestl.inference.gaussian.sites import Observations, PartLabels
from bayestl.kernels.stationary import KERNELS
from bayestl.likelihoods import LabelBlock, LatentBlock, Setting
from bayestl.likelihoods import softmax as quadrature
from bayestl.likelihoods.softmax import ExpectedLogSumExp
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Constant, Points, Smooth
from bayestl.priors.task_specific import TaskSpecific, likelihood_hyperparameters
from bayestl.table.task import Task, task_parts


def moments(n_classes, sd, seed=0, n=20):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(sd * rng.standard_normal((n, n_classes))), torch.from_numpy(
        rng.uniform(0.01, 1.0, (n, n_classes)) * sd**2
    )


@pytest.mark.parametrize(("n_classes", "sd"), [(2, 0.5), (2, 4.0), (3, 2.0), (6, 1.0), (6, 4.0), (20, 2.0)])
def test_the_expectation_and_its_derivatives_are_averages_over_draws(n_classes, sd):
    mean, variance = (v.requires_grad_(True) for v in moments(n_classes, sd))
    value = ExpectedLogSumExp.apply(mean, variance)
    value.sum().backward()
    uniform = qmc.Sobol(n_classes, rng=np.random.default_rng(0)).random(2**13)
    f = mean.detach().numpy() + np.sqrt(variance.detach().numpy()) * ndtri(uniform.clip(1e-12, 1 - 1e-12))[:, None]
    p = softmax(f, axis=2)
    size = 1 + sd**2 / 4  # nodes are few where latent values are nearly unknown
    np.testing.assert_allclose(value.detach(), logsumexp(f, axis=2).mean(0), atol=4e-3 * size)
    np.testing.assert_allclose(mean.grad, p.mean(0), atol=4e-3 * size)
    np.testing.assert_allclose(variance.grad, 0.5 * (p * (1 - p)).mean(0), atol=4e-3 * size)
    assert (variance.grad >= 0).all()
    old = torch.logsumexp(mean + variance / 2, 1)  # the bound of Blei and Lafferty
    assert (value <= old).all()


def test_a_common_shift_moves_the_expectation_alone(monkeypatch):
    mean, variance = moments(4, 2.0)
    value = ExpectedLogSumExp.apply(mean, variance)
    np.testing.assert_allclose(ExpectedLogSumExp.apply(mean + 300.0, variance), value + 300.0, rtol=1e-9)
    monkeypatch.setattr(quadrature, "ENTRIES", 1)  # row by row
    np.testing.assert_array_equal(ExpectedLogSumExp.apply(mean, variance), value)


def test_classes_of_a_tiny_table_agree_with_brute_force():
    """Five labels of three classes: the evidence and the probabilities are averages over draws from the prior."""
    rng = np.random.default_rng(0)
    n, k, draws = 5, 3, 400_000
    x = torch.from_numpy(np.linspace(-1, 1, n + 2)[:, None])
    y = torch.tensor([0.0, 0.0, 2.0, 1.0, 1.0], dtype=torch.float64)
    parts = task_parts([Task("colour", btl.Categorical(["a", "b", "c"]))])
    processes = [Smooth(KERNELS["rbf"](1)) for _ in range(k)] + [Constant() for _ in range(k)]
    prior = Prior(processes, TaskSpecific(parts, grouped=False), *likelihood_hyperparameters(parts))
    rows = torch.arange(n)
    block = PartLabels(0, parts[0].likelihood, parts[0].channels, rows, LabelBlock(y, 0 * y, y))
    data = Observations(x[:n], torch.zeros(n, dtype=torch.long), rows, [block])
    with torch.no_grad():
        everywhere = Points(x, *(torch.zeros(n + 2, dtype=torch.long),) * 2, torch.arange(n + 2)).every_task(k)
        root = np.linalg.cholesky(prior.covariance(everywhere, everywhere).numpy() + 1e-9 * np.eye(k * (n + 2)))
        bound = data.bound(prior).item()
        mean, covariance = Component.of(prior, data).within_rows(
            Points(x[n:], *(torch.zeros(2, dtype=torch.long),) * 2, torch.full((2,), -1))
        )
    f = (rng.standard_normal((draws, k * (n + 2))) @ root.T).reshape(draws, k, n + 2).transpose(0, 2, 1)
    p = softmax(f, axis=2)
    weights = p[:, np.arange(n), y.numpy().astype(int)].prod(axis=1)
    truth = np.einsum("s,snk->nk", weights, p[:, n:]) / weights.sum()
    latent = LatentBlock(np.ones(1), mean.numpy()[None], covariance.numpy()[None])
    found = parts[0].likelihood.predictive(latent, Setting(np.ones(1), np.zeros((1, 0))))
    np.testing.assert_allclose(found.probabilities, truth, atol=0.03)
    evidence = np.log(weights.mean())
    assert evidence - 0.8 < bound < evidence + 0.01
