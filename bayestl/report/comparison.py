"""The sections of a report on a comparison: the data, a table of scores, relative errors, parity plots and calibration.

``html.py`` renders them; the command ``bayestl compare -o`` and the demonstration write them to a file.
"""

from __future__ import annotations

import html

import pandas as pd

from bayestl.evaluation.comparison import LEVEL, Comparison
from bayestl.report import plots
from bayestl.report.html import Section


def comparison_sections(comparison: Comparison, parity: str | None = None) -> list[Section]:
    """The sections of a report: data, table of scores, relative errors, parity and calibration.

    Parameters
    ----------
    comparison : Comparison
        The result of :func:`bayestl.compare`.
    parity : str, optional
        The model whose parity plots are shown; by default, for each quantity, the one with the lowest CRPS.

    Returns
    -------
    list of Section
        The sections, for :func:`bayestl.report.write`.
    """
    if not isinstance(comparison, Comparison):
        raise ValueError(f"a Comparison is expected, the result of compare, got {type(comparison).__name__}")
    data = Section("The data")
    rows, features = comparison.shape
    data.text(f"{rows} rows, {features} features. Number of labels of each task, and of rows with labels of two tasks.")
    labels = [comparison.label(task) for task in comparison.shared]
    data.frame(comparison.shared.set_axis(labels, axis=1).set_axis(pd.Index(labels, name="task")).astype(str))
    held_out = "loses all its labels" if comparison.hide == "row" else "keeps the labels of its other tasks"
    table = Section("Which architecture predicts best")
    table.text(
        f"Cross-validation, the same folds for every model; a held-out row {held_out}. Mean over folds ± standard error; "
        f"the {LEVEL:.0%} interval should hold {LEVEL:.0%} of the labels. The lowest CRPS (for classes the lowest log loss) "
        "is marked, and where its intervals hold too few or too many labels, that is said beside it."
    )
    for quantity in comparison.quantities:
        table.body.append(f"<h3>{html.escape(comparison.label(quantity))}</h3>{_score_table(comparison, quantity)}")
    relative = Section("Errors relative to the baseline")
    numeric = [q for q in comparison.quantities if not comparison.classified(q)]
    if numeric:
        relative.figure(
            plots.plot_comparison(comparison, "mae"), "mean absolute error of each model relative to the first"
        )
        relative.figure(plots.plot_comparison(comparison, "crps"), "CRPS of each model relative to the first")
    if len(numeric) < len(comparison.quantities):
        relative.figure(plots.plot_comparison(comparison, "nlpd"), "log loss of each model relative to the first")
    parities, calibration = Section("Predictions against labels"), Section("Calibration")
    calibration.text("On the diagonal, intervals hold as many labels as their level says; above it they are too wide.")
    for quantity in comparison.quantities:
        if quantity in numeric:
            model = parity or comparison.best(quantity, "crps")
            alt = f"{quantity}: predicted against label, {model}"
            parities.figure(plots.plot_parity(comparison, model, quantity), alt)
        calibration.figure(plots.plot_calibration(comparison, quantity), f"{quantity}: coverage against level")
    sections = [data, table, relative, *([parities] if numeric else []), calibration]
    if comparison.failures:
        failed = Section("Fits that failed")
        for failure in comparison.failures:
            failed.text(failure)
        sections.append(failed)
    return sections


def _score_table(comparison: Comparison, quantity: str) -> str:
    """The scores of a quantity as an HTML table, one row per model, the best one marked."""
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
        doubt = comparison.doubt(quantity, model) if model == best else ""
        name = html.escape(f"{model}: {doubt}" if doubt else model)
        rows.append(f"<tr{mark}><td>{name}</td>{''.join(f'<td>{c}</td>' for c in cells)}</tr>")
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
