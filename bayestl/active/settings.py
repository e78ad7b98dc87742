"""The settings of a campaign, checked before its ledger is begun: pool, tasks, goal, model, acquisition and limits."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayestl.active.acquisition.botorch_scores import BOTORCH
from bayestl.active.acquisition.rates import ACQUISITIONS
from bayestl.active.goals import Function, Goal, Learn, Maximise
from bayestl.active.ledger.schema import LedgerError, plain_candidate
from bayestl.active.words import GOALS, FunctionMissing, from_document
from bayestl.distributions.base import is_number
from bayestl.files.documents import task_from_document, task_to_document
from bayestl.files.models import model_to_document
from bayestl.models.base import BayesianModel
from bayestl.models.catalogue import model_from_document
from bayestl.table.columns import read_features
from bayestl.table.groups import refuse_other_rows
from bayestl.table.task import Task


def checked_pool(pool: Any) -> pd.DataFrame:
    """The pool with numeric columns and unique names of candidates; refuses any other."""
    if not isinstance(pool, pd.DataFrame):
        raise ValueError(f"pool must be a DataFrame of features, got {type(pool).__name__}")
    x, names, index, _ = read_features(pool)
    if isinstance(index, pd.MultiIndex):
        raise ValueError(
            f"pool names candidates by {index.nlevels} columns, such as {index[0]!r}: name each by one text or number, such as "
            "pool.set_axis(pool.index.map(str))"
        )
    if index.isna().any():
        raise ValueError(
            f"the candidate at position {int(np.argmax(index.isna()))} has no name: name each candidate once"
        )
    kept = pd.Index([plain_candidate(i) for i in index])
    if not kept.is_unique:
        raise ValueError(f"the pool has the row {index[kept.duplicated()][0]!r} twice: name each candidate once")
    return pd.DataFrame(x, columns=names, index=index)


def check_settings(path: Any, tasks: Any, goal: Any, model: Any, acquisition: Any, budget: Any, seed: Any) -> None:
    """Refuse settings of wrong types, and those that do not fit each other.

    Raises
    ------
    ValueError
        For such a setting, naming it.
    ImportError
        For an acquisition function of BoTorch that is not installed.
    """
    if not (isinstance(path, str | Path) and str(path)):
        raise ValueError(f"path must be the path of a new file, got {path!r}")
    if isinstance(tasks, str) or not isinstance(tasks, Sequence) or not all(isinstance(t, Task) for t in tasks):
        raise ValueError(f"tasks must be a list of Task, such as [Task('gap', cost=20)], got {tasks!r}")
    names = [t.name for t in tasks]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"tasks must have names of their own, got {names}")
    if not isinstance(goal, Goal):
        raise ValueError(
            f"goal must be one of {', '.join(sorted(GOALS))} of bayestl.active, such as Maximise({names[0]!r}), got {goal!r}"
        )
    goal.check(names)
    if goal.function is None and goal.quantity not in names:
        with np.errstate(all="ignore"):  # refuses classes that are no numbers
            goal.value({t.name: np.array((t.classes or (1.0,))[:1], dtype=object) for t in tasks}, names)
    if not isinstance(model, BayesianModel):
        raise ValueError(f"model must be a model of bayestl, got {type(model).__name__}")
    if acquisition not in ACQUISITIONS:
        raise ValueError(f"acquisition must be one of {ACQUISITIONS}, got {acquisition!r}")
    if acquisition in BOTORCH:
        if not isinstance(goal, Maximise):
            raise ValueError(
                f"acquisition {acquisition!r} is for Maximise or Minimise, the goal is: {goal.description}"
            )
        if importlib.util.find_spec("botorch") is None:
            raise ImportError("BoTorch's acquisition functions need the extra: pip install 'bayestl[active]'")
    if isinstance(goal, Learn) and acquisition not in ("auto", "uncertainty"):
        raise ValueError(f"acquisition {acquisition!r} is for a best row; Learn has a closed form of its own: 'auto'")
    if budget is not None and not (is_number(budget) and math.isfinite(budget) and budget > 0):
        raise ValueError(f"budget must be a positive number, got {budget!r}")
    if isinstance(seed, bool) or not (isinstance(seed, int | np.integer) and seed >= 0):
        raise ValueError(f"seed must be an integer from 0 on, got {seed!r}")


def settings_of(campaign: Any) -> dict[str, Any]:
    """What the ledger keeps of a campaign, beside the pool, as JSON values."""
    return {
        "tasks": [task_to_document(t) for t in campaign.tasks],
        "goal": campaign.goal.document(),
        "model": model_to_document(campaign.model),
        "budget": campaign.budget,
        "acquisition": campaign.acquisition,
        "allowed": None if campaign.allowed.all() else campaign.allowed.tolist(),
        "max_per_element": campaign.limits.most,
        "seed": campaign.seed,
    }


def read_settings(
    settings: Mapping[str, Any], function: Function | None
) -> tuple[list[Task], Goal, Any, dict[str, Any]]:
    """Tasks, goal, model and further options from what :func:`settings_of` returned."""
    goal = from_document(settings["goal"], function)
    tasks = [task_from_document(t) for t in settings["tasks"]]
    options = {name: settings[name] for name in ("budget", "acquisition", "allowed", "max_per_element", "seed")}
    return tasks, goal, model_from_document(settings["model"]), options


@contextmanager
def describing(path: Path) -> Iterator[None]:
    """Says of an intact ledger that does not describe a campaign, because a program wrote it that is none, that it does not."""
    try:
        yield
    except (FunctionMissing, LedgerError, ImportError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise LedgerError(f"{path} describes no campaign of this version ({reason})") from error


def checked_allowed(allowed: Any, pool: pd.DataFrame) -> np.ndarray:
    """Boolean (n,): the candidates that may be suggested."""
    n = len(pool)
    if allowed is None:
        return np.ones(n, dtype=bool)
    refuse_other_rows(pool.index, allowed, "allowed")
    values = np.asarray(allowed)
    if values.dtype == object and all(isinstance(v, bool | np.bool_) for v in values.ravel()):
        values = values.astype(bool)
    if values.dtype != bool or values.ndim != 1:
        raise ValueError(f"allowed must be True or False for each candidate, got {str(allowed)[:80]}")
    if len(values) != n:
        raise ValueError(f"allowed has {len(values)} entries for {n} candidates")
    return values


def checked_formulas(formulas: Any, pool: pd.DataFrame) -> list[str] | None:
    """The formulas of the candidates as text."""
    n = len(pool)
    if formulas is None:
        return None
    refuse_other_rows(pool.index, formulas, "formulas")
    if isinstance(formulas, str):
        raise ValueError(f"formulas must be a list with the formula of each candidate, got {formulas!r}")
    texts = [str(f) for f in formulas]
    if len(texts) != n:
        raise ValueError(f"formulas has {len(texts)} entries for {n} candidates")
    return texts


def checked_limits(most: Any, formulas: Sequence[str] | None) -> dict[str, int]:
    """The largest number of candidates with each element."""
    if not isinstance(most, Mapping | None):
        raise ValueError(f"max_per_element must be a dictionary such as {{'Pb': 3}}, got {most!r}")
    most = dict(most or {})
    check_limits(most, formulas)
    return most


class ElementLimits:
    """A constraint: at most so many candidates with an element are measured.

    Parameters
    ----------
    most : mapping of str to int
        Number of candidates for each element that is limited.
    formulas : sequence of str, optional
        Formulas of the candidates; needed where any element is limited.
    """

    def __init__(self, most: Mapping[str, int], formulas: Sequence[str] | None) -> None:
        self.most = dict(most)
        self._elements: list[frozenset[str]] = []
        if self.most and formulas is not None:
            from bayestl.features import element_amounts

            self._elements = [frozenset(element_amounts(formula)) for formula in formulas]

    def permits(self, rows: np.ndarray, used: Sequence[int]) -> np.ndarray:
        """Boolean (k,): the rows that may be measured, given the rows ``used`` already, which may be measured again."""
        if not self.most:
            return np.ones(len(rows), dtype=bool)
        counts = {e: sum(e in self._elements[r] for r in used) for e in self.most}
        full = frozenset(e for e, most in self.most.items() if counts[e] >= most)
        taken = set(used)
        return np.array([int(r) in taken or not (self._elements[r] & full) for r in rows])


def check_limits(most: Mapping[str, int], formulas: Sequence[str] | None) -> None:
    """Refuse limits without formulas, for names that are no element, or that are no whole numbers.

    Raises
    ------
    ValueError
        For such a limit, naming it.
    """
    if not most:
        return
    if formulas is None:
        raise ValueError("max_per_element needs formulas=, one for each candidate")
    from pymatgen.core import Element

    for symbol, number in most.items():
        if not Element.is_valid_symbol(symbol) or symbol in ("D", "T"):  # which formulas count as H
            raise ValueError(f"max_per_element names {symbol!r}, which is no element")
        if not (isinstance(number, int | np.integer) and number >= 0):
            raise ValueError(f"max_per_element[{symbol!r}] must be a number of candidates, got {number!r}")
