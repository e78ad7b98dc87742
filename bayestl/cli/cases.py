"""The command ``reproduce``, and its cases: for each a function that runs it with the options that apply to it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bayestl.cli.app import Dask, Jobs, Quiet, on_cluster, processes, user_errors
from bayestl.cli.inputs import folds_in, names_in, of_option, sizes_in
from bayestl.cli.outputs import path_in
from bayestl.files.output import check_folder


class Case(StrEnum):
    """Names of the cases."""

    no = "no"
    gap = "gap"
    color = "color"
    elements = "elements"
    molecules = "molecules"
    enthalpies = "enthalpies"
    fidelities = "fidelities"
    fidelities_of_gaps = "fidelities-of-gaps"
    small_tables = "small-tables"
    few_shots = "few-shots"


@dataclass(frozen=True)
class Options:
    """Options of the command line; each case uses those that apply to it."""

    repeats: int | None
    hide: str
    variant: str | None
    split: str
    only: list[str] | None
    sizes: list[int] | None
    jobs: int | None
    verbose: bool
    seed: int = 0
    output: Path | None = None
    summary: bool = False
    targets: list[str] | None = None
    folds: list[int] | None = None


def _no(o: Options) -> Any:
    """NO decomposition, with the calibration of its models."""
    from bayestl.studies import no

    return no.run(o.repeats or 10, o.hide, o.split, o.variant, o.only, n_jobs=o.jobs, verbose=o.verbose)


def _gap(o: Options) -> Any:
    """Band gaps: the official folds (G0, G1) or the curve against the number of measurements (G2)."""
    from bayestl.studies import gap

    if o.variant == "G2":
        return gap.scarcity(o.sizes, o.only, o.repeats or 5, n_jobs=o.jobs, verbose=o.verbose)
    return gap.run(o.variant or "G1", o.only, o.repeats or 5, n_jobs=o.jobs, verbose=o.verbose)


def _color(o: Options) -> Any:
    """Colours, with the calibration of the models and the figures of the paper's learner."""
    from bayestl.studies import color

    return color.run(o.hide, o.only, o.repeats or 4, n_jobs=o.jobs, verbose=o.verbose)


def _elements(o: Options) -> Any:
    """Hardness and volumes of the elements."""
    from bayestl.studies import elements

    return elements.run(o.hide, o.only, o.repeats or 4, n_jobs=o.jobs, verbose=o.verbose)


def _molecules(o: Options) -> Any:
    """Draws of small tables with a cheap source."""
    from bayestl.studies import molecules

    tables = None if o.variant is None else [o.variant]
    return molecules.run(tables, o.sizes, o.repeats or 10, o.only, n_jobs=o.jobs, verbose=o.verbose)


def _enthalpies(o: Options) -> Any:
    """Draws of measured formation enthalpies beside calculated ones, or five folds of all."""
    from bayestl.studies import enthalpies

    if o.variant == "full":
        return enthalpies.full(o.hide, o.repeats or 5, o.only, n_jobs=o.jobs, verbose=o.verbose)
    source = o.variant or "scan"
    return enthalpies.run(source, o.sizes, o.repeats or 10, o.only, n_jobs=o.jobs, verbose=o.verbose)


def _fidelities(o: Options) -> Any:
    """Draws of HSE gaps beside PBE gaps."""
    from bayestl.studies import fidelities

    return fidelities.run(o.variant or "few", o.repeats or 3, o.only, n_jobs=o.jobs, verbose=o.verbose)


def _fidelities_of_gaps(o: Options) -> Any:
    """Five fidelities of the gap in one model: what is missing in the folder, then the scores of all that is there."""
    from bayestl.studies import gap_fidelities as study

    folder = o.output or study.FOLDER
    if o.variant == "offsets":
        return study.offsets(o.sizes[0] if o.sizes else None, verbose=o.verbose)
    if o.variant is not None:
        raise ValueError(f"variant must be offsets, or left out, got {o.variant!r}")
    return study.run(folder, o.targets, o.folds, o.only, o.hide, o.sizes, o.jobs, o.verbose)


def _small_tables(o: Options) -> Any:
    """The battery of small tables, or the summary of what is in its folder."""
    from bayestl.studies import small_tables as study

    folder = o.output or study.FOLDER
    if o.summary:
        return study.summarise(folder)
    tables = None if o.variant is None else [name.strip() for name in o.variant.split(",")]
    return study.run(folder, tables, o.sizes, o.only, o.repeats, o.seed, o.jobs, o.verbose)


def _few_shots(o: Options) -> Any:
    """Thirty tasks with five labels each: what is missing in the folder, then the errors of all that is there."""
    from bayestl.studies.small_tables import few_shots as study

    return study.run(o.output or study.FOLDER, o.repeats or 10, o.only, o.seed, o.jobs, o.verbose)


RUN: dict[Case, Callable[[Options], Any]] = {
    Case.no: _no,
    Case.gap: _gap,
    Case.color: _color,
    Case.elements: _elements,
    Case.molecules: _molecules,
    Case.enthalpies: _enthalpies,
    Case.fidelities: _fidelities,
    Case.fidelities_of_gaps: _fidelities_of_gaps,
    Case.small_tables: _small_tables,
    Case.few_shots: _few_shots,
}
"""The function of each case; its result is printed."""
OF_OPTION = {
    "no such model": "models",
    "no model": "models",
    "no table": "variant",
    "source must": "variant",
    "variant must": "variant",
    "case must": "variant",
    "no target": "targets",
    "no fold": "folds",
}
"""How errors of the cases begin, and the option that they are about."""
_USED = {
    Case.no: {"repeats", "hide", "split", "variant"},
    Case.gap: {"repeats", "variant", "sizes"},
    Case.color: {"repeats", "hide"},
    Case.elements: {"repeats", "hide"},
    Case.molecules: {"repeats", "variant", "sizes"},
    Case.enthalpies: {"repeats", "variant", "sizes", "hide"},
    Case.fidelities: {"repeats", "variant"},
    Case.fidelities_of_gaps: {"hide", "variant", "sizes", "targets", "folds"},
    Case.small_tables: {"repeats", "variant", "sizes", "seed", "summary"},
    Case.few_shots: {"repeats", "seed"},
}
"""Options that some cases use and others do not."""


def refuse_unused(case: Case, given: dict[str, Any]) -> None:
    """Refuse options that do not concern the case; those that were not given are None."""
    for name, value in given.items():
        if value is not None and name not in _USED[case]:
            others = ", ".join(c.value for c in Case if name in _USED[c])
            raise ValueError(f"--{name} is for {others}, not for {case.value}")
    if case is Case.enthalpies and given["variant"] != "full" and given["hide"] is not None:
        raise ValueError("--hide: draws of enthalpies hide the measurement; it is for enthalpies with --variant full")
    if case is Case.gap and given["variant"] != "G2" and given["sizes"] is not None:
        raise ValueError("--sizes: the folds of G0 and G1 use all measured gaps; it is for gap with --variant G2")
    if case is Case.enthalpies and given["variant"] == "full" and given["sizes"] is not None:
        raise ValueError("--sizes: with --variant full all enthalpies are used")
    if given["hide"] not in (None, "row", "target"):
        raise ValueError(f"--hide must be one of {('row', 'target')}, got {given['hide']!r}")


def reproduce(
    case: Annotated[
        Case,
        typer.Argument(
            help="no: NO decomposition; gap: band gaps; color: colours; elements: hardness and volumes of the elements; "
            "molecules: small tables with a cheap source; enthalpies: formation enthalpies; fidelities: HSE beside PBE gaps; "
            "fidelities-of-gaps: five fidelities of the gap in one model, resumed where it ended; "
            "small-tables: all small tables with one call, beside other learners, resumed where it ended; "
            "few-shots: thirty tasks of elements and enthalpies with five labels each."
        ),
    ],
    repeats: Annotated[
        int | None,
        typer.Option(
            help="no, color, elements: repeats of five folds (10, 4, 4); gap: folds (5) or seeds (5); enthalpies --variant full: folds (5); "
            "molecules, enthalpies, fidelities, few-shots: draws (10, 10, 3, 10); small-tables: draws or repeats.",
            min=1,
        ),
    ] = None,
    hide: Annotated[
        str | None,
        typer.Option(
            help="no, color, elements: row (default) or target; fidelities-of-gaps, enthalpies --variant full: target (default) or row."
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            help="no: cohesion, with further properties of the metals; gap: G0, G1 (default) or G2; molecules: freesolv, polarizability, frameworks (default: these three) or "
            "coarse; enthalpies: the source scan (default), oqmd or mp, or full (all sources, five folds); fidelities: few (default) or all labels; fidelities-of-gaps: offsets (of each functional, no folds); small-tables: names of tables, comma-separated."
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            help="molecules, enthalpies, small-tables: rows with both labels, comma-separated (20,40,80; 100); "
            "gap --variant G2: measured gaps in training (50,100,200,400,800); fidelities-of-gaps: PBE gaps in training (all)."
        ),
    ] = None,
    targets: Annotated[
        str | None, typer.Option(help="fidelities-of-gaps: some of expt, hse, gllb_sc, scan, comma-separated.")
    ] = None,
    folds: Annotated[
        str | None, typer.Option(help="fidelities-of-gaps: some of the folds 0 to 4, comma-separated.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="no: kfold (default) or metal.")] = None,
    models: Annotated[str | None, typer.Option(help="Only these models, comma-separated.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=path_in,
            help="Folder for the printed figures (figures.csv, with the command, version and date in run.json), the predictions behind "
            "them, pictures (gap) or scores of each draw (molecules, enthalpies, fidelities); small-tables, few-shots and fidelities-of-gaps "
            "go on with what is there.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="small-tables, few-shots: seed of the first draw, and of the folds (0).", min=0)
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="small-tables: only sum up what the folder holds.")
    ] = False,
    jobs: Jobs = 2,
    dask: Dask = None,
    quiet: Quiet = False,
) -> None:
    """Run a case of the benchmarks and print its figures with those of other learners."""
    with user_errors(), on_cluster(dask):
        if output is not None:
            check_folder(output)
        given = {
            "repeats": repeats,
            "hide": hide,
            "variant": variant,
            "sizes": sizes,
            "split": split,
            "seed": seed,
            "summary": summary or None,
            "targets": targets,
            "folds": folds,
        }
        refuse_unused(case, given)
        only, numbers = names_in(models, "--models") or None, sizes_in(sizes) or None
        options = Options(
            repeats,
            hide or ("target" if case in (Case.fidelities_of_gaps, Case.enthalpies) else "row"),
            variant,
            "kfold" if split is None else split,
            only,
            numbers,
            processes(jobs, dask),
            not quiet,
            seed or 0,
            output,
            summary,
            names_in(targets, "--targets") or None,
            folds_in(folds) or None,
        )
        from bayestl.evaluation.figures import write_run

        with of_option("variant", "split", words=OF_OPTION):
            result = RUN[case](options)
        typer.echo(str(result))
        if output is not None:
            if hasattr(result, "write"):
                result.write(output)
            write_run(output, result, ["bayestl", *sys.argv[1:]])
