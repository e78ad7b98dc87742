"""Scaling of features and labels: to zero mean and unit variance for the engines, and back to label units.

Label units are ``location + scale * scaled units``, with the location and scale that the likelihood of a task gives for
its labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayestl.table.table import Known, Table
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
        scales = [task.observes.scale(table.y[:, t]) for t, task in enumerate(table.tasks)]
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

    def block(self, labels: Known, se: np.ndarray, part: TaskPart, task: Task) -> tuple[np.ndarray, ...]:
        """Scaled labels (n,) of a part, their known variances, and the upper ends of their intervals."""
        y, high = (self.labels(v[:, part.task], part, task) for v in labels)
        return y, (se[:, part.task] / self.units(part)[1]) ** 2, high

    def label_units(self, z: np.ndarray) -> np.ndarray:
        """Label units from scaled units, for arrays whose last axis is the task; the inverse of :meth:`labels`."""
        return self.y_mean + self.y_scale * z
