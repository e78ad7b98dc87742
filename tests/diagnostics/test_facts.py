"""What a table holds: patterns of labels, and repeated rows with their spread."""

import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.diagnostics.facts import label_patterns, repeated_rows, tasks_of
from bayestl.diagnostics.words import coverage_is_off, intervals_in_words, plus_minus
from bayestl.table.table import build_table


def table(seed=0, n=30, d=2):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.integers(0, 3, (n, d)).astype(float), index=[f"m{i}" for i in range(n)]).add_prefix("x")
    Y = pd.DataFrame(rng.standard_normal((n, 2)), columns=["a", "b"])
    Y = Y.mask(rng.uniform(size=Y.shape) < 0.4).set_axis(X.index)
    Y.iloc[0] = 1.0
    return X, Y, build_table(X, Y)


@pytest.mark.parametrize("seed", range(5))
def test_patterns_count_every_row_once(seed):
    _, Y, built = table(seed)
    patterns = label_patterns(built)
    assert patterns["rows"].sum() == len(Y)
    assert patterns["rows"].is_monotonic_decreasing
    for _, row in patterns.iterrows():
        has = np.array([row["a"] == "●", row["b"] == "●"])
        mine = (Y.notna().to_numpy() == has).all(axis=1)
        assert mine.sum() == row["rows"]
        assert row["such as"].startswith(str(Y.index[mine][0]))


@pytest.mark.parametrize("seed", range(5))
def test_the_spread_of_repeats_is_that_within_groups(seed):
    X, Y, built = table(seed)
    found = repeated_rows(built)
    for task in Y:
        groups = [g.dropna() for _, g in Y[task].groupby([X["x0"], X["x1"]])]
        groups = [g for g in groups if len(g) > 1]
        squares, freedom = sum(((g - g.mean()) ** 2).sum() for g in groups), sum(len(g) - 1 for g in groups)
        assert found.loc[task, "materials"] == len(groups)
        assert found.loc[task, "spread"] == f"{np.sqrt(squares / freedom):.2g}"
        widest = max(groups, key=lambda g: g.max() - g.min())
        assert found.loc[task, "widest"].split(", ")[0] == widest.index[0]


def test_a_table_without_repeats_has_none_and_ranges_are_of_the_labels(two_tasks):
    X, Y = two_tasks
    built = build_table(X, Y, tasks=[btl.Task("target", unit="eV")])
    assert repeated_rows(built).empty
    shown = tasks_of(built)
    assert shown.loc["target", "labels"] == 20
    assert shown.loc["target", "range"] == f"{Y['target'].min():.3g} to {Y['target'].max():.3g}"


@pytest.mark.parametrize(
    ("held", "n", "off"), [(0.9, 500, 0), (0.84, 500, -1), (0.95, 500, 1), (0.8, 20, 0), (0.5, 30, -1)]
)
def test_coverage_is_called_off_where_chance_does_not_explain_it(held, n, off):
    assert coverage_is_off(held, n) == off
    words = ("too narrow", "right within chance", "too wide")[off + 1]
    assert words in intervals_in_words(held, n)


def test_right_intervals_are_seldom_called_wrong():
    rng = np.random.default_rng(0)
    for n in (20, 50, 400):
        wrong = np.mean([coverage_is_off(k / n, n) != 0 for k in rng.binomial(n, 0.9, 400)])
        assert wrong <= 0.03


@pytest.mark.parametrize("scale", [1e-4, 0.03, 1.0, 777.0])
def test_a_number_and_its_error_end_at_the_same_digit(scale):
    for value in (0.0, 1.2345 * scale, -9.99 * scale):
        number, error = plus_minus(value, 0.234 * scale).split(" ± ")
        assert len(number.partition(".")[2]) == len(error.partition(".")[2])
        assert float(number) == pytest.approx(value, abs=0.05 * scale)


def test_the_widest_of_repeated_rows_is_one_of_them():
    """Where repeats agree, a row that is not repeated has no range to be named for."""
    x = np.array([[0.0], [1.0], [2.0], [1.0], [3.0]])
    Y = pd.DataFrame({"gap": [5.0, 1.0, 2.0, 1.0, 4.0]}, index=list("abcde"))
    found = repeated_rows(build_table(pd.DataFrame(x, index=Y.index), Y))
    assert found.loc["gap", "materials"] == 1
    assert found.loc["gap", "widest"] == "b, d"
