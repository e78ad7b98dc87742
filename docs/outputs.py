"""Runs the blocks of a page and writes what they print under them: ``python docs/outputs.py docs/how-to/own-table.md``.

A block of Python runs always; one of the shell where its output stands under it.  That is the block of ``text`` that follows.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
SHELL = 'set -e; bayestl() {{ "{python}" -m bayestl "$@"; }}; python() {{ "{python}" "$@"; }}\n'


@dataclass
class Block:
    """A block of code of a page, and the output that stands under it, if any."""

    language: str
    code: str
    output: str | None
    span: tuple[int, int]

    def run(self, names: dict[str, Any], label: str) -> str:
        """What the block prints on the standard output stream; ``names`` are those of the blocks before."""
        printed = io.StringIO()
        if self.language == "python":
            with contextlib.redirect_stdout(printed):
                exec(compile(self.code, label, "exec"), names)
            return printed.getvalue()
        script = SHELL.format(python=sys.executable) + self.code
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"}
        )
        if done.returncode:
            raise RuntimeError(f"{label}: {done.stderr}")
        return done.stdout


def blocks(text: str) -> list[Block]:
    """The blocks of a page that are run."""
    found = [Block(m[1], m[2], m[3], m.span(3)) for m in BLOCK.finditer(text)]
    return [b for b in found if b.language == "python" or b.output is not None]


def tables(folder: Path) -> None:
    """Lay the tables of the pages where the pages look for them: those of the README stand in ``docs/data``."""
    for place in (folder, folder / "docs" / "data"):
        place.mkdir(parents=True, exist_ok=True)
        for table in (HERE / "data").glob("*.csv"):
            shutil.copy(table, place)


def fill(page: Path) -> None:
    """Run a page in a folder of its own and write the outputs into it."""
    text, names, start = page.read_text(encoding="utf-8"), {}, os.getcwd()
    pieces, done = [], 0
    with tempfile.TemporaryDirectory() as folder:
        tables(Path(folder))
        os.chdir(folder)
        try:
            for i, block in enumerate(blocks(text)):
                printed = block.run(names, f"{page.name}, block {i + 1}")
                if block.output is not None:
                    tidy = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())
                    pieces += [text[done : block.span[0]], tidy + "\n"]
                    done = block.span[1]
        finally:
            os.chdir(start)
    page.write_text("".join(pieces) + text[done:], encoding="utf-8")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        fill(Path(argument).resolve())
