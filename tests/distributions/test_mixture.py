import numpy as np
import pytest
from scipy import integrate

from bayestl.distributions import Discrete, Hurdle, LogNormalMixture, NormalMixture, PowerNormalMixture
from bayestl.distributions.mixture import WeightedMixture, average


def normal(mean, sd):
    return NormalMixture(np.ones(1), np.array([mean], dtype=float), np.full((1, len(mean)), sd**2))


def test_gaussians_stay_gaussians_with_the_closed_form():
    mixed = average(np.array([0.3, 0.7]), [normal([0.0, 1.0], 1.0), normal([2.0, 5.0], 0.5)])
    assert isinstance(mixed, NormalMixture)
    np.testing.assert_allclose(mixed.mean(), [1.4, 3.8])
    between = 0.3 * 0.7 * np.array([2.0 - 0.0, 5.0 - 1.0]) ** 2
    np.testing.assert_allclose(mixed.std() ** 2, 0.3 * 1.0**2 + 0.7 * 0.5**2 + between)


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (LogNormalMixture(normal([0.0], 0.5)), LogNormalMixture(normal([1.0], 0.3)), LogNormalMixture),
        (PowerNormalMixture(normal([1.0], 0.3), 0.5), PowerNormalMixture(normal([1.5], 0.2), 0.5), PowerNormalMixture),
        (PowerNormalMixture(normal([1.0], 0.3), 0.5), LogNormalMixture(normal([1.0], 0.3)), WeightedMixture),
    ],
)
def test_positive_kinds_agree_with_numerical_integration(first, second, kind):
    mixed = average(np.array([0.4, 0.6]), [first, second])
    assert isinstance(mixed, kind)

    def density(y):
        return float(np.exp(mixed.log_density(np.array([y])))[0])

    for y in (0.8, 2.0, 4.0):
        assert mixed.cdf(np.array([y]))[0] == pytest.approx(integrate.quad(density, 0, y)[0], abs=1e-6)
    assert mixed.mean()[0] == pytest.approx(integrate.quad(lambda y: y * density(y), 0, 60)[0], rel=1e-6)
    q = mixed.quantile(0.37)
    assert mixed.cdf(q)[0] == pytest.approx(0.37, abs=1e-9)


def test_positive_parts_of_hurdles_weigh_by_how_likely_a_positive_label_is():
    small, large = LogNormalMixture(normal([-2.0], 0.1)), LogNormalMixture(normal([2.0], 0.1))
    mixed = average(np.array([0.5, 0.5]), [Hurdle(np.array([0.9]), small), Hurdle(np.array([0.1]), large)])
    assert isinstance(mixed, Hurdle)
    assert mixed.zero[0] == pytest.approx(0.5)
    y = np.array([1.0])  # between the two sizes: all of the small one lies below
    assert mixed.cdf(y)[0] == pytest.approx(0.5 + 0.5 * 0.1)


def test_classes_average_their_probabilities():
    a, b = (Discrete(np.array([[p, 1 - p]]), ("no", "yes")) for p in (0.2, 0.6))
    np.testing.assert_allclose(average(np.array([0.25, 0.75]), [a, b]).probabilities, [[0.5, 0.5]])


def test_the_spread_is_not_lost_far_from_the_origin():
    from bayestl.distributions.warp import Temperature

    one = NormalMixture(np.ones(1), np.full((1, 2), 1e9), np.full((1, 2), 1e-2))
    warped = Temperature(2.0).apply(one)
    np.testing.assert_allclose(warped.std(), 0.2, rtol=1e-3)
    mixed = WeightedMixture(np.full((2, 2), 0.5), [one, one.scaled(0.4, 1.0)])
    np.testing.assert_allclose(mixed.std(), np.sqrt(0.01 + 0.04), rtol=1e-4)
