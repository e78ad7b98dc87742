"""The posterior over rows and tasks: the one place where a prediction becomes numbers in label units.

An inference engine provides a :class:`Latent`: the distribution of the latent values of n rows and T tasks in scaled
units. :class:`Posterior` applies the likelihoods and returns label units; :meth:`Posterior.apply` gives the
distribution of any function of several tasks, whose errors may cancel.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import xarray as xr

from bayestl.distributions import (
    Discrete,
    Empirical,
    Marginals,
    NormalMixture,
    Predictive,
    check_probability,
)
from bayestl.distributions.affine import RowFunction
from bayestl.distributions.base import log_density_of
from bayestl.likelihoods import Categorical, Censored, Gaussian, LatentBlock, Ordinal, Setting
from bayestl.table.scaler import Scaler
from bayestl.table.task import PartDraws, Task, TaskPart, task_parts

APPLY_DRAWS = 4096
"""Number of draws behind :meth:`Posterior.apply` where the function is not affine."""
NO_NOISE = 1e-10
"""Variance (scaled units) that replaces the noise for a posterior of latent values (``noise=False``)."""


class Latent(Protocol):
    """Distribution of the latent values of n rows behind all parts of all tasks, in scaled units."""

    def block(self, part: TaskPart) -> LatentBlock:
        """The posterior of a part's latent values: a mixture of S Gaussians."""

    def setting(self, part: TaskPart) -> Setting:
        """The noise and further hyperparameters of a part in each component."""

    def moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
        """Weights (S,), means (S, n, C), covariances (S, n, C, C) and noise (S, C); None if there are only draws."""

    def sample(self, n: int, generator: np.random.Generator, joint_rows: bool) -> list[PartDraws]:
        """``n`` joint draws over all parts: for each part its latent values and setting."""


@runtime_checkable
class LabelledLatent(Latent, Protocol):
    """Latent values with labels on which other latent values depend, so that the labels have a distribution of their own."""

    def predictive(self, part: TaskPart, setting: Setting) -> Predictive:
        """The distribution of a part's label; ``setting`` is that of the part in label units, with noise."""


@dataclass
class Derived:
    """The distribution of a function of several tasks, row by row, from :meth:`Posterior.apply`."""

    marginals: Marginals
    index: pd.Index
    draw: Callable[[int, int], np.ndarray]
    name: str | None = None

    @property
    def mean(self) -> pd.Series:
        """The mean (n,)."""
        return pd.Series(self.marginals.mean(), self.index, name=self.name)

    @property
    def std(self) -> pd.Series:
        """The standard deviation (n,)."""
        return pd.Series(self.marginals.std(), self.index, name=self.name)

    def quantile(self, q: float) -> pd.Series:
        """The ``q`` quantile (n,)."""
        return pd.Series(self.marginals.quantile(q), self.index, name=self.name)

    def interval(self, level: float = 0.9) -> pd.DataFrame:
        """The central interval of probability ``level`` (n, 2), columns ``lower`` and ``upper``."""
        tail = 0.5 * (1 - check_probability(level, "level"))
        return pd.DataFrame({"lower": self.quantile(tail), "upper": self.quantile(1 - tail)})

    def sample(self, n: int, seed: int = 0) -> xr.DataArray:
        """``n`` draws with dimensions (sample, row), joint over rows."""
        return xr.DataArray(
            self.draw(n, seed), dims=("sample", "row"), coords={"row": np.asarray(self.index)}, name=self.name
        )


class Posterior:
    """Joint prediction for n rows and T tasks in label units.

    Returned by ``model.posterior(X_new)``; label noise is included unless ``noise=False`` was passed.

    Attributes
    ----------
    mean, std : DataFrame, shape (n, T)
        Mean and standard deviation of a new label.
    """

    def __init__(
        self, latent: Latent, tasks: Sequence[Task], scaler: Scaler, index: pd.Index, noise: bool = True
    ) -> None:
        self._latent = latent
        self._tasks = tuple(tasks)
        self._parts = task_parts(self._tasks)
        self._scaler = scaler
        self._index = index
        self._noise = noise

    def __repr__(self) -> str:
        return f"Posterior({len(self._index)} rows, tasks {[t.name for t in self._tasks]}, noise={self._noise})"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, in the order of the columns."""
        return self._tasks

    def renamed(self, index: pd.Index) -> Posterior:
        """The same posterior under other names of its rows."""
        posterior = copy.copy(self)
        posterior._index = index
        return posterior

    def marginal(self, task: str) -> Predictive:
        """The predictive distribution of one task in label units (for classes, over their positions)."""
        return self._marginals[self._position(task)]

    @property
    def marginals(self) -> list[Predictive]:
        """The predictive distributions of all tasks, in the order of the columns."""
        return self._marginals

    @cached_property
    def _marginals(self) -> list[Predictive]:
        predictive_of_parts: list[dict[str, Predictive]] = [{} for _ in self._tasks]
        for part in self._parts:
            setting = self._in_label_units(part, self._latent.setting(part))
            if isinstance(self._latent, LabelledLatent) and self._is_label(part):
                predictive = self._latent.predictive(part, setting)
            else:
                predictive = part.likelihood.predictive(self._latent.block(part), setting)
            predictive_of_parts[part.task][part.role] = predictive
        return [task.observes.combine(parts) for task, parts in zip(self._tasks, predictive_of_parts, strict=True)]

    def _is_label(self, part: TaskPart) -> bool:
        """Whether labels of a part are asked for, not latent values; classes have labels only."""
        return self._noise or not part.likelihood.has_noise

    def _in_label_units(self, part: TaskPart, setting: Setting) -> Setting:
        """The setting of a part with its location and scale, and with or without noise."""
        location, scale = self._scaler.units(part)
        noise = setting.noise if self._noise else np.full_like(setting.noise, NO_NOISE)
        return Setting(noise, setting.further, location, scale)

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

    def moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
        """Latent values and noise of Gaussian tasks, in label units: a mixture of S Gaussians in each row.

        Returns
        -------
        Weights (S,), means (S, n, T), covariances within rows (S, n, T, T) and noise variances (S, T); None if a task
        is not Gaussian, or if only draws are available.
        """
        gaussian = all(isinstance(t.observes, Censored) or type(t.observes) is Gaussian for t in self._tasks)
        latent_moments = self._latent.moments() if gaussian else None
        if latent_moments is None:
            return None
        weights, means, covariances, noise = latent_moments
        scale = self._scaler.y_scale
        return weights, self._scaler.label_units(means), covariances * np.outer(scale, scale), noise * scale**2

    def log_density(self, Y: np.ndarray, high: np.ndarray | None = None) -> pd.DataFrame:
        """``log p(y)`` of labels (n, T), classes as positions; NaN where the label is missing.

        For a label that lies between ``Y`` and ``high`` it is the log probability of that interval.
        """
        upper = Y if high is None else high
        return self._frame([log_density_of(m, Y[:, t], upper[:, t]) for t, m in enumerate(self._marginals)])

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

    def sample(self, n: int = 1000, seed: int = 0) -> xr.DataArray:
        """``n`` joint draws over rows and tasks with dimensions (sample, row, task), in label units."""
        return xr.DataArray(
            self._draws(n, seed, joint_rows=True),
            dims=("sample", "row", "task"),
            coords={"row": np.asarray(self._index), "task": [t.name for t in self._tasks]},
            name="label" if self._noise else "latent",
        )

    def _draws(self, n: int, seed: int, joint_rows: bool) -> np.ndarray:
        """``n`` draws (n, rows, T) in label units, classes as positions; joint over rows if ``joint_rows``."""
        if not (isinstance(n, int | np.integer) and n > 0):
            raise ValueError(f"the number of samples must be a positive integer, got {n!r}")
        generator = np.random.default_rng(seed)
        labels = np.empty((int(n), len(self._index), len(self._tasks)))
        draws_of_parts: list[dict[str, np.ndarray]] = [{} for _ in self._tasks]
        for part, f, setting, label in self._latent.sample(int(n), generator, joint_rows):
            draws = part.likelihood.draw(f, self._in_label_units(part, setting), generator)
            if label is not None and self._is_label(part):
                draws = np.where(np.isnan(label), draws, label)
            draws_of_parts[part.task][part.role] = draws
        for t, task in enumerate(self._tasks):
            labels[:, :, t] = task.observes.combine_draws(draws_of_parts[t])
        return labels

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

        evaluate = RowFunction.of(function, [t.name for t in self._tasks if t.classes is None], n)
        draw = partial(self._draws_of, evaluate)
        moments = self.moments()
        if evaluate.form is None or moments is None:
            drawn = evaluate(self._dataset(self._draws(APPLY_DRAWS, 0, joint_rows=False)))
            return Derived(Empirical(drawn), self._index, draw, name)
        constant, slope = evaluate.form
        weights, means, covariances, noise = moments
        if self._noise:
            covariances = covariances + np.einsum("st,tu->stu", noise, np.eye(n_tasks))[:, None]
        mean = constant + np.einsum("nt,snt->sn", slope, means)
        variance = np.einsum("nt,sntu,nu->sn", slope, covariances, slope)
        mixture = NormalMixture(weights, mean, np.maximum(variance, 1e-300))
        return Derived(mixture, self._index, draw, name)

    def _draws_of(self, evaluate: RowFunction, n: int, seed: int) -> np.ndarray:
        """``n`` draws (n, rows) of a function of the tasks, joint over rows."""
        return evaluate(self._dataset(self._draws(n, seed, joint_rows=True)))


def _class_names(positions: np.ndarray, classes: Sequence[Hashable]) -> np.ndarray:
    """The names of the classes at the given positions."""
    names = np.empty(len(classes), dtype=object)
    for k, name in enumerate(classes):  # NumPy would take tuples for rows
        names[k] = name
    return names[positions.astype(int)]
