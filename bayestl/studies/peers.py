"""Other learners behind the interface of the models, so that they are scored in the same run on the same splits."""

from __future__ import annotations

import importlib.util
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from bayestl.distributions import NormalMixture


def lolo_installed() -> bool:
    """Whether lolopy can be imported and Java is installed to run it."""
    import shutil

    return importlib.util.find_spec("lolopy") is not None and shutil.which("java") is not None


class GaussianMarginals:
    """A posterior with independent Gaussian marginals, as far as a comparison needs one."""

    def __init__(self, marginals: dict[str, NormalMixture]) -> None:
        self._marginals = marginals

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

    def posterior(self, X: pd.DataFrame, observed: Any = None, groups: Any = None) -> GaussianMarginals:
        """The marginals of each task; other labels of a row are not used."""
        marginals = {}
        for name, forest in self.forests_.items():
            mean, std = forest.predict(X.to_numpy(dtype=float), return_std=True)
            marginals[name] = NormalMixture(np.ones(1), mean[None], np.maximum(std, 1e-6)[None] ** 2)
        return GaussianMarginals(marginals)
