"""Parameters on the pages of objects: those that are the same as another object's are described where they are used."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

SAME = re.compile(r"\s+(?:The same as|As) for :(?:class|func):`~?([\w.]+)`(?:; (.*)|\.)?")
"""Below the names of some parameters: whose description they have, and what else is to be said."""
HOMES = ("bayestl", "bayestl.active")
"""Where a name without its module is looked up."""
PRIVATE = re.compile(r"(, \*)?, _\w+(: [^,()]+)?( ?= ?[^,()]+)?(?=[,)])")
"""A parameter of a signature that users do not give."""


class Entry(NamedTuple):
    """Parameters that are described together: their names, their type, and the lines below."""

    names: tuple[str, ...]
    kind: str
    text: list[str]

    def lines(self, names: tuple[str, ...]) -> list[str]:
        """The description of some of them."""
        return [f"{', '.join(names)}{f' : {self.kind}' if self.kind else ''}", *self.text]


def entries(lines: list[str]) -> Iterator[tuple[int, Entry]]:
    """The entries of the section of parameters, each with its first line."""
    try:
        at = lines.index("Parameters") + 2
    except ValueError:
        return
    while at < len(lines) and lines[at] and not lines[at].startswith(" "):
        end = next((k for k in range(at + 1, len(lines)) if not lines[k].startswith(" ")), len(lines))
        names, _, kind = lines[at].partition(" : ")
        yield at, Entry(tuple(re.split(r",\s*", names)), kind, lines[at + 1 : end])
        at = end


def found(name: str) -> Any:
    """The object of a name."""
    module, _, last = name.rpartition(".")
    homes = [importlib.import_module(home) for home in ([module] if module else HOMES)]
    return next(getattr(home, last) for home in homes if hasattr(home, last))


def described(lines: list[str]) -> list[str]:
    """The lines of a docstring in which every parameter has its own description."""
    out, done = [], 0
    for at, entry in entries(lines):
        match = SAME.fullmatch(entry.text[0]) if len(entry.text) == 1 else None
        if match is None:
            continue
        out += lines[done:at]
        done = at + 1 + len(entry.text)
        theirs = [e for _, e in entries(inspect.cleandoc(found(match[1]).__doc__).splitlines())]
        for of_them in theirs:
            if names := tuple(n for n in of_them.names if n in entry.names):
                out += of_them.lines(names)
        if match[2]:
            out.append(f"    {match[2][0].upper()}{match[2][1:]}")
    return out + lines[done:]


def public(signature: str | None) -> str | None:
    """A signature without parameters that users do not give.

    >>> public("(path, seed=0, *, _ledger=None)")
    '(path, seed=0)'
    """
    return signature and PRIVATE.sub("", signature)
