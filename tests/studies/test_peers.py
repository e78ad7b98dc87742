"""Forests and BoTorch's model behind the interface of the models."""

import numpy as np
import pandas as pd
import pytest

from bayestl.distributions import Hurdle
from bayestl.studies.peers import BoTorchMultiTask, ForestClassifier, Forests, QuantileForest

FOREST = QuantileForest(n_trees=30, leaf=3)


def table(n=80):
    """The target is the source, which is little but noise to the features, plus a line."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.uniform(size=n), "z": rng.uniform(size=n)})
    Y = pd.DataFrame({"cheap": 3 * rng.standard_normal(n)})
    Y["dear"] = Y["cheap"] + 2 * X["x"] + 0.05 * rng.standard_normal(n)
    return X, Y


def test_a_quantile_forest_has_the_moments_of_its_weighted_labels():
    rng = np.random.default_rng(0)
    x, new = rng.uniform(size=(60, 2)), rng.uniform(size=(20, 2))
    y = 5 + 2 * x[:, 0] + 0.1 * rng.standard_normal(60)
    forest = QuantileForest(n_trees=50).fit(x, y)
    weights, predicted = forest._weights(new), forest.predict(new)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0)
    mean = y @ weights
    np.testing.assert_allclose(predicted.mean(), mean)
    np.testing.assert_allclose(predicted.std() ** 2, (weights * (y[:, None] - mean) ** 2).sum(axis=0), rtol=1e-3)
    assert np.abs(mean - forest.forest_.predict(new)).mean() < 0.1  # which weighs the labels of each bootstrap sample


def test_a_quantile_forest_gives_zero_a_probability():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(200, 1))
    y = np.where(x[:, 0] < 0.5, 0.0, 1 + x[:, 0])
    predicted = QuantileForest(n_trees=50).fit(x, y).predict(np.array([[0.1], [0.9]]))
    assert isinstance(predicted, Hurdle)
    assert predicted.zero[0] == pytest.approx(1.0, abs=0.01)
    assert predicted.zero[1] == pytest.approx(0.0, abs=0.01)
    assert predicted.quantile(0.5)[0] == 0.0
    assert predicted.mean()[1] == pytest.approx(1.9, abs=0.1)


def test_the_difference_and_the_latent_forest_know_the_source():
    X, Y = table()
    few = Y.copy()
    few.loc[40:, "dear"] = np.nan
    known = Y.loc[60:].assign(dear=np.nan)
    error = {}
    for architecture in ("single", "difference", "latent"):
        forests = Forests(["dear"], FOREST, architecture, "cheap").fit(X[:60], few[:60])
        predicted = forests.posterior(X[60:], known).marginal("dear")
        error[architecture] = np.abs(predicted.mean() - Y["dear"][60:]).mean()
    assert error["difference"] < 0.3 < error["latent"] < 0.7 * error["single"]


def test_a_latent_forest_whose_rows_lose_all_labels_uses_predictions_only():
    X, Y = table()
    forests = Forests(["dear"], FOREST, "latent", hide="row").fit(X[:60], Y[:60])
    alone = forests.posterior(X[60:]).marginal("dear").mean()
    np.testing.assert_array_equal(forests.posterior(X[60:], Y[60:]).marginal("dear").mean(), alone)
    forests = Forests(["dear"], FOREST, "latent").fit(X[:60], Y[:60])
    assert np.abs(forests.posterior(X[60:], Y[60:]).marginal("dear").mean() - alone).max() > 0.5


@pytest.mark.parametrize("hide", ["target", "row"])
def test_forests_of_classes_know_all_classes(hide):
    X, Y = table()
    Y["dear"] = pd.Categorical(np.where(Y["cheap"] > 0, "red", "blue"), categories=["blue", "green", "red"])
    forest = ForestClassifier("dear", FOREST, "latent", hide, n_trees=30).fit(X[:60], Y[:60])
    predicted = forest.posterior(X[60:], Y[60:]).marginal("dear")
    np.testing.assert_allclose(predicted.probabilities.sum(axis=1), 1.0)
    assert (predicted.probabilities > 0).all()
    right = (predicted.mode() == Y["dear"].cat.codes[60:]).mean()
    assert right > 0.9 if hide == "target" else right < 0.9


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_the_model_of_botorch_knows_the_source_of_new_rows():
    pytest.importorskip("botorch")
    X, Y = table(26)
    few = Y[:20].copy()
    few.loc[12:, "dear"] = np.nan
    model = BoTorchMultiTask("dear").fit(X[:20].assign(constant=1.0), few)
    known = Y[20:].assign(dear=None)
    predicted = model.posterior(X[20:].assign(constant=1.0), known).marginal("dear")
    assert np.abs(predicted.mean() - Y["dear"][20:]).mean() < 0.6
    assert predicted.std().min() > 0
