"""The command ``compare``: a cross-validation of the architectures on a user's table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayestl.cli.app import Jobs, Likelihoods, Quiet, Seed, printer, user_errors
from bayestl.cli.inputs import (
    ModelName,
    choose_inputs,
    evident,
    make_model,
    make_tasks,
    models_in,
    names_in,
    parents_in,
    read,
    require_columns,
)
from bayestl.cli.outputs import Force, Json, path_in, print_json
from bayestl.files.output import check_output

if TYPE_CHECKING:
    from bayestl.evaluation.comparison import Comparison


def compare(
    data: Annotated[Path, typer.Argument(help="CSV or Parquet.")],
    tasks: Annotated[str, typer.Option(help="Label columns, comma-separated; lowest fidelity first.")],
    features: Annotated[str | None, typer.Option(help="As for fit.")] = None,
    target: Annotated[str | None, typer.Option(help="Tasks to score, comma-separated; default: all.")] = None,
    models: Annotated[
        str,
        typer.Option(help="Architectures, comma-separated; chain, latent-variable (slow) and low-rank are others."),
    ] = "independent,multi-task,difference,auto",
    graph: Annotated[str | None, typer.Option(help="For latent-variable: PARENT>CHILD, comma-separated.")] = None,
    hide: Annotated[str, typer.Option(help="What a held-out row loses: target or row.")] = "target",
    folds: Annotated[int, typer.Option(min=2)] = 5,
    likelihoods: Likelihoods = None,
    presets: Annotated[str, typer.Option(help="Composition features.")] = "magpie,fractions",
    output: Annotated[Path | None, typer.Option("-o", "--output", parser=path_in, help="HTML report to write.")] = None,
    force: Force = False,
    as_json: Json = False,
    jobs: Jobs = 2,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Cross-validate the architectures on a table; rows of one composition are held out together."""
    with user_errors():
        from sklearn.model_selection import GroupKFold, KFold

        import bayestl as btl
        from bayestl.streams import small_seed

        frame, names = read(data), names_in(tasks)
        if output is not None:
            check_output(output, [data], force)
        require_columns(frame, names, "--tasks")
        inputs = choose_inputs(frame, features, presets, names)
        X = inputs.matrix(frame, None, not quiet, jobs)
        chosen, targets = models_in(models), names_in(target)
        parents = parents_in(graph, names, chosen)
        only = targets[0] if len(targets) == 1 else None
        task_list = make_tasks(names, likelihoods)
        if ModelName.auto in chosen:
            task_list = evident(frame[names], task_list)  # one likelihood for all models
        cv: Any = KFold(folds, shuffle=True, random_state=small_seed(seed, "folds"))
        compositions = None
        if inputs.formulas:
            from bayestl.features import reduced_formula

            cv = GroupKFold(folds, shuffle=True, random_state=small_seed(seed, "folds"))
            compositions = frame[inputs.formulas[0]].map(reduced_formula)
        result = btl.compare(
            {name: make_model(name, names, parents, task_list, seed, False, target=only) for name in chosen},
            X,
            frame[names],
            target=targets or None,
            cv=cv,
            hide=hide,
            split_groups=compositions,
            n_jobs=jobs,
            verbose=not quiet,
        )
        print_json(_document(result)) if as_json else typer.echo(str(result))
        if output is not None:
            from bayestl import report

            path = report.write(output, f"bayestl: {data.name}", report.comparison_sections(result))
            printer(quiet or as_json)(f"\nreport: {path}")


def _document(result: Comparison) -> dict[str, Any]:
    """A comparison as a JSON object: one entry for each quantity and model, with the mean and standard error of each score."""
    scores = [
        {"quantity": quantity, "model": model}
        | {score: {"mean": row[score, "mean"], "se": row[score, "se"]} for score in row.index.unique(0)}
        for (quantity, model), row in result.table.iterrows()
    ]
    best = {quantity: result.best(quantity) for quantity in result.quantities}
    return {"hide": result.hide, "units": result.units, "best": best, "scores": scores, "failures": result.failures}
