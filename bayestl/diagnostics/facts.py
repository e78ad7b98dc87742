"""What a table holds, before any model: labels of each task, patterns of missing labels, and repeated rows with their spread."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayestl.diagnostics.words import rounded
from bayestl.table.table import Table
from bayestl.table.task import Task

MOST_NAMED = 4
"""Most names of rows in a cell."""


def tasks_of(table: Table) -> pd.DataFrame:
    """One row per task: unit, number of labels, their range (for classes the classes), and the likelihood."""
    present = table.present
    return pd.DataFrame(
        {
            "unit": [t.unit for t in table.tasks],
            "labels": [int(n) for n in present.sum(axis=0)],
            "share of rows": [f"{100 * share:.0f} %" for share in present.mean(axis=0)],
            "range": [_range(t, table.labels.centre[present[:, i], i]) for i, t in enumerate(table.tasks)],
            "likelihood": [type(t.observes).__name__ for t in table.tasks],
        },
        index=pd.Index(table.names, name="task"),
    )


def _range(task: Task, y: np.ndarray) -> str:
    if task.classes is not None:
        return ", ".join(map(str, task.classes))
    return f"{rounded(y.min())} to {rounded(y.max())}" if len(y) else ""


def label_patterns(table: Table, most: int = 12) -> pd.DataFrame:
    """Which labels rows have together: one row per pattern, the commonest first, with its number of rows and some names."""
    patterns, where, counts = np.unique(table.present, axis=0, return_inverse=True, return_counts=True)
    where = where.ravel()
    order = np.argsort(-counts, kind="stable")[:most]
    columns = {name: ["●" if patterns[k, t] else "" for k in order] for t, name in enumerate(table.names)}
    named = [named_rows(table.index[where == k]) for k in order]
    return pd.DataFrame({"rows": counts[order], **columns, "such as": named}, index=pd.RangeIndex(1, len(order) + 1))


def repeated_rows(table: Table) -> pd.DataFrame:
    """How far labels of rows with equal features differ: one row per task that has such labels.

    ``materials``: sets of equal rows with two labels or more; ``labels``: in these; ``spread``: their standard deviation about
    the mean of the set, with ``of all``, its ratio to that of all labels; ``widest``: the set that differs most.
    """
    _, where = np.unique(table.x, axis=0, return_inverse=True)
    found = {}
    for t, task in enumerate(table.tasks):
        y = pd.Series(table.labels.numbers[:, t])
        sets = y.groupby(where.ravel())
        many = sets.transform("count") > 1
        if task.classes is not None or not (many & y.notna()).any():
            continue
        about = (y - sets.transform("mean"))[many].dropna()
        freedom = len(about) - len(set(where.ravel()[about.index]))
        spread = float(np.sqrt((about**2).sum() / freedom))
        widest = y[many].groupby(where.ravel()[many]).agg(lambda v: v.max() - v.min()).idxmax()
        found[task.name] = {
            "materials": len(about) - freedom,
            "labels": len(about),
            "spread": f"{spread:.2g} {task.unit}".strip(),
            "of all": spread / y.std() if y.std() > 0 else np.nan,
            "widest": named_rows(table.index[(where.ravel() == widest) & y.notna().to_numpy()]),
        }
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("task")


def named_rows(names: pd.Index) -> str:
    """The first names of some rows."""
    return ", ".join(map(str, names[:MOST_NAMED])) + (" ..." if len(names) > MOST_NAMED else "")
