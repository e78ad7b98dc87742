"""Options of the command line as names, tasks and models."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bayestl.cli.reading import FileTable
from bayestl.cli.reading.margins import unit_in

if TYPE_CHECKING:
    import pandas as pd


class ModelName(StrEnum):
    """Names of the architectures."""

    auto = "auto"
    independent = "independent"
    multi_task = "multi-task"
    difference = "difference"
    chain = "chain"
    latent_variable = "latent-variable"
    low_rank = "low-rank"


class OptionError(ValueError):
    """An option is wrong: exit code 2."""


@contextmanager
def of_option(*names: str, every: bool = False, words: Mapping[str, str] | None = None) -> Iterator[None]:
    """A context in which errors that begin with the name of one of the options, or ``every`` one, are those of this option.

    ``words``: how else errors begin, and of which option they are.
    """
    try:
        yield
    except ValueError as error:
        text = str(error)
        beginnings = {f"{n}{sign}": n for n in names for sign in ("" if every else " ", "=")} | dict(words or {})
        named = next((n for start, n in beginnings.items() if every or text.startswith(start)), None)
        if named is None or text.startswith("--"):
            raise
        raise OptionError(f"--{named}: {text}") from error


def names_in(text: str | None, option: str) -> list[str]:
    """The names in a comma-separated text, one that holds a comma in double quotes; none where the ``option`` was left out.

    Raises
    ------
    ValueError
        If the option is there and names nothing, or something twice.
    """
    cells = [] if text is None else next(csv.reader([text], skipinitialspace=True), [])
    names = [name for name in map(str.strip, cells) if name]
    if text is not None and not names:
        raise ValueError(f"{option}: {text!r} names nothing: separate names by commas, or leave the option out")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{option} names {twice[0]!r} twice: leave one out")
    return names


def sizes_in(text: str | None) -> list[int]:
    """The positive whole numbers in a comma-separated text."""
    names = names_in(text, "--sizes")
    for name in names:
        if not (name.isdecimal() and int(name) > 0):
            raise ValueError(f"--sizes: {name!r} is not a positive whole number")
    return [int(name) for name in names]


def folds_in(text: str | None) -> list[int]:
    """The positions of folds in a comma-separated text."""
    names = names_in(text, "--folds")
    for name in names:
        if not name.isdecimal():
            raise ValueError(f"--folds: {name!r} is not the number of a fold, from 0 on")
    return [int(name) for name in names]


def require_columns(table: FileTable, names: Sequence[str], what: str) -> None:
    """Refuse names that are not columns; ``what`` is the option that named them."""
    for name in names:
        if name not in table.columns:
            alike = similar(name, table.columns)
            hint = f"; is {alike!r} meant?" if alike else ""
            if any("," in column for column in table.columns):
                hint += " (a name with a comma is written in double quotes)"
            raise ValueError(f"{what}: the file has no column {name!r}; its columns are {table.columns}{hint}")


def require_roles(table: FileTable, tasks: Sequence[str], groups: str | None, name: str | None) -> None:
    """Refuse tasks, groups and names of rows that are no columns."""
    for option, columns in (("--tasks", tasks), ("--groups", [groups]), ("--name", [name])):
        require_columns(table, [c for c in columns if c], option)


def similar(name: str, columns: Sequence[str]) -> str | None:
    """The column that is called almost like a name, such as ``"Gap"`` or ``"gap (meV)"`` for ``"gap"``."""

    def plain(text: str) -> str:
        bare = re.sub(r"[\[(][^\[\]()]*[\])]\s*$", "", text) if unit_in(text) else text
        return re.sub(r"[\W_]+", "", bare).lower()

    alike = [c for c in columns if plain(c) == plain(name)]
    alike = alike or difflib.get_close_matches(name, columns, 1, cutoff=0.8)
    return alike[0] if alike else None


LIKELIHOODS = {
    "gaussian": "Gaussian",
    "student-t": "StudentT",
    "log-normal": "LogNormal",
    "power-normal": "PowerNormal",
    "power-student-t": "PowerStudentT",
    "positive": "Positive",
    "hurdle": "Hurdle",
    "censored": "Censored",
    "bernoulli": "Bernoulli",
    "categorical": "Categorical",
    "ordinal": "Ordinal",
}
"""Names of the likelihoods on the command line, with their classes."""


def make_tasks(names: list[str], likelihoods: str | None, units: Mapping[str, str] | None = None) -> list[Any] | None:
    """Tasks with the likelihoods named by the option and the units that the file tells; None without any."""
    import bayestl as btl

    chosen = {name: btl.Task(name, unit=unit) for name, unit in (units or {}).items() if name in names}
    for pair in names_in(likelihoods, "--likelihoods"):
        name, sign, kind = (part.strip() for part in pair.rpartition("="))
        if not sign or name not in names:
            raise ValueError(f"--likelihoods: {pair!r} is not TASK=LIKELIHOOD with a task of {names}")
        if kind not in LIKELIHOODS:
            raise ValueError(f"--likelihoods: no likelihood {kind!r}; there are {list(LIKELIHOODS)}")
        unit = chosen[name].unit if name in chosen else ""
        chosen[name] = btl.Task(name, getattr(btl, LIKELIHOODS[kind])(), unit)
    return [chosen[name] for name in names if name in chosen] or None


def models_in(text: str) -> list[str]:
    """The architectures named by the option ``--models``."""
    chosen, allowed = names_in(text, "--models"), [m.value for m in ModelName]
    if unknown := [m for m in chosen if m not in allowed]:
        raise ValueError(f"--models: unknown architecture {unknown[0]!r}; there are {allowed}")
    return chosen


def evident(frame: pd.DataFrame, tasks: list[Any] | None) -> list[Any] | None:
    """The tasks, and those whose likelihood the cells of a label column show, such as ``"<0.1"``; None without any."""
    from bayestl.table.table import evident_tasks

    return evident_tasks(frame, tasks) or None


def parents_in(text: str | None, names: list[str], models: Sequence[str]) -> dict[str, list[str]] | None:
    """The graph of the option ``--graph`` for latent-variable: the parents of each task; None without the option.

    Raises
    ------
    ValueError
        If it cannot be read, names no task or has a cycle, or if no model has a graph.
    """
    if text is None:
        return None
    if ModelName.latent_variable not in models:
        raise ValueError(f"--graph is for the model latent-variable, not for {', '.join(models)}")
    from bayestl.table.graph import order_graph

    parents: dict[str, list[str]] = {}
    for edge in names_in(text, "--graph"):
        parent, arrow, child = (part.strip() for part in edge.partition(">"))
        if not (arrow and parent and child):
            raise ValueError(f"--graph: {edge!r} is not PARENT>CHILD")
        parents.setdefault(child, []).append(parent)
    with of_option("graph"):
        order_graph(parents, names)
    return parents


def options_of_auto(name: str, names: list[str], target: str | None, budget: float | None) -> dict[str, Any]:
    """The options ``--target`` and ``--budget`` of the model "auto"; other models refuse them."""
    if name != ModelName.auto and (target is not None or budget is not None):
        raise ValueError(f"--{'budget' if target is None else 'target'} is for --model auto, not for {name}")
    if target is not None and target not in names:
        raise ValueError(f"--target: {target!r} is no task; the tasks are {names}")
    return {"target": target, "budget": budget} if name == ModelName.auto else {}


def make_model(
    name: str,
    names: list[str],
    graph: dict[str, list[str]] | None,
    tasks: list[Any] | None,
    seed: int,
    verbose: bool,
    device: str = "cpu",
    **of_auto: Any,
) -> Any:
    """An unfitted model of the named architecture, for the tasks ``names``; ``of_auto`` are options of AutoTransfer."""
    import bayestl as btl

    common: dict[str, Any] = {"tasks": tasks, "random_state": seed, "verbose": verbose}
    if name == "low-rank":
        if device not in ("cpu", "auto"):
            raise ValueError(f"--device {device}: the model low-rank computes on the processor; leave the option out")
        return btl.LowRankLinear(**common)
    common["device"] = device
    if name == "auto":
        return btl.AutoTransfer(**of_auto, **common)
    if name == "multi-task":
        return btl.MultiTaskGP(**common)
    if name == "difference":
        return btl.DifferenceGP(levels=names, **common)
    if name == "chain":
        return btl.ChainGP(levels=names, **common)
    if name == "latent-variable":
        return btl.LatentVariableGP(graph=graph, **common)
    return btl.IndependentGP(**common)
