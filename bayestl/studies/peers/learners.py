"""Random forests with a predictive distribution: lolo's, with jackknife spreads, and scikit-learn's, by leaf weights."""

from __future__ import annotations

import importlib.util
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from bayestl.distributions import Hurdle, NormalMixture, Predictive, TruncatedMixture
from bayestl.studies.peers.marginals import GaussianMarginals

SHARE_OF_ZEROS = 0.2
"""From this share of exact zeros among the labels on, a forest of quantiles keeps them apart from the other labels."""


def lolo_installed() -> bool:
    """Whether lolopy can be imported and Java is installed to run it."""
    import shutil

    return importlib.util.find_spec("lolopy") is not None and shutil.which("java") is not None


class LoloForest(BaseEstimator):
    """One random forest of lolo: a Gaussian with the jackknife spread; needs lolopy and Java."""

    def __init__(self, n_trees: int = 100, random_state: int = 0) -> None:
        self.n_trees = n_trees
        self.random_state = random_state

    def fit(self, x: np.ndarray, y: np.ndarray) -> Self:
        """Fit the forest to features (n, d) and labels (n,)."""
        from lolopy.learners import RandomForestRegressor

        self.forest_ = RandomForestRegressor(num_trees=self.n_trees)
        self.forest_.fit(x, y, random_seed=self.random_state)
        return self

    def predict(self, x: np.ndarray) -> NormalMixture:
        """The predictive distribution of each row."""
        mean, std = self.forest_.predict(x, return_std=True)
        return NormalMixture(np.ones(1), mean[None], np.maximum(std, 1e-6)[None] ** 2)


class QuantileForest(BaseEstimator):
    """A quantile regression forest: the distribution of the training labels, weighted by the leaves that they share.

    Each label has a Gaussian kernel of Silverman's width, and is drawn in so that the variance stays that of the weighted
    labels.  Where many labels are exactly zero, zero has a probability of its own.

    References
    ----------
    Meinshausen 2006, *Quantile regression forests*; Silverman, Young 1987, *The bootstrap: to smooth or not to smooth?*
    """

    def __init__(self, n_trees: int = 200, leaf: int = 5, random_state: int = 0) -> None:
        self.n_trees = n_trees
        self.leaf = leaf
        self.random_state = random_state

    def fit(self, x: np.ndarray, y: np.ndarray) -> Self:
        """Fit the forest to features (n, d) and labels (n,)."""
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(self.n_trees, min_samples_leaf=self.leaf, random_state=self.random_state)
        self.forest_ = forest.fit(x, y)
        self.leaves_, self.y_ = self.forest_.apply(x), np.asarray(y, dtype=float)
        return self

    def _weights(self, x: np.ndarray) -> np.ndarray:
        """Weights (m, n) of the m training labels in each row."""
        weights = np.zeros((len(self.y_), len(x)))
        for of_training, of_new in zip(self.leaves_.T, self.forest_.apply(x).T, strict=True):
            together = of_training[:, None] == of_new
            weights += together / together.sum(axis=0)
        return weights / self.leaves_.shape[1]

    def predict(self, x: np.ndarray) -> Predictive:
        """The predictive distribution of each row."""
        weights, zero = self._weights(x), self.y_ == 0
        if zero.mean() < SHARE_OF_ZEROS or (self.y_ < 0).any():
            return self._smooth(weights, self.y_)
        size = weights[~zero] + 1e-9  # some weight also where all the labels of a row are zero
        positive = self._smooth(size / size.sum(axis=0), self.y_[~zero])
        truncated = TruncatedMixture(positive.weights, positive.means, positive.variances)
        return Hurdle(weights[zero].sum(axis=0), truncated)

    def _smooth(self, weights: np.ndarray, y: np.ndarray) -> NormalMixture:
        """A Gaussian kernel at each of the labels (m,), whose weights are (m, n)."""
        mean = y @ weights
        variance = (weights * (y[:, None] - mean) ** 2).sum(axis=0) + 1e-6 * self.y_.var() + 1e-12
        kernel = 0.81 * variance * (weights**2).sum(axis=0) ** 0.4
        means = mean + np.sqrt(1.0 - kernel / variance) * (y[:, None] - mean)
        return NormalMixture(weights, means, np.broadcast_to(kernel, means.shape))


class LoloForests(BaseEstimator):
    """One lolo random forest per task (the paper's baseline) with jackknife uncertainties; needs lolopy and Java."""

    def __init__(self, n_trees: int = 100, random_state: int = 0) -> None:
        self.n_trees = n_trees
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, Y: pd.DataFrame, Y_std: Any = None, groups: Any = None) -> Self:
        """Fit one forest per column, to the rows that have its label."""
        x = X.to_numpy(dtype=float)
        self.forests_ = {}
        for name in Y.columns:
            y = Y[name].to_numpy(dtype=float)
            labelled = ~np.isnan(y)
            self.forests_[name] = LoloForest(self.n_trees, self.random_state).fit(x[labelled], y[labelled])
        return self

    def posterior(
        self, X: pd.DataFrame, observed: Any = None, observed_std: Any = None, groups: Any = None
    ) -> GaussianMarginals:
        """The marginals of each task; other labels of a row are not used."""
        x = X.to_numpy(dtype=float)
        return GaussianMarginals({name: forest.predict(x) for name, forest in self.forests_.items()})
