"""The command ``check``: what is in a table, what bayestl would make of it, and what it would refuse."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bayestl.cli.app import Quiet, user_errors
from bayestl.cli.features import kinds_in, misprint
from bayestl.cli.inputs import names_in, require_columns
from bayestl.cli.labels import like_errors, roles, standard_errors
from bayestl.cli.outputs import Json, print_json
from bayestl.cli.reading import HOW, FileTable, Reading, read, reads_tables
from bayestl.cli.reading.numbers import is_missing, number

REFUSED = 3
"""Exit code where something in the table would be refused."""
_OF_PREFIX = {"composition": "formula", "molecules": "SMILES", "categories": "text, categories"}


@reads_tables
def check(
    data: Annotated[Path, typer.Argument(help="CSV, Excel or Parquet.")],
    tasks: Annotated[
        str | None, typer.Option(help="Label columns, comma-separated; default: those that may be.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    how: Reading = HOW,
) -> None:
    """Say what is in a table, and what would be features, labels, or refused; exit code 3 if something would."""
    with user_errors():
        table = read(data, how)
        labels = names_in(tasks, "--tasks")
        require_columns(table, labels, "--tasks")
        found = contents(table, labels)
        if as_json:
            print_json(found)
        else:
            for line in _lines(found, quiet):
                typer.echo(line)
    if found["refused"]:
        raise typer.Exit(REFUSED)


def contents(table: FileTable, labels: Sequence[str]) -> dict[str, Any]:
    """What is in a table, for a program or for :func:`_lines`."""
    notes: list[str] = []
    numeric = [c for c in table.columns if table.kinds[c] in ("number", "limits", "mixed")]
    told = list(labels) or [c for c in numeric if f"{c}_std" in table.columns]
    errors = standard_errors(table, None, told, notes.append)
    taken = roles(table, labels, errors, None, None, notes.append) | like_errors(table, numeric, errors)
    kinds, others, offers = kinds_in(table, taken)
    offered = {offer.partition(":")[2]: offer.partition(":")[0] for offer in offers}
    candidates = list(labels) or _candidates(table, kinds, others)
    columns = [_column(table, name, offered.get(name), others.get(name)) for name in table.columns]
    refused = [c["odd"] for c in columns if c["odd"]]
    refused += [
        f"column {name!r} is empty: drop it"
        for name, why in others.items()
        if why == "empty" and not name.startswith("Unnamed: ")
    ]
    key = [name for name in [*kinds, *offered] if name not in candidates and offered.get(name) != "categories"]
    return {
        "file": str(table.path),
        "rows": len(table),
        "read": table.assumed,
        "columns": columns,
        "features": [name for name in kinds if name not in candidates],
        "features_if_named": offers,
        "left_out": {name: why for name, why in others.items() if why != "text" and name not in candidates},
        "labels": candidates,
        "standard_errors": errors,
        "repeated": _repeated(table, key, [c for c in candidates if table.kinds[c] == "number"]),
        "refused": refused,
    }


def _candidates(table: FileTable, kinds: dict[str, str], others: dict[str, str]) -> list[str]:
    """Columns that may be labels: limits, and numbers with empty cells; or else the last column of numbers."""
    numbers = [c for c in kinds if kinds[c] == "numbers"]
    found = [
        name
        for name in table.columns
        if table.kinds[name] in ("limits", "mixed") or (name in numbers and table.plain(name).isna().any())
    ]
    return [name for name in found if others.get(name) not in ("a prediction", "it has no name")] or numbers[-1:]


def _column(table: FileTable, name: str, prefix: str | None, other: str | None) -> dict[str, Any]:
    """What is in a column."""
    import numpy as np

    kind, cells = table.kinds[name], table.cells[name]
    of_kind = {"truth": "truth values", "limits": "number with limits", "mixed": "number with odd cells"}
    words = of_kind.get(kind, kind)
    if kind == "text" and prefix:
        words = _OF_PREFIX[prefix]
    if other in ("row numbers", "an ID"):
        words = "ID"
    values = table.plain(name)
    known = values.dropna()
    numbers = [v for v in known if isinstance(v, float | int) and not isinstance(v, bool)] if kind != "truth" else []
    odd = None
    if kind == "text":
        odd = misprint(table, name)
    if kind == "mixed":
        wrong = np.array([not is_missing(cell) and number(cell, table.decimal) is None for cell in cells])
        neither = wrong & np.array([table.limit(cell) is None for cell in cells])
        wrong = neither if neither.any() else wrong
        cure = table.cures(wrong, name, "limits such as '<0.1' are read with --likelihoods TASK=censored")
        odd = f"column {name!r} holds {table.where(wrong, name)}: {cure}"
    return {
        "name": name,
        "kind": words,
        "unit": table.units.get(name),
        "empty": int(values.isna().sum()),
        "distinct": int(known.astype(str).nunique()),
        "zeros": sum(v == 0 for v in numbers),
        "limits": sum(table.limit(cell) is not None for cell in cells) if kind in ("limits", "mixed") else 0,
        "least": min(numbers, default=None),
        "greatest": max(numbers, default=None),
        "odd": odd,
    }


def _repeated(table: FileTable, key: list[str], labels: list[str]) -> dict[str, Any]:
    """Rows that are alike in all that may be features, and how far their labels lie apart."""
    import pandas as pd

    if not key:
        return {"rows": 0, "of": key, "apart": {}}
    alike = pd.DataFrame({name: table.text(name).fillna("") for name in key})
    groups = alike.groupby(key, sort=False).ngroup()
    twice = groups.duplicated(keep=False)
    apart = {}
    for name in labels:
        spread = (
            table.plain(name)[twice]
            .groupby(groups[twice])
            .agg(lambda v: v.max() - v.min() if v.count() > 1 else None)
            .dropna()
        )
        if len(spread):
            apart[name] = {"median": float(spread.median()), "greatest": float(spread.max())}
    return {"rows": int(groups.duplicated().sum()), "of": key, "apart": apart}


def _lines(found: dict[str, Any], quiet: bool) -> list[str]:
    """What is in a table, in words; with ``quiet`` only what would be refused."""
    lines = [f"refused: {text}" for text in found["refused"]]
    if quiet:
        return lines
    read_as = f" ({'; '.join(found['read'])})" if found["read"] else ""
    top = [f"{found['file']}: {found['rows']} rows, {len(found['columns'])} columns{read_as}"]
    width = min(max((len(c["name"]) for c in found["columns"]), default=0), 40)
    top += [f"  {c['name']:{width}}  {', '.join(_details(c))}" for c in found["columns"]]
    top.append(f"features by themselves: {', '.join(found['features']) or 'none'}")
    if found["features_if_named"]:
        top.append(f"features if named: --features {_option(found['features'] + found['features_if_named'])}")
    for name, why in found["left_out"].items():
        top.append(f"no feature: {name} ({why})")
    top.append(f"may be labels: {', '.join(found['labels']) or 'none'}; a column that --tasks names is no feature")
    top += [f"standard errors: of {task} in {column}" for task, column in found["standard_errors"].items()]
    again = found["repeated"]
    if again["rows"]:
        top.append(f"{again['rows']} rows repeat another in {', '.join(again['of'])}")
        top += [
            f"  {name} of such rows differs by {v['median']:.3g} (median), at most {v['greatest']:.3g}"
            for name, v in again["apart"].items()
        ]
    return top + (lines or ["nothing would be refused"])


def _option(names: Sequence[str]) -> str:
    """Names as the value of an option, as a shell takes it."""
    cells = ('"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name for name in names)
    return shlex.quote(",".join(cells))


def _details(column: dict[str, Any]) -> list[str]:
    words = [column["kind"]]
    if column["unit"]:
        words.append(f"in {column['unit']}")
    if column["least"] is not None:
        words.append(f"{column['least']:.4g} to {column['greatest']:.4g}")
    elif column["distinct"]:
        words.append(f"{column['distinct']} distinct")
    return words + [f"{column[what]} {what}" for what in ("empty", "zeros", "limits") if column[what]]
