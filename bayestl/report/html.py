"""One self-contained HTML page: sections of text, tables and SVG figures, without scripts, in light and dark.

It knows no model and no comparison; ``comparison.py`` and ``model.py`` fill the sections.
"""

from __future__ import annotations

import html
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bayestl.files.output import write_output
from bayestl.version import __version__

_STYLE = """
:root{--fg:#1b1f24;--bg:#fff;--soft:#f3f5f7;--line:#d5dae0;--accent:#0072B2}
@media (prefers-color-scheme:dark){:root{--fg:#e3e7eb;--bg:#14171a;--soft:#1f2428;--line:#3a4148;--accent:#56B4E9}}
*{box-sizing:border-box}
body{font:16px/1.55 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:62rem;margin:0 auto;padding:1rem}
h1{font-size:1.7rem;margin:.5rem 0}h2{font-size:1.25rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.2rem 0 .3rem}a{color:var(--accent)}nav ul{columns:2 14rem;column-gap:2rem;padding-left:1.2rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem;margin:.5rem 0}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}tr.best td{font-weight:600;background:var(--soft)}
figure{display:inline-block;margin:.4rem;background:#fff;border-radius:6px;padding:.3rem;max-width:100%;vertical-align:top}
figure svg{max-width:100%;height:auto;display:block}footer{margin-top:2rem;font-size:.85rem;opacity:.8}
.note{background:var(--soft);padding:.6rem .9rem;border-left:3px solid var(--accent)}
"""


@dataclass
class Section:
    """A section of the page: a heading and the HTML below it."""

    title: str
    body: list[str] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """The anchor to which the contents link."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower()).strip("-")

    def text(self, sentence: str) -> Section:
        """Add a paragraph and return the section."""
        self.body.append(f"<p>{html.escape(sentence)}</p>")
        return self

    def frame(self, table: pd.DataFrame, digits: int = 3) -> Section:
        """Add a table, numbers with so many significant ``digits``, and return the section."""
        shown = table.map(lambda v: f"{v:.{digits}g}" if isinstance(v, float) else str(v))
        self.body.append(f'<div class="scroll">{shown.to_html(border=0)}</div>')
        return self

    def figure(self, ax: Any, alt: str) -> Section:
        """Add the figure of the axes with an alternative text, and return the section."""
        self.body.append(f'<figure role="img" aria-label="{html.escape(alt)}">{to_svg(ax)}</figure>')
        return self


def to_svg(ax: Any) -> str:
    """The figure of the axes as an SVG element."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "bayestl", "svg.fonttype": "path"}):
        ax.figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight")
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def render(title: str, sections: Sequence[Section]) -> str:
    """The page as HTML: title, contents and sections."""
    contents = "".join(f'<li><a href="#{s.anchor}">{html.escape(s.title)}</a></li>' for s in sections)
    body = "".join(
        f'<section><h2 id="{s.anchor}">{html.escape(s.title)}</h2>{"".join(s.body)}</section>' for s in sections
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><h1>{html.escape(title)}</h1><nav><ul>{contents}</ul></nav>{body}"
        f"<footer>Made by bayestl {__version__}.</footer></body></html>"
    )


def write(path: str | os.PathLike[str], title: str, sections: Sequence[Section]) -> Path:
    """Write the page to a file, which replaces an earlier one at once, and return its path."""
    return write_output(path, render(title, sections))
