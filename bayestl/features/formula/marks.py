"""What the dots, signs and slashes of a formula mean: decimals, water of crystallisation, charges, fractions.

``O4.5H2O`` is a decimal or a hydrate.  It is taken for a hydrate where the decimal would be no formula that anyone writes,
and refused where both could be meant.
"""

from __future__ import annotations

from bayestl.features.formula.elements import NONMETALS, Fault, words
from bayestl.features.formula.tokens import Token

MOST = 1e6
"""Largest amount that is taken for one."""
WATER = frozenset({"H2O", "D2O", "HDO", "OH2", "T2O"})
ADDUCTS = words("NH3 N2H4 CH3OH CH4O C2H5OH C2H6O CO2 SO2 SO3 HCl HBr HI HF H2O2 H2SO4 HNO3 CO H2 N2 O2")
IONS = words(
    "NH4+ PH4+ H3O+ H2F+ NO3- NO2- ClO2- ClO3- ClO4- BrO3- IO3- IO4- MnO4- HCO3- HSO3- HSO4- H2PO4- BF4- PF6- AsF6- SbF6- BH4- "
    "AlH4- AlCl4- FeCl4- ReO4- TcO4- VO3- BO2- AlO2- NH2- HF2- CF3SO3- C2H3O2- CH3CO2-"
)
"""Ions that are written without a sign that the number is an amount."""


def read_marks(tokens: list[Token]) -> list[Token]:
    """The words of a formula, with numbers in the place of integers, points and slashes, and without charges.

    Raises
    ------
    Fault
        Where a mark could mean several things.
    """
    tokens = _fractions(tokens)
    tokens = _without_charge(tokens)
    for k in reversed(range(len(tokens))):  # tokens are joined from the end
        if tokens[k].kind == "point":
            _read_point(tokens, k)
    _check_spaces(tokens)
    return tokens


def number(token: Token) -> float:
    """The value of an amount, checked."""
    if "/" in token.text:
        above, below = token.text.split("/")
        if float(below) == 0:
            raise Fault(f"{token.text} divides by zero", token.place)
        return float(above) / float(below)
    value = float(token.text)
    if token.text[0] == "0" and "." not in token.text:
        raise Fault(f"the number {token.text} begins with zero, perhaps for the letter O", token.place, True)
    if token.text[0] == "0" and token.text[1] != ".":
        raise Fault(f"the number {token.text} begins with zero", token.place)
    if value > MOST:
        raise Fault(f"the amount {token.text if len(token.text) < 20 else value} is above a million", token.place)
    return value


def _fractions(tokens: list[Token]) -> list[Token]:
    merged: list[Token] = []
    for token in tokens:
        if len(merged) > 1 and token.kind == "integer" and merged[-1].kind == "slash" and merged[-2].kind == "integer":
            slash, above = merged.pop(), merged.pop()
            if token.spaced or slash.spaced or int(token.text) > 1000:
                raise Fault("'/' is understood between the two numbers of a fraction only", slash.place)
            merged.append(Token("number", f"{above.text}/{token.text}", above.place, above.spaced))
        else:
            merged.append(token)
    for token in merged:
        if token.kind == "slash":
            raise Fault("'/' is understood between the two numbers of a fraction only", token.place)
    return merged


def _without_charge(tokens: list[Token]) -> list[Token]:
    """The words without charges; one at the end that is not marked as a charge is told from an amount, or refused."""
    tokens = [t for t in tokens if t.kind != "charge"]
    n = len(tokens)
    while n and tokens[n - 1].kind == "sign":
        n -= 1
    signs, tokens = tokens[n:], tokens[:n]
    if not signs:
        if len(tokens) > 2 and tokens[-1].kind == "integer" and tokens[-2].kind == "sign":
            raise Fault(
                "a number follows a sign: write a charge as ^{2+}, and leave the number of a sample out",
                tokens[-2].place,
            )
        return tokens
    if len({s.text for s in signs}) > 1:
        raise Fault("signs that differ: write a charge as ^{2+}, or leave it out", signs[0].place)
    last = tokens[-1] if tokens else None
    if last is None:
        raise Fault("a charge needs an ion", signs[0].place)
    if len(signs) == 1 and signs[0].spaced:
        raise Fault("a sign that ends the formula: write a charge as ^{2+}, or leave it out", signs[0].place)
    if len(signs) > 1 or last.kind != "integer":
        return tokens
    if last.spaced:  # SO4 2-
        return tokens[:-1]
    if len(tokens) < 2:
        raise Fault("a charge needs an ion", signs[0].place)
    if len(tokens) == 2 and tokens[0].kind == "symbol" and tokens[0].text not in NONMETALS and int(last.text) <= 8:
        return tokens[:-1]
    if tokens[-2].text == "]" and tokens[0].text == "[":
        return tokens[:-1]
    if "".join(t.text for t in tokens) + signs[0].text in IONS:
        return tokens
    raise Fault(
        f"{last.text}{signs[0].text} may be an amount or a charge: write the charge as ^{{2+}}, or leave it out",
        last.place,
    )


def _check_spaces(tokens: list[Token]) -> None:
    """Refuse ``CuSO4 5H2O``, where a number may belong to what is before or behind it."""
    for k, (before, token, after) in enumerate(zip(tokens, tokens[1:], [*tokens[2:], None], strict=False)):
        loose = token.kind in ("integer", "number") and token.spaced and not token.below
        if before.kind in ("integer", "number") and token.kind in ("integer", "number"):
            raise Fault("two numbers in a row: write · before a part of the formula, such as CuSO4·5H2O", token.place)
        in_row = before.kind in ("symbol", "close") and k > 0 and not before.spaced
        if loose and in_row and (after is None or after.spaced):
            raise Fault(
                f"{token.text} behind a space may be the number of a sample: leave it or the space out", token.place
            )
        joined = after is not None and not after.spaced and after.kind in ("symbol", "open")
        if loose and before.kind in ("symbol", "close") and joined:
            raise Fault(
                f"{token.text} may belong to what is before or behind it: write · before a part of the formula, such as CuSO4·5H2O",
                token.place,
            )


def _read_point(words: list[Token], k: int) -> None:
    """Turn the point at a position into a dot, or join it with the numbers beside it."""
    point, before, after = words[k], words[k - 1] if k else None, words[k + 1] if k + 1 < len(words) else None
    if after is None or before is None or after.kind not in ("integer", "number", "symbol", "open", "mass"):
        raise Fault("a point that is neither in a number nor before a part of the formula: leave it out", point.place)
    if after.kind not in ("integer", "number") or point.spaced or after.spaced:
        point.kind = "dot"
        return
    tail = _tail(words, k + 2)
    if _plain(tail) == "H20":
        raise Fault("the number 20 in water, perhaps for the letter O", after.place, True)
    kind = _meaning(words, k, tail)
    if kind is None:
        number = (before.text if before.kind != "symbol" else "") + "." + after.text
        raise Fault(
            f"{number} may be a decimal or the dot before a part: write 0.5 for a decimal, · for the dot", point.place
        )
    if kind == "dot":
        point.kind = "dot"
    else:
        words[k - 1 : k + 2] = [Token("number", f"{before.text}.{after.text}", before.place, before.spaced)]


def _meaning(words: list[Token], k: int, tail: list[Token]) -> str | None:
    """What a point before a number is: in a ``"number"``, a ``"dot"``, or not clear.  ``tail``: the words behind both."""
    before, after = words[k - 1], words[k + 1]
    is_water = _plain(tail) in WATER
    if before.below:
        if after.below:
            return "number"
        return "dot" if before.text[0] != "0" else None
    if before.kind != "integer":  # a symbol or a bracket
        return "dot" if is_water else None
    if k < 2 or words[k - 2].kind not in ("symbol", "close"):  # in a factor
        return "number" if after.kind == "integer" else None
    if is_water:
        no_factor = after.kind == "integer" and not int(after.text)
        in_amount = before.text[0] == "0" or int(before.text) < 2 or before.spaced or _has_decimals(words[: k - 1])
        return None if no_factor or in_amount else "dot"
    if after.kind != "integer" or (int(before.text) and _is_part(words, k, tail)):
        return None
    return "number"


def _tail(words: list[Token], start: int) -> list[Token]:
    """The words from a position to the end of the part of the formula."""
    depth, k = 0, start
    while k < len(words) and words[k].kind not in ("dot", "sign", "point"):
        depth += {"open": 1, "close": -1}.get(words[k].kind, 0)
        if depth < 0:
            break
        k += 1
    return words[start:k]


def _plain(tail: list[Token]) -> str:
    text = "".join(t.text for t in tail)
    return text[1:-1] if text[:1] in "([{" and text[-1:] in ")]}" else text


def _has_decimals(words: list[Token]) -> bool:
    """Whether an amount among some words is a decimal."""
    return any(
        t.kind == "point" and b.kind == a.kind == "integer" and not t.spaced and not a.spaced
        for b, t, a in zip(words, words[1:], words[2:], strict=False)
    )


def _is_part(words: list[Token], k: int, tail: list[Token]) -> bool:
    """Whether what follows the point at a position could be a part of its own, with a factor."""
    symbols = {t.text for t in tail if t.kind == "symbol"}
    earlier = {t.text for t in words[:k] if t.kind == "symbol"}
    whole = all(t.kind != "number" for t in tail)
    return whole and (_plain(tail) in ADDUCTS or (len(symbols) > 1 and bool(symbols & earlier)))
