"""Predictions of forests as inputs: a forest often uses many weak features that a Gaussian process misses.

Extremely randomised trees (Geurts, Ernst, Wehenkel 2006) and gradient-boosted trees, averaged.  The predictions for labelled
rows are cross-fitted (each row is predicted by trees that have not seen its label), so the process learns how far they can be
trusted: Wolpert 1992, *Stacked generalization*.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.special import ndtri
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.model_selection import KFold, cross_val_predict

from bayestl.streams import small_seed, spawn

FOLDS = 5
TREES = 200
"""Number of randomised trees."""
SPLIT_FEATURES = 0.3
"""Fraction of the features among which a split of a randomised tree chooses, for numbers; for classes, their square root."""
BOOSTS, RATE, LEAF, RIDGE = 300, 0.05, 5, 1.0
"""Boosted trees: their number, the learning rate, the least labels of a leaf and the penalty of its value."""
BOOST_SHARE, BOOST_FEATURES = 0.1, 10
"""A split of a boosted tree chooses among this fraction of the features, and among no fewer than this number of them."""
LEAST_LABELS = 20
"""With fewer labels there is no forest, and its columns are zero."""
CLIP = 0.003
"""Probabilities are clipped here before they become normal scores."""


class Forest(BaseEstimator):
    """Randomised and boosted trees, averaged, with one or several numbers as prediction.

    Parameters
    ----------
    n_classes : int, optional
        Number of classes of the label, which are their positions; None for a number.
    random_state : int
        Seed of the trees.

    Attributes
    ----------
    ensemble_ : VotingRegressor, VotingClassifier or DummyClassifier
        The last where all labels are of one class.
    """

    def __init__(self, n_classes: int | None = None, random_state: int = 0) -> None:
        self.n_classes = n_classes
        self.random_state = random_state

    @property
    def n_outputs(self) -> int:
        """Columns of a prediction: one for a number or for two classes, else one per class."""
        return 1 if self.n_classes in (None, 2) else int(self.n_classes)

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Fit to features (n, d) and labels (n,)."""
        # one thread: scikit-learn's threads race on the global list of warning filters and may leave it empty
        randomised = {"n_estimators": TREES, "random_state": small_seed(self.random_state, "randomised trees")}
        boosted = {
            "max_iter": BOOSTS,
            "learning_rate": RATE,
            "min_samples_leaf": LEAF,
            "l2_regularization": RIDGE,
            "max_features": min(1.0, max(BOOST_SHARE, BOOST_FEATURES / X.shape[1])),
            "early_stopping": False,
            "random_state": small_seed(self.random_state, "boosted trees"),
        }
        if self.n_classes is None:
            ensemble = VotingRegressor(
                [
                    ("randomised", ExtraTreesRegressor(max_features=SPLIT_FEATURES, **randomised)),
                    ("boosted", HistGradientBoostingRegressor(**boosted)),
                ]
            )
        elif (y == y[0]).all():
            ensemble = DummyClassifier(strategy="prior")  # boosted trees need two classes
        else:
            ensemble = VotingClassifier(
                [
                    ("randomised", ExtraTreesClassifier(**randomised)),
                    ("boosted", HistGradientBoostingClassifier(**boosted)),
                ],
                voting="soft",
            )
        self.ensemble_ = ensemble.fit(X, y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predictions (n, n_outputs): numbers, or normal scores of class probabilities."""
        if self.n_classes is None:
            return self.ensemble_.predict(X)[:, None]
        probabilities = np.zeros((len(X), self.n_classes))  # of classes without a label too
        probabilities[:, self.ensemble_.classes_.astype(int)] = self.ensemble_.predict_proba(X)
        scores = ndtri(np.clip(probabilities, CLIP, 1 - CLIP))
        return scores[:, 1:] if self.n_classes == 2 else scores


class ForestFeatures(TransformerMixin, BaseEstimator):
    """Transformer from features to a forest's predictions of one part of a label.

    :meth:`fit_transform` gives cross-fitted predictions where there is a label; :meth:`transform` those of the forest that was
    fitted to all labels.  With fewer than 20 labels all predictions are zero.

    Parameters
    ----------
    n_classes : int, optional
        Number of classes of the label, which are their positions; None for a number.
    random_state : int
        Seed of the trees and of the folds.

    Attributes
    ----------
    forest_ : Forest or None
        The forest fitted to all labels, None with fewer than 20.

    References
    ----------
    Wolpert 1992, *Stacked generalization*, Neural Networks 5, 241-259.
    """

    def __init__(self, n_classes: int | None = None, random_state: int = 0) -> None:
        self.n_classes = n_classes
        self.random_state = random_state

    @property
    def n_outputs(self) -> int:
        """Number of columns that the transformer makes."""
        return self._new("forest").n_outputs

    def _new(self, stream: str) -> Forest:
        return Forest(self.n_classes, spawn(self.random_state, stream))

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Fit to features (n, d) and labels (n,), NaN where there is none."""
        is_labelled = ~np.isnan(y)
        enough = is_labelled.sum() >= LEAST_LABELS
        self.forest_ = self._new("forest").fit(X[is_labelled], y[is_labelled]) if enough else None
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Predictions (n, n_outputs): numbers, or normal scores of class probabilities."""
        if self.forest_ is None:
            return np.zeros((len(X), self.n_outputs))
        return self.forest_.predict(X)

    def fit_transform(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Fit, and predict the same rows (n, n_outputs), each labelled one by trees that have not seen its label."""
        predictions = self.fit(X, y).transform(X)
        if self.forest_ is not None:
            is_labelled = ~np.isnan(y)
            folds = KFold(FOLDS, shuffle=True, random_state=small_seed(self.random_state, "folds"))
            forest = self._new("forests of folds")
            predictions[is_labelled] = cross_val_predict(forest, X[is_labelled], y[is_labelled], cv=folds)
        return predictions
