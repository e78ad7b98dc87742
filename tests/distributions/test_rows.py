"""Each distribution against scipy or draws of its own story."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from bayestl import metrics
from bayestl.distributions import (
    Discrete,
    Hurdle,
    LogNormalMixture,
    NormalMixture,
    PowerNormalMixture,
    TruncatedMixture,
    cdf_below,
)

WEIGHTS = np.array([0.3, 0.7])
MEANS = np.array([[0.2, -0.5, 1.0], [0.8, 0.4, -1.0]])
VARIANCES = np.array([[0.5, 0.1, 0.3], [0.2, 0.4, 0.6]])
NORMAL = NormalMixture(WEIGHTS, MEANS, VARIANCES)
POSITIVE = {
    "log-normal": LogNormalMixture(NORMAL),
    "squared": PowerNormalMixture(NORMAL, 0.5),
    "truncated": TruncatedMixture(WEIGHTS, MEANS, VARIANCES),
}


def component(kind, s, i):
    sd = np.sqrt(VARIANCES[s, i])
    if kind == "log-normal":
        return stats.lognorm(sd, scale=np.exp(MEANS[s, i]))
    if kind == "squared":
        return stats.ncx2(1, (MEANS[s, i] / sd) ** 2, scale=sd**2)
    return stats.truncnorm(-MEANS[s, i] / sd, np.inf, MEANS[s, i], sd)


@pytest.mark.parametrize("kind", POSITIVE)
def test_positive_mixtures_are_their_components(kind):
    d = POSITIVE[kind]
    y = np.array([0.3, 1.1, 2.0])
    for i in range(3):
        parts = [component(kind, s, i) for s in range(2)]
        assert d.cdf(y)[i] == pytest.approx(sum(w * p.cdf(y[i]) for w, p in zip(WEIGHTS, parts, strict=True)))
        density = sum(w * p.pdf(y[i]) for w, p in zip(WEIGHTS, parts, strict=True))
        assert d.log_density(y)[i] == pytest.approx(np.log(density))
        mean = sum(w * p.mean() for w, p in zip(WEIGHTS, parts, strict=True))
        second = sum(w * (p.var() + p.mean() ** 2) for w, p in zip(WEIGHTS, parts, strict=True))
        assert d.mean()[i] == pytest.approx(mean)
        assert d.std()[i] == pytest.approx(np.sqrt(second - mean**2))
    for q in (0.01, 0.5, 0.99):
        np.testing.assert_allclose(d.cdf(d.quantile(q)), q, atol=1e-9)
    assert d.cdf(np.array([[0.0] * 3, [-1.0] * 3])).max() == 0.0
    assert np.isneginf(d.log_density(np.full(3, -1.0))).all()


@pytest.mark.parametrize("kind", POSITIVE)
def test_hurdle_has_an_atom_and_exact_quantiles(kind):
    zero = np.array([0.2, 0.6, 0.95])
    d = Hurdle(zero, POSITIVE[kind])
    np.testing.assert_array_equal(d.quantile(0.5) == 0, [False, True, True])
    high = d.quantile(0.97)
    np.testing.assert_allclose(d.cdf(high), 0.97, atol=1e-9)
    np.testing.assert_allclose(d.log_density(np.zeros(3)), np.log(zero))
    for i in range(3):
        total = quad(lambda t, i=i: np.exp(d.log_density(np.full(3, t))[i]), 1e-9, 60, limit=400)[0]
        assert total + zero[i] == pytest.approx(1.0, abs=1e-4)
        mean = quad(lambda t, i=i: t * np.exp(d.log_density(np.full(3, t))[i]), 1e-9, 200, limit=400)[0]
        assert d.mean()[i] == pytest.approx(mean, rel=1e-3)
        square = quad(lambda t, i=i: t**2 * np.exp(d.log_density(np.full(3, t))[i]), 1e-9, 400, limit=800)[0]
        assert d.std()[i] == pytest.approx(np.sqrt(square - mean**2), rel=1e-2)
    np.testing.assert_array_equal(cdf_below(d, np.zeros(3)), 0.0)


@pytest.mark.parametrize("kind", POSITIVE)
def test_crps_of_any_distribution_agrees_with_draws(kind):
    d = Hurdle(np.array([0.2, 0.6, 0.95]), POSITIVE[kind])
    draws = np.stack([d.quantile(u * np.ones(3)) for u in (np.arange(500) + 0.5) / 500])  # as evenly as draws can be
    for y in (np.zeros(3), np.array([0.4, 1.3, 2.0])):
        sampled = metrics.crps_samples(y, draws)
        np.testing.assert_allclose(metrics.crps(y, d), sampled, atol=0.03 * (1 + sampled.max()))


def test_discrete_counts():
    d = Discrete(np.array([[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]]), ("a", "b", "c"))
    np.testing.assert_array_equal(d.mode(), [1, 0])
    np.testing.assert_array_equal(d.quantile(0.5), [1, 0])
    np.testing.assert_allclose(d.cdf(np.array([1.0, 0.0])), [0.7, 0.7])
    np.testing.assert_allclose(cdf_below(d, np.array([1.0, 0.0])), [0.2, 0.0])
    np.testing.assert_allclose(d.log_density(np.array([2.0, np.nan]))[0], np.log(0.3))
    np.testing.assert_allclose(d.mean(), [1.1, 0.4])
    assert np.isnan(d.log_density(np.array([2.0, np.nan]))[1])


def test_randomised_pit_is_uniform_where_there_are_atoms():
    rng = np.random.default_rng(1)
    zero = rng.uniform(size=2000)
    m = np.zeros((1, 2000))
    d = Hurdle(zero, LogNormalMixture(NormalMixture(np.ones(1), m, m + 1)))
    y = np.where(rng.uniform(size=2000) < zero, 0.0, np.exp(rng.standard_normal(2000)))
    assert stats.kstest(metrics.pit(y, d), "uniform").pvalue > 0.01


def test_class_scores():
    y, p = np.array([0.0, 1.0, 1.0, np.nan]), np.array([0.0, 1.0, 0.0, 1.0])
    assert metrics.accuracy(y, p) == pytest.approx(2 / 3)
    assert metrics.macro_f1(y, p) == pytest.approx(2 / 3)
    event = np.tile([0.0, 1.0], 50)
    assert metrics.expected_calibration_error(event, np.full(100, 0.5)) == pytest.approx(0.0)
    assert metrics.expected_calibration_error(event, np.full(100, 0.9)) == pytest.approx(0.4)
