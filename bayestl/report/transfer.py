"""Which task informs which in a fitted model, as one picture: by what labels gain from a task, else by correlation."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bayestl.diagnostics.words import plus_minus
from bayestl.models.base import BayesianModel
from bayestl.models.ensembles.auto import AutoTransfer
from bayestl.models.ensembles.candidates import alone_among
from bayestl.models.ensembles.held_out import MIXTURE
from bayestl.report import plots
from bayestl.report.html import Section
from bayestl.report.words import GAINED

MOST_TASKS = 6
"""Most tasks that are drawn on a circle."""


def gains_in(checks: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """What each task's labels gain from the labels of each other task, from the table of ``diagnose()``.

    Those of a member of a stack, which are of that model alone, are left out.
    """
    pair_of = {f"{a} -> {b}": (a, b) for a in tasks for b in tasks}
    found = checks[(checks["check"] == GAINED) & checks["of"].isin(list(pair_of))]
    pairs = [pair_of[of] for of in found["of"]]
    return pd.DataFrame(
        {
            "source": [a for a, _ in pairs],
            "target": [b for _, b in pairs],
            "strength": found["value"].to_numpy(),
            "se": -found["threshold"].to_numpy() / 2,
            "directed": True,
        }
    )


def gains_of(model: BayesianModel) -> pd.DataFrame:
    """What each of two tasks gains, a label, from the other in a mixture of models; empty for others."""
    names = model.table_.names
    rows = []
    if isinstance(model, AutoTransfer) and len(names) == 2 and alone_among(model.members_) is not None:
        gains = model.scores_.xs(MIXTURE, level="model")
        rows = [(a, b, gains.loc[b, "gain"], gains.loc[b, "se"], True) for a, b in (names, names[::-1])]
    return pd.DataFrame(rows, columns=["source", "target", "strength", "se", "directed"])


def correlations_of(correlation: pd.DataFrame) -> pd.DataFrame:
    """The correlation of each pair of tasks."""
    std, names = correlation.attrs.get("std"), list(correlation)
    rows = [
        (a, b, correlation.iloc[i, j], 0.0 if std is None else std.iloc[i, j], False)
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i < j
    ]
    return pd.DataFrame(rows, columns=["source", "target", "strength", "se", "directed"])


def transfer_section(model: BayesianModel, checks: pd.DataFrame) -> Section:
    """The picture of transfer, and the correlation of the tasks; empty for a single task."""
    section = Section("What the tasks share")
    correlation = model.task_correlation()
    if len(correlation) < 2:
        return section
    gains = gains_in(checks, model.table_.names)
    gains, per = (gains, "") if len(gains) else (gains_of(model), " a label")
    links = gains if len(gains) else correlations_of(correlation)
    section.text(links_in_words(links))
    if len(model.table_.tasks) <= MOST_TASKS:
        shown = (
            "Gain in log density of a task's labels, each from all others, by the labels of the task at the arrow's start, "
            f"nats{per}."
            if len(gains)
            else "Correlation of the tasks' functions."
        )
        wide = "Wide: strong; orange: harm or opposite sign; grey and broken: within two standard errors of zero."
        section.figure(plots.plot_transfer(links), f"{shown} {wide}")
    if len(correlation) > 2:
        section.figure(
            plots.plot_task_correlation(correlation), "Correlation of the tasks' functions and its standard deviation."
        )
    elif len(gains):
        (only,) = correlations_of(correlation).itertuples()
        section.text(f"Correlation of {only.source} and {only.target}: {plus_minus(only.strength, only.se)}.")
    return section.terms(*(["nats", "leave-one-out"] if len(gains) else []), "correlation")


def links_in_words(links: pd.DataFrame) -> str:
    """Which links are sure, the strongest first."""
    directed = bool(links["directed"].any())
    sure = links[links["strength"].abs() > 2 * links["se"]]
    kinds = (
        (("inform", sure[sure["strength"] > 0]), ("harm", sure[sure["strength"] < 0]))
        if directed
        else (("go together", sure[sure["strength"] > 0]), ("go against each other", sure[sure["strength"] < 0]))
    )
    said = []
    for verb, part in kinds:
        ordered = part.reindex(part["strength"].abs().sort_values(ascending=False, kind="stable").index)
        pairs = [
            f"{r.source} {'to' if directed else 'and'} {r.target} ({plus_minus(r.strength, r.se)})"
            for r in ordered.itertuples()
        ]
        if pairs:
            said.append(f"Tasks that {verb}: {', '.join(pairs)}.")
    rest = len(links) - len(sure)
    if rest:
        what = "what one task gains from another" if directed else "the correlation of two functions"
        said.append(f"For {rest} of {len(links)} pairs {what} cannot be told from zero.")
    return " ".join(said)
