"""Runs the battery: every table, number of labels, draw and model that is not in the file of results yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bayestl.parallel import in_parallel
from bayestl.studies.small_tables.models import models
from bayestl.studies.small_tables.results import Results
from bayestl.studies.small_tables.scores import Unit, run_unit
from bayestl.studies.small_tables.summary import Summary
from bayestl.studies.small_tables.tables import TABLES

FOLDER = Path("small-tables")
"""The output folder where none is named."""


def run(
    folder: Path = FOLDER,
    tables: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    only: Sequence[str] | None = None,
    repeats: int | None = None,
    seed: int = 0,
    n_jobs: int | None = 2,
    verbose: bool = True,
) -> Summary:
    """Run the protocol, or what is missing of it.

    Parameters
    ----------
    folder : Path
        Where the results are written, unit by unit; a run into the same folder goes on with what is not there yet.
    tables : sequence of str, optional
        Some of :data:`~bayestl.studies.small_tables.tables.TABLES`; by default all.
    sizes : sequence of int, optional
        Numbers of rows with both labels, of those of each table; by default all of them.
    only : sequence of str, optional
        Names of the models to run; by default ``auto`` and all peers that apply to a table.
    repeats : int, optional
        Draws, or repeats of the folds; by default ten draws and the repeats of each protocol.
    seed : int
        Seed of the first draw, and of the folds.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.

    Returns
    -------
    Summary
        Of all that is in the folder.

    Raises
    ------
    ValueError
        For an unknown table or model.
    """
    names = list(TABLES if tables is None else tables)
    if unknown := [name for name in names if name not in TABLES]:
        raise ValueError(f"no table {unknown[0]!r}; the tables are {list(TABLES)}")
    results = Results(folder)
    jobs = list(_jobs(results, names, sizes, only, repeats, seed, n_jobs, verbose))
    for record in in_parallel(run_unit, jobs, n_jobs, "small tables", verbose):
        results.append(record)
    return Summary(results)


def _jobs(
    results: Results,
    names: Sequence[str],
    sizes: Sequence[int] | None,
    only: Sequence[str] | None,
    repeats: int | None,
    seed: int,
    n_jobs: int | None,
    verbose: bool,
) -> list[tuple[Any, ...]]:
    """The arguments of the units that are not finished, the first draws of all tables before the second ones."""
    jobs: list[tuple[float, tuple[Any, ...]]] = []
    known: set[str] = set()
    for name in names:
        table = TABLES[name]
        data = table.load(n_jobs, verbose)
        of_table = models(table, data)
        known |= set(of_table)
        chosen = {key: model for key, model in of_table.items() if only is None or key in only}
        for n in table.sizes(sizes):
            splits = list(table.cut.splits(table, data.Y, n, repeats or table.cut.repeats, seed))
            for k, split in enumerate(splits):
                for key, model in chosen.items():
                    unit = Unit(name, n, split.name, key)
                    if not results.has(unit):
                        jobs.append((k / len(splits), (unit, model, data, split, table.targets, table.hide)))
    if unknown := sorted(set(only or ()) - known):
        raise ValueError(f"no such model {unknown[0]!r}; the models are {sorted(known)}")
    return [job for _, job in sorted(jobs, key=lambda pair: pair[0])]


def summarise(folder: Path = FOLDER) -> Summary:
    """The summary of what a folder holds, without a run.

    Raises
    ------
    ValueError
        If there are no results in the folder.
    """
    results = Results(folder)
    if not results.records:
        raise ValueError(f"no results in {folder}: run `bayestl reproduce small-tables -o {folder}` first")
    return Summary(results)
