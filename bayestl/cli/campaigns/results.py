"""Commands on what a campaign knows: tell, withdraw, status, export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayestl.cli.app import Notes, Quiet, printer, user_errors
from bayestl.cli.campaigns.units import to_fill_in, with_units
from bayestl.cli.inputs import require_columns
from bayestl.cli.labels import other_units
from bayestl.cli.outputs import Force, Json, print_json, table_path_in, write
from bayestl.cli.reading import HOW, FileTable, Reading, read, reads_tables
from bayestl.cli.reading.numbers import is_missing, number
from bayestl.files.output import check_output

if TYPE_CHECKING:
    import pandas as pd

    from bayestl.active import Campaign

Ledger = Annotated[Path, typer.Argument(help="The campaign's file.")]


class What(StrEnum):
    """Tables of a campaign."""

    results = "results"
    withdrawn = "withdrawn"
    suggestions = "suggestions"
    open = "open"
    labels = "labels"
    progress = "progress"


@reads_tables
def tell(
    ledger: Ledger,
    results: Annotated[
        Path,
        typer.Argument(
            help="CSV or Excel with columns row, task, value (and se, cost, suggestion), or row and a column for each task. "
            "The word failed as a value: the measurement failed, and is not suggested again."
        ),
    ],
    quiet: Quiet = False,
    how: Reading = HOW,
) -> None:
    """Add results to a campaign: all of them or, where one is refused, none.

    Those of a sheet told before, known by the numbers of its suggestions, count once.
    """
    with user_errors():
        from bayestl.active import Campaign

        campaign = Campaign.open(ledger, verbose=False)
        note = Notes(quiet)
        table = read(results, how, note)
        require_columns(table, ["row"], str(results))
        _note_units(table, campaign, note)
        before = len(campaign.results())
        campaign.tell(_results_in(table, campaign))
        note.show()
        printer(quiet)(f"{len(campaign.results()) - before} results added; {campaign!r}")
        printer(quiet)(_best_in_words(campaign))


def _results_in(table: FileTable, campaign: Campaign) -> pd.DataFrame:
    """The results in a file as ``Campaign.tell`` takes them."""
    import pandas as pd

    from bayestl.active.results import has_classes

    known = campaign.results("known")
    classes = {t.name for t in campaign.tasks if has_classes(t, list(known.loc[known["task"] == t.name, "value"]))}
    counted = pd.api.types.is_numeric_dtype(campaign.pool.index.dtype)
    rows = table.numbers("row") if counted else table.text("row")
    if not {"task", "value"} <= set(table.columns):
        columns = {n: _values(table, n, [n in classes] * len(table)) for n in table.columns if n != "row"}
        return pd.DataFrame(columns).set_axis(pd.Index(rows, name=None), axis=0)
    tasks = table.text("task")
    frame = pd.DataFrame({"row": rows, "task": tasks, "value": _values(table, "value", list(tasks.isin(classes)))})
    return frame.assign(**{c: table.numbers(c) for c in ("se", "cost", "suggestion") if c in table.columns})


def _note_units(table: FileTable, campaign: Campaign, note: Notes) -> None:
    """Note where a file has a task in another unit than the campaign."""
    units = dict(table.units)
    if {"task", "unit"} <= set(table.columns):
        of_rows = dict.fromkeys(zip(table.text("task"), table.text("unit").fillna(""), strict=True))
        units |= {task: unit for task, unit in of_rows if unit}
    other_units(units, campaign.tasks, "the campaign", note)


def _values(table: FileTable, name: str, of_class: list[bool]) -> pd.Series:
    """A column (n,) of results: numbers, limits and words as they are, and classes as the column shows them."""
    import numpy as np
    import pandas as pd

    plain, values = table.plain(name), []
    for cell, as_it_is, classified in zip(table.cells[name], plain, of_class, strict=True):
        value = as_it_is
        if not classified:
            found = number(cell, table.decimal)
            value = np.nan if is_missing(cell) else cell if found is None else found
            value = table.limit(cell) or value
        values.append(value)
    return pd.Series(values, plain.index, dtype=object, name=name)


def withdraw(
    ledger: Ledger,
    numbers: Annotated[list[int], typer.Argument(help="Results, by their numbers in `bayestl status`.", min=1)],
    suggestions: Annotated[
        bool,
        typer.Option(
            "--suggestions", help="The numbers are those of open suggestions, which will not be measured now."
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Withdraw results that were told by mistake, or suggestions; with one wrong number nothing is withdrawn."""
    with user_errors():
        from bayestl.active import Campaign

        campaign = Campaign.open(ledger, verbose=False)
        (campaign.drop if suggestions else campaign.withdraw)(numbers)
        what = "suggestions" if suggestions else "results"
        of = campaign.suggestions() if suggestions else campaign.results("withdrawn")
        rows = of[of["id"].isin(numbers)]
        named = ", ".join(f"{r.id} ({r.task} of {r.row})" for r in rows.itertuples())
        printer(quiet)(f"{what} withdrawn: {named}; {campaign!r}")


def status(
    ledger: Ledger,
    n: Annotated[int, typer.Option("-n", help="How many of the last results are shown.", min=0)] = 5,
    as_json: Json = False,
) -> None:
    """Say where a campaign stands: what is known, spent, best, and under way."""
    with user_errors():
        from bayestl.active import Campaign
        from bayestl.active.goals import Between

        campaign = Campaign.open(ledger, verbose=False)
        results, under_way, best = campaign.results(), campaign.suggestions("open"), campaign.best()
        counts = results["state"].value_counts().to_dict() | {"withdrawn": len(campaign.results("withdrawn"))}
        shown = with_units(
            under_way[["id", "row", "task", "cost", "predicted", "lower", "upper", "hit"]], campaign.tasks
        )
        last = results[["id", "row", "task", "value", "cost", "time", "suggestion", "state"]].tail(n)
        last = with_units(last, campaign.tasks)
        found = list(campaign.hits().index) if isinstance(campaign.goal, Between) else None
        if as_json:
            print_json(
                {
                    "goal": campaign.goal.description,
                    "candidates": len(campaign.pool),
                    "tasks": [{"name": t.name, "unit": t.unit, "cost": t.cost} for t in campaign.tasks],
                    "results": counts,
                    "spent": campaign.spent,
                    "under_way": float(under_way["cost"].sum()),
                    "budget": campaign.budget,
                    "best": None if best is None else best.to_dict(),
                    "found": found,
                    "open": shown.to_dict("records"),
                    "last": last.to_dict("records"),
                }
            )
            return
        typer.echo(repr(campaign))
        typer.echo(
            "results: " + ", ".join(f"{counts.get(state, 0)} {state}" for state in ("known", "failed", "withdrawn"))
        )
        typer.echo(_best_in_words(campaign))
        if found:
            typer.echo(f"in the range: {', '.join(map(str, found))}")
        for title, frame in (("under way", shown), ("last results", last)):
            if len(frame):
                text = frame.rename(columns={"id": "number", "hit": "P(hit)"}).dropna(axis="columns", how="all")
                typer.echo(f"{title}:\n{text.to_string(index=False, float_format='{:.4g}'.format, na_rep='-')}")


def export(
    ledger: Ledger,
    output: Annotated[
        Path, typer.Option("-o", "--output", parser=table_path_in, help="CSV, Excel or Parquet to write.")
    ],
    what: Annotated[
        What, typer.Option(help="Which table; open: suggestions without a result, to fill in and tell.")
    ] = What.results,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write a table of a campaign to a file."""
    with user_errors():
        from bayestl.active import Campaign

        check_output(output, [ledger], force)
        frame = _table_of(Campaign.open(ledger, verbose=False), what)
        write(frame, output)
        printer(quiet)(f"{len(frame)} rows written: {output}")


def _table_of(campaign: Campaign, what: What) -> pd.DataFrame:
    if what is What.labels:
        return campaign.labels().rename_axis("row").reset_index()
    if what is What.progress:
        return campaign.progress()
    if what in (What.results, What.withdrawn):
        return with_units(campaign.results("withdrawn" if what is What.withdrawn else None), campaign.tasks)
    suggestions = campaign.suggestions("open" if what is What.open else None).rename(columns={"id": "suggestion"})
    return to_fill_in(suggestions, campaign.tasks) if what is What.open else with_units(suggestions, campaign.tasks)


def _best_in_words(campaign: Any) -> str:
    """What is best so far, in words."""
    from bayestl.active.goals import Between

    best = campaign.best()
    if best is None:
        return "best so far: none is known"
    value = f"{best['value']:.4g} {campaign.unit}".rstrip()
    place = f"{campaign.goal.quantity} = {value} at {best['row']}"

    if isinstance(campaign.goal, Between):  # every row in a range counts as much as another
        return f"{'first in' if best['utility'] else 'nearest so far to'} the range: {place}"
    return f"best so far: {place}"
