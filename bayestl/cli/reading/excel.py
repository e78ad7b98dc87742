"""Tables in Excel workbooks, by openpyxl (the extra ``excel``)."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from bayestl.cli.reading.delimited import Sheet, rows_above
from bayestl.cli.reading.margins import LOOKED_AT, end_of, units_below, units_told
from bayestl.cli.reading.options import Reading


def load(path: Path, **options: Any) -> Any:
    """The workbook of openpyxl.

    Raises
    ------
    ValueError
        If openpyxl is not installed, or the file is no workbook.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise ValueError(f"{path}: Excel files need the extra: pip install 'bayestl[excel]'") from error
    try:
        return openpyxl.load_workbook(path, data_only=True, **options)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as Excel: {error}") from error


def sheet(path: Path, how: Reading) -> Sheet:
    """The cells of the sheet that is named, or the only one that holds data.

    Raises
    ------
    ValueError
        If several hold data, cells are merged, or a formula has no value.
    """
    how.refuse(path, ("sep", "decimal", "encoding"), "an Excel file")
    book = load(path)
    chosen, assumed = _chosen(book, path, how.sheet)
    rows = [
        (at, [_plain(cell) for cell in cells])
        for at, cells in enumerate(chosen.iter_rows(values_only=True), start=1)
        if at > how.skip_rows
    ]
    rows = [(at, cells) for at, cells in rows if any(cell is not None for cell in cells)]
    if not rows:
        raise ValueError(f"{path} has no rows")
    title = rows_above([cells for _, cells in rows[:LOOKED_AT]])
    if title:
        assumed.append(f"row {', '.join(str(at) for at, _ in rows[:title])} is a title")
    (top, header), *body = rows[title:]
    if units := units_below(body):
        assumed.append(units_told("row", body[0][0], units))
        body = body[1:]
    end = end_of(body, len(header))
    notes = body[end][0] if end < len(body) else None
    body = body[:end]
    _refuse_merged(chosen, top, body[-1][0] if body else top, path)
    _refuse_uncalculated(chosen, path)
    width = max(
        (
            k + 1
            for cells in [header, *(cells for _, cells in body)]
            for k, cell in enumerate(cells)
            if cell is not None
        ),
        default=0,
    )
    cells = [row[:width] for _, row in body]
    if hidden := sum(bool(chosen.row_dimensions[at].hidden) for at, _ in body):
        assumed.append(f"{hidden} hidden rows are read too")
    return Sheet(header[:width], cells, [at for at, _ in body], "row", assumed, units=units, notes=notes)


def _chosen(book: Any, path: Path, name: str | None) -> tuple[Any, list[str]]:
    """The sheet to read, and what was assumed."""
    sheets = {s.title: s for s in book.worksheets}
    if name is not None:
        if name in sheets:
            return sheets[name], []
        if name.isdecimal() and 0 < int(name) <= len(sheets):
            return book.worksheets[int(name) - 1], []
        raise ValueError(f"--sheet: {path} has no sheet {name!r}; its sheets are {list(sheets)}")
    full = [s for s in book.worksheets if any(v is not None for row in s.iter_rows(values_only=True) for v in row)]
    if len(full) > 1:
        raise ValueError(f"{path} has {len(full)} sheets with data, {[s.title for s in full]}: name one with --sheet")
    if not full:
        raise ValueError(f"{path} has no rows")
    return full[0], [f"sheet {full[0].title!r}"] if len(sheets) > 1 else []


def _plain(cell: Any) -> Any:
    if isinstance(cell, str):
        return cell.strip() or None
    return cell


def _refuse_merged(chosen: Any, top: int, last: int, path: Path) -> None:
    """Refuse merged cells from the header to the last row: all but the first of them are empty."""
    for cells in chosen.merged_cells.ranges:
        if cells.max_row >= top and cells.min_row <= last:
            raise ValueError(
                f"{path}: the cells {cells.coord} of sheet {chosen.title!r} are merged: divide them and fill each, or begin below them "
                "with --skip-rows"
            )


def _refuse_uncalculated(chosen: Any, path: Path) -> None:
    """Refuse formulas whose values the file does not hold, as other programs than Excel write them."""
    with zipfile.ZipFile(path) as archive:
        sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/") and name.endswith(".xml")]
        if not any(b"<f" in archive.read(name) for name in sheets):
            return
    import openpyxl

    formulas = openpyxl.load_workbook(path)[chosen.title]
    for row in formulas.iter_rows():
        for cell in row:
            if cell.data_type == "f" and chosen[cell.coordinate].value is None:
                raise ValueError(
                    f"{path}: cell {cell.coordinate} of sheet {chosen.title!r} has a formula without a value: open and save the file in "
                    "Excel or LibreOffice"
                )
