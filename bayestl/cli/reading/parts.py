"""Large tables in files, part by part; what their columns hold is known from a first reading of all of it.

UTF-8 text whose rows above its notes have as many cells as the header, and Parquet, are read in bounded memory.  Other files are read whole:
every rule of :func:`~bayestl.cli.reading.file.read`, and every message, is the same.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayestl.cli.reading.columns import Evidence, Facts
from bayestl.cli.reading.delimited import Sheet, above, records, split
from bayestl.cli.reading.encodings import FOREIGN
from bayestl.cli.reading.file import left_out, of_cells, of_frame, read
from bayestl.cli.reading.margins import LOOKED_AT, TooMany, above_notes
from bayestl.cli.reading.numbers import sign_of, spellings
from bayestl.cli.reading.options import HOW, Reading
from bayestl.cli.reading.table import FileTable, with_places
from bayestl.cli.reading.writing import PARQUET, TEXT, suffix

if TYPE_CHECKING:
    import pandas as pd

Say = Callable[[str], None]


class _Irregular(Exception):
    """The file is not as its beginning: it is read whole."""


class TableParts:
    """A table in a file as parts of at most ``size`` rows, each a :class:`FileTable`; it can be iterated again."""

    def __init__(self, path: Path, how: Reading = HOW, say: Say = lambda text: None, size: int = 4096) -> None:
        self.path, self.how, self.size = path, how, size
        self._whole: FileTable | None = None
        self._decimal, self._assumed = ".", list[str]()
        self.facts: dict[str, Facts] = {}
        try:
            if not path.is_file() or suffix(path) not in (*TEXT, *PARQUET) or path.stat().st_size < 1 << 16:
                raise _Irregular
            evidence = self._scan()
        except (_Irregular, UnicodeError, OSError, EOFError, TooMany, ValueError):
            self._whole = read(path, how, say)
            self.facts = {name: self._whole.fact(name) for name in self._whole.columns}
            self.n = len(self._whole)
        else:
            self.facts = {name: of_column.facts() for name, of_column in evidence.items()}
            words = dict.fromkeys(chain.from_iterable(part.words_for_empty() for part in self))
            assumed = [*self._assumed, *(f"taken for empty: {w}" for w in words)]
            if assumed:
                say(f"{path.name}: {'; '.join(assumed)}")

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.facts)

    @property
    def count(self) -> int:
        """The number of parts."""
        return -(-self.n // self.size)

    def __iter__(self) -> Iterator[FileTable]:
        return self.after(0)

    def after(self, skipped: int) -> Iterator[FileTable]:
        """The parts after some, which are read over."""
        import pandas as pd

        parts = self._slices() if self._whole is not None else self._parts()
        first = 0
        for number, make in enumerate(parts):
            if number < skipped:
                first += self.size
                continue
            part = make()
            part.cells = part.cells.set_axis(pd.RangeIndex(first, first + len(part)))
            part.facts = self.facts
            for name, fact in self.facts.items():
                if part.cells[name].dtype not in (fact.dtype, object):
                    part.cells[name] = part.cells[name].astype(fact.dtype)
            first += len(part)
            yield part

    @contextmanager
    def located(self) -> Iterator[None]:
        """A context in which an error that names a row by its number names its line in the file too."""
        if self.count == 1:
            with next(iter(self)).located():
                yield
            return
        try:
            yield
        except ValueError as error:
            raise ValueError(with_places(str(error), self._line_of)) from error

    def _line_of(self, row: int) -> str | None:
        first = 0
        for part in self:
            if row < first + len(part):
                return part.line_of(row - first)
            first += len(part)
        return None

    def _slices(self) -> Iterator[Callable[[], FileTable]]:
        """The parts of a table that was read whole."""
        whole = self._whole
        assert whole is not None
        for start in range(0, len(whole), self.size):
            rows = slice(start, start + self.size)
            yield lambda rows=rows: FileTable(  # type: ignore[misc]
                whole.path, whole.cells.iloc[rows], whole.places[rows], whole.place, whole.decimal, units=whole.units
            )

    def _parts(self) -> Iterator[Callable[[], FileTable]]:
        if suffix(self.path) in PARQUET:
            yield from self._of_parquet()
            return
        for sheet in self._sheets():
            how = Reading(sep=self.how.sep, decimal=self._decimal)
            yield lambda sheet=sheet, how=how: of_cells(self.path, sheet, how)  # type: ignore[misc]

    # --------------------------------------------------------------------------------------------------- first reading

    def _scan(self) -> dict[str, Evidence]:
        """What the columns show, from all parts."""
        if suffix(self.path) not in PARQUET:
            self._decimal = self.how.decimal or self._sign()
        evidence: dict[str, Evidence] = {}
        self.n = 0
        for make in self._parts():
            part = make()
            if evidence and list(evidence) != part.columns:
                raise _Irregular
            self.n += len(part)
            for name in part.columns:
                of_part = part.evidence(name)
                evidence.setdefault(name, of_part) if name not in evidence else evidence[name].add(of_part)
        if self.n <= self.size:
            raise _Irregular  # one part
        if suffix(self.path) not in PARQUET:
            commas = ["decimal commas"] * (self._decimal == "," and self.how.decimal is None)
            self._assumed = [*self._head.assumed, *left_out("line", self._notes, self._empty), *commas]
        return evidence

    def _sign(self) -> str:
        """The decimal sign of a file of text."""
        example: dict[str, str] = {}
        for sheet in self._sheets():
            for kind, text in spellings(zip(*sheet.rows, strict=True)).items():
                example.setdefault(kind, text)
        return sign_of(example, self._head.separator)

    # ------------------------------------------------------------------------------------------------------------ text

    def _sheets(self) -> Iterator[Sheet]:
        """Rows of a file of text, ``size`` at a time; the beginning says how all of them are read."""
        with ExitStack() as stack:
            lines = self._lines(stack)
            beginning = list(islice(lines, LOOKED_AT))
            if not hasattr(self, "_head"):
                self._begin(beginning)
            head, n = self._head, len(self._head.header)
            rows = records(chain(beginning[self._top :], lines), head.separator or ",", self.path, self._top)
            notes, empty = list[int](), 0
            body = above_notes((row for row in rows if row[0] >= head.places[0]), n, notes)

            def full() -> Iterator[tuple[int, Any]]:
                nonlocal empty
                for at, row in body:
                    if any(row):
                        yield at, row
                    else:
                        empty += 1

            cells = full()
            while block := list(islice(cells, self.size)):
                if any(len(row) != n for _, row in block):
                    raise _Irregular
                places = [at for at, _ in block]
                yield Sheet(head.header, [row for _, row in block], places, "line", [], head.separator, head.units)
            self._notes, self._empty = next(iter(notes), None), empty

    def _begin(self, lines: list[str]) -> None:
        """Read the beginning as if it were all of the file."""
        self.how.refuse(self.path, ("sheet",), "a file of text")
        head = split("".join(lines), self.path, self.how)
        if not head.rows or not all(head.header) or any("separator that" in words for words in head.assumed):
            raise _Irregular
        self._head, self._top = head, above(lines, self.how)[0]

    def _lines(self, stack: ExitStack) -> Iterator[str]:
        """The lines of a file of UTF-8 text, packed or not."""
        if (self.how.encoding or "utf-8").lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
            raise _Irregular
        raw: Any = stack.enter_context(self.path.open("rb"))
        if self.path.name.lower().endswith(".gz"):
            raw = stack.enter_context(gzip.GzipFile(fileobj=raw))
        start = raw.read(8192)
        raw.seek(0)
        if any(start.startswith(mark) for mark in FOREIGN) or b"\0" in start or start.lstrip().startswith(b"<"):
            raise _Irregular
        for line in stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")):
            if "\0" in line:
                raise _Irregular
            yield line

    # --------------------------------------------------------------------------------------------------------- Parquet

    def _of_parquet(self) -> Iterator[Callable[[], FileTable]]:
        """Rows of a Parquet file, ``size`` at a time."""
        self.how.refuse(self.path, ("sep", "decimal", "encoding", "sheet"), "a Parquet file")
        try:
            from pyarrow.parquet import ParquetFile
        except ImportError as error:
            raise _Irregular from error
        if self.how.skip_rows:
            raise _Irregular
        first = 0
        with ParquetFile(self.path) as file:
            for batch in file.iter_batches(self.size):
                yield lambda batch=batch, first=first: _frame(batch, self.path, first)  # type: ignore[misc]
                first += batch.num_rows


def _frame(batch: Any, path: Path, first: int) -> FileTable:
    """The rows of a batch; a column of categories is text, for each batch has its own."""
    frame: pd.DataFrame = batch.to_pandas()
    for name in frame:
        if str(frame[name].dtype) == "category":
            frame[name] = frame[name].astype(object)
    return of_frame(frame, path, first)
