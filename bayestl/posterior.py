"""The posterior over rows and tasks: what a user asks of the joint distribution of labels, as tables in label units.

Every model provides the joint distribution of the labels of its rows (:class:`~bayestl.joint.JointLabels`);
:meth:`Posterior.apply` gives the distribution of any function of several tasks, whose errors may cancel.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayestl import streams
from bayestl.derived import Derived
from bayestl.distributions import (
    Discrete,
    Empirical,
    NormalMixture,
    Predictive,
    check_probability,
)
from bayestl.distributions.affine import RowFunction
from bayestl.distributions.base import log_density_of
from bayestl.joint import LABELS, Asked, JointLabels, Moments
from bayestl.likelihoods import Categorical, Ordinal
from bayestl.table.groups import refuse_other_rows
from bayestl.table.measured import Measured
from bayestl.table.new_rows import known_labels
from bayestl.table.task import Task

LOSSES = ("squared", "absolute")
"""Losses of :meth:`Posterior.point`: its best point is the mean or the median."""
APPLY_DRAWS = 4096
"""Number of draws behind :meth:`Posterior.apply` where the function is not affine."""
SHOWN_ROWS = 10
"""Most rows of a posterior that a notebook shows."""


class Posterior:
    """Joint prediction for n rows and T tasks in label units.

    Returned by ``model.posterior(X_new)``; label noise is included unless ``noise=False`` was passed.

    Attributes
    ----------
    mean : DataFrame, shape (n, T)
        Mean of a new label.
    std : DataFrame, shape (n, T)
        Its standard deviation.

    Examples
    --------
    >>> import numpy as np, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> post = btl.IndependentGP(verbose=False).fit(x, np.sin(5 * x[:, 0])).posterior([[0.2], [0.5]])
    >>> post.mean.shape, post.sample(100).shape
    ((2, 1), (100, 2, 1))
    """

    def __init__(self, joint: JointLabels, tasks: Sequence[Task], index: pd.Index, asked: Asked = LABELS) -> None:
        self._joint = joint
        self._tasks = tuple(tasks)
        self._index = index
        self._asked = asked

    def __repr__(self) -> str:
        return f"Posterior({len(self._index)} rows, tasks {[t.name for t in self._tasks]}, noise={self._asked.noise})"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, in the order of the columns."""
        return self._tasks

    @property
    def index(self) -> pd.Index:
        """The names of the rows."""
        return self._index

    def renamed(self, index: pd.Index) -> Posterior:
        """The same posterior under other names of its rows."""
        posterior = copy.copy(self)
        posterior._index = index
        return posterior

    def with_errors(self, labels: Measured) -> Posterior:
        """The posterior of labels that are measured with the known standard errors of the given ones.

        Parameters
        ----------
        labels : Measured
            Labels (n, T) in label units with their standard errors; for likelihoods that transform labels, an error counts
            by the slope of the transform at the label.
        """
        if self._asked.measured is None and not labels.se.any():
            return self  # with its marginals
        return Posterior(self._joint, self._tasks, self._index, self._asked._replace(measured=labels))

    def marginal(self, task: str) -> Predictive:
        """The predictive distribution of one task in label units (for classes, over their positions)."""
        return self._marginals[self._position(task)]

    @property
    def marginals(self) -> list[Predictive]:
        """The predictive distributions of all tasks, in the order of the columns."""
        return self._marginals

    @cached_property
    def _marginals(self) -> list[Predictive]:
        return self._joint.marginals(self._asked)

    def _position(self, task: str) -> int:
        names = [t.name for t in self._tasks]
        if task not in names:
            raise ValueError(f"no task {task!r}; the tasks are {names}")
        return names.index(task)

    def _frame(self, columns: list[np.ndarray]) -> pd.DataFrame:
        return pd.DataFrame(np.column_stack(columns), self._index, [t.name for t in self._tasks])

    def _numbers(self, of: Callable[[Predictive], np.ndarray]) -> pd.DataFrame:
        """One number per row and task, of each predictive distribution; NaN for unordered classes."""
        missing = np.full(len(self._index), np.nan)
        pairs = zip(self._tasks, self._marginals, strict=True)
        return self._frame([missing if isinstance(t.observes, Categorical) else of(m) for t, m in pairs])

    @property
    def mean(self) -> pd.DataFrame:
        """The mean (n, T) of a new label; for two or ordered classes of the position, for other classes NaN."""
        return self._numbers(lambda m: m.mean())

    @property
    def std(self) -> pd.DataFrame:
        """The standard deviation (n, T) of a new label; classes as for the mean."""
        return self._numbers(lambda m: m.std())

    def quantile(self, q: float) -> pd.DataFrame:
        """The ``q`` quantile (n, T) of a new label; classes as for the mean.

        Raises
        ------
        ValueError
            If ``q`` is not strictly between 0 and 1.
        """
        q = check_probability(q)
        return self._numbers(lambda m: m.quantile(q))

    def point(self, loss: str = "squared") -> pd.DataFrame:
        """Best point under a loss: mean (``"squared"``) or median (``"absolute"``), or the likeliest class."""
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {LOSSES}, got {loss!r}")
        columns = {}
        for task, m in zip(self._tasks, self._marginals, strict=True):
            if isinstance(m, Discrete) and not (isinstance(task.observes, Ordinal) and loss == "absolute"):
                columns[task.name] = _class_names(m.mode(), m.classes)
            elif isinstance(m, Discrete):
                columns[task.name] = _class_names(m.quantile(0.5), m.classes)
            else:
                columns[task.name] = m.mean() if loss == "squared" else m.quantile(0.5)
        return pd.DataFrame(columns, index=self._index)

    def interval(self, level: float = 0.9) -> pd.DataFrame:
        """The central interval of probability ``level``, columns (task, ``"lower"``/``"upper"``)."""
        tail = 0.5 * (1 - check_probability(level, "level"))
        sides = {"lower": self.quantile(tail), "upper": self.quantile(1 - tail)}
        columns = pd.MultiIndex.from_product([[t.name for t in self._tasks], sides], names=["task", "side"])
        return pd.DataFrame({(task, side): sides[side][task] for task, side in columns}, columns=columns)

    def to_frame(self, level: float = 0.9) -> pd.DataFrame:
        """Everything that is predicted as one flat table, to read, sort or write to a file; ``bayestl predict`` writes it.

        Parameters
        ----------
        level : float
            Probability of the central intervals.

        Returns
        -------
        DataFrame
            For each task of numbers the columns ``<task>_mean``, ``<task>_std``, ``<task>_median``, ``<task>_lower`` and
            ``<task>_upper``, in label units; for each task of classes ``<task>_class``, the likeliest class, and
            ``<task>_p_<class>``, the probability of each.

        Raises
        ------
        ValueError
            If ``level`` is not strictly between 0 and 1.

        Examples
        --------
        >>> import numpy as np, pandas as pd, bayestl as btl
        >>> x = np.linspace(0, 1, 20)[:, None]
        >>> Y = pd.DataFrame({"gap": np.sin(5 * x[:, 0]), "metal": np.where(x[:, 0] > 0.6, "yes", "no")})
        >>> frame = btl.IndependentGP(verbose=False).fit(x, Y).posterior([[0.2]]).to_frame()
        >>> list(frame.columns)[3:]
        ['gap_lower', 'gap_upper', 'metal_class', 'metal_p_no', 'metal_p_yes']
        """
        tail = 0.5 * (1 - check_probability(level, "level"))
        columns: dict[str, np.ndarray] = {}
        for task, m in zip(self._tasks, self._marginals, strict=True):
            name = task.name
            if isinstance(m, Discrete):
                columns[f"{name}_class"] = _class_names(m.mode(), m.classes)
                columns |= {f"{name}_p_{c}": m.probabilities[:, k] for k, c in enumerate(m.classes)}
                continue
            columns |= {f"{name}_mean": m.mean(), f"{name}_std": m.std(), f"{name}_median": m.quantile(0.5)}
            columns |= {f"{name}_lower": m.quantile(tail), f"{name}_upper": m.quantile(1 - tail)}
        return pd.DataFrame(columns, index=self._index)

    def _repr_html_(self) -> str:
        what = "new labels" if self._asked.noise else "latent values, without noise"
        shown = self.to_frame().to_html(max_rows=SHOWN_ROWS, float_format="{:.4g}".format, border=0)
        return f"<p>Posterior of {what}; the intervals hold 90 %</p>{shown}<p>{len(self._index)} rows</p>"

    def moments(self) -> Moments | None:
        """Latent values and noise of Gaussian tasks, in label units: a mixture of S Gaussians in each row.

        Returns
        -------
        tuple or None
            Weights (S,), means (S, n, T), covariances within rows (S, n, T, T) and noise variances (S, T); None if a task
            is not Gaussian, or if only draws are available.
        """
        return self._joint.moments(self._asked)

    def log_density(self, Y: Any, Y_std: Any = None) -> pd.DataFrame:
        """``log p(y)`` (n, T) of labels of these rows, in label units; NaN where there is no label.

        Parameters
        ----------
        Y : DataFrame, Series or ndarray, shape (n, T) or (n,)
            The labels; of one that is only known to lie in an interval, it is the log probability of the interval.
        Y_std : like Y, optional
            Their known standard errors, which add to the predicted spread.

        Returns
        -------
        DataFrame, shape (n, T)
            In nats.

        Raises
        ------
        ValueError
            For a label that its task cannot have, or other rows than those of the posterior.
        """
        labels = known_labels(Y, Y_std, self._index, "Y", self._tasks)
        pairs = enumerate(self.with_errors(labels).marginals)
        return self._frame([log_density_of(m, labels.y[:, t], labels.high[:, t]) for t, m in pairs])

    def probabilities(self, task: str) -> pd.DataFrame:
        """The class probabilities (n, classes) of a classified task.

        Raises
        ------
        ValueError
            If the task has a likelihood without classes.
        """
        t = self._position(task)
        marginal = self._marginals[t]
        if not isinstance(marginal, Discrete):
            likelihood = type(self._tasks[t].observes).__name__
            raise ValueError(f"task {task!r} has a {likelihood} likelihood, which has no classes")
        return pd.DataFrame(
            marginal.probabilities, self._index, pd.Index(marginal.classes, name=task, tupleize_cols=False)
        )

    def sample(self, n: int = 1000, seed: streams.RandomState = 0) -> xr.DataArray:
        """``n`` joint draws over rows and tasks with dimensions (sample, row, task), in label units; ``seed`` repeats them."""
        return xr.DataArray(
            self._draws(n, seed, joint_rows=True),
            dims=("sample", "row", "task"),
            coords={"row": np.asarray(self._index), "task": [t.name for t in self._tasks]},
            name="label" if self._asked.noise else "latent",
        )

    def _draws(self, n: int, seed: streams.RandomState, joint_rows: bool) -> np.ndarray:
        """``n`` draws (n, rows, T) in label units, classes as positions; joint over rows if ``joint_rows``."""
        if not (isinstance(n, int | np.integer) and n > 0):
            raise ValueError(f"the number of samples must be a positive integer, got {n!r}")
        generator = streams.generator(streams.seed_of(seed), "draws of a posterior")
        return self._joint.draws(int(n), generator, joint_rows, self._asked)

    def _dataset(self, draws: np.ndarray) -> xr.Dataset:
        """Draws (n, rows, T) as a dataset with one variable per task, classes by name."""
        labels = {t.name: (t.classes, draws[:, :, i]) for i, t in enumerate(self._tasks)}
        named = {name: v if classes is None else _class_names(v, classes) for name, (classes, v) in labels.items()}
        return xr.Dataset({name: (("sample", "row"), values) for name, values in named.items()})

    def apply(self, function: Callable[[Any], Any], name: str | None = None) -> Derived:
        """The distribution of a function of several tasks, row by row.

        Parameters
        ----------
        function : callable
            A function of ``y``, where ``y["task"]`` holds the labels of that task (classes by name) as a DataArray with
            dimensions (sample, row); NumPy functions and arrays of length n may be mixed in.  It must return one value
            per sample and row.
        name : str, optional
            Name of the resulting Series.

        Returns
        -------
        Derived
            ``mean``, ``std``, ``quantile``, ``interval``, ``sample``.  In closed form if the function only adds and
            subtracts tasks and numbers, and multiplies or divides by numbers, and the posterior is Gaussian (or a
            mixture of Gaussians) within rows, else from 4096 draws.

        Raises
        ------
        ValueError
            If the function returns another shape.
        """
        n, n_tasks = len(self._index), len(self._tasks)

        numbers = [t.name for t in self._tasks if t.classes is None]
        check = partial(refuse_other_rows, self._index, what="the Series in the function")
        evaluate = RowFunction.of(function, numbers, n, check)
        draw = partial(self._draws_of, evaluate)
        moments = self.moments()
        if evaluate.form is None or moments is None:
            drawn = evaluate(self._dataset(self._draws(APPLY_DRAWS, 0, joint_rows=False)))
            return Derived(Empirical(drawn), self._index, draw, name)
        constant, slope = evaluate.form
        weights, means, covariances, noise = moments
        if self._asked.noise:
            covariances = covariances + np.einsum("st,tu->stu", noise, np.eye(n_tasks))[:, None]
        if self._asked.measured is not None:
            covariances = covariances + np.einsum("nt,tu->ntu", self._asked.measured.se**2, np.eye(n_tasks))
        mean = constant + np.einsum("nt,snt->sn", slope, means)
        variance = np.einsum("nt,sntu,nu->sn", slope, covariances, slope)
        mixture = NormalMixture(weights, mean, np.maximum(variance, 1e-300))
        return Derived(mixture, self._index, draw, name)

    def _draws_of(self, evaluate: RowFunction, n: int, seed: streams.RandomState) -> np.ndarray:
        """``n`` draws (n, rows) of a function of the tasks, joint over rows."""
        return evaluate(self._dataset(self._draws(n, seed, joint_rows=True)))


def _class_names(positions: np.ndarray, classes: Sequence[Hashable]) -> np.ndarray:
    """The names of the classes at the given positions."""
    names = np.empty(len(classes), dtype=object)
    for k, name in enumerate(classes):  # NumPy would take tuples for rows
        names[k] = name
    return names[positions.astype(int)]
