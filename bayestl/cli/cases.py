"""What ``bayestl reproduce`` runs: each case with the options that it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Case(StrEnum):
    """What can be reproduced."""

    no = "no"
    gap = "gap"
    color = "color"
    elements = "elements"


@dataclass(frozen=True)
class Options:
    """Of the command line; each case uses those that it has."""

    repeats: int | None
    hide: str
    variant: str
    split: str
    only: list[str] | None
    jobs: int
    verbose: bool


def _no(o: Options) -> Any:
    from bayestl.studies import no

    result = no.run(o.repeats or 10, o.hide, o.split, o.only, n_jobs=o.jobs, verbose=o.verbose)
    return f"{result}\n\n{_calibration(result.comparison)}"


def _gap(o: Options) -> Any:
    from bayestl.studies import gap

    if o.variant == "G2":
        return gap.scarcity(n_seeds=o.repeats or 5, n_jobs=o.jobs, verbose=o.verbose)
    return gap.run(o.variant, o.only, o.repeats or 5, n_jobs=o.jobs, verbose=o.verbose)


def _color(o: Options) -> Any:
    from bayestl.studies import color

    comparison = color.run(o.hide, o.only, o.repeats or 4, n_jobs=o.jobs, verbose=o.verbose)
    peers = f"peers on the same splits, as measured beforehand:\n{color.PEERS.to_string()}"
    return f"{comparison}\n\n{_calibration(comparison)}\n\n{peers}"


def _calibration(comparison: Any) -> str:
    from bayestl.evaluation import calibration_table

    return f"calibration:\n{calibration_table(comparison).round(3).to_string()}"


def _elements(o: Options) -> Any:
    from bayestl.studies import elements

    return elements.run(o.hide, o.only, o.repeats or 4, n_jobs=o.jobs, verbose=o.verbose)


RUN: dict[Case, Callable[[Options], Any]] = {
    Case.no: _no,
    Case.gap: _gap,
    Case.color: _color,
    Case.elements: _elements,
}
"""Each returns what is printed."""
WRITTEN = (Case.gap,)
"""Cases whose result can write itself to a folder."""
