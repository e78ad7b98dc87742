"""Tables to files: CSV and its kin, Excel, Parquet, by the suffix of the path."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

TEXT, EXCEL, PARQUET = (".csv", ".tsv", ".txt"), (".xlsx",), (".parquet", ".pq")


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
    if kind not in (*TEXT, *EXCEL, *PARQUET) or (packed and kind not in TEXT):
        raise ValueError(f"{path}: tables are written as .csv, .tsv, .txt (also with .gz), .xlsx or .parquet: choose one of these suffixes")


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a table in the format that the suffix of the path names.

    Raises
    ------
    ValueError
        If it names none, or the extra for it is not installed.
    """
    check_suffix(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = suffix(path)
    if kind in PARQUET:
        try:
            frame.to_parquet(path, index=False)
        except ImportError as error:
            raise ValueError(f"{path}: Parquet files need the extra: pip install 'bayestl[parquet]'") from error
    elif kind in EXCEL:
        _write_excel(frame, path)
    else:
        text = frame.to_csv(index=False, sep="," if kind == ".csv" else "\t", lineterminator="\n").encode()
        path.write_bytes(gzip.compress(text, mtime=0) if path.name.lower().endswith(".gz") else text)


def _write_excel(frame: pd.DataFrame, path: Path) -> None:
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
    book.save(path)
