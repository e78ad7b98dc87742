"""The labels of a table in the form that the Gaussian engine takes: scaled, in long form, for a family of parts.

Missing labels (NaN) are dropped here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayestl.device import tensor
from bayestl.inference.gaussian.labels import Data
from bayestl.inference.gaussian.sites import Observations, PartLabels
from bayestl.likelihoods import LabelBlock
from bayestl.table.measured import Measured
from bayestl.table.new_rows import Rows, fitted_rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table, refuse_empty_parts
from bayestl.table.task import Task, TaskPart


def part_data(
    rows: Rows,
    labels: Measured,
    scaler: Scaler,
    tasks: Sequence[Task],
    parts: Sequence[TaskPart],
) -> Data | None:
    """Labels (n, T) of rows for a family, in scaled long form, sorted by latent function; None if it has no labels.

    Channels are numbered within the family.
    """
    part_labels, used = [], 0
    for position, part in enumerate(parts):
        columns = scaler.block(labels, part, tasks[part.task])
        row = np.flatnonzero(~np.isnan(columns[0]))
        channels = tuple(range(used, used + len(part.channels)))
        used += len(part.channels)
        if len(row):
            block = LabelBlock(*(tensor(v[row]) for v in columns))
            part_labels.append(PartLabels(position, part.likelihood, channels, tensor(row), block))
    x, group, codes = (tensor(v) for v in (rows.x, rows.group, rows.row))
    return Observations(x, group, codes, part_labels).simplest() if part_labels else None


def training_data(table: Table, scaler: Scaler, parts: Sequence[TaskPart], x: np.ndarray) -> Data:
    """The labels of a family of parts in the table, whose rows have the inputs ``x`` (n, d).

    Raises
    ------
    ValueError
        If a part has no labels (a hurdle task whose labels are all zero has no positive part).
    """
    refuse_empty_parts(table, parts)
    rows = fitted_rows(table, x, np.arange(len(x)))
    data = part_data(rows, table.labels, scaler, table.tasks, parts)
    assert data is not None
    return data
