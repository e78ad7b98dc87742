"""Case M: small tables with a cheap source, calculation and experiment of molecules and frameworks.

A draw: ``n`` rows with both labels, 200 further rows with the calculation only, 200 test rows whose calculation is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bayestl.datasets import LOADERS, Dataset
from bayestl.features import DESCRIPTORS, MoleculeFeatures
from bayestl.studies.draws import Design, Result, compare_draws, draw_rows

SIZES = (20, 40, 80)
"""Numbers of rows with both labels."""
FURTHER, TEST = 200, 200
"""Rows with the calculation only, and held-out rows."""
COARSE = ("weight", "heavy_atoms")
"""Descriptors of the variant in which the features say little of a molecule."""


class Table(NamedTuple):
    """A table of the case: its loader, its tasks, and the descriptors of its molecules (none: numeric features)."""

    load: Callable[[], Dataset]
    source: str = "calculated"
    target: str = "measured"
    descriptors: Sequence[str] = ()


TABLES = {
    "freesolv": Table(LOADERS["freesolv"], descriptors=DESCRIPTORS),
    "polarizability": Table(LOADERS["polarizability"], descriptors=DESCRIPTORS),
    "frameworks": Table(LOADERS["frameworks"], "henry", "monte_carlo"),
    "coarse": Table(LOADERS["freesolv"], descriptors=COARSE),
}
"""The tables by name; ``coarse`` is FreeSolv with two descriptors, run on its own."""


def run(
    tables: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    n_draws: int = 10,
    only: Sequence[str] | None = None,
    hyperparameters: str = "auto",
    seed: int = 0,
    n_jobs: int | None = 2,
    verbose: bool = True,
) -> Result:
    """Run the protocol.

    Parameters
    ----------
    tables : sequence of str, optional
        Some of ``"freesolv"``, ``"polarizability"``, ``"frameworks"`` (the default) and ``"coarse"``.
    sizes : sequence of int, optional
        Numbers of rows with both labels; 20, 40 and 80 by default.
    n_draws : int
        Number of draws, of the seeds 0, 1 and so on.
    only, hyperparameters, seed, n_jobs, verbose
        As for :func:`bayestl.studies.draws.compare_draws`.

    Raises
    ------
    ValueError
        For an unknown table or model.
    """
    names = [t for t in TABLES if t != "coarse"] if tables is None else list(tables)
    if unknown := [name for name in names if name not in TABLES]:
        raise ValueError(f"no table {unknown[0]!r}; the tables are {list(TABLES)}")
    comparisons = {}
    for name in names:
        table = TABLES[name]
        data = table.load()
        X = MoleculeFeatures(table.descriptors).fit_transform(data.X) if table.descriptors else data.X
        for n in sizes or SIZES:
            design = Design(n, FURTHER, TEST)
            draws = [draw_rows(data.Y, table.source, table.target, design, k) for k in range(n_draws)]
            comparisons[name, f"{n} rows with both"] = compare_draws(
                X, data, table.source, table.target, draws, only, hyperparameters, seed, n_jobs, verbose
            )
    return Result(comparisons)
