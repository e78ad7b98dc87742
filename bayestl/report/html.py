"""One self-contained HTML page: sections of text, tables and SVG figures, in light and dark, without a network.

It knows no model and no comparison; ``comparison.py`` and ``model.py`` fill the sections.  A script of a few lines shows the
text of a point under the mouse or finger; without it a browser shows that text by itself.
"""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bayestl.files.output import write_output
from bayestl.report.svg import to_svg
from bayestl.report.terms import TERMS
from bayestl.version import __version__

_STYLE = """
:root{--fg:#1b1f24;--bg:#fff;--soft:#f3f5f7;--line:#d5dae0;--accent:#0072B2;--shade:#0004}
@media (prefers-color-scheme:dark){:root{--fg:#e3e7eb;--bg:#14171a;--soft:#1f2428;--line:#3a4148;--accent:#56B4E9;--shade:#fff5}}
*{box-sizing:border-box}
body{font:16px/1.55 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:66rem;margin:0 auto;padding:1rem}
h1{font-size:1.7rem;margin:.5rem 0}h2{font-size:1.25rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.2rem 0 .3rem}a{color:var(--accent)}nav ul{columns:2 14rem;column-gap:2rem;padding-left:1.2rem}
p,dl,.conclusion{max-width:46rem}
.scroll{overflow-x:auto;margin:.5rem 0;background:linear-gradient(90deg,var(--bg) 30%,#0000) 0 0/3rem 100% no-repeat local,
linear-gradient(270deg,var(--bg) 30%,#0000) 100% 0/3rem 100% no-repeat local,
linear-gradient(90deg,var(--shade),#0000) 0 0/.8rem 100% no-repeat,linear-gradient(270deg,var(--shade),#0000) 100% 0/.8rem 100% no-repeat}
.scroll::-webkit-scrollbar{height:8px}.scroll::-webkit-scrollbar-thumb{background:var(--line);border-radius:4px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.87rem}
th,td{padding:.25rem .5rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap;vertical-align:top}
th:first-child,td:first-child,td.said,th.said{text-align:left}td.said{white-space:normal;min-width:16rem}
tr.best td,tr.best th{font-weight:600;background:var(--soft)}tr.fail td:nth-child(5),tr.warn td:nth-child(5){color:#D55E00;font-weight:600}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,28rem),1fr));gap:1rem;margin:.5rem 0}
figure{margin:0;max-width:32rem}figure svg{width:100%;height:auto;display:block}
figure svg text{fill:currentColor;font-family:system-ui,sans-serif!important}figcaption{font-size:.85rem;opacity:.85}
.point{cursor:pointer}.point:hover{filter:brightness(1.5)}
#tip{position:fixed;pointer-events:none;background:var(--fg);color:var(--bg);padding:.2rem .5rem;border-radius:4px;font-size:.85rem;max-width:20rem}
dl.terms{font-size:.85rem;border-left:3px solid var(--line);padding-left:.8rem;margin:.5rem 0}
.terms dt{font-weight:600;float:left;margin-right:.5em}.terms dt::after{content:":"}.terms dd{margin:0 0 .2rem}
.note,.conclusion{background:var(--soft);padding:.6rem .9rem;border-left:3px solid var(--accent);margin:.5rem 0}
.conclusion p{margin:.3rem 0}.conclusion p:first-child{font-size:1.08rem}
footer{margin-top:2rem;font-size:.85rem;opacity:.8}
@media print{nav{display:none}figure,table{break-inside:avoid}}
"""
_SCRIPT = """
const tip=document.body.appendChild(document.createElement("div"));tip.id="tip";tip.hidden=true;
for(const title of document.querySelectorAll(".point>title"))title.remove();
const show=event=>{const point=event.target.closest?.("[data-tip]");tip.hidden=!point;if(!point)return;
tip.textContent=point.dataset.tip;const box=tip.getBoundingClientRect();
tip.style.left=Math.max(4,Math.min(event.clientX+12,innerWidth-box.width-8))+"px";
tip.style.top=(event.clientY+14+box.height>innerHeight?event.clientY-box.height-8:event.clientY+14)+"px"};
addEventListener("pointermove",show);addEventListener("pointerdown",show);
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

    def heading(self, text: str) -> Section:
        """Add a heading within the section and return it."""
        self.body.append(f"<h3>{html.escape(text)}</h3>")
        return self

    def conclusion(self, sentences: Sequence[str]) -> Section:
        """Add sentences that say what follows, one below the other, and return the section."""
        said = "".join(f"<p>{html.escape(s)}</p>" for s in sentences)
        self.body.append(f'<div class="conclusion">{said}</div>')
        return self

    def note(self, head: str, sentence: str) -> Section:
        """Add something that needs attention and return the section."""
        self.body.append(f'<p class="note"><b>{html.escape(head)}</b>: {html.escape(sentence)}</p>')
        return self

    def frame(self, table: pd.DataFrame, digits: int = 3, best: Sequence[Any] = (), said: str = "") -> Section:
        """Add a table and return the section.

        Numbers have so many significant ``digits``; rows named ``best`` are marked; ``said`` is a column of sentences.
        """
        self.body.append(table_html(table, digits, best, said))
        return self

    def terms(self, *names: str) -> Section:
        """Say what some words mean, which are in :data:`~bayestl.report.terms.TERMS`, and return the section."""
        said = "".join(f"<dt>{html.escape(n)}</dt><dd>{html.escape(TERMS[n])}</dd>" for n in names)
        self.body.append(f'<dl class="terms">{said}</dl>')
        return self

    def figure(self, ax: Any, alt: str) -> Section:
        """Add the figure of the axes with a text that says what it shows, beside figures just before, and return the section."""
        text = html.escape(alt)
        shown = f'<figure role="img" aria-label="{text}">{to_svg(ax)}<figcaption>{text}</figcaption></figure>'
        if self.body and self.body[-1].startswith(_FIGURES):
            self.body[-1] = f"{self.body[-1].removesuffix('</div>')}{shown}</div>"
        else:
            self.body.append(f"{_FIGURES}{shown}</div>")
        return self


_FIGURES = '<div class="figures">'


def table_html(table: pd.DataFrame, digits: int = 3, best: Sequence[Any] = (), said: str = "") -> str:
    """A table as HTML that scrolls where the page is narrow; columns without any entry are left out."""
    shown = table.loc[:, [any(v is not None and v == v and v != "" for v in table[c]) for c in table]]
    kind = {c: ' class="said"' if c == said else "" for c in shown}
    head = "".join(f"<th{kind[c]}>{html.escape(str(c))}</th>" for c in shown)
    rows = [
        f"<tr{_class_of(name, row, best)}><th>{html.escape(_name(name))}</th>"
        + "".join(f"<td{kind[c]}>{html.escape(_cell(v, digits))}</td>" for c, v in zip(shown, row, strict=True))
        + "</tr>"
        for name, row in zip(shown.index, shown.itertuples(index=False), strict=True)
    ]
    corner = html.escape(_name(tuple(n for n in table.index.names if n)))
    return f'<div class="scroll"><table><tr><th>{corner}</th>{head}</tr>{"".join(rows)}</table></div>'


def _class_of(name: Any, row: Any, best: Sequence[Any]) -> str:
    status = getattr(row, "status", "")
    return ' class="best"' if name in best else f' class="{status}"' if status in ("warn", "fail") else ""


def _name(name: Any) -> str:
    return ", ".join(str(part) for part in name if part != "") if isinstance(name, tuple) else str(name)


def _cell(value: Any, digits: int) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


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
        f"<footer>Made by bayestl {__version__}. Points of the figures tell their row on hovering or tapping.</footer>"
        f"<script>{_SCRIPT}</script></body></html>"
    )


def write(path: str | os.PathLike[str], title: str, sections: Sequence[Section]) -> Path:
    """Write the page to a file, which replaces an earlier one at once, and return its path."""
    return write_output(path, render(title, sections))
