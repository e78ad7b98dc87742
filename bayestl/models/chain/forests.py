"""Predictions of trees as inputs: what a Gaussian process on many weak features misses, a forest often sees.

Extremely randomised trees (Geurts, Ernst, Wehenkel 2006) and gradient-boosted ones, averaged.  The predictions for labelled
rows are cross-fitted (each row is predicted by trees that have not seen its label), so the process learns how far they are
to be trusted: Wolpert 1992, *Stacked generalization*.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.model_selection import KFold

FOLDS = 5
TREES = 200
"""Of the randomised forest."""
SPLIT_FEATURES = 0.3
"""Fraction of the features that a split of it may choose from, for numbers; for classes the root of their number."""
BOOSTS, RATE, BOOST_FEATURES = 100, 0.1, 0.3
"""Of the boosted trees: their number, learning rate and fraction of features."""
LEAST_LABELS = 20
"""With fewer labels there is no forest: its column is zero."""
CLIP = 0.003
"""Probabilities are cut off here before they are turned into normal scores."""


class ForestStack:
    """Forests that predict one part of a label.

    Parameters
    ----------
    n_classes : int, optional
        Classes of the label (positions as floats); none for a number.
    random_state : int

    Attributes
    ----------
    n_outputs : int
        Columns of a prediction: one for a number or two classes, else one a class.
    """

    def __init__(self, n_classes: int | None, random_state: int = 0) -> None:
        self.n_classes = n_classes
        self.random_state = random_state
        self.n_outputs = 1 if n_classes in (None, 2) else int(n_classes)
        self._forest: list[Any] | None = None

    def fit_transform(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Fit to the labels ``y`` (n,) with NaN; predictions (n, outputs), cross-fitted where there is a label."""
        there = np.flatnonzero(~np.isnan(y))
        if len(there) < LEAST_LABELS:
            return np.zeros((len(x), self.n_outputs))
        self._forest = self._fit(x[there], y[there])
        out = self._predict(self._forest, x)
        for train, test in KFold(FOLDS, shuffle=True, random_state=self.random_state).split(there):
            part = self._fit(x[there[train]], y[there[train]])
            out[there[test]] = self._predict(part, x[there[test]])
        return out

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Predictions (n, outputs): numbers, or normal scores of class probabilities."""
        if self._forest is None:
            return np.zeros((len(x), self.n_outputs))
        return self._predict(self._forest, x)

    def _new(self) -> list[Any]:
        # one thread: scikit-learn's threads race on the global list of warning filters and may leave it empty
        forest = {"n_estimators": TREES, "random_state": self.random_state}
        boosted = {
            "max_iter": BOOSTS,
            "learning_rate": RATE,
            "max_features": BOOST_FEATURES,
            "early_stopping": False,
            "random_state": self.random_state,
        }
        if self.n_classes is None:
            return [
                ExtraTreesRegressor(max_features=SPLIT_FEATURES, **forest),
                HistGradientBoostingRegressor(**boosted),
            ]
        return [ExtraTreesClassifier(**forest), HistGradientBoostingClassifier(**boosted)]

    def _fit(self, x: np.ndarray, y: np.ndarray) -> list[Any]:
        return [learner.fit(x, y) for learner in self._new()]

    def _predict(self, learners: list[Any], x: np.ndarray) -> np.ndarray:
        if self.n_classes is None:
            return np.mean([learner.predict(x) for learner in learners], axis=0)[:, None]
        chances = np.zeros((len(x), self.n_classes))
        for learner in learners:
            chances[:, learner.classes_.astype(int)] += learner.predict_proba(x) / len(learners)
        scores = ndtri(np.clip(chances, CLIP, 1 - CLIP))
        return scores[:, 1:] if self.n_classes == 2 else scores
