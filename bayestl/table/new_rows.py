"""Rows to predict: their features, known labels and groups, matched to the fitted table.

A row of the fitted table is recognised: a model then knows that it is that row, and a label that it has learnt from counts
once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayestl.streams import Occurrences
from bayestl.table.columns import label_frame, read_features, with_names
from bayestl.table.groups import as_text, counts, encode_groups, plain_name, refuse_other_rows
from bayestl.table.measured import Measured, same_number
from bayestl.table.table import Table, read_labels, row_groups
from bayestl.table.task import Task


def feature_rows(X: Any, features: Sequence[str], named: bool, model: str) -> tuple[np.ndarray, pd.Index]:
    """Features (n, d) in the order of the fitted ones, and the names of the rows.

    ``named``: the fitted features have names, by which columns are matched.  ``model``: the name for error messages.

    Raises
    ------
    ValueError
        If a column is missing or the number of columns differs.
    """
    features = list(features)
    if isinstance(X, pd.DataFrame) and named:
        names = [str(c) for c in X.columns]
        if missing := [f for f in features if f not in names]:
            raise ValueError(f"X lacks the column {missing[0]!r} that the model was fitted with (missing: {missing})")
        X = X.loc[:, [n in features for n in names]]
    x, names, index, has_names = read_features(X)
    if has_names and named:
        x = x[:, [names.index(f) for f in features]]
    if x.shape[1] != len(features):
        raise ValueError(f"X has {x.shape[1]} features, but {model} is expecting {len(features)} features as input")
    return x, index


def known_labels(Y: Any, Y_std: Any, index: pd.Index, what: str, tasks: Sequence[Task]) -> Measured:
    """Labels (n, T) in the order of the tasks, with their standard errors; columns that are not given are empty.

    Raises
    ------
    ValueError
        If a column is no task, a label is not one that its task can have, or the rows are named otherwise than by
        ``index``.
    """
    names = [t.name for t in tasks]
    frame = label_frame(Y, len(index), what, names if not isinstance(Y, pd.DataFrame | pd.Series) else None)
    refuse_other_rows(index, Y, what)
    frame = with_names(frame, index)
    if len(names) == 1 and isinstance(Y, pd.Series):
        frame.columns = names
    if unknown := [g for g in frame.columns if g not in names]:
        raise ValueError(f"{what} has the column {unknown[0]!r}, which is no task of the model; the tasks are {names}")
    return read_labels(frame, Y_std, index, tasks, what)


class Rows(NamedTuple):
    """Rows to predict: scaled features ``x`` (n, d), and codes (n,) of their groups (-1: none) and rows.

    The row of the fitted table has its position there as its code; every other row has a code of its own.  ``learnt`` are
    the labels (n, T) that the model has learnt from these rows, ``further`` those known beyond them, ``given`` all those
    that were passed for this prediction; None for none.  ``twin`` (n,): how many of the rows before have the same features,
    also where these were asked about in an earlier part of the same table; None where that does not matter.
    """

    x: np.ndarray
    group: np.ndarray
    row: np.ndarray
    learnt: Measured | None = None
    further: Measured | None = None
    given: Measured | None = None
    twin: np.ndarray | None = None

    def at(self, rows: np.ndarray) -> Rows:
        """The rows at the given positions."""
        fields: Any = (None if v is None else v.at(rows) if isinstance(v, Measured) else v[rows] for v in self)
        some = Rows(*fields)
        return some if some.further is None else some._replace(further=_or_none(some.further))

    def before(self, others: Rows) -> Rows:
        """These rows, and below them others of the same table."""
        fields: Any = (_joined(a, b, len(self.x), len(others.x)) for a, b in zip(self, others, strict=True))
        return Rows(*fields)

    @property
    def known(self) -> Measured | None:
        """All labels known of the rows; where a label was measured again, the later value."""
        if self.learnt is None or self.further is None:
            return self.further if self.learnt is None else self.learnt
        return self.further.where(self.further.present, self.learnt)

    def further_key(self) -> bytes:
        """A digest of the rows with labels beyond those learnt, and of these labels."""
        assert self.further is not None
        at = self.further.present.any(axis=1)
        digest = hashlib.sha256()
        for values in (self.x, self.group, self.row, *self.further):
            digest.update(np.ascontiguousarray(values[at]).tobytes())
        return digest.digest()

    def fitted(self, n: int) -> np.ndarray:
        """Positions of the rows among the ``n`` fitted ones, -1 for other rows."""
        return np.where(self.row < n, self.row, -1)

    def among(self, rows: np.ndarray, n: int) -> Rows:
        """The same rows for a model fitted only to the given sorted ``rows`` of a table of ``n`` rows.

        To it the others are new rows, of which is known what was given for this prediction.
        """
        position = np.full(n, -1)
        position[rows] = np.arange(len(rows))
        fitted = self.row < n
        code = np.where(fitted, position[np.where(fitted, self.row, 0)], -1)
        lost = fitted & (code < 0)
        learnt, further = self.learnt, self.further
        if learnt is not None and lost.any():
            none = Measured.none(*learnt.y.shape)
            given, beyond = (none if v is None else v for v in (self.given, further))
            given = learnt.where(given.same(learnt), given)  # a label that is known with its error, too
            further = _or_none(given.where(lost[:, None], beyond))
            learnt = learnt.hidden(lost[:, None])
        return Rows(self.x, self.group, _with_new(code, n), learnt, further, self.given, self.twin)


def fitted_rows(table: Table, scaled: np.ndarray, rows: np.ndarray) -> Rows:
    """Rows of the fitted table, with its scaled features (n, d), at the given positions."""
    labels = table.labels.at(rows)
    return Rows(scaled[rows], row_groups(table)[rows], rows, labels, None, labels)


def unseen_rows(table: Table, scaled: np.ndarray, rows: np.ndarray, known: Measured | None = None) -> Rows:
    """Rows of a table, with its scaled features (n, d), for a model that was fitted to other rows of it."""
    return Rows(scaled[rows], row_groups(table)[rows], len(table.x) + np.arange(len(rows)), None, known, known)


@dataclass
class RowsSoFar:
    """What is known of a table whose rows are asked about part by part, so that each part is matched as in the whole table.

    ``counted``: names only count the rows; ``whole``: the rows are those of the fitted table, one by one; ``first``: the
    number of rows before the next part; ``groups``: all groups met, those of the fitted table first.
    """

    counted: bool
    whole: bool
    first: int = 0
    groups: tuple[Hashable, ...] | None = None
    occurrences: Occurrences = field(default_factory=Occurrences)


def in_place(table: Table, x: np.ndarray, names: pd.Index, counted: bool, first: int = 0) -> bool:
    """Whether rows are those of the fitted table from the position ``first`` on, one by one."""
    n, (names, fitted) = len(x), _comparable(table, names, counted)
    if x.shape[1:] != table.x.shape[1:] or first + n > len(fitted):
        return False
    return bool(same_number(x, table.x[first : first + n]).all()) and names.equals(fitted[first : first + n])


def match_rows(
    table: Table,
    scaled: np.ndarray,
    x: np.ndarray,
    names: pd.Index,
    groups: Any,
    observed: Measured | None,
    so_far: RowsSoFar | None = None,
) -> Rows:
    """Rows for a model fitted to ``table``, recognised where they are rows of it.

    Parameters
    ----------
    table : Table
        The fitted table.
    scaled, x : ndarray, shape (n, d)
        Features in scaled and in the user's units.
    names : Index
        Names of the rows.
    groups : array-like, shape (n,), optional
        Groups of the rows; by default a fitted row has the group that it had, any other row none.
    observed : Measured, optional
        Labels known of the rows.
    so_far : RowsSoFar, optional
        Of a part of a table, what the parts before have shown, which is brought up to date; by default it is the whole table.

    Raises
    ------
    ValueError
        If groups are given, but the fitted table has none.
    """
    n, n_fitted = len(x), len(table.x)
    if groups is not None and table.group is None:
        raise ValueError("groups= was given, but the model was fitted without groups")
    if so_far is None:
        so_far = RowsSoFar(counts(names), n == n_fitted and in_place(table, x, names, counts(names)))
    row = recognise(table, x, names, so_far)
    group = np.full(n, -1)
    fitted_group = row_groups(table)
    if groups is not None:
        known = table.groups if so_far.groups is None else so_far.groups
        group, so_far.groups = encode_groups(groups, names, known)
        row = np.where((row >= 0) & (group >= 0) & (fitted_group[row] != group), -1, row)
    group = np.where((group < 0) & (row >= 0), fitted_group[row], group)
    code, twin = _with_new(row, n_fitted + so_far.first), so_far.occurrences.of(scaled)
    so_far.first += n
    if (row < 0).all():
        return Rows(scaled, group, code, None, observed, observed, twin)
    learnt = table.labels.at(row).hidden(row[:, None] < 0)
    further = None if observed is None else _or_none(observed.hidden(observed.same(learnt)))
    return Rows(scaled, group, code, learnt, further, observed, twin)


def _or_none(labels: Measured) -> Measured | None:
    """The labels, None where there is no label at all."""
    return None if labels.empty else labels


def _joined(a: Any, b: Any, n_a: int, n_b: int) -> Any:
    """A field of two tables of rows, one below the other; where one has no labels, they are missing there."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.concatenate([a, b])
    some = a if isinstance(a, Measured) else b
    if not isinstance(some, Measured):
        return None
    of_a, of_b = (Measured.none(n, some.y.shape[1]) if v is None else v for v, n in ((a, n_a), (b, n_b)))
    return Measured(*map(np.concatenate, zip(of_a, of_b, strict=True)))


def _with_new(row: np.ndarray, first: int) -> np.ndarray:
    """Codes of rows, with a code of its own, from ``first`` on, for each that is not one of the fitted rows (-1)."""
    return np.where(row >= 0, row, first + np.arange(len(row)))


def recognise(table: Table, x: np.ndarray, names: pd.Index, so_far: RowsSoFar) -> np.ndarray:
    """Positions (n,) of rows in the fitted table, -1 where a row is not one of them.

    The whole fitted table, row by row, is recognised as such.  Of other tables a row is recognised by its name and its
    features together: the same name, and the same numbers (:func:`~bayestl.table.measured.same_number`).  Names that
    are given twice recognise nothing, nor do names that only count the rows (0, 1, 2, ...) in both tables: two tables that
    were read from files have such names in common, but not their rows.
    """
    if so_far.whole:
        return so_far.first + np.arange(len(x))
    if so_far.counted and counts(table.index):
        return np.full(len(x), -1)
    names, fitted = _comparable(table, names, so_far.counted)
    twice = fitted[fitted.duplicated()]
    position = np.where(names.isin(twice), -1, fitted.drop_duplicates(keep=False).get_indexer(names))
    place = np.flatnonzero(~fitted.isin(twice))  # positions of the names that are given once
    position = np.where(position >= 0, place[position] if len(place) else -1, -1)
    return np.where(same_number(x, table.x[position]).all(axis=1), position, -1)


def _comparable(table: Table, names: pd.Index, counted: bool) -> tuple[pd.Index, pd.Index]:
    """The names of rows and those of the fitted table, written alike."""
    if counted or counts(table.index):
        return _as_saved(names), _as_saved(table.index)
    known, fitted = (pd.Index([as_text(plain_name(n)) for n in v], dtype=object) for v in (names, table.index))
    return known, fitted


def _as_saved(names: pd.Index) -> pd.Index:
    """Names as a saved model has them: numbers and text, all others as their text."""
    if pd.api.types.is_integer_dtype(names.dtype):
        return names
    return pd.Index(list(map(plain_name, names)), dtype=object)
