"""The validated table: the one border at which user data is checked, scaled and put in long form.

Behind it nothing sees a missing label: a table becomes :class:`~bayestl.inference.exact.Labels`, one entry a label.
Scaling (features and labels to zero mean and unit variance) is made here and undone here, by :class:`Scaler`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array

from bayestl.likelihoods import Bernoulli, Categorical, Censored, Ordinal
from bayestl.tasks import Task, TaskPart, match_tasks, task_parts

MANY_ZEROS = 0.2
"""From this fraction of exact zeros in a column without negatives a hurdle likelihood is suggested."""
MOST_CLASSES = 50
"""More distinct strings than this in a column are taken for a mistake."""


class Known(NamedTuple):
    """Labels of new rows, both (n, T) with NaN where not known: ``y`` and the upper end of its interval."""

    y: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Table:
    """Validated data in label units.

    ``x`` (n, d); ``y`` (n, T) with NaN where not measured, classes as positions; ``high`` (n, T) the upper end of labels
    that are known to lie in an interval (``y`` is the lower end, infinite where there is none), else equal to ``y``;
    ``se`` (n, T) known standard errors, 0 where not known; ``group`` (n,) codes into ``groups`` (-1: unknown) or None;
    ``index`` the rows' names.
    """

    x: np.ndarray
    y: np.ndarray
    high: np.ndarray
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

    @property
    def parts(self) -> tuple[TaskPart, ...]:
        """The parts of the tasks' labels, and the latent functions behind them."""
        return task_parts(self.tasks)


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


def label_frame(Y: Any, n: int, what: str = "Y", columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Labels as a table of n rows with a named column a task.

    Raises
    ------
    ValueError
        For duplicate columns or a number of rows other than ``n``.
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
    return Y.set_axis(names, axis=1)


def read_numbers(Y: pd.DataFrame, what: str) -> np.ndarray:
    """All columns as floats (n, T), NaN where there is nothing.

    Raises
    ------
    ValueError
        For text or infinity.
    """
    y = np.column_stack([_numeric_column(Y[name], name, what, "mend it") for name in Y.columns])
    _refuse(np.isinf(y), y, list(Y.columns), Y.index, what, "use NaN for what is not known")
    return y


def decide(task: Task, column: pd.Series) -> Task:
    """The task with its likelihood chosen and its classes named, from its column.

    Raises
    ------
    ValueError
        For classes that cannot be told from the column.
    """
    likelihood = task.likelihood
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if likelihood is None:
        if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered:
            likelihood = Ordinal()
        elif not is_number and _holds_classes(column):
            likelihood = Bernoulli() if len(_classes(column)) == 2 else Categorical()
        else:
            return task
    if isinstance(likelihood, Bernoulli | Categorical | Ordinal) and likelihood.classes is None:
        classes = _classes(column)
        if len(classes) < 2:
            held = f"only the class {classes[0]!r}" if classes else "no labels"
            raise ValueError(
                f"task {task.name!r} has {held}: a classifier needs two; name all classes in its likelihood, or drop the column"
            )
        if isinstance(likelihood, Bernoulli) and len(classes) > 2:
            raise ValueError(
                f"task {task.name!r} has {len(classes)} classes {list(classes)[:6]}: Bernoulli takes two, Categorical more"
            )
        if len(classes) > MOST_CLASSES:
            raise ValueError(
                f"column {task.name!r} of Y holds {len(classes)} different values such as {classes[0]!r}: "
                f"at most {MOST_CLASSES} classes are taken; turn it into numbers or group the classes"
            )
        likelihood = replace(likelihood, classes=classes)
    return replace(task, likelihood=likelihood)


def _holds_classes(column: pd.Series) -> bool:
    """Whether a column that is not of numbers holds names: one that is mostly numbers has a misprint instead."""
    there = column.dropna()
    if len(there) == 0:
        return False
    if isinstance(column.dtype, pd.CategoricalDtype) or all(isinstance(v, bool | np.bool_) for v in there):
        return True
    return pd.to_numeric(there, errors="coerce").notna().mean() < 0.5


def _classes(column: pd.Series) -> tuple[Hashable, ...]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return tuple(column.cat.categories)
    found = list(dict.fromkeys(v.item() if isinstance(v, np.generic) else v for v in column.dropna()))
    try:
        return tuple(sorted(found))
    except TypeError:
        return tuple(sorted(found, key=str))


_CENSORED = re.compile(r"\s*(?:([<>])\s*=?\s*(.*)|(.+?)\s*\.\.\s*(.+))\s*")


def encode(column: pd.Series, task: Task, what: str = "Y") -> tuple[np.ndarray, np.ndarray]:
    """Labels of one task as numbers (n,): the label or lower end of its interval, and the upper end.

    Raises
    ------
    ValueError
        For text that is no number, a class that the task does not have, a limit without a number, infinity, and
        labels that the likelihood cannot explain; naming column, row and value.
    """
    likelihood, name = task.observes, task.name
    if likelihood.classes_ is not None:
        y = _positions(column, likelihood.classes_, name, what)
        return y, y
    if isinstance(likelihood, Censored):
        y, high = _intervals(column, likelihood, name, what)
    else:
        y = _numeric_column(column, name, what, "mend it, or give the task a likelihood for classes")
        high = y
        _refuse(
            np.isinf(y)[:, None], y[:, None], [name], column.index, what, "use NaN for a label that was not measured"
        )
    bad, advice = likelihood.check(y)
    _refuse(bad[:, None], y[:, None], [name], column.index, what, advice)
    return y, high


def _positions(column: pd.Series, classes: Sequence[Hashable], name: str, what: str) -> np.ndarray:
    position = {c: float(k) for k, c in enumerate(classes)}
    y = np.full(len(column), np.nan)
    for i, value in enumerate(column):
        if pd.isna(value):
            continue
        value = value.item() if isinstance(value, np.generic) else value
        if value not in position:
            raise ValueError(
                f"column {name!r} of {what} holds {value!r} in {_row(column.index, i)}, which is none of the classes "
                f"{list(classes)}: mend it, or name all classes in the task's likelihood"
            )
        y[i] = position[value]
    return y


def _intervals(column: pd.Series, likelihood: Censored, name: str, what: str) -> tuple[np.ndarray, np.ndarray]:
    y, high = np.full(len(column), np.nan), np.full(len(column), np.nan)

    def number(text: Any, i: int) -> float:
        try:
            value = float(text)
        except (TypeError, ValueError):
            value = np.nan
        if not np.isfinite(value):
            raise ValueError(
                f"column {name!r} of {what} holds {column.iloc[i]!r} in {_row(column.index, i)}: a number is expected, "
                "'<' or '>' and a limit, or two numbers with '..' between them"
            )
        return value

    for i, value in enumerate(column):
        if pd.isna(value):
            continue
        found = _CENSORED.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            y[i] = high[i] = number(value, i)
        elif found[1] == "<":
            y[i], high[i] = -np.inf, number(found[2], i)
        elif found[1] == ">":
            y[i], high[i] = number(found[2], i), np.inf
        else:
            y[i], high[i] = number(found[3], i), number(found[4], i)
            if y[i] > high[i]:
                raise ValueError(
                    f"column {name!r} of {what} holds {value!r} in {_row(column.index, i)}: the lower end comes first"
                )
    if likelihood.lower is not None:
        y, high = (
            np.where(high <= likelihood.lower, -np.inf, y),
            np.where(high <= likelihood.lower, likelihood.lower, high),
        )
    if likelihood.upper is not None:
        beyond = y >= likelihood.upper
        y, high = np.where(beyond, likelihood.upper, y), np.where(beyond, np.inf, high)
    return y, high


def _suggest_hurdle(y: np.ndarray, name: str) -> None:
    there = y[~np.isnan(y)]
    zeros = int((there == 0).sum())
    if zeros >= 5 and zeros >= MANY_ZEROS * len(there) and (there >= 0).all() and zeros < len(there):
        warnings.warn(
            f"{zeros} of the {len(there)} labels of task {name!r} are exactly 0 and none is negative: "
            f"Task({name!r}, likelihood=Hurdle()) gives zero a probability of its own",
            UserWarning,
            stacklevel=4,
        )


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


def build_table(
    X: Any,
    Y: Any,
    Y_std: Any = None,
    groups: Any = None,
    tasks: Sequence[Task] | None = None,
    suggest: bool = True,
) -> Table:
    """Check what the user passed to ``fit``; ``suggest`` a likelihood where the default is a poor choice.

    Raises
    ------
    ValueError
        Naming the column, the row and the value, and saying what to do.
    """
    x, features, index, _ = read_features(X)
    frame = label_frame(Y, len(x))
    names = list(frame.columns)
    if isinstance(X, pd.DataFrame) and isinstance(Y, pd.DataFrame | pd.Series):
        _refuse_shuffled(X.index, Y.index)
    for name in names:
        if frame[name].isna().all():
            raise ValueError(f"task {name!r} has no labels: drop the column, or add at least one measurement")
    matched = [decide(task, frame[task.name]) for task in match_tasks(names, tasks)]
    columns = [encode(frame[task.name], task) for task in matched]
    y, high = (np.column_stack(side) for side in zip(*columns, strict=True))
    for t, task in enumerate(matched):
        if suggest and task.likelihood is None:
            _suggest_hurdle(y[:, t], task.name)
    se = np.zeros_like(y)
    if Y_std is not None:
        spread = label_frame(Y_std, len(x), "Y_std", names)
        if list(spread.columns) != names:
            if set(spread.columns) != set(names):
                raise ValueError(f"Y_std has the columns {list(spread.columns)}, Y has {names}: they must be the same")
            spread = spread[names]
        se = read_numbers(spread, "Y_std")
        _refuse(se < 0, se, names, index, "Y_std", "a standard error cannot be negative")
        se = np.where(np.isnan(se) | np.isnan(y), 0.0, se)
    group, group_names = (None, ()) if groups is None else encode_groups(groups, len(x))
    return Table(x, y, high, se, tuple(features), tuple(matched), index, group, group_names)


def _refuse_shuffled(a: pd.Index, b: pd.Index) -> None:
    if len(a) == len(b) and not a.equals(b) and a.is_unique and b.is_unique and set(a) == set(b):
        raise ValueError("X and Y have the same row names in different orders: align them, such as Y.loc[X.index]")


@dataclass(frozen=True)
class Scaler:
    """Location and scale of each feature and of the main part of each task; constant columns have scale one."""

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
        scales = [task.observes.scale(table.y[:, t]) for t, task in enumerate(table.tasks)]
        y_mean, y_scale = (np.array(side) for side in zip(*scales, strict=True))
        return cls(x_mean, x_scale, y_mean, y_scale)

    @classmethod
    def identity(cls, table: Table) -> Scaler:
        """No scaling: for tables that are drawn in scaled units."""
        d, n_tasks = table.x.shape[1], table.y.shape[1]
        return cls(np.zeros(d), np.ones(d), np.zeros(n_tasks), np.ones(n_tasks))

    def features(self, x: np.ndarray) -> np.ndarray:
        """Scaled features."""
        return (x - self.x_mean) / self.x_scale

    def units(self, part: TaskPart) -> tuple[float, float]:
        """Location and scale of a part: label units are ``location + scale * scaled units``; only main parts have any."""
        if part.role:
            return 0.0, 1.0
        return float(self.y_mean[part.task]), float(self.y_scale[part.task])

    def labels(self, y: np.ndarray, part: TaskPart, task: Task) -> np.ndarray:
        """Scaled labels (n,) of a part from those of its task (n,), NaN where it has none."""
        location, scale = self.units(part)
        return (task.observes.split(y)[part.role] - location) / scale

    def block(self, labels: Known, se: np.ndarray, part: TaskPart, task: Task) -> tuple[np.ndarray, ...]:
        """Scaled labels (n,) of a part, their known variances, and the upper ends of their intervals."""
        y, high = (self.labels(v[:, part.task], part, task) for v in labels)
        return y, (se[:, part.task] / self.units(part)[1]) ** 2, high

    def label_units(self, z: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`labels`, for arrays whose last axis is the task."""
        return self.y_mean + self.y_scale * z
