"""The estimator contract: what a user may ask of every model, whatever its architecture and engine.

``fit`` builds everything before it changes the model, so a failed fit leaves the earlier one usable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from bayestl.columns import encode, label_frame, read_features
from bayestl.inference.threads import threads_for
from bayestl.models.draws import RowDraws
from bayestl.models.evidence import decide_sizes
from bayestl.posterior import Latent, Posterior
from bayestl.table import Known, Scaler, Table, build_table, encode_groups
from bayestl.tasks import Task

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
        """What ArviZ works on: an ``InferenceData``, or a ``DataTree`` from ArviZ 1.0 on.

        See :func:`bayestl.diagnostics.to_arviz`.
        """
        from bayestl.diagnostics import to_arviz

        return to_arviz(self, n_draws, prior, seed)

    def diagnose(self, X_new: Any = None, transfer: bool = True, cv: int | None = None) -> pd.DataFrame:
        """A table of checks with a value, a threshold, a status and advice in words, worst first.

        See :func:`bayestl.diagnostics.diagnose`.
        """
        from bayestl.diagnostics import diagnose

        return diagnose(self, X_new, transfer, cv)

    def save(self, path: Any) -> None:
        """Write the fitted model to a folder: JSON and safetensors, no code (read with :func:`bayestl.load`)."""
        from bayestl.io import save

        save(self, path)

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
        features = list(self.table_.features)
        if isinstance(X, pd.DataFrame) and hasattr(self, "feature_names_in_"):
            names = [str(c) for c in X.columns]
            if missing := [f for f in features if f not in names]:
                raise ValueError(
                    f"X lacks the column {missing[0]!r} that the model was fitted with (missing: {missing})"
                )
            X = X.loc[:, [n in features for n in names]]
        x, names, index, named = read_features(X)
        if named and hasattr(self, "feature_names_in_"):
            x = x[:, [names.index(f) for f in features]]
        if x.shape[1] != len(features):
            raise ValueError(
                f"X has {x.shape[1]} features, but {type(self).__name__} is expecting {len(features)} features as input"
            )
        return x, index

    def _known_labels(self, Y: Any, n: int, what: str) -> Known:
        """Labels (n, T) in the order of the fitted tasks; columns that are not given are NaN."""
        names = [t.name for t in self.tasks_]
        frame = label_frame(Y, n, what, names if not isinstance(Y, pd.DataFrame | pd.Series) else None)
        if len(names) == 1 and isinstance(Y, pd.Series):
            frame.columns = names
        if unknown := [g for g in frame.columns if g not in names]:
            raise ValueError(
                f"{what} has the column {unknown[0]!r}, which is no task of the model; the tasks are {names}"
            )
        y, high = np.full((n, len(names)), np.nan), np.full((n, len(names)), np.nan)
        for t, task in enumerate(self.tasks_):
            if task.name in frame:
                y[:, t], high[:, t] = encode(frame[task.name], task, what)
        return Known(y, high)

    def _new_groups(self, groups: Any, n: int) -> np.ndarray:
        """Codes of the rows' groups; a row without one gets a code of its own."""
        known = self.table_.groups
        if groups is not None and self.table_.group is None:
            raise ValueError("groups= was given, but the model was fitted without groups")
        codes, names = encode_groups(groups, n, known) if groups is not None else (np.full(n, -1), known)
        return own_codes(codes, len(names))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags


def own_codes(codes: np.ndarray, n_groups: int) -> np.ndarray:
    """The codes with each -1 (unknown) replaced by a number of its own."""
    unknown = codes < 0
    out = codes.copy()
    out[unknown] = n_groups + np.arange(unknown.sum())
    return out
