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
from bayestl.evaluation.figures import of_comparison
from bayestl.models.ensembles.auto import AutoTransfer
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.exact.multitask import MultiTaskGP
from bayestl.models.latent.model import LatentVariableGP
from bayestl.parallel import in_parallel
from bayestl.report.model import chosen_section, levels_section
from bayestl.report.transfer import transfer_section
from bayestl.table.task import Task

HARDNESS = ("melting_point", "bulk_modulus", "brinell_hardness", "vickers_hardness")
VOLUME = ("dft_volume", "measured_volume")
EXACT = ("independent", "multi-task", "difference")
"""The architectures that the demonstration compares beside the mixture."""
UNIT_SHIFT = float(np.log(0.602214076))
"""The logarithm of a cubic angstrom per atom in cubic centimetres per mole."""
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

    @property
    def figures(self) -> pd.DataFrame:
        """Scores and calibration."""
        return pd.concat([of_comparison(c) for c in (self.hardness, self.volume)], ignore_index=True)


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
    about = report.Section("The chemical elements")
    about.text(
        f"{len(d.data.X)} chemical elements, {d.data.X.shape[1]} features from the periodic table. Source: {d.data.citation}."
    )
    sections = [about]
    for title, comparison, model, sentence in (
        (
            "Sparse hardness",
            d.hardness,
            d.of_hardness,
            "Brinell and Vickers hardness from melting points, bulk moduli and each other.",
        ),
        (
            "Measured volume",
            d.volume,
            d.of_volume,
            f"Molar volume with {KEPT_VOLUMES} measurements, helped by DFT volumes of all elements.",
        ),
    ):
        chapter = report.comparison_sections(comparison)
        chapter[0].body.insert(0, f"<p>{sentence}</p>")
        chapter.insert(1, chosen_section(model))
        for section in chapter:
            section.title = f"{title}: {section.title[0].lower()}{section.title[1:]}"
        sections += chapter
    return report.write(path, "bayestl: transfer learning on the chemical elements", [*sections, *_transfer(d)])


def _transfer(d: Demonstration) -> Iterator[report.Section]:
    """What the tasks of hardness share, and how the measured volume follows from DFT."""
    yield transfer_section(d.of_hardness, pd.DataFrame(columns=["check", "of", "value", "threshold"]))
    difference = d.of_volume.members_.get("difference")
    if isinstance(difference, DifferenceGP):
        section = levels_section(difference, "From DFT to measurement")
        yield section.text(unit_in_words(difference.shifts().iloc[0]))


def unit_in_words(shift: pd.Series) -> str:
    """What of the shift between the logarithms of both volumes is the change of unit alone, and whether it is more than that."""
    held = shift["lower"] <= UNIT_SHIFT <= shift["upper"]
    verdict = (
        "holds it, so more than a change of unit is not seen" if held else "does not hold it: the two differ by more"
    )
    return (
        f"From cubic angstroms per atom to cubic centimetres per mole alone, the logarithm shifts by ln {np.exp(UNIT_SHIFT):.3f} = "
        f"{UNIT_SHIFT:.3f}. The mean shift is {shift['mean']:.3f}; its interval, {shift['lower']:.3f} to "
        f"{shift['upper']:.3f}, {verdict}."
    )
