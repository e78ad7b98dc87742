"""The evidence of Gaussian labels, its gradient, and many hyperparameters at once."""

import numpy as np
import pytest
import torch
from scipy import stats
from support.differences import central_differences
from support.priors import gaussian_parts, sine_labels, single_task_prior

import bayestl as btl
from bayestl.inference.gaussian.labels import Labels, log_marginal_likelihood, log_posteriors, value_and_gradient
from bayestl.kernels.combined import build_kernel
from bayestl.kernels.stationary import KERNELS
from bayestl.likelihoods.hyperparameters import Noise
from bayestl.priors import assemble
from bayestl.priors.autoregression import Autoregression, Link
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Constant, PerGroup, PerRow, Points, Smooth
from bayestl.priors.rows import Residual
from bayestl.priors.vector import get_raw, one_by_one


def test_marginal_likelihood_is_the_dense_closed_form():
    prior, labels = single_task_prior(), sine_labels()
    with torch.no_grad():
        k = prior.covariance(labels.points, labels.points).numpy()
        covariance = k + np.diag(prior.residual.variance().numpy()[0] + labels.se2.numpy())
    expected = stats.multivariate_normal(np.zeros(25), covariance).logpdf(labels.y.numpy())
    assert log_marginal_likelihood(prior, labels).item() == pytest.approx(expected, rel=1e-10)


def test_gradient_is_that_of_finite_differences():
    prior, labels = single_task_prior(), sine_labels()
    raw = get_raw(prior) + 0.2
    _, gradient = value_and_gradient(prior, labels, raw)
    numeric = central_differences(lambda r: value_and_gradient(prior, labels, r)[0], raw, 1e-5)
    assert gradient == pytest.approx(numeric, rel=1e-4, abs=1e-6)


def test_the_subset_holds_rare_tasks_and_keeps_rows_together():
    task = torch.tensor([0] * 90 + [1] * 10)
    rows = torch.cat([torch.arange(90), torch.arange(10)])
    zero = torch.zeros(100, dtype=torch.float64)
    labels = Labels(Points(zero[:, None], task, task, rows), torch.arange(100), zero, rows=rows)
    chosen = labels.subset(30, np.random.default_rng(0)).y
    counts = np.bincount(task[chosen].numpy())
    assert counts.tolist() == [20, 10]
    shared = set(rows[chosen][task[chosen] == 0].tolist()) & set(range(10))
    assert len(shared) >= 2


@pytest.mark.parametrize("tile", [4, 256])  # points of which the covariance is evaluated at a time
@pytest.mark.parametrize("kernel", [*KERNELS, "sum", "product"])
def test_many_hyperparameters_at_once_are_each_of_them(monkeypatch, kernel, tile):
    """All walkers of a chain take this way; the ones beside it are the same arithmetic, one after another."""
    monkeypatch.setattr(assemble, "TILE", tile)
    rng = np.random.default_rng(0)
    n, parts = 18, gaussian_parts(2)
    blocks = btl.Kernel("matern52", "a"), btl.Kernel("rational-quadratic", ["a", "b"])
    description = {"sum": blocks[0] + blocks[1], "product": blocks[0] * blocks[1]}.get(kernel, kernel)
    task = torch.from_numpy(np.repeat([0, 1], n // 2))
    at = Points(
        torch.from_numpy(rng.standard_normal((n, 2))),
        task,
        torch.from_numpy(rng.integers(0, 3, n)),
        torch.arange(n) // 2,
    )
    site = torch.from_numpy(rng.random(n) < 0.3)
    labels = Labels(at, torch.from_numpy(rng.standard_normal(n)), torch.from_numpy(rng.uniform(0.1, 0.3, n)), site)
    mixing = Autoregression(parts, [Link(-1, False), Link(0, True)], grouped=True)
    processes = [Smooth(build_kernel(description, ["a", "b"])) for _ in range(2)]
    prior = Prior([*processes, Constant(), Constant(), PerGroup(), PerRow()], mixing, Residual(Noise(2), (1.0, 0.0)))
    raws = get_raw(prior) + 0.3 * rng.standard_normal((5, len(get_raw(prior))))
    values, gradients = labels.evidences(prior, raws)
    expected, slopes = one_by_one(prior, lambda: log_marginal_likelihood(prior, labels), raws)
    np.testing.assert_allclose(values, expected, rtol=1e-10)
    np.testing.assert_allclose(gradients, slopes, rtol=1e-7, atol=1e-9)
    numeric = central_differences(lambda r: value_and_gradient(prior, labels, r)[0], raws[0], 1e-5)
    assert log_posteriors(prior, labels, raws)[1][0] == pytest.approx(numeric, rel=1e-4, abs=1e-6)


def test_one_set_of_hyperparameters_that_needs_jitter_does_not_spoil_the_others():
    prior, labels = single_task_prior(), sine_labels(6)
    twice = labels.join(labels)
    twice = Labels(twice.points, twice.y, torch.zeros(12, dtype=torch.float64), torch.ones(12, dtype=torch.bool))
    raws = get_raw(prior)[None].repeat(3, axis=0)
    values, gradients = twice.evidences(prior, raws)  # the same rows twice without noise: singular
    expected, slopes = one_by_one(prior, lambda: log_marginal_likelihood(prior, twice), raws)
    np.testing.assert_allclose(values, expected)
    np.testing.assert_allclose(gradients, slopes)
