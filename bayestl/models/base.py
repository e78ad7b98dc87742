"""The estimator contract of scikit-learn, and what every model adds to it: diagnosis and files (predictions: ``prediction.py``).

``fit`` builds everything before it changes the model, so a failed fit leaves the earlier one usable.
"""

from __future__ import annotations

import copy
import html
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from bayestl.diagnostics.arviz import to_arviz
from bayestl.diagnostics.checks import Check, as_table, new_row_check
from bayestl.diagnostics.draws import RowDraws, Variable
from bayestl.diagnostics.words import data_in_words
from bayestl.files.models import register, write_model
from bayestl.inference.threads import threads_for
from bayestl.models.explained import Explained
from bayestl.models.label_evidence import decide_sizes
from bayestl.streams import RandomState, seed_of, spawn
from bayestl.table.cells import plain_table
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table, build_table
from bayestl.table.task import Task

_DATA_ATTRIBUTES = ("table_", "scaler_", "tasks_", "seed_", "n_features_in_", "feature_names_in_", "output_", "notes_")
"""Fitted attributes that are data, not modules."""


class BayesianModel(Explained, RegressorMixin, BaseEstimator, ABC):
    """Base of all models.

    A subclass stores its parameters in ``__init__``, and defines :meth:`_learn` (from a table to the fitted
    attributes), :meth:`_latent` (from new rows to the posterior of their latent values) and what it saves.

    Attributes
    ----------
    seed_ : int
        The seed of the fit, and of all random numbers behind its predictions: ``random_state``, or what was drawn for it.
    notes_ : dict
        What you want to keep with the fit (text, numbers, lists, dictionaries): saved and loaded with it, empty after ``fit``.
    """

    tasks: Sequence[Task] | None
    random_state: RandomState
    verbose: bool
    table_: Table
    scaler_: Scaler
    seed_: int
    notes_: dict[str, Any]
    _predicts_from_features = True
    """Whether it says more of a row of which no label is known than that it is one of many."""
    _takes_unlabelled = False
    """Whether a task may have no labels at all."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        register(cls)  # files name models by their class

    # ----------------------------------------------------------------------------------------- what a model defines

    @abstractmethod
    def _learn(self, table: Table, scaler: Scaler, seed: int) -> dict[str, Any]:
        """Fit to a table, and return the fitted attributes (names with a trailing underscore)."""

    @abstractmethod
    def _draws_at_rows(self, n: int, seed: int) -> RowDraws:
        """About ``n`` posterior draws of the hyperparameters and of the latent values at the rows of the table."""

    def _hyperparameters(self, n: int, seed: int) -> dict[str, Variable]:
        draws = self._draws_at_rows(n, seed)
        return {**draws.variables, **draws.fixed}

    def _prior_at_rows(self, n: int, seed: int) -> RowDraws:
        """Draws of the same quantities as :meth:`_draws_at_rows`, from the prior."""
        raise ValueError(f"{type(self).__name__} has no draws from its prior: leave out prior=True")

    def _prior_at_table(self, table: Table, seed: int) -> RowDraws:
        """One prior draw at the rows of a table whose features are already scaled; the model need not be fitted."""
        raise ValueError(f"{type(self).__name__} has no draws from its prior")

    @abstractmethod
    def _state(self) -> dict[str, np.ndarray]:
        """Arrays that, with the table, restore the fit."""

    @abstractmethod
    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
        """The fitted attributes, from the arrays that :meth:`_state` returned and the seed of the fit."""

    def _decided(self, table: Table) -> dict[str, Any]:
        """The parameters that leave nothing to the size of the table: what the fit to this one would choose by it."""
        return {}

    def _given_tasks(self) -> Sequence[Task] | None:
        """The tasks that the user specified, if any."""
        return self.tasks

    def _tasks_for(self, Y: Any) -> Sequence[Task] | None:
        """The tasks with which labels are read, as ``fit`` takes them."""
        return self._given_tasks()

    def _decided_likelihoods(self, table: Table, seed: int = 0) -> Table:
        """The table with the likelihoods that are chosen by evidence."""
        return decide_sizes(table, seed)

    def _scale(self, table: Table) -> Scaler:
        """The location and scale of each feature and task."""
        return Scaler.of(table)

    # ----------------------------------------------------------------------------------------------------- the contract

    def fit(self, X: Any, Y: Any, Y_std: Any = None, groups: Any = None) -> Self:
        """Learn from a table.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n, d)
            Numeric features, no NaN, no dates; tensors count without their gradients.
        Y : DataFrame, Series or ndarray, shape (n, T) or (n,)
            Labels, one column per task, in label units; NaN, None or masked if not measured.  Strings, bools and categories
            are classes; dates are where the task's likelihood has classes.
        Y_std : like Y, optional
            Known standard error of each label, in label units.
        groups : array-like, shape (n,), optional
            A group for each row (a method, a laboratory, a structure family), with partially pooled offsets.

        Returns
        -------
        self
            The fitted model.

        Raises
        ------
        ValueError
            If a value cannot be used; the message names its column and row.  An earlier fit stays usable.
        """
        table = build_table(X, Y, Y_std, groups, self._tasks_for(Y), unlabelled=self._takes_unlabelled)
        seed = seed_of(self.random_state)
        with threads_for(int(table.present.sum())):
            table = self._decided_likelihoods(table, seed)
            scaler = self._scale(table)
            learnt = self._learn(table, scaler, seed)
        self._become(table, scaler, learnt, seed)
        self.n_features_in_ = len(table.features)
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.asarray(table.features, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self.output_ = (
            "frame"
            if isinstance(Y, pd.DataFrame)
            else "column"
            if np.asarray(plain_table(Y, "Y")).ndim == 1
            else "array"
        )
        return self

    def _become(self, table: Table, scaler: Scaler, learnt: dict[str, Any], seed: int) -> None:
        """Set the fitted attributes."""
        self.table_, self.scaler_, self.tasks_, self.seed_ = table, scaler, table.tasks, seed
        self.notes_ = {}
        for name, value in learnt.items():
            setattr(self, name, value)

    @abstractmethod
    def task_correlation(self) -> pd.DataFrame:
        """Correlation (T, T) of the tasks' latent functions, with its uncertainty in ``.attrs["std"]``."""

    def to_arviz(self, n_draws: int = 200, prior: bool = False, seed: int = 0) -> Any:
        """The posterior as ArviZ data: an ``InferenceData``, or a ``DataTree`` from ArviZ 1.0 on.

        Parameters
        ----------
        n_draws : int
            Number of draws, where the model can make any number; a Markov chain keeps its own.
        prior : bool
            Whether to add draws from the prior, as groups ``prior`` and ``prior_predictive`` (exact models).
        seed : int
            Seed of the draws, which repeat exactly.

        Returns
        -------
        arviz.InferenceData or xarray.DataTree
            ``posterior``: hyperparameters in scaled units (length scales by ``feature``), offsets of a difference model
            in label units, and ``latent`` by ``row`` and ``function`` in label units (of what a likelihood makes of them, such
            as their logarithms).  ``posterior_predictive``,
            ``log_likelihood`` and ``observed_data``: one variable per task over its labelled rows, classes as
            positions.  ``sample_stats`` for a Markov chain, ``constant_data`` for hyperparameters that are point
            estimates.  Independent draws are laid out as four chains.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError
            If ``prior`` is True and the model has no draws from its prior.

        Notes
        -----
        ``log_likelihood`` of an exact model is the log density of each label given all others and the hyperparameters,
        so ``arviz.loo`` corrects the hyperparameters for having seen the label; if its Pareto k is large, use
        ``leave_one_out()``.  For a model that draws latent values it is the log density given the latent value.

        Draws of a :class:`ChainGP` are those of the regression that was fitted: in a row whose source is not known, at the
        value that stands for it there.  :meth:`complete` averages over what the source may be.
        """
        check_is_fitted(self, "table_")
        if not (isinstance(n_draws, int | np.integer) and n_draws >= 1):
            raise ValueError(f"n_draws must be a positive integer, got {n_draws!r}")
        table, n = self.table_, int(n_draws)
        with threads_for(len(table.x)):
            draws = self._draws_at_rows(n, spawn(seed, "posterior"))
            prior_draws = self._prior_at_rows(n, spawn(seed, "prior")) if prior else None
            return to_arviz(table, self.scaler_, draws, prior_draws, seed, type(self).__name__)

    def leave_one_out(self, refit: bool = False, hide: str = "target") -> pd.DataFrame:
        """Predict every training label from all others (exact models only; ``refit`` and ``hide`` are described there).

        Raises
        ------
        ValueError
            If the model has no leave-one-out.
        """
        raise ValueError(f"{type(self).__name__} has no leave-one-out: use compare")

    def _has_leave_one_out(self, hide: str = "target") -> bool:
        """Whether every training label can be predicted from the others without fitting again (``hide``: as there)."""
        return False

    def _leaves_out_honestly(self) -> bool:
        """Whether leave-one-out corrects the hyperparameters, too, for having seen the label."""
        return False

    def diagnose(self, X_new: Any = None, transfer: bool = True, cv: int | None = None) -> pd.DataFrame:
        """Check the fitted model.

        Parameters
        ----------
        X_new : DataFrame or ndarray, optional
            Rows to predict: checks whether they lie beyond the training table.
        transfer : bool
            Whether to check that no task harms another, which takes one fit per task without that task (exact models).
        cv : int, optional
            Number of folds of rows whose labels are held out, for models without leave-one-out: calibration and
            outliers are checked on them, which takes one fit per fold.

        Returns
        -------
        DataFrame
            One row per check, worst first: ``check``, ``of`` (a task, a part of the model), ``value``, ``threshold``,
            ``status`` (``"pass"``, ``"warn"``, ``"fail"``), ``advice``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "table_")
        checks = list(self._checks(transfer, cv))
        if X_new is not None:
            x_new, _ = self._new_rows(X_new)
            checks.append(new_row_check(*map(self.scaler_.features, (self.table_.x, x_new))))
        return as_table(checks)

    @abstractmethod
    def _checks(self, transfer: bool, cv: int | None) -> Iterable[Check]:
        """The checks of the fitted model that :meth:`diagnose` tabulates."""

    def save(self, path: Any) -> None:
        """Write the fitted model to a folder, one file without code; :func:`bayestl.load` reads it.

        A model that the folder holds already is replaced: a crash or a kill leaves the earlier model or this one, whole.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        FileError
            If the path is no folder, or the folder holds something else under the name of the model's file.
        """
        check_is_fitted(self, "table_")
        write_model(self, path)

    def __getstate__(self) -> dict[str, Any]:
        """The arrays of a saved file, for copies and worker processes: kernels and priors do not pickle."""
        if not hasattr(self, "table_"):
            return dict(super().__getstate__())
        names = {*_DATA_ATTRIBUTES, *self.get_params(deep=False)}
        data = {k: v for k, v in vars(self).items() if k in names}
        return {"plain": data, "arrays": self._state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "arrays" not in state:
            super().__setstate__(state)
            return
        self.__dict__.update(state["plain"])
        for name, value in self._restore(self.table_, self.scaler_, state["arrays"], self.seed_).items():
            setattr(self, name, value)

    # --------------------------------------------------------------------------------------------------------- helpers

    def _saved_parameters(self) -> dict[str, Any]:
        """The parameters that a file holds: for a generator the seed that the fit drew from it, or the next fit would."""
        parameters: dict[str, Any] = self.get_params(deep=False)
        if isinstance(self.random_state, np.random.RandomState | np.random.Generator):
            seed = self.seed_ if hasattr(self, "seed_") else seed_of(copy.deepcopy(self.random_state))
            parameters["random_state"] = seed
        return parameters

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        shown: dict[str, Any] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in shown and hasattr(self, "table_"):
            shown["text/html"] += f"<p>{html.escape(data_in_words(self.table_))}</p>"
        return shown

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags
