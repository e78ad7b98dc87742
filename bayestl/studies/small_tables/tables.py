"""The tables of the battery, and how rows are drawn from them.

A table with a calculation beside a measurement is drawn as in :mod:`bayestl.studies.draws`: ``n`` rows with both labels,
further ones with the calculation only, held-out rows whose calculation is known.  The others have repeated folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold

from bayestl.datasets import (
    Dataset,
    load_elements,
    load_experimental_band_gaps,
    load_formation_enthalpies,
    load_no_decomposition,
    load_strehlow_cook,
)
from bayestl.datasets.band_gaps import pbe_gaps_of
from bayestl.features import CompositionFeatures, MoleculeFeatures, reduced_formula
from bayestl.studies import molecules
from bayestl.studies.demo import HARDNESS, VOLUME
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
class Folds:
    """Five folds, ``repeats`` times, over all rows; of a class, over the rows that have one, stratified."""

    repeats: int
    sizes: tuple[None] = (None,)

    def splits(self, table: Table, Y: pd.DataFrame, n: int | None, repeats: int, seed: int) -> Iterator[Split]:
        """The folds; ``seed`` is that of all of them."""
        labels, rows = Y[table.targets[0]], np.arange(len(Y))
        kind: Any = RepeatedKFold
        if isinstance(labels.dtype, pd.CategoricalDtype):
            kind, rows = RepeatedStratifiedKFold, np.flatnonzero(labels.notna())
        folds = kind(n_splits=5, n_repeats=repeats, random_state=seed)
        for k, (_, test) in enumerate(folds.split(rows, labels.iloc[rows])):
            train = np.setdiff1d(np.arange(len(Y)), rows[test])
            yield Split(f"seed {seed} fold {k}", train, rows[test], train[:0])


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
    cut: Draws | Folds
    source: str | None = None
    hide: str = "target"

    @property
    def target(self) -> str | None:
        """The task that is scored, None where there are several."""
        return self.targets[0] if len(self.targets) == 1 else None

    def sizes(self, only: Sequence[int] | None) -> tuple[int | None, ...]:
        """The numbers of rows with both labels, of those in ``only``; None for folds, which have all labels of the others."""
        return tuple(n for n in self.cut.sizes if n is None or only is None or n in only)


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


def _elements(names: Sequence[str], n_jobs: int | None, verbose: bool) -> Dataset:
    """The chemical elements that have a label of these tasks."""
    data = load_elements()
    data = data.rows(data.Y[list(names)].notna().any(axis=1).to_numpy())
    return _with(data, data.X, names)


def _nitric_oxide(n_jobs: int | None, verbose: bool) -> Dataset:
    """Case N."""
    return load_no_decomposition()


def _semiconductors(n_jobs: int | None, verbose: bool) -> Dataset:
    """Strehlow and Cook's measured gaps, one row a composition, beside the PBE gaps of the same compositions."""
    data = load_strehlow_cook()
    Y = pd.DataFrame({"pbe_gap": pbe_gaps_of(data.X["formula"]), "band_gap": data.Y["band_gap"]})
    tasks = (Task("pbe_gap", unit="eV"), Task("band_gap", unit="eV", cost=20.0))
    data = replace(data, Y=Y, tasks=tasks)
    first = ~data.X["formula"].map(reduced_formula).duplicated()
    data = data.rows((first & Y.notna().all(axis=1)).to_numpy())
    return _with(data, formula_features(data.X, n_jobs, verbose), list(Y))


def _gaps(n_jobs: int | None, verbose: bool) -> Dataset:
    """The rows of case G with a PBE gap."""
    data = load_experimental_band_gaps()
    data = data.rows(data.Y.notna().all(axis=1).to_numpy())
    return _with(data, formula_features(data.X, n_jobs, verbose), list(data.Y))


def _colours(n_jobs: int | None, verbose: bool) -> Dataset:
    """Case C; the column of colours lists all classes, so that a fold without one of them still knows its name."""
    data = load_strehlow_cook()
    X = CompositionFeatures(("magpie", "fractions"), n_jobs=n_jobs, verbose=verbose).fit_transform(data.X)
    return replace(data, X=X, Y=data.Y.assign(color=data.Y["color"].astype("category")))


_HARDNESS = (*HARDNESS, "mohs_hardness")
_SMALL, _COMPOUNDS = Draws((20, 40, 80), 200, 200), Draws((50, 100, 200), 200, 150)
TABLES = {
    "freesolv": Table(partial(_molecules, "freesolv"), ("measured",), _SMALL, "calculated"),
    "polarizability": Table(partial(_molecules, "polarizability"), ("measured",), _SMALL, "calculated"),
    "frameworks": Table(partial(_molecules, "frameworks"), ("monte_carlo",), _SMALL, "henry"),
    "enthalpies-scan": Table(partial(_enthalpies, "scan"), ("measured",), _COMPOUNDS, "scan"),
    "enthalpies-mp": Table(partial(_enthalpies, "mp"), ("measured",), _COMPOUNDS, "mp"),
    "hardness": Table(
        partial(_elements, _HARDNESS), ("brinell_hardness", "vickers_hardness", "mohs_hardness"), Folds(4)
    ),
    "volume": Table(partial(_elements, VOLUME), VOLUME[1:], Folds(4), VOLUME[0]),
    "no-target": Table(_nitric_oxide, ("N2", "NO", "O2"), Folds(10)),
    "no-row": Table(_nitric_oxide, ("N2", "NO", "O2"), Folds(10), hide="row"),
    "semiconductors": Table(_semiconductors, ("band_gap",), Draws((50, 100), 100, 200), "pbe_gap"),
    "gaps": Table(_gaps, ("expt_gap",), Draws((100,), 200, 200), "pbe_gap"),
    "color-target": Table(_colours, ("color",), Folds(4)),
    "color-row": Table(_colours, ("color",), Folds(4), hide="row"),
}
"""The tables by name."""
