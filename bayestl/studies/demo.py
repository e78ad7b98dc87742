"""The demonstration on the chemical elements: real data without a download, three architectures, their mixture, one report.

Two questions: how well is sparse hardness (39 Vickers, 59 Brinell numbers) predicted from properties that are measured
more often (moduli, melting points), and the measured molar volume from DFT volumes and few measurements?
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from bayestl import report
from bayestl.datasets import Dataset, load_elements
from bayestl.evaluation.comparison import Comparison
from bayestl.evaluation.cross_validation import compare
from bayestl.models.ensembles.auto import AutoTransfer
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.exact.multitask import MultiTaskGP
from bayestl.models.latent.model import LatentVariableGP
from bayestl.parallel import in_parallel
from bayestl.report import plots
from bayestl.report.model import chosen_section
from bayestl.table.task import Task

HARDNESS = ("melting_point", "bulk_modulus", "brinell_hardness", "vickers_hardness")
VOLUME = ("dft_volume", "measured_volume")
EXACT = ("independent", "multi-task", "difference")
"""The architectures that the demonstration compares beside the mixture."""
KEPT_VOLUMES = 30
"""Number of measured volumes that the demonstration keeps; the others are hidden, to make the table sparse."""


@dataclass
class Demonstration:
    """The two comparisons, and the mixtures of architectures fitted to the whole tables."""

    data: Dataset
    hardness: Comparison
    volume: Comparison
    of_hardness: AutoTransfer
    of_volume: AutoTransfer


def _tasks(data: Dataset, names: tuple[str, ...]) -> list[Task]:
    """The tasks of a dataset with these names."""
    return [t for t in data.tasks if t.name in names]


def hardness_models(tasks: list[Task], seed: int = 0) -> dict[str, Any]:
    """The four architectures for hardness; the levels go from the densest label to the sparsest."""
    graph = {"brinell_hardness": ["bulk_modulus", "melting_point"], "vickers_hardness": ["brinell_hardness"]}
    return {
        "independent": IndependentGP(tasks=tasks, random_state=seed),
        "multi-task": MultiTaskGP(tasks=tasks, random_state=seed),
        "difference": DifferenceGP(levels=list(HARDNESS), tasks=tasks, random_state=seed),
        "latent variable": LatentVariableGP(graph=graph, tasks=tasks, inference="svi", random_state=seed),
    }


def volume_models(tasks: list[Task], seed: int = 0) -> dict[str, Any]:
    """The four architectures for DFT and measured volume."""
    source, target = VOLUME
    return {
        "independent": IndependentGP(tasks=tasks, random_state=seed),
        "multi-task": MultiTaskGP(tasks=tasks, random_state=seed),
        "difference": DifferenceGP(levels=[source, target], tasks=tasks, random_state=seed),
        "latent variable": LatentVariableGP(graph={target: [source]}, tasks=tasks, inference="svi", random_state=seed),
    }


def compared(models: dict[str, Any], target: str, tasks: list[Task], seed: int = 0) -> dict[str, Any]:
    """The exact architectures and "auto", which chooses and mixes; the latent-variable model takes too long here."""
    exact = {name: model for name, model in models.items() if name in EXACT}
    return exact | {"auto": AutoTransfer(target, tasks=tasks, random_state=seed, verbose=False)}


def run(n_splits: int = 4, seed: int = 0, n_jobs: int | None = 2, verbose: bool = True) -> Demonstration:
    """Run both comparisons by cross-validation, and fit the mixtures to the whole tables."""
    data = load_elements()
    hard = data.Y[list(HARDNESS)]
    rows = hard.notna().any(axis=1)
    tasks = _tasks(data, HARDNESS)
    cv = KFold(n_splits, shuffle=True, random_state=seed)
    of_hardness = compared(hardness_models(tasks, seed), HARDNESS[-1], tasks, seed)
    hardness = compare(
        of_hardness,
        data.X[rows],
        hard[rows],
        target=["brinell_hardness", "vickers_hardness"],
        cv=cv,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    volume_tasks = _tasks(data, VOLUME)
    volumes = sparse_volumes(data, seed)
    of_volume = compared(volume_models(volume_tasks, seed), VOLUME[-1], volume_tasks, seed)
    volume = compare(
        of_volume,
        data.X,
        volumes,
        target="measured_volume",
        cv=cv,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    jobs = [(of_hardness["auto"], data.X[rows], hard[rows]), (of_volume["auto"], data.X, volumes)]
    fitted = in_parallel(AutoTransfer.fit, jobs, n_jobs, "fitting all labels", verbose)
    return Demonstration(data, hardness, volume, *fitted)


def sparse_volumes(data: Dataset, seed: int = 0) -> pd.DataFrame:
    """Labels with all DFT volumes and :data:`KEPT_VOLUMES` measured ones."""
    volumes = data.Y[list(VOLUME)].copy()
    known = np.flatnonzero(volumes["measured_volume"].notna())
    hidden = np.random.default_rng(seed).permutation(known)[KEPT_VOLUMES:]
    volumes.iloc[hidden, 1] = np.nan
    return volumes


def write_report(demonstration: Demonstration, path: str | Path) -> Path:
    """Write the report as one HTML file and return its path."""
    d = demonstration
    data = report.Section("The data")
    data.text(
        f"{len(d.data.X)} chemical elements, {d.data.X.shape[1]} features from the periodic table. Source: {d.data.citation}."
    )
    data.frame(
        pd.DataFrame(
            {
                "unit": [t.unit for t in d.data.tasks],
                "labels": [str(d.data.Y[t.name].notna().sum()) for t in d.data.tasks],
            },
            index=pd.Index([t.name for t in d.data.tasks], name="task"),
        )
    )
    sections = [
        chosen_section(d.of_hardness, "Sparse hardness: what was chosen"),
        chosen_section(d.of_volume, "Measured volume: what was chosen"),
        data,
    ]
    for title, comparison, sentence in (
        (
            "Sparse hardness",
            d.hardness,
            "Brinell and Vickers hardness from melting points, bulk moduli and each other.",
        ),
        (
            "Measured volume",
            d.volume,
            f"Molar volume with {KEPT_VOLUMES} measurements, helped by DFT volumes of all elements.",
        ),
    ):
        chapter = report.comparison_sections(comparison)
        chapter[0].body.insert(0, f"<p>{sentence}</p>")
        for section in chapter:
            section.title = f"{title}: {section.title[0].lower()}{section.title[1:]}"
        sections += chapter
    return report.write(path, "bayestl: transfer learning on the chemical elements", [*sections, *_transfer(d)])


def _transfer(d: Demonstration) -> Iterator[report.Section]:
    """What the tasks of hardness share, and how the measured volume follows from DFT."""
    multitask, difference = d.of_hardness.members_.get("multi-task"), d.of_volume.members_.get("difference")
    if multitask is not None:
        transfer = report.Section("What the tasks share")
        transfer.text(
            "Correlation of the tasks' functions, from the multi-task model fitted to all labels, with its standard deviation."
        )
        yield transfer.figure(plots.plot_task_correlation(multitask.task_correlation()), "task correlation")
    if isinstance(difference, DifferenceGP):
        offsets = report.Section("From DFT to measurement")
        offsets.text(
            "The difference model: measured = rho x DFT + offset + a smooth difference. On logarithms of volumes; "
            "the change of unit alone, from cubic angstroms per atom to cubic centimetres per mole, is an offset of "
            "ln 0.602 = -0.507."
        )
        table = difference.offsets()
        offsets.frame(table.reset_index().drop(columns="group").set_index("parameter"))
        yield offsets.figure(plots.plot_offsets(table), "posterior of rho and the offset")
