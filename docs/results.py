"""Keeps the figures of the benchmarks as records, and makes the tables of the pages from them.

``python docs/results.py`` writes the tables between ``<!-- results: NAME -->`` and ``<!-- end -->`` in the README and in
``docs/benchmarks.md``.  ``python docs/results.py record FOLDER ...`` takes what a command wrote with ``-o FOLDER``
(``figures.csv`` and ``run.json``) into every record that has rows of this command.

A record is ``docs/data/results/NAME.csv``: the cells of the table as they are shown, and behind them for each row ``run`` (the command), ``where``
(the row of ``figures.csv``, such as ``model=chain``), ``template``, ``version`` and ``date``.  A row without a version was measured
by others, or refers to other records.  Lines ``# COLUMN | where | template`` on top say how a column is made:
``{mae:.3f} ± {mae_se:.3f}``; the template of a row goes before that of a column, and their ``where`` add up.  There,
``model=multi-task|difference;least=mae`` is the one of two rows whose ``mae`` is least.  In a cell,
``{no:DifferenceGP:N2}`` is the first number of that column of a record, in the first row that begins so or whose ``where`` is that,
``{no:DifferenceGP:N2()}`` the first one in brackets, and ``{-no:...}`` has no sign.  Sentences between the tables have
such figures too: :data:`SENTENCES`.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from calendar import month_name
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent
RECORDS, PAGES = HERE / "data" / "results", (HERE / "benchmarks.md", HERE.parent / "README.md")
HIDDEN = ["run", "where", "template", "version", "date"]
MARKED = re.compile(r"^<!-- results: ([\w ,-]+) -->\n(.*?)^<!-- end -->\n", re.MULTILINE | re.DOTALL)
REFERENCE = re.compile(r"\{(-?)(\w[\w-]*):([^{}:]+):([^{}:]+?)(\(\))?\}")
SENTENCES = (
    "of 39 Vickers hardnesses 90 % intervals held {elements:quantity=vickers_hardness;model=multi-task:in 90 %}",
    "{public-campaigns:table=frameworks;policy=bayestl:mean over 0 to 27}, "
    "{public-campaigns:table=freesolv;policy=bayestl:mean over 0 to 27} and "
    "{public-campaigns:table=polarizability;policy=bayestl:mean over 0 to 27} standard deviations, that of BoTorch's "
    "knowledge gradient {public-campaigns:table=frameworks;policy=BoTorch KG:mean over 0 to 27}, "
    "{public-campaigns:table=freesolv;policy=BoTorch KG:mean over 0 to 27} and "
    "{public-campaigns:table=polarizability;policy=BoTorch KG:mean over 0 to 27}",
    "costs up to {-harm:source=half opposed;model=difference:gain per new label} nats a label",
)
"""Parts of sentences of the pages, with the figures in them; every one stands in a page."""


@dataclass
class Record:
    """A table of a page: titles of its columns, how they are made, and rows of cells."""

    name: str
    titles: list[str]
    made: dict[str, tuple[str, str]]
    rows: list[dict[str, str]]

    @classmethod
    def read(cls, name: str) -> Record:
        """The record of a name."""
        lines = (RECORDS / f"{name}.csv").read_text(encoding="utf-8").splitlines()
        made = {}
        for line in lines:
            if line.startswith("# "):
                column, where, template = line[2:].split(" | ")
                made[column] = (where, template)
        titles, *rows = csv.reader(line for line in lines if not line.startswith("# "))
        return cls(name, titles[: -len(HIDDEN)], made, [dict(zip(titles, row, strict=True)) for row in rows])

    def write(self) -> None:
        """Write the record where it was read from."""
        text = io.StringIO()
        text.writelines(f"# {column} | {where} | {template}\n" for column, (where, template) in self.made.items())
        table = csv.DictWriter(text, [*self.titles, *HIDDEN], lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        (RECORDS / f"{self.name}.csv").write_text(text.getvalue(), encoding="utf-8")

    def take(self, run: dict[str, str], figures: pd.DataFrame) -> int:
        """Take the figures of a run into the rows of its command; the number of cells that were filled."""
        filled = 0
        for row in self.rows:
            if row["run"] != run["command"]:
                continue
            for column in self.titles:
                where, template = self.made.get(column, ("", ""))
                template = row["template"] if column in self.made and row["template"] else template
                if template and (of_row := chosen(figures, f"{where};{row['where']}")):
                    row[column] = shown(template, of_row)
                    row |= {"version": run["version"], "date": run["date"]}
                    filled += 1
        return filled

    def markdown(self) -> str:
        """The table, without the line that says what made it."""
        lines = [self.titles]
        lines += [[filled(row[title]) for title in self.titles] for row in self.rows]
        shown = [re.sub(r"(?<=\|)  (?=\|)", " ", f"| {' | '.join(cells)} |\n") for cells in lines]
        return "".join([shown[0], f"|{'---|' * len(self.titles)}\n", *shown[1:]])


def chosen(figures: pd.DataFrame, where: str) -> dict[str, Any]:
    """The one row of the figures that is meant; nothing where the run has none."""
    found = figures
    for condition in filter(None, where.split(";")):
        column, value = condition.split("=", 1)
        if column == "least":
            found = found.sort_values(value, key=pd.to_numeric).head(1)
        else:
            found = found[found[column].astype(str).isin(value.split("|"))]
    if len(found) > 1:
        raise ValueError(f"{len(found)} rows of the figures have {where.strip(';')!r}: one is expected")
    if found.empty:
        return {}
    return {re.sub(r"\W+", "_", str(name)).strip("_"): value for name, value in found.iloc[0].items()}


def shown(template: str, figures: dict[str, Any]) -> str:
    """A cell; what is not a number leaves nothing behind."""
    return re.sub(r" ± nan| \(nan\)|\bnan\b", "", template.format(**figures)).strip()


def filled(cell: str) -> str:
    """A cell whose references are replaced by what they refer to."""

    def number(match: re.Match[str]) -> str:
        sign, name, label, column, brackets = match.groups()
        record = Record.read(name)
        first = record.titles[0]
        for row in record.rows:
            if row[first].replace("*", "").startswith(label) or row["where"] == label:
                pattern = r"(?<=\()[\d.]+" if brackets else r"\d[\d.]*" if sign else r"-?\d[\d.]*"
                if found := re.search(pattern, row[column]):
                    return found[0]
        raise ValueError(f"{match[0]}: the record {name} has no such figure")

    return REFERENCE.sub(number, cell)


def origin(records: list[Record]) -> str:
    """The line below a table: the commands, the version, and the days on which its rows were written down."""
    rows = [row for record in records for row in record.rows if row["version"]]
    if not rows:
        return ""
    commands = dict.fromkeys(f"`{row['run']}`" for row in rows)
    versions = dict.fromkeys(row["version"] for row in rows)
    days = sorted({row["date"] for row in rows})
    spoken = (
        day(days[-1])
        if len(days) == 1
        else f"{day(days[0]).removesuffix(day(days[-1])[2:]).strip()} to {day(days[-1])}"
    )
    return f"\n*{', '.join(commands)}: version {', '.join(versions)}, {spoken}.*\n"


def day(date: str) -> str:
    """A day as it is written.

    >>> day("2026-11-09")
    '9 November 2026'
    """
    year, month, number = map(int, date.split("-"))
    return f"{number} {month_name[month]} {year}"


def table(names: str) -> str:
    """What stands between the markers of some records, which have the same titles."""
    records = [Record.read(name) for name in names.replace(",", " ").split()]
    first, *others = [record.markdown() for record in records]
    return first + "".join(other.split("\n", 2)[2] for other in others) + origin(records)


def rendered(text: str) -> str:
    """A page whose tables, and figures in :data:`SENTENCES`, are made anew."""
    for sentence in SENTENCES:
        if (pattern := with_figures(sentence)).search(text):
            text = pattern.sub(filled(sentence), text)
    return MARKED.sub(lambda m: f"<!-- results: {m[1]} -->\n{table(m[1])}<!-- end -->\n", text)


def with_figures(sentence: str) -> re.Pattern[str]:
    """One of :data:`SENTENCES` with any figures in it; its words may be in two lines."""
    words = REFERENCE.sub("FIGURE", sentence).split()
    return re.compile(r"\s".join(map(re.escape, words)).replace("FIGURE", r"\d[\d.]*\d"))


def record(folder: Path) -> None:
    """Take a folder of outputs into the records that have rows of its command, and say how many cells those are."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    figures = pd.read_csv(folder / "figures.csv", dtype={"rows": str, "labels": str})
    for path in sorted(RECORDS.glob("*.csv")):
        one = Record.read(path.stem)
        if cells := one.take(run, figures):
            one.write()
            print(f"{path.name}: {cells} cells of `{run['command']}`")


if __name__ == "__main__":
    if sys.argv[1:2] == ["record"]:
        for argument in sys.argv[2:]:
            record(Path(argument))
    for page in PAGES:
        page.write_text(rendered(page.read_text(encoding="utf-8")), encoding="utf-8")
