import numpy as np
import pytest
from scipy import integrate, stats

from bayestl import metrics
from bayestl.distributions import Discrete, Hurdle, LogNormalMixture, NormalMixture, PowerNormalMixture, StudentMixture
from bayestl.distributions.sinh_arcsinh import SinhArcsinh
from bayestl.distributions.warp import (
    ClassIsotonic,
    ClassTemperature,
    Conformal,
    Isotonic,
    Temperature,
    Warped,
    from_state,
)


def normal(mean, sd):
    mean = np.atleast_1d(np.asarray(mean, dtype=float))
    return NormalMixture(np.ones(1), mean[None], np.full((1, len(mean)), sd**2))


def test_the_temperature_of_a_gaussian_scales_its_widths():
    warped = Temperature(1.7).apply(normal([2.0, -1.0], 0.5))
    np.testing.assert_allclose(warped.mean(), [2.0, -1.0], atol=1e-9)
    np.testing.assert_allclose(warped.std(), 0.85, rtol=1e-4)
    y = np.array([2.3, -2.0])
    np.testing.assert_allclose(warped.log_density(y), stats.norm.logpdf(y, [2.0, -1.0], 0.85), rtol=1e-9)
    np.testing.assert_allclose(warped.quantile(0.9), stats.norm.ppf(0.9, [2.0, -1.0], 0.85), rtol=1e-9)
    draws = normal([2.0, -1.0], 0.5).means + 0.5 * np.random.default_rng(0).standard_normal((5000, 2))
    moved = warped.moved(draws, np.random.default_rng(1))
    np.testing.assert_allclose(moved, [2.0, -1.0] + 1.7 * (draws - [2.0, -1.0]), atol=2e-3)


def test_the_temperature_of_held_out_levels_is_found():
    rng = np.random.default_rng(0)
    u = stats.norm.cdf(2.5 * rng.standard_normal(4000))
    assert Temperature.fit(u).temperature == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize("kind", [Isotonic, Temperature])
def test_levels_become_uniform_on_new_labels(kind):
    rng = np.random.default_rng(1)
    old, new = (stats.norm.cdf(1.8 * rng.standard_normal(3000)) for _ in range(2))
    warp = kind.fit(old)
    assert stats.kstest(new, "uniform").pvalue < 1e-6
    assert stats.kstest(warp.level(new), "uniform").pvalue > 0.01
    v = np.linspace(0.01, 0.99, 50)
    np.testing.assert_allclose(warp.level(warp.inverse(v)), v, atol=1e-9)


@pytest.mark.parametrize("warp", [Temperature(1.4), Isotonic(np.array([[0, 0], [0.2, 0.4], [1, 1.0]]))])
def test_density_and_distribution_function_agree(warp):
    warped = Warped(LogNormalMixture(normal([0.3], 0.6)), warp)

    def density(y):
        return float(np.exp(warped.log_density(np.array([y])))[0])

    kink = float(warped.base.quantile(0.2)[0])
    for low, high in ((0.3, kink), (kink, 4.0)):
        mass = integrate.quad(density, low + 1e-9, high - 1e-9)[0]
        assert warped.cdf(np.array([high]))[0] - warped.cdf(np.array([low]))[0] == pytest.approx(mass, abs=1e-6)


def test_an_atom_stays_an_atom():
    hurdle = Hurdle(np.array([0.3]), LogNormalMixture(normal([0.0], 0.5)))
    warped = Isotonic(np.array([[0, 0], [0.3, 0.5], [1, 1.0]])).apply(hurdle)
    assert np.exp(warped.log_density(np.zeros(1)))[0] == pytest.approx(0.5)
    assert warped.quantile(0.45)[0] == 0.0
    assert warped.quantile(0.6)[0] > 0.0
    rng = np.random.default_rng(0)
    draws = np.where(rng.uniform(size=(8000, 1)) < 0.3, 0.0, np.exp(0.5 * rng.standard_normal((8000, 1))))
    assert (warped.moved(draws, np.random.default_rng(1)) == 0).mean() == pytest.approx(0.5, abs=0.03)


def test_conformal_intervals_hold_their_level_whatever_the_model():
    rng = np.random.default_rng(3)
    held = []
    for _ in range(400):  # predictions three times too narrow, 29 labels kept: ceil(30 x 0.9) = 27th smallest
        y = 3.0 * rng.standard_normal(30)
        predicted = normal(np.zeros(30), 1.0)
        warp = Conformal.fit(predicted.cdf(y)[:29])
        last = warp.apply(normal([0.0], 1.0))
        held.append(last.quantile(0.05)[0] <= y[29] <= last.quantile(0.95)[0])
    assert np.mean(held) == pytest.approx(27 / 30, abs=3 * np.sqrt(0.09 / 400))


def test_few_labels_promise_no_more_than_they_can():
    warp = Conformal.fit(np.random.default_rng(0).uniform(size=9)).apply(normal([0.0], 1.0))
    assert np.isfinite(warp.quantile(0.05)).all()  # 90 % of ten
    assert np.isinf(warp.quantile(0.01)).all()
    np.testing.assert_allclose(warp.std(), 1.0)


def test_an_interval_without_ends_is_all_that_the_label_may_be():
    warp = Conformal.fit(np.random.default_rng(0).uniform(size=9))
    size = LogNormalMixture(normal([0.0], 0.5))
    for base in (size, Hurdle(np.array([0.3]), size)):
        warped = warp.apply(base)
        assert warped.quantile(0.01)[0] == 0.0
        assert np.isposinf(warped.quantile(0.99)[0])
    assert np.isneginf(warp.apply(normal([50.0], 1.0)).quantile(0.01)[0])  # far from zero, but not positive


@pytest.mark.parametrize("base", [normal([0.5], 0.7), LogNormalMixture(normal([0.5], 0.7))])
def test_conformal_intervals_leave_the_score_of_the_distribution(base):
    warped = Conformal.fit(np.random.default_rng(0).uniform(size=20)).apply(base)
    assert metrics.crps(np.array([1.0]), warped) == pytest.approx(metrics.crps(np.array([1.0]), base))


@pytest.mark.parametrize("warp", [Temperature(1.2), Isotonic(np.array([[0, 0], [0.3, 0.5], [1, 1.0]]))])
def test_moments_that_do_not_exist_are_not_made_up(warp):
    one = np.ones((1, 1))
    heavy = StudentMixture(np.ones(1), one, one, one, 1.8 * one)
    assert np.isfinite(warp.apply(heavy).mean()).all()
    assert np.isinf(warp.apply(heavy).std()).all()
    assert np.isinf(warp.apply(PowerNormalMixture(heavy, 0.5)).mean()).all()


@pytest.mark.parametrize("kind", [ClassTemperature, ClassIsotonic])
def test_class_probabilities_are_mended(kind):
    rng = np.random.default_rng(0)
    truth = rng.dirichlet(np.ones(3), 4000)
    y = np.array([rng.choice(3, p=p) for p in truth], dtype=float)
    sharp = truth**3 / (truth**3).sum(axis=1, keepdims=True)  # far too sure
    warp = kind.fit(sharp[:2000], y[:2000])
    corrected = warp.apply(Discrete(sharp[2000:], ("a", "b", "c")))
    np.testing.assert_allclose(corrected.probabilities.sum(axis=1), 1.0)
    before, after = (metrics.nlpd(d.log_density(y[2000:])) for d in (Discrete(sharp[2000:], "abc"), corrected))
    assert after < before - 0.1
    if kind is ClassTemperature:
        assert warp.temperature == pytest.approx(3.0, rel=0.1)


def test_from_state_restores_each():
    rng = np.random.default_rng(0)
    u = rng.uniform(size=200)
    v = np.linspace(0.05, 0.95, 7)
    for method, warp in (
        ("temperature", Temperature.fit(u)),
        ("isotonic", Isotonic.fit(u)),
        ("conformal", Conformal.fit(u)),
    ):
        np.testing.assert_array_equal(from_state(method, warp.state(), False).inverse(v), warp.inverse(v))


def test_crps_of_a_distribution_on_both_sides_of_zero():
    base = normal([0.5, -2.0, 3.0], 0.7)
    y = np.array([0.1, -3.0, 3.5])
    same = Warped(base, Temperature(1.0))
    np.testing.assert_allclose(metrics.crps(y, same), metrics.crps(y, base), rtol=2e-4)


@pytest.mark.parametrize("warp", [Temperature(1.2), SinhArcsinh(0.9, 0.7)])
@pytest.mark.parametrize("n_components", [19, 40])
def test_rows_far_from_zero_have_draws_and_moments(n_components, warp):
    """The weights of a mixture add up to a little more than one, by rounding."""
    rng = np.random.default_rng(n_components)
    weights = rng.dirichlet(np.full(n_components, 2.0), size=12).T * (1 + 4e-16)
    means = np.linspace(-400.0, 400.0, 12) + rng.normal(size=(n_components, 12))
    base = NormalMixture(weights, means, rng.uniform(0.1, 0.8, size=means.shape))
    warped = warp.apply(base)
    moved = warped.moved(base.quantile(0.3)[None], np.random.default_rng(0))
    for values in (
        warped.mean(),
        warped.std(),
        warped.cdf(np.zeros(12)),
        warped.log_density(means.mean(axis=0)),
        moved,
    ):
        assert np.isfinite(values).all()
    assert np.abs(warped.mean() - base.mean()).max() < 1
