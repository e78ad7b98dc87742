"""Gaussian latent values plus Student noise: against scipy, quadrature and draws, far into the tails."""

import numpy as np
import pytest
from scipy import stats

from bayestl import metrics
from bayestl.distributions import Hurdle, NormalMixture, PowerNormalMixture, StudentMixture
from bayestl.distributions.mixture import WeightedMixture, average

ONE = np.ones((1, 1))


def single(latent, noise, dof):
    return StudentMixture(np.ones(1), 0.0 * ONE, latent * ONE, noise * ONE, dof * ONE)


def log_convolution(y, latent, noise, dof):
    """``log int N(z | 0, latent) t((y - z) / sqrt(noise)) dz`` by composite Gauss-Legendre quadrature."""
    sd, scale = np.sqrt(latent), np.sqrt(noise)

    def log_integrand(z):
        return stats.norm.logpdf(z, 0, sd) + stats.t.logpdf((y - z) / scale, dof) - np.log(scale)

    near_noise = y + scale * np.sinh(np.linspace(-12, 12, 4001))
    grid = [np.linspace(-12 * sd, 12 * sd, 4001), near_noise, np.linspace(0, y, 4001)]
    edges = np.unique(np.concatenate(grid))
    top = log_integrand(edges).max()
    edges = edges[log_integrand(edges) > top - 60]
    nodes, mass = np.polynomial.legendre.leggauss(12)
    half = np.diff(edges)[:, None] / 2
    z = edges[:-1, None] + half * (1 + nodes)
    return top + np.log((np.exp(log_integrand(z) - top) * mass * half).sum())


@pytest.mark.parametrize("dof", [1.5, 2.5, 4.0, 10.0, 100.0, 1000.0])
@pytest.mark.parametrize("ratio", [1e-6, 0.1, 1.0, 10.0, 1e6, 1e10])
def test_log_density_is_right_up_to_a_thousand_standard_deviations(dof, ratio):
    latent, noise = ratio / (1 + ratio), 1 / (1 + ratio)
    for y in (0.0, 1.0, 3.0, 10.0, 30.0, 1000.0):
        exact = log_convolution(y, latent, noise, dof)
        assert single(latent, noise, dof).log_density(np.array([y]))[0] == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("dof", [1.5, 3.0, 30.0, 1000.0])
def test_without_a_latent_spread_it_is_students_t(dof):
    d, t = single(1e-14, 1.0, dof), stats.t(dof)
    for q in (1e-9, 1e-3, 0.05, 0.3, 0.5, 0.95, 0.999):
        assert d.quantile(q)[0] == pytest.approx(t.ppf(q), rel=1e-6, abs=1e-9)
        assert d.cdf(np.array([t.ppf(q)]))[0] == pytest.approx(q, rel=1e-6)
    assert d.std()[0] == pytest.approx(t.std()) if dof > 2 else np.isinf(d.std()[0])
    assert d.expected_excess(1.0)[0] == pytest.approx(t.expect(lambda y: y - 1.0, lb=1.0, limit=200), rel=1e-4)


MIXED = StudentMixture(
    np.array([0.3, 0.7]),
    np.array([[0.0, 2.0, -1.0], [1.0, -4.0, 0.5]]),
    np.array([[0.5, 0.1, 2.0], [0.2, 0.3, 0.1]]),
    np.array([[0.4], [0.9]]),
    np.array([[3.5, 9.0, 6.0], [12.0, 5.0, 30.0]]),  # degrees of freedom of each row
)


def mixed_draws(k, seed=0):
    rng = np.random.default_rng(seed)
    s, row = (rng.uniform(size=(k, 3)) > 0.3).astype(int), np.arange(3)
    z = MIXED.means[s, row] + np.sqrt(MIXED.variances[s, row]) * rng.standard_normal((k, 3))
    return z + np.sqrt(MIXED.noise[s, 0]) * rng.standard_t(MIXED.dof[s, row])


def test_mixtures_agree_with_draws():
    y = mixed_draws(400_000)
    error = 5 / np.sqrt(len(y))
    np.testing.assert_allclose(MIXED.mean(), y.mean(axis=0), atol=error * y.std(axis=0).max())
    np.testing.assert_allclose(MIXED.std(), y.std(axis=0), rtol=0.02)
    for q in (0.001, 0.2, 0.5, 0.9):
        np.testing.assert_allclose(MIXED.cdf(MIXED.quantile(q)), q, rtol=1e-9)
        np.testing.assert_allclose((y < MIXED.quantile(q)).mean(axis=0), q, atol=error * np.sqrt(q * (1 - q)))
        absolute = MIXED.absolute_quantile(q)
        np.testing.assert_allclose((np.abs(y) < absolute).mean(axis=0), q, atol=error * np.sqrt(q * (1 - q)))
    np.testing.assert_allclose(MIXED.cdf(np.array([[0.5] * 3, [-2.0] * 3]))[1], MIXED.cdf(np.full(3, -2.0)))
    for power in (0.5, 4 / 3, 2.0):
        np.testing.assert_allclose(MIXED.absolute_moment(power), (np.abs(y) ** power).mean(axis=0), rtol=0.02)
    for sign in (1.0, -1.0):
        expected = np.maximum(sign * y - 1.0, 0).mean(axis=0)
        np.testing.assert_allclose(MIXED.expected_excess(1.0, sign), expected, rtol=0.05)
    shifted = MIXED.scaled(3.0, -2.0)
    np.testing.assert_allclose(shifted.quantile(0.2), 3.0 - 2.0 * MIXED.quantile(0.8))


def test_moments_that_do_not_exist_are_infinite():
    assert np.isinf(single(1.0, 1.0, 2.0).std()[0])
    root = PowerNormalMixture(single(1.0, 0.1, 3.0), 0.5)  # E y = E r^2, E y^2 = E r^4
    assert root.mean()[0] == pytest.approx(1.0 + 0.1 * 3.0)
    assert np.isinf(root.std()[0])
    assert np.isfinite(PowerNormalMixture(single(1.0, 0.1, 4.1), 0.5).std()[0])
    hurdle = Hurdle(np.array([1.0]), root)
    assert hurdle.mean()[0] == hurdle.std()[0] == 0.0
    assert np.isinf(Hurdle(np.array([0.5]), root).std()[0])
    mixed = WeightedMixture(np.array([[1.0], [0.0]]), [single(1.0, 1.0, 5.0), single(1.0, 1.0, 1.5)])
    assert np.isfinite(mixed.std()[0])
    assert np.isinf(WeightedMixture(np.array([[0.5], [0.5]]), mixed.members).std()[0])


def test_moments_of_powers_of_gaussians_are_exact_where_the_power_bends():
    """|r|^(4/3) is not smooth at zero."""
    root = NormalMixture(np.ones(1), 0.1 * ONE, ONE)
    r = 0.1 + stats.norm.ppf((np.arange(1_000_000) + 0.5) / 1_000_000)
    assert PowerNormalMixture(root, 0.75).mean()[0] == pytest.approx((np.abs(r) ** (4 / 3)).mean(), rel=1e-5)


def test_a_mixture_of_mixtures_keeps_the_tails():
    other = MIXED.scaled(0.5, 1.5)
    mixed = average(np.array([0.25, 0.75]), [MIXED, other])
    assert isinstance(mixed, StudentMixture)
    y = np.array([-30.0, 0.0, 100.0])
    by_hand = np.logaddexp(np.log(0.25) + MIXED.log_density(y), np.log(0.75) + other.log_density(y))
    np.testing.assert_allclose(mixed.log_density(y), by_hand)


def test_crps_of_heavy_tails_agrees_with_a_million_draws():
    d = single(0.3, 0.7, 2.5)
    rng = np.random.default_rng(1)
    draws = np.sqrt(0.3) * rng.standard_normal(10**6) + np.sqrt(0.7) * rng.standard_t(2.5, 10**6)
    for y in (0.0, 2.0, 50.0):
        sampled = metrics.crps_samples(np.array([y]), draws[:, None])[0]
        assert metrics.crps(np.array([y]), d)[0] == pytest.approx(sampled, rel=5e-3)


@pytest.mark.parametrize("dof", [1.5, 3.0, 30.0])
@pytest.mark.parametrize("y", [0.0, 3.0, 1000.0])
def test_crps_of_heavy_tails_is_the_integral(dof, y):
    d = single(0.3, 0.7, dof)
    edges = np.concatenate([-np.geomspace(1e7, 1e-3, 4000), [0.0], np.geomspace(1e-3, 1e7, 4000), [y]])
    x = np.unique(np.concatenate([edges, y + edges]))
    middle = (x[1:] + x[:-1]) / 2
    integrand = (d.cdf(middle[:, None])[:, 0] - (middle > y)) ** 2
    assert metrics.crps(np.array([y]), d)[0] == pytest.approx((integrand * np.diff(x)).sum(), rel=1e-4)
