"""Forests as inputs: cross-fitted where a row has a label, with a column for every class."""

import numpy as np
import pytest
from sklearn.base import clone

from bayestl.models.chain import forests
from bayestl.models.chain.forests import Forest, ForestFeatures

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(forests, "TREES", 20)
    monkeypatch.setattr(forests, "BOOSTS", 10)


def test_labelled_rows_are_predicted_by_trees_that_have_not_seen_them():
    y = rng.normal(size=60)  # nothing to learn: a forest that has seen a label nearly repeats it
    y[50:] = np.nan
    features = ForestFeatures()
    cross_fitted, seen = features.fit_transform(X, y), features.transform(X)
    assert cross_fitted.shape == (60, 1)
    assert np.corrcoef(seen[:50, 0], y[:50])[0, 1] > 0.8
    assert abs(np.corrcoef(cross_fitted[:50, 0], y[:50])[0, 1]) < 0.5
    np.testing.assert_array_equal(cross_fitted[50:], seen[50:])
    np.testing.assert_array_equal(clone(features).fit_transform(X, y), cross_fitted)


def test_every_class_has_a_column_though_a_fold_or_the_table_lacks_it():
    y = (X[:, 0] > 0).astype(float)
    y[7] = 3.0  # in one fold only; class 2 has no label at all
    scores = ForestFeatures(n_classes=4).fit_transform(X, y)
    assert scores.shape == (60, 4)
    assert np.isfinite(scores).all()
    assert (scores[:, 2] == scores.min()).all()


def test_two_classes_are_one_column_and_a_fold_with_one_class_is_certain():
    y = np.zeros(60)
    y[7] = 1.0
    scores = ForestFeatures(n_classes=2).fit_transform(X, y)
    assert scores.shape == (60, 1)
    assert scores[7, 0] == scores.min()
    assert Forest(2).n_outputs == 1
    assert Forest(3).n_outputs == 3


def test_few_labels_make_no_forest():
    y = np.where(np.arange(60) < forests.LEAST_LABELS - 1, X[:, 0], np.nan)
    features = ForestFeatures(n_classes=3).fit(X, y)
    assert features.forest_ is None
    np.testing.assert_array_equal(features.transform(X[:5]), np.zeros((5, 3)))


@pytest.mark.parametrize(("n_features", "share"), [(1, 1.0), (8, 1.0), (20, 0.5), (400, 0.1)])
def test_a_boosted_tree_chooses_among_a_tenth_of_the_features_or_ten(n_features, share):
    x = rng.normal(size=(30, n_features))
    for n_classes, y in ((None, x[:, 0]), (2, (x[:, 0] > 0).astype(float))):
        boosted = dict(Forest(n_classes).fit(x, y).ensemble_.named_estimators_)["boosted"]
        assert boosted.max_features == pytest.approx(share)


def test_predictions_follow_from_the_seed_alone():
    y = X[:, 0] + 0.1 * rng.normal(size=60)
    new = rng.normal(size=X.shape)  # labels of the table are repeated by any seed
    first, again, other = (Forest(random_state=seed).fit(X, y).predict(new) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
