"""What stands around a table: a row of units below the names or units in them, and notes below the rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bayestl.cli.reading.numbers import is_missing, shape

LOOKED_AT = 2000
"""Rows from which separators and units are told."""
_SYMBOL = (
    r"(?:[kMGTmunpfcdµμ]?(?:eV|J|Pa|m|g|mol|s|Hz|W|V|A|K|C|N|L|l|T|F|S|Ω|Ohm|ohm|cal|bar|M|B|D|Wh)|°\s?[CF]|deg\s?C?|degrees?|Å|Å|[Aa]ng(?:strom)?s?|[aA]tm"
    r"|[tT]orr|min|h|hrs?|days?|hours?|kg|Ry|Ha|Hartree|Debye|rad|ln|log|log10|atoms?|f\.?u\.?|cell|ppm|ppb|a\.?\s?u\.?|arb\.?\s?u(?:nits|\.)?|GPa|HV|HB"
    r"|[µμ]B|mu_?B|wt\.?\s?%|at\.?\s?%|mol\.?\s?%|vol\.?\s?%|%|percent|‰|1|10)"
)
_SYMBOLS = rf"{_SYMBOL}(?:\s?(?:\^|\*\*)?[-−⁻+]?[\d⁰¹²³⁴-⁹]*(?:\s?[/·⋅*.×()]+\s?|\s|\sper\s)?{_SYMBOL})*(?:\^|\*\*)?[-−⁻+]?[\d⁰¹²³⁴-⁹]*\)?"
"""Symbols of units with powers between signs of products and quotients."""
_UNIT = re.compile(rf"\[[^\]]*\]|\([^)]*\)|(?:in\s)?{_SYMBOLS}")
"""A unit: text in brackets, or symbols."""
_IN_NAME = re.compile(rf".*?[^\s/·(\[]\s*(?:\((?:in\s)?({_SYMBOLS})\)|\[(?:in\s)?({_SYMBOLS})\])")
"""The name of a column with its unit in brackets at its end."""
_OTHER = re.compile(rf"\d+|[BCFNS]|(?!{_SYMBOL}$)(?:[A-Z][a-z]?\d*)+")
"""What in brackets is as likely a number or a formula, such as that of an adsorbate, as a unit."""
_NO_UNIT = re.compile(r"[-–—/]+|\[?\(?(?:units?|dimensionless|none|text|name|n/a|a)\)?\]?:?|\[[^\]]*\]", re.IGNORECASE)
"""What may stand in a row of units where there is none."""
_NOTE = re.compile(
    r"[*†‡§¶]+\s*\S+\s+\S|(?:sources?|notes?|foot-?notes?|references?|refs?|remarks?|comments?|abbreviations?|legend)\b[^,;]{0,12}[:.]\s*\S"
    r"|(?:data|values|measured|calculated|taken)\s+(?:are\s+)?(?:from|by|at|with)\s+\S|(?:\[(?:[a-z]|\d{1,3})\]|\(?(?:[a-z]|\d{1,3})\))\s+\S+\s+\S",
    re.IGNORECASE,
)
"""How a note below a table begins."""
_SENTENCE = re.compile(r"(?=.*[a-z]{3})\S+(?:\s+\S+){2,}", re.DOTALL)


class TooMany(Exception):
    """More rows than can be kept may be notes."""


Row = tuple[int, Sequence[Any]]
"""Where a row is in its file, and its cells."""


def unit_in(name: str) -> str:
    """The unit in brackets at the end of a column's name; nothing where the brackets hold something else.

    >>> unit_in("gap (eV)"), unit_in("rho [g cm^-3]"), unit_in("site (a)"), unit_in("energy (N)")
    ('eV', 'g cm^-3', '', '')
    """
    match = _IN_NAME.fullmatch(name.strip())
    unit = (match[1] or match[2]).strip() if match else ""
    return "" if _OTHER.fullmatch(unit) else unit


def units_below(rows: Sequence[Row]) -> dict[int, str]:
    """The units in the row below the names, by position; none where it is a row of data.

    Each of its cells is a unit above numbers, or empty, or a word such as ``"unit"`` above text.
    """
    units: dict[int, str] = {}
    below = [cells for _, cells in rows[1:LOOKED_AT]]
    for j, cell in enumerate(rows[0][1] if rows else ()):
        if cell in ("", None):
            continue
        if not isinstance(cell, str) or shape(cell):
            return {}
        column = [row[j] for row in below if j < len(row) and not is_missing(row[j])]
        numbers = sum(not isinstance(v, str) or bool(shape(v.lstrip("<>≤≥~ "))) for v in column)
        if 2 * numbers > len(column) and _UNIT.fullmatch(cell):
            units[j] = re.sub(r"^in\s|^\[(.*)\]$|^\(([^()]*)\)$", r"\1\2", cell).strip()
        elif not _NO_UNIT.fullmatch(cell):
            return {}
    return units


def units_told(place: str, at: int, units: Mapping[int, str]) -> str:
    """That a row was taken for units."""
    return f"{place} {at} holds units ({', '.join(units.values())})"


def notes_told(place: str, at: int) -> str:
    """That rows were taken for notes."""
    return f"the text from {place} {at} on is taken for notes and left out"


def end_of(rows: Sequence[Row], width: int) -> int:
    """How many rows are above the notes below a table with so many columns.

    Notes are the last rows that begin like one, and above them sentences after an empty row; an empty row may be blank, or have
    empty cells as wide as the table.
    """
    full = [k for k, (_, cells) in enumerate(rows) if _content(cells)]
    end = len(full)
    while end > 1 and _is_note(rows[full[end - 1]][1], width):
        end -= 1

    def is_apart(k: int) -> bool:
        return full[k] > full[k - 1] + 1 or rows[full[k]][0] > rows[full[k - 1]][0] + 1

    apart = next((k for k in range(end - 1, 0, -1) if is_apart(k)), end)
    if all(_is_sentence(rows[k][1]) for k in full[apart:end]):
        end = apart
    return full[end] if end < len(full) else len(rows)


def above_notes(rows: Iterable[Row], width: int, found: list[int]) -> Iterator[Row]:
    """The same rows one by one: those above the notes, of which the place of the first is added to ``found``.

    Raises
    ------
    TooMany
        If more rows than can be kept may be notes.
    """
    kept: list[Row] = []
    for row in rows:
        if _content(row[1]) and not (_is_note(row[1], width) or _is_sentence(row[1])):
            yield from kept
            kept = [row]
        elif len(kept) <= LOOKED_AT:
            kept.append(row)
        else:
            raise TooMany
    end = end_of(kept, width)
    yield from kept[:end]
    found += [at for at, _ in kept[end : end + 1]]


def _content(cells: Sequence[Any]) -> list[Any]:
    """The cells that are not empty."""
    return [cell for cell in cells if cell not in ("", None)]


def _is_note(cells: Sequence[Any], width: int) -> bool:
    """Whether a row is a note below a table: text that begins like one, alone in its row or cut at separators."""
    full = _content(cells)
    if width < 2 or not full or cells[0] != full[0] or not isinstance(full[0], str):
        return False
    return bool(_NOTE.match(full[0])) and (len(full) == 1 or len(cells) != width)


def _is_sentence(cells: Sequence[Any]) -> bool:
    """Whether a row is a text of three words or more in the first column, and nothing else."""
    full = _content(cells)
    return len(full) == 1 and cells[0] == full[0] and isinstance(full[0], str) and bool(_SENTENCE.fullmatch(full[0]))
