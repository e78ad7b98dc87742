"""Commands on tables and models: demo, fit, predict, report, datasets."""

from __future__ import annotations

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
    make_model,
    make_tasks,
    names_in,
    options_of_auto,
    parents_in,
    require_roles,
    similar,
)
from bayestl.cli.labels import beside, read_errors, read_labels, roles, row_names, standard_errors
from bayestl.cli.outputs import Force, check_model_folder, path_in, table_path_in, write
from bayestl.cli.reading import HOW, FileTable, Reading, read, reads_tables
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
        from bayestl.studies import demo as study

        check_output(check_folder(output) / "report.html")
        say = printer(quiet)
        result = study.run(splits, seed, processes(jobs, dask), verbose=not quiet)
        say("Sparse hardness of the elements; a held-out row keeps its other labels.\n")
        say(str(result.hardness))
        say(f"\nMeasured volume with {study.KEPT_VOLUMES} measurements, DFT volumes of all elements.\n")
        say(str(result.volume))
        path = study.write_report(result, output / "report.html")
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

        note, names = Notes(quiet), names_in(tasks)
        table = read(data, how, note)
        check_model_folder(output, data, force)
        require_roles(table, names, groups, name)
        of_auto = options_of_auto(model.value, names, target, budget)
        torch_device(device, 0)  # before the features, which may take minutes
        parents = parents_in(graph, names, [model.value])
        specified = make_tasks(names, likelihoods)
        named = dict.fromkeys(names) | {t.name: t.likelihood for t in specified or ()}
        Y = read_labels(table, named, evident=model == ModelName.auto)
        errors = standard_errors(table, std, names, note)
        taken = roles(table, names, errors, groups, name, note)
        inputs = Inputs(choose_features(table, features, taken, note), names_in(presets), verbose=not quiet)
        X = inputs.fit(table, row_names(table, name))
        fitted = make_model(model, names, parents, specified, seed, not quiet, device, **of_auto)
        Y, Y_std = Y.set_axis(X.index, axis=0), read_errors(table, errors, X.index)
        note.show()
        with table.located():
            fitted.fit(X, Y, Y_std=Y_std, groups=None if groups is None else table.text(groups).to_numpy())
        fitted.notes_ = {"inputs": {"features": inputs.to_json(), "groups": groups, "name": name, "std": errors}}
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
    force: Force = False,
    device: Device = "cpu",
    quiet: Quiet = False,
    how: Reading = HOW,
) -> None:
    """Predict every task for new rows: mean, median, standard deviation, interval; for classes probabilities."""
    with user_errors():
        import bayestl as btl

        fitted = btl.load(model, device)
        check_output(output, [model, data], force)
        note = Notes(quiet)
        table, post, known = _posterior(fitted, model, data, how, note, ignore_labels, not quiet)
        mean, std, median, interval = post.mean, post.std, post.quantile(0.5), post.interval(level)
        likeliest, columns = post.point(), {}
        for task in fitted.tasks_:
            name = task.name
            if task.classes is not None:
                columns[f"{name}_class"] = likeliest[name]
                probabilities = post.probabilities(name)
                columns |= {f"{name}_p_{c}": probabilities[c] for c in probabilities.columns}
                continue
            columns |= {f"{name}_mean": mean[name], f"{name}_std": std[name], f"{name}_median": median[name]}
            columns |= {f"{name}_{side}": interval[name, side] for side in ("lower", "upper")}
        predictions = beside(table.frame, columns, note)
        note.show()
        write(predictions, output)
        condition = f" (given the known {', '.join(known)})" if known else ""
        printer(quiet)(f"{len(predictions)} rows predicted: {output}{condition}")


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
            raise ValueError("how a table is read concerns --data: name a table, or leave these options out")
        post = None
        if data is not None:
            _, post, _ = _posterior(fitted, model, data, how, Notes(quiet), False, not quiet, named=True)
        path = write_model_report(fitted, output, post)
        printer(quiet)(f"report: {path}")


def _posterior(
    fitted: Any,
    model: Path,
    data: Path,
    how: Reading,
    note: Notes,
    ignore_labels: bool,
    verbose: bool,
    named: bool = False,
) -> tuple[FileTable, Any, list[str]]:
    """The rows of a file, their posterior under a model written by ``fit``, and the tasks whose labels the file has.

    Prints how many of the rows are those of the fitted table.  With ``named`` the formula of a row, where the file has
    formulas, is its name.
    """
    import pandas as pd

    document = fitted.notes_.get("inputs")
    if document is None:
        raise ValueError(f"{model} does not say how its columns are read: it was not written by `bayestl fit`")
    say = printer(not verbose)
    table = read(data, how, note)
    inputs = Inputs.from_json(document["features"], verbose)
    names = row_names(table, document["name"])
    X = inputs.transform(table, names)
    if filled := inputs.empty_cells(table):
        note(f"empty cells get the median of the fitted table: {', '.join(filled)}")
    if far := inputs.far(X, fitted):
        note(f"far beyond the fitted table, where predictions are guesses: {', '.join(far)}")
    tasks = {t.name: t.observes for t in fitted.tasks_}
    known = [n for n in tasks if n in table.columns] if not ignore_labels else []
    further = {"group": document["groups"], "name": document["name"]}
    absent = {n: "label" for n in tasks if not ignore_labels} | {c: what for what, c in further.items() if c}
    rest = [c for c in table.columns if c not in inputs.kinds and c not in absent]
    for column, what in absent.items():
        if column not in table.columns and ((alike := similar(column, rest)) or what != "label"):
            note(
                f"the file has no column {column!r}, so no {what}s are known"
                + (f": is {alike!r} meant?" if alike else "")
            )
    column = document["groups"]
    groups = table.text(column).to_numpy() if column in table.columns else None
    observed = (
        read_labels(table, {n: tasks[n] for n in known}, evident=True).set_axis(X.index, axis=0) if known else None
    )
    std = {n: c for n, c in document["std"].items() if n in known and c in table.columns}
    errors = read_errors(table, std, X.index)
    note.show()
    with table.located():
        post = fitted.posterior(X, observed=observed, observed_std=errors, groups=groups)
    rows = fitted._rows(X, groups=groups)
    again = rows.row < len(fitted.table_.x)
    features = {row.tobytes() for row in fitted.scaler_.features(fitted.table_.x)}
    alike = ~again & [row.tobytes() in features for row in rows.x]
    if again.any():
        say(f"{again.sum()} rows are those of the fitted table: their labels count once")
    if alike.any():
        say(
            f"rows with the features of a row of the fitted table, taken for other rows: {alike.sum()}; if they are the same, name "
            "them with --name when fitting, and alike here"
        )
    naming = document["name"] if names is not None else next(iter(inputs.formulas), None)
    index = table.cells.index if naming is None or not named else pd.Index(table.text(naming))
    return table, post.renamed(index), known


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
            raise ValueError(f"no table {name!r}; the tables are {list(LOADERS)}")
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
