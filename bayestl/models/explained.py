"""What a fitted model has learnt, as tables: its hyperparameters by name, and how much each feature matters."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from bayestl import streams
from bayestl.diagnostics.draws import Variable
from bayestl.diagnostics.summary import summary_of_hyperparameters
from bayestl.diagnostics.words import data_in_words, held_out_in_words, wrapped
from bayestl.distributions import Discrete, Predictive, check_probability
from bayestl.inference.threads import threads_for
from bayestl.models.prediction import Predictor
from bayestl.progress import progress

STEP = 0.1
"""How far a feature is moved up and down, in its standard deviations."""


class Explained(Predictor):
    """A predictor that says what it has learnt."""

    verbose: bool
    seed_: int

    @abstractmethod
    def _hyperparameters(self, n: int, seed: int) -> dict[str, Variable]:
        """About ``n`` posterior draws of the hyperparameters; single draws of those that are fixed."""

    def summary(self) -> str:
        """In words: the data, and how well each task's labels are predicted from all others (exact models only)."""
        check_is_fitted(self, "table_")
        lines = [f"{type(self).__name__}: {data_in_words(self.table_)}"]
        if self._has_leave_one_out():
            held = self.leave_one_out()
            lines += [held_out_in_words(held[held["task"] == task.name], task) for task in self.tasks_]
        return wrapped(lines, indent="  ")

    @abstractmethod
    def leave_one_out(self) -> pd.DataFrame:
        """Predict every training label from all others."""

    @abstractmethod
    def _has_leave_one_out(self) -> bool:
        """Whether every training label can be predicted from the others without fitting again."""

    def hyperparameter_summary(self, level: float = 0.9, n_draws: int = 200) -> pd.DataFrame:
        """Posterior of the hyperparameters, by name, with length scales in units of the features.

        Parameters
        ----------
        level : float
            Probability of the central intervals.
        n_draws : int
            Number of posterior draws, where the model can make any number.

        Returns
        -------
        DataFrame
            Index ``parameter`` and ``of`` (a feature, a task, the position in an array); columns ``mean``, ``std``, ``lower``,
            ``upper`` (where the fit holds it fixed, all the same number, and ``std`` is NaN) and ``unit``: that of the
            feature, that of the task's labels (of their logarithm or power where the likelihood takes that), or ``scaled``
            where features and labels have mean 0 and variance 1.  The function along whose feature the length scale is large
            hardly changes with it.  A row effect's size has a sign: tasks with different signs are moved in opposite directions.
            Offsets between levels, in label units, are in ``offsets()``.

        Raises
        ------
        ValueError
            For a mixture of models, which has no hyperparameters of its own.

        Examples
        --------
        >>> import numpy as np, pandas as pd, bayestl as btl
        >>> X = pd.DataFrame({"radius": np.linspace(1, 2, 20)})
        >>> model = btl.IndependentGP(verbose=False).fit(X, pd.Series(np.sin(5 * X["radius"]), name="gap"))
        >>> list(model.hyperparameter_summary().index[:2])
        [('u0.lengthscale', 'radius'), ('noise', 'gap')]
        """
        check_is_fitted(self, "table_")
        check_probability(level, "level")
        if not (isinstance(n_draws, int | np.integer) and n_draws >= 1):
            raise ValueError(f"n_draws must be a positive integer, got {n_draws!r}")
        with threads_for(len(self.table_.x)):
            variables = self._hyperparameters(int(n_draws), streams.spawn(self.seed_, "table of hyperparameters"))
        return summary_of_hyperparameters(variables, self.table_, self.scaler_, level)

    def feature_relevance(self, n_rows: int = 100) -> pd.DataFrame:
        """How much the prediction of each task changes with each feature, the others held fixed.

        The mean size of the slope of the predicted mean over rows of the table (the derivative-based measure of Sobol',
        Kucherenko 2009, *Derivative based global sensitivity measures and their link with global sensitivity indices*).
        Features that go together (fractions of elements, weight and volume) share their relevance; a feature can matter to
        the chemistry and have none because another one says the same.

        Parameters
        ----------
        n_rows : int
            Number of rows of the table at which slopes are taken, drawn at random.

        Returns
        -------
        DataFrame, shape (d, T)
            In label units for a change of the feature by its standard deviation; for classes the change of their
            probabilities (0 to 1: half the sum of absolute changes).

        Examples
        --------
        >>> import numpy as np, pandas as pd, bayestl as btl
        >>> generator = np.random.default_rng(0)
        >>> X = pd.DataFrame(generator.random((40, 2)), columns=["radius", "mass"])
        >>> model = btl.IndependentGP(verbose=False).fit(X, pd.Series(np.sin(5 * X["radius"]), name="gap"))
        >>> model.feature_relevance()["gap"].idxmax()
        'radius'
        """
        check_is_fitted(self, "table_")
        if not (isinstance(n_rows, int | np.integer) and n_rows >= 1):
            raise ValueError(f"n_rows must be a positive integer, got {n_rows!r}")
        table, scale = self.table_, self.scaler_.x_scale
        n, d = table.x.shape
        chosen = streams.generator(self.seed_, "rows of relevance").permutation(n)[: int(n_rows)]
        relevance = np.empty((d, len(table.tasks)))
        with progress("relevance of the features", total=d, verbose=self.verbose) as update:
            for j in range(d):
                up, down = (self._marginals_moved(table.x[chosen], j, sign * STEP * scale[j]) for sign in (1, -1))
                relevance[j] = [_change(a, b) / (2 * STEP) for a, b in zip(up, down, strict=True)]
                update(completed=j + 1)
        return pd.DataFrame(relevance, index=pd.Index(table.features, name="feature"), columns=list(table.names))

    def _marginals_moved(self, x: np.ndarray, j: int, by: float) -> list[Predictive]:
        """Predictions of rows with the features ``x`` after feature ``j`` was moved."""
        moved = x.copy()
        moved[:, j] += by
        return self.posterior(pd.DataFrame(moved, columns=self.table_.features)).marginals


def _change(a: Predictive, b: Predictive) -> float:
    """The mean size of the difference between two predictions of the same rows."""
    if isinstance(a, Discrete) and isinstance(b, Discrete):
        return float(0.5 * np.abs(a.probabilities - b.probabilities).sum(axis=1).mean())
    return float(np.abs(a.mean() - b.mean()).mean())
