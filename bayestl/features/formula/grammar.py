"""The grammar of formulas, one function for each rule.

::

    formula = part, or mole fractions: number part - number part ...
    part    = term (dot term)*
    term    = [number] unit+
    unit    = (symbol | open formula close) [number]
"""

from __future__ import annotations

import re

from bayestl.features.formula.characters import read_characters
from bayestl.features.formula.elements import ATOMIC_NUMBER, ISOTOPES, Fault
from bayestl.features.formula.marks import number, read_marks
from bayestl.features.formula.tokens import Token, read_tokens

_SAMPLE = re.compile(r"[^_$\\{]*(_[0-9]+)\s*")
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def parse(text: str) -> tuple[dict[str, float], list[Token]]:
    """The amounts of the elements of a formula, in the order in which they appear, and its words.

    Raises
    ------
    Fault
        If it is not read.
    """
    if match := _SAMPLE.fullmatch(text):
        raise Fault(
            f"{match[1]} may be a subscript or the number of a sample: write it without the line", match.start(1)
        )
    tokens = read_marks(read_tokens(read_characters(text)))
    if not tokens:
        raise Fault("it holds no element")
    reader = _Reader(tokens)
    amounts = reader.formula()
    if (left := reader.next()) is not None:
        raise Fault(f"{left.text!r} closes what was not opened", left.place)
    if not any(amounts.values()):
        raise Fault("all of its amounts are zero")
    return {symbol: amount for symbol, amount in amounts.items() if amount}, tokens


class _Reader:
    """Reads the words of a formula from left to right."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.k = tokens, 0

    def next(self, *kinds: str) -> Token | None:
        """The next word, if it is of one of the kinds (of any, where none is named)."""
        token = self.tokens[self.k] if self.k < len(self.tokens) else None
        return token if token is not None and (not kinds or token.kind in kinds) else None

    def take(self, *kinds: str) -> Token | None:
        """The same, and go on behind it."""
        token = self.next(*kinds)
        self.k += token is not None
        return token

    def formula(self) -> dict[str, float]:
        """One part, or several with their mole fractions."""
        start = self.k
        parts, factors, signs = [], [], []
        while True:
            factors.append(self._factor())
            parts.append((self.k, self.part()))
            if (sign := self.take("sign")) is None:
                break
            signs.append(sign)
        if not signs:
            return parts[0][1]
        self._check_mixture(start, parts, factors, signs)
        return _sum([amounts for _, amounts in parts])

    def _factor(self) -> float | None:
        token = self.next("integer", "number")
        return None if token is None else number(token)

    def _check_mixture(
        self, start: int, parts: list[tuple[int, dict[str, float]]], factors: list[float | None], signs: list[Token]
    ) -> None:
        """Refuse a mixture whose shares are not clear."""
        place = signs[0].place
        if signs[0].text == "+" and any(factor is None for factor in factors[1:]):
            raise Fault("a sign within the formula: write a charge as ^{2+}, or leave it out", place)
        if any(len(amounts) == 1 for _, amounts in parts):
            raise Fault(
                f"'{signs[0].text}' joins elements, and whether by weight or by atoms is not clear: give amounts of atoms, such as Fe74Cr18Ni8",
                place,
            )
        if any(factor is None for factor in factors):
            raise Fault(
                f"'{signs[0].text}' joins parts without saying how much of each: write 0.5PbTiO3-0.5PbZrO3 for mole fractions, · for parts of one compound",
                place,
            )
        if abs(sum(f for f in factors if f is not None) - 1) > 0.011:
            raise Fault("mole fractions that do not add up to one: are they percent of weight?", place)

    def part(self) -> dict[str, float]:
        """Terms joined by dots."""
        terms = [self.term()]
        while self.take("dot", "cage"):
            terms.append(self.term())
        return _sum(terms)

    def term(self) -> dict[str, float]:
        """A factor and the units that it multiplies."""
        factor, units = self._factor(), []
        if factor is not None:
            self.k += 1
        while (unit := self.unit()) is not None:
            units.append(unit)
        if not units:
            token = self.next()
            if token is None:
                raise Fault("it ends where an element is expected")
            raise Fault(f"an element is expected in the place of {token.text!r}", token.place)
        amounts = _sum(units)
        return amounts if factor is None else {symbol: amount * factor for symbol, amount in amounts.items()}

    def unit(self) -> dict[str, float] | None:
        """An element or a bracket, with its amount."""
        mass = self.take("mass")
        if symbol := self.take("symbol"):
            element = ISOTOPES.get(symbol.text, symbol.text)
            if mass is not None and not _may_be_mass(mass.text, element):
                raise Fault(f"{mass.text} is no mass number of {symbol.text}: amounts are subscripts", mass.place)
            return {element: self.amount()}
        if mass is not None:
            raise Fault("a mass number without an element", mass.place)
        opened = self.take("open")
        if opened is None:
            return None
        first = self.next("integer")
        amounts = self.formula()
        if first is not None and len(amounts) == 1 and (opened.text == "[" or _may_be_mass(first.text, *amounts)):
            raise Fault(
                f"an isotope, or a number of atoms? Write ^{{{first.text}}}, or the number behind the element",
                first.place,
            )
        closed = self.take("close")
        if closed is None:
            raise Fault(f"{opened.text!r} is opened and does not close", opened.place)
        if _PAIRS[opened.text] != closed.text:
            raise Fault(f"{opened.text!r} is closed by {closed.text!r}", closed.place)
        amount = self.amount()
        return {symbol: n * amount for symbol, n in amounts.items()}

    def amount(self) -> float:
        """The amount behind an element or a bracket."""
        token = self.take("integer", "number")
        return 1.0 if token is None else number(token)


def _may_be_mass(digits: str, symbol: str) -> bool:
    """Whether a number may be the mass number of an isotope of an element."""
    z = ATOMIC_NUMBER[symbol]
    return z <= int(digits) <= 3 * z + 1


def _sum(parts: list[dict[str, float]]) -> dict[str, float]:
    """Amounts added up."""
    total: dict[str, float] = {}
    for amounts in parts:
        for symbol, amount in amounts.items():
            total[symbol] = total.get(symbol, 0.0) + amount
    return total
