"""From a file to a table, by what the file holds."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bayestl.cli.reading.delimited import Sheet, split
from bayestl.cli.reading.encodings import text_of
from bayestl.cli.reading.margins import notes_told
from bayestl.cli.reading.numbers import decimal_sign, shape
from bayestl.cli.reading.options import HOW, Reading
from bayestl.cli.reading.table import FileTable
from bayestl.cli.reading.writing import PARQUET, suffix

if TYPE_CHECKING:
    import pandas as pd

UNREAD = {".xls": "an old Excel file", ".xlsb": "a binary Excel file", ".ods": "a LibreOffice file"}


def read(path: Path, how: Reading = HOW, say: Callable[[str], None] = lambda text: None) -> FileTable:
    """The table in a file of text (CSV and its kin, also compressed), Excel or Parquet; ``say`` gets what was assumed.

    Raises
    ------
    ValueError
        If the file does not exist, has no rows, or cannot be read with certainty; the message names the option.
    """
    if not path.is_file():
        raise ValueError(f"{path} is a folder: name a file in it" if path.is_dir() else f"no file {path}")
    kind = suffix(path)
    if kind in UNREAD:
        raise ValueError(f"{path} is {UNREAD[kind]}, which is not read: save it as .xlsx or CSV")
    if kind in PARQUET:
        table = _parquet(path, how)
    elif kind in (".xlsx", ".xlsm"):
        from bayestl.cli.reading import excel

        table = of_cells(path, excel.sheet(path, how), how)
    else:
        how.refuse(path, ("sheet",), "a file of text")
        text, assumed = text_of(_bytes(path), path, how.encoding)
        table = of_cells(path, split(text, path, how), how)
        table.assumed[:0] = assumed
    if not len(table):
        raise ValueError(f"{path} has no rows")
    table.assumed += [f"taken for empty: {words}" for words in table.words_for_empty()]
    if table.assumed:
        say(f"{path.name}: {'; '.join(table.assumed)}")
    return table


def _bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked where its name ends in ``.gz``."""
    data = path.read_bytes()
    if not path.name.lower().endswith(".gz"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be unpacked as gzip: {error}") from error


def _parquet(path: Path, how: Reading) -> FileTable:
    """The table of a Parquet file."""
    import pandas as pd

    how.refuse(path, ("sep", "decimal", "encoding", "sheet"), "a Parquet file")
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise ValueError(f"{path}: Parquet files need the extra: pip install 'bayestl[parquet]'") from error
    except Exception as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from error
    return of_frame(frame.iloc[how.skip_rows :], path, how.skip_rows)


def of_frame(frame: pd.DataFrame, path: Path, first: int) -> FileTable:
    """The table of rows of a Parquet file, of which ``first`` come before; names of rows become a column."""
    import numpy as np
    import pandas as pd

    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(names=None if all(frame.index.names) else "Unnamed: 0")
    frame = frame.reset_index(drop=True)
    frame = frame.set_axis(_names([str(c) for c in frame.columns], path), axis=1)
    for name in frame:
        if isinstance(frame[name].dtype, pd.StringDtype):
            frame[name] = frame[name].astype(object)
        if frame[name].dtype == object:
            frame[name] = frame[name].where(frame[name].notna(), None)
    return FileTable(path, frame, 1 + first + np.arange(len(frame)), "row")


def of_cells(path: Path, sheet: Sheet, how: Reading) -> FileTable:
    """The table of the cells of a file: rows and nameless columns without any content are left out."""
    import numpy as np
    import pandas as pd

    from bayestl.table.names import spelled

    rows = [[None if cell == "" else cell for cell in row] for row in sheet.rows]
    kept = [i for i, row in enumerate(rows) if any(cell is not None for cell in row)]
    assumed = [*sheet.assumed, *left_out(sheet.place, sheet.notes, len(rows) - len(kept))]
    columns = list(zip(*(rows[i] for i in kept), strict=True)) or [()] * len(sheet.header)
    header = [" ".join((spelled(cell) or "").split()) for cell in sheet.header]
    full = [j for j, name in enumerate(header) if name or any(cell is not None for cell in columns[j])]
    names = _names([header[j] for j in full], path, [j + 1 for j in full])
    if names and all(map(shape, names)) and kept:
        raise ValueError(
            f"{path}: the names of the columns are numbers, {', '.join(names[:3])}: give the columns names, or say with --skip-rows how many "
            "lines are above them"
        )
    if nameless := [name for name in names if name.startswith("Unnamed: ") and name not in header]:
        assumed.append(f"nameless column{'s' * (len(nameless) > 1)} called {', '.join(nameless)}")
    chosen = [columns[j] for j in full]
    try:
        decimal = how.decimal or decimal_sign(chosen, sheet.separator)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if decimal == "," and how.decimal is None:
        assumed.append("decimal commas")
    cells = {name: pd.Series(list(column), dtype=object) for name, column in zip(names, chosen, strict=True)}
    places = np.array([sheet.places[i] for i in kept], dtype=int)
    units = {name: sheet.units[j] for name, j in zip(names, full, strict=True) if sheet.units.get(j, "-") != "-"}
    return FileTable(path, pd.DataFrame(cells), places, sheet.place, decimal, assumed, units)


def left_out(place: str, notes: int | None, empty: int) -> list[str]:
    """Which rows were left out: notes from a place on, and empty ones."""
    told = [] if notes is None else [notes_told(place, notes)]
    return told + ([f"{empty} empty row{'s' * (empty > 1)} left out"] if empty else [])


def _names(header: list[str], path: Path, positions: list[int] | None = None) -> list[str]:
    """Names of the columns; one that has none is called after its position, as pandas does.

    Raises
    ------
    ValueError
        If two columns have one name.
    """
    positions = positions or list(range(1, len(header) + 1))
    names = [name or f"Unnamed: {k - 1}" for name, k in zip(header, positions, strict=True)]
    if len(set(names)) < len(names):
        name = Counter(names).most_common(1)[0][0]
        at = [k for n, k in zip(names, positions, strict=True) if n == name]
        raise ValueError(
            f"{path} has {len(at)} columns named {name!r} (columns {', '.join(map(str, at))}): rename all but one"
        )
    return names
