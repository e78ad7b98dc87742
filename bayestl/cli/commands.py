"""Commands on tables and models: demo, fit, predict, report, datasets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bayestl.cli.app import (
    Dask,
    Device,
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
    OptionError,
    make_model,
    make_tasks,
    names_in,
    of_option,
    options_of_auto,
    parents_in,
    require_roles,
)
from bayestl.cli.labels import called, read_errors, read_labels, roles, row_names, shown_names, standard_errors
from bayestl.cli.outputs import Force, check_model_folder, path_in, table_path_in, write
from bayestl.cli.reading import HOW, Reading, read, reads_tables
from bayestl.files.output import check_folder, check_output


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", parser=path_in, help="Folder for the report.")] = Path(
        "bayestl-demo"
    ),
    splits: Annotated[int, typer.Option(help="Folds of the cross-validation.", min=2, max=20)] = 4,
    jobs: Jobs = 2,
    dask: Dask = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Compare the architectures on the chemical elements and write a report."""
    with user_errors(), on_cluster(dask):
        from bayestl.evaluation.figures import write_run
        from bayestl.report import conclusion_as_text
        from bayestl.studies import demo as study

        check_output(check_folder(output) / "report.html")
        say = printer(quiet)
        result = study.run(splits, seed, processes(jobs, dask), verbose=not quiet)
        say("Sparse hardness of the elements; a held-out row keeps its other labels.\n")
        say(f"{result.hardness}\n\n{conclusion_as_text(result.hardness)}")
        say(f"\nMeasured volume with {study.KEPT_VOLUMES} measurements, DFT volumes of all elements.\n")
        say(f"{result.volume}\n\n{conclusion_as_text(result.volume)}")
        path = study.write_report(result, output / "report.html")
        write_run(output, result, ["bayestl", *sys.argv[1:]])
        say(f"\nreport: {path}")


@reads_tables
def fit(
    data: Annotated[
        Path, typer.Argument(help="CSV, Excel or Parquet: one row per material, empty cells where not measured.")
    ],
    tasks: Annotated[str, typer.Option(help="Label columns, comma-separated; for difference lowest fidelity first.")],
    output: Annotated[Path, typer.Option("-o", "--output", parser=path_in, help="Folder for the model.")],
    target: Annotated[str | None, typer.Option(help="For auto: the task that matters; default: all.")] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="Feature columns, comma-separated; formulas as composition:COLUMN, SMILES as molecules:COLUMN, classes as "
            "categories:COLUMN. Default: all numeric ones that do not count or name the rows."
        ),
    ] = None,
    model: Annotated[
        ModelName,
        typer.Option(help="Architecture; auto: those that suit the table, mixed by held-out labels and recalibrated."),
    ] = ModelName.auto,
    budget: Annotated[
        float | None, typer.Option(help="For auto: seconds after which no further architecture is begun.")
    ] = None,
    graph: Annotated[str | None, typer.Option(help="For latent-variable: PARENT>CHILD, comma-separated.")] = None,
    presets: Annotated[str, typer.Option(help="Composition features, comma-separated.")] = "magpie,fractions",
    groups: Annotated[str | None, typer.Option(help="A column that groups rows (method, laboratory).")] = None,
    name: Annotated[
        str | None,
        typer.Option(help="A column that names the rows, by which predict knows them again: an ID, or the formula."),
    ] = None,
    likelihoods: Likelihoods = None,
    std: Std = None,
    force: Force = False,
    device: Device = "cpu",
    seed: Seed = 0,
    quiet: Quiet = False,
    how: Reading = HOW,
) -> None:
    """Fit a model to a table and save it."""
    with user_errors():
        from bayestl.device import torch_device

        note, names = Notes(quiet), names_in(tasks, "--tasks")
        table = read(data, how, note)
        check_model_folder(output, data, force)
        require_roles(table, names, groups, name)
        of_auto = options_of_auto(model.value, names, target, budget)
        torch_device(device, 0)  # before the features, which may take minutes
        parents = parents_in(graph, names, [model.value])
        specified = make_tasks(names, likelihoods, table.units)
        named = dict.fromkeys(names) | {t.name: t.likelihood for t in specified or ()}
        Y = read_labels(table, named, evident=model == ModelName.auto)
        errors = standard_errors(table, std, names, note)
        taken = roles(table, names, errors, groups, name, note)
        inputs = Inputs(
            choose_features(table, features, taken, note), names_in(presets, "--presets"), verbose=not quiet
        )
        X = inputs.fit(table, row_names(table, name))
        inputs.note_empty(table, note)
        fitted = make_model(model, names, parents, specified, seed, not quiet, device, **of_auto)
        Y, Y_std = Y.set_axis(X.index, axis=0), read_errors(table, errors, X.index)
        note.show()
        with table.located(), of_option("budget"):
            fitted.fit(X, Y, Y_std=Y_std, groups=None if groups is None else table.text(groups).to_numpy())
        fitted.notes_ = {
            "inputs": {"features": inputs.to_json(), "groups": groups, "name": name, "std": errors},
            "rows": shown_names(table, name, inputs.kinds),
        }
        fitted.save(output)
        say = printer(quiet)
        if model == ModelName.auto:
            say(fitted.summary())
        else:
            counts = ", ".join(f"{n} {int(Y[n].notna().sum())}" for n in names)
            say(f"{type(fitted).__name__}: {len(table)} rows, {X.shape[1]} features, labels: {counts}")
            say("correlation between tasks:")
            say(fitted.task_correlation().round(2).to_string())
        say(f"saved: {output}")


@reads_tables
def predict(
    model: Annotated[Path, typer.Argument(help="Folder written by fit.")],
    data: Annotated[
        Path,
        typer.Argument(
            help="CSV, Excel or Parquet with the same feature columns; label columns, if any, are used as known."
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", parser=table_path_in, help="CSV, Excel or Parquet to write.")
    ],
    level: Annotated[float, typer.Option(help="Probability of the intervals.", min=0.01, max=0.999)] = 0.9,
    ignore_labels: Annotated[
        bool,
        typer.Option(
            "--ignore-labels", help="Do not use label columns of the file (rows of the fitted table keep theirs)."
        ),
    ] = False,
    rows: Annotated[
        int, typer.Option("--rows", help="Rows that are read, predicted and written at a time.", min=1)
    ] = 4096,
    force: Force = False,
    device: Device = "cpu",
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    how: Reading = HOW,
) -> None:
    """Predict every task for new rows: mean, median, standard deviation, interval; for classes probabilities.

    A large table is predicted in parts; a run that was ended goes on after the parts that are finished.
    """
    with user_errors(), on_cluster(dask):
        import bayestl as btl
        from bayestl.cli.predicting import Asked, predict_file

        fitted = btl.load(model, device)
        check_output(output, [model, data], force)
        asked = Asked(level, ignore_labels, rows, processes(jobs, dask))
        n, known = predict_file(fitted, model, data, output, asked, how, Notes(quiet), force, quiet)
        condition = f" (given the known {', '.join(known)})" if known else ""
        printer(quiet)(f"{n} rows predicted: {output}{condition}")


@reads_tables
def report(
    model: Annotated[Path, typer.Argument(help="Folder written by fit.")],
    output: Annotated[Path, typer.Option("-o", "--output", parser=path_in, help="HTML file to write.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="CSV, Excel or Parquet of new rows, whose predictions are shown too; its labels are used as known."
        ),
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
    how: Reading = HOW,
) -> None:
    """Write a report on a fitted model as one HTML file: what it learnt, leave-one-out predictions, a diagnosis."""
    with user_errors():
        import bayestl as btl
        from bayestl.report.model import write_model_report

        fitted = btl.load(model)
        check_output(output, [model, *([] if data is None else [data])], force)
        if data is None and how != HOW:
            raise OptionError("how a table is read concerns --data: name a table, or leave these options out")
        post = None if data is None else _posterior(fitted, model, data, how, Notes(quiet), not quiet)
        fitted.table_ = called(fitted.table_, fitted.notes_.get("rows"))
        path = write_model_report(fitted, output, post)
        printer(quiet)(f"report: {path}")


def _posterior(fitted: Any, model: Path, data: Path, how: Reading, note: Notes, verbose: bool) -> Any:
    """The posterior of the rows of a file under a model written by ``fit``; a formula, where there is one, is their name."""
    import pandas as pd

    from bayestl.cli.predicting import Question

    table = read(data, how, note)
    question = Question(fitted, model, table.columns, False, note, verbose)
    question.check(table)
    question.tell()
    given = question.given(table)
    with table.located():
        post = fitted.posterior(**given)
        rows = fitted._rows(given["X"], groups=given["groups"])
    question.say_counts(*question.counts(rows), printer(not verbose))
    name = question.document["name"]
    naming = name if name in table.columns else next(iter(question.inputs.formulas), None)
    return post.renamed(table.cells.index if naming is None else pd.Index(table.text(naming)))


def datasets(
    name: Annotated[str | None, typer.Argument(help="A table to load and summarise; default: list all.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", parser=table_path_in, help="Write the table to CSV, Excel or Parquet."),
    ] = None,
    force: Force = False,
) -> None:
    """List the real tables, or load one."""
    with user_errors():
        from bayestl.datasets import LOADERS

        if name is None:
            if output is not None:
                raise ValueError(
                    "--output writes one table: name it, such as `bayestl datasets elements -o elements.csv`"
                )
            for key, loader in LOADERS.items():
                typer.echo(f"{key:24} {(loader.__doc__ or '').strip().splitlines()[0]}")
            return
        if name not in LOADERS:
            raise OptionError(f"no table {name!r}; the tables are {list(LOADERS)}")
        if output is not None:
            check_output(output, replace=force)
        data = LOADERS[name]()
        typer.echo(repr(data))
        typer.echo(f"cite: {data.citation}\nlicence: {data.licence}\naddress: {data.address}")
        if output is not None:
            import pandas as pd

            parts = [data.X, data.Y] + ([data.groups] if data.groups is not None else [])
            if data.Y_std is not None:
                parts.append(data.Y_std.dropna(axis=1, how="all").add_suffix("_std"))
            table = pd.concat(parts, axis=1)
            write(table.reset_index() if table.index.name else table, output)
            typer.echo(f"written: {output}")
