"""Tables of text: lines above the header, what separates cells, and rows that have as many cells as the header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from bayestl.cli.reading.margins import LOOKED_AT, end_of, units_below, units_told
from bayestl.cli.reading.numbers import shape
from bayestl.cli.reading.options import Reading

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
"""What may separate cells, the surest sign first, with its name."""
BELOW = 3
"""Rows below the names among which numbers are looked for: a row of units may come first."""
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_COMMENT = re.compile(r"(#|%|//)(?![\t;|,])")


class Sheet(NamedTuple):
    """The cells of a table as they are in the file, None or empty text where a cell is empty."""

    header: list[Any]
    rows: list[list[Any]]
    places: list[int]
    """The line of the file, or the row of the sheet, of each row."""
    place: str
    """What ``places`` are: ``"line"`` or ``"row"``."""
    assumed: list[str]
    separator: str | None = None
    units: Mapping[int, str] = {}
    """What a row of units says of a column, by its position."""
    notes: int | None = None
    """Where notes below the table begin."""


Records = list[tuple[int, list[str]]]


def split(text: str, path: Path, how: Reading) -> Sheet:
    """The cells of a table of text.

    Raises
    ------
    ValueError
        If the separator cannot be told, or a row has more or fewer cells than the header.
    """
    lines = list(io.StringIO(text, newline=""))
    top, separator, assumed, comment = above(lines, how)
    separator = how.sep or separator or _separator(lines[top:], path, top)
    if how.sep is None and separator != ",":
        assumed.append(f"cells separated by {SEPARATORS.get(separator, repr(separator))}")
    found = _records(lines[top:], separator, path, top)
    if comment is not None:
        words = next(iter(_records([comment], separator, path, 0)), (0, []))[1]
        if found and len(words) == len(found[0][1]) > 1 and any(map(shape, found[0][1])):
            found.insert(0, (top, words))
            assumed.append(f"the names of the columns are in line {top}, a comment")
    if not found:
        raise ValueError(f"{path} has no rows")
    kept = _without_title(found)
    if titles := [at for at, cells in found[: len(found) - len(kept)] if any(cells)]:
        assumed.append(f"line {', '.join(map(str, titles))} is a title")
    (line, header), *rows = kept
    if units := units_below(rows):
        assumed.append(units_told("line", rows[0][0], units))
        rows = rows[1:]
    end = end_of(rows, len(header))
    notes = rows[end][0] if end < len(rows) else None
    header, rows, further = _square(header, rows[:end], separator, path)
    places = [at for at, _ in rows]
    return Sheet(header, [cells for _, cells in rows], places, "line", assumed + further, separator, units, notes)


def above(lines: list[str], how: Reading) -> tuple[int, str | None, list[str], str | None]:
    """How many lines are above the table, the separator that they name, what was assumed, and the last comment."""
    top, separator, comments, last = how.skip_rows, None, 0, None
    if top < len(lines) and (match := _SEP_LINE.fullmatch(lines[top])):
        top, separator = top + 1, match[1]
    while top < len(lines) and (not lines[top].strip() or _COMMENT.match(lines[top])):
        if lines[top].strip():
            comments, last = comments + 1, _COMMENT.sub("", lines[top], count=1).strip()
        top += 1
    assumed = [f"{comments} comment line{'s' * (comments > 1)} left out"] if comments else []
    return top, separator, assumed, last


def _records(lines: list[str], separator: str, path: Path, above: int, most: int | None = None) -> Records:
    """The cells of each row with the line of the file on which it begins; blank lines are left out."""
    return list(islice(records(lines, separator, path, above), most))


def records(lines: Iterable[str], separator: str, path: Path, above: int) -> Iterator[tuple[int, list[str]]]:
    """The same, row by row; ``above`` is the number of lines before these."""
    begin = 1
    source = (line.strip() for line in lines) if separator == " " else lines
    reader = csv.reader(source, delimiter=separator, strict=True, skipinitialspace=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) or len(cells) > 1:
                yield above + begin, [cell.strip() for cell in cells]
            begin = reader.line_num + 1
    except csv.Error as error:
        at = above + reader.line_num
        raise ValueError(
            f"{path} has a cell that does not end, or text beside its quotes, in line {at} or before: {error}"
        ) from error


def _separator(lines: list[str], path: Path, top: int) -> str:
    """What separates the cells: that for which all rows have as many as the header."""
    found: dict[str, Records] = {}
    for candidate in SEPARATORS:
        try:
            found[candidate] = _records(lines, candidate, path, top, LOOKED_AT)
        except ValueError:
            continue
    for candidate, rows in found.items():
        kept = _without_title(rows)
        widths = {len(cells) for _, cells in kept[1:]} - {0}
        if kept and len(kept[0][1]) > 1 and (widths <= {len(kept[0][1])} or _trailing(kept)):
            return candidate
    most = {name: max((len(cells) for _, cells in rows), default=0) for name, rows in found.items()}
    if all(n < 2 for n in most.values()):
        words = [line.split() for line in lines if line.strip()]
        if words and len(words[0]) > 1 and {len(w) for w in words} == {len(words[0])} and len(words) > 1:
            raise ValueError(f"{path} has one column, or cells separated by blanks: then say --sep space")
        return ","
    fitting = {
        name: (
            sum(len(cells) == len(rows[0][1]) for _, cells in rows) if len(rows[0][1]) > 1 else 0,
            most[name],
        )
        for name, rows in found.items()
        if rows
    }
    return max(fitting, key=lambda name: fitting[name])


def rows_above(rows: Sequence[Sequence[Any]]) -> int:
    """How many rows are above the names: empty ones, and those with a title in the first column only."""
    full = [[cell for cell in row if cell not in ("", None)] for row in rows]
    first = next((k for k, cells in enumerate(full) if len(cells) > 1), 0)
    begin = next((j for j, cell in enumerate(rows[first]) if cell not in ("", None)), 0) if rows else 0
    titles = [row for row, cells in zip(rows[:first], full[:first], strict=True) if cells]
    if not titles:
        return first
    is_titled = all(len(row) > begin and row[begin] not in ("", None) for row in titles)
    has_names = all(isinstance(cell, str) and not shape(cell) for cell in full[first])
    below = [cells for cells in full[first + 1 :] if cells][:BELOW]
    has_numbers = any(not isinstance(cell, str) or shape(cell) for cells in below for cell in cells)
    return first if is_titled and has_names and has_numbers else 0


def _without_title(rows: Records) -> Records:
    """The rows from the names on."""
    return rows[rows_above([cells for _, cells in rows[:LOOKED_AT]]) :]


def _trailing(rows: Records) -> bool:
    """Whether each row ends in a separator that the header lacks."""
    (_, header), *rows = rows
    return bool(rows) and all(len(cells) == len(header) + 1 and not cells[-1] for _, cells in rows)


def _square(header: list[str], rows: Records, separator: str, path: Path) -> tuple[list[str], Records, list[str]]:
    """The table with as many cells in each row as there are names, and what was assumed."""
    n = len(header)
    if _trailing([(0, header), *rows]):
        return header, [(at, cells[:-1]) for at, cells in rows], ["each row ends in a separator that the header lacks"]
    if rows and not header[-1] and all(len(cells) == n - 1 for _, cells in rows):
        return header[:-1], rows, ["the header ends in a separator that the rows lack"]
    if rows and all(len(cells) == n + 1 for _, cells in rows):
        raise ValueError(
            f"{path}: each row has {n + 1} cells and the header {n}: name all columns, also that of the names of the rows; the "
            f"separator is taken for {separator!r} (another one: --sep), lines above the names are left out with --skip-rows"
        )
    if wrong := [(at, len(cells)) for at, cells in rows if len(cells) != n]:
        first = ", ".join(f"line {at} ({k})" for at, k in wrong[:3])
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"{path}: {first}{more}: other numbers of cells than the header ({n}), separated by {separator!r}: correct the rows (a cell "
            "that holds the separator, or a decimal comma, in quotes), or name the separator with --sep, lines above the header with --skip-rows"
        )
    return header, rows, []
