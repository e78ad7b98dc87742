"""From characters to the words of a formula: symbols, numbers, brackets, dots, dashes, charges.

Oxidation states, charges that are marked as such, and phases such as ``(s)`` are recognised here; none of them changes the
elements.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bayestl.features.formula.characters import Character
from bayestl.features.formula.elements import ATOMIC_NUMBER, ISOTOPES, Fault, words

_PHASE = re.compile(r" ?\((s|l|g|aq|cr|am|c|gas|liq|sol|solid|liquid|ss)\)(?=( ?\((s|l|g|aq|cr|am)\))* ?$)")
_PHASE_BELOW = re.compile(r"\(?(s|l|g|aq|cr)\)?")
_CHARGE = re.compile(r"\((\d*[+-]|[+-]\d+)\)")
_ABOVE = re.compile(r"\(?(\d*[+-]+|[+-]\d+)\)?")
_ROMAN = "VIII|VII|VI|IV|V|III|II|I|viii|vii|vi|iv|v|iii|ii|i|0"
_STATE = re.compile(rf"\([+-]?({_ROMAN})([,/] ?({_ROMAN}))*\)")
_TIMES = re.compile(r"[xX](?= ?[0-9])")
_ROMAN_ALONE = re.compile(r"\([+-]?[IVX]+([,/] ?[IVX]+)*\)")
_LETTERS = re.compile("[A-Za-zͰ-Ͽ]+")
_VARIABLES = "xyznmwdkαβγδε"
PLUS_ONE = words("Cu Ag Au Tl Hg In Ga Rh Ir")
PLUS_FIVE = words("V Nb Ta P As Sb Mo W U Re Np Pa")
"""Elements after which ``(I)`` and ``(V)`` are an oxidation state, not iodine and vanadium."""
KINDS = {"(": "open", "[": "open", "{": "open", ")": "close", "]": "close", "}": "close", "·": "dot", ".": "point",
         "-": "sign", "+": "sign", "/": "slash", "@": "cage"}  # fmt: skip


@dataclass
class Token:
    """A word of a formula: what it is, its text, its place, and whether a space stands before it."""

    kind: str
    text: str
    place: int
    spaced: bool = False
    below: bool = False
    """Whether it is a subscript."""


def read_tokens(characters: list[Character]) -> list[Token]:
    """The words of a formula.

    Raises
    ------
    Fault
        For what is none of them.
    """
    line = "".join(c.char if not c.script else "\0" for c in characters)
    tokens: list[Token] = []
    i, spaced = 0, False
    while i < len(line):
        char, place = characters[i].char, characters[i].place
        if characters[i].script:
            end = next((k for k in range(i, len(line)) if characters[k].script != characters[i].script), len(line))
            text = "".join(c.char for c in characters[i:end]).strip()
            if text:
                tokens += _scripted(text, characters[i].script, place, tokens)
            i, spaced = end, False
            continue
        if char == " ":
            i, spaced = i + 1, True
            continue
        if spaced and tokens and (match := _TIMES.match(line, i)):
            tokens.append(Token("dot", "·", place, True))
            i = match.end()
            continue
        if match := _PHASE.match(line, i):
            i = match.end()
            continue
        if match := _CHARGE.match(line, i):
            tokens.append(Token("charge", match[0], place))
            i = match.end()
            continue
        if _ROMAN_ALONE.match(line, i) and not (tokens and tokens[-1].kind == "symbol"):
            raise Fault("a Roman number does not follow an element: write an oxidation state as in Fe(III)2O3", place)
        if tokens and tokens[-1].kind == "symbol" and (match := _STATE.match(line, i)):
            _check_state(tokens[-1], match[0][1:-1], line[match.end() :], place)
            i = match.end()
            continue
        if char.isascii() and char.isdigit():
            match = re.compile(r"[0-9]+").match(line, i)
            assert match is not None
            tokens.append(Token("integer", match[0], place, spaced))
            i = match.end()
        elif char in KINDS:
            tokens.append(Token(KINDS[char], char, place, spaced))
            i += 1
        elif _LETTERS.match(char):
            token = _symbol(line, i, place, tokens)
            token.spaced = spaced
            tokens.append(token)
            i += len(token.text)
        else:
            raise Fault(_stranger(char), place)
        spaced = False
    return tokens


def _scripted(text: str, script: str, place: int, tokens: list[Token]) -> list[Token]:
    """The words in a subscript or superscript."""
    if script == "_":
        if re.fullmatch(r"\d+(\.\d+)?|\d+/\d+", text):
            return [Token("number", text, place, below=True)]
        if _PHASE_BELOW.fullmatch(text):
            return []
        raise Fault(f"the subscript {text!r} is not a number: put in its value", place)
    if _ABOVE.fullmatch(text):
        return [Token("charge", text, place)]
    if re.fullmatch(rf"[+-]?({_ROMAN})", text) and text != "0":
        return []
    if text.isdigit() and (not tokens or tokens[-1].kind in ("open", "dot", "sign")):
        return [Token("mass", text, place)]
    raise Fault(f"the superscript {text!r} is neither a charge such as 2+ nor a mass number in front of a term", place)


def _check_state(symbol: Token, state: str, rest: str, place: int) -> None:
    """Refuse ``(I)`` and ``(V)`` where iodine or vanadium may be meant."""
    known = {"I": PLUS_ONE, "V": PLUS_FIVE}.get(state)
    if known is not None and (symbol.text not in known or not re.match(r"[\d.]*[A-Z(\[]", rest)):
        name = {"I": "iodine", "V": "vanadium"}[state]
        raise Fault(f"({state}) may be an oxidation state or {name}: leave it out, or write {state}", place)


def _symbol(line: str, i: int, place: int, tokens: list[Token]) -> Token:
    """The symbol of an element at a place of the line."""
    for text in (line[i : i + 2], line[i : i + 1]):
        if text in ATOMIC_NUMBER or text in ISOTOPES:
            return Token("symbol", text, place)
    match = _LETTERS.match(line, i)
    assert match is not None
    word = match[0]
    if not word[0].isascii() or word[0].islower():
        lower = re.match("[a-zͰ-Ͽ]+", word)
        letters = lower[0] if lower else word
        if len(letters) == 1 and not tokens and line[i + 1 : i + 2] == "-":
            raise Fault(f"{letters!r} names a phase: put it into a column of its own", place)
        if len(letters) == 1 and letters in _VARIABLES:
            raise Fault(f"{letters!r} is a variable: put in its value", place)
    before = re.findall(r"[A-Za-z]*$", line[:i])[0]
    if re.search("[a-z]{3}", before + word):
        raise Fault(
            f"{before + word!r} is not made of symbols of elements: correct its capitals, or put words into a column of their own",
            place,
            True,
        )
    if word[0].islower():
        raise Fault("no symbol of an element begins with a small letter", place, True)
    name = word[:2] if word[1:2].islower() else word[0]
    raise Fault(f"no element is called {name!r}", place, True)


def _stranger(char: str) -> str:
    """Why a character has no place in a formula."""
    cures = {
        ",": "a decimal needs a point, and elements that share a site need amounts, such as Fe0.5Mg0.5",
        "%": "give amounts of atoms, such as Al90Cu10",
        "?": "leave the cell empty where the formula is not known",
        "=": "bonds have no place in a formula",
        "#": "bonds have no place in a formula",
    }
    return f"{char!r} has no place in a formula: {cures.get(char, 'leave it out')}"
