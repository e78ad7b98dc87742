"""The validated table: the one border at which user data is checked, scaled and put in long form.

Behind it nothing sees a missing label: a table becomes :class:`~bayestl.inference.exact.Labels`, one entry a label.
Scaling (features and labels to zero mean and unit variance) is made here and undone here, by :class:`Scaler`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array

from bayestl.tasks import Task, match_tasks


@dataclass(frozen=True)
class Table:
    """Validated data in label units.

    ``x`` (n, d); ``y`` (n, T) with NaN where not measured; ``se`` (n, T) known standard errors, 0 where not known;
    ``group`` (n,) codes into ``groups`` (-1: unknown) or None; ``index`` the rows' names.
    """

    x: np.ndarray
    y: np.ndarray
    se: np.ndarray
    features: tuple[str, ...]
    tasks: tuple[Task, ...]
    index: pd.Index
    group: np.ndarray | None = None
    groups: tuple[Hashable, ...] = ()

    @property
    def names(self) -> list[str]:
        """The tasks' names, in the order of the columns."""
        return [task.name for task in self.tasks]

    @property
    def present(self) -> np.ndarray:
        """Boolean (n, T): which labels there are."""
        return ~np.isnan(self.y)


def _row(index: pd.Index, i: int) -> str:
    return f"row {i}" if isinstance(index, pd.RangeIndex) else f"row {index[i]!r} (position {i})"


def _unique_names(columns: Sequence[Hashable], what: str) -> list[str]:
    names = [str(c) for c in columns]
    if duplicates := sorted({n for n in names if names.count(n) > 1}):
        raise ValueError(
            f"{what} has {names.count(duplicates[0])} columns named {duplicates[0]!r}: rename or drop all but one"
        )
    return names


def _numeric_column(values: pd.Series, name: str, what: str, advice: str) -> np.ndarray:
    """One column as floats; text that is not a number is named with its row."""
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        if pd.api.types.is_complex_dtype(values):
            raise ValueError(f"Complex data not supported: column {name!r} of {what}")
        return values.to_numpy(dtype=float, na_value=np.nan)
    numbers = pd.to_numeric(values, errors="coerce")
    bad = np.flatnonzero((numbers.isna() & values.notna()).to_numpy())
    if len(bad):
        i = int(bad[0])
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise ValueError(
            f"column {name!r} of {what} holds {values.iloc[i]!r} in {_row(values.index, i)}{more}, which is not a number: {advice}"
        )
    return numbers.to_numpy(dtype=float)


def _refuse(
    mask: np.ndarray, values: np.ndarray, names: Sequence[str], index: pd.Index, what: str, advice: str
) -> None:
    """Raise for the first True of ``mask``, naming column, row and value."""
    if mask.any():
        i, j = (int(k) for k in np.argwhere(mask)[0])
        more = f" and {int(mask.sum()) - 1} more" if mask.sum() > 1 else ""
        raise ValueError(
            f"column {names[j]!r} of {what} holds {values[i, j]} in {_row(index, i)}{more} (NaN and infinity are refused): {advice}"
            if not np.isfinite(values[i, j])
            else f"column {names[j]!r} of {what} holds {values[i, j]} in {_row(index, i)}{more}: {advice}"
        )


def read_features(X: Any) -> tuple[np.ndarray, list[str], pd.Index, bool]:
    """Feature matrix (n, d), column names, row names, and whether the names are the user's own.

    Raises
    ------
    ValueError
        For text, NaN, infinity, duplicate columns, an empty table, or anything that is not two-dimensional.
    """
    if isinstance(X, pd.DataFrame):
        names = _unique_names(X.columns, "X")
        if len(names) == 0:
            raise ValueError(f"0 feature(s) (shape=({len(X)}, 0)) while a minimum of 1 is required: X has no columns")
        if len(X) == 0:
            raise ValueError("Found array with 0 sample(s): X has no rows")
        x = np.column_stack(
            [_numeric_column(X.iloc[:, j], n, "X", "drop it or turn it into numbers") for j, n in enumerate(names)]
        )
        index, named = X.index, True
    else:
        array = check_array(X, dtype="numeric", ensure_all_finite=False, ensure_min_samples=1, ensure_min_features=1)
        x = np.asarray(array, dtype=float)
        names, index, named = [f"x{j}" for j in range(x.shape[1])], pd.RangeIndex(len(x)), False
    _refuse(~np.isfinite(x), x, names, index, "X", "impute it or drop the row")
    return x, names, index, named


def read_labels(Y: Any, n: int, what: str = "Y", columns: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:
    """Label matrix (n, T) with NaN where not measured, and the tasks' names.

    Raises
    ------
    ValueError
        For text, infinity, duplicate columns or a number of rows other than ``n``.
    """
    if Y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    if isinstance(Y, pd.Series):
        Y = Y.to_frame(name="y" if Y.name is None else Y.name)
    if not isinstance(Y, pd.DataFrame):
        array = np.asarray(Y, dtype=None)
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2:
            raise ValueError(f"{what} must have one or two dimensions, got {array.ndim}")
        names = (
            list(columns)
            if columns is not None
            else ["y"]
            if array.shape[1] == 1
            else [f"y{t}" for t in range(array.shape[1])]
        )
        if len(names) != array.shape[1]:
            raise ValueError(f"{what} has {array.shape[1]} columns where {len(names)} are expected: {names}")
        Y = pd.DataFrame(array, columns=names)
    names = _unique_names(Y.columns, what)
    if len(Y) != n:
        raise ValueError(f"inconsistent numbers of samples: X has {n} rows and {what} has {len(Y)}")
    if not names:
        raise ValueError(f"{what} has no columns: a model needs at least one task")
    y = np.column_stack(
        [
            _numeric_column(
                Y.iloc[:, t], name, what, "class labels are not supported by this likelihood; drop or encode it"
            )
            for t, name in enumerate(names)
        ]
    )
    _refuse(np.isinf(y), y, names, Y.index, what, "use NaN for a label that was not measured")
    return y, names


def encode_groups(
    groups: Any, n: int, known: Sequence[Hashable] | None = None
) -> tuple[np.ndarray, tuple[Hashable, ...]]:
    """Codes (n,) into the known groups, then into new ones; -1 where a row's group is missing.

    Raises
    ------
    ValueError
        If there is not one entry a row.
    """
    values = list(
        groups.to_numpy() if isinstance(groups, pd.Series | pd.Index) else np.asarray(groups, dtype=object).ravel()
    )
    if len(values) != n:
        raise ValueError(f"groups= has {len(values)} entries for {n} rows")
    names = list(known or ())
    codes: dict[Hashable, int] = {name: i for i, name in enumerate(names)}
    out = np.full(n, -1)
    for i, value in enumerate(values):
        if pd.isna(value):
            continue
        if value not in codes:
            codes[value] = len(names)
            names.append(value)
        out[i] = codes[value]
    return out, tuple(names)


def build_table(X: Any, Y: Any, Y_std: Any = None, groups: Any = None, tasks: Sequence[Task] | None = None) -> Table:
    """Check what the user passed to ``fit``.

    Raises
    ------
    ValueError
        Naming the column, the row and the value, and saying what to do.
    """
    x, features, index, _ = read_features(X)
    y, names = read_labels(Y, len(x))
    if isinstance(X, pd.DataFrame) and isinstance(Y, pd.DataFrame | pd.Series):
        _refuse_shuffled(X.index, Y.index)
    for t, name in enumerate(names):
        if np.isnan(y[:, t]).all():
            raise ValueError(f"task {name!r} has no labels: drop the column, or add at least one measurement")
    se = np.zeros_like(y)
    if Y_std is not None:
        se, se_names = read_labels(Y_std, len(x), "Y_std", names)
        if se_names != names:
            if set(se_names) != set(names):
                raise ValueError(f"Y_std has the columns {se_names}, Y has {names}: they must be the same")
            se = se[:, [se_names.index(name) for name in names]]
        _refuse(se < 0, se, names, index, "Y_std", "a standard error cannot be negative")
        se = np.where(np.isnan(se) | np.isnan(y), 0.0, se)
    group, group_names = (None, ()) if groups is None else encode_groups(groups, len(x))
    return Table(x, y, se, tuple(features), match_tasks(names, tasks), index, group, group_names)


def _refuse_shuffled(a: pd.Index, b: pd.Index) -> None:
    if len(a) == len(b) and not a.equals(b) and a.is_unique and b.is_unique and set(a) == set(b):
        raise ValueError("X and Y have the same row names in different orders: align them, such as Y.loc[X.index]")


@dataclass(frozen=True)
class Scaler:
    """Location and scale of each feature and each task; constant columns have scale one."""

    x_mean: np.ndarray
    x_scale: np.ndarray
    y_mean: np.ndarray
    y_scale: np.ndarray

    @classmethod
    def of(cls, table: Table) -> Scaler:
        """Learn from the table; a task whose labels are all equal gets the scale ``|label|``, or one if that is 0."""
        x_scale = table.x.std(axis=0)
        x_mean = table.x.mean(axis=0)
        x_scale[x_scale <= 1e-12 * np.maximum(np.abs(x_mean), 1e-300)] = 1.0
        y_mean, y_scale = np.nanmean(table.y, axis=0), np.nanstd(table.y, axis=0)
        flat = y_scale <= 1e-12 * np.abs(y_mean)
        y_scale = np.where(flat, np.where(y_mean == 0, 1.0, np.abs(y_mean)), y_scale)
        return cls(x_mean, x_scale, y_mean, y_scale)

    @classmethod
    def identity(cls, table: Table) -> Scaler:
        """No scaling: for tables that are drawn in scaled units."""
        d, n_tasks = table.x.shape[1], table.y.shape[1]
        return cls(np.zeros(d), np.ones(d), np.zeros(n_tasks), np.ones(n_tasks))

    def features(self, x: np.ndarray) -> np.ndarray:
        """Scaled features."""
        return (x - self.x_mean) / self.x_scale

    def labels(self, y: np.ndarray) -> np.ndarray:
        """Scaled labels (n, T)."""
        return (y - self.y_mean) / self.y_scale

    def label_units(self, z: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`labels`, for arrays whose last axis is the task."""
        return self.y_mean + self.y_scale * z
