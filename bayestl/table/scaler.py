"""Scaling of features and labels: to zero mean and unit variance for the engines, and back to label units.

Label units are ``location + scale * scaled units``, with the location and scale that the likelihood of a task gives for
its labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayestl.table.measured import Measured
from bayestl.table.table import Table
from bayestl.table.task import Task, TaskPart


@dataclass(frozen=True)
class Scaler:
    """Location and scale of each feature and of the main part of each task; constant columns have scale one."""

    x_mean: np.ndarray
    x_scale: np.ndarray
    y_mean: np.ndarray
    y_scale: np.ndarray

    @classmethod
    def of(cls, table: Table) -> Scaler:
        """The scaler of a table; a task whose labels are all equal has the scale ``|label|``, or one if that is 0."""
        x_scale = table.x.std(axis=0)
        x_mean = table.x.mean(axis=0)
        x_scale[x_scale <= 1e-12 * np.maximum(np.abs(x_mean), 1e-300)] = 1.0
        scales = [task.observes.scale(table.labels.centre[:, t]) for t, task in enumerate(table.tasks)]
        y_mean, y_scale = (np.array(side) for side in zip(*scales, strict=True))
        return cls(x_mean, x_scale, y_mean, y_scale)

    @classmethod
    def identity(cls, table: Table) -> Scaler:
        """A scaler that changes nothing, for tables drawn in scaled units."""
        d, n_tasks = table.x.shape[1], table.y.shape[1]
        return cls(np.zeros(d), np.ones(d), np.zeros(n_tasks), np.ones(n_tasks))

    def features(self, x: np.ndarray) -> np.ndarray:
        """Scaled features."""
        return (x - self.x_mean) / self.x_scale

    def units(self, part: TaskPart) -> tuple[float, float]:
        """Location and scale of a part; 0 and 1 for all parts but the main one."""
        if part.role:
            return 0.0, 1.0
        return float(self.y_mean[part.task]), float(self.y_scale[part.task])

    def labels(self, y: np.ndarray, part: TaskPart, task: Task) -> np.ndarray:
        """Scaled labels (n,) of a part from the labels of its task (n,), NaN where the part has none."""
        location, scale = self.units(part)
        return (task.observes.split(y)[part.role] - location) / scale

    def errors(self, labels: Measured, part: TaskPart, task: Task) -> np.ndarray:
        """Known variances (n,) of a part's labels, scaled; where they are transformed, by the slope of the transform.

        Zero where the part has no label, and for classes.
        """
        of_task = labels.task(part.task)
        if not part.likelihood.has_noise or not of_task.se.any():
            return np.zeros(len(labels.y))
        has_label = ~np.isnan(task.observes.split(of_task.y)[part.role]) & (of_task.se > 0)
        slope = np.exp(part.likelihood.log_jacobian(np.where(has_label, of_task.y, 1.0)))
        return np.where(has_label, (of_task.se * slope / self.units(part)[1]) ** 2, 0.0)

    def block(self, labels: Measured, part: TaskPart, task: Task) -> tuple[np.ndarray, ...]:
        """Scaled labels (n,) of a part, their known variances, and the upper ends of their intervals."""
        y, high = (self.labels(v[:, part.task], part, task) for v in (labels.y, labels.high))
        return y, self.errors(labels, part, task), high

    def label_units(self, z: np.ndarray) -> np.ndarray:
        """Label units from scaled units, for arrays whose last axis is the task; the inverse of :meth:`labels`."""
        return self.y_mean + self.y_scale * z
