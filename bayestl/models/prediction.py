"""Predictions of every model: the posterior of new rows or of the fitted table, points, densities and scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from bayestl.inference.threads import threads_for
from bayestl.joint import Asked, JointLabels
from bayestl.metrics import mean_score
from bayestl.models.batches import BATCH, Batch, Informants, batches_of, joint_of
from bayestl.posterior import LOSSES, Posterior
from bayestl.table.measured import Measured
from bayestl.table.new_rows import Rows, feature_rows, fitted_rows, known_labels, match_rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import Task


class Predictor(ABC):
    """What a fitted model says of rows, from the latent values that it gives them."""

    table_: Table
    scaler_: Scaler
    tasks_: tuple[Task, ...]
    output_: str

    @abstractmethod
    def _joint(self, rows: Rows) -> JointLabels:
        """The joint distribution of the labels of rows, given all labels known of them."""

    def posterior(
        self, X: Any, observed: Any = None, observed_std: Any = None, groups: Any = None, noise: bool = True
    ) -> Posterior:
        """Joint posterior of the labels of rows: new ones, or rows of the fitted table, which are recognised.

        A row of the fitted table is recognised by its name and its features, both exactly equal; a label that was
        learnt from counts once, another value is a second measurement.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n, d)
            Features; columns are matched by name where both tables have names, further columns are ignored.
        observed : DataFrame, shape (n, <= T), optional
            Labels already known for these rows (NaN elsewhere); the prediction is conditioned on them.  Rows are matched by
            name: a table with other names than X, or the same ones in another order, is refused.
        observed_std : like observed, optional
            Their known standard errors, in label units.
        groups : array-like, shape (n,), optional
            Groups of these rows; a row without a group, or in a new group, gets the spread of all groups.
        noise : bool
            True: predict a new label, noise included.  False: predict the latent value behind it.

        Returns
        -------
        Posterior
            Of n rows and T tasks, in label units.

        Raises
        ------
        ValueError
            If a feature is missing, or ``observed`` or ``groups`` do not fit the model.
        """
        check_is_fitted(self, "table_")
        rows, index = self._named_rows(X, observed, observed_std, groups)
        return self._posterior_of(rows, index, noise)

    def posterior_batches(
        self,
        X: Any,
        observed: Any = None,
        observed_std: Any = None,
        groups: Any = None,
        noise: bool = True,
        size: int = BATCH,
    ) -> Iterator[Posterior]:
        """The posterior of the rows of a large table, batch by batch, in bounded memory.

        A row has the numbers that :meth:`posterior` gives it in the whole table: rows of the fitted table are recognised, a
        label known of one row informs those of all batches, and rows with the same features keep the random numbers of
        their own.  Beside the batch, memory holds 16 bytes for each row, and the rows with such labels.  Draws (``sample``, and
        ``apply`` of what is no sum of tasks) are other draws of the same distribution where such labels are known.

        Parameters
        ----------
        X : DataFrame, ndarray, path, or iterable of parts
            The rows: one table; a CSV or Parquet file, of which the columns of the features are read and no others (labels,
            groups and names in it are read by the command ``bayestl predict``); or parts of a table, each its features or a dictionary of arguments of :meth:`posterior` (``"X"``, ``"observed"``,
            ``"observed_std"``, ``"groups"``).  Parts with labels that the model has not learnt from must be iterable
            twice, such as a list, where labels of one row inform others.  Parts that count their rows, each from 0 or on
            from the one before, are parts of a table that counts its rows.
        observed, observed_std, groups
            Of one table, as for :meth:`posterior`.
        noise : bool
            As for :meth:`posterior`.
        size : int
            Most rows of a batch.

        Raises
        ------
        ValueError
            As for :meth:`posterior`, when the batch is reached.

        Examples
        --------
        >>> import numpy as np, bayestl as btl
        >>> x = np.linspace(0, 1, 20)[:, None]
        >>> model = btl.IndependentGP(verbose=False).fit(x, np.sin(5 * x[:, 0]))
        >>> new = np.linspace(0, 1, 10)[:, None]
        >>> [len(post.mean) for post in model.posterior_batches(new, size=4)]
        [4, 4, 2]
        """
        check_is_fitted(self, "table_")
        batches, informants = batches_of(self, X, observed, observed_std, groups, size)
        for batch in batches:
            yield self._posterior_of_batch(batch, informants, noise)

    def _posterior_of_batch(self, batch: Batch, informants: Informants | None, noise: bool = True) -> Posterior:
        with threads_for(max(len(batch.names), len(self.table_.x))):
            return Posterior(joint_of(self, batch, informants), self.tasks_, batch.names, Asked(noise))

    def _informs_others(self) -> bool:
        """Whether a label known of a row that the model has not learnt from informs other rows, in one of its members."""
        members: dict[str, Predictor] = getattr(self, "members_", {})
        return any(m._informs_others() for m in members.values()) if members else True

    def complete(self, noise: bool = True) -> Posterior:
        """Posterior of the fitted table: every empty cell predicted from all labels that are there.

        Parameters
        ----------
        noise : bool
            True: predict a label, noise included (for a cell with a label: one of a second measurement).  False: predict the
            latent value behind it.

        Returns
        -------
        Posterior
            Of the rows of the fitted table and all tasks, in label units.

        Examples
        --------
        >>> import numpy as np, pandas as pd, bayestl as btl
        >>> x = np.linspace(0, 1, 24)[:, None]
        >>> Y = pd.DataFrame({"dft": np.sin(5 * x[:, 0]), "measured": np.sin(5 * x[:, 0]) + 0.7})
        >>> Y.loc[::2, "measured"] = np.nan
        >>> filled = btl.DifferenceGP().fit(x, Y).complete()
        >>> round(float(filled.mean["measured"][2]), 1)
        1.1
        """
        check_is_fitted(self, "table_")
        table = self.table_
        rows = fitted_rows(table, self.scaler_.features(table.x), np.arange(len(table.x)))
        return self._posterior_of(rows, table.index, noise)

    def _posterior_of(self, rows: Rows, index: pd.Index, noise: bool) -> Posterior:
        with threads_for(max(len(rows.x), len(self.table_.x))):
            return Posterior(self._joint(rows), self.tasks_, index, Asked(noise))

    def predict(
        self,
        X: Any,
        loss: str = "squared",
        return_std: bool = False,
        observed: Any = None,
        observed_std: Any = None,
        groups: Any = None,
    ) -> Any:
        """Point prediction that is best under a loss: the mean (``"squared"``) or the median (``"absolute"``).

        For classes it is the likeliest class (for ordered classes under ``"absolute"`` the median class).

        Parameters
        ----------
        X, observed, observed_std, groups
            The rows and what is known of them, as for :meth:`posterior`.
        loss : {"squared", "absolute"}
            Under which the point is best.
        return_std : bool
            Whether to return the standard deviations (those of :class:`Posterior`), too.

        Returns
        -------
        DataFrame, shape (n, T)
            In label units; ndarray (n,) or (n, T) where ``fit`` was given an array; with ``return_std`` a pair of these.

        Raises
        ------
        ValueError
            If the loss is not one of the two.
        """
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {LOSSES}, got {loss!r}")
        post = self.posterior(X, observed=observed, observed_std=observed_std, groups=groups)
        return self._points(post, loss, return_std)

    def predict_batches(
        self,
        X: Any,
        loss: str = "squared",
        return_std: bool = False,
        observed: Any = None,
        observed_std: Any = None,
        groups: Any = None,
        size: int = BATCH,
    ) -> Iterator[Any]:
        """Point predictions of the rows of a large table, batch by batch: what :meth:`predict` returns for each batch.

        The table may be a file or come in parts of ``size`` rows at most, as for :meth:`posterior_batches`, which takes
        ``observed``, ``observed_std`` and ``groups``, too; ``loss`` and ``return_std`` are those of :meth:`predict`.

        Raises
        ------
        ValueError
            If the loss is not one of the two.

        Examples
        --------
        >>> import numpy as np, bayestl as btl
        >>> x = np.linspace(0, 1, 20)[:, None]
        >>> model = btl.IndependentGP(verbose=False).fit(x, np.sin(5 * x[:, 0]))
        >>> parts = (np.full((3, 1), value) for value in (0.1, 0.9))
        >>> [batch.round(2).tolist() for batch in model.predict_batches(parts)]
        [[0.48, 0.48, 0.48], [-0.98, -0.98, -0.98]]
        """
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {LOSSES}, got {loss!r}")
        for post in self.posterior_batches(X, observed, observed_std, groups, size=size):
            yield self._points(post, loss, return_std)

    def _points(self, post: Posterior, loss: str, return_std: bool) -> Any:
        """What :meth:`predict` returns for a posterior."""
        point = self._like_labels(post.point(loss))
        return (point, self._like_labels(post.std)) if return_std else point

    def log_density(
        self,
        X: Any,
        Y: Any,
        Y_std: Any = None,
        observed: Any = None,
        observed_std: Any = None,
        groups: Any = None,
    ) -> pd.DataFrame:
        """Log predictive density (n, T) of held-out labels, in label units; NaN where there is no label.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n, d)
            Features.
        Y : DataFrame, Series or ndarray, shape (n, T) or (n,)
            The held-out labels; of one that is only known to lie in an interval, it is the log probability of the interval.
        Y_std : like Y, optional
            Their known standard errors, which add to the predicted spread.
        observed, observed_std, groups
            What is known of the rows, as for :meth:`posterior`.

        Returns
        -------
        DataFrame, shape (n, T)
            In nats.
        """
        post = self.posterior(X, observed=observed, observed_std=observed_std, groups=groups)
        return post.log_density(Y, Y_std)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean over the tasks of the coefficient of determination (accuracy for classes), each on its own labels.

        Labels of which only an interval is known do not count; ``sample_weight`` (n,) weighs the rows.

        Raises
        ------
        ValueError
            For weights that are none, such as standard errors in their place.
        """
        check_is_fitted(self, "table_")
        post = self.posterior(X)
        if sample_weight is not None:
            sample_weight = self._weights(sample_weight, len(post.index))
        truth = known_labels(y, None, post.index, "y", self.tasks_).numbers
        return mean_score(truth, post.point(), [task.classes for task in self.tasks_], sample_weight)

    def _weights(self, sample_weight: Any, n: int) -> np.ndarray:
        """Weights (n,) of rows as floats, checked."""
        try:
            weights = np.asarray(sample_weight, dtype=float)
        except (TypeError, ValueError):
            weights = np.empty(0)
        is_label = getattr(sample_weight, "name", None) in [task.name for task in self.tasks_]
        if weights.shape != (n,) or is_label or not (np.isfinite(weights) & (weights >= 0)).all():
            raise ValueError(
                f"sample_weight must hold one weight for each of the {n} rows, 0 or more: of labels with standard errors "
                "log_density(X, Y, Y_std) is the score"
            )
        return weights

    def _like_labels(self, frame: pd.DataFrame) -> Any:
        """The frame in the form of the labels given to ``fit``: a frame, a matrix or a vector."""
        if self.output_ == "frame":
            return frame
        values = frame.to_numpy()
        return values[:, 0] if self.output_ == "column" else values

    def _new_rows(self, X: Any) -> tuple[np.ndarray, pd.Index]:
        """Features (n, d) of new rows in the order of the fitted ones, and the names of the rows."""
        named = hasattr(self, "feature_names_in_")
        return feature_rows(X, self.table_.features, named, type(self).__name__)

    def _rows(self, X: Any, observed: Any = None, observed_std: Any = None, groups: Any = None) -> Rows:
        """Rows to predict, recognised where they are rows of the fitted table."""
        return self._named_rows(X, observed, observed_std, groups)[0]

    def _named_rows(self, X: Any, observed: Any, observed_std: Any, groups: Any) -> tuple[Rows, pd.Index]:
        """The rows of :meth:`_rows`, and their names.

        Raises
        ------
        ValueError
            If ``observed_std`` is given without ``observed``.
        """
        x, index = self._new_rows(X)
        known = self._known(index, observed, observed_std)
        return match_rows(self.table_, self.scaler_.features(x), x, index, groups, known), index

    def _known(self, names: pd.Index, observed: Any, observed_std: Any) -> Measured | None:
        """The labels known of rows, None where there is none."""
        if observed is None:
            if observed_std is not None:
                raise ValueError(
                    "observed_std= was given without observed=: it holds the standard errors of those labels"
                )
            return None
        known = known_labels(observed, observed_std, names, "observed", self.tasks_)
        return None if known.empty else known
