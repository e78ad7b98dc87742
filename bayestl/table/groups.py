"""Groups of rows as integer codes, and rows of two tables matched by their names: the one place for both."""

from __future__ import annotations

import datetime
import re
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayestl.table.cells import plain_table
from bayestl.table.names import cells, python_object

_LOST = frozenset(["nan", "NaN", "<NA>", "NaT"])
_WHOLE = re.compile(r"-?(0|[1-9]\d*)(\.0+)?", re.ASCII)


def plain_name(name: Any) -> Any:
    """The name of a row or group as a saved model has it: a number or text; of any other type (a date, a tuple) the text.

    A name that is missing (None, NaN, NaT) stays as it is.
    """
    if isinstance(name, tuple):
        return str(tuple(map(python_object, name)))
    if pd.api.types.is_scalar(name) and pd.isna(name):
        return name
    name = python_object(name)
    if isinstance(name, datetime.timedelta):  # pandas writes durations in words of its own, and has them in a Series
        name = pd.Timedelta(name)
    return name if isinstance(name, str | int | float | bool) else str(name)


def as_text(name: Any) -> Any:
    """The text by which the plain name of a row or group is known: ``"1"`` for 1, 1.0 and ``"1.0"``."""
    if isinstance(name, str):
        return name.partition(".")[0] if _WHOLE.fullmatch(name) else name
    if isinstance(name, float) and name.is_integer():
        return str(int(name))
    return str(name)


def refuse_other_rows(names: pd.Index, other: Any, what: str) -> None:
    """Raise if a second table of the same rows names other rows, or the same ones in another order.

    Names that only count the rows (0, 1, 2, ...) are no names: such a table, or an array, is taken row by row, unless the
    other table has the same numbers in another order.

    Raises
    ------
    ValueError
        If they do; the message names the first row that differs.
    """
    if not isinstance(other, pd.DataFrame | pd.Series):
        return
    others = other.index
    if len(names) != len(others) or names.equals(others):
        return
    if (counts(names) or counts(others)) and not (_numbers(names) and _numbers(others)):
        return
    differ = [a is not b and a != b for a, b in _pairs(names, others)]
    if not any(differ):  # of another type
        return
    i = differ.index(True)
    shuffled = sorted(map(str, names)) == sorted(map(str, others))
    same = "the same rows in another order" if shuffled else "other rows"
    cure = f"{what}.loc[X.index]" if shuffled and others.is_unique else f"{what}.set_axis(X.index)"
    raise ValueError(
        f"{what} has {same} than X: row {i} is {others[i]!r} in {what} and {names[i]!r} in X. Rows are matched by name: "
        f"align them, such as {cure}"
    )


def _pairs(names: pd.Index, others: pd.Index) -> Iterator[tuple[Any, Any]]:
    """Names of the same rows in two tables, as a saved model has them."""
    plain = ([plain_name(name) for name in index] for index in (names, others))
    without = ([None if pd.api.types.is_scalar(n) and pd.isna(n) else n for n in of_table] for of_table in plain)
    return zip(*without, strict=True)


def _numbers(names: pd.Index) -> bool:
    """Whether the names are the numbers of the rows (0, 1, 2, ...), in any order."""
    return bool(pd.api.types.is_integer_dtype(names.dtype)) and np.array_equal(
        np.sort(names.to_numpy()), np.arange(len(names))
    )


def counts(names: pd.Index) -> bool:
    """Whether the names only count the rows."""
    return bool(pd.api.types.is_integer_dtype(names.dtype)) and np.array_equal(names, np.arange(len(names)))


def encode_groups(
    groups: Any, index: pd.Index, known: Sequence[Hashable] | None = None
) -> tuple[np.ndarray, tuple[Hashable, ...]]:
    """Codes (n,) of the rows' groups, -1 where the group is missing, and the names of all groups.

    Known groups come first, in their order, then new ones in the order in which they appear.  Names are those of
    :func:`plain_name`; a number and its text are one group, for a column with one cell of text is read as text.

    Raises
    ------
    ValueError
        If ``groups`` does not have one entry per row, names other rows than ``index``, or holds the text of a missing value.
    """
    n = len(index)
    refuse_other_rows(index, groups, "groups")
    groups = groups if isinstance(groups, list | tuple) else plain_table(groups, "groups")
    if isinstance(groups, np.ndarray) and groups.dtype.kind in "mM":
        groups = pd.Series(groups.ravel())  # NumPy would make integers of them
    if isinstance(groups, pd.Series | pd.Index):
        values = list(groups)
    elif isinstance(groups, list | tuple) and any(isinstance(v, tuple) for v in groups):
        values = list(groups)  # NumPy would make columns of tuples
    else:
        values = list(np.asarray(groups, dtype=object).ravel())
    if len(values) != n:
        raise ValueError(f"groups= has {len(values)} entries for {n} rows")
    lost = np.array([isinstance(value, str) and value.strip() in _LOST for value in values], dtype=bool)
    if lost.any():
        raise ValueError(f"groups= holds {cells(values, index, lost)}, the text of a missing value: give None")
    names = list(known or ())
    position = {as_text(name): k for k, name in enumerate(names)}
    codes = np.full(n, -1)
    for i, name in enumerate(map(plain_name, values)):
        if pd.isna(name):
            continue
        key = as_text(name)
        if key not in position:
            position[key] = len(names)
            names.append(name)
        codes[i] = position[key]
    return codes, tuple(names)
