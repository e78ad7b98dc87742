import numpy as np
import pytest

from bayestl.active.expressions import Expression

TASKS = ["N2", "NO", "band gap"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("N2 - NO", 3.0),
        ("-N2 + 2 * NO", -1.0),
        ("`band gap` / 2 - 0.5", 0.0),
        ("log(exp(N2))", 5.0),
        ("max(N2, NO) ** 2", 25.0),
        ("min(N2, `band gap`)", 1.0),
        (" ( N2 ) ", 5.0),
    ],
)
def test_the_value_is_that_of_the_arithmetic(text, value):
    assert Expression(text, TASKS)({"N2": 5.0, "NO": 2.0, "band gap": 1.0}) == pytest.approx(value)


def test_it_takes_arrays():
    found = Expression("N2 - NO", TASKS)({"N2": np.arange(3.0), "NO": np.ones(3)})
    np.testing.assert_array_equal(found, [-1, 0, 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", "not allowed"),
        ("N2.real", "not allowed"),
        ("[N2 for N2 in NO]", "not allowed"),
        ("open('x')", "calls 'open'"),
        ("lambda: N2", "not allowed"),
        ("N2 if NO else N2", "not allowed"),
        ("'N2'", "not allowed"),
        ("True + N2", "not allowed"),
        ("O2 - NO", "names 'O2', which is no task"),
        ("N2 -", "is no expression"),
        ("1 + 2", "names no task"),
        ("log(N2, NO)", "takes 1 argument"),
        ("N2 + " * 200 + "NO", "at most 500 characters"),
    ],
)
def test_anything_else_is_refused_and_named(text, message):
    with pytest.raises(ValueError, match=message):
        Expression(text, TASKS)


def test_linear_ones_know_their_coefficients():
    constant, slope = Expression("2 * N2 - (NO - 3) / 2", TASKS).linear(TASKS)
    assert constant == pytest.approx(1.5)
    np.testing.assert_allclose(slope, [2, -0.5, 0])
    assert Expression("N2 * NO", TASKS).linear(TASKS) is None
    assert Expression("abs(N2)", TASKS).linear(TASKS) is None
    assert Expression("log(N2)", TASKS).linear(TASKS) is None
