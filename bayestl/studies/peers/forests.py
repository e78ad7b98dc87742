"""Random forests in the architectures of Hutchinson et al. 2017: single, difference, and the source as a feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import KFold

from bayestl.distributions import Discrete, NormalMixture, Predictive
from bayestl.studies.peers.marginals import RowMarginals

ARCHITECTURES = ("single", "difference", "latent")
"""``latent``: the labels of the other tasks are features, as far as they are known, else their predictions."""
FOLDS = 5
"""Folds in which the labels of the other tasks are predicted for training rows, where those of new rows are not known."""


class _OtherTasks:
    """The features with one more column for each of the other tasks.

    With ``hide="target"`` the column holds the label where there is one, and else the prediction of a forest; with
    ``hide="row"`` it holds predictions only, those of training rows from the other folds.
    """

    def __init__(self, learner: Any, names: Sequence[str], hide: str) -> None:
        self.learner, self.names, self.hide = learner, list(names), hide

    def fit(self, X: np.ndarray, Y: pd.DataFrame) -> np.ndarray:
        """Learn to predict the other tasks; returns the columns (n, T - 1) of the training rows."""
        self.forests, columns = {}, []
        for name in self.names:
            y = Y[name].to_numpy(dtype=float)
            labelled = np.flatnonzero(~np.isnan(y))
            self.forests[name] = clone(self.learner).fit(X[labelled], y[labelled])
            column = self.forests[name].predict(X).mean()
            if self.hide == "target":
                column = np.where(np.isnan(y), column, y)
            else:
                for train, test in KFold(min(FOLDS, len(labelled)), shuffle=True, random_state=0).split(labelled):
                    rows = labelled[train]
                    column[labelled[test]] = clone(self.learner).fit(X[rows], y[rows]).predict(X[labelled[test]]).mean()
            columns.append(column)
        return np.column_stack(columns)

    def at(self, X: np.ndarray, observed: pd.DataFrame | None) -> np.ndarray:
        """The columns (n, T - 1) of new rows."""
        columns = []
        for name in self.names:
            column = self.forests[name].predict(X).mean()
            if observed is not None and self.hide == "target":
                y = observed[name].to_numpy(dtype=float)
                column = np.where(np.isnan(y), column, y)
            columns.append(column)
        return np.column_stack(columns)


class Forests(BaseEstimator):
    """A random forest for each target.

    Parameters
    ----------
    targets : sequence of str
        The tasks to predict.
    learner : LoloForest or QuantileForest
        The unfitted forest.
    architecture : {"single", "difference", "latent"}
        ``"single"`` knows no other task; ``"difference"`` learns the target minus ``source``; for ``"latent"`` the other
        tasks are features.
    source : str, optional
        The other task of ``"difference"``, known in new rows.
    hide : {"target", "row"}
        Whether new rows have their other labels.
    """

    def __init__(
        self,
        targets: Sequence[str],
        learner: Any,
        architecture: str = "single",
        source: str | None = None,
        hide: str = "target",
    ) -> None:
        self.targets = targets
        self.learner = learner
        self.architecture = architecture
        self.source = source
        self.hide = hide

    def fit(self, X: pd.DataFrame, Y: pd.DataFrame, Y_std: Any = None, groups: Any = None) -> Self:
        """Fit the forest of each target to the rows that have its label (and that of the source, for the difference)."""
        self.forests_, self.others_ = {}, {}
        for target in self.targets:
            x, y = X.to_numpy(dtype=float), Y[target].to_numpy(dtype=float)
            if self.architecture == "difference":
                y = y - Y[self.source].to_numpy(dtype=float)
            if self.architecture == "latent":
                others = _OtherTasks(self.learner, [name for name in Y if name != target], self.hide)
                x = np.hstack([x, others.fit(x, Y)])
                self.others_[target] = others
            labelled = ~np.isnan(y)
            self.forests_[target] = clone(self.learner).fit(x[labelled], y[labelled])
        return self

    def posterior(
        self, X: pd.DataFrame, observed: Any = None, observed_std: Any = None, groups: Any = None
    ) -> RowMarginals:
        """The marginals of the targets."""
        return RowMarginals({name: self._marginal(name, X.to_numpy(dtype=float), observed) for name in self.targets})

    def _marginal(self, target: str, x: np.ndarray, observed: Any) -> Predictive:
        if target in self.others_:
            x = np.hstack([x, self.others_[target].at(x, observed)])
        predicted = self.forests_[target].predict(x)
        if self.architecture != "difference":
            return predicted
        source = observed[self.source].to_numpy(dtype=float)
        return NormalMixture(predicted.weights, source + predicted.means, predicted.variances)


class ForestClassifier(BaseEstimator):
    """A random forest of a class, alone or with the other tasks as features (``"latent"``), as in :class:`Forests`.

    The probabilities are the mean of the trees' and one tree that only knows how frequent the classes are, so that none is
    zero.
    """

    def __init__(
        self,
        target: str,
        learner: Any,
        architecture: str = "single",
        hide: str = "target",
        n_trees: int = 200,
        random_state: int = 0,
    ) -> None:
        self.target = target
        self.learner = learner
        self.architecture = architecture
        self.hide = hide
        self.n_trees = n_trees
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, Y: pd.DataFrame, Y_std: Any = None, groups: Any = None) -> Self:
        """Fit the forest to the rows that have a class; the categories of the column are the classes."""
        from sklearn.ensemble import RandomForestClassifier

        x = X.to_numpy(dtype=float)
        if self.architecture == "latent":
            self.others_ = _OtherTasks(self.learner, [name for name in Y if name != self.target], self.hide)
            x = np.hstack([x, self.others_.fit(x, Y)])
        self.classes_ = tuple(Y[self.target].cat.categories)
        codes = Y[self.target].cat.codes.to_numpy()
        counts = np.bincount(codes[codes >= 0], minlength=len(self.classes_))
        self.frequency_ = (counts + 1) / (counts + 1).sum()
        forest = RandomForestClassifier(self.n_trees, random_state=self.random_state)
        self.forest_ = forest.fit(x[codes >= 0], codes[codes >= 0])
        return self

    def posterior(
        self, X: pd.DataFrame, observed: Any = None, observed_std: Any = None, groups: Any = None
    ) -> RowMarginals:
        """The probabilities of the classes."""
        x = X.to_numpy(dtype=float)
        if self.architecture == "latent":
            x = np.hstack([x, self.others_.at(x, observed)])
        probabilities = np.zeros((len(x), len(self.classes_)))
        probabilities[:, self.forest_.classes_] = self.forest_.predict_proba(x)
        smoothed = (self.n_trees * probabilities + self.frequency_) / (self.n_trees + 1)
        return RowMarginals({self.target: Discrete(smoothed, self.classes_)})
