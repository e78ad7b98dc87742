"""Baselines for a source and a target: the source itself, a line, and a model of the difference."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from bayestl.distributions import NormalMixture
from bayestl.studies.peers.marginals import GaussianMarginals


class SourceItself(BaseEstimator):
    """The label of the source as the prediction of the target, with the root mean square of its errors as spread.

    y_target ~ N(y_source, mean((y_target - y_source)^2)),  the mean over the training rows with both labels
    """

    def __init__(self, source: str, target: str) -> None:
        self.source = source
        self.target = target

    def fit(self, X: pd.DataFrame, Y: pd.DataFrame, Y_std: Any = None, groups: Any = None) -> Self:
        """Learn the spread from the rows with both labels."""
        error = (Y[self.target] - Y[self.source]).dropna()
        self.variance_ = float((error**2).mean())
        return self

    def posterior(
        self, X: pd.DataFrame, observed: pd.DataFrame, observed_std: Any = None, groups: Any = None
    ) -> GaussianMarginals:
        """The marginals of the target; ``observed`` holds the source of every row."""
        source = observed[self.source].to_numpy(dtype=float)
        return GaussianMarginals({self.target: _normal(source, np.full(len(source), self.variance_))})


class Line(BaseEstimator):
    """A straight line from the label of the source to that of the target, by least squares.

    y_target ~ N(a + b y_source, s^2 (1 + 1/n + (y_source - mean)^2 / sum_i (y_source,i - mean)^2)),  s^2 the residual
    variance with n - 2 degrees of freedom
    """

    def __init__(self, source: str, target: str) -> None:
        self.source = source
        self.target = target

    def fit(self, X: pd.DataFrame, Y: pd.DataFrame, Y_std: Any = None, groups: Any = None) -> Self:
        """Fit the line to the rows with both labels."""
        pairs = Y[[self.source, self.target]].dropna().to_numpy(dtype=float)
        x, y = pairs[:, 0], pairs[:, 1]
        self.n_, self.centre_, self.spread_ = len(x), x.mean(), ((x - x.mean()) ** 2).sum()
        self.slope_ = ((x - self.centre_) @ y) / self.spread_
        self.level_ = y.mean()
        residual = y - self.level_ - self.slope_ * (x - self.centre_)
        self.variance_ = residual @ residual / (self.n_ - 2)
        return self

    def posterior(
        self, X: pd.DataFrame, observed: pd.DataFrame, observed_std: Any = None, groups: Any = None
    ) -> GaussianMarginals:
        """The marginals of the target; ``observed`` holds the source of every row."""
        off = observed[self.source].to_numpy(dtype=float) - self.centre_
        variance = self.variance_ * (1.0 + 1.0 / self.n_ + off**2 / self.spread_)
        return GaussianMarginals({self.target: _normal(self.level_ + self.slope_ * off, variance)})


class OnDifference(BaseEstimator):
    """A model of one task on ``y_target - y_source``: the difference architecture of Hutchinson et al. 2017.

    It learns from the rows with both labels alone; the spread of the difference is that of the prediction.
    """

    def __init__(self, source: str, target: str, model: Any) -> None:
        self.source = source
        self.target = target
        self.model = model

    def fit(self, X: pd.DataFrame, Y: pd.DataFrame, Y_std: Any = None, groups: Any = None) -> Self:
        """Fit the model to the differences; standard errors of the two labels add in quadrature."""
        difference = (Y[self.target] - Y[self.source]).rename(self.target)
        both = difference.notna()
        std = None
        if Y_std is not None:
            squared = Y_std.loc[both, [self.source, self.target]].fillna(0.0).to_numpy(dtype=float) ** 2
            std = pd.DataFrame(np.sqrt(squared.sum(axis=1)), index=Y.index[both], columns=[self.target])
        self.model_ = clone(self.model).fit(X[both], difference[both].to_frame(), Y_std=std)
        return self

    def posterior(
        self, X: pd.DataFrame, observed: pd.DataFrame, observed_std: Any = None, groups: Any = None
    ) -> GaussianMarginals:
        """The marginals of the target; ``observed`` holds the source of every row."""
        difference = self.model_.posterior(X).marginal(self.target)
        source = observed[self.source].to_numpy(dtype=float)
        error = 0.0 if observed_std is None else observed_std[self.source].fillna(0.0).to_numpy(dtype=float) ** 2
        shifted = NormalMixture(difference.weights, source + difference.means, difference.variances + error)
        return GaussianMarginals({self.target: shifted}, list(observed))


def _normal(mean: np.ndarray, variance: np.ndarray) -> NormalMixture:
    """Gaussian marginals with these means and variances (n,); none is narrower than rounding."""
    return NormalMixture(np.ones(1), mean[None], np.maximum(variance, 1e-12)[None])
