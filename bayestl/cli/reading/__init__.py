"""Tables in files: text of any usual dialect, Excel and Parquet; cells stay as they are until a use asks for a column."""

from __future__ import annotations

from bayestl.cli.reading.file import read
from bayestl.cli.reading.options import HOW, Reading, reads_tables
from bayestl.cli.reading.parts import TableParts
from bayestl.cli.reading.table import FileTable
from bayestl.cli.reading.writing import check_suffix, table_bytes

__all__ = ["HOW", "FileTable", "Reading", "TableParts", "check_suffix", "read", "reads_tables", "table_bytes"]
