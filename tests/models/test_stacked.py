import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.models.ensembles.stacking import stacking_weights

FAST = {"hyperparameters": "map", "n_starts": 1, "verbose": False}


def models(**kwargs):
    common = {"n_starts": 1, "hyperparameters": "map", **kwargs}
    return {"alone": btl.IndependentGP(**common), "difference": btl.DifferenceGP(["source", "target"], **common)}


@pytest.fixture(scope="module")
def fitted(two_tasks):
    return btl.StackedModel(models(), target="target", verbose=False).fit(*two_tasks)


def test_weights_maximise_the_held_out_density():
    rng = np.random.default_rng(0)
    density = rng.normal(size=(40, 3)) - [0.0, 0.1, 3.0]

    def score(w):
        return np.log(np.exp(density) @ w).sum()

    best = stacking_weights(density)
    assert best.sum() == pytest.approx(1.0)
    assert (best >= 0).all()
    for _ in range(200):
        assert score(rng.dirichlet(np.ones(3))) <= score(best) + 1e-6
    np.testing.assert_allclose(stacking_weights(np.array([[0.0, -50.0]] * 5)), [1.0, 0.0])


def test_a_model_that_transfers_gets_the_weight(fitted, two_tasks):
    X, _ = two_tasks
    assert fitted.weights_["difference"] > 0.8
    assert fitted.elpd_["difference"] > fitted.elpd_["alone"]
    rows = X.iloc[25:30].set_axis(list("abcde"))
    means = [fitted.weights_[name] * member.posterior(rows.to_numpy()).mean for name, member in fitted.members_.items()]
    np.testing.assert_allclose(fitted.posterior(rows).mean, sum(means))


def test_moments_quantiles_and_draws_are_those_of_the_mixture(fitted, two_tasks):
    X, Y = two_tasks
    fitted = copy.deepcopy(fitted)
    fitted.weights_[:] = [0.35, 0.65]
    rows, known = X.iloc[22:26].set_axis(list("abcd")), Y.iloc[22:26].set_axis(list("abcd")).assign(target=np.nan)
    post = fitted.posterior(rows, observed=known)
    each = [m.posterior(rows.to_numpy(), observed=known) for m in fitted.members_.values()]
    mean = 0.35 * each[0].mean.to_numpy() + 0.65 * each[1].mean.to_numpy()
    np.testing.assert_allclose(post.mean, mean)
    density = [np.exp(p.log_density(np.full((4, 2), 3.0)).to_numpy()) for p in each]
    np.testing.assert_allclose(
        np.exp(post.log_density(np.full((4, 2), 3.0))), 0.35 * density[0] + 0.65 * density[1], rtol=1e-8
    )
    draws = post.sample(20_000, seed=1)
    error = 5 * post.std.to_numpy() / np.sqrt(20_000)
    assert (np.abs(draws.mean("sample").to_numpy() - post.mean.to_numpy()) < error).all()
    both = post.apply(lambda y: y["target"] - y["source"])
    np.testing.assert_allclose(both.mean, post.mean["target"] - post.mean["source"])
    drawn = (draws.sel(task="target") - draws.sel(task="source")).std("sample")
    np.testing.assert_allclose(drawn, both.std, rtol=0.05)


def test_folds_where_a_model_has_no_leave_one_out(two_tasks):
    X, Y = two_tasks
    stacked = btl.StackedModel(
        {
            "subspace": btl.LowRankLinear(max_rank=2, n_draws=100, n_warmup=100),
            "alone": btl.IndependentGP(n_starts=1, hyperparameters="map"),
        },
        cv=3,
        verbose=False,
    ).fit(X, Y)
    assert stacked.elpd_.notna().all()
    assert stacked.weights_["alone"] > 0.5  # a sine is not linear
    assert stacked.posterior(X.iloc[:2]).mean.notna().all().all()


def test_saved_and_loaded_it_predicts_the_same(fitted, two_tasks, tmp_path):
    X, _ = two_tasks
    fitted.save(tmp_path / "model")
    again = btl.load(tmp_path / "model")
    pd.testing.assert_series_equal(again.weights_, fitted.weights_)
    pd.testing.assert_frame_equal(again.posterior(X.iloc[:3]).mean, fitted.posterior(X.iloc[:3]).mean)


ENSEMBLES = {
    "StackedModel": lambda models, **options: btl.StackedModel(models, cv=2, verbose=False, **options),
    "AutoTransfer": lambda models, **options: btl.AutoTransfer(models=models, cv=2, verbose=False, **options),
}


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize("other", [{"likelihood": btl.LogNormal()}, {"unit": "meV"}, {"cost": 3.0}])
def test_members_that_disagree_on_a_task_are_refused(ensemble, other, two_tasks):
    first = btl.Task("target", btl.StudentT(), "eV", 2.0)
    members = {
        "one": btl.IndependentGP(tasks=[first], **FAST),
        "two": btl.IndependentGP(tasks=[replace(first, **other)], **FAST),
    }
    (field,) = other
    with pytest.raises(
        ValueError, match=rf"{ensemble}: models\['one'\] has the {field} .* for task 'target', and models\['two'\]"
    ):
        ENSEMBLES[ensemble](members).fit(*two_tasks)
    of_all = btl.Task("target", btl.Gaussian(), "eV", 5.0)  # comes first
    assert ENSEMBLES[ensemble](members, tasks=[of_all]).fit(*two_tasks).tasks_[1] == of_all


@pytest.mark.parametrize("ensemble", [*ENSEMBLES, "Recalibrated"])
def test_members_tell_what_an_ensemble_leaves_open(ensemble, two_tasks):
    source, target = btl.Task("source", unit="eV"), btl.Task("target", btl.StudentT())
    inside = btl.IndependentGP(tasks=[source, target], **FAST)
    if ensemble == "Recalibrated":
        model = btl.Recalibrated(inside, cv=2, tasks=[btl.Task("target", unit="meV")], verbose=False)
    else:
        members = {"one": btl.IndependentGP(tasks=[source], **FAST), "two": btl.IndependentGP(tasks=[target], **FAST)}
        model = ENSEMBLES[ensemble](members, tasks=[btl.Task("target", unit="meV")])
    fitted = model.fit(*two_tasks)
    assert fitted.tasks_ == (source, replace(target, unit="meV"))


def test_tasks_of_the_members_hold_for_the_stack(two_tasks):
    X, Y = two_tasks
    tasks = [btl.Task("source", unit="eV"), btl.Task("target", likelihood=btl.LogNormal(), unit="eV")]
    stacked = btl.StackedModel(models(tasks=tasks), "target", verbose=False).fit(X, Y)
    assert [t.unit for t in stacked.tasks_] == ["eV", "eV"]
    assert (stacked.posterior(X.iloc[:3]).quantile(0.001)["target"] > 0).all()


def test_nested_in_a_comparison(two_tasks):
    X, Y = two_tasks
    stacked = btl.StackedModel(models(), "target")
    found = btl.compare({"stack": stacked}, X, Y, target="target", cv=2, verbose=False)
    assert not found.failures
    assert found.scores["mae"].notna().all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"models": {}}, "models= is empty"),
        ({"models": {"a": 3}}, r"models\['a'\] must be a model of bayestl, got int"),
        ({"target": "color"}, "target 'color' is no task"),
        ({"cv": 1}, "cv must be a number of folds"),
    ],
)
def test_bad_parameters_are_named(two_tasks, parameters, message):
    with pytest.raises(ValueError, match=message):
        btl.StackedModel(**{"models": models(), "verbose": False, **parameters}).fit(*two_tasks)
