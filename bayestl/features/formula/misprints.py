"""Formulas that can be read and are hardly meant: ``NIO``, ``Fe203``, ``TIO2``; and what may have been meant.

Each rule was compared with the formulas of all tables in ``bayestl.datasets``: it finds none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from bayestl.features.formula.elements import SYMBOLS, Fault, words
from bayestl.features.formula.grammar import parse
from bayestl.features.formula.tokens import Token

_CAPITALS = re.compile("(CU|NI|PB|NB|BI)(?=[A-Z]|[0-9]+[A-Z]|$)")
"""Beginnings of formulas without small letters that are an element, not two."""
_WHOLE = words("SI SIC SIO SIO2 SIN SI3N4 SNO SNO2 SNS SNS2 IN2O3 INN INP HFO2 HFC HFN HFB2 CSI COO CO3O4 SCN YB2O3")
_TRITIUM = re.compile("T[ABCEHIL](?![a-z])|D[BSY](?![a-z])")
_OXIDES = re.compile("(NI|CU|BI|PB|NB)O(?![a-z])")
_ROMAN = re.compile("II|IV(?![a-z])")
_TWICE = re.compile(r"([BCFHNPS])\1(?![a-z])")
_CARBONATE = re.compile("(Li2|Na2|K2|Rb2|Cs2|Ca|Sr|Ba|NaH|KH)Co3")
_LETTER_O = words("203 205 207 304 305 307 407 408")
_TWENTY = words("H Li Na Cu Ag Tl")
_ALLOYS = frozenset({"Ti6Al4V", "TiAl6V4", "Ti64", "Ti6Al7Nb", "Ti6Al2Sn4Zr2Mo", "Ti5Al2.5Sn", "Ti3Al2.5V"})
"""Alloys whose names hold percent of weight."""
_CAGES = frozenset(f"C{n}" for n in range(20, 200, 2))
_MISSING = frozenset({"nan", "none", "null", "na", "n/a", "n.a.", "-", "--", "?", "unknown", "nd", "n.d.", "missing"})


def check(amounts: dict[str, float], tokens: list[Token]) -> None:
    """Refuse a formula that can be read, but is a known misprint.

    Raises
    ------
    Fault
        If it is.
    """
    text = "".join(" " * t.spaced + t.text for t in tokens)
    plain = text.replace(" ", "")
    if plain in _ALLOYS:
        raise Fault("it is the name of an alloy, in percent of weight: give amounts of atoms")
    pair = _OXIDES.search(text) or _TRITIUM.search(text)
    if text == text.upper():
        pair = pair or _CAPITALS.match(text) or (re.match("[A-Z]{2}", text) if text in _WHOLE else None)
    if pair:
        symbol = pair[0][:2].capitalize()
        raise Fault(
            f"{pair[0][:2]} is read as two elements: is {symbol} meant? Else put a space between them", None, True
        )
    if _ROMAN.search(text):
        raise Fault("a Roman number is read as iodine: write an oxidation state in brackets, such as Fe(III)")
    if twice := _TWICE.search(text):
        raise Fault(f"{twice[0]} repeats an element, as a SMILES string does: write {twice[1]}2 if it is a formula")
    if _CARBONATE.fullmatch(plain):
        raise Fault("cobalt in the place of carbonate", None, True)
    if re.search(r"O(Ac|Pr|iPr|Bu|Me|Et|Ts)(?![a-z])", text):
        raise Fault("a group of atoms is abbreviated: write its elements, such as C2H3O2 for acetate")
    _check_letter_o(amounts, tokens)
    _check_neighbours(tokens)


def _check_letter_o(amounts: dict[str, float], tokens: list[Token]) -> None:
    """Refuse a zero in the place of oxygen."""
    integers = [t for t in tokens if t.kind == "integer" and not t.below]
    if "O" not in amounts and (found := [t for t in integers if t.text in _LETTER_O]):
        raise Fault(f"the number {found[0].text} without oxygen, perhaps for the letter O", found[0].place, True)
    if len(tokens) < 2 or tokens[-1].text != "20" or tokens[-1].below:
        return
    alone = len(tokens) == 2 and tokens[0].text in _TWENTY
    if alone or (tokens[-2].text == "H" and any(t.kind == "dot" for t in tokens)):
        raise Fault("the number 20 without oxygen, perhaps for the letter O", tokens[-1].place, True)


def _check_neighbours(tokens: list[Token]) -> None:
    """Refuse two formulas with a space between them, and a cage of anything but carbon."""
    pieces: list[set[str]] = [set()]
    depth = 0
    for k, token in enumerate(tokens):
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if token.kind in ("dot", "sign", "cage"):
            pieces = [set()]
        elif token.kind == "symbol":
            if token.spaced and not depth:
                pieces.append(set())
            pieces[-1].add(token.text)
            if any(len(a) > 1 and len(pieces[-1]) > 1 and a & pieces[-1] for a in pieces[:-1]):
                raise Fault(
                    "two formulas with a space between them: write · between parts of one compound", token.place
                )
        if token.kind == "cage" and "".join(t.text for t in tokens[k + 1 : k + 3]) not in _CAGES:
            raise Fault("'@' does not say how much of each there is: write the amounts", token.place)


def suggestion(text: str) -> str:
    """What may have been meant, in words; nothing where nothing is known."""
    plain = "".join(text.split())
    if plain.lower() in _MISSING:
        return ". Leave the cell empty where the formula is not known"
    found: list[str] = []
    for candidate in (re.sub("H20$", "H2O", plain), plain, re.sub(r"(?<=[A-Za-z)])0(?=[1-9A-Z]|$)", "O", plain), re.sub("(?<=[0-9])0(?=[0-9])", "O", plain),
                      re.sub("(?<=[0-9A-Za-z])0", "O", plain)):  # fmt: skip
        if not re.fullmatch(r"[A-Za-z\d().\[\]]{1,40}", candidate):
            continue
        for spelled in (candidate, *islice(_spelled(candidate), 4)):
            if spelled != text and spelled not in found and _reads(spelled):
                found.append(spelled)
            if spelled == candidate and found:
                break
    found = found[:2]
    return f". Did you mean {' or '.join(map(repr, found))}?" if found else ""


def _reads(text: str) -> bool:
    try:
        check(*parse(text))
    except Fault:
        return False
    return True


_RARE = words("Tc Pm Po At Rn Fr Ra Ac Pa Np Pu Am Cm")
_BY_LETTERS = {symbol.lower(): symbol for symbol in SYMBOLS[:96] if symbol not in _RARE}


def _spelled(text: str) -> Iterator[str]:
    """The text with its letters as symbols of elements, those with the fewest symbols first."""
    runs = re.split("([A-Za-z]+)", text)
    choices = [sorted(_symbols_of(run.lower()), key=len)[:4] if run.isalpha() else [[run]] for run in runs]
    if all(choices):
        first = "".join("".join(options[0]) for options in choices)
        yield first
        for k, options in enumerate(choices):
            for other in options[1:]:
                yield "".join("".join(other if k == j else of_run[0]) for j, of_run in enumerate(choices))


def _symbols_of(letters: str) -> list[list[str]]:
    """All ways to spell some small letters as symbols."""
    ways: list[list[list[str]]] = [[[]]]
    for end in range(1, len(letters) + 1):
        ways.append([])
        for size in (2, 1):
            if end >= size and (symbol := _BY_LETTERS.get(letters[end - size : end])):
                ways[end] += [[*way, symbol] for way in ways[end - size][:8]]
    return ways[-1]
