"""The section on the table of a comparison or of a model: its tasks, which labels rows have together, and repeated rows."""

from __future__ import annotations

from bayestl.diagnostics.facts import label_patterns, repeated_rows, tasks_of
from bayestl.report.html import Section
from bayestl.report.units import unit_typeset
from bayestl.table.table import Table


def data_section(table: Table, title: str = "The data") -> Section:
    """Size of the table, its tasks, patterns of missing labels, and the spread of repeated rows."""
    section = Section(title)
    groups = f", {len(table.groups)} groups" if table.groups else ""
    section.text(f"{len(table.x)} rows, {len(table.features)} feature{'s' * (len(table.features) != 1)}{groups}.")
    tasks = tasks_of(table)
    section.frame(tasks.assign(unit=tasks["unit"].map(unit_typeset)))
    kinds = {"Hurdle": "hurdle", "Censored": "censored"}
    if known := [kinds[k] for k in dict.fromkeys(tasks["likelihood"]) if k in kinds]:
        section.terms(*known)
    if len(table.tasks) > 1:
        patterns = label_patterns(table)
        section.heading("Which labels rows have together")
        section.text("A dot stands for a label; tasks can inform each other only where rows or features overlap.")
        section.frame(patterns.set_index("rows"), said="such as")
    repeated = repeated_rows(table)
    if len(repeated):
        section.heading("Rows with the same features")
        section.text(
            "Labels of equal rows differ by measurement and by what the features do not say; no model on these features can predict "
            "a single one better than this spread."
        )
        section.frame(
            repeated.assign(spread=repeated["spread"].map(unit_typeset)).rename(
                columns={"of all": "of all labels' spread"}
            )
        )
    return section


def units_typeset(text: str, table: Table) -> str:
    """A text in which the units of a table's tasks are typeset."""
    for unit in sorted({task.unit for task in table.tasks if task.unit}, key=len, reverse=True):
        text = text.replace(f" {unit}", f" {unit_typeset(unit)}")
    return text
