"""Predictions batch by batch, of tables that are larger than the memory: a row has the numbers that it has in the whole table.

A table comes as one object, as a file, or in parts.  Of the parts before is kept what the matching of rows needs
(:class:`~bayestl.table.new_rows.RowsSoFar`).  Labels known of rows that the model has not learnt from inform all rows of the
table, so these rows go with every batch (:func:`informing`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from bayestl.distributions import Predictive
from bayestl.distributions.at_rows import at_rows
from bayestl.files.frames import FrameFile
from bayestl.joint import Asked, JointLabels, LabelsOfLatent, Moments
from bayestl.table.groups import counts
from bayestl.table.measured import Measured
from bayestl.table.new_rows import Rows, RowsSoFar, in_place, match_rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table

BATCH = 4096
"""Rows of a batch."""
MOST_KNOWN = 10_000
"""Most rows with labels that the model has not learnt from: all of them are conditioned on together."""
_ARGUMENTS = ("X", "observed", "observed_std", "groups")


class Predicts(Protocol):
    """A fitted model, as far as its predictions are concerned."""

    table_: Table
    scaler_: Scaler

    def _joint(self, rows: Rows) -> JointLabels: ...

    def _informs_others(self) -> bool: ...

    def _new_rows(self, X: Any) -> tuple[np.ndarray, pd.Index]: ...

    def _known(self, names: pd.Index, observed: Any, observed_std: Any) -> Measured | None: ...

    def _named_rows(self, X: Any, observed: Any, observed_std: Any, groups: Any) -> tuple[Rows, pd.Index]: ...


class Batch(NamedTuple):
    """Rows that are predicted together, their names, and how many rows of the table come before them."""

    rows: Rows
    names: pd.Index
    first: int


class Informants(NamedTuple):
    """Rows whose labels inform all rows of a table, and their positions (m,) in it."""

    rows: Rows
    position: np.ndarray


class LabelsAt:
    """The joint distribution of labels at some ``rows`` of ``n`` (:class:`~bayestl.joint.JointLabels`)."""

    def __init__(self, whole: JointLabels, rows: np.ndarray, n: int) -> None:
        self._whole, self._rows, self._n = whole, rows, n

    def _padded(self, asked: Asked) -> Asked:
        if asked.measured is None:
            return asked
        padded = Measured.none(self._n, asked.measured.y.shape[1])
        for values, of_rows in zip(padded, asked.measured, strict=True):
            values[self._rows] = of_rows
        return asked._replace(measured=padded)

    def marginals(self, asked: Asked) -> list[Predictive]:
        """The predictive distribution of each task's labels."""
        return [at_rows(m, self._rows, self._n) for m in self._whole.marginals(self._padded(asked))]

    def moments(self, asked: Asked) -> Moments | None:
        """Latent values and noise where all tasks are Gaussian."""
        moments = self._whole.moments(self._padded(asked))
        if moments is None:
            return None
        weights, means, covariances, noise = moments
        return weights, means[:, self._rows], covariances[:, self._rows], noise

    def draws(self, n: int, generator: np.random.Generator, joint_rows: bool, asked: Asked) -> np.ndarray:
        """``n`` draws (n, rows, T)."""
        return self._whole.draws(n, generator, joint_rows, self._padded(asked))[:, self._rows]


def joint_of(model: Predicts, batch: Batch, informants: Informants | None) -> JointLabels:
    """The joint distribution of the labels of a batch, given those known of it and of the ``informants`` of its table."""
    rows, n = batch.rows, len(batch.names)
    if informants is None:
        return model._joint(rows)
    m = len(informants.position)
    place = np.searchsorted(informants.position, np.arange(batch.first, batch.first + n))
    informs = np.isin(np.arange(batch.first, batch.first + n), informants.position)
    place[~informs] = m + np.arange(n - informs.sum())
    others = np.flatnonzero(~informs)
    together = informants.rows.before(rows.at(others)) if len(others) else informants.rows
    whole = model._joint(together)
    alone = whole.at_rows(place) if isinstance(whole, LabelsOfLatent) else None
    return LabelsAt(whole, place, m + len(others)) if alone is None else alone


def batches_of(
    model: Predicts, X: Any, observed: Any, observed_std: Any, groups: Any, size: int
) -> tuple[Iterable[Batch], Informants | None]:
    """The batches of a table, and the rows of it whose labels inform all others.

    Raises
    ------
    ValueError
        If the size is no positive number, or parts come with arguments that each of them must have for itself.
    """
    if not (isinstance(size, int | np.integer) and size > 0):
        raise ValueError(f"size must be a positive number of rows, got {size!r}")
    parts = parts_in(X, model, int(size))
    if parts is None:
        rows, names = model._named_rows(X, observed, observed_std, groups)
        whole = [Batch(rows, names, 0)]
        return cut(whole, int(size)), informing(model, whole)
    if not (observed is None and observed_std is None and groups is None):
        raise ValueError(
            "observed=, observed_std= and groups= are those of one table: give each part of a larger one as a dictionary, "
            "such as {'X': part, 'observed': labels}"
        )
    if isinstance(parts, Iterator):
        return cut(_without_further(model, matched(model, parts)), int(size)), None
    informants = informing(model, matched(model, parts)) if _may_inform(model, parts) else None
    return cut(matched(model, parts), int(size)), informants


def parts_in(X: Any, model: Predicts, size: int) -> Iterable[Any] | None:
    """The parts in which a table comes; None where it is one table."""
    if isinstance(X, str | os.PathLike):
        named = hasattr(model, "feature_names_in_")
        return FrameFile(X, size, list(model.table_.features) if named else None)
    if isinstance(X, Iterator):
        return X
    if isinstance(X, list | tuple):
        is_part = bool(X) and (isinstance(X[0], pd.DataFrame | Mapping) or np.ndim(X[0]) == 2)
        return X if is_part else None
    is_table = isinstance(X, Mapping | pd.DataFrame) or hasattr(X, "shape") or hasattr(X, "__array__")
    return None if is_table or not isinstance(X, Iterable) else X


def _may_inform(model: Predicts, parts: Iterable[Any]) -> bool:
    """Whether labels come with some parts and inform rows of others; without, the parts are read once."""
    if not model._informs_others() or isinstance(parts, FrameFile):
        return False
    return not isinstance(parts, Sequence) or any(isinstance(p, Mapping) and "observed" in p for p in parts)


def cut(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """The same rows in batches of at most ``size`` rows."""
    for batch in batches:
        n = len(batch.names)
        for start in range(0, n, size):
            at = np.arange(start, min(start + size, n))
            yield batch if len(at) == n else Batch(batch.rows.at(at), batch.names[at], batch.first + start)


def informing(model: Predicts, batches: Iterable[Batch]) -> Informants | None:
    """The rows of all batches with labels that the model has not learnt from, where these inform other rows; else None.

    Raises
    ------
    ValueError
        If they are too many.
    """
    if not model._informs_others():
        return None
    found: Informants | None = None
    for rows, _, first in batches:
        if rows.further is not None:
            at = np.flatnonzero(rows.further.present.any(axis=1))
            here = Informants(rows.at(at), first + at)
            if found is not None:
                here = Informants(found.rows.before(here.rows), np.concatenate([found.position, here.position]))
            found = here
            if len(found.position) > MOST_KNOWN:
                raise ValueError(
                    f"more than {MOST_KNOWN} rows have labels that the model has not learnt from, and all of them inform all rows: "
                    "fit the model to a table with these rows too, or leave their labels out"
                )
    return found


def _without_further(model: Predicts, batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches of a table that is read once, where no label can inform the rows before it."""
    for batch in batches:
        if batch.rows.further is not None and model._informs_others():
            raise ValueError(
                "known labels inform all rows, those of earlier parts too, and an iterator can be read only once: give the parts "
                "as a list, or an object that can be iterated again"
            )
        yield batch


def matched(model: Predicts, parts: Iterable[Any], so_far: RowsSoFar | None = None) -> Iterator[Batch]:
    """The rows of a table that comes in parts, each part matched to the fitted table as in the whole table.

    Parts that look like the beginning of the fitted table are held back until it is known whether they are.

    Parameters
    ----------
    model : Predicts
        The fitted model.
    parts : iterable
        For each part its features, or a dictionary of arguments of ``posterior``.
    so_far : RowsSoFar, optional
        What parts before these have shown.

    Raises
    ------
    ValueError
        If a part cannot be read, or names its rows where those before only count theirs.
    """
    table, held = model.table_, list[tuple[np.ndarray, pd.Index, Any, Any]]()
    begin = 0 if so_far is None else so_far.first
    looks_alike = begin == 0 and (counts(table.index) or not table.index.is_unique)
    for number, part in enumerate(parts, start=1):
        given = dict(part) if isinstance(part, Mapping) else {"X": part}
        if unknown := [name for name in given if name not in _ARGUMENTS]:
            raise ValueError(f"part {number} has the entry {unknown[0]!r}; a part may have {list(_ARGUMENTS)}")
        if given.get("X") is None:
            raise ValueError(f"part {number} has no features: give them as 'X'")
        if len(given["X"]) == 0:
            continue
        x, names = model._new_rows(given["X"])
        known = model._known(names, given.get("observed"), given.get("observed_std"))
        count = pd.RangeIndex(begin, begin + len(x))
        if so_far is None:
            so_far = RowsSoFar(counts(names), False)
        elif so_far.counted and not (counts(names) or names.equals(count)):
            raise ValueError(
                f"part {number} names its rows, such as {names[0]!r}, and the parts before only count theirs: name the rows of all "
                "parts, or of none"
            )
        names = count if so_far.counted else names
        held.append((x, names, given.get("groups"), known))
        looks_alike = looks_alike and in_place(table, x, names, so_far.counted, begin)
        begin += len(x)
        if not looks_alike:
            yield from _flushed(model, held, so_far)
    if so_far is None:
        raise ValueError("Found array with 0 sample(s): X has no rows")
    so_far.whole = so_far.whole or (looks_alike and begin == len(table.x))
    yield from _flushed(model, held, so_far)


def _flushed(model: Predicts, held: list[Any], so_far: RowsSoFar) -> Iterator[Batch]:
    while held:
        x, names, groups, known = held.pop(0)
        first = so_far.first
        yield Batch(match_rows(model.table_, model.scaler_.features(x), x, names, groups, known, so_far), names, first)
