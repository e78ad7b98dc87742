"""What a fitted model says of itself: hyperparameters in units, relevance of features, words, tables in notebooks."""

import numpy as np
import pandas as pd
import pytest
from support.models import EXACT, MODELS, quick

import bayestl as btl

FAST = {"hyperparameters": "map", "n_starts": 1, "verbose": False}


@pytest.fixture(scope="module")
def table():
    generator = np.random.default_rng(3)
    X = pd.DataFrame(generator.random((24, 2)), columns=["radius", "mass"])
    source = 3 * X["radius"] + 0.01 * generator.standard_normal(24)
    Y = pd.DataFrame({"source": source, "target": source + 1 + 0.01 * generator.standard_normal(24)})
    Y.loc[::3, "target"] = np.nan
    return X, Y


@pytest.fixture(scope="module")
def fitted(table):
    return {name: quick(name).fit(*table) for name in MODELS if name != "latent chain"}


@pytest.mark.parametrize("name", [name for name in MODELS if name != "latent chain"])
def test_every_model_has_named_hyperparameters_and_relevances(fitted, name):
    found = fitted[name].hyperparameter_summary(n_draws=40)
    assert list(found.columns) == ["mean", "std", "lower", "upper", "unit"]
    assert found.index.names == ["parameter", "of"]
    assert found.index.is_unique
    numbers = found[["mean", "lower", "upper"]].to_numpy(dtype=float)
    fixed = found["lower"] == found["upper"]
    assert (found["std"].isna() == fixed).all()
    assert np.isfinite(numbers).all()
    assert (found["lower"] <= found["upper"]).all()
    relevance = fitted[name].feature_relevance(n_rows=10)
    assert list(relevance.index) == ["radius", "mass"]
    assert list(relevance.columns) == ["source", "target"]
    spread = fitted[name].table_.x[:, 0].std()
    np.testing.assert_allclose(relevance.loc["radius"], 3 * spread, rtol=0.25)
    assert (relevance.loc["mass"] < 0.2 * relevance.loc["radius"]).all()
    assert fitted[name].summary().startswith(f"{type(fitted[name]).__name__}: 24 rows, 2 features; labels: source 24")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_in_other_units_the_numbers_are_those_of_the_units(table, fitted, name):
    X, Y = table
    other = quick(name).fit(X * [1024.0, 0.125], 64 * Y)
    first, second = fitted[name].hyperparameter_summary(n_draws=40), other.hyperparameter_summary(n_draws=40)
    factor = pd.Series(1.0, first.index)
    of_feature = first["unit"] == "feature"
    assert of_feature.any()
    factor[of_feature] = np.where(first.index[of_feature].get_level_values("of") == "radius", 1024.0, 0.125)
    sizes = first.index.get_level_values("parameter").str.split(".").str[-1].isin(["noise", "row_effect_size"])
    assert sizes.any()
    factor[sizes] = 64
    columns = ["mean", "std", "lower", "upper"]
    expected = first[columns].mul(factor, axis=0)
    np.testing.assert_allclose(second[columns], expected, rtol=1e-3, atol=1e-6 * expected.abs().to_numpy().max())
    relevances = [model.feature_relevance(n_rows=10) for model in (fitted[name], other)]
    np.testing.assert_allclose(relevances[1], 64 * relevances[0], rtol=1e-3, atol=1e-4)


def test_relevance_of_classes_is_the_change_of_their_probabilities(table):
    X, Y = table
    labels = pd.Series(np.where(Y["source"] > 1.5, "large", "small"), name="size")
    relevance = btl.IndependentGP(verbose=False, n_starts=1).fit(X, labels).feature_relevance(n_rows=10)
    assert 0.05 < relevance.loc["radius", "size"] < 1
    assert relevance["size"].idxmax() == "radius"


def test_summary_says_the_error_and_what_intervals_hold(fitted):
    model = fitted["independent"]
    held = model.leave_one_out().query("task == 'target'")
    error = (held["mean"] - held["y"]).abs().mean()
    inside = 100 * ((held["pit"] > 0.05) & (held["pit"] < 0.95)).mean()
    lines = model.summary().splitlines()
    said = " ".join(" ".join(lines).split())
    assert f"mean absolute error of {error:.3g};" in said
    assert f"hold {inside:.0f} % of {len(held)} labels" in said
    assert max(map(len, lines)) <= 88


@pytest.mark.parametrize("names", [list("abc"), ["0", "1", "2"], [0, 1, 2]])
def test_length_scales_of_a_block_are_those_of_its_features(names):
    """A kernel on one block of all features, in another order and other units, has the length scales of one without blocks."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(size=(25, 3)) * [1.0, 10.0, 100.0], columns=names)
    y = pd.Series(np.sin(0.06 * X[names[2]]) + X[names[0]], name="t")
    block = btl.Kernel("matern52", [str(names[2]), str(names[0])])
    found = btl.IndependentGP(kernel=block, **FAST).fit(X, y).hyperparameter_summary()
    plain = btl.IndependentGP(**FAST).fit(X[[names[0], names[2]]], y).hyperparameter_summary()
    scales, expected = (f.xs("u0.lengthscale")[["mean", "unit"]] for f in (found, plain))
    assert list(scales.index) == [str(names[0]), str(names[2])]
    pd.testing.assert_frame_equal(scales, expected, rtol=1e-3)


@pytest.mark.parametrize("columns", [[], [0], [None]])
def test_a_block_names_features(columns):
    with pytest.raises(ValueError, match="columns must be names of features as text"):
        btl.Kernel("matern52", columns)


@pytest.mark.parametrize("call", ["hyperparameter_summary", "feature_relevance", "summary"])
def test_before_fit_there_is_nothing_to_say(call):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        getattr(btl.MultiTaskGP(), call)()


@pytest.mark.parametrize("bad", [{"level": 1.0}, {"n_draws": 0}, {"n_draws": 2.5}])
def test_wrong_arguments_are_named(fitted, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        fitted["independent"].hyperparameter_summary(**bad)


def test_wrong_number_of_rows_is_named(fitted):
    with pytest.raises(ValueError, match="n_rows"):
        fitted["independent"].feature_relevance(n_rows=0)


def test_notebooks_show_a_fitted_model_with_its_data(fitted):
    shown = fitted["multi-task"]._repr_mimebundle_()
    assert "24 rows, 2 features" in shown["text/html"]
    assert " features; labels" not in btl.MultiTaskGP()._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("name", EXACT)
def test_the_frame_of_a_posterior_holds_what_its_methods_say(fitted, table, name):
    post = fitted[name].posterior(table[0].iloc[:12] + 0.01)
    frame, interval = post.to_frame(0.5), post.interval(0.5)
    for task in ("source", "target"):
        np.testing.assert_array_equal(frame[f"{task}_mean"], post.mean[task])
        np.testing.assert_array_equal(frame[f"{task}_std"], post.std[task])
        np.testing.assert_array_equal(frame[f"{task}_median"], post.quantile(0.5)[task])
        for side in ("lower", "upper"):
            np.testing.assert_array_equal(frame[f"{task}_{side}"], interval[task, side])
    assert frame.index.equals(post.index)
    assert "12 rows" in post._repr_html_()
    assert "target_median" in post._repr_html_()


def test_the_frame_of_classes_holds_their_probabilities():
    x = np.linspace(0, 1, 20)[:, None]
    Y = pd.DataFrame({"kind": pd.Categorical.from_codes(np.arange(20) // 7, ["a", "b", "c"])})
    post = btl.IndependentGP(verbose=False, n_starts=1).fit(x, Y).posterior(x[:5] + 0.01)
    frame = post.to_frame()
    assert list(frame.columns) == ["kind_class", "kind_p_a", "kind_p_b", "kind_p_c"]
    np.testing.assert_array_equal(frame.iloc[:, 1:], post.probabilities("kind"))
    assert list(frame["kind_class"]) == list(post.point()["kind"])
