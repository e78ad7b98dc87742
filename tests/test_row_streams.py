"""Random numbers of single rows."""

import numpy as np
from scipy import stats

from bayestl.streams import RowStreams

X = np.random.default_rng(0).standard_normal((50, 3))


def test_a_row_has_its_numbers_wherever_it_stands():
    order = np.random.default_rng(1).permutation(50)
    both = RowStreams(3, X), RowStreams(3, X[order])
    for _ in range(2):  # the next numbers too
        first, shuffled = (s.normal(20) for s in both)
        np.testing.assert_array_equal(first[:, order], shuffled)
    np.testing.assert_array_equal(RowStreams(3, X[7:8]).uniform(5)[:, 0], RowStreams(3, X).uniform(5)[:, 7])


def test_rows_with_the_same_features_have_streams_of_their_own():
    twice = RowStreams(3, np.vstack([X[:2], X[:2]])).normal(2000)
    assert np.abs(np.corrcoef(twice.T) - np.eye(4)).max() < 0.1
    np.testing.assert_array_equal(twice[:, :2], RowStreams(3, X[:2]).normal(2000))


def test_codes_take_the_place_of_features():
    code = np.where(np.arange(50) % 2, np.arange(50), -1)
    numbers = RowStreams(3, X, code).normal(10)
    np.testing.assert_array_equal(numbers[:, 0], RowStreams(3, X).normal(10)[:, 0])
    np.testing.assert_array_equal(numbers[:, 1], RowStreams(3, X + 1, code).normal(10)[:, 1])


def test_they_are_uniform_and_independent():
    u = RowStreams(0, np.arange(400.0)[:, None]).uniform(400)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 0.001
    z = stats.norm.ppf(u)
    for a, b in ((z[1:], z[:-1]), (z[:, 1:], z[:, :-1])):  # neighbours in a stream, and rows with neighbouring features
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.012
    assert not np.array_equal(u, RowStreams(1, np.arange(400.0)[:, None]).uniform(400))
