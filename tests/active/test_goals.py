import json

import numpy as np
import pytest

from bayestl.active import Above, Between, Learn, Maximise, Minimise, Reach
from bayestl.active.words import from_document, from_words, in_words, unit_of
from bayestl.distributions import Discrete, Empirical, Hurdle, LogNormalMixture, NormalMixture, StudentMixture
from bayestl.table.task import Task

MIXTURE = NormalMixture(np.array([0.4, 0.6]), np.array([[0.0, 1.0], [1.0, 3.0]]), np.array([[1.0, 0.5], [0.3, 1.0]]))


def draws(n=400_000):
    generator = np.random.default_rng(0)
    which = generator.uniform(size=n) < 0.4
    each = MIXTURE.means[:, None] + np.sqrt(MIXTURE.variances)[:, None] * generator.standard_normal((2, n, 2))
    return np.where(which[:, None], each[0], each[1])


@pytest.mark.parametrize(
    "goal", [Maximise("y"), Minimise("y"), Reach("y", 0.7), Between("y", 0.5, 1.5), Above("y", 0.5)]
)
def test_the_promise_is_what_draws_give(goal):
    y = draws()
    best = float(goal.utility(np.array([0.4]))[0])
    found = goal.promise(MIXTURE, best)
    if isinstance(goal, Above):
        inside = (y > 0.5).mean(axis=0)
        expected = inside * (1 - inside)
    elif isinstance(goal, Between):
        expected = goal.utility(y).mean(axis=0)
    else:
        expected = np.maximum(goal.utility(y) - best, 0).mean(axis=0)
    np.testing.assert_allclose(found, expected, atol=0.01)
    np.testing.assert_allclose(goal.promise(Empirical(y[:50_000]), best), expected, atol=0.02)


@pytest.mark.parametrize("goal", [Maximise("y"), Minimise("y")])
def test_the_promise_of_heavy_tails_is_that_of_their_quantiles_and_more(goal):
    """200 quantiles end where a tail of three degrees of freedom still has much to give."""
    one = np.ones((1, 1))
    student = StudentMixture(np.ones(1), 0.5 * one, 0.1 * one, one, 3.0 * one)
    levels = 1 - np.geomspace(1e-13, 1.0, 4001)[::-1]  # ever finer towards the tail
    middle = (levels[1:] + levels[:-1]) / 2
    rows = np.ones((1, len(middle)))
    same = StudentMixture(np.ones(1), 0.5 * rows, 0.1 * rows, rows, 3.0 * rows)
    far = same.quantile(middle if goal.sign > 0 else 1 - middle)
    expected = (np.maximum(goal.utility(far) - 4.0, 0.0) * np.diff(levels)).sum()
    assert goal.promise(student, 4.0)[0] == pytest.approx(expected, rel=1e-3)
    cauchy = StudentMixture(np.ones(1), one, one, one, one)
    assert np.isfinite(goal.promise(cauchy, 4.0)).all()  # no mean: what quantiles say


def test_an_atom_is_inside_a_closed_range():
    log = NormalMixture(np.ones(1), np.zeros((1, 1)), np.full((1, 1), 0.25))
    gap = Hurdle(np.array([0.3]), LogNormalMixture(log))
    assert Between("gap", 0.0, 1.0).promise(gap, 0.0)[0] == pytest.approx(0.3 + 0.7 * 0.5)
    assert Between("gap", 0.5).promise(gap, 0.0)[0] == pytest.approx(0.7 * (1 - log.cdf(np.log([0.5]))[0]))


def test_what_is_learnt_of_a_class_is_its_entropy():
    chances = Discrete(np.array([[0.5, 0.5], [0.99, 0.01]]), ("a", "b"))
    found = Learn("color").promise(chances, 0.0)
    assert found[0] == pytest.approx(np.log(2))
    assert found[1] < 0.1


@pytest.mark.parametrize(
    "goal", [Maximise("N2 - NO"), Reach("N2", 1.4), Between("N2", 1.3, 1.5), Above("N2", 0.2), Learn("N2")]
)
def test_documents_give_the_goal_back(goal):
    assert from_document(json.loads(json.dumps(goal.document()))) == goal


def test_a_python_function_is_passed_again():
    goal = Maximise("ratio", function=lambda y: y["N2"] / y["NO"])
    document = json.loads(json.dumps(goal.document()))
    with pytest.raises(ValueError, match="'ratio' is a Python function"):
        from_document(document)
    again = from_document(document, goal.function)
    assert again.value({"N2": 6.0, "NO": 3.0}, ["N2", "NO"]) == 2.0
    with pytest.raises(ValueError, match="unknown goal 'Evil'"):
        from_document({"goal": "Evil"})


def test_bad_goals_are_named():
    with pytest.raises(ValueError, match="'O2', which is no task"):
        Maximise("O2 - NO").check(["N2", "NO"])
    with pytest.raises(ValueError, match=r"lower=2\.0 must be below"):
        Between("N2", 2.0, 1.0)


@pytest.mark.parametrize(
    "goal",
    [Maximise("N2 - NO"), Minimise("a"), Reach("N2", 1.4), Between("N2", -1.5, 2), Above("N2", 0.2), Learn("N2")],
)
def test_words_give_the_goal_back(goal):
    assert from_words(goal.description) == goal
    with pytest.raises(ValueError, match="'as good as possible' is none of"):
        from_words("as good as possible")


@pytest.mark.parametrize(
    ("values", "best"),
    [([2.556, 1.7, 2.99], 2), ([5.5, 9.0, 2.0], 0), ([2.9, 4.0, 3.5], 1), ([1.0, 7.0], 0)],
)
def test_the_best_of_a_range_is_in_it_or_the_nearest(values, best):
    assert Between("gap", 3, 5).best_of(np.array(values)) == best
    assert Maximise("gap").best_of(np.array(values)) == int(np.argmax(values))


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [
        ("a", "eV"), ("c", "K"), ("d", ""), ("a - b", "eV"), ("2 * a - b / 2 + 1", "eV"), ("a - c", ""), ("a - d", ""), ("a * b", ""),
        ("abs(a)", ""), ("`e (eV)` - a", "eV"), ("e (eV)", "eV"),
    ],
)  # fmt: skip
def test_a_quantity_has_the_unit_of_its_tasks(quantity, unit):
    tasks = [Task("a", unit="eV"), Task("b", unit="eV"), Task("c", unit="K"), Task("d"), Task("e (eV)", unit="eV")]
    assert unit_of(Maximise(quantity), tasks) == unit
    assert unit_of(Maximise("a", function=lambda y: y["a"] ** 2), tasks[1:]) == ""


def test_numbers_of_a_goal_are_said_with_their_unit():
    for goal in (Reach("gap", 1.4), Between("gap", 1.3, 1.5), Above("gap", 1.5)):
        assert in_words(goal, "eV") == f"{goal.description} eV"
        assert in_words(goal, "") == goal.description
    for goal in (Maximise("gap"), Minimise("gap"), Learn("gap")):
        assert in_words(goal, "eV") == goal.description


def test_a_function_is_not_called_as_a_task():
    goal = Maximise("a", function=lambda y: -y["a"])
    goal.check(["b"])
    with pytest.raises(ValueError, match="function= computes 'a', which is a task"):
        goal.check(["a", "b"])


@pytest.mark.parametrize("value", ["1.4", None, float("nan"), True, [1.0]])
def test_values_of_goals_are_numbers(value):
    makes = (
        lambda v: Reach("y", v),
        lambda v: Between("y", v),
        lambda v: Between("y", 1.0, v),
        lambda v: Above("y", v),
    )
    for make in makes:
        with pytest.raises(ValueError, match=r"^(Reach|Between|Above): (target|lower|upper) must be a number, got "):
            make(value)


def test_values_of_goals_are_finite_where_infinity_says_nothing():
    for make in (lambda: Reach("y", np.inf), lambda: Above("y"), lambda: Above("y", upper=2.0)):
        with pytest.raises(ValueError, match="must be a finite number"):
            make()
    assert Reach("y", np.float32(1.5)).description == "y near 1.5"
    boundary = Above("y", 1, 2)
    assert boundary.description == "whether y is between 1 and 2"
    assert from_words(boundary.description) == boundary
    assert from_words(Above("y", 1.5).description) == Above("y", 1.5)
