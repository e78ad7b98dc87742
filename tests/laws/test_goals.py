"""Goals of campaigns: what a prediction promises is what draws of it give, and what is known of a row is what it would predict."""

import numpy as np
import pytest

from bayestl.active import Above, Between, Maximise, Minimise, Reach
from bayestl.active.results import known_quantity
from bayestl.distributions import Discrete
from bayestl.likelihoods import Categorical
from laws.test_numbers_agree import posterior_of, sample_of, slack

GOALS = {
    "largest": lambda low, middle, high: Maximise("target"),
    "smallest": lambda low, middle, high: Minimise("target"),
    "near": lambda low, middle, high: Reach("target", middle),
    "near, from outside": lambda low, middle, high: Reach("target", low - 0.5 * (high - low)),
    "between": lambda low, middle, high: Between("target", low, middle),
    "up to": lambda low, middle, high: Between("target", upper=middle),
    "from": lambda low, middle, high: Between("target", middle),
    "above": lambda low, middle, high: Above("target", middle),
}


@pytest.mark.parametrize("name", GOALS)
def test_what_a_goal_promises_is_what_draws_give(cell, name):
    """Ends of ranges and best values so far are labels, so that atoms and classes lie on them."""
    post = posterior_of(cell, "new rows")
    task = post.tasks[1]
    if isinstance(task.observes, Categorical) or cell.spec.intervals_only:
        pytest.skip("classes without an order, or draws that are not recalibrated")
    draws = sample_of(cell, "new rows").to_numpy()[:, :, 1]
    ends = np.quantile(draws, [0.1, 0.5, 0.9], method="nearest")
    ends = (
        (0.0, *ends[1:])
        if cell.kind.atom
        else (0.0, 1.0, 1.5)
        if isinstance(post.marginal("target"), Discrete)
        else ends
    )
    if not ends[0] < ends[1]:
        pytest.skip("all draws are alike")
    goal = GOALS[name](*ends)
    marginal = goal.marginals(post)
    for best in goal.utility(np.array(ends)):
        better = goal.utility(draws) > best
        hit = better if not isinstance(goal, Between) else goal.utility(draws) > 0
        np.testing.assert_allclose(goal.hit(marginal, best), hit.mean(axis=0), atol=slack(cell))
    if isinstance(goal, Between):
        inside = goal.utility(draws).mean(axis=0)
        expected = inside * (1 - inside) if isinstance(goal, Above) else inside
        np.testing.assert_allclose(goal.promise(marginal, 0.0), expected, atol=slack(cell))


@pytest.mark.parametrize("way", ["new rows", "latent values"])
def test_a_level_for_each_row_gives_what_a_level_for_all_gives(cell, way):
    post = posterior_of(cell, way)
    function = (lambda y: y["target"] == y["source"]) if cell.kind.classes else (lambda y: y["target"] * y["source"])
    levels = np.linspace(0.05, 0.95, len(post.index))
    for marginal in (*post.marginals, post.apply(lambda y: 1.0 * function(y)).marginals):
        each = marginal.quantile(levels)
        alone = [marginal.quantile(float(q))[i] for i, q in enumerate(levels)]
        np.testing.assert_allclose(each, alone, rtol=1e-9)


@pytest.mark.cells(lambda c: not c.spec.wraps)
def test_the_quantity_of_known_labels_is_that_of_the_posterior_that_knows_them(cell):
    """Of numbers, an expression and a function; of classes, which a function sees by name, the names."""
    post = posterior_of(cell, "new rows")
    known = cell.part([*range(cell.spec.rows, len(cell.table["X"])), 4])["Y"].copy()
    known = known.set_axis(post.index)
    if cell.kind.classes:
        first = post.tasks[1].classes[0]
        goal = Maximise("x", function=lambda y: 1.0 * (y["target"] == first) + 2.0 * (y["source"] == first))
    else:
        goal = Maximise("target * target - 2 * source")
    if not known.index.is_unique:
        pytest.skip("candidates have names of their own")
    measured = known_quantity(known, post.tasks, goal)
    found = goal.marginals(post, known).mean()
    at = [known.index.get_loc(name) for name in measured.index]
    np.testing.assert_allclose(measured, found[at], rtol=1e-9)
