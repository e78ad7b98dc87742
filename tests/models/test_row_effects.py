"""What the features do not say of a row is shared by its labels, and a row of the fitted table is that row."""

import numpy as np
import pandas as pd
import pytest
import torch
from support.models import CHAIN_IS_SLOW, MODELS

import bayestl as btl
from bayestl.active import as_botorch
from bayestl.inference.gaussian.condition import LEAST_EFFECTIVE, reweighted
from bayestl.inference.gaussian.labels import stratified
from bayestl.inference.gaussian.large import inducing

TRANSFER = {
    "multi-task": lambda **k: btl.MultiTaskGP(verbose=False, n_starts=1, **k),
    "difference": lambda **k: btl.DifferenceGP(["source", "target"], verbose=False, n_starts=1, **k),
}


def rows_with_effects(n=100, size=0.6, seed=0, shared=True):
    """One feature, and much that it does not say: of the row (``shared``), or of each label."""
    rng = np.random.default_rng(seed)
    names = [f"row {i}" for i in range(n)]
    x = rng.uniform(-1, 1, n)
    effects = size * rng.standard_normal((2, n))
    e, other = effects[0], effects[0] if shared else effects[1]
    f = np.sin(2 * x)
    source = f + e + 0.02 * rng.standard_normal(n)
    target = 1.2 * (f + other) + 0.5 + 0.05 * rng.standard_normal(n)
    Y = pd.DataFrame({"source": source, "target": target}, index=names)
    return pd.DataFrame({"x": x}, index=names), Y, e


@pytest.fixture(scope="module")
def table():
    X, Y, e = rows_with_effects()
    known = Y.copy()
    known.iloc[30:, 1] = np.nan
    return X, Y, known, e


@pytest.fixture(scope="module")
def fitted(table):
    X, _, known, _ = table
    return {name: make().fit(X.iloc[:70], known.iloc[:70]) for name, make in TRANSFER.items()}


@pytest.mark.parametrize("name", TRANSFER)
def test_a_known_source_says_what_the_features_do_not(fitted, table, name):
    X, Y, _, _ = table
    new, truth = X.iloc[70:], Y["target"].iloc[70:]
    post = fitted[name].posterior(new, observed=Y[["source"]].iloc[70:])
    error = (post.mean["target"] - truth).abs().mean()
    assert error < 0.15  # the spread of the rows is 0.72, the noise 0.05
    inside = post.interval(0.9)["target"]
    assert ((truth > inside["lower"]) & (truth < inside["upper"])).mean() > 0.7
    alone = fitted[name].posterior(new)
    assert (alone.std["target"] > 0.4).all()
    # draws of a row's labels share its effect too
    draws = alone.sample(2000, seed=0).to_numpy()
    assert np.corrcoef(draws[:, 0].T)[0, 1] > 0.95
    correlation = fitted[name].task_correlation().attrs
    assert correlation["residual"].loc["source", "target"] > 0.95


@pytest.mark.parametrize("name", TRANSFER)
def test_the_share_of_the_row_lets_go(name):
    X, Y, _ = rows_with_effects(size=0.3, shared=False)
    model = TRANSFER[name]().fit(X, Y)
    correlation = model.task_correlation().attrs
    assert abs(correlation["residual"].loc["source", "target"]) < 0.3
    assert correlation["residual_std"].loc["source", "target"] < 0.3


@pytest.mark.parametrize("name", CHAIN_IS_SLOW)
def test_the_completed_table_is_the_posterior_given_its_labels(two_tasks, name):
    X, Y = two_tasks
    model = MODELS[name]().fit(X, Y)
    complete = model.complete()
    assert complete.mean.index.equals(pd.Index(X.index))
    for post in (model.posterior(X, observed=Y), model.posterior(X)):
        np.testing.assert_allclose(post.mean, complete.mean, rtol=1e-9)
        np.testing.assert_allclose(post.std, complete.std, rtol=1e-9)


@pytest.mark.parametrize("name", TRANSFER)
def test_rows_are_recognised_by_name_and_features(fitted, table, name):
    X, Y, known, _ = table
    model, complete = fitted[name], fitted[name].complete().std["target"]
    three = X.iloc[[40, 41, 3]]
    at = [40, 41, 3]
    np.testing.assert_allclose(model.posterior(three).std["target"], complete.iloc[at], rtol=1e-9)
    np.testing.assert_allclose(
        model.posterior(three, observed=known.iloc[at]).std["target"], complete.iloc[at], rtol=1e-9
    )
    for other in (three.set_axis(["a", "b", "c"]), three + 1e-9, three.set_axis([40, 41, 3])):
        assert (model.posterior(other).std["target"] > complete.iloc[at].to_numpy() + 0.1).all()
    # another value of a label is a second measurement
    again = Y[["source"]].iloc[at] + 0.01
    once, twice = (model.posterior(three, observed=o, noise=False).std["source"] for o in (None, again))
    assert (twice < once).all()


def test_names_that_only_count_the_rows_recognise_only_the_whole_table(table):
    X, _, known, _ = table
    X, known = X.reset_index(drop=True), known.reset_index(drop=True)
    model = btl.DifferenceGP(["source", "target"], hyperparameters="map", n_starts=1, verbose=False).fit(X, known)
    complete = model.complete().std["target"]
    np.testing.assert_allclose(model.posterior(X).std["target"], complete, rtol=1e-9)
    np.testing.assert_allclose(model.posterior(X.to_numpy()).std["target"], complete, rtol=1e-9)
    assert (model.posterior(X.iloc[:50]).std["target"].iloc[30:] > complete.iloc[30:50] + 0.1).all()
    np.testing.assert_allclose(model.posterior(X.iloc[40:50]).std["target"], complete.iloc[40:50], rtol=1e-9)
    twice = pd.concat([X, X.iloc[:1]])
    model = btl.DifferenceGP(["source", "target"], hyperparameters="map", n_starts=1, verbose=False)
    model.fit(twice, pd.concat([known, known.iloc[:1]]))
    assert model.posterior(X.iloc[40:41]).std["target"].item() < 0.3
    assert model._rows(X.iloc[:1]).row[0] == len(twice)  # a name given twice is nobody's


@pytest.mark.parametrize("name", TRANSFER)
def test_inducing_values_keep_the_rows(table, name, monkeypatch):
    """With an inducing value at every label, the summary is the exact posterior, of new rows and of fitted ones."""
    X, Y, known, _ = table
    new, given = X.iloc[70:], Y[["source"]].iloc[70:]
    model = TRANSFER[name](hyperparameters="map").fit(X.iloc[:70], known.iloc[:70])
    monkeypatch.setattr(inducing, "FULL_LABELS", 10)
    summarised = TRANSFER[name](hyperparameters="map").fit(X.iloc[:70], known.iloc[:70])
    assert not summarised.families_[0].posterior.full
    for one, two in (
        (model.posterior(new, observed=given), summarised.posterior(new, observed=given)),
        (model.complete(), summarised.complete()),
    ):
        np.testing.assert_allclose(two.mean, one.mean, atol=1e-4)
        np.testing.assert_allclose(two.std, one.std, rtol=1e-4)
    draws = summarised.complete().sample(4000, seed=0)
    np.testing.assert_allclose(draws.std("sample"), summarised.complete().std, rtol=0.1)
    again = summarised.posterior(X.iloc[:3], observed=Y[["source"]].iloc[:3] + 0.01, noise=False)
    assert (again.std["source"] < summarised.complete(noise=False).std["source"].iloc[:3]).all()


def test_a_row_does_not_depend_on_which_others_are_asked(table, fitted):
    """The weights of hyperparameters keep a quarter of them: 30 other rows change a mean by a fraction of its error."""
    X, Y, _, _ = table
    for model in fitted.values():
        alone = model.posterior(X.iloc[[70]], observed=Y[["source"]].iloc[[70]])
        together = model.posterior(X.iloc[70:], observed=Y[["source"]].iloc[70:])
        shift = (alone.mean - together.mean.iloc[[0]]).abs() / alone.std
        assert (shift.to_numpy() < 0.5).all()


def test_weights_keep_enough_components():
    rng = np.random.default_rng(0)
    for weights in (np.full(24, 1 / 24), rng.dirichlet(np.ones(24))):
        for spread in (0.1, 3.0, 300.0, np.inf):
            densities = rng.standard_normal(24) * (300.0 if np.isinf(spread) else spread)
            densities[0] = -np.inf if np.isinf(spread) else densities[0]
            new = reweighted(weights, densities)
            assert new.sum() == pytest.approx(1.0)
            assert 1 / (new**2).sum() >= LEAST_EFFECTIVE / (weights**2).sum() * (1 - 1e-6)
    small = 0.01 * rng.standard_normal(24)
    expected = np.exp(small) / np.exp(small).sum()
    np.testing.assert_allclose(reweighted(np.full(24, 1 / 24), small), expected)


def test_the_subset_takes_whole_rows_those_with_several_labels_first():
    kind, rows = np.repeat([0, 1], [100, 50]), np.concatenate([np.arange(100), np.arange(80, 130)])
    chosen = stratified(kind, rows, 40, np.random.default_rng(0))
    of = [set(rows[chosen][kind[chosen] == k]) for k in (0, 1)]
    assert of[0] == of[1] == set(range(80, 100))


def test_points_with_the_same_features_are_one_row_to_botorch(fitted, table):
    pytest.importorskip("botorch")
    X, _, known, _ = table
    model = TRANSFER["multi-task"](hyperparameters="map").fit(X.iloc[:70], known.iloc[:70])
    own = as_botorch(model)
    x = torch.from_numpy(X.iloc[[40, 75]].to_numpy())[:, None]
    expected = model.posterior(X.iloc[[40, 75]], noise=False)
    np.testing.assert_allclose(own.posterior(x).mean[:, 0].detach().numpy(), expected.mean, atol=1e-6)
    np.testing.assert_allclose(own.posterior(x).variance[:, 0].detach().sqrt().numpy(), expected.std, rtol=1e-3)
    fantasy = own.condition_on_observations(x[1:], torch.tensor([[[0.3, 0.9]]], dtype=torch.double))
    given = pd.DataFrame({"source": [0.3], "target": [0.9]}, index=X.index[75:76])
    expected = model.posterior(X.iloc[[75]], observed=given, noise=False)
    np.testing.assert_allclose(fantasy.posterior(x[1:]).mean.detach().numpy().ravel(), expected.mean.iloc[0], atol=1e-5)


@pytest.mark.parametrize("name", TRANSFER)
def test_arviz_has_the_row_effects(fitted, table, name):
    _, _, _, e = table
    data = fitted[name].to_arviz(40)
    effects = data.posterior["row_effect[source]"]
    assert effects.dims == ("chain", "draw", "row")
    assert np.corrcoef(effects.mean(("chain", "draw")), e[:70])[0, 1] > 0.9


def test_a_saved_model_recognises_its_rows(fitted, table, tmp_path):
    X, _, _, _ = table
    model = fitted["difference"]
    model.save(tmp_path / "model")
    back = btl.load(tmp_path / "model")
    for call in (lambda m: m.complete(), lambda m: m.posterior(X.iloc[35:75])):
        np.testing.assert_allclose(call(back).mean, call(model).mean, rtol=1e-9)
        np.testing.assert_allclose(call(back).std, call(model).std, rtol=1e-9)


def test_labels_in_another_order_of_rows_are_refused(fitted, table):
    X, Y, _, _ = table
    with pytest.raises(ValueError, match=r"observed has the same rows in another order than X"):
        fitted["difference"].posterior(X.iloc[70:75], observed=Y[["source"]].iloc[70:75].iloc[::-1])


@pytest.mark.parametrize(
    "names",
    [
        pd.RangeIndex(100, 170),
        pd.MultiIndex.from_product([["a", "b"], range(35)]),
        pd.date_range("2026-01-01", periods=70),
    ],
    ids=["range", "pairs", "dates"],
)
def test_names_of_any_type_are_known_after_loading(table, tmp_path, names):
    X, _, known, _ = table
    X, known = X.iloc[:70].set_axis(names, axis=0), known.iloc[:70].set_axis(names, axis=0)
    groups = pd.Series([("lab", k % 2) for k in range(70)])
    model = btl.MultiTaskGP(hyperparameters="map", n_starts=1, verbose=False).fit(X, known, groups=groups)
    model.save(tmp_path / "model")
    back = btl.load(tmp_path / "model")
    for rows in (X.iloc[30:35], X.iloc[:3]):
        one, two = (m.posterior(rows) for m in (model, back))
        np.testing.assert_allclose(two.mean, one.mean, rtol=1e-9)
        at = X.index.get_indexer(rows.index)
        np.testing.assert_allclose(one.mean, model.complete().mean.iloc[at], rtol=1e-9)
    new, labs = X.iloc[:2].set_axis(["new", "other"], axis=0), pd.Series([("lab", 0), ("lab", 1)])
    one, two = (m.posterior(new, groups=labs).mean for m in (model, back))
    np.testing.assert_allclose(two, one, rtol=1e-9)


def test_a_row_of_the_calibration_set_changes_no_other_row(table):
    X, _, known, _ = table
    model = btl.Recalibrated(
        btl.MultiTaskGP(hyperparameters="map", n_starts=1, verbose=False), "conformal", verbose=False
    )
    model.fit(X.iloc[:70], known.iloc[:70])
    new = X.iloc[70:73]
    alone, beside = model.posterior(new), model.posterior(pd.concat([new, X.iloc[:70]]))
    np.testing.assert_allclose(beside.mean.iloc[:3], alone.mean, rtol=1e-9)
    np.testing.assert_allclose(
        model.posterior(X.iloc[:70], observed=known.iloc[:70]).mean, model.complete().mean, rtol=1e-9
    )


def test_a_known_source_decides_a_class_among_many_features():
    """Functions of the classes' own, of sixty features and forty labels, do not hide what they share with the source."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((160, 60))
    source = x[:, 0] + 0.7 * rng.standard_normal(160)
    bins = np.digitize(source + 0.15 * rng.standard_normal(160), [-0.5, 0.5])
    Y = pd.DataFrame({"gap": source, "colour": np.array(["dark", "red", "white"], dtype=object)[bins]})
    known, truth = Y.copy(), Y["colour"].to_numpy()[100:]
    known.loc[40:, "colour"] = None
    model = btl.MultiTaskGP(n_starts=1, verbose=False).fit(x[:100], known.iloc[:100])
    observed = known.iloc[100:].reset_index(drop=True)
    probabilities = model.posterior(x[100:], observed=observed).probabilities("colour")
    log_loss = -np.mean([np.log(probabilities[c].iloc[i]) for i, c in enumerate(truth)])
    assert (
        log_loss < 0.66
    )  # 0.59; with a row effect for each class, and wide priors of their functions, 0.73; frequencies alone have 1.1
