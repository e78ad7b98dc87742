"""The joint distribution of the labels of n rows and T tasks, in label units: what every model makes of rows.

An inference engine knows latent values in scaled units (:class:`Latent`); :class:`LabelsOfLatent` applies the likelihoods
to them.  Models made of other models mix or change the joint distributions of those (``models/ensembles``), so that all
predictions reach the user through one :class:`~bayestl.Posterior`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from bayestl.distributions import Predictive
from bayestl.likelihoods import Censored, Gaussian, LatentBlock, Setting
from bayestl.table.measured import Measured
from bayestl.table.scaler import Scaler
from bayestl.table.task import PartDraws, Task, TaskPart, task_parts

NO_NOISE = 1e-10
"""Variance (scaled units) that replaces the noise where latent values are asked for."""
Moments = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Weights (S,), means (S, n, T), covariances within rows (S, n, T, T), and noise variances (S, T)."""


class Asked(NamedTuple):
    """What is asked of rows."""

    noise: bool = True
    """Labels, with their noise; else the latent values behind them (classes have labels only)."""
    measured: Measured | None = None
    """Labels (n, T) of a measurement that has these standard errors; None for one without."""


LABELS = Asked()
"""Labels of a measurement without a standard error of its own."""


class JointLabels(Protocol):
    """The joint distribution of the labels of n rows and T tasks, classes as positions."""

    def marginals(self, asked: Asked) -> list[Predictive]:
        """The predictive distribution of each task's labels."""

    def moments(self, asked: Asked) -> Moments | None:
        """Latent values and noise where all tasks are Gaussian; None if not, or if only draws are known."""

    def draws(self, n: int, generator: np.random.Generator, joint_rows: bool, asked: Asked) -> np.ndarray:
        """``n`` draws (n, rows, T); joint over the tasks of a row, and over rows if ``joint_rows``."""


class Latent(Protocol):
    """Distribution of the latent values of n rows behind all parts of all tasks, in scaled units."""

    def block(self, part: TaskPart) -> LatentBlock:
        """The posterior of a part's latent values: a mixture of S Gaussians."""

    def setting(self, part: TaskPart) -> Setting:
        """The noise and further hyperparameters of a part in each component."""

    def together(self, parts: Sequence[TaskPart]) -> tuple[LatentBlock, list[Setting]] | None:
        """The joint posterior of the latent values of several parts, and their settings; None if they are independent."""

    def moments(self) -> Moments | None:
        """Moments of all channels; None if there are only draws."""

    def sample(self, n: int, generator: np.random.Generator, joint_rows: bool) -> list[PartDraws]:
        """``n`` joint draws over all parts: for each part its latent values and setting."""


@runtime_checkable
class LabelledLatent(Latent, Protocol):
    """Latent values with labels on which other latent values depend, so that the labels have a distribution of their own."""

    def predictive(self, part: TaskPart, setting: Setting) -> Predictive:
        """The distribution of a part's label; ``setting`` is that of the part in label units, with noise."""


@runtime_checkable
class SomeRows(Latent, Protocol):
    """Latent values of rows that can be had for some of them alone."""

    def at_rows(self, rows: np.ndarray) -> Latent:
        """The latent values of the rows at positions (k,)."""


class LabelsOfLatent:
    """Labels that arise from an engine's latent values by the likelihoods of the tasks (:class:`JointLabels`)."""

    def __init__(self, latent: Latent, tasks: Sequence[Task], scaler: Scaler) -> None:
        self._latent, self._tasks, self._scaler = latent, tuple(tasks), scaler
        self._parts = task_parts(self._tasks)

    def at_rows(self, rows: np.ndarray) -> LabelsOfLatent | None:
        """The labels of the rows at positions (k,) without the work for the others; None where there is no such way."""
        latent = self._latent
        return LabelsOfLatent(latent.at_rows(rows), self._tasks, self._scaler) if isinstance(latent, SomeRows) else None

    def marginals(self, asked: Asked) -> list[Predictive]:
        """The predictive distribution of each task's labels."""
        return [self._marginal(t, asked) for t in range(len(self._tasks))]

    def _marginal(self, t: int, asked: Asked) -> Predictive:
        """The predictive distribution of one task's labels."""
        parts = [part for part in self._parts if part.task == t]
        joint = self._latent.together(parts) if len(parts) > 1 else None
        if joint is not None:
            block, settings = joint
            pairs = zip(parts, settings, strict=True)
            in_units = {part.role: self._in_label_units(part, setting, asked) for part, setting in pairs}
            return self._tasks[t].observes.together(block, in_units)
        predictive: dict[str, Predictive] = {}
        for part in parts:
            setting = self._in_label_units(part, self._latent.setting(part), asked)
            if isinstance(self._latent, LabelledLatent) and _is_label(part, asked):
                predictive[part.role] = self._latent.predictive(part, setting)
            else:
                predictive[part.role] = part.likelihood.predictive(self._latent.block(part), setting)
        return self._tasks[t].observes.combine(predictive)

    def moments(self, asked: Asked) -> Moments | None:
        """Latent values and noise where all tasks are Gaussian; None if not, or if only draws are known."""
        gaussian = all(isinstance(t.observes, Censored) or type(t.observes) is Gaussian for t in self._tasks)
        latent_moments = self._latent.moments() if gaussian else None
        if latent_moments is None:
            return None
        weights, means, covariances, noise = latent_moments
        scale = self._scaler.y_scale
        return weights, self._scaler.label_units(means), covariances * np.outer(scale, scale), noise * scale**2

    def draws(self, n: int, generator: np.random.Generator, joint_rows: bool, asked: Asked) -> np.ndarray:
        """``n`` draws (n, rows, T); joint over the tasks of a row, and over rows if ``joint_rows``."""
        draws_of_parts: list[dict[str, np.ndarray]] = [{} for _ in self._tasks]
        for part, f, setting, label in self._latent.sample(n, generator, joint_rows):
            in_units = self._in_label_units(part, setting, asked)
            draws = part.likelihood.draw(f, in_units, generator)
            if label is not None and _is_label(part, asked):
                draws = np.where(np.isnan(label), draws, self._with_error(part, label, in_units, generator))
            draws_of_parts[part.task][part.role] = draws
        pairs = zip(self._tasks, draws_of_parts, strict=True)
        return np.stack([task.observes.combine_draws(of_parts) for task, of_parts in pairs], axis=2)

    def _in_label_units(self, part: TaskPart, setting: Setting, asked: Asked) -> Setting:
        """The setting of a part with its location and scale, and the noise and known errors that are asked for."""
        location, scale = self._scaler.units(part)
        noise = setting.noise if asked.noise else np.full_like(setting.noise, NO_NOISE)
        task = self._tasks[part.task]
        error = 0.0 if asked.measured is None else self._scaler.errors(asked.measured, part, task)
        return Setting(noise, setting.further, location, scale, error)

    def _with_error(
        self, part: TaskPart, label: np.ndarray, setting: Setting, generator: np.random.Generator
    ) -> np.ndarray:
        """Labels (K, n) as a measurement with the setting's known error would have them."""
        if not np.any(setting.error):
            return label
        scaled = self._scaler.labels(label, part, self._tasks[part.task])
        exact = setting._replace(noise=np.full_like(setting.noise, NO_NOISE))
        return part.likelihood.draw(scaled[..., None], exact, generator)


def _is_label(part: TaskPart, asked: Asked) -> bool:
    """Whether labels of a part are asked for, not latent values; classes have labels only."""
    return asked.noise or not part.likelihood.has_noise
