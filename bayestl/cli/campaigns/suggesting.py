"""Commands that choose measurements: suggest, and simulate on a table whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping
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
from bayestl.cli.campaigns.units import to_fill_in, with_units
from bayestl.cli.features import Inputs, choose_features, few
from bayestl.cli.inputs import (
    ModelName,
    make_model,
    make_tasks,
    models_in,
    names_in,
    of_option,
    require_columns,
)
from bayestl.cli.labels import read_errors, read_labels, roles, standard_errors
from bayestl.cli.outputs import Force, Json, path_in, print_json, table_path_in, write
from bayestl.cli.reading import HOW, FileTable, Reading, read, reads_tables
from bayestl.files.output import check_folder, check_output, write_output

if TYPE_CHECKING:
    import pandas as pd

    from bayestl.active import Simulation
    from bayestl.table.task import Task

Costs = Annotated[str | None, typer.Option(help="TASK=COST of one measurement, comma-separated; by default 1.")]
Goal = Annotated[
    str | None,
    typer.Option(
        help="maximise Q, minimise Q, 'Q near 1.4', 'Q between 1.3 and 1.5', 'whether Q is above 1.5', learn Q; Q a task or an "
        "expression such as 'N2 - NO'."
    ),
]


def with_costs(names: list[str], likelihoods: str | None, costs: str | None, units: Mapping[str, str]) -> list[Task]:
    """Tasks with the likelihoods and costs named by the options, and the units that the file tells."""
    from dataclasses import replace

    import bayestl as btl

    specified = {t.name: t for t in make_tasks(names, likelihoods, units) or ()}
    tasks = {name: specified.get(name, btl.Task(name)) for name in names}
    for pair in names_in(costs, "--costs"):
        name, sign, value = (part.strip() for part in pair.rpartition("="))
        try:
            if not sign or name not in tasks:
                raise ValueError
            tasks[name] = replace(tasks[name], cost=float(value))
        except ValueError as error:
            raise ValueError(f"--costs: {pair!r} is not TASK=NUMBER with a task of {names}") from error
    return list(tasks.values())


@reads_tables
def suggest(
    ledger: Annotated[Path, typer.Argument(help="The campaign's file; with --pool a new one.")],
    n: Annotated[int, typer.Option("-n", help="How many measurements.", min=1)] = 1,
    pool: Annotated[
        Path | None,
        typer.Option(
            help="To begin a campaign: CSV, Excel or Parquet of the candidates; labels in it are known, and cost nothing."
        ),
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(help="To begin: label columns, comma-separated; lowest fidelity first.")
    ] = None,
    goal: Goal = None,
    name: Annotated[
        str | None, typer.Option(help="To begin: a column that names the candidates; default row numbers.")
    ] = None,
    features: Annotated[str | None, typer.Option(help="To begin: as for fit.")] = None,
    presets: Annotated[str, typer.Option(help="To begin: composition features.")] = "magpie,fractions",
    model: Annotated[ModelName, typer.Option(help="To begin: architecture.")] = ModelName.difference,
    costs: Costs = None,
    likelihoods: Likelihoods = None,
    std: Std = None,
    budget: Annotated[float | None, typer.Option(help="To begin: sum of costs that may be spent.")] = None,
    acquisition: Annotated[str, typer.Option(help="To begin: see the documentation of Campaign.")] = "auto",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", parser=table_path_in, help="CSV or Excel to write the suggestions to."),
    ] = None,
    force: Force = False,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
    how: Reading = HOW,
) -> None:
    """Suggest what to measure next; with --pool, --tasks and --goal begin a campaign first."""
    with user_errors():
        from bayestl.active import Campaign

        if output is not None:
            check_output(output, [ledger, *([] if pool is None else [pool])], force)
        quiet = quiet or as_json
        say = printer(quiet)
        if pool is None:
            of_new: dict[str, Any] = {"tasks": tasks, "goal": goal, "name": name, "features": features, "costs": costs}
            of_new |= {"likelihoods": likelihoods, "std": std, "budget": budget}
            if given := [option for option, value in of_new.items() if value is not None]:
                raise ValueError(f"--{given[0]} is for a new campaign: say --pool too, or leave it out")
            campaign = Campaign.open(ledger, verbose=not quiet)
        else:
            if tasks is None or goal is None:
                raise ValueError("--pool begins a campaign: say --tasks and --goal too")
            note, names = Notes(quiet), names_in(tasks, "--tasks")
            table = read(pool, how, note)
            chosen = with_costs(names, likelihoods, costs, table.units)
            campaign = _begin(
                ledger, note, table, names, goal, name, features, presets, model, chosen, std, budget, acquisition, seed,
                not quiet,
            )  # fmt: skip
        suggestions = campaign.suggest(n)
        if output is not None:
            try:
                write(to_fill_in(suggestions.reset_index(), campaign.tasks), output)
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"{error}; the suggestions are kept: `bayestl export {ledger} --what open -o FILE` writes them"
                ) from error
        if as_json:
            state = {"spent": campaign.spent, "budget": campaign.budget}
            told = with_units(suggestions.reset_index(), campaign.tasks)
            print_json({"suggestions": told.to_dict("records")} | state)
            return
        say(repr(campaign))
        if suggestions.empty:
            say("nothing to suggest: the budget or the pool is used up")
        else:
            shown = with_units(suggestions.drop(columns="reason"), campaign.tasks).rename(columns={"hit": "P(hit)"})
            shown = shown.dropna(axis="columns", how="all")
            typer.echo(shown.to_string(float_format="{:.4g}".format, na_rep="-"))
            for reason, rows in suggestions.groupby("reason", sort=False)["row"]:
                say(f"{', '.join(dict.fromkeys(map(str, rows)))}: {reason}")
        if output is not None:
            say(f"written: {output}; fill in the column value, then: bayestl tell {ledger} {output}")


def _begin(
    ledger: Path,
    note: Notes,
    table: FileTable,
    names: list[str],
    goal: str,
    name: str | None,
    features: str | None,
    presets: str,
    model: str,
    tasks: list[Task],
    std: str | None,
    budget: float | None,
    acquisition: str,
    seed: int,
    verbose: bool,
) -> Any:
    """A new campaign on the candidates of a table, whose labels are known from the beginning."""
    from bayestl.active import Campaign

    require_columns(table, [name] if name else [], "--name")
    there = [n for n in names if n in table.columns]
    errors = standard_errors(table, std, there, note)
    taken = roles(table, there, errors, None, name, note)
    inputs = Inputs(choose_features(table, features, taken, note), names_in(presets, "--presets"), verbose=verbose)
    candidates = inputs.fit(table)
    labels = read_labels(table, {t.name: t.likelihood for t in tasks if t.name in there}, evident=False).reindex(
        columns=names
    )
    if name is not None:
        candidates.index = labels.index = table.text(name)
    known = _known(labels, read_errors(table, errors, labels.index))
    wish = _goal(goal, names)
    with of_option("budget", "acquisition"):
        campaign = Campaign(
            candidates,
            tasks,
            wish,
            make_model(model, names, None, None, seed, verbose),
            ledger,
            budget=budget,
            acquisition=acquisition,
            formulas=list(table.text(inputs.formulas[0]).fillna("")) if inputs.formulas else None,
            known=known if len(known) else None,
            seed=seed,
            verbose=verbose,
        )
    note.show()
    return campaign


def _known(labels: pd.DataFrame, errors: pd.DataFrame | None) -> pd.DataFrame:
    """The labels (n, T) of a pool as results of a campaign, row by row, with the standard errors (n, k) that some tasks have."""
    import numpy as np
    import pandas as pd

    at, of = np.nonzero(labels.notna().to_numpy())
    value = labels.astype(object).to_numpy()[at, of]
    se = np.nan if errors is None else errors.reindex(columns=labels.columns).to_numpy(dtype=float)[at, of]
    return pd.DataFrame({"row": labels.index[at], "task": labels.columns[of], "value": value, "se": se})


def _goal(text: str, tasks: list[str]) -> Any:
    """The goal of the option ``--goal``, which fits the tasks."""
    from bayestl.active.words import from_words

    with of_option("goal", every=True):
        goal = from_words(text)
        goal.check(tasks)
    return goal


@reads_tables
def simulate(
    data: Annotated[Path, typer.Argument(help="CSV, Excel or Parquet with known answers.")],
    tasks: Annotated[str, typer.Option(help="Label columns, comma-separated; lowest fidelity first.")],
    goal: Annotated[str, typer.Option(help="As for suggest.")],
    features: Annotated[str | None, typer.Option(help="As for fit.")] = None,
    presets: Annotated[str, typer.Option(help="Composition features.")] = "magpie,fractions",
    models: Annotated[
        str, typer.Option(help="Architectures, comma-separated; random choices are always run too.")
    ] = "independent,difference",
    known: Annotated[
        str | None, typer.Option(help="Tasks whose labels are known for every row, comma-separated.")
    ] = None,
    costs: Costs = None,
    likelihoods: Likelihoods = None,
    start: Annotated[int, typer.Option(help="Rows known at the start.", min=1)] = 10,
    budget: Annotated[float, typer.Option(help="Cost of a campaign.")] = 50.0,
    batch: Annotated[int, typer.Option(help="Measurements at a time.", min=1)] = 1,
    seeds: Annotated[int, typer.Option(help="Number of campaigns of each policy.", min=1)] = 5,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", parser=path_in, help="Folder for records and a picture; an interrupted run continues."
        ),
    ] = None,
    jobs: Jobs = 2,
    dask: Dask = None,
    quiet: Quiet = False,
    how: Reading = HOW,
) -> None:
    """Simulate campaigns on a table whose answers are known: what each model finds, at what cost."""
    with user_errors(), on_cluster(dask):
        from bayestl import active
        from bayestl.report.plots import image

        note, names = Notes(quiet), names_in(tasks, "--tasks")
        table = read(data, how, note)
        if output is not None:
            check_folder(output)
        require_columns(table, names, "--tasks")
        chosen = models_in(models)
        errors = standard_errors(table, None, names, lambda text: None)
        if errors:
            note(f"{few(list(map(repr, errors.values())))}: not used, a simulation takes its answers as they are")
        taken = roles(table, names, errors, None, None, note)
        X = Inputs(
            choose_features(table, features, taken, note),
            names_in(presets, "--presets"),
            processes(jobs, dask),
            not quiet,
        ).fit(table)
        specified = with_costs(names, likelihoods, costs, table.units)
        policies: dict[str, active.Policy] = {"random": active.Random()}
        for name in chosen:
            model = make_model(name, names, None, None, 0, False)
            policies[name] = active.ByModel(model, alone=name == "independent")
        note.show()
        with of_option("start", "known", "budget"):
            simulation = active.simulate(
                X,
                read_labels(table, {t.name: t.likelihood for t in specified}, evident=False),
                _goal(goal, names),
                policies,
                specified,
                start=start,
                known=names_in(known, "--known"),
                budget=budget,
                batch=batch,
                seeds=range(seeds),
                folder=output,
                n_jobs=processes(jobs, dask),
                verbose=not quiet,
            )
        typer.echo(str(simulation))
        if output is not None:
            write_output(output / "records.csv", _records(simulation).to_csv(index=False))
            write_output(output / "curves.png", image(active.plot_simulation(simulation).figure))
            printer(quiet)(f"written: {output}/records.csv, curves.png")


def _records(simulation: Simulation) -> pd.DataFrame:
    """The records of a simulation, with the unit of those that have one."""
    unit = simulation.unit if any(map(simulation.has_unit, simulation.records)) else ""
    return simulation.records.assign(unit=unit) if unit else simulation.records
