"""What every model promises, whatever its architecture."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import check_estimator
from support.models import CHAIN_IS_SLOW, DRAWN, EXACT, MODELS, quick

import bayestl as btl
from bayestl.inference.gaussian.condition import ExactPosterior
from bayestl.inference.gaussian.latent import JoinedLatent
from bayestl.inference.gaussian.table_labels import training_data
from bayestl.priors.vector import get_raw
from bayestl.table.table import build_table


@pytest.mark.parametrize("name", MODELS)
def test_shapes_names_and_units(fitted, two_tasks, name):
    X, _ = two_tasks
    post = fitted[name].posterior(X.iloc[20:25])
    assert list(post.mean.columns) == ["source", "target"]
    assert post.mean.index.equals(X.index[20:25])
    assert post.interval(0.9).columns.tolist() == [(t, s) for t in ("source", "target") for s in ("lower", "upper")]
    assert post.sample(7, seed=1).dims == ("sample", "row", "task")
    assert post.sample(7, seed=1).shape == (7, 5, 2)
    inside = (post.interval(0.9).xs("lower", axis=1, level="side") < post.quantile(0.5)).to_numpy()
    assert inside.all()
    assert (post.std.to_numpy() > fitted[name].posterior(X.iloc[20:25], noise=False).std.to_numpy()).all()
    with pytest.raises(ValueError, match="no classes"):
        post.probabilities("target")
    with pytest.raises(ValueError, match="strictly between"):
        post.quantile(90)


@pytest.mark.parametrize("name", MODELS)
def test_transfer_predicts_the_unmeasured_target(fitted, two_tasks, name):
    X, Y = two_tasks
    truth = 1.3 * (np.sin(X["p"]) + 0.5 * X["q"] + 2.0) + 0.5 + 0.1 * X["q"]
    rows = slice(20, 40)
    known = Y.iloc[rows].assign(target=np.nan)
    post = fitted[name].posterior(X.iloc[rows], observed=known)
    error = np.abs(post.mean["target"] - truth.iloc[rows]).mean()
    assert error < {"independent": 0.5, "subspace": 0.3}.get(name, 0.15)
    interval = post.interval(0.9)["target"]
    held = ((truth.iloc[rows] > interval["lower"]) & (truth.iloc[rows] < interval["upper"])).mean()
    assert held > 0.7


@pytest.mark.parametrize("name", MODELS)
def test_samples_agree_with_moments(fitted, two_tasks, name):
    X, Y = two_tasks
    known = Y.iloc[30:33].assign(target=np.nan)
    for observed in (None, known):
        post = fitted[name].posterior(X.iloc[30:33], observed=observed)
        draws = post.sample(6000, seed=0)
        se = post.std.to_numpy() / np.sqrt(6000)
        if name in DRAWN:
            se = post.std.to_numpy() / np.sqrt(DRAWN[name])
        assert (np.abs(draws.mean("sample").to_numpy() - post.mean.to_numpy()) < 5 * se).all()
        np.testing.assert_allclose(
            draws.std("sample").to_numpy(), post.std.to_numpy(), rtol=0.2 if name in DRAWN else 0.06
        )
        difference = post.apply(lambda y: y["target"] - y["source"])
        sampled = draws.sel(task="target") - draws.sel(task="source")
        np.testing.assert_allclose(difference.std, sampled.std("sample"), rtol=0.25 if name in DRAWN else 0.06)
        np.testing.assert_allclose(difference.mean, post.mean["target"] - post.mean["source"], atol=0.03)


UNKNOWN = pd.DataFrame({"p": [0.3, -1.2, 2.5], "q": [0.5, 1.0, -2.5]})
"""Rows whose source is known well, and one far away."""


@pytest.fixture(scope="module")
def by_hand(fitted):
    """Labels (n, row, task) drawn down the chain: n levels of the source's label, and the target's given each of them."""
    model, n = fitted["chain"], 120
    source = model.posterior(UNKNOWN).marginal("source")
    levels = (np.arange(n) + 0.5) / n
    sources = np.stack([source.quantile(np.full(len(UNKNOWN), level)) for level in levels])
    every = pd.concat([UNKNOWN] * n, ignore_index=True)
    given = model.posterior(every, observed=pd.DataFrame({"source": sources.ravel()}))
    mean, std = (frame["target"].to_numpy().reshape(n, -1) for frame in (given.mean, given.std))
    return np.stack([sources, mean + std * np.random.default_rng(0).standard_normal(mean.shape)], axis=-1)


def test_a_chain_averages_over_an_unknown_source(fitted, by_hand):
    """Within the errors of the mean and the standard deviation of 120 draws by hand."""
    post, std = fitted["chain"].posterior(UNKNOWN), by_hand.std(axis=0)
    assert (np.abs(post.mean.to_numpy() - by_hand.mean(axis=0)) < 4 * std / np.sqrt(120)).all()
    np.testing.assert_allclose(post.std, std, rtol=4 / np.sqrt(2 * 120))


def test_draws_of_a_chain_go_down_the_chain_together(fitted, by_hand):
    """Source and target of a row are drawn together: their correlation is that of draws by hand (0.6 to 0.9)."""
    samples = fitted["chain"].posterior(UNKNOWN).sample(2000, seed=0).to_numpy()
    for row in range(len(UNKNOWN)):
        a, b = (np.corrcoef(draws[:, row].T)[0, 1] for draws in (samples, by_hand))
        assert a == pytest.approx(b, abs=0.25)


@pytest.mark.parametrize("name", EXACT)
def test_observed_is_refitting_with_those_labels(fitted, two_tasks, name):
    """Labels given at prediction condition as if they had been in the table (same hyperparameters)."""
    X, Y = two_tasks
    model = MODELS[name]().set_params(hyperparameters="map").fit(X.iloc[:30], Y.iloc[:30])
    known = Y.iloc[30:].assign(target=np.nan)
    given = model.posterior(X.iloc[30:], observed=known)
    seen = X.index[:30]
    latest = known.set_index(X.index[30:])
    table = build_table(X, pd.concat([Y.loc[seen], latest]))
    scaler, x = model.scaler_, model.scaler_.features(X.to_numpy())
    new = torch.from_numpy(x[30:])
    pairs = []
    for family in model.families_:
        data = training_data(table, scaler, family.parts, x)
        own = ExactPosterior.of(family.prior, data, get_raw(family.prior)[None])
        pairs.append((family.parts, own.at(new, torch.full((10,), -1), torch.arange(30, 40))))
    _, means, covariances, noise = JoinedLatent(pairs).moments()
    np.testing.assert_allclose(given.mean.to_numpy(), scaler.label_units(means[0]), atol=1e-6)
    total = np.sqrt(np.diagonal(covariances[0], axis1=1, axis2=2) + noise[0]) * scaler.y_scale
    np.testing.assert_allclose(given.std.to_numpy(), total, rtol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_a_function_that_is_not_affine_is_drawn(fitted, two_tasks, name):
    X, _ = two_tasks
    post = fitted[name].posterior(X.iloc[:4])
    ratio = post.apply(lambda y: np.exp(y["target"] - y["source"]), name="ratio")
    assert ratio.mean.name == "ratio"
    assert (ratio.interval(0.8)["lower"] < ratio.quantile(0.5)).all()
    assert ratio.sample(5, seed=3).dims == ("sample", "row")
    with pytest.raises(ValueError, match="one value per sample and row"):
        post.apply(lambda y: y["target"].mean("row"))


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_predicts_the_same(fitted, two_tasks, tmp_path, name):
    X, Y = two_tasks
    model = fitted[name]
    model.save(tmp_path / "model")
    back = btl.load(tmp_path / "model")
    known = Y.iloc[20:25].assign(target=np.nan)
    one, two = (m.posterior(X.iloc[20:25], observed=known) for m in (model, back))
    np.testing.assert_allclose(two.mean, one.mean, rtol=1e-9)
    np.testing.assert_allclose(two.std, one.std, rtol=1e-9)
    assert type(back) is type(model)
    assert {k: v for k, v in back.get_params().items() if k != "tasks"} == {
        k: v for k, v in model.get_params().items() if k != "tasks"
    }
    assert not [f for f in (tmp_path / "model").iterdir() if f.suffix in (".pkl", ".pt", ".part")]


@pytest.mark.parametrize("name", CHAIN_IS_SLOW)
def test_a_fit_repeats_from_its_seed(two_tasks, name):
    X, Y = (frame.iloc[14:26] for frame in two_tasks)
    once = quick(name).fit(X, Y)
    again = clone(once).fit(X, Y)
    np.testing.assert_array_equal(again.posterior(X).mean, once.posterior(X).mean)
    np.testing.assert_array_equal(again.posterior(X).std, once.posterior(X).std)


@pytest.mark.parametrize("name", MODELS)
def test_a_failed_fit_leaves_the_earlier_one(two_tasks, fitted, name):
    X, Y = two_tasks
    before = fitted[name].posterior(X).mean
    with pytest.raises(ValueError):
        fitted[name].fit(X, Y.assign(target=np.inf))
    pd.testing.assert_frame_equal(fitted[name].posterior(X).mean, before)


@pytest.mark.parametrize("name", MODELS)
def test_columns_are_matched_by_name(fitted, two_tasks, name):
    X, _ = two_tasks
    model = fitted[name]
    pd.testing.assert_frame_equal(model.posterior(X[["q", "p"]].assign(more=1)).mean, model.posterior(X).mean)
    with pytest.raises(ValueError, match="lacks the column 'q'"):
        model.posterior(X[["p"]])
    with pytest.raises(ValueError, match="'colour', which is no task"):
        model.posterior(X, observed=pd.DataFrame({"colour": np.ones(len(X))}))
    with pytest.raises(ValueError, match="loss must be one of"):
        model.predict(X, loss="cubic")
    with pytest.raises(ValueError, match="without groups"):
        model.posterior(X, groups=["a"] * len(X))


def test_output_follows_what_fit_was_given(two_tasks):
    X, Y = two_tasks
    model = btl.MultiTaskGP(verbose=False, n_starts=1)
    assert isinstance(model.fit(X, Y).predict(X), pd.DataFrame)
    assert model.fit(X.to_numpy(), Y.to_numpy()).predict(X.to_numpy()).shape == (40, 2)
    assert model.fit(X, Y["source"]).predict(X).shape == (40,)
    point, std = model.predict(X, return_std=True)
    assert point.shape == std.shape == (40,)


@pytest.mark.parametrize("name", CHAIN_IS_SLOW)
def test_one_or_two_rows_and_one_label_are_enough(name):
    for n in (1, 2):
        Y = pd.DataFrame({"source": np.arange(n) + 1.0, "target": [5.0] + [np.nan] * (n - 1)})
        post = quick(name).fit(np.arange(n)[:, None].astype(float), Y).posterior([[0.5]])
        assert np.isfinite(post.mean.to_numpy()).all()
        assert (post.std.to_numpy() > 0).all()


@pytest.mark.parametrize("name", CHAIN_IS_SLOW)
def test_constant_columns_and_repeated_rows_are_fine(name):
    x = np.column_stack([np.repeat(np.arange(6.0), 2), np.ones(12)])
    Y = pd.DataFrame({"source": np.repeat(np.arange(6.0), 2), "target": 2 * np.repeat(np.arange(6.0), 2)})
    Y += 0.01 * np.random.default_rng(0).standard_normal(Y.shape)
    assert quick(name).fit(x, Y).predict([[2.5, 1.0]])["target"][0] == pytest.approx(5.0, abs=0.8)


@pytest.mark.parametrize("name", MODELS)
def test_no_warning_in_normal_use(fitted, two_tasks, name):
    X, _ = two_tasks
    model = fitted[name]
    assert fitted.warnings[name] == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.posterior(X).quantile(0.5)
        model.task_correlation()


def test_models_do_not_touch_each_other_in_threads(two_tasks, fitted):
    import pyro

    X, Y = two_tasks
    short = clone(fitted["latent"]).set_params(max_steps=60, n_inducing=10)
    alone = {name: fitted[name] for name in ("difference", "subspace")} | {"latent": short.fit(X, Y)}
    names = ["latent", "latent", "difference", "subspace"]
    with ThreadPoolExecutor(len(names)) as pool:
        means = list(pool.map(lambda name: clone(alone[name]).fit(X, Y).posterior(X).mean, names))
    for name, mean in zip(names, means, strict=True):
        # to the last bit: a difference of 1e-14 becomes other draws in short chains, and so one of 1e-3
        np.testing.assert_array_equal(mean, alone[name].posterior(X).mean, err_msg=name)
    other = clone(short).set_params(random_state=1).fit(X, Y).posterior(X).mean
    assert np.abs(other / means[0] - 1).to_numpy().max() > 1e-3
    assert len(pyro.get_param_store()) == 0


def test_pipelines_and_cross_validation_of_one_target(two_tasks):
    X, Y = two_tasks
    pipeline = make_pipeline(PolynomialFeatures(1, include_bias=False), btl.IndependentGP(verbose=False, n_starts=1))
    scores = cross_validate(pipeline, X, Y["source"], cv=3, scoring=("r2", "neg_mean_absolute_error"))
    assert scores["test_r2"].mean() > 0.9


NOT_APPLICABLE = {
    "check_dataframe_column_names_consistency": "columns are matched by name: reordered ones are put in order, further ones ignored",
}


@pytest.mark.slow
@pytest.mark.parametrize("make", [btl.IndependentGP, btl.MultiTaskGP, btl.DifferenceGP], ids=lambda m: m.__name__)
def test_scikit_learn_checks(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(
            make(hyperparameters="map", n_starts=1, verbose=False),
            expected_failed_checks=NOT_APPLICABLE,
            on_fail=None,
            on_skip=None,
        )
    failed = {r["check_name"]: repr(r["exception"])[:200] for r in results if r["status"] == "failed"}
    assert not failed
    assert sum(r["status"] == "passed" for r in results) > 35
