"""The sections of a report on a comparison: what follows from it, the data, scores, predictions against labels, calibration.

``html.py`` renders them; the command ``bayestl compare -o`` and the demonstration write them to a file.
"""

from __future__ import annotations

from bayestl.diagnostics.words import plus_minus
from bayestl.evaluation.comparison import CLASS_COLUMNS, LEVEL, NUMBER_COLUMNS, Comparison, score_frame
from bayestl.evaluation.verdict import Verdict, difference, verdicts
from bayestl.report import plots
from bayestl.report.data import data_section
from bayestl.report.html import Section
from bayestl.report.units import typeset
from bayestl.report.words import conclusion
from bayestl.table.limits import written


def comparison_sections(comparison: Comparison, parity: str | None = None) -> list[Section]:
    """The sections of a report: what follows, data, table of scores, relative errors, parity and calibration.

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
    found = verdicts(comparison)
    sections = [_conclusion(comparison, found), _data(comparison), _scores(comparison, found), _relative(comparison)]
    sections += [_parity(comparison, found, parity), _calibration(comparison)]
    if comparison.failures:
        failed = Section("Fits that failed")
        for failure in comparison.failures:
            failed.text(failure)
        sections.append(failed)
    return [s for s in sections if s.body]


def _label(comparison: Comparison, quantity: str) -> str:
    return typeset(comparison.label(quantity))


def _conclusion(comparison: Comparison, found: dict[str, Verdict]) -> Section:
    """What follows, quantity by quantity."""
    section = Section("What follows")
    for quantity, said in conclusion(comparison, found).items():
        section.heading(_label(comparison, quantity)).conclusion(said)
    return section


def _data(comparison: Comparison) -> Section:
    """The table, and how many rows have labels of two tasks."""
    rows, features = comparison.shape
    section = Section("The data").text(f"{rows} rows, {features} features.")
    if comparison.whole is not None:
        section = data_section(comparison.whole)
    if len(comparison.label_counts) > 2:
        section.heading("Rows with labels of two tasks")
        section.frame(comparison.label_counts.rename_axis("task"))
    return section


def _scores(comparison: Comparison, found: dict[str, Verdict]) -> Section:
    """The scores of each quantity, one row per model; those that are best, or cannot be told from the best, are marked."""
    section = Section("Which model predicts best")
    held_out = "loses all its labels" if comparison.hide == "row" else "keeps the labels of its other tasks"
    section.text(
        f"Cross-validation, the same folds for every model; a held-out row {held_out}. Mean over folds ± standard error."
    )
    for quantity, v in found.items():
        shown = score_frame(comparison, quantity)
        if comparison.alone in shown.index:
            against = {m: difference(comparison, quantity, m, comparison.alone) for m in shown.index}
            shown["against alone"] = [
                "" if m == comparison.alone else plus_minus(d.mean, d.se) for m, d in against.items()
            ]
        told = "best" if v.only_best else "among the best"
        marked = v.as_good if len(v.as_good) < len(shown) else ()
        names = [f"{m} ({told})" if m in marked else m for m in shown.index]
        best = [n for n, m in zip(names, shown.index, strict=True) if m in marked]
        section.heading(_label(comparison, quantity)).frame(shown.set_axis(names).rename_axis("model"), best=best)
        doubts = [f"{m}: {doubt}." for m in v.as_good if (doubt := comparison.doubt(quantity, m))]
        if doubts:
            section.text("But " + " ".join(doubts))
        if len(shown) == len(v.as_good) > 1:
            section.text("None is marked: no model can be told from the one with the lowest score.")
    classes = [comparison.classified(q) for q in found]
    words = (["held-out", *NUMBER_COLUMNS, "nats"] if not all(classes) else ["held-out"]) + (
        [*CLASS_COLUMNS] if any(classes) else []
    )
    return section.terms(
        *words, *(["against alone"] if comparison.alone else []), *(["best"] if len(comparison.models) > 1 else [])
    )


def _relative(comparison: Comparison) -> Section:
    """The errors of each model relative to the first; nothing for a single model."""
    section = Section("Errors relative to the first model")
    classes = [comparison.classified(q) for q in comparison.quantities]
    scores = ["mae", "crps"] * (not all(classes)) + ["nlpd"] * any(classes)
    shown = {"mae": "Mean absolute error", "crps": "CRPS", "nlpd": "Log loss"}
    for score in scores if len(comparison.models) > 1 else ():
        alt = f"{shown[score]} of each model over that of {comparison.models[0]}; bars: standard error of the difference to it, fold by fold."
        section.figure(plots.plot_comparison(comparison, score), alt)
    return section


def _parity(comparison: Comparison, found: dict[str, Verdict], parity: str | None) -> Section:
    """Predictions against labels, and the labels that are far from theirs."""
    section = Section("Predictions against labels")
    for quantity, v in found.items():
        if comparison.classified(quantity):
            continue
        model = parity or v.best
        alt = f"{quantity}: median of {model} with its {LEVEL:.0%} interval against the held-out label; on the line both are equal."
        section.figure(plots.plot_parity(comparison, model, quantity, hover=True), alt.replace("%", " %"))
    for quantity, v in found.items():
        if len(v.far):
            section.heading(f"{_label(comparison, quantity)}: labels far from their predictions by {v.best}")
            far = v.far.set_index("name").rename(columns={"y": "label", "median": "predicted"})
            if (far["label"] != far["high"]).any():
                far["label"] = list(map(written, far["label"], far["high"]))
            section.frame(far[["label", "predicted", "lower", "upper"]])
    return section


def _calibration(comparison: Comparison) -> Section:
    section = Section("Calibration")
    for quantity in comparison.quantities:
        alt = f"{quantity}: share of held-out labels in intervals of each level."
        section.figure(plots.plot_calibration(comparison, quantity), alt)
    return section.terms("calibration")
