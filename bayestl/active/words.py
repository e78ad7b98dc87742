"""Goals from words, as the command line has them, and from JSON, as ledgers do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bayestl.active.expressions import Expression
from bayestl.active.goals import Above, Between, Function, Goal, Learn, Maximise, Minimise, Reach
from bayestl.table.task import Task

GOALS: dict[str, type[Goal]] = {g.__name__: g for g in (Maximise, Minimise, Reach, Between, Above, Learn)}
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_WORDS: tuple[tuple[str, Callable[..., Goal]], ...] = (
    (r"maximi[sz]e (.+)", lambda q: Maximise(q)),
    (r"minimi[sz]e (.+)", lambda q: Minimise(q)),
    (r"learn (.+)", lambda q: Learn(q)),
    (rf"whether (.+) is above {_NUMBER}", lambda q, v: Above(q, float(v))),
    (rf"whether (.+) is between {_NUMBER} and {_NUMBER}", lambda q, a, b: Above(q, float(a), float(b))),
    (rf"(.+) between {_NUMBER} and {_NUMBER}", lambda q, a, b: Between(q, float(a), float(b))),
    (rf"(.+) near {_NUMBER}", lambda q, v: Reach(q, float(v))),
)


class FunctionMissing(ValueError):
    """A campaign whose quantity is a Python function was opened without it."""


def from_words(text: str) -> Goal:
    """A goal from its description on the command line, which is also the form of ``Goal.description``.

    Raises
    ------
    ValueError
        For other words, with what may be written.

    Examples
    --------
    >>> from_words("gap between 1.3 and 1.5") == Between("gap", 1.3, 1.5)
    True
    """
    for pattern, make in _WORDS:
        if match := re.fullmatch(pattern, " ".join(text.split()), re.IGNORECASE):
            return make(*match.groups())
    raise ValueError(
        f"the goal {text!r} is none of: maximise Q, minimise Q, Q near 1.4, Q between 1.3 and 1.5, whether Q is above 1.5, "
        "learn Q (Q a task, or an expression of tasks such as N2 - NO)"
    )


def unit_of(goal: Goal, tasks: Iterable[Task]) -> str:
    """The unit of a goal's quantity: that of the task or, for a sum or difference, the one that all its tasks have; else none."""
    units = {t.name: t.unit for t in tasks}
    if goal.quantity in units or goal.function is not None:
        return units.get(goal.quantity, "")
    expression = Expression(goal.quantity, list(units))
    shared = {units[name] for name in expression.used}
    return shared.pop() if len(shared) == 1 and expression.linear(list(units)) is not None else ""


def in_words(goal: Goal, unit: str) -> str:
    """The description of a goal, its numbers with the unit of its quantity.

    >>> in_words(Between("gap", 1.3, 1.5), "eV"), in_words(Maximise("gap"), "eV")
    ('gap between 1.3 and 1.5 eV', 'maximise gap')
    """
    return f"{goal.description} {unit if isinstance(goal, Reach | Between | Above) else ''}".rstrip()


def from_document(document: Mapping[str, Any], function: Function | None = None) -> Goal:
    """A goal from its JSON value, the inverse of ``document()``.

    Raises
    ------
    ValueError
        For an unknown goal, or where the Python function is missing.
    """
    values = dict(document)
    kind, python = values.pop("goal", None), values.pop("python", False)
    if kind not in GOALS:
        raise ValueError(f"unknown goal {kind!r}: one of {sorted(GOALS)} is expected")
    if python and function is None:
        raise FunctionMissing(
            f"the goal's quantity {values.get('quantity')!r} is a Python function, which a ledger does not keep: pass function="
        )
    return GOALS[kind](**values, function=function if python else None)
