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
    speed = "speed"
    recovery = "recovery"
    likelihoods = "likelihoods"
    few_shot = "few-shot"
    agreement = "agreement"
    harm = "harm"
    full_bayes = "full-bayes"
    sbc = "sbc"
    campaigns = "campaigns"
    fidelities = "fidelities"


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
    from bayestl.diagnostics import calibration_table

    return f"calibration:\n{calibration_table(comparison).round(3).to_string()}"


def _elements(o: Options) -> Any:
    from bayestl.studies import elements

    return elements.run(o.hide, o.only, o.repeats or 4, n_jobs=o.jobs, verbose=o.verbose)


def _speed(o: Options) -> Any:
    from bayestl.studies import speed

    return speed.run(verbose=o.verbose).to_string(index=False)


def _recovery(o: Options) -> Any:
    from bayestl.studies import recovery

    return recovery.run(o.repeats or 200, o.jobs, verbose=o.verbose).to_string()


def _likelihoods(o: Options) -> Any:
    from bayestl.studies import likelihoods

    return likelihoods.run(o.repeats or 100, o.jobs, verbose=o.verbose).round(3).to_string()


def _few_shot(o: Options) -> Any:
    from bayestl.studies import few_shot

    return few_shot.run(o.repeats or 20, o.jobs, verbose=o.verbose).round(3).to_string()


def _agreement(o: Options) -> Any:
    from bayestl.studies import agreement

    return agreement.run(o.repeats or 8000, verbose=o.verbose).round(3).to_string()


def _harm(o: Options) -> Any:
    from bayestl.studies import harm

    return harm.run(o.repeats or 40, o.jobs, verbose=o.verbose).round(2).to_string()


def _full_bayes(o: Options) -> Any:
    from bayestl.studies import full_bayes

    return full_bayes.run(o.repeats or 3, verbose=o.verbose).round(2).to_string()


def _sbc(o: Options) -> Any:
    from bayestl.studies import sbc

    return sbc.run(o.repeats or 200, o.only, o.jobs, verbose=o.verbose)


def _campaigns(o: Options) -> Any:
    from bayestl.studies import campaigns

    return campaigns.run(o.repeats or 20, o.only, o.jobs, verbose=o.verbose)


def _fidelities(o: Options) -> Any:
    from bayestl.studies import fidelities

    return fidelities.run(o.repeats or 5, o.only, o.jobs, verbose=o.verbose)


RUN: dict[Case, Callable[[Options], Any]] = {
    Case.no: _no,
    Case.gap: _gap,
    Case.color: _color,
    Case.elements: _elements,
    Case.speed: _speed,
    Case.recovery: _recovery,
    Case.likelihoods: _likelihoods,
    Case.few_shot: _few_shot,
    Case.agreement: _agreement,
    Case.harm: _harm,
    Case.full_bayes: _full_bayes,
    Case.sbc: _sbc,
    Case.campaigns: _campaigns,
    Case.fidelities: _fidelities,
}
"""Each returns what is printed."""
WRITTEN = (Case.gap, Case.sbc, Case.campaigns, Case.fidelities)
"""Cases whose result can write itself to a folder."""
