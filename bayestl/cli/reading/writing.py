"""Tables as the bytes of files, whole or joined from parts: CSV and its kin, Excel, Parquet, by the suffix of the path."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayestl.files.output import by_descriptor, check_output, write_output

if TYPE_CHECKING:
    import pandas as pd

TEXT, EXCEL, PARQUET = (".csv", ".tsv", ".txt"), (".xlsx",), (".parquet", ".pq")
CHUNK = 1 << 22
"""Bytes that are read at a time."""


def suffix(path: Path) -> str:
    """The suffix of a table's path, in small letters, without that of compression."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix


def check_suffix(path: Path) -> None:
    """Refuse a path whose suffix names no kind of table that can be written.

    Raises
    ------
    ValueError
        If it does not.
    """
    kind, packed = suffix(path), path.name.lower().endswith(".gz")
    if by_descriptor(path) or (os.path.exists(path) and not (path.is_file() or path.is_dir())):
        return  # a device, a pipe, or what a shell has opened gets CSV
    if kind not in (*TEXT, *EXCEL, *PARQUET) or (packed and kind not in TEXT):
        raise ValueError(
            f"{path}: tables are written as .csv, .tsv, .txt (also with .gz), .xlsx or .parquet: choose one of these suffixes"
        )


def table_bytes(frame: pd.DataFrame, path: Path) -> bytes:
    """A table in the format that the suffix of the path names.

    Raises
    ------
    ValueError
        If it names none, or the extra for it is not installed.
    """
    check_suffix(path)
    kind = suffix(path)
    if kind in PARQUET:
        buffer = io.BytesIO()
        try:
            _one_type_each(frame).to_parquet(buffer, index=False)
        except ImportError as error:
            raise ValueError(f"{path}: Parquet files need the extra: pip install 'bayestl[parquet]'") from error
        return buffer.getvalue()
    if kind in EXCEL:
        return _excel(frame, path)
    text = frame.to_csv(index=False, sep="\t" if kind in (".tsv", ".txt") else ",", lineterminator="\n").encode()
    return gzip.compress(text, mtime=0) if path.name.lower().endswith(".gz") else text


def _one_type_each(frame: pd.DataFrame) -> pd.DataFrame:
    """A table without columns of numbers and text: those are text, as a column of a Parquet file has one type."""
    from bayestl.table.names import spelled

    objects = [name for name in frame if frame[name].dtype == object]
    mixed = [
        name for name in objects if any(isinstance(v, Number) and not isinstance(v, bool) for v in frame[name].dropna())
    ]
    return frame.assign(**{name: frame[name].map(spelled, na_action="ignore") for name in mixed})


def _excel(frame: pd.DataFrame, path: Path) -> bytes:
    """A workbook with one sheet; text stays text, also where it begins like a formula."""
    try:
        import openpyxl
        from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE as ILLEGAL
    except ImportError as error:
        raise ValueError(f"{path}: Excel files need the extra: pip install 'bayestl[excel]'") from error
    import numpy as np
    import pandas as pd

    def plain(value: Any) -> Any:
        if pd.api.types.is_scalar(value) and pd.isna(value):
            return None
        if isinstance(value, np.generic):
            value = value.item()
        is_number = isinstance(value, bool | int | float) and abs(value) < float("inf")
        return value if is_number else ILLEGAL.sub("", str(value))

    if len(frame) >= 1048576 or len(frame.columns) > 16384:
        raise ValueError(f"{path}: a sheet of Excel holds 1048576 rows and 16384 columns: write .csv or .parquet")
    book = openpyxl.Workbook()
    page = book.active
    for i, row in enumerate([list(map(str, frame.columns)), *frame.itertuples(index=False, name=None)], start=1):
        for j, value in enumerate(map(plain, row), start=1):
            if value is not None:
                cell = page.cell(i, j, value)
                if isinstance(value, str):
                    cell.data_type = "s"
    page.freeze_panes = "A2"
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def part_bytes(frame: pd.DataFrame, output: Path, is_first: bool) -> bytes:
    """Some rows of a table, as a part of the output: text (only the first with names of columns) or Parquet."""
    if suffix(output) in PARQUET:
        return table_bytes(frame, Path("part.parquet"))
    text = table_bytes(frame, Path("part.tsv" if suffix(output) in (".tsv", ".txt") else "part.csv"))
    return text if is_first else text.partition(b"\n")[2]


def join(parts: Sequence[Path], output: Path) -> None:
    """Write the output from its parts, in one step."""
    check_output(output)
    if suffix(output) in PARQUET:
        _join_parquet(parts, joined := parts[0].with_name("joined"))
        parts = [joined]
    chunks = _chunks(parts)
    write_output(output, _packed(chunks) if output.name.lower().endswith(".gz") else chunks)


def _chunks(paths: Iterable[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


def _packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Bytes as gzip packs them, without a date."""
    packer = zlib.compressobj(9, wbits=31)
    for chunk in chunks:
        yield packer.compress(chunk)
    yield packer.flush()


def _join_parquet(parts: Sequence[Path], joined: Path) -> None:
    """One Parquet file of several; a column that is empty in some parts has the type of the others."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.unify_schemas([parquet.read_schema(part) for part in parts], promote_options="permissive")
    with parquet.ParquetWriter(joined, schema) as writer:
        for part in parts:
            writer.write_table(parquet.read_table(part).cast(schema))
