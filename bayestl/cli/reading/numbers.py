"""Numbers as people write them: which decimal sign a file has, which words stand for an empty cell, what is wrong with others."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

MISSING = frozenset({"na", "n/a", "#n/a", "<na>", "nan", "null", "none", "-", "--", "\u2013", "\u2014", "?", "."})
"""Words, in small letters, that stand for an empty cell in a column of numbers; in a column of text they are text."""
_NUMBER = {
    sign: re.compile(rf"[+-]?([0-9]+{mark}?[0-9]*|{mark}[0-9]+)([eE][+-]?[0-9]+)?")
    for sign, mark in ((".", r"\."), (",", ","))
}
_PLAIN = {sign: re.compile(rf"[0-9+\-eE{sign}]*") for sign in (".", ",")}
_WHOLE = re.compile(r"[+-]?[0-9]+")
_SHAPES = {
    "whole": re.compile(r"[+-]?[0-9]+([eE][+-]?[0-9]+)?"),
    "comma or thousands": re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}"),
    "point or thousands": re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}"),
    "thousands": re.compile(r"[+-]?[1-9][0-9]{0,2}(([.,'\u2019 \xa0\u202f\u2009])[0-9]{3})(\2[0-9]{3})+|[+-]?[1-9][0-9]{0,2}(['\u2019 \xa0\u202f\u2009][0-9]{3})+([.,][0-9]*)?"),
    "comma and thousands": re.compile(r"[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+,[0-9]*"),
    "point and thousands": re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+\.[0-9]*"),
    "comma": _NUMBER[","],
    "point": _NUMBER["."],
}  # fmt: skip
_EXCEL_ERROR = re.compile(r"#(DIV/0!|REF!|VALUE!|NAME\?|NUM!|NULL!|SPILL!|CALC!)|#+", re.IGNORECASE)
_LIMIT_WITH_COMMA = re.compile(r"\s*[<>≤≥]\s*=?\s*[+-]?[0-9]+,[0-9]+\s*")
_WITH_ERROR = re.compile(r"[+-]?[0-9.,]+\s*(±|\+/-|\+-|\([0-9]+\)).*")
_WITH_UNIT = re.compile(r"([+-]?[0-9.,]+([eE][+-]?[0-9]+)?)\s*[^\W\d_%°][^<>]*|[+-]?[0-9.,]+\s*[%°].*")


_WITH_BLANK = re.compile(r"[+-]?[0-9.,]+([eE][+-]?[0-9]+)?(\s+[^\W\d_].*|\s*[%°].*)")

LOOKED_AT = 500
"""Cells that tell whether a column holds numbers."""


def is_missing(cell: Any) -> bool:
    """Whether a cell of a column of numbers is empty, or a word for that."""
    if isinstance(cell, str):
        return not cell or cell.lower() in MISSING
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def number(cell: Any, decimal: str) -> float | None:
    """A cell as a finite number; None for all else."""
    if isinstance(cell, str):
        text = cell.replace("\u2212", "-")
        value = float(text.replace(",", ".")) if _NUMBER[decimal].fullmatch(text) else math.nan
    elif isinstance(cell, Real) and not isinstance(cell, bool | np.bool_):
        value = float(cell)
    else:
        return None
    return value if math.isfinite(value) else None


def numbers(cells: Sequence[Any], decimal: str) -> list[float | None]:
    """Cells of a column as numbers: NaN where one is empty or a word for that, None where it is no number."""
    texts = [cell for cell in cells if cell is not None]
    if all(isinstance(cell, str) for cell in texts) and _PLAIN[decimal].fullmatch("".join(texts)):
        try:  # most columns; of these signs Python reads what _NUMBER does
            values = [math.nan if cell is None else float(cell.replace(",", ".")) for cell in cells]
        except ValueError:
            values = [math.inf]
        if not any(map(math.isinf, values)):
            return list(values)
    return [math.nan if is_missing(cell) else number(cell, decimal) for cell in cells]


def is_whole(cell: Any) -> bool:
    """Whether a cell is a whole number, written so."""
    if isinstance(cell, str):
        return bool(_WHOLE.fullmatch(cell))
    return isinstance(cell, int | np.integer) and not isinstance(cell, bool)


def is_code(cell: Any) -> bool:
    """Whether digits are a name rather than an amount: zeros in front, or more digits than a number keeps."""
    return isinstance(cell, str) and cell.isdigit() and (len(cell) > 15 or (len(cell) > 1 and cell[0] == "0"))


def shape(text: str) -> str | None:
    """How a number is written, one of the keys of ``_SHAPES``; None for what looks like no number."""
    text = text.replace("\u2212", "-")
    return next((name for name, pattern in _SHAPES.items() if pattern.fullmatch(text)), None)


def decimal_sign(columns: Iterable[Sequence[Any]], separator: str | None) -> str:
    """The decimal sign of a file, from the cells of its columns.

    Raises
    ------
    ValueError
        If both signs are possible or both occur.
    """
    return sign_of(spellings(columns), separator)


def spellings(columns: Iterable[Sequence[Any]]) -> dict[str, str]:
    """Of each way in which numbers are written in columns the first example."""
    example: dict[str, str] = {}
    for column in columns:
        texts = [cell for cell in column if isinstance(cell, str) and not is_missing(cell)]
        some = texts[:: 1 + len(texts) // LOOKED_AT]
        if 2 * sum(shape(text) is not None for text in some) >= len(some):
            for sign, certain in ((",", "comma"), (".", "point")):
                for text in texts:
                    if sign in text and (kind := shape(text)):
                        example.setdefault(kind, text)
                        if kind == certain:
                            break
    return example


def sign_of(example: Mapping[str, str], separator: str | None) -> str:
    """The decimal sign that examples of :func:`spellings` show.

    Raises
    ------
    ValueError
        If both signs are possible or both occur.
    """
    comma = example.get("comma") or example.get("comma and thousands")
    point = example.get("point") or example.get("point and thousands")
    if separator in (",", None):
        return "," if comma and not point else "."
    if comma and point:
        raise ValueError(
            f"it has decimal commas ({comma!r}) and decimal points ({point!r}): name its decimal sign with --decimal"
        )
    unsure = example.get("comma or thousands") or (separator == ";" and example.get("point or thousands"))
    if unsure and not (comma or point):
        raise ValueError(
            f"{unsure!r} may have a decimal sign or a thousands separator: name the decimal sign with --decimal"
        )
    return "," if comma else "."


def is_meant_as_number(cell: Any) -> bool:
    """Whether a cell is a number or an odd spelling of one, such as ``1.234,5``, ``0.1(2)``, ``5 %`` or ``#DIV/0!``."""
    if not isinstance(cell, str):
        return isinstance(cell, Real) and not isinstance(cell, bool | np.bool_)
    odd = (_EXCEL_ERROR, _WITH_ERROR, _WITH_BLANK)
    return shape(cell) is not None or any(pattern.fullmatch(cell) for pattern in odd)


def fault(cell: Any, decimal: str) -> str:
    """What is wrong with a cell of a column of numbers, and the cure."""
    text = cell if isinstance(cell, str) else ""
    kind = shape(text)
    if kind and "thousands" in kind:
        return f"write numbers without thousands separators, with {decimal!r} as the decimal sign"
    if _NUMBER[decimal].fullmatch(text):
        return "it is too large: use another unit"
    if kind:
        return f"the decimal sign of the file is {decimal!r}: correct the cell, or name another one with --decimal"
    if decimal == "." and _LIMIT_WITH_COMMA.fullmatch(text):
        return "write the limit with a point as the decimal sign, such as <0.8"
    if _EXCEL_ERROR.fullmatch(text):
        return "an error of the spreadsheet: correct its formula, or leave the cell empty"
    if _WITH_ERROR.fullmatch(text):
        return "write the standard error in a column of its own, and name that with --std"
    if _WITH_UNIT.fullmatch(text):
        return "write the number alone, its unit in the name of the column"
    return "correct it, or leave it empty where it is not known"
