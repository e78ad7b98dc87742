"""What a comparison says, in sentences: each is made from numbers of :mod:`bayestl.evaluation.verdict`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from bayestl.diagnostics.summary import is_transformed
from bayestl.diagnostics.words import FEW_LABELS, coverage_is_off, intervals_in_words, plus_minus, rounded, wrapped
from bayestl.evaluation.comparison import HIDDEN, Comparison
from bayestl.evaluation.verdict import LEAST_ROWS, Verdict, verdicts
from bayestl.likelihoods import LogNormal
from bayestl.report.units import unit_typeset
from bayestl.table.task import Task

GAINED = "transfer (nats gained)"
"""The check that a source's labels do not harm a task."""
MOST_FAR = 6
"""Most rows that are named in a sentence."""


def conclusion(comparison: Comparison, found: Mapping[str, Verdict]) -> dict[str, list[str]]:
    """What the verdicts on each quantity say: whether other tasks help, which model to take, and what to trust it for."""
    return {quantity: _about(comparison, v) for quantity, v in found.items()}


def conclusion_as_text(comparison: Comparison) -> str:
    """The conclusion as lines of text, a paragraph for each quantity."""
    told = (f"{quantity}: {' '.join(said)}" for quantity, said in conclusion(comparison, verdicts(comparison)).items())
    return wrapped(told, between="\n\n")


def _about(comparison: Comparison, v: Verdict) -> list[str]:
    if v.n < LEAST_ROWS:
        return [f"{v.n} held-out row{'s' * (v.n != 1)}, too few to tell which model is right."]
    said = [_transfer(comparison, v), _choice(v)]
    if not comparison.classified(v.quantity):
        said += [f"Its {intervals_in_words(v.held, v.n)}.", _trust(comparison, v)]
        if len(v.far):
            more = " and others" if len(v.far) > MOST_FAR else ""
            names = ", ".join(map(str, v.far["name"][:MOST_FAR]))
            said.append(f"Check {names}{more}: too far from the prediction for chance.")
    return [sentence for sentence in said if sentence]


def _unit(comparison: Comparison, quantity: str) -> str:
    unit = unit_typeset(comparison.units.get(quantity, ""))
    return f" {unit}" if unit else ""


def _error(comparison: Comparison, v: Verdict) -> str:
    return "share of wrong classes" if comparison.classified(v.quantity) else "mean absolute error"


def _transfer(comparison: Comparison, v: Verdict) -> str:
    """Whether the other tasks help, by the model that uses them best and the one that uses none."""
    if v.score is None or v.error is None:
        return ""
    unit = _unit(comparison, v.quantity)
    what = _error(comparison, v)
    models = f"{v.informed!r} against {comparison.alone!r}, mean over held-out labels, {HIDDEN[comparison.hide]}"
    pair = f"{_number(v.error.one)} against {_number(v.error.other)}{unit}"
    told = v.error.sign == v.score.sign
    if v.score.sign < 0:
        if told:
            fall = f"from {_number(v.error.other)} to {_number(v.error.one)}{unit}, by {100 * v.error.cut:.0f} %"
            return f"Learning from the other tasks cuts the {what} {fall} ({models})."
        return (
            f"Learning from the other tasks makes the predicted distributions better, but whether the {what}, {pair}, falls cannot "
            f"be told from {v.n} labels ({models})."
        )
    if v.score.sign > 0:
        return f"Learning from the other tasks harms: {what} {pair} ({models})."
    apart = f"{pair}, a difference of {plus_minus(v.error.mean, v.error.se)}"
    return f"Whether learning from the other tasks helps cannot be told from {v.n} labels: {what} {apart} ({models})."


def _choice(v: Verdict) -> str:
    """Which model to take, and whether it is better than each other one."""
    if v.only_best and v.score is None:
        return f"{v.best!r} predicts best."
    if v.only_best:
        return f"{v.best!r} is better than each other model."
    others = ", ".join(map(repr, v.as_good[1:]))
    return f"{v.best!r} has the lowest score, but {others} cannot be told from it."


def _trust(comparison: Comparison, v: Verdict) -> str:
    """For what its predictions are good, and for what not, as far as the held-out labels tell."""
    if v.skill.sign >= 0:
        return (
            f"Do not trust its values: one guess for all rows, the middle label, is as good (mean absolute error "
            f"{_number(v.skill.other)}, here {_number(v.skill.one)})."
        )
    p, unit = comparison.predictions, _unit(comparison, v.quantity)
    p = p[(p["quantity"] == v.quantity) & (p["model"] == v.best) & (p["y"] == p["high"])]
    y = p.loc[~p["row"].isin(v.far["row"]), "y"]
    trusted, doubted = ["rows like those of the table"], []
    if len(y):
        trusted.append(f"labels from {rounded(y.min())} to {rounded(y.max())}{unit}")
        doubted.append("values beyond these")
    if v.narrow is not None and v.narrow.sign < 0:
        trusted.append(f"intervals narrower than {_number(v.wide_from)} (mean absolute error {_number(v.narrow.one)})")
        doubted.append(f"wider intervals (mean absolute error {_number(v.narrow.other)})")
    if v.beside is not None and v.beside.sign < 0:
        trusted.append(f"rows with other labels (mean absolute error {_number(v.beside.one)})")
        doubted.append(f"rows without any (mean absolute error {_number(v.beside.other)})")
    if v.n >= FEW_LABELS and coverage_is_off(v.held, v.n):
        doubted.append("the width of its intervals")
    return f"Trust it for {_listed(trusted, 'and')}" + (f"; not for {_listed(doubted, 'or')}." if doubted else ".")


def _listed(parts: list[str], last: str) -> str:
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}" if len(parts) > 1 else parts[0]


def gains_in_words(checks: pd.DataFrame, task: str, tasks: Sequence[str]) -> str:
    """Which of the other tasks help a task, and which harm it, by the checks of ``diagnose()``; not those of a stack's members."""
    said, sources = [], {f"{source} -> {task}": source for source in tasks}
    for row in checks[(checks["check"] == GAINED) & checks["of"].isin(list(sources))].itertuples():
        source, se = sources[row.of], -row.threshold / 2
        verb = "help" if row.value > 2 * se else "harm" if row.value < -2 * se else "neither help nor harm for sure"
        said.append(f"labels of {source} {verb} ({plus_minus(row.value, se)} nats over all labels of {task})")
    return "; ".join(said).replace("labels", "Labels", 1) + "." * bool(said)


def explained_in_words(checks: pd.DataFrame, task: str) -> str:
    """What share of the variance of a task's labels is predicted."""
    found = checks[checks["check"].str.startswith("variance explained") & (checks["of"] == task)]
    if found.empty:
        return ""
    value = float(found["value"].iloc[0])
    if value <= 0:
        return "The mean of its labels predicts as well: do not trust its values."
    return f"Of the variance of its labels {100 * value:.0f} % is predicted."


def shifts_in_words(shifts: pd.DataFrame, tasks: Mapping[str, Task]) -> list[str]:
    """By how much each level is above the one before in the mean of its rows: a sentence for each."""
    said = []
    for (level, source), row in shifts.iterrows():
        unit, source_unit = _unit_of_shift(tasks.get(level)), _unit_of_shift(tasks.get(source))
        said.append(
            f"Over {row['rows']:.0f} rows with {source}, whose mean is {_with(row['at'], source_unit)}, {level} is "
            f"{_with(row['at'] + row['mean'], unit)} in the mean: a shift of {rounded(row['mean'], '+')} ({rounded(row['lower'], '+')} to "
            f"{rounded(row['upper'], '+')})."
        )
    return said


def _unit_of_shift(task: Task | None) -> str:
    """What the means of a task are in: the unit of its labels, or what the model makes of these; nothing for a part of a task."""
    if task is None:
        return ""
    if isinstance(task.observes, LogNormal):
        return "(of logarithms)"
    main = task.observes.parts().get("")
    transformed = main is not None and main.has_noise and is_transformed(main)
    return "(of transformed labels)" if transformed else unit_typeset(task.unit)


def _with(value: float, unit: str) -> str:
    return f"{rounded(value)} {unit}".rstrip()


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.4g}"
