"""The report on one fitted model: its data, what the tasks share, predictions of its own labels, and a diagnosis."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayestl.diagnostics.words import data_in_words, held_out_in_words, rounded
from bayestl.models.base import BayesianModel
from bayestl.models.crossfit import held_out_labels
from bayestl.models.ensembles.auto import AutoTransfer
from bayestl.models.ensembles.stacked import StackedModel
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.latent.model import LatentVariableGP
from bayestl.posterior import Posterior
from bayestl.report import plots
from bayestl.report.data import data_section, units_typeset
from bayestl.report.html import Section, write
from bayestl.report.transfer import transfer_section
from bayestl.report.units import typeset
from bayestl.report.words import explained_in_words, gains_in_words, shifts_in_words

SHOWN_ROWS = 60
"""Largest number of predictions that are shown; the file that ``bayestl predict`` writes has all."""
TRANSFER_LABELS = 400
"""Largest number of labels for which the diagnosis fits the model again without each source."""


def write_model_report(
    model: BayesianModel, path: str | os.PathLike[str], predictions: Posterior | None = None, title: str | None = None
) -> Path:
    """Write the report on a fitted model as one HTML file and return its path.

    Parameters
    ----------
    model : BayesianModel
        A fitted model.
    path : path
        Path of the file; an earlier file is replaced at once.
    predictions : Posterior, optional
        The posterior of new rows, whose predictions are shown too.
    title : str, optional
        Title of the page; by default the class of the model.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        Before ``fit``.
    ValueError
        If the predictions are no posterior, or the file cannot be written.
    """
    from sklearn.utils.validation import check_is_fitted

    if not isinstance(model, BayesianModel):
        raise ValueError(f"model must be a fitted model of bayestl, got {model!r}")
    if not isinstance(predictions, Posterior | None):
        raise ValueError(f"predictions must be what model.posterior(X_new) returns, got {type(predictions).__name__}")
    check_is_fitted(model, "table_")
    return write(path, title or f"bayestl: {type(model).__name__}", model_sections(model, predictions))


def model_sections(model: BayesianModel, predictions: Posterior | None = None) -> list[Section]:
    """The sections of :func:`write_model_report`."""
    small = int(model.table_.present.sum()) <= TRANSFER_LABELS
    checks = model.diagnose(transfer=small)
    held = held_out_labels(model) if model._has_leave_one_out() else None
    chosen = isinstance(model, AutoTransfer)
    first = chosen_section(model) if isinstance(model, AutoTransfer) else _conclusion(model, held, checks)
    sections = [first, data_section(model.table_), transfer_section(model, checks)]
    if isinstance(model, AutoTransfer):
        sections.append(_mixture(model))
    if isinstance(model, StackedModel):
        sections.append(
            Section("Weights of the architectures")
            .text(
                "Each architecture counts by its weight, which comes from the log density of labels that it had not seen "
                "(elpd: their sum, nats)."
            )
            .frame(pd.DataFrame({"weight": model.weights_, "elpd": model.elpd_}))
            .terms("nats")
        )
    members = model.members_.values() if chosen else [model]
    sections += [levels_section(m) for m in members if type(m) is DifferenceGP][:1]
    if isinstance(model, LatentVariableGP) and len(edges := model.edges()):
        dependences = Section("How the tasks follow each other")
        dependences.text(
            "Slope of each dependence in label units, its strength from 0, and how far it is from a straight line."
        )
        dependences.frame(edges.reset_index().set_index("task"))
        curves = model.edge_curves()
        for task, source in edges.index:
            dependences.figure(plots.plot_edge(curves, task, source), f"{task} against {source}")
        sections.append(dependences)
    if held is not None:
        sections.append(_held_out(model, held))
    sections.append(diagnosis_section(checks))
    if predictions is not None:
        sections.append(_predictions(predictions))
    return [s for s in sections if s.body]


def _conclusion(model: BayesianModel, held: pd.DataFrame | None, checks: pd.DataFrame) -> Section:
    """What follows for each task: how well its labels are predicted from all others, what helps it, what to look at."""
    section = Section("What follows")
    section.text(f"{type(model).__name__}: {data_in_words(model.table_)}")
    for task in model.table_.tasks:
        said = (
            []
            if held is None
            else [units_typeset(held_out_in_words(held[held["task"] == task.name], task), model.table_)]
        )
        said += [
            sentence
            for sentence in (
                gains_in_words(checks, task.name, model.table_.names),
                explained_in_words(checks, task.name),
            )
            if sentence
        ]
        section.conclusion(said) if said else None
    for _, row in checks[checks["status"] != "pass"].iterrows():
        section.note(f"{row['check']}, {row['of']}", row["advice"])
    return section


def levels_section(model: DifferenceGP, title: str = "From one level to the next") -> Section:
    """How each level of a difference model follows from the one before: in the mean of the rows, and as a formula."""
    section = Section(title)
    section.text(
        "level = rho × previous level + offset + deviation of the group + a smooth difference; 90 % intervals."
    )
    section.conclusion(shifts_in_words(model.shifts(), {t.name: t for t in model.table_.tasks}))
    offsets = model.offsets()
    section.frame(_with_shifts(offsets, model.shifts()).reset_index().set_index("level"))
    section.figure(
        plots.plot_offsets(offsets), "Posterior of rho, the offsets (where the level before is 0) and the groups."
    )
    return section.terms("rho", "offset", *(["group offset"] if len(model.table_.groups) else []))


def _with_shifts(offsets: pd.DataFrame, shifts: pd.DataFrame) -> pd.DataFrame:
    """The offsets with a row for the shift of each level behind it."""
    rows = shifts.droplevel("source").drop(columns=["rows", "at"])
    rows.index = pd.MultiIndex.from_tuples(
        [(level, "mean shift", "") for level in rows.index], names=offsets.index.names
    )
    both = pd.concat([offsets, rows])
    return both.sort_index(level="level", sort_remaining=False, kind="stable")


def chosen_section(model: AutoTransfer, title: str = "What was chosen") -> Section:
    """What a fitted :class:`~bayestl.AutoTransfer` says of itself, a paragraph for each of its sentences."""
    text = units_typeset(model.summary().replace("\n  ", " ").replace("+-", "±"), model.table_)
    lines = [line for line in text.splitlines() if line.strip()]
    how = "From held-out labels of the table to which AutoTransfer is fitted: "
    return Section(title).text(how + lines[0]).conclusion(lines[1:]).terms("held-out", "nats")


def _mixture(model: AutoTransfer) -> Section:
    """Weights of the models, corrections of their mixture, and models that were left out."""
    section = Section("The mixture")
    section.text(
        "Weight of each model, by the log density of labels that it had not seen: where other labels of the row are known, and "
        "where none is."
    )
    section.frame(model.weights_.T, digits=2)
    section.text(
        "How well each predicts labels that it had not seen, beside the others of their row: mean log density (nats), mean absolute "
        "error (for classes the share of wrong ones), and the gain in density over the first model with its standard error."
    )
    section.frame(model.scores_)
    section.text(
        "Correction of the mixture's labels. Width above 1: labels scatter more than the models say; tail below 1: more of them "
        "are far away; temperature above 1: probabilities of classes were too sure."
    )
    corrections = {name: vars(warp) for name, warp in model.corrections_.items()}
    section.frame(pd.DataFrame.from_dict(corrections, orient="index").rename_axis("task").fillna(""))
    for name, reason in model.left_out_.items():
        section.text(f"Left out: {name}, {reason}")
    return section


def _held_out(model: BayesianModel, held: pd.DataFrame) -> Section:
    """Leave-one-out predictions of each task, and the histogram of their probability integral transforms."""
    section = Section("Each label from all others")
    section.text(
        "Every label of the table is predicted from all others (leave-one-out); the names are those far from the line."
    )
    for task in model.table_.tasks:
        part = held[held["task"] == task.name]
        if len(part) < 3:
            continue
        label = typeset(task.label)
        if limits := int((part["y"] != part["high"]).sum()):
            section.text(
                f"{task.name}: {limits} of {len(part)} labels are limits or intervals. They are not drawn, and their error is by how "
                "much the prediction misses them."
            )
        if task.classes is None:
            names = list(model.table_.index[part["row"]])
            alt = f"{task.name}: prediction from all others, with two standard deviations, against the label."
            section.figure(plots.plot_held_out(part, label, names=names), alt)
        transforms = plots.plot_levels(part["pit"].to_numpy(), label)
        section.figure(
            transforms, f"{task.name}: histogram of probability integral transforms; flat where intervals are right."
        )
    return section.terms("leave-one-out", "PIT")


def diagnosis_section(checks: pd.DataFrame) -> Section:
    """The checks of ``diagnose()`` with all advice; those that do not pass are told first."""
    section = Section("Diagnosis")
    if checks.empty:
        return section
    open_checks = checks[checks["status"] != "pass"]
    verdict = f"{len(open_checks)} to look at" if len(open_checks) else "all passed"
    section.text(f"{len(checks)} checks, {verdict}.")
    for _, row in open_checks.iterrows():
        section.note(f"{row['check']} ({row['of']})", row["advice"])
    return section.frame(checks.set_index("check"), said="advice").terms("status")


def _predictions(predictions: Posterior) -> Section:
    """Medians and intervals of new rows, for classes the likeliest one and its probability."""
    section = Section("Predictions")
    point, interval = predictions.point("absolute"), predictions.interval(0.9)
    columns: dict[str, Any] = {}
    for task in predictions.tasks:
        columns[typeset(task.label)] = point[task.name]
        if task.classes is None:
            ends = interval[task.name].to_numpy()
            columns[f"{typeset(task.label)}, 90 %"] = [f"{rounded(a)} to {rounded(b)}" for a, b in ends]
        else:
            columns[f"{task.name}, probability"] = predictions.probabilities(task.name).max(axis=1)
    frame = pd.DataFrame(columns)
    more = f" The first {SHOWN_ROWS} of {len(frame)} rows." if len(frame) > SHOWN_ROWS else ""
    section.text(f"Median (for classes the likeliest one) and 90 % interval of a new label.{more}")
    return section.frame(frame.iloc[: int(np.minimum(SHOWN_ROWS, len(frame)))])
