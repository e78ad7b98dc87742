"""One self-contained HTML file that a person reads: tables and SVG figures, no network, light and dark."""

from __future__ import annotations

import html
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bayestl import __version__, plots
from bayestl.validation import LEVEL, Comparison

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
    """A heading and the HTML below it."""

    title: str
    body: list[str] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """The heading as an anchor."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower()).strip("-")

    def text(self, sentence: str) -> Section:
        """Add a paragraph."""
        self.body.append(f"<p>{html.escape(sentence)}</p>")
        return self

    def frame(self, table: pd.DataFrame, digits: int = 3) -> Section:
        """Add a table."""
        shown = table.map(lambda v: f"{v:.{digits}g}" if isinstance(v, float) else str(v))
        self.body.append(f'<div class="scroll">{shown.to_html(border=0)}</div>')
        return self

    def figure(self, ax: Any, alt: str) -> Section:
        """Add the figure of the axes."""
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
    """The whole page."""
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
    """Write the page, replacing an earlier one whole; returns its path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(target.name + ".part")
    scratch.write_text(render(title, sections), encoding="utf-8")
    os.replace(scratch, target)
    return target


def comparison_sections(comparison: Comparison, parity: str | None = None) -> list[Section]:
    """Data, table, relative errors, parity and calibration of a comparison.

    Parameters
    ----------
    comparison : Comparison
    parity : str, optional
        The model whose parity plots are shown; default: for each quantity the one with the lowest CRPS.
    """
    data = Section("The data")
    rows, features = comparison.shape
    data.text(f"{rows} rows, {features} features. Labels of each task, and of how many rows two tasks have one.")
    named = [_named(comparison, task) for task in comparison.shared]
    data.frame(comparison.shared.set_axis(named, axis=1).set_axis(pd.Index(named, name="task")).astype(str))
    kept = "loses all its labels" if comparison.hide == "row" else "keeps the labels of its other tasks"
    table = Section("Which architecture predicts best")
    table.text(
        f"Cross-validation, the same folds for every model; a held-out row {kept}. Mean over folds ± standard error; "
        f"the {LEVEL:.0%} interval should hold {LEVEL:.0%} of the labels. The lowest CRPS (of classes the lowest log loss) "
        "is marked."
    )
    for quantity in comparison.quantities:
        table.body.append(f"<h3>{html.escape(_named(comparison, quantity))}</h3>{_score_table(comparison, quantity)}")
    relative = Section("Errors relative to the baseline")
    numbers = [q for q in comparison.quantities if not comparison.classified(q)]
    if numbers:
        relative.figure(
            plots.plot_comparison(comparison, "mae"), "mean absolute error of each model relative to the first"
        )
        relative.figure(plots.plot_comparison(comparison, "crps"), "CRPS of each model relative to the first")
    if len(numbers) < len(comparison.quantities):
        relative.figure(plots.plot_comparison(comparison, "nlpd"), "log loss of each model relative to the first")
    parities, calibration = Section("Predictions against labels"), Section("Calibration")
    calibration.text("On the diagonal, intervals hold as many labels as they claim; above it they are too wide.")
    for quantity in comparison.quantities:
        if quantity in numbers:
            model = parity or comparison.best(quantity, "crps")
            alt = f"{quantity}: predicted against label, {model}"
            parities.figure(plots.plot_parity(comparison, model, quantity), alt)
        calibration.figure(plots.plot_calibration(comparison, quantity), f"{quantity}: coverage against level")
    sections = [data, table, relative, *([parities] if numbers else []), calibration]
    if comparison.failures:
        failed = Section("Fits that failed")
        for failure in comparison.failures:
            failed.text(failure)
        sections.append(failed)
    return sections


def _named(comparison: Comparison, quantity: str) -> str:
    unit = comparison.units.get(quantity, "")
    return f"{quantity} ({unit})" if unit else quantity


def _score_table(comparison: Comparison, quantity: str) -> str:
    classified = comparison.classified(quantity)
    best = comparison.best(quantity, "nlpd" if classified else "crps")
    names = (
        ("accuracy", "macro F1", "log loss")
        if classified
        else ("MAE", "RMSE", "CRPS", "NLPD", f"in {LEVEL:.0%}", "width")
    )
    scores = ("accuracy", "macro_f1", "nlpd") if classified else ("mae", "rmse", "crps", "nlpd")
    head = "".join(f"<th>{h}</th>" for h in ("model", *names))
    rows = []
    for model in comparison.models:
        if (quantity, model) not in comparison.table.index:
            continue
        row = comparison.table.loc[(quantity, model)]
        cells = [f"{row[s, 'mean']:.3g} ± {row[s, 'se']:.2g}" for s in scores]
        if not classified:
            cells += [f"{row['coverage', 'mean']:.2f} ± {row['coverage', 'se']:.2f}", f"{row['width', 'mean']:.3g}"]
        mark = ' class="best"' if model == best else ""
        rows.append(f"<tr{mark}><td>{html.escape(model)}</td>{''.join(f'<td>{c}</td>' for c in cells)}</tr>")
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
