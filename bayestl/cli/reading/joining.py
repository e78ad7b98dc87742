"""Tables that are written in parts, and joined to one file."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bayestl.cli.reading.writing import PARQUET, suffix, table_bytes
from bayestl.files.output import check_output, write_output

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 1 << 22
"""Bytes that are read at a time."""


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
