"""The report of one fitted model: what it was given, what the tasks share, how it predicts its own labels, what to mind."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayestl.models.base import BayesianModel
from bayestl.models.crossfit import held_out_labels
from bayestl.models.ensembles.stacked import StackedModel
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.latent.model import LatentVariableGP
from bayestl.posterior import Posterior
from bayestl.report import plots
from bayestl.report.html import Section, write

SHOWN_ROWS = 60
"""Predictions that are shown; the file that ``bayestl predict`` writes has all."""
TRANSFER_LABELS = 400
"""Up to so many labels the diagnosis fits the model again without each source."""


def write_model_report(
    model: BayesianModel, path: str | os.PathLike[str], predictions: Posterior | None = None, title: str | None = None
) -> Path:
    """Write a fitted model's report as one HTML file; returns its path.

    Parameters
    ----------
    model : BayesianModel
        Fitted.
    path : path
        Of the file; an earlier one is replaced whole.
    predictions : Posterior, optional
        Of new rows, which are shown too.
    title : str, optional

    Raises
    ------
    sklearn.exceptions.NotFittedError
        Before ``fit``.
    """
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(model, "table_")
    return write(path, title or f"bayestl: {type(model).__name__}", model_sections(model, predictions))


def model_sections(model: BayesianModel, predictions: Posterior | None = None) -> list[Section]:
    """The sections of :func:`write_model_report`."""
    sections = [_data(model), _shared(model)]
    if isinstance(model, StackedModel):
        sections.append(
            Section("Weights of the architectures")
            .text("How much each counts, by the log density of labels that it had not seen.")
            .frame(pd.DataFrame({"weight": model.weights_, "elpd": model.elpd_}))
        )
    if isinstance(model, DifferenceGP):
        offsets = model.offsets()
        sections.append(
            Section("From one level to the next")
            .text(
                "level = rho x the one before + offset + deviation of the group + a smooth difference; 90 % intervals."
            )
            .frame(offsets.reset_index().set_index("level"))
            .figure(plots.plot_offsets(offsets), "posterior of rho and the offsets")
        )
    if isinstance(model, LatentVariableGP) and len(edges := model.edges()):
        own = Section("How the tasks follow each other")
        own.text(
            "Slope of each dependence in label units, its strength from 0, and how far it is from a straight line."
        )
        own.frame(edges.reset_index().set_index("task"))
        curves = model.edge_curves()
        for task, source in edges.index:
            own.figure(plots.plot_edge(curves, task, source), f"{task} against {source}")
        sections.append(own)
    if model._has_leave_one_out():
        sections.append(_held_out(model))
    sections.append(_diagnosis(model))
    if predictions is not None:
        sections.append(_predictions(predictions))
    return [s for s in sections if s.body]


def _data(model: BayesianModel) -> Section:
    table = model.table_
    own = Section("The data")
    groups = f", {len(table.groups)} groups" if table.groups else ""
    own.text(f"{len(table.x)} rows, {len(table.features)} features{groups}; {type(model).__name__}.")
    return own.frame(
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
    own = Section("What the tasks share")
    correlation = model.task_correlation()
    if len(correlation) > 1:
        own.text("Correlation of the tasks' functions over the features, with its standard deviation.")
        own.figure(plots.plot_task_correlation(correlation), "task correlation")
    return own


def _held_out(model: BayesianModel) -> Section:
    own = Section("Each label from all others")
    own.text(
        "Every label of the table predicted from all others: points on the line are predicted well, and the histogram of their "
        "levels is flat where intervals hold what they claim."
    )
    held = held_out_labels(model)
    for task in model.table_.tasks:
        part = held[held["task"] == task.name]
        if len(part) < 3:
            continue
        if task.classes is None:
            own.figure(
                plots.plot_held_out(part, task.label), f"{task.name}: label against its prediction from the others"
            )
        own.figure(plots.plot_levels(part["pit"].to_numpy(), task.label), f"{task.name}: histogram of levels")
    return own


def _diagnosis(model: BayesianModel) -> Section:
    own = Section("Diagnosis")
    small = int(model.table_.present.sum()) <= TRANSFER_LABELS
    found = model.diagnose(transfer=small)
    if found.empty:
        return own
    bad = found[found["status"] != "pass"]
    own.text(f"{len(found)} checks, {len(bad)} to mind." if len(bad) else f"{len(found)} checks, all passed.")
    for _, row in bad.iterrows():
        own.body.append(
            f'<p class="note"><b>{html.escape(row["check"])}</b> ({html.escape(row["of"])}): {html.escape(row["advice"])}</p>'
        )
    return own.frame(found.drop(columns="advice").set_index("check"))


def _predictions(predictions: Posterior) -> Section:
    own = Section("Predictions")
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
    own.text(f"Median (of classes the likeliest) and 90 % interval of a new label.{more}")
    return own.frame(frame.iloc[: int(np.minimum(SHOWN_ROWS, len(frame)))])
