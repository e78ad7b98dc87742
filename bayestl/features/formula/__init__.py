"""Chemical formulas: from text to amounts of elements, by a grammar of its own, or an error that says where and why.

What people write for hydrates, charges, oxidation states, sub- and superscripts and phases is understood; what could mean
two things is refused.  Nothing is guessed, and no package is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from bayestl.features.formula.elements import ATOMIC_NUMBER, ISOTOPES, Fault, FormulaError
from bayestl.features.formula.grammar import parse
from bayestl.features.formula.marks import MOST
from bayestl.features.formula.misprints import check, suggestion

__all__ = ["FormulaError", "element_amounts", "fault_of", "formula_text"]


def element_amounts(formula: Any) -> dict[str, float]:
    """The amount of each element in a formula, in the order in which they appear.

    Parameters
    ----------
    formula : str, or mapping of element to amount
        The formula, or a composition of pymatgen, or a dict.

    Returns
    -------
    dict of str to float
        Deuterium and tritium count as hydrogen; charges, oxidation states and phases such as ``(aq)`` count nothing.

    Raises
    ------
    FormulaError
        If it is no formula or could be read in two ways; the message says where, and what to do.

    Examples
    --------
    >>> element_amounts("CuSO4.5H2O")
    {'Cu': 1.0, 'S': 1.0, 'O': 9.0, 'H': 10.0}
    >>> element_amounts("Fe(III)2O3")
    {'Fe': 2.0, 'O': 3.0}
    >>> element_amounts("nacl")
    Traceback (most recent call last):
    ...
    bayestl.features.formula.elements.FormulaError: 'nacl' is not read as a formula: 'nacl' is not made of symbols of elements: correct its capitals, or put words into a column of their own (character 1). Did you mean 'NaCl'?
    """
    amounts, fault = _read(formula)
    if fault:
        raise FormulaError(f"{formula!r} is not read as a formula: {fault}")
    return amounts


def fault_of(formula: Any) -> str:
    """Why a cell is not read as a formula, in words; nothing where it is."""
    return _read(formula)[1]


def formula_text(cell: Any) -> Any:
    """A composition as text that is read as the same amounts; every other cell, and what is none, as it is."""
    amounts, fault = _read(cell) if isinstance(cell, Mapping) else ({}, "")
    if fault or not amounts:
        return cell
    return "".join(f"{symbol}{np.format_float_positional(amount, trim='0')}" for symbol, amount in amounts.items())


def _read(formula: Any) -> tuple[dict[str, float], str]:
    """The amounts of the elements, and why there are none."""
    try:
        if isinstance(formula, Mapping):
            return _of_mapping(formula), ""
        if not isinstance(formula, str):
            raise Fault(f"it is of the type {type(formula).__name__}, not text")
        if not formula.strip():
            raise Fault("it is empty")
        amounts, tokens = parse(formula)
        check(amounts, tokens)
        return amounts, ""
    except Fault as fault:
        return {}, fault.reason + (suggestion(formula) if fault.misprint else "")


def _of_mapping(composition: Mapping[Any, Any]) -> dict[str, float]:
    """The amounts of the elements of a composition of pymatgen, whose keys may be ions, or of a dict."""
    amounts: dict[str, float] = {}
    for key, amount in composition.items():
        symbol = str(getattr(key, "symbol", key))
        symbol = ISOTOPES.get(symbol, symbol)
        if symbol not in ATOMIC_NUMBER:
            raise Fault(f"no element is called {symbol!r}")
        if isinstance(amount, bool) or not isinstance(amount, Real) or not 0 <= float(amount) <= MOST:
            raise Fault(f"the amount of {symbol} is {amount!r}: a number from 0 to a million is expected")
        if amount:
            amounts[symbol] = amounts.get(symbol, 0.0) + float(amount)
    if not amounts:
        raise Fault("it holds no element")
    return amounts
