"""Names of units as they are printed: powers raised, angstroms with their ring."""

from __future__ import annotations

import re

_RAISED = str.maketrans("0123456789-+", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺")
_SYMBOLS = (
    (re.compile(r"\bA(?=\^-?3\b)|\b[Aa]ng(?:strom)?s?\b"), "Å"),
    (re.compile(r"\bum\b"), "µm"),
    (re.compile(r"\bohm\b", re.IGNORECASE), "Ω"),
    (re.compile(r"\bdeg ?C\b"), "°C"),
)


def typeset(text: str) -> str:
    """A text in which the units that end it in brackets are typeset; the name before them stays as it is.

    Examples
    --------
    >>> typeset("V_0^2 (ln A^3/atom)"), unit_typeset("mol^-1 cm^3")
    ('V_0^2 (ln Å³/atom)', 'mol⁻¹ cm³')
    """
    match = re.fullmatch(r"(.* [(\[])(.+)([)\]])", text, re.DOTALL)
    return f"{match[1]}{unit_typeset(match[2])}{match[3]}" if match else text


def unit_typeset(unit: str) -> str:
    """A unit as it is printed."""
    for pattern, symbol in _SYMBOLS:
        unit = pattern.sub(symbol, unit)
    return re.sub(r"(?:\^|\*\*)(?:\(([-+]?\d+)\)|([-+]?\d+))", lambda m: (m[1] or m[2]).translate(_RAISED), unit)
