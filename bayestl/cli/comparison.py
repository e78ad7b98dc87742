"""The command ``compare``: a cross-validation of the architectures on a user's table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayestl.cli.app import (
    Dask,
    Jobs,
    Likelihoods,
    Notes,
    Quiet,
    Seed,
    Std,
    on_cluster,
    printer,
    processes,
    user_errors,
)
from bayestl.cli.features import Inputs, choose_features
from bayestl.cli.inputs import (
    ModelName,
    evident,
    make_model,
    make_tasks,
    models_in,
    names_in,
    of_option,
    parents_in,
    require_roles,
)
from bayestl.cli.labels import called, read_errors, read_labels, roles, shown_names, standard_errors
from bayestl.cli.outputs import Force, Json, path_in, print_json
from bayestl.cli.reading import HOW, Reading, read, reads_tables
from bayestl.files.output import check_output

if TYPE_CHECKING:
    from bayestl.evaluation.comparison import Comparison


@reads_tables
def compare(
    data: Annotated[Path, typer.Argument(help="CSV, Excel or Parquet.")],
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
    std: Std = None,
    groups: Annotated[str | None, typer.Option(help="A column that groups rows, as for fit.")] = None,
    name: Annotated[str | None, typer.Option(help="A column that names the rows, which is no feature.")] = None,
    presets: Annotated[str, typer.Option(help="Composition features.")] = "magpie,fractions",
    output: Annotated[Path | None, typer.Option("-o", "--output", parser=path_in, help="HTML report to write.")] = None,
    force: Force = False,
    as_json: Json = False,
    jobs: Jobs = 2,
    dask: Dask = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    how: Reading = HOW,
) -> None:
    """Cross-validate the architectures on a table; rows of one composition are held out together."""
    with user_errors(), on_cluster(dask):
        import pandas as pd
        from sklearn.model_selection import GroupKFold, KFold

        import bayestl as btl
        from bayestl.streams import small_seed

        note, names = Notes(quiet), names_in(tasks, "--tasks")
        table = read(data, how, note)
        if output is not None:
            check_output(output, [data], force)
        require_roles(table, names, groups, name)
        errors = standard_errors(table, std, names, note)
        taken = roles(table, names, errors, groups, name, note)
        inputs = Inputs(
            choose_features(table, features, taken, note),
            names_in(presets, "--presets"),
            processes(jobs, dask),
            not quiet,
        )
        X = inputs.fit(table)
        inputs.note_empty(table, note)
        chosen, targets = models_in(models), names_in(target, "--target")
        parents = parents_in(graph, names, chosen)
        only = targets[0] if len(targets) == 1 else None
        task_list = make_tasks(names, likelihoods, table.units)
        named = dict.fromkeys(names) | {t.name: t.likelihood for t in task_list or ()}
        Y = read_labels(table, named, evident=ModelName.auto in chosen)
        if ModelName.auto in chosen:
            task_list = evident(Y, task_list)  # one likelihood for all models
        cv: Any = KFold(folds, shuffle=True, random_state=small_seed(seed, "folds"))
        compositions = None
        if inputs.formulas:
            from bayestl.features import reduced_formula

            cv = GroupKFold(folds, shuffle=True, random_state=small_seed(seed, "folds"))
            texts = table.text(inputs.formulas[0])
            compositions = texts.map(reduced_formula, na_action="ignore").fillna(pd.Series(texts.index.map(str)))
        rows = len(X) if compositions is None else compositions.nunique()
        if folds > rows:
            raise ValueError(f"--folds: {folds} folds need as many rows of different composition; there are {rows}")
        note.show()
        with table.located(), of_option("hide", "target"):
            result = btl.compare(
                {name: make_model(name, names, parents, task_list, seed, False, target=only) for name in chosen},
                X,
                Y,
                target=targets or None,
                cv=cv,
                hide=hide,
                Y_std=read_errors(table, errors, X.index),
                groups=None if groups is None else table.text(groups).to_numpy(),
                split_groups=compositions,
                n_jobs=processes(jobs, dask),
                verbose=not quiet,
            )
        from bayestl import report

        if result.whole is not None:
            result.whole = called(result.whole, shown_names(table, name, inputs.kinds))
        told = report.conclusion_as_text(result)
        print_json(_document(result)) if as_json else typer.echo(f"{result}\n\n{told}")
        if output is not None:
            path = report.write(output, f"bayestl: {data.name}", report.comparison_sections(result))
            printer(quiet or as_json)(f"\nreport: {path}")


def _document(result: Comparison) -> dict[str, Any]:
    """A comparison as a JSON object: one entry for each quantity and model, with the mean and standard error of each score."""
    scores = [
        {"quantity": quantity, "model": model}
        | {score: {"mean": row[score, "mean"], "se": row[score, "se"]} for score in row.index.unique(0)}
        for (quantity, model), row in result.table.iterrows()
    ]
    from bayestl.evaluation.verdict import verdict

    best = {quantity: result.best(quantity) for quantity in result.quantities}
    as_good = {quantity: list(verdict(result, quantity).as_good) for quantity in result.quantities}
    return {
        "hide": result.hide,
        "units": result.units,
        "best": best,
        "as_good": as_good,
        "scores": scores,
        "failures": result.failures,
    }
