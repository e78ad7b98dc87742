"""Other learners behind the interface of the models, so that they are scored in the same run on the same splits."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from bayestl.distributions import NormalMixture
from bayestl.table.measured import Measured


def lolo_installed() -> bool:
    """Whether lolopy can be imported and Java is installed to run it."""
    import shutil

    return importlib.util.find_spec("lolopy") is not None and shutil.which("java") is not None


class GaussianMarginals:
    """A posterior with independent Gaussian marginals, as far as a comparison needs one.

    Parameters
    ----------
    marginals : dict of str to NormalMixture
        The predictive distribution of each task.
    tasks : sequence of str, optional
        All tasks of the table in their order, for peers whose spread leaves out the known standard errors of labels; that of
        the others contains them.
    """

    def __init__(self, marginals: dict[str, NormalMixture], tasks: Sequence[str] = ()) -> None:
        self._marginals = marginals
        self._tasks = list(tasks)

    def with_errors(self, labels: Measured) -> GaussianMarginals:
        """The marginals of labels with the known standard errors of the given ones (n, T)."""
        if not self._tasks:
            return self
        errors = {name: labels.se[:, self._tasks.index(name)] ** 2 for name in self._marginals}
        return GaussianMarginals({name: m.widened(errors[name]) for name, m in self._marginals.items()})

    def marginal(self, task: str) -> NormalMixture:
        """The predictive distribution of one task."""
        return self._marginals[task]

    def apply(self, function: Any) -> Any:
        """The distribution of a linear function of tasks; the errors of the tasks are independent."""
        names = list(self._marginals)
        at = {n: np.zeros(1) for n in names}
        slope = {n: float(function({**at, n: np.ones(1)})[0] - function(at)[0]) for n in names}
        mean = sum(slope[n] * m.means for n, m in self._marginals.items())
        variance = sum(slope[n] ** 2 * m.variances for n, m in self._marginals.items())
        return _Marginals(NormalMixture(np.ones(1), np.asarray(mean), np.asarray(variance)))


class _Marginals:
    """The result of ``apply``: the distribution of the function, row by row."""

    def __init__(self, marginals: NormalMixture) -> None:
        self.marginals = marginals


class LoloForests(BaseEstimator):
    """One lolo random forest per task (the paper's baseline) with jackknife uncertainties; needs lolopy and Java."""

    def __init__(self, n_trees: int = 100, random_state: int = 0) -> None:
        self.n_trees = n_trees
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, Y: pd.DataFrame, Y_std: Any = None, groups: Any = None) -> Self:
        """Fit one forest per column, to the rows that have its label."""
        from lolopy.learners import RandomForestRegressor

        self.forests_ = {}
        for name in Y.columns:
            labelled = Y[name].notna().to_numpy()
            forest = RandomForestRegressor(num_trees=self.n_trees)
            labels = Y[name].to_numpy(dtype=float)[labelled]
            forest.fit(X.to_numpy(dtype=float)[labelled], labels, random_seed=self.random_state)
            self.forests_[name] = forest
        return self

    def posterior(
        self, X: pd.DataFrame, observed: Any = None, observed_std: Any = None, groups: Any = None
    ) -> GaussianMarginals:
        """The marginals of each task; other labels of a row are not used."""
        marginals = {}
        for name, forest in self.forests_.items():
            mean, std = forest.predict(X.to_numpy(dtype=float), return_std=True)
            marginals[name] = NormalMixture(np.ones(1), mean[None], np.maximum(std, 1e-6)[None] ** 2)
        return GaussianMarginals(marginals)


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
