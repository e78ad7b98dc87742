"""Closed forms against brute force: refits with the hyperparameters held, and Monte Carlo."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from sklearn.base import clone

import bayestl as btl
from bayestl.active import Above, Between, Learn, Maximise, Minimise, as_botorch
from bayestl.active.acquisition.batch import _fantasies
from bayestl.active.acquisition.knowledge import covariances, expected_maximum, knowledge, knowledge_gradient
from bayestl.active.acquisition.look_ahead import _quantity_after, conditioned
from bayestl.active.acquisition.pool import Pool, candidates, predicted_quantity
from bayestl.active.acquisition.rates import rates
from bayestl.active.expressions import WithKnown
from bayestl.inference.gaussian.condition import ExactPosterior

NAMES = ["dft", "exp"]


@pytest.fixture(scope="module")
def setting():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-1, 1, (40, 2)), columns=["a", "b"])
    X = candidates(X)
    f = np.sin(3 * X["a"]) + X["b"]
    Y = pd.DataFrame({"dft": f + 0.05 * rng.standard_normal(40), "exp": 1.1 * f + 0.3 + 0.1 * rng.standard_normal(40)})
    known = Y.copy()
    known.iloc[20:, 1] = np.nan
    known.iloc[28:, 0] = np.nan
    model = btl.DifferenceGP(NAMES, hyperparameters="map", n_starts=1, verbose=False)
    there = known.notna().any(axis=1)
    model.fit(X[there], known[there])
    return model, Pool(X, known, known.isna().to_numpy(), np.array([1.0, 20.0]), NAMES)


def test_the_expected_maximum_of_lines_is_that_of_draws():
    rng = np.random.default_rng(1)
    z = rng.standard_normal(400_000)
    for k in (1, 2, 7):
        a, b = rng.standard_normal(k), rng.standard_normal((3, k))
        drawn = [(a[:, None] + row[:, None] * z).max(axis=0).mean() - a.max() for row in b]
        assert expected_maximum(a, b) == pytest.approx(drawn, abs=5e-3)
    assert expected_maximum(np.array([1.0, 0.0]), np.zeros((1, 2)))[0] == 0.0
    assert expected_maximum(np.array([1.0, 1.0]), np.array([[0.5, 0.5]]))[0] == pytest.approx(0.0, abs=1e-12)


def test_covariances_are_those_of_joint_draws(setting):
    model, pool = setting
    rows = np.array([30, 35, 22])
    found, variance = covariances(model, pool, Maximise("exp - dft"), rows)
    post = model.posterior(pool.X.iloc[rows], noise=False).sample(60_000, seed=0).to_numpy()
    quantity = post[:, :, 1] - post[:, :, 0]
    for i, row in enumerate(rows):
        for t in range(2):
            drawn = np.array([np.cov(post[:, i, t], quantity[:, k])[0, 1] for k in range(3)])
            np.testing.assert_allclose(found[row, :, t], drawn, atol=0.02 * np.sqrt(variance[row, t]))
    std = model.posterior(pool.X.iloc[rows]).std.to_numpy()
    np.testing.assert_allclose(np.sqrt(variance[rows]), std, rtol=1e-6)


def test_knowledge_is_the_variance_that_conditioning_takes_away(setting):
    model, pool = setting
    found = knowledge(model, pool, Learn("exp"))
    before = model.posterior(pool.X, noise=False).std["exp"] ** 2
    for row, task in ((30, "exp"), (30, "dft"), (25, "exp")):
        (after,) = conditioned(model, pool.X.iloc[[row]], task, [0.4])
        taken = (before - after.posterior(pool.X, noise=False).std["exp"] ** 2).sum()
        t = NAMES.index(task)
        assert found[row, t] * pool.costs[t] == pytest.approx(taken, rel=1e-4)


def test_the_knowledge_gradient_is_what_conditioning_gives(setting):
    model, pool = setting
    found = knowledge_gradient(model, pool, Maximise("exp"))
    mean = model.posterior(pool.X, noise=False).mean["exp"]
    row, t = 33, 1
    marginal = model.posterior(pool.X.iloc[[row]]).marginal("exp")
    values = [float(marginal.quantile(np.full(1, q))[0]) for q in (np.arange(60) + 0.5) / 60]
    best = [
        m.posterior(pool.X, noise=False).mean["exp"].max()
        for m in conditioned(model, pool.X.iloc[[row]], "exp", values)
    ]
    assert found[row, t] == pytest.approx(np.mean(best) - mean.max(), abs=2e-3)
    assert np.isneginf(found[5]).all()  # known already
    with pytest.raises(ValueError, match="Maximise or Minimise"):
        knowledge_gradient(model, pool, Between("exp", 0, 1))


def test_knowledge_is_averaged_over_the_hyperparameters(setting):
    """The knowledge gradient once saw the first draw only."""
    _, pool = setting
    there = pool.known.notna().any(axis=1)
    own = pool.at(np.arange(24, 36))
    model = btl.DifferenceGP(NAMES, hyperparameters="laplace", n_starts=1, verbose=False)
    model.fit(pool.X[there], pool.known[there])
    (family,) = model.families_
    every = family.posterior
    assert len(every.components) > 1
    for found, goal in ((knowledge_gradient, Maximise("exp")), (knowledge, Learn("exp"))):
        averaged = found(model, own, goal)
        alone = []
        for component in every.components:
            model.families_ = [replace(family, posterior=ExactPosterior([component], np.ones(1)))]
            alone.append(found(model, own, goal))
        model.families_ = [family]
        np.testing.assert_allclose(averaged, np.tensordot(every.weights, alone, 1), rtol=1e-6)


def test_looking_ahead_agrees_with_conditioning_row_by_row(setting):
    model, pool = setting
    rows = np.array([29, 31, 36])
    goal = Maximise("exp")
    own = pool.at(rows)
    levels = [0.05, 0.275, 0.5, 0.725, 0.95]
    for k, after in enumerate(_quantity_after(model, own, goal, 0)):
        for i, row in enumerate(rows):
            value = model.posterior(pool.X.iloc[[row]]).marginal("dft").quantile(np.full(1, levels[k]))
            (seen,) = conditioned(model, pool.X.iloc[[row]], "dft", value)
            post = seen.posterior(pool.X.iloc[[row]])
            assert after.mean()[i] == pytest.approx(post.mean["exp"].item(), abs=1e-6)
            assert after.std()[i] == pytest.approx(post.std["exp"].item(), rel=1e-5)


def test_a_label_that_is_part_of_the_quantity_stays_as_measured(setting):
    model, pool = setting
    own = pool.at(np.array([35]))
    after = _quantity_after(model, own, Maximise("exp - dft"), 0)[2]
    value = model.posterior(own.X).marginal("dft").quantile(np.full(1, 0.5))
    (seen,) = conditioned(model, own.X, "dft", value)
    post = seen.posterior(own.X)
    assert after.mean()[0] == pytest.approx(post.mean["exp"].item() - value[0], abs=1e-6)
    assert after.std()[0] == pytest.approx(post.std["exp"].item(), rel=1e-5)


def test_a_measured_label_keeps_its_value_in_the_quantity(setting):
    """It was once a new noisy label of the task: another mean, and the noise of what is known already."""
    model, pool = setting
    own = pool.at(np.arange(20, 28))  # dft is measured, exp is not
    dft = own.known["dft"].to_numpy()
    found = predicted_quantity(model, own, Maximise("exp - dft"))
    post = model.posterior(own.X)
    np.testing.assert_allclose(found.mean(), post.mean["exp"] - dft, rtol=1e-9)
    np.testing.assert_allclose(found.std(), post.std["exp"], rtol=1e-9)
    drawn = post.sample(40_000, seed=0).sel(task="exp").to_numpy() - dft
    np.testing.assert_allclose(found.mean(), drawn.mean(axis=0), atol=5 * drawn.std() / 200)
    np.testing.assert_allclose(found.std(), drawn.std(axis=0), rtol=0.03)
    improvement = np.maximum(drawn - 0.3, 0.0).mean(axis=0)
    rate = rates(model, own, Maximise("exp - dft"), 0.3)[:, 1]
    np.testing.assert_allclose(rate, improvement / 20.0, atol=5 * drawn.std() / 200 / 20.0)


@pytest.mark.parametrize("quantity", ["exp * dft", "abs(exp - dft)"])
def test_a_measured_label_keeps_its_value_in_draws(setting, quantity):
    model, pool = setting
    own = pool.at(np.arange(20, 28))
    dft = own.known["dft"].to_numpy()
    drawn = model.posterior(own.X).sample(40_000, seed=0).sel(task="exp").to_numpy()
    by_hand = drawn * dft if "*" in quantity else np.abs(drawn - dft)
    found = predicted_quantity(model, own, Maximise(quantity))
    np.testing.assert_allclose(found.mean(), by_hand.mean(axis=0), atol=5 * by_hand.std(axis=0).max() / 64)
    np.testing.assert_allclose(found.std(), by_hand.std(axis=0), rtol=0.1)


def test_python_functions_see_measured_labels_and_classes(setting):
    _, pool = setting
    known = pd.DataFrame({"dft": [1.0, np.nan], "kind": ["a", None]}, index=pool.X.index[:2])
    draws = xr.Dataset(
        {
            "dft": (("sample", "row"), np.full((3, 2), 7.0)),
            "kind": (("sample", "row"), np.full((3, 2), "b", dtype=object)),
        }
    )
    held = WithKnown(lambda y: y.dft + 10.0 * (y["kind"] == "a"), known)(draws)
    np.testing.assert_array_equal(held, [[11.0, 7.0]] * 3)


def test_looking_ahead_keeps_the_labels_of_a_row():
    """Of three tasks the first is measured: what the third says of ``b - a`` is what it says of ``b``."""
    rng = np.random.default_rng(0)
    X = candidates(pd.DataFrame({"x": rng.uniform(-1, 1, 30)}))
    f = np.sin(3 * X["x"])
    Y = pd.DataFrame({"a": f, "b": 2 * f + 1, "c": 1 - f}) + 0.1 * rng.standard_normal((30, 3))
    Y.iloc[15:, 1:] = np.nan
    model = btl.MultiTaskGP(hyperparameters="map", n_starts=1, verbose=False).fit(X, Y)
    pool = Pool(X, Y, Y.isna().to_numpy(), np.ones(3), list(Y)).at(np.array([18, 22]))
    after = _quantity_after(model, pool, Maximise("b - a"), 2)
    for i in range(2):
        row = pool.X.iloc[[i]]
        value = model.posterior(row).marginal("c").quantile(np.full(1, 0.5))
        (seen,) = conditioned(model, row, "c", value)
        post = seen.posterior(row)
        assert after[2].mean()[i] == pytest.approx(post.mean["b"].item() - pool.known["a"].iloc[i], abs=1e-6)
        assert after[2].std()[i] == pytest.approx(post.std["b"].item(), rel=1e-5)


def test_a_label_under_way_keeps_the_value_that_is_imagined(setting):
    """Each copy of the model knows a value of it, and so does the quantity of its row."""
    model, pool = setting
    row = 33
    copies = _fantasies([(model, pool.known)], pool, row, 0, 0)
    assert len({known["dft"].iloc[row] for _, known in copies}) == len(copies) > 1
    for copy, known in copies:
        assert known.drop(index=known.index[row]).equals(pool.known.drop(index=known.index[row]))
        own = replace(pool, known=known).at(np.array([row]))
        found = predicted_quantity(copy, own, Maximise("exp - dft"))
        post = copy.posterior(own.X)
        assert found.mean()[0] == pytest.approx(post.mean["exp"].item() - known["dft"].iloc[row], abs=1e-6)
        assert found.std()[0] == pytest.approx(post.std["exp"].item(), rel=1e-6)


def test_classes_and_limits_of_the_pool_may_be_under_way():
    rng = np.random.default_rng(0)
    X = candidates(pd.DataFrame({"x": rng.uniform(-1, 1, 30)}))
    Y = pd.DataFrame({"y": X["x"].round(3).astype(str), "kind": np.where(X["x"] > 0, "a", "b")}, dtype=object)
    Y.iloc[0, 0] = "<0.5"
    Y.iloc[20:] = None
    tasks = [btl.Task("y", btl.Censored())]
    model = btl.IndependentGP(tasks, hyperparameters="map", n_starts=1, verbose=False).fit(X[:20], Y[:20])
    pool = Pool(X, Y, Y.isna().to_numpy(), np.ones(2), list(Y))
    for t in range(2):
        copies = _fantasies([(model, Y)], pool, 25, t, 0)
        assert copies
        for _, known in copies:
            assert known.iloc[25, t] in ("a", "b") if t else isinstance(known.iloc[25, t], float)
            assert known.iloc[0, 0] == "<0.5"


def test_a_source_is_asked_where_it_is_cheap_and_tells_much(setting):
    model, pool = setting
    cheap = rates(model, pool, Maximise("exp"), 2.2)
    dear = rates(model, replace(pool, costs=np.array([40.0, 20.0])), Maximise("exp"), 2.2)
    assert np.nanargmax(np.where(np.isfinite(cheap), cheap, -np.inf).max(axis=0)) == 0
    assert np.where(np.isfinite(dear), dear, -np.inf).max(axis=0).argmax() == 1
    assert np.isneginf(cheap[~pool.possible]).all()


def test_the_last_measurement_of_a_quantity_is_its_promise_for_its_cost(setting):
    model, pool = setting
    goal = Maximise("exp")
    found = rates(model, pool, goal, 1.0)
    promise = goal.promise(model.posterior(pool.X).marginal("exp"), 1.0)
    np.testing.assert_allclose(found[20:, 1], promise[20:] / 20.0)


@pytest.mark.parametrize("acquisition", ["logei", "noisy-ei", "ucb", "thompson", "max-value-entropy", "uncertainty"])
def test_scores_by_row_count_for_what_the_quantity_lacks(setting, acquisition):
    if acquisition != "uncertainty":
        pytest.importorskip("botorch")
    model, pool = setting
    for goal in (Maximise("exp"), Minimise("exp - dft")):
        found = rates(model, pool, goal, 0.5, acquisition, seed=3)
        needed = pool.possible & np.array([goal.quantity != "exp", True])
        assert np.isfinite(found[needed]).all()
        assert np.isneginf(found[~needed]).all()
        np.testing.assert_array_equal(found, rates(model, pool, goal, 0.5, acquisition, seed=3))


def test_logei_is_the_logarithm_of_our_closed_form(setting):
    pytest.importorskip("botorch")
    model, pool = setting
    for goal in (Maximise("exp"), Minimise("exp")):
        found = rates(model, pool, goal, 0.2, "logei")
        latent = goal.promise(goal.marginals(model.posterior(pool.X, noise=False)), 0.2)
        rows = np.flatnonzero(pool.possible[:, 1])
        np.testing.assert_allclose(np.exp(found[rows, 1]), latent[rows], rtol=1e-4, atol=1e-7)


def test_an_acquisition_that_does_not_fit_is_named(setting):
    model, pool = setting
    with pytest.raises(ValueError, match="acquisition must be one of"):
        rates(model, pool, Maximise("exp"), 0.0, "best")
    with pytest.raises(ValueError, match="the goal is: exp between 0 and 1"):
        rates(model, pool, Between("exp", 0, 1), 0.0, "ucb")
    with pytest.raises(ValueError, match="Learn has a closed form"):
        rates(model, pool, Learn("exp"), 0.0, "logei")


@pytest.mark.parametrize(
    "model",
    [
        btl.ChainGP(NAMES, inputs=None, hyperparameters="map", verbose=False),
        btl.LatentVariableGP(inference="svi", max_steps=60, n_inducing=10, verbose=False),
    ],
    ids=["chain", "latent"],
)
def test_models_without_closed_forms_score_too(setting, model):
    _, pool = setting
    labelled = pool.known.notna().any(axis=1)
    model = clone(model).fit(pool.X[labelled], pool.known[labelled])
    own = pool.at(np.arange(20, 28))
    quantity = predicted_quantity(model, own, Maximise("exp - dft"))
    exp = model.posterior(own.X, observed=own.known).marginal("exp")
    np.testing.assert_allclose(quantity.mean(), exp.mean() - own.known["dft"], atol=5 * exp.std().max() / 8)
    np.testing.assert_allclose(quantity.std(), exp.std(), rtol=0.2)
    for goal in (Between("exp", 0.9, 1.1), Above("exp", 1.0), Learn("exp"), Maximise("exp")):
        found = rates(model, pool, goal, 0.5)
        assert np.isfinite(found[20:, 1]).all()
        assert len(set(found[20:, 1])) > 10  # not one score for every row
    assert len(conditioned(model, pool.X.iloc[[0]], "exp", [1.0])) == isinstance(model, btl.ChainGP)


@pytest.mark.parametrize("hyperparameters", ["map", "laplace"])
def test_botorch_scores_know_what_is_under_way(setting, hyperparameters):
    """Conditioned copies once gave the scores of the fit: a batch was chosen as if nothing was under way."""
    pytest.importorskip("botorch")
    _, pool = setting
    there = pool.known.notna().any(axis=1)
    model = btl.DifferenceGP(NAMES, hyperparameters=hyperparameters, n_starts=1, verbose=False)
    model.fit(pool.X[there], pool.known[there])
    before = rates(model, pool, Maximise("exp"), 0.5, "ucb")
    row = int(np.argmax(before[:, 1]))
    (after,) = conditioned(model, pool.X.iloc[[row]], "exp", [0.5])
    x = torch.from_numpy(pool.X.iloc[[row]].to_numpy())
    own = as_botorch(model, ["exp"])
    latent, label = (own.posterior(x, observation_noise=noise).variance.item() for noise in (False, True))
    left = as_botorch(after, ["exp"]).posterior(x).variance.item()
    assert left == pytest.approx(latent - latent**2 / label, rel=1e-4)
    assert rates(after, pool, Maximise("exp"), 0.5, "ucb")[row, 1] < before[row, 1]
