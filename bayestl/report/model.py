"""The report on one fitted model: its data, what the tasks share, predictions of its own labels, and a diagnosis."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayestl.models.base import BayesianModel
from bayestl.models.crossfit import held_out_labels
from bayestl.models.ensembles.auto import AutoTransfer
from bayestl.models.ensembles.stacked import StackedModel
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.latent.model import LatentVariableGP
from bayestl.posterior import Posterior
from bayestl.report import plots
from bayestl.report.html import Section, write

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
    sections = [_data(model), _shared(model)]
    if isinstance(model, AutoTransfer):
        sections = [chosen_section(model), *sections, _mixture(model)]
    if isinstance(model, StackedModel):
        sections.append(
            Section("Weights of the architectures")
            .text(
                "Each architecture counts by its weight, which comes from the log density of labels that it had not seen."
            )
            .frame(pd.DataFrame({"weight": model.weights_, "elpd": model.elpd_}))
        )
    if isinstance(model, DifferenceGP):
        offsets = model.offsets()
        sections.append(
            Section("From one level to the next")
            .text(
                "level = rho x previous level + offset + deviation of the group + a smooth difference; 90 % intervals."
            )
            .frame(offsets.reset_index().set_index("level"))
            .figure(plots.plot_offsets(offsets), "posterior of rho and the offsets")
        )
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
    if model._has_leave_one_out():
        sections.append(_held_out(model))
    sections.append(_diagnosis(model))
    if predictions is not None:
        sections.append(_predictions(predictions))
    return [s for s in sections if s.body]


def chosen_section(model: AutoTransfer, title: str = "What was chosen") -> Section:
    """What a fitted :class:`~bayestl.AutoTransfer` says of itself, a paragraph for each of its sentences."""
    section = Section(title)
    for line in model.summary().replace("\n  ", " ").splitlines():
        if line.strip():
            section.text(line)
    return section


def _mixture(model: AutoTransfer) -> Section:
    """Weights of the models, corrections of their mixture, and models that were left out."""
    section = Section("The mixture")
    section.text(
        "Weight of each model, by the log density of labels that it had not seen: where other labels of the row are known, and "
        "where none is."
    )
    weights = model.weights_
    section.frame(weights.set_axis([f"{task}, {row}" for task, row in weights.columns], axis=1), digits=2)
    section.text(
        "How well each predicts labels that it had not seen, beside the others of their row: mean log density (nats), mean absolute "
        "error (for classes the share of wrong ones), and the gain in density over the first model with its standard error."
    )
    section.frame(model.scores_)
    section.text(
        "Correction of the mixture's labels. Spread above 1: labels scatter more than the models say; tail below 1: more of them "
        "are far away; temperature above 1: probabilities of classes were too sure."
    )
    corrections = {name: vars(warp) for name, warp in model.corrections_.items()}
    section.frame(pd.DataFrame.from_dict(corrections, orient="index").rename_axis("task").fillna(""))
    for name, reason in model.left_out_.items():
        section.text(f"Left out: {name}, {reason}")
    return section


def _data(model: BayesianModel) -> Section:
    """Size of the table, and the unit, labels and likelihood of each task."""
    table = model.table_
    section = Section("The data")
    groups = f", {len(table.groups)} groups" if table.groups else ""
    section.text(f"{len(table.x)} rows, {len(table.features)} features{groups}; {type(model).__name__}.")
    return section.frame(
        pd.DataFrame(
            {
                "unit": [t.unit for t in table.tasks],
                "labels": [str(int(n)) for n in table.present.sum(axis=0)],
                "likelihood": [type(t.observes).__name__ for t in table.tasks],
            },
            index=pd.Index(table.names, name="task"),
        )
    )


def _shared(model: BayesianModel) -> Section:
    """The task correlation; empty for a single task."""
    section = Section("What the tasks share")
    correlation = model.task_correlation()
    if len(correlation) > 1:
        section.text("Correlation of the tasks' functions over the features, with its standard deviation.")
        section.figure(plots.plot_task_correlation(correlation), "task correlation")
    return section


def _held_out(model: BayesianModel) -> Section:
    """Leave-one-out predictions of each task, and the histogram of their probability integral transforms."""
    section = Section("Each label from all others")
    section.text(
        "Every label of the table predicted from all others: points on the line are predicted well, and the histogram of their "
        "probability integral transforms is flat where intervals hold as many labels as their level says."
    )
    held = held_out_labels(model)
    for task in model.table_.tasks:
        part = held[held["task"] == task.name]
        if len(part) < 3:
            continue
        if task.classes is None:
            section.figure(
                plots.plot_held_out(part, task.label), f"{task.name}: label against its prediction from the others"
            )
        transforms = plots.plot_levels(part["pit"].to_numpy(), task.label)
        section.figure(transforms, f"{task.name}: histogram of probability integral transforms")
    return section


def _diagnosis(model: BayesianModel) -> Section:
    """The checks of ``diagnose()``, advice on those that do not pass first."""
    section = Section("Diagnosis")
    small = int(model.table_.present.sum()) <= TRANSFER_LABELS
    checks = model.diagnose(transfer=small)
    if checks.empty:
        return section
    open_checks = checks[checks["status"] != "pass"]
    verdict = f"{len(open_checks)} to look at" if len(open_checks) else "all passed"
    section.text(f"{len(checks)} checks, {verdict}.")
    for _, row in open_checks.iterrows():
        section.body.append(
            f'<p class="note"><b>{html.escape(row["check"])}</b> ({html.escape(row["of"])}): {html.escape(row["advice"])}</p>'
        )
    return section.frame(checks.drop(columns="advice").set_index("check"))


def _predictions(predictions: Posterior) -> Section:
    """Medians and intervals of new rows, for classes the likeliest one and its probability."""
    section = Section("Predictions")
    point, interval = predictions.point("absolute"), predictions.interval(0.9)
    columns: dict[str, Any] = {}
    for task in predictions.tasks:
        columns[task.label] = point[task.name]
        if task.classes is None:
            ends = interval[task.name].to_numpy()
            columns[f"{task.label}, 90 %"] = [f"{a:.3g} to {b:.3g}" for a, b in ends]
        else:
            columns[f"{task.name}, probability"] = predictions.probabilities(task.name).max(axis=1)
    frame = pd.DataFrame(columns)
    more = f" The first {SHOWN_ROWS} of {len(frame)} rows." if len(frame) > SHOWN_ROWS else ""
    section.text(f"Median (for classes the likeliest one) and 90 % interval of a new label.{more}")
    return section.frame(frame.iloc[: int(np.minimum(SHOWN_ROWS, len(frame)))])
