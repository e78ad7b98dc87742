"""The tables of the battery, and how rows are drawn from them.

A table with a calculation beside a measurement is drawn as in :mod:`bayestl.studies.draws`: ``n`` rows with both labels,
further ones with the calculation only, held-out rows whose calculation is known.  The others have repeated folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from bayestl.datasets import Dataset, load_formation_enthalpies
from bayestl.features import MoleculeFeatures
from bayestl.studies import molecules
from bayestl.studies.draws import Design, draw_rows, formula_features
from bayestl.table.task import Task

Load = Callable[[int | None, bool], Dataset]
"""A function of the number of processes and whether to show progress: the table, its features as numbers."""


class Split(NamedTuple):
    """The rows of one fit: their name, positions in training and held out, and where the target's label is left out."""

    name: str
    train: np.ndarray
    test: np.ndarray
    unlabelled: np.ndarray


@dataclass(frozen=True)
class Draws:
    """Random draws: ``sizes`` rows with both labels, ``further`` with the source's alone, ``test`` held out."""

    sizes: tuple[int, ...]
    further: int
    test: int
    repeats: int = 10

    def splits(self, table: Table, Y: pd.DataFrame, n: int | None, repeats: int, seed: int) -> Iterator[Split]:
        """One draw for each of the seeds from ``seed`` on."""
        assert table.source is not None
        for k in range(seed, seed + repeats):
            draw = draw_rows(Y, table.source, table.targets[0], Design(n, self.further, self.test), k)
            yield Split(f"seed {k}", np.concatenate([draw.labelled, draw.further]), draw.test, draw.further)


@dataclass(frozen=True)
class Table:
    """A table of the battery.

    Attributes
    ----------
    load : callable
        The table.
    targets : tuple of str
        The tasks that are scored, from one fit.
    cut : Draws or Folds
        How rows are held out.
    source : str, optional
        The other task, where there is just one.
    hide : {"target", "row"}
        Whether a held-out row loses the label of the target only, or all its labels.
    """

    load: Load
    targets: tuple[str, ...]
    cut: Draws
    source: str | None = None
    hide: str = "target"

    @property
    def target(self) -> str | None:
        """The task that is scored, None where there are several."""
        return self.targets[0] if len(self.targets) == 1 else None

    def sizes(self, only: Sequence[int] | None) -> tuple[int | None, ...]:
        """The numbers of rows with both labels; None where all rows outside of the fold have their labels."""
        return tuple(n for n in self.cut.sizes if only is None or n in only)


def _with(data: Dataset, X: pd.DataFrame, names: Sequence[str], likelihoods: bool = True) -> Dataset:
    """A dataset with other features and some of the tasks; without their likelihoods they are what a table says."""
    tasks = tuple(t if likelihoods else Task(t.name, unit=t.unit, cost=t.cost) for t in data.tasks if t.name in names)
    Y = data.Y[[t.name for t in tasks]]
    return replace(data, X=X, Y=Y, tasks=tasks, Y_std=None if data.Y_std is None else data.Y_std[list(Y)])


def _molecules(name: str, n_jobs: int | None, verbose: bool) -> Dataset:
    """A table of case M."""
    table = molecules.TABLES[name]
    data = table.load()
    X = MoleculeFeatures(table.descriptors).fit_transform(data.X) if table.descriptors else data.X
    return _with(data, X, (table.source, table.target), likelihoods=False)


def _enthalpies(source: str, n_jobs: int | None, verbose: bool) -> Dataset:
    """Compositions with a measured formation enthalpy and a calculated one."""
    data = load_formation_enthalpies()
    data = data.rows(data.Y[[source, "measured"]].notna().all(axis=1).to_numpy())
    return _with(data, formula_features(data.X, n_jobs, verbose), (source, "measured"), likelihoods=False)


_SMALL, _COMPOUNDS = Draws((20, 40, 80), 200, 200), Draws((50, 100, 200), 200, 150)
TABLES = {
    "freesolv": Table(partial(_molecules, "freesolv"), ("measured",), _SMALL, "calculated"),
    "polarizability": Table(partial(_molecules, "polarizability"), ("measured",), _SMALL, "calculated"),
    "frameworks": Table(partial(_molecules, "frameworks"), ("monte_carlo",), _SMALL, "henry"),
    "enthalpies-scan": Table(partial(_enthalpies, "scan"), ("measured",), _COMPOUNDS, "scan"),
    "enthalpies-mp": Table(partial(_enthalpies, "mp"), ("measured",), _COMPOUNDS, "mp"),
}
"""The tables by name."""
