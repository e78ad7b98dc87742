"""What a column of a file holds, by its cells; what parts of it show adds up to what the whole column holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from bayestl.cli.reading.numbers import is_code, is_meant_as_number, is_whole

if TYPE_CHECKING:
    import pandas as pd

BOOLEANS = {"true": True, "false": False}
MOST_WORDS = 5_000
"""Different cells of a column that are remembered."""


class Facts(NamedTuple):
    """What a column holds."""

    kind: str
    """``"number"``, ``"truth"``, ``"date"``, ``"text"``, ``"limits"``, ``"mixed"`` or ``"empty"``."""
    whole: bool
    """Whether all of its cells are whole numbers."""
    full: bool
    """Whether no cell is empty."""
    dtype: Any = object
    """The type of a column of a Parquet file."""
    codes: bool = False
    """Whether its cells are numbers, some with zeros in front, as in ``"007"``: taken for text."""


@dataclass
class Evidence:
    """What cells of a column show of what it holds; sums over the parts of the column."""

    dtypes: list[Any] = field(default_factory=list)
    typed: str | None = None
    """The kind that the type of a column says; None for cells."""
    known: int = 0
    """Cells that are not empty."""
    odd: int = 0
    """Cells that are no numbers."""
    codes: int = 0
    whole: bool = True
    full: bool = True
    truths: bool = True
    times: bool = True
    limits: bool = True
    """Whether all odd cells are limits."""
    meant: int = 0
    """Cells that are meant as numbers."""
    numbers: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, column: pd.Series, values: Sequence[float | None] | None, limit: Callable[[Any], Any]) -> Evidence:
        """What a column shows; ``values`` are its cells as numbers, NaN where one is empty and None where it is none."""
        if values is None:
            return cls(
                [column.dtype], _kind_of_type(column), int(column.notna().sum()), full=bool(column.notna().all())
            )
        from bayestl.table.cells import is_time

        pairs = list(zip(column, values, strict=True))
        cells = [cell for cell, value in pairs if value is None or not math.isnan(value)]
        others = [cell for cell, value in pairs if value is None]
        meant = [cell for cell in cells if is_meant_as_number(cell)] if others else cells
        return cls(
            [column.dtype],
            None,
            len(cells),
            len(others),
            sum(map(is_code, cells)),
            all(map(is_whole, column)),
            len(cells) == len(column),
            all(isinstance(cell, bool) or str(cell).lower() in BOOLEANS for cell in cells),
            all(map(is_time, cells)) if others else not cells,
            all(limit(cell) is not None for cell in others),
            len(meant),
            set(map(str, meant)),
            set(map(str, cells)) - set(map(str, meant)),
        )

    def add(self, other: Evidence) -> None:
        """Take what another part of the column shows."""
        self.dtypes = list(dict.fromkeys([*self.dtypes, *other.dtypes]))
        self.typed = other.typed if self.typed in (None, "empty") else self.typed
        for name in ("known", "odd", "codes", "meant"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("whole", "full", "truths", "times", "limits"):
            setattr(self, name, getattr(self, name) and getattr(other, name))
        for name in ("numbers", "words"):
            if len(getattr(self, name)) < MOST_WORDS:
                getattr(self, name).update(getattr(other, name))

    def facts(self) -> Facts:
        """What the column holds."""
        kind = self._kind()
        codes = kind == "text" and self.typed is None and not self.odd
        return Facts(kind, self.whole, self.full, self._dtype(), codes)

    def _dtype(self) -> Any:
        import numpy as np

        if len(self.dtypes) == 1:
            return self.dtypes[0]
        is_number = all(isinstance(d, np.dtype) and d.kind in "iuf" for d in self.dtypes)
        return np.result_type(*self.dtypes) if is_number else object

    def _kind(self) -> str:
        if self.typed is not None:
            return self.typed
        if not self.known:
            return "empty"
        if not self.odd:
            return "text" if self.codes else "number"
        if self.truths:
            return "truth"
        if self.times:
            return "date"
        if self.limits:
            return "limits"
        few_words = len(self.numbers) > max(len(self.words), 2)  # such as "n.d." in most cells
        return "mixed" if few_words or 2 * self.meant >= self.known else "text"


def _kind_of_type(column: pd.Series) -> str:
    """The kind of a typed column."""
    from pandas.api import types

    if types.is_bool_dtype(column):
        return "truth"
    if types.is_numeric_dtype(column):
        return "number" if column.notna().any() else "empty"
    timed = types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column)
    return "date" if timed else "text"
