"""Pseudo-labels against exact inference, quadrature and finite differences."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from support.differences import central_differences

import bayestl as btl
from bayestl.inference.gaussian.component import Component
from bayestl.inference.gaussian.labels import Labels, log_marginal_likelihood, value_and_gradient
from bayestl.inference.gaussian.sites import Observations, PartLabels
from bayestl.kernels.stationary import KERNELS
from bayestl.likelihoods import Gaussian, LabelBlock, Part
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Constant, Smooth
from bayestl.priors.task_specific import TaskSpecific, likelihood_hyperparameters
from bayestl.priors.vector import get_raw
from bayestl.table.task import Task, task_parts


@dataclass(frozen=True)
class Pretender(Part):
    """A Gaussian likelihood that the engine does not recognise."""

    def log_density(self, labels, f, noise, further):
        return Gaussian().log_density(labels, f, noise, further)

    def predictive(self, *arguments):
        return Gaussian().predictive(*arguments)

    def draw(self, *arguments):
        return Gaussian().draw(*arguments)


def setting(likelihoods, n=20, seed=0, classes=None):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.uniform(-2, 2, (n, 1)))
    parts = task_parts([Task(f"t{i}", likelihood) for i, likelihood in enumerate(likelihoods)])
    blocks = []
    for j, part in enumerate(parts):
        k = part.likelihood.classes_
        y = rng.standard_normal(n) if k is None else rng.integers(0, len(k), n).astype(float)
        y = torch.from_numpy(np.abs(y) if isinstance(part.likelihood, btl.Positive) else y)
        blocks.append(PartLabels(j, part.likelihood, part.channels, torch.arange(n), LabelBlock(y, 0 * y, y)))
    n_channels = sum(len(p.channels) for p in parts)
    processes = [Smooth(KERNELS["rbf"](1)) for _ in range(n_channels)] + [Constant() for _ in range(n_channels)]
    prior = Prior(processes, TaskSpecific(parts, grouped=False), *likelihood_hyperparameters(parts))
    return prior, Observations(x, torch.zeros(n, dtype=torch.long), torch.arange(n), blocks)


def test_a_gaussian_in_disguise_gives_the_exact_answer():
    prior, data = setting([Pretender()])
    _, plain = setting([Gaussian()])
    labels = plain.simplest()
    assert isinstance(labels, Labels)
    assert data.bound(prior).item() == pytest.approx(log_marginal_likelihood(prior, labels).item(), abs=1e-6)
    pseudo, _ = data.conditioned(prior)
    np.testing.assert_allclose(pseudo.y.numpy(), labels.y.numpy(), atol=1e-6)
    np.testing.assert_allclose(pseudo.se2.numpy(), prior.residual.variance()[0].item(), rtol=1e-6)
    raw = get_raw(prior) + 0.1
    _, one = value_and_gradient(prior, data, raw)
    _, two = value_and_gradient(prior, labels, raw)
    np.testing.assert_allclose(one, two, atol=1e-4)


@pytest.mark.parametrize(
    "likelihoods",
    [
        [btl.Bernoulli()],
        [btl.StudentT(), Gaussian()],
        [btl.Ordinal(["a", "b", "c"])],
        [btl.Positive()],
        [Gaussian(), btl.Categorical(["a", "b", "c"])],
    ],
)
def test_gradient_of_the_bound_is_that_of_finite_differences(likelihoods):
    prior, data = setting(likelihoods)
    raw = get_raw(prior) + 0.1
    _, gradient = value_and_gradient(prior, data, raw)
    numeric = central_differences(lambda r: value_and_gradient(prior, data, r)[0], raw, 1e-3)
    assert gradient == pytest.approx(numeric, rel=0.02, abs=0.02)


def test_the_bound_is_below_the_evidence_and_near_it():
    """One label of a class: the evidence is a one-dimensional integral."""
    prior, data = setting([btl.Bernoulli()], n=1)
    with torch.no_grad():
        variance = float(prior.covariance(data.points, data.points)[0, 0])
        bound = data.bound(prior).item()
    sign = 1.0 if data.parts[0].labels.y[0] > 0 else -1.0
    sd = np.sqrt(variance)
    evidence = np.log(quad(lambda f: stats.norm.cdf(sign * f) * stats.norm.pdf(f, 0, sd), -30, 30)[0])
    assert bound <= evidence + 1e-9
    assert bound > evidence - 0.1


def test_labels_added_later_agree_with_labels_from_the_start():
    prior, data = setting([btl.Bernoulli()], n=30)
    part = data.parts[0]
    first = Observations(data.x, data.group, data.row, [part.at(torch.arange(20))])
    rest = Observations(data.x, data.group, data.row, [part.at(torch.arange(20, 30))])
    with torch.no_grad():
        whole = Component.of(prior, data)
        later, _ = Component.of(prior, first).extended(rest)
        where = data.points
        one = whole.project(prior.covariance(where, whole.labels.points))[0]
        two = later.project(prior.covariance(where, later.labels.points))[0]
    spread = float(one.std())
    # the first labels' sites are held: a small difference is the price of not fitting again
    assert float((one - two).abs().max()) < 0.25 * spread
