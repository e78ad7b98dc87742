"""The characters of a formula without their typography: lines, scripts, dots, dashes and spaces in one spelling each.

Unicode, HTML and LaTeX say in their own ways that a number is a subscript or a superscript; here each character says so
itself.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import NamedTuple

from bayestl.features.formula.elements import Fault, words


class Character(NamedTuple):
    """A character, its place in the text, and where it stands: on the line (``""``), below (``"_"``) or above (``"^"``)."""

    char: str
    place: int
    script: str = ""


_BELOW = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₓ", "0123456789+-()x", strict=True))
_ABOVE = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾", "0123456789+-()", strict=True))
_DOTS = frozenset("·•∙⋅・･‧●∗⋆⁎*×ꞏ᛫")
_DASHES = frozenset("-‐‑‒–—―−﹣－")
_TAG = re.compile(r"<\s*(/?)\s*([a-zA-Z]+)\s*/?>")
_ENTITY = re.compile(r"&(#\d+|#x[\da-fA-F]+|[a-zA-Z]+);")
_COMMAND = re.compile(r"\\([a-zA-Z]+|.)\s*")
_COMMANDS = {
    "cdot": "·",
    "bullet": "·",
    "ast": "·",
    "times": "·",
    "delta": "δ",
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    ",": " ",
    ";": " ",
    ":": " ",
    " ": " ",
    "!": "",
}
_FONTS = words("mathrm text textrm mathit textit mathbf textbf mathsf rm ce mbox ensuremath")
_TAGS = {"sub": "_", "sup": "^"}
_SCRIPTED = {"textsubscript": "_", "textsuperscript": "^"}
_SIGNS = {"_": re.compile(r"[0-9]+(\.[0-9]+)?"), "^": re.compile(r"[0-9]*[+\-−–]+|[+\-−–][0-9]+|[0-9]+|[IVX]+")}
_FRACTION = re.compile(r"([0-9]*)([¼½¾⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])")


def read_characters(text: str) -> list[Character]:
    """The characters of a text; those that are not seen are none.

    Raises
    ------
    Fault
        For markup that does not close, or is not understood.
    """
    page = _Page(text)
    i = 0
    while i < len(text):
        i = page.read(i)
    if page.ends:
        raise Fault(f"{page.ends[-1]!r} is missing: what it closes is opened only")
    return page.characters


class _Page:
    """A text, and what of it was read; ``scripts`` and ``ends`` are the script of each open group, and what ends it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.characters: list[Character] = []
        self.scripts, self.ends = [""], list[str]()

    def read(self, i: int) -> int:
        """Read what begins at a place; the place behind it."""
        text, char = self.text, self.text[i]
        if match := _TAG.match(text, i):
            return self._tag(match)
        if (match := _ENTITY.match(text, i)) and html.unescape(match[0]) != match[0]:
            self._write(html.unescape(match[0]), i)
            return match.end()
        if match := _COMMAND.match(text, i):
            return self._command(match)
        if match := _FRACTION.match(text, i):
            self._write(f"{int(match[1] or 0) + unicodedata.numeric(match[2]):.16g}", i)
            return match.end()
        if char in _SIGNS:
            return self._script(i)
        if char in _BELOW or char in _ABOVE:
            self.characters.append(Character((_BELOW | _ABOVE)[char], i, "_" if char in _BELOW else "^"))
        elif char == "}" and self.ends[-1:] == ["}"]:
            self._close()
        elif char != "$":
            if char == "{":
                self._open(self.scripts[-1], "} ")  # a bracket of the formula
            elif char == "}" and self.ends[-1:] == ["} "]:
                self._close()
            self._write(char, i)
        return i + 1

    def _write(self, text: str, place: int) -> None:
        for char in text:
            if plain := _plain(char, place):
                self.characters.append(Character(plain, place, self.scripts[-1]))

    def _open(self, script: str, end: str) -> None:
        self.scripts.append(script)
        self.ends.append(end)

    def _close(self) -> None:
        self.scripts.pop()
        self.ends.pop()

    def _tag(self, match: re.Match[str]) -> int:
        """A tag of HTML."""
        tag = match[2].lower()
        if tag in _TAGS and not match[1]:
            self._open(_TAGS[tag], f"</{tag}>")
        elif tag in _TAGS and self.ends[-1:] == [f"</{tag}>"]:
            self._close()
        elif tag in _TAGS:
            raise Fault(f"{match[0]!r} closes what was not opened", match.start())
        return match.end()

    def _command(self, match: re.Match[str]) -> int:
        """A command of LaTeX."""
        name = match[1]
        if name in _COMMANDS:
            self._write(_COMMANDS[name], match.start())
        elif name in _FONTS or name in _SCRIPTED:
            if self.text[match.end() : match.end() + 1] == "{":
                self._open(_SCRIPTED.get(name, self.scripts[-1]), "}")
                return match.end() + 1
        elif name in "{}()[]":
            return match.end() - len(match[0]) + 1
        else:
            raise Fault(f"the command {match[0].strip()} is not understood: leave it out", match.start())
        return match.end()

    def _script(self, i: int) -> int:
        """What follows a sign of a subscript or superscript: a group, or a number."""
        script = self.text[i]
        if self.text[i + 1 : i + 2] == "{":
            self._open(script, "}")
            return i + 2
        match = _SIGNS[script].match(self.text, i + 1)
        if match is None:
            raise Fault(f"no number follows {script!r}: put in the value of a variable", i)
        self._open(script, "")
        self._write(match[0], i + 1)
        self._close()
        return match.end()


def _plain(char: str, place: int) -> str:
    """One spelling for spaces, dots, dashes and letters of full width; nothing for what is not seen."""
    if char.isspace() or unicodedata.category(char) == "Zs":
        return " "
    if unicodedata.category(char) in ("Cf", "Cc"):
        return ""
    if char in _DOTS:
        return "·"
    if char in _DASHES:
        return "-"
    if not char.isascii():
        folded = unicodedata.normalize("NFKC", char)
        if folded.isascii() and unicodedata.decomposition(char).startswith(("<wide>", "<font>", "<narrow>")):
            return folded
        if char in "⁄∕":
            return "/"
        name = unicodedata.name(char, "an unknown character")
        if "GREEK" not in name:
            raise Fault(
                f"{char!r} ({name.lower()}) has no place in a formula: write it in Latin letters and digits", place
            )
    return char
