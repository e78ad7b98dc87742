"""Run a benchmark and print its figures: ``python tests/benchmarks/run.py sbc --repeats 200 -j 2``.

``bayestl reproduce`` runs the cases of the paper; these are about tables whose truth is known, speed, and other
libraries.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bayestl.cli.app import Jobs, Quiet, user_errors
from bayestl.evaluation.figures import write_run


class Case(StrEnum):
    """Names of the benchmarks."""

    agreement = "agreement"
    campaigns = "campaigns"
    classes = "classes"
    few_shot = "few-shot"
    fidelities = "fidelities"
    full_bayes = "full-bayes"
    harm = "harm"
    likelihoods = "likelihoods"
    peers = "peers"
    public_campaigns = "public-campaigns"
    recovery = "recovery"
    sbc = "sbc"
    scale = "scale"
    speed = "speed"


DIGITS = {Case.harm: 2, Case.full_bayes: 2, Case.scale: 4}
"""Decimals of the printed table; three by default."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def main(
    case: Annotated[
        Case,
        typer.Argument(
            help="agreement: variational inference against Markov chains; campaigns: active learning of band gaps; classes: quadrature beside chains of latent values; few-shot: many tasks "
            "with few labels; fidelities: optimisation with a cheap source; full-bayes: chains and those of BoTorch; harm: bad sources; "
            "likelihoods, recovery: known truth; peers: time and error beside other libraries; public-campaigns: optimisation of three public tables; sbc: ranks on simulated tables; scale: a thousand labels to a million; speed: time to fit."
        ),
    ],
    repeats: Annotated[
        int | None,
        typer.Option(
            help="Tables (sbc, recovery 200, likelihoods 100, harm 40, few-shot 20, full-bayes 3, peers 3, classes 10), seeds (campaigns, public-campaigns 20, fidelities 5) or "
            "draws (agreement 8000).",
            min=1,
        ),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            help="sbc, campaigns, fidelities, peers, public-campaigns, scale (1e3, 1e4 ...): only these, comma-separated."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder for the records, and pictures where a case has any; campaigns that are finished there are not played again.",
        ),
    ] = None,
    jobs: Jobs = 2,
    quiet: Quiet = False,
) -> None:
    """Run one benchmark."""
    with user_errors():
        run = importlib.import_module(f"benchmarks.{case.value.replace('-', '_')}").run
        takes = inspect.signature(run).parameters
        counted = next((name for name in takes if name in ("n_tables", "n_seeds", "n_repeats", "n_draws")), None)
        options: dict[str, Any] = {"verbose": not quiet}
        for name, value, option in (
            (counted, repeats, "--repeats"),
            ("only", None if models is None else [m.strip() for m in models.split(",")], "--models"),
        ):
            if value is not None:
                if name not in takes:
                    raise ValueError(f"{option}: {case.value} has no such option")
                options[name] = value
        if "n_jobs" in takes:
            options["n_jobs"] = jobs
        if "folder" in takes and output is not None:
            options["folder"] = output / "finished"
        result = run(**options)
        typer.echo(result.round(DIGITS.get(case, 3)).to_string() if hasattr(result, "to_string") else str(result))
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            if hasattr(result, "write"):
                result.write(output)
            if hasattr(result, "figures") or hasattr(result, "columns"):
                write_run(output, result, ["python", "tests/benchmarks/run.py", *sys.argv[1:]])


if __name__ == "__main__":
    app()
