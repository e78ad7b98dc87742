"""From the bytes of a file to its text: what other formats are refused by their first bytes, encodings told apart."""

from __future__ import annotations

import codecs
import re
from contextlib import suppress
from pathlib import Path

FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook: name a workbook .xlsx, unpack an archive",
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls): save it as .xlsx or CSV",
    b"\x1f\x8b": "compressed: name it .csv.gz",
    b"PAR1": "a Parquet file: name it .parquet",
    b"%PDF": "a PDF file: save the table as CSV",
    b"BZh": "compressed: unpack it",
    b"\xfd7zXZ": "compressed: unpack it",
    b"SQLite format 3": "a database: export the table as CSV",
    b"\x89PNG": "a picture: save the table as CSV",
    b"{\\rtf": "a word processor's file: save the table as CSV",
}
"""First bytes of files that are no text, with what they are and what to do."""
_MARKUP = re.compile(r"\s*<(!doctype|html|head|body|table|meta|\?xml|style|script)\b", re.IGNORECASE)
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte order marks; those of UTF-32 begin like those of UTF-16 and come first."""


def text_of(data: bytes, path: Path, encoding: str | None) -> tuple[str, list[str]]:
    """The text of a file, and what was assumed of its encoding, in words.

    Raises
    ------
    ValueError
        If the bytes are no text, or of an encoding that cannot be told.
    """
    for start, words in FOREIGN.items():
        if data.startswith(start):
            raise ValueError(f"{path} is not a table of text but {words}")
    assumed: list[str] = []
    if encoding is None:
        encoding, assumed = _told(data, path)
    try:
        text = data.decode(encoding)
    except LookupError as error:
        raise ValueError(f"--encoding: no encoding {encoding!r}; usual ones are utf-8, utf-16 and cp1252") from error
    except UnicodeError as error:
        raise ValueError(f"{path} is not {encoding} text: name its encoding with --encoding") from error
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"{path} holds a NUL byte in line {line}: it is damaged, or name its encoding with --encoding")
    if _MARKUP.match(text):
        raise ValueError(f"{path} is a web page or XML, not a table of text: save the table as CSV or .xlsx")
    return text, assumed


def _told(data: bytes, path: Path) -> tuple[str, list[str]]:
    """The encoding that the bytes show, and what was assumed."""
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return name, [] if name == "utf-8" else [name.upper()]
    if wide := _wide(data):
        return wide, [wide.upper()]
    with suppress(UnicodeDecodeError):
        data.decode("utf-8")
        return "utf-8", []
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        text = ""
    # In Western European text non-ASCII characters come alone or in pairs; those of other scripts in runs.
    runs = re.findall(r"[^\x00-\x7f]+", text)
    if not runs or max(map(len, runs)) > 2:
        raise ValueError(
            f"{path} is not UTF-8 text, and its encoding cannot be told: name it with --encoding, such as cp1252"
        )
    word = re.search(r"[^\s;,|\"]*[^\x00-\x7f][^\s;,|\"]*", text)
    return "cp1252", [f"Western European text (cp1252), such as {word[0] if word else runs[0]!r}"]


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of mostly Latin text is zero."""
    head = data[: 2 * (min(len(data), 4000) // 2)]
    if len(head) < 4 or len(data) % 2:
        return None
    even, odd = head[::2].count(0) / (len(head) / 2), head[1::2].count(0) / (len(head) / 2)
    if odd > 0.9 and even == 0:
        return "utf-16-le"
    return "utf-16-be" if even > 0.9 and odd == 0 else None
