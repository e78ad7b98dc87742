"""A table that was read from a file: its cells, and its columns as numbers, text or labels, by what they are used for.

Whether a word such as ``NA`` stands for an empty cell depends on the use: in a column of numbers it does, in one of
formulas, names, groups or classes it is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayestl.cli.reading.columns import BOOLEANS, Evidence, Facts
from bayestl.cli.reading.margins import unit_in
from bayestl.cli.reading.numbers import fault, is_missing, number, numbers

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SHOWN = 3
"""Cells that a message shows."""


@dataclass
class FileTable:
    """Cells of a file: text or what Excel holds, None where they are empty; of Parquet, typed columns.

    ``places`` (n,) is the line or row of the file (``place`` says which) of each row of the table.
    """

    path: Path
    cells: pd.DataFrame
    places: np.ndarray
    place: str = "line"
    decimal: str = "."
    assumed: list[str] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    """Units of columns: from a row of units below the names or, where that has none, in brackets at the end of a name."""
    facts: dict[str, Facts] | None = None
    """What the columns hold, where these rows are part of a larger table; else these cells show it."""
    _read: dict[str, list[float | None]] = field(default_factory=dict, repr=False)
    _facts: dict[str, Facts] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.units = {name: unit for name in self.columns if (unit := self.units.get(name) or unit_in(name))}

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.cells.columns)

    @cached_property
    def kinds(self) -> dict[str, str]:
        """For each column ``"number"``, ``"truth"``, ``"date"``, ``"text"``, ``"limits"``, ``"mixed"`` or ``"empty"``."""
        return {name: self.fact(name).kind for name in self.columns}

    def fact(self, name: str) -> Facts:
        """What a column of the whole table holds."""
        if self.facts is not None:
            return self.facts[name]
        if name not in self._facts:
            self._facts[name] = self.evidence(name).facts()
        return self._facts[name]

    def evidence(self, name: str) -> Evidence:
        """What the cells of a column show."""
        column = self.cells[name]
        return Evidence.of(column, self._values(name) if column.dtype == object else None, self.limit)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The table with numbers where a column holds numbers, truth values where it holds those, and text elsewhere."""
        import pandas as pd

        return pd.DataFrame({name: self.plain(name) for name in self.columns}, index=self.cells.index)

    def plain(self, name: str) -> pd.Series:
        """A column (n,) as its own cells show it."""
        import numpy as np
        import pandas as pd

        kind, column = self.kinds[name], self.cells[name]
        if column.dtype != object:
            return column
        if kind == "empty":
            return pd.Series(np.nan, column.index, name=name)
        if kind == "number":
            return self.numbers(name)
        if kind == "truth":
            truth = column.map(lambda cell: BOOLEANS.get(str(cell).lower(), np.nan)).astype(object)
            return truth.astype(bool) if self.fact(name).full else truth
        if kind == "limits":
            return self.limits(name)
        return self.text(name)

    def _values(self, name: str) -> list[float | None]:
        """A column of cells as numbers (n,), NaN where one is empty, None where it is no number."""
        if name not in self._read:
            self._read[name] = numbers(list(self.cells[name]), self.decimal)
        return self._read[name]

    def numbers(self, name: str, cure: str = "", limits: str = "") -> pd.Series:
        """A column (n,) as numbers, NaN where it is empty or holds a word for that.

        ``cure`` is said of cells that are no numbers, beside what is wrong with the first; ``limits`` of such as ``<0.1``.

        Raises
        ------
        ValueError
            For cells that are none, which are counted; the first are shown.
        """
        import numpy as np
        import pandas as pd

        column = self.cells[name]
        if column.dtype != object and self.kinds[name] in ("number", "truth", "empty"):
            return column.astype(float) if self.kinds[name] != "number" else column
        values = self._values(name)
        wrong = np.array([value is None for value in values])
        if wrong.any():
            advice = self.cures(wrong, name, limits)
            raise ValueError(
                f"column {name!r} of {self.path.name} holds {self.where(wrong, name)}: no number; {advice}{cure}"
            )
        if self.fact(name).whole:
            with suppress(OverflowError):  # beyond 64 bits they are floating-point numbers
                return pd.Series([int(cell) for cell in column], column.index, dtype="int64", name=name)
        return pd.Series(values, column.index, dtype=float, name=name)

    def text(self, name: str) -> pd.Series:
        """A column (n,) as text, NaN where a cell is empty; words such as ``NA`` are text."""
        import numpy as np
        import pandas as pd

        from bayestl.table.names import spelled

        texts = [spelled(cell) for cell in self.cells[name]]
        return pd.Series([np.nan if t is None else t for t in texts], self.cells.index, dtype=object, name=name)

    def levels(self, name: str) -> pd.Series:
        """A column (n,) as text of categories: a truth value is ``True`` or ``False``, however the file spells it."""
        if self.kinds[name] != "truth":
            return self.text(name)
        return self.plain(name).astype(object).map(str, na_action="ignore")

    def limit(self, cell: Any) -> str | None:
        """A cell such as ``<0,1`` or ``1..2`` as a censored label reads it; None for others."""
        from bayestl.table.limits import LIMIT

        match = LIMIT.fullmatch(cell) if isinstance(cell, str) else None
        if match is None:
            return None
        ends = [number(end, self.decimal) for end in match.group(2, 3, 4) if end is not None]
        if any(end is None for end in ends):
            return None
        return f"{match[1]}{ends[0]!r}" if match[1] else f"{ends[0]!r}..{ends[1]!r}"

    def limits(self, name: str) -> pd.Series:
        """A column (n,) of numbers and limits such as ``<0.1``.

        Raises
        ------
        ValueError
            For cells that are neither.
        """
        import numpy as np
        import pandas as pd

        pairs = zip(self.cells[name], self._values(name), strict=True)
        values = [self.limit(cell) if value is None else value for cell, value in pairs]
        wrong = np.array([value is None for value in values])
        if wrong.any():
            raise ValueError(
                f"column {name!r} of {self.path.name} holds {self.where(wrong, name)}: neither a number nor a limit such as '<0.1', '>3' "
                "or '1..2'"
            )
        return pd.Series(values, self.cells.index, dtype=object, name=name)

    def cures(self, mask: np.ndarray, name: str, limits: str = "") -> str:
        """What to do about the first cells of a mask (n,) that are no numbers."""
        cells = [self.cells[name].iloc[i] for i in mask.nonzero()[0][:SHOWN]]
        words = [limits if limits and self.limit(cell) is not None else fault(cell, self.decimal) for cell in cells]
        return "; ".join(dict.fromkeys(words))

    def where(self, mask: Sequence[bool] | np.ndarray, name: str) -> str:
        """Cells of a column, chosen by a mask (n,): how many, and the first with their lines."""
        import numpy as np

        rows = np.flatnonzero(mask)
        cells = ", ".join(f"{_shown(self.cells[name].iloc[i])} in {self.place} {self.places[i]}" for i in rows[:SHOWN])
        return cells + (f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else "")

    @contextmanager
    def located(self) -> Iterator[None]:
        """A context in which an error that names a row by its position names its line in the file too."""
        try:
            yield
        except ValueError as error:
            text = with_places(str(error), self.line_of)
            position = re.sub(r"\(position (\d+)\)", lambda m: f"({self.line_of(int(m[1])) or m[0][1:-1]})", text)
            raise ValueError(position) from error

    def line_of(self, row: int) -> str | None:
        """Where in the file a row is, such as ``"line 7"``; None if it is not in the table."""
        return f"{self.place} {self.places[row]}" if row < len(self) else None

    def words_for_empty(self) -> list[str]:
        """Which words were taken for empty cells, for each column of numbers with such words."""
        found = []
        for name in self.columns:
            if self.cells[name].dtype == object and self.kinds[name] in ("number", "limits"):
                words = dict.fromkeys(c for c in self.cells[name] if isinstance(c, str) and is_missing(c))
                if words:
                    found.append(f"{', '.join(map(repr, words))} in {name!r}")
        return found


def with_places(text: str, line_of: Callable[[int], str | None]) -> str:
    """A text that names rows by their numbers, with the lines of the file beside them."""

    def placed(match: re.Match[str]) -> str:
        line = line_of(int(match[1]))
        return match[0] if line is None else f"{match[0]} ({line})"

    return re.sub(r"\brow (\d+)\b(?! \()", placed, text)


def _shown(cell: Any) -> str:
    import datetime

    return str(cell) if isinstance(cell, datetime.date | datetime.time) else repr(cell)
