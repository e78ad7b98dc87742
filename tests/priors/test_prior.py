"""Priors of several tasks: their covariances, and the densities of their hyperparameters."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from support.priors import gaussian_parts

import bayestl as btl
from bayestl.kernels.stationary import KERNELS
from bayestl.likelihoods import Categorical
from bayestl.likelihoods.hyperparameters import Noise
from bayestl.models.exact.multitask import Coregionalisation
from bayestl.priors.autoregression import Autoregression, Link
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Constant, PerGroup, PerRow, Points, Smooth
from bayestl.priors.rows import SPREAD, Residual
from bayestl.priors.task_specific import OF_CLASSES, SPECIFIC_AMPLITUDE
from bayestl.priors.vector import get_raw, set_raw
from bayestl.table.task import Task, task_parts


@pytest.fixture(autouse=True)
def seeded():
    """The points are torch's random numbers: the same ones whatever ran before."""
    torch.manual_seed(0)


def points(n, tasks, groups=1, d=3):
    return Points(
        torch.randn(n, d, dtype=torch.float64),
        torch.arange(n) % tasks,
        torch.arange(n) % groups,
        torch.arange(n) // tasks,
    )


def multitask_prior():
    mixing = Coregionalisation(np.array([[0.8, 0.1], [-0.5, 0.3], [0.2, 0.9]]), gaussian_parts(3), grouped=True)
    processes = [Smooth(KERNELS["matern52"](3)) for _ in range(5)]
    return Prior(
        [*processes, *(Constant() for _ in range(3)), *(PerGroup() for _ in range(3)), PerRow()],
        mixing,
        residual(1.0, -1.0, 1.0),
    )


def residual(*signs):
    return Residual(Noise(len(signs)), signs)


def two_levels():
    mixing = Autoregression(gaussian_parts(2), [Link(-1, False), Link(0, True)], False)
    return Prior([Constant(), Constant(), Constant(), Constant(), PerRow()], mixing, residual(1.0, 0.0))


def test_row_effect_of_classes_follows_their_loadings():
    """One coordinate for each label and shared function; a number beside them keeps a row effect of its own."""
    tasks = [Task("gap"), Task("colour", Categorical(["dark", "red", "white"])), Task("phase", Categorical(["a", "b"]))]
    loadings = np.linspace(-1.0, 1.0, 12).reshape(6, 2)
    mixing = Coregionalisation(loadings, task_parts(tasks), grouped=False, rows=True)
    along = np.array([[0.5, -0.2], [-1.0, 0.3]])
    with torch.no_grad():
        mixing.along.copy_(torch.as_tensor(along))
        row_effects = mixing.weights(torch.tensor([0.4, *[9.0] * 5], dtype=torch.float64))[:, -1].numpy()
    expected = [0.4, *(loadings[1:4] @ along[0]), *(loadings[4:] @ along[1])]
    np.testing.assert_allclose(row_effects, expected)


def test_functions_of_classes_are_small_where_they_share_others():
    """A log-normal prior of the amplitude: at its median half of the mass, and narrower for classes beside another task."""
    tasks = [Task("gap"), Task("colour", Categorical(["dark", "red", "white"]))]
    amplitudes = {}
    for rows in (True, False):
        own = Coregionalisation(np.ones((4, 1)), task_parts(tasks), grouped=False, rows=rows).own
        amplitudes[rows] = own.kappa_prior.loc.exp().tolist(), own.kappa_prior.scale.tolist()
    assert amplitudes[True] == (
        pytest.approx([SPECIFIC_AMPLITUDE, SPECIFIC_AMPLITUDE]),
        pytest.approx([1.0, OF_CLASSES]),
    )
    assert amplitudes[False] == (pytest.approx([SPECIFIC_AMPLITUDE, 2 * SPECIFIC_AMPLITUDE]), [1.0, 1.0])


@pytest.mark.parametrize("shuffled", [False, True])
def test_covariance_is_the_sum_over_processes(shuffled):
    prior = multitask_prior()
    p = points(11, 3, 2)
    if not shuffled:
        p = p.at(torch.argsort(p.task, stable=True))
    with torch.no_grad():
        w = prior.weights()[p.task]
        dense = sum(w[:, None, k] * process.covariance(p, p) * w[None, :, k] for k, process in enumerate(prior))
        np.testing.assert_allclose(prior.covariance(p, p).numpy(), dense.numpy(), atol=1e-12)
        np.testing.assert_allclose(prior.variance(p).numpy(), dense.diagonal().numpy(), atol=1e-12)
        q = points(4, 3, 2)
        cross = prior.covariance(p, q).numpy()
        np.testing.assert_allclose(prior.covariance(q, p).numpy(), cross.T, atol=1e-12)


def test_difference_covariance_agrees_with_simulating_its_story():
    """f_0, then f_l = rho f_{l-1} + b + c_g + delta, drawn level by level, against the kernel."""
    torch.manual_seed(1)
    mixing = Autoregression(gaussian_parts(3), [Link(-1, False), Link(0, True), Link(1, True)], grouped=True)
    prior = Prior(
        [Smooth(KERNELS["rbf"](1)) for _ in range(3)]
        + [Constant() for _ in range(3)]
        + [PerGroup() for _ in range(2)]
        + [PerRow() for _ in range(2)],
        mixing,
        residual(1.0, 1.0, 0.0),
    )
    with torch.no_grad():
        mixing.rho.copy_(torch.tensor([1.4, -0.6]))
        prior.residual.noise.raw_sd.copy_(torch.tensor([0.4, 0.7, 0.2]).log())
    x = torch.linspace(-1, 1, 4, dtype=torch.float64)[:, None]
    group = torch.tensor([0, 1, 0, 1])
    k = 200_000
    rng = np.random.default_rng(0)
    with torch.no_grad():
        amplitude = mixing.raw_amplitude.exp().numpy()
        tau = mixing.raw_tau.exp().numpy()
        roots = [
            np.linalg.cholesky(
                prior[i].covariance(*(2 * [Points(x, group, group, torch.arange(len(x)))])).numpy() + 1e-10 * np.eye(4)
            )
            for i in range(3)
        ]
        r = prior.residual.row_effects().numpy()
        level = amplitude[0] * rng.standard_normal((k, 4)) @ roots[0].T + rng.standard_normal((k, 1))
        level = level + r[0] * rng.standard_normal((k, 4))
        levels = [level]
        for i in (1, 2):
            deviation = tau[i - 1] * rng.standard_normal((k, 2))[:, group.numpy()]
            delta = amplitude[i] * rng.standard_normal((k, 4)) @ roots[i].T
            level = float(mixing.rho[i - 1]) * level + rng.standard_normal((k, 1)) + deviation + delta
            level = level + r[i] * rng.standard_normal((k, 4))
            levels.append(level)
        simulated = np.cov(np.concatenate(levels, axis=1).T)
        p = Points(x.repeat(3, 1), torch.arange(3).repeat_interleave(4), group.repeat(3), torch.arange(4).repeat(3))
        exact = prior.covariance(p, p).numpy()
    # the error of a covariance estimate is at most sqrt(2/k) times the product of standard deviations
    size = np.sqrt(np.outer(exact.diagonal(), exact.diagonal()))
    assert np.abs(simulated - exact).max() < 5 * np.sqrt(2 / k) * size.max()


def test_order_of_levels_is_by_name_not_by_column():
    with torch.no_grad():
        straight = Autoregression(gaussian_parts(2), [Link(-1, False), Link(0, True)], grouped=False).weights(
            torch.tensor([0.5, 0.0])
        )
        swapped = Autoregression(gaussian_parts(2), [Link(1, True), Link(-1, False)], grouped=False).weights(
            torch.tensor([0.0, 0.5])
        )
    np.testing.assert_allclose(swapped.numpy(), straight.numpy()[[1, 0]][:, [1, 0, 3, 2, 4]])


def test_prior_density_has_its_jacobian():
    """On a logarithm, a log-normal prior is a normal one."""
    prior = two_levels()
    raw = {name: p.detach().numpy().ravel() for name, p in prior.named_parameters()}
    expected = stats.norm.logpdf(raw["mixing.rho"], 1.0, 1.0).sum()
    expected += stats.norm.logpdf(raw["mixing.raw_amplitude"], np.log([1.0, 0.3]), 1.0).sum()
    expected += stats.norm.logpdf(raw["residual.noise.raw_sd"], np.log(Noise.MEDIAN), 1.0).sum()
    expected += stats.norm.logpdf(raw["residual.w"], 0.0, SPREAD).sum()
    assert prior.log_density().item() == pytest.approx(expected)


def test_draws_of_hyperparameters_follow_their_priors():
    prior = two_levels()
    draws = []
    for seed in range(800):
        prior.draw_hyperparameters(seed)
        draws.append([prior.mixing.rho.item(), prior.residual.noise.raw_sd[0].item()])
    rho, noise = np.array(draws).T
    assert stats.kstest(rho, stats.norm(1.0, 1.0).cdf).pvalue > 1e-3
    assert stats.kstest(noise, stats.norm(np.log(Noise.MEDIAN), 1.0).cdf).pvalue > 1e-3


def test_sparse_length_scales_find_the_features_that_matter():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (40, 12))
    y = np.sin(3 * X[:, 3]) + X[:, 7] + 0.05 * rng.standard_normal(40)
    model = btl.IndependentGP(kernel="sparse-matern52", hyperparameters="laplace", n_starts=1, verbose=False).fit(X, y)
    scales = model.families_[0].prior[0].kernel.lengthscale.detach().numpy()
    assert set(np.argsort(scales)[:2]) == {3, 7}
    assert np.sort(scales)[2] > 5 * np.sort(scales)[1]
    Xn = rng.uniform(-1, 1, (200, 12))
    error = model.predict(Xn) - np.sin(3 * Xn[:, 3]) - Xn[:, 7]
    assert np.sqrt((error**2).mean()) < 0.2


def test_a_copy_of_a_prior_has_hyperparameters_of_its_own():
    prior, p = multitask_prior(), points(9, 3, 2)
    with torch.no_grad():
        before, density = prior.covariance(p, p), prior.log_density()
        twin = copy.deepcopy(prior)
        twin.draw_hyperparameters(1)
        set_raw(again := multitask_prior(), get_raw(twin))
        np.testing.assert_array_equal(twin.covariance(p, p).numpy(), again.covariance(p, p).numpy())
        assert twin.log_density() == again.log_density() != density
        np.testing.assert_array_equal(prior.covariance(p, p).numpy(), before.numpy())
        assert prior.log_density() == density
