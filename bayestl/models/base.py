"""The estimator contract: what a user may ask of every model, whatever its architecture and engine.

``fit`` builds everything before it changes the model, so a failed fit leaves the earlier one usable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from bayestl.diagnostics.arviz import to_arviz
from bayestl.diagnostics.checks import Check, as_table, new_row_check
from bayestl.diagnostics.draws import RowDraws
from bayestl.files.models import register, write_model
from bayestl.inference.threads import threads_for
from bayestl.models.hurdle_size import decide_sizes
from bayestl.posterior import Latent, Posterior
from bayestl.table.new_rows import feature_rows, group_codes, known_labels
from bayestl.table.scaler import Scaler
from bayestl.table.table import Known, Table, build_table
from bayestl.table.task import Task

LOSSES = ("squared", "absolute")
_PLAIN = ("table_", "scaler_", "tasks_", "n_features_in_", "feature_names_in_", "output_")
"""Fitted attributes that are data, not modules."""


class BayesianModel(RegressorMixin, BaseEstimator, ABC):
    """Base of all models.

    A subclass stores its parameters in ``__init__``, and states :meth:`_learn` (a table to the fitted attributes),
    :meth:`_latent` (new rows to a posterior of their latent values) and what it saves.
    """

    tasks: Sequence[Task] | None
    random_state: int
    verbose: bool
    table_: Table
    scaler_: Scaler
    _takes_unlabelled = False
    """Whether a task may have no labels at all."""
    _posterior_type: type[Posterior] = Posterior

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        register(cls)  # files name models by their class

    # ------------------------------------------------------------------------------------------ what a model states

    @abstractmethod
    def _learn(self, table: Table, scaler: Scaler) -> dict[str, Any]:
        """Fit, and return the fitted attributes (names with a trailing underscore)."""

    @abstractmethod
    def _latent(self, x: np.ndarray, group: np.ndarray, observed: Known | None) -> Latent:
        """Posterior of the latent values of scaled rows ``x``, given labels ``observed``."""

    @abstractmethod
    def _draws_at_rows(self, n: int, seed: int) -> RowDraws:
        """About ``n`` draws from the posterior of hyperparameters and of latent values at the rows of the table."""

    def _prior_at_rows(self, n: int, seed: int) -> RowDraws:
        """The same from the prior."""
        raise ValueError(f"{type(self).__name__} has no draws from its prior: leave out prior=True")

    def _prior_at_table(self, table: Table, seed: int) -> RowDraws:
        """One draw from the prior at the rows of a table whose features are scaled already; fitted or not."""
        raise ValueError(f"{type(self).__name__} has no draws from its prior")

    @abstractmethod
    def _state(self) -> dict[str, np.ndarray]:
        """Arrays that, with the table, restore the fit."""

    @abstractmethod
    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray]) -> dict[str, Any]:
        """The fitted attributes from what :meth:`_state` gave."""

    def _given_tasks(self) -> Sequence[Task] | None:
        """The tasks that the user has spoken of."""
        return self.tasks

    def _scale(self, table: Table) -> Scaler:
        """Location and scale of each feature and task."""
        return Scaler.of(table)

    def _check_positive_integers(self, *names: str) -> None:
        """Refuse parameters of these names that are no positive integers."""
        for name in names:
            value = getattr(self, name)
            if not (isinstance(value, int | np.integer) and value >= 1):
                raise ValueError(f"{name} must be a positive integer, got {value!r}")

    def _refuse_groups(self, table: Table, instead: str) -> None:
        """For a model that does not know groups; ``instead`` is one that does."""
        if table.group is not None:
            raise ValueError(f"{type(self).__name__} does not use groups=: leave them out, or use {instead}")

    # ------------------------------------------------------------------------------------------------------ the contract

    def fit(self, X: Any, Y: Any, Y_std: Any = None, groups: Any = None) -> Self:
        """Learn from a table.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n, d)
            Numeric features, no NaN.
        Y : DataFrame, Series or ndarray, shape (n, T) or (n,)
            Labels, one column a task, in label units; NaN or None where not measured.  Strings, bools and categories are
            classes.
        Y_std : like Y, optional
            Known standard error of each label, in label units.
        groups : array-like, shape (n,), optional
            A group for each row (a method, a laboratory, a structure family): offsets are learnt for each, pooled.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Naming the column, the row and the value that cannot be used.  An earlier fit stays usable.
        """
        table = build_table(X, Y, Y_std, groups, self._given_tasks(), unlabelled=self._takes_unlabelled)
        table = decide_sizes(table, int(self.random_state))
        scaler = self._scale(table)
        learnt = self._learn(table, scaler)
        self._become(table, scaler, learnt)
        self.n_features_in_ = len(table.features)
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.asarray(table.features, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self.output_ = "frame" if isinstance(Y, pd.DataFrame) else "column" if np.asarray(Y).ndim == 1 else "array"
        return self

    def _become(self, table: Table, scaler: Scaler, learnt: dict[str, Any]) -> None:
        self.table_, self.scaler_, self.tasks_ = table, scaler, table.tasks
        for name, value in learnt.items():
            setattr(self, name, value)

    def posterior(self, X: Any, observed: Any = None, groups: Any = None, noise: bool = True) -> Posterior:
        """The joint posterior of the labels of new rows.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n, d)
            Columns are matched by name where both tables have names; further columns are ignored.
        observed : DataFrame, shape (n, <= T), optional
            Labels already known for these rows (NaN where not); the prediction is conditioned on them.
        groups : array-like, shape (n,), optional
            Groups of these rows; a row without one, or in a new one, gets the spread of all groups.
        noise : bool
            Whether a new label is predicted (the default) or the latent value behind it.

        Raises
        ------
        ValueError
            If a feature is missing, or ``observed`` or ``groups`` do not fit the model.
        """
        check_is_fitted(self, "table_")
        x, index = self._new_rows(X)
        known = None
        if observed is not None:
            known = self._known_labels(observed, len(x), "observed")
            if np.isnan(known.y).all():
                known = None
        with threads_for(max(len(x), len(self.table_.x))):
            latent = self._latent(self.scaler_.features(x), self._new_groups(groups, len(x)), known)
        return self._posterior_type(latent, self.tasks_, self.scaler_, index, noise)

    def predict(
        self, X: Any, loss: str = "squared", return_std: bool = False, observed: Any = None, groups: Any = None
    ) -> Any:
        """The point that is best under a loss: the mean (``"squared"``) or the median (``"absolute"``).

        Of classes it is the likeliest (of ordered ones under ``"absolute"`` the median).

        Returns
        -------
        DataFrame (n, T), or ndarray (n,) or (n, T) where ``fit`` was given an array; with ``return_std`` a pair.

        Raises
        ------
        ValueError
            If the loss is neither.
        """
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {LOSSES}, got {loss!r}")
        post = self.posterior(X, observed=observed, groups=groups)
        point = post.point(loss)
        if return_std:
            return self._like_labels(point), self._like_labels(post.std)
        return self._like_labels(point)

    def log_density(self, X: Any, Y: Any, observed: Any = None, groups: Any = None) -> pd.DataFrame:
        """Log predictive density of held-out labels, (n, T), in label units, NaN where there is none."""
        post = self.posterior(X, observed=observed, groups=groups)
        known = self._known_labels(Y, len(post.mean), "Y")
        return post.log_density(known.y, known.high)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Averaged over the tasks, each on the labels that it has: coefficient of determination, of classes accuracy."""
        from sklearn.metrics import accuracy_score, r2_score

        check_is_fitted(self, "table_")
        point = self.posterior(X).point()
        truth = self._known_labels(y, len(point), "y").y
        weight = np.ones(len(point)) if sample_weight is None else np.asarray(sample_weight)
        scores = []
        for t, task in enumerate(self.tasks_):
            there = ~np.isnan(truth[:, t])
            found = point.iloc[:, t].to_numpy()
            if task.classes is not None and there.any():
                names = np.array([task.classes[int(k)] for k in truth[there, t]], dtype=object)
                scores.append(accuracy_score(names.astype(str), found[there].astype(str), sample_weight=weight[there]))
            elif there.sum() > 1:
                scores.append(r2_score(truth[there, t], found[there].astype(float), sample_weight=weight[there]))
        return float(np.mean(scores)) if scores else float("nan")

    @abstractmethod
    def task_correlation(self) -> pd.DataFrame:
        """Correlation between tasks of the latent functions, (T, T), with its uncertainty in ``.attrs["std"]``."""

    def to_arviz(self, n_draws: int = 200, prior: bool = False, seed: int = 0) -> Any:
        """The posterior as what ArviZ works on: an ``InferenceData``, or a ``DataTree`` from ArviZ 1.0 on.

        Parameters
        ----------
        n_draws : int
            Draws, where the model can make as many as it is asked for; a chain has its own number.
        prior : bool
            Whether draws from the prior are added, as groups ``prior`` and ``prior_predictive`` (exact models).
        seed : int
            The draws repeat exactly from it.

        Returns
        -------
        arviz.InferenceData or xarray.DataTree
            ``posterior``: hyperparameters in scaled units (length scales by ``feature``), offsets of a difference model in
            label units, and ``latent`` by ``row`` and ``function`` in label units.  ``posterior_predictive``,
            ``log_likelihood`` and ``observed_data``: a variable for each task, over the rows that it has labels for; classes
            as positions.  ``sample_stats`` where there is a chain, ``constant_data`` with the hyperparameters where they are
            points.  Independent draws are laid out as four chains.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError
            For draws from the prior of a model that has none.

        Notes
        -----
        ``log_likelihood`` of an exact model is that of each label given all others and the hyperparameters, so that
        ``arviz.loo`` gives the leave-one-out density with the hyperparameters corrected for having seen the label; where a
        few draws of them dominate that, its Pareto k says so, and ``leave_one_out()`` is the one to use.  Of a model by draws
        of latent values it is that of the label given those.
        """
        check_is_fitted(self, "table_")
        if not (isinstance(n_draws, int | np.integer) and n_draws >= 1):
            raise ValueError(f"n_draws must be a positive integer, got {n_draws!r}")
        table, scaler, n = self.table_, self.scaler_, int(n_draws)
        with threads_for(len(table.x)):
            posterior = self._draws_at_rows(n, seed)
            return to_arviz(
                table, scaler, posterior, self._prior_at_rows(n, seed) if prior else None, seed, type(self).__name__
            )

    def leave_one_out(self, refit: bool = False) -> pd.DataFrame:
        """Every training label predicted from all others; exact models have it.

        Raises
        ------
        ValueError
            For a model that does not.
        """
        raise ValueError(f"{type(self).__name__} has no leave-one-out: use compare, or diagnose(cv=5)")

    def _has_leave_one_out(self) -> bool:
        """Whether every label of the fitted model can be predicted from the others without fitting again."""
        return False

    def diagnose(self, X_new: Any = None, transfer: bool = True, cv: int | None = None) -> pd.DataFrame:
        """Check the fitted model.

        Parameters
        ----------
        X_new : DataFrame or ndarray, optional
            Rows that are to be predicted: whether they lie beyond the training table.
        transfer : bool
            Whether each task is checked for harm by each other one, which takes a fit of the table without that one (exact
            models).
        cv : int, optional
            Folds of rows in which labels are held out, for models that have no leave-one-out: calibration and outliers are
            checked on them, which takes so many fits.

        Returns
        -------
        DataFrame
            A row for each check, worst first: ``check``, ``of`` (a task, a part of the model), ``value``, ``threshold``,
            ``status`` (``"pass"``, ``"warn"``, ``"fail"``), ``advice``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "table_")
        found = list(self._checks(transfer, cv))
        if X_new is not None:
            new, _ = self._new_rows(X_new)
            found.append(new_row_check(*map(self.scaler_.features, (self.table_.x, new))))
        return as_table(found)

    @abstractmethod
    def _checks(self, transfer: bool, cv: int | None) -> Iterable[Check]:
        """The checks of the fitted model, see :meth:`diagnose`."""

    def save(self, path: Any) -> None:
        """Write the fitted model to a folder: JSON and safetensors, no code (read with :func:`bayestl.load`).

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "table_")
        write_model(self, path)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and worker processes: what is saved to a file, since kernels and priors do not pickle."""
        if not hasattr(self, "table_"):
            return dict(super().__getstate__())
        plain = {k: v for k, v in vars(self).items() if k in _PLAIN or k in self.get_params(deep=False)}
        return {"plain": plain, "arrays": self._state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "arrays" not in state:
            super().__setstate__(state)
            return
        self.__dict__.update(state["plain"])
        for name, value in self._restore(self.table_, self.scaler_, state["arrays"]).items():
            setattr(self, name, value)

    # --------------------------------------------------------------------------------------------------------- helpers

    def _like_labels(self, frame: pd.DataFrame) -> Any:
        if self.output_ == "frame":
            return frame
        values = frame.to_numpy()
        return values[:, 0] if self.output_ == "column" else values

    def _new_rows(self, X: Any) -> tuple[np.ndarray, pd.Index]:
        named = hasattr(self, "feature_names_in_")
        return feature_rows(X, self.table_.features, named, type(self).__name__)

    def _known_labels(self, Y: Any, n: int, what: str) -> Known:
        """Labels (n, T) in the order of the fitted tasks; columns that are not given are NaN."""
        return known_labels(Y, n, what, self.tasks_)

    def _new_groups(self, groups: Any, n: int) -> np.ndarray:
        """Codes of the rows' groups; a row without one gets a code of its own."""
        return group_codes(groups, n, self.table_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags
