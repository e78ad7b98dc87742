import numpy as np
import pytest
from scipy import stats

from bayestl import metrics
from bayestl.distributions import Empirical, NormalMixture

RNG = np.random.default_rng(1)
Y = RNG.standard_normal(30)
MEAN, STD = RNG.standard_normal(30), RNG.uniform(0.3, 2.0, 30)
MIXTURE = NormalMixture(np.array([0.2, 0.5, 0.3]), RNG.standard_normal((3, 30)), RNG.uniform(0.1, 2.0, (3, 30)))


def mixture_draws(k):
    generator = np.random.default_rng(2)
    component = generator.choice(3, p=MIXTURE.weights, size=(k, 30))
    columns = np.arange(30)
    sd = np.sqrt(MIXTURE.variances[component, columns])
    return MIXTURE.means[component, columns] + sd * generator.standard_normal((k, 30))


def test_gaussian_crps_is_the_integral():
    grid = np.linspace(-40, 40, 400_001)
    for i in range(5):
        cdf = stats.norm.cdf(grid, MEAN[i], STD[i])
        integral = np.trapezoid((cdf - (grid >= Y[i])) ** 2, grid)
        assert metrics.crps_gaussian(Y[i], MEAN[i], STD[i]) == pytest.approx(integral, rel=1e-3)


def test_a_gaussian_without_spread_is_scored_by_its_distance():
    np.testing.assert_allclose(metrics.crps_gaussian([2.0, -1.0], 0.0, [0.0, 0.0]), [2.0, 1.0])
    np.testing.assert_allclose(metrics.crps_gaussian([2.0], [0.0], [1e-9]), [2.0], rtol=1e-8)
    with pytest.raises(ValueError, match="cannot be negative, got -1"):
        metrics.crps_gaussian([2.0], [0.0], [-1.0])


@pytest.mark.parametrize(
    "score",
    [
        metrics.mae,
        metrics.rmse,
        lambda y, p: metrics.interval_score(y, p, [9, 9, 9], 0.9),
        lambda y, p: metrics.coverage(y, [0, 0, 0], p),
    ],
)
def test_a_prediction_that_is_no_number_is_not_left_out(score):
    assert np.isfinite(score([1.0, np.nan, 3.0], [2.0, np.nan, 1.0]))
    with pytest.raises(ValueError, match="the prediction at position 2 is NaN"):
        score([1.0, np.nan, 3.0], [2.0, 1.0, np.nan])


@pytest.mark.parametrize("level", [90, 1.0, 0.0, 1.5])
def test_a_level_that_is_no_probability_is_refused(level):
    with pytest.raises(ValueError, match="level must be a number strictly between 0 and 1"):
        metrics.interval_score([5, 1], [0, 0], [3, 3], level)


def test_mixture_crps_agrees_with_samples_within_monte_carlo_error():
    exact = metrics.crps_mixture(Y, MIXTURE)
    sampled = metrics.crps_samples(Y, mixture_draws(20_000))
    np.testing.assert_allclose(sampled, exact, atol=5 * 1.5 / np.sqrt(20_000))


def test_one_component_is_the_gaussian():
    one = NormalMixture(np.ones(1), MEAN[None], STD[None] ** 2)
    np.testing.assert_allclose(metrics.crps_mixture(Y, one), metrics.crps_gaussian(Y, MEAN, STD))
    np.testing.assert_allclose(one.log_density(Y), stats.norm.logpdf(Y, MEAN, STD))
    np.testing.assert_allclose(one.quantile(0.2), stats.norm.ppf(0.2, MEAN, STD))
    np.testing.assert_allclose(one.std(), STD)


def test_mixture_quantile_inverts_the_cdf():
    for q in (0.01, 0.3, 0.5, 0.95):
        np.testing.assert_allclose(MIXTURE.cdf(MIXTURE.quantile(q)), q, atol=1e-12)


def test_mixture_moments_agree_with_samples():
    draws = mixture_draws(40_000)
    np.testing.assert_allclose(MIXTURE.mean(), draws.mean(axis=0), atol=5 * 2 / np.sqrt(40_000))
    np.testing.assert_allclose(MIXTURE.std(), draws.std(axis=0), rtol=0.05)


def test_points_against_their_definitions():
    y, p = np.array([1.0, np.nan, 3.0]), np.array([2.0, 9.0, 1.0])
    assert metrics.mae(y, p) == pytest.approx(1.5)
    assert metrics.rmse(y, p) == pytest.approx(np.sqrt(2.5))
    assert metrics.coverage([1, 2, 3], [0, 2.5, 3], [1.5, 3, 4]) == pytest.approx(2 / 3)
    assert metrics.sharpness([0, 1], [1, 4]) == pytest.approx(2.0)
    assert metrics.interval_score([5.0], [0.0], [4.0], 0.9) == pytest.approx(4 + 20 * 1.0)
    assert metrics.nlpd([-1.0, np.nan, -3.0]) == pytest.approx(2.0)


def test_calibration_of_uniform_and_of_overconfident_values():
    uniform = (np.arange(2000) + 0.5) / 2000
    assert metrics.calibration_error(uniform) < 0.01
    narrow = stats.norm.cdf(3 * stats.norm.ppf(uniform))
    assert metrics.calibration_error(narrow) > 0.2


def test_bad_arguments():
    with pytest.raises(ValueError, match="different lengths"):
        metrics.mae([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="no pair"):
        metrics.mae([np.nan], [1.0])
    with pytest.raises(ValueError, match="two draws"):
        metrics.crps_samples(np.ones(1), np.ones((1, 1)))
    with pytest.raises(ValueError, match="strictly between"):
        MIXTURE.quantile(1.0)


def test_empirical_is_what_numpy_says():
    draws = np.random.default_rng(0).standard_normal((500, 4))
    e = Empirical(draws)
    np.testing.assert_allclose(e.quantile(0.3), np.quantile(draws, 0.3, axis=0))
    np.testing.assert_allclose(e.std(), draws.std(axis=0, ddof=1))
