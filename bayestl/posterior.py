"""The posterior over rows and tasks: the one place where a prediction becomes numbers in label units.

An engine hands over a :class:`Latent`: the distribution of the latent values of n rows and T tasks in scaled units.
:class:`Posterior` puts the likelihoods on top and answers in label units, and :meth:`Posterior.apply` gives the
distribution of any function of several tasks, whose errors may cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
import xarray as xr

from bayestl.distributions import Empirical, Marginals, NormalMixture, check_probability
from bayestl.table import Scaler
from bayestl.tasks import Task

APPLY_DRAWS = 4096
"""Draws behind :meth:`Posterior.apply` where the function is not affine."""


class Latent(Protocol):
    """Latent values of n rows and T tasks, a mixture of S components, in scaled units."""

    weights: np.ndarray
    """(S,), sum one."""
    noise: np.ndarray
    """(S, T) noise variance of each task."""

    def marginals(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances, each (S, n, T)."""

    def row_covariances(self) -> np.ndarray | None:
        """(S, n, T, T): Gaussian covariance within each row; None where only draws know it."""

    def sample(self, n: int, generator: np.random.Generator, joint_rows: bool) -> tuple[np.ndarray, np.ndarray]:
        """Draws (n, rows, T) and the component (n,) that each came from."""


@dataclass
class Derived:
    """The distribution of a function of tasks, row by row (see :meth:`Posterior.apply`)."""

    marginals: Marginals
    index: pd.Index
    draw: Callable[[int, int], np.ndarray]
    name: str | None = None

    @property
    def mean(self) -> pd.Series:
        """Mean, (n,)."""
        return pd.Series(self.marginals.mean(), self.index, name=self.name)

    @property
    def std(self) -> pd.Series:
        """Standard deviation, (n,)."""
        return pd.Series(self.marginals.std(), self.index, name=self.name)

    def quantile(self, q: float) -> pd.Series:
        """The ``q`` quantile, (n,)."""
        return pd.Series(self.marginals.quantile(q), self.index, name=self.name)

    def interval(self, level: float = 0.9) -> pd.DataFrame:
        """Central interval, columns ``lower`` and ``upper``."""
        tail = 0.5 * (1 - check_probability(level, "level"))
        return pd.DataFrame({"lower": self.quantile(tail), "upper": self.quantile(1 - tail)})

    def sample(self, n: int, seed: int = 0) -> xr.DataArray:
        """``n`` draws, dimensions (sample, row), joint over rows."""
        return xr.DataArray(
            self.draw(n, seed), dims=("sample", "row"), coords={"row": np.asarray(self.index)}, name=self.name
        )


class Posterior:
    """Prediction for n rows and T tasks in label units.

    Made by ``model.posterior(X_new)``; label noise is included unless that was called with ``noise=False``.

    Attributes
    ----------
    mean, std : DataFrame, shape (n, T)
        Of a new label.
    """

    def __init__(
        self, latent: Latent, tasks: Sequence[Task], scaler: Scaler, index: pd.Index, noise: bool = True
    ) -> None:
        self._latent = latent
        self._tasks = tuple(tasks)
        self._scaler = scaler
        self._index = index
        self._noise = noise

    def __repr__(self) -> str:
        return f"Posterior({len(self._index)} rows, tasks {[t.name for t in self._tasks]}, noise={self._noise})"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, in the order of the columns."""
        return self._tasks

    def marginal(self, task: str) -> NormalMixture:
        """The predictive distribution of one task in label units."""
        return self._marginals[self._position(task)]

    @cached_property
    def _marginals(self) -> list[NormalMixture]:
        means, variances = self._latent.marginals()
        out = []
        for t, task in enumerate(self._tasks):
            each = NormalMixture(self._latent.weights, means[:, :, t], np.maximum(variances[:, :, t], 1e-12))
            if self._noise:
                each = task.likelihood.predictive(each, self._latent.noise[:, t])
            out.append(each.scaled(self._scaler.y_mean[t], self._scaler.y_scale[t]))
        return out

    def _position(self, task: str) -> int:
        names = [t.name for t in self._tasks]
        if task not in names:
            raise ValueError(f"no task {task!r}; the tasks are {names}")
        return names.index(task)

    def _frame(self, columns: list[np.ndarray]) -> pd.DataFrame:
        return pd.DataFrame(np.column_stack(columns), self._index, [t.name for t in self._tasks])

    @property
    def mean(self) -> pd.DataFrame:
        """Mean of a new label, (n, T)."""
        return self._frame([m.mean() for m in self._marginals])

    @property
    def std(self) -> pd.DataFrame:
        """Standard deviation of a new label, (n, T)."""
        return self._frame([m.std() for m in self._marginals])

    def quantile(self, q: float) -> pd.DataFrame:
        """The ``q`` quantile of a new label, (n, T).

        Raises
        ------
        ValueError
            If ``q`` is not strictly between 0 and 1.
        """
        return self._frame([m.quantile(q) for m in self._marginals])

    def interval(self, level: float = 0.9) -> pd.DataFrame:
        """Central interval of probability ``level``, columns (task, ``"lower"``/``"upper"``)."""
        tail = 0.5 * (1 - check_probability(level, "level"))
        sides = {"lower": self.quantile(tail), "upper": self.quantile(1 - tail)}
        columns = pd.MultiIndex.from_product([[t.name for t in self._tasks], sides], names=["task", "side"])
        return pd.DataFrame({(task, side): sides[side][task] for task, side in columns}, columns=columns)

    def log_density(self, Y: np.ndarray) -> pd.DataFrame:
        """``log p(y)`` of labels (n, T), NaN where the label is missing."""
        return self._frame([m.log_density(Y[:, t]) for t, m in enumerate(self._marginals)])

    def probabilities(self, task: str) -> pd.DataFrame:
        """Class probabilities (n, classes) of a classified task.

        Raises
        ------
        ValueError
            If the task has a likelihood without classes.
        """
        likelihood = self._tasks[self._position(task)].likelihood
        raise ValueError(f"task {task!r} has a {type(likelihood).__name__} likelihood, which has no classes")

    def sample(self, n: int = 1000, seed: int = 0) -> xr.DataArray:
        """``n`` joint draws over rows and tasks, dimensions (sample, row, task), label units."""
        return xr.DataArray(
            self._draws(n, seed, joint_rows=True),
            dims=("sample", "row", "task"),
            coords={"row": np.asarray(self._index), "task": [t.name for t in self._tasks]},
            name="label" if self._noise else "latent",
        )

    def _draws(self, n: int, seed: int, joint_rows: bool) -> np.ndarray:
        if not (isinstance(n, int | np.integer) and n > 0):
            raise ValueError(f"the number of samples must be a positive integer, got {n!r}")
        generator = np.random.default_rng(seed)
        z, component = self._latent.sample(int(n), generator, joint_rows)
        if self._noise:
            for t, task in enumerate(self._tasks):
                z[:, :, t] = task.likelihood.draw(z[:, :, t], self._latent.noise[component, t], generator)
        return self._scaler.label_units(z)

    def _dataset(self, draws: np.ndarray) -> xr.Dataset:
        return xr.Dataset({t.name: (("sample", "row"), draws[:, :, i]) for i, t in enumerate(self._tasks)})

    def apply(self, function: Callable[[Any], Any], name: str | None = None) -> Derived:
        """The distribution of a function of several tasks, row by row.

        Parameters
        ----------
        function : callable
            Of ``y`` with ``y["task"]`` the labels of that task, a DataArray with dimensions (sample, row); NumPy
            functions and arrays of length n may be mixed in.  It must return one value a sample and row.
        name : str, optional
            The name of the resulting Series.

        Returns
        -------
        Derived
            ``mean``, ``std``, ``quantile``, ``interval``, ``sample``.  In closed form where the function is affine
            in the tasks and the posterior Gaussian within rows (or a mixture of Gaussians), else from 4096 draws.

        Raises
        ------
        ValueError
            If the function returns another shape.
        """
        n, n_tasks = len(self._index), len(self._tasks)

        def evaluate(draws: np.ndarray) -> np.ndarray:
            value = function(self._dataset(draws))
            if isinstance(value, xr.DataArray):
                if set(value.dims) != {"sample", "row"}:
                    raise ValueError(
                        f"the function must return one value a sample and row, got dimensions {value.dims}"
                    )
                value = value.transpose("sample", "row")
            value = np.asarray(value, dtype=float)
            if value.shape != draws.shape[:2]:
                raise ValueError(
                    f"the function must return one value a sample and row, shape {draws.shape[:2]}, got {value.shape}"
                )
            return value

        def draw(k: int, seed: int) -> np.ndarray:
            return evaluate(self._draws(k, seed, joint_rows=True))

        few = self._draws(16, 0, joint_rows=False)
        covariances = self._latent.row_covariances()
        slopes = None if covariances is None else _affine(evaluate, few, n, n_tasks)
        if slopes is None or covariances is None:
            return Derived(Empirical(evaluate(self._draws(APPLY_DRAWS, 0, joint_rows=False))), self._index, draw, name)
        constant, slope = slopes
        means, _ = self._latent.marginals()
        if self._noise:
            covariances = covariances + np.einsum("st,tu->stu", self._latent.noise, np.eye(n_tasks))[:, None]
        scaled = slope * self._scaler.y_scale
        mean = constant + np.einsum("nt,snt->sn", slope, self._scaler.label_units(means))
        variance = np.einsum("nt,sntu,nu->sn", scaled, covariances, scaled)
        mixture = NormalMixture(self._latent.weights, mean, np.maximum(variance, 1e-300))
        return Derived(mixture, self._index, draw, name)


def _affine(
    evaluate: Callable[[np.ndarray], np.ndarray], trial: np.ndarray, n: int, n_tasks: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """``(constant (n,), slope (n, T))`` if the function is affine at the trial draws to rounding error, else None."""
    centre = trial[0]
    probes = np.concatenate([centre[None], centre[None] + np.eye(n_tasks)[:, None, :]])
    with np.errstate(all="ignore"):  # a logarithm or a division may leave its domain at a probe
        at = evaluate(probes)
        truth = evaluate(trial)
    slope = (at[1:] - at[0]).T
    constant = at[0] - (slope * centre).sum(axis=1)
    guess = constant + np.einsum("nt,knt->kn", slope, trial)
    size = np.abs(truth).max() + np.abs(slope).max() * np.abs(trial).max() + 1e-300
    if not np.isfinite(guess).all() or not np.isfinite(truth).all() or np.abs(guess - truth).max() > 1e-9 * size:
        return None
    return constant, slope
