"""A campaign: candidates, measurements with costs, and a goal.  It suggests what to measure next and takes the results.

Every suggestion and every result is in its ledger before the call returns (``ledger/``); a campaign is that file, and
``Campaign.open`` continues it exactly.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from bayestl.active.acquisition.batch import Choice, choose_batch, first_batch
from bayestl.active.acquisition.pool import Pool, candidates
from bayestl.active.goals import Function, Goal
from bayestl.active.ledger.file import Ledger
from bayestl.active.ledger.schema import SUGGESTED
from bayestl.active.results import in_state, known_quantity, label_table, ledger_entries, progress_table, training_table
from bayestl.active.settings import (
    ElementLimits,
    check_settings,
    checked_allowed,
    checked_formulas,
    checked_limits,
    checked_pool,
    describing,
    read_settings,
    settings_of,
)
from bayestl.active.suggestions import SuggestionTable, best_or_expected, first_suggestion, headline, shown, suggestion
from bayestl.active.words import unit_of
from bayestl.models.base import BayesianModel
from bayestl.progress import progress
from bayestl.streams import spawn
from bayestl.table.names import name_from_json
from bayestl.table.task import Task

FIRST = 5
"""Labels that each task of the quantity must have before a model chooses."""
FIRST_SOURCE = 2
"""Labels that each other task must have before a model chooses."""
ATTEMPTS = 5
"""Times that a batch is chosen anew where another process took some."""


class Campaign:
    """A campaign on a pool of candidates: it suggests what to measure next, and takes the results.

    Parameters
    ----------
    pool : DataFrame, shape (n, d)
        Numeric features of the candidates; its index names them (unique), in ``tell`` too.
    tasks : sequence of Task
        What may be measured, with units, likelihoods and the cost of one measurement of each.
    goal : Goal
        One of :mod:`bayestl.active.goals`: ``Maximise("N2 - NO")``, ``Between("gap", 1.3, 1.5)``, ``Learn("gap")`` ...
    model : model
        An unfitted model, which is fitted to all results before each suggestion.
    path : path
        Path of the ledger, a new file.
    budget : float, optional
        Sum of costs that may be spent.
    acquisition : str
        ``"auto"``: the goal's own acquisition value per cost, with a look-ahead for cheap sources; ``"uncertainty"``;
        ``"knowledge-gradient"``; or BoTorch's ``"logei"``, ``"noisy-ei"``, ``"ucb"``, ``"thompson"``,
        ``"max-value-entropy"``.
    formulas : sequence of str, optional
        Formulas of the candidates, for ``max_per_element``.
    allowed : array-like of bool, optional
        Which candidates may be suggested.
    max_per_element : mapping of str to int, optional
        Largest number of candidates with an element that may be measured.
    known : DataFrame, optional
        Labels that are known when the campaign begins, as for :meth:`tell`; they cost nothing.
    seed : int
        Suggestions repeat exactly for the same seed and results.
    verbose : bool
        Progress on a terminal.

    Raises
    ------
    LedgerError
        If the file ``path`` exists already.
    ValueError
        For a pool, task, goal or label that does not fit, naming it; no file is begun.
    ImportError
        For an acquisition function of BoTorch that is not installed.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl, tempfile, pathlib
    >>> from bayestl.active import Campaign, Maximise
    >>> pool = pd.DataFrame({"x": np.linspace(0, 1, 50)})
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "campaign.db"
    >>> model = btl.IndependentGP(verbose=False)
    >>> campaign = Campaign(pool, [btl.Task("y")], Maximise("y"), model, path)
    >>> for _ in range(3):
    ...     rows = campaign.suggest(4)
    ...     x = pool.loc[rows["row"], "x"].to_numpy()
    ...     campaign.tell(rows.assign(value=np.sin(4 * x)))
    >>> bool(campaign.best()["value"] > 0.99)
    True
    """

    def __init__(
        self,
        pool: pd.DataFrame,
        tasks: Sequence[Task],
        goal: Goal,
        model: Any,
        path: str | Path,
        budget: float | None = None,
        acquisition: str = "auto",
        formulas: Sequence[str] | None = None,
        allowed: Any = None,
        max_per_element: Mapping[str, int] | None = None,
        known: pd.DataFrame | None = None,
        seed: int = 0,
        verbose: bool = True,
        *,
        _ledger: Ledger | None = None,  # of a campaign that is opened again; its settings are the other arguments
    ) -> None:
        pool = checked_pool(pool)
        check_settings(path, tasks, goal, model, acquisition, budget, seed)
        self.allowed, formulas = checked_allowed(allowed, pool), checked_formulas(formulas, pool)
        limits = checked_limits(max_per_element, formulas)
        self.goal, self.tasks, self.model, self.unit = goal, list(tasks), clone(model), unit_of(goal, tasks)
        self.budget, self.acquisition, self.seed, self.verbose = budget, acquisition, int(seed), verbose
        self.limits = ElementLimits(limits, formulas)
        self._model_name = type(model).__name__
        if _ledger is None:
            entries = [] if known is None else ledger_entries(known, pool.index, self.tasks)
            _ledger = Ledger.create(path, settings_of(self), pool, formulas, entries)
        self.ledger = _ledger
        self.pool, self.formulas = _ledger.pool()  # names of rows and columns as they will be when it is opened again

    @classmethod
    def open(cls, path: str | Path, function: Function | None = None, verbose: bool = True) -> Campaign:
        """Go on with a campaign.

        Parameters
        ----------
        path : path
            Its ledger.
        function : callable, optional
            The goal's Python function, where it has one.
        verbose : bool
            Progress on a terminal.

        Raises
        ------
        LedgerError
            If there is no ledger of this version, or it is not as it was written.
        ValueError
            If the Python function is missing.
        """
        ledger = Ledger(path)
        with describing(ledger.path):
            pool, formulas = ledger.pool()
            tasks, goal, model, options = read_settings(ledger.meta(), function)
            return cls(pool, tasks, goal, model, path, formulas=formulas, verbose=verbose, _ledger=ledger, **options)

    def __repr__(self) -> str:
        return f"Campaign({headline(self)})"

    def _repr_html_(self) -> str:
        return shown(self)

    # -------------------------------------------------------------------------------------------------------- state

    @property
    def names(self) -> list[str]:
        """The tasks' names."""
        return [t.name for t in self.tasks]

    def results(self, state: str | None = None) -> pd.DataFrame:
        """Results, in the order in which they were told.

        Parameters
        ----------
        state : {"known", "failed", "withdrawn"}, optional
            Only those in one state; default: all that were not withdrawn.

        Returns
        -------
        DataFrame
            ``id`` (the number that :meth:`withdraw` takes), ``time``, ``who``, ``row`` (its name), ``task``, ``value`` (None where
            the measurement failed), ``se``, ``cost``, ``suggestion``, ``state``.
        """
        results = self._named(self.ledger.table("results"))
        results["value"] = pd.Series([name_from_json(json.loads(v)) for v in results["value"]], dtype=object)
        return in_state(results, state, ("known", "failed", "withdrawn"))

    def suggestions(self, state: str | None = None) -> pd.DataFrame:
        """All suggestions, or those in one ``state``: ``"open"`` (without a result), ``"done"`` or ``"dropped"``."""
        return in_state(self._named(self.ledger.table("suggestions")), state, ("open", "done", "dropped"))

    @property
    def spent(self) -> float:
        """Sum of the costs of all results that were not withdrawn."""
        return float(self.results()["cost"].sum())

    def labels(self) -> pd.DataFrame:
        """Known labels of the pool, (n, T): the mean of repeated numbers, the last of repeated classes."""
        return label_table(self.results(), self.tasks, self.pool.index)

    def best(self) -> pd.Series | None:
        """The row whose measured quantity is best: ``row``, ``value``, ``utility``; None before the first one."""
        if (known := self._quantity()).empty:
            return None
        worth = self.goal.utility(known.to_numpy())
        i = self.goal.best_of(known.to_numpy())
        row, value, utility = known.index[i], float(known.iloc[i]), float(worth[i])
        return pd.Series({"row": row, "value": value, "utility": utility}, dtype=object)

    def hits(self) -> pd.Series:
        """The quantity of the measured rows within the goal's range (``Between``)."""
        known = self._quantity()
        return known[self.goal.utility(known.to_numpy()) > 0]

    def progress(self) -> pd.DataFrame:
        """The rows whose quantity is known, in the order in which it became known.

        Columns: ``cost`` spent by then, ``row``, ``value`` of the quantity (the mean of repeats), its ``utility``, ``best`` so far.
        """
        return progress_table(self.results(), self._quantity(), self.goal, self.names)

    def _quantity(self) -> pd.Series:
        return known_quantity(self.labels(), self.tasks, self.goal)

    # ------------------------------------------------------------------------------------------------------ suggest

    def suggest(self, n: int = 1) -> pd.DataFrame:
        """Suggest the next ``n`` measurements; each counts as under way until its result is added or it is dropped.

        Returns
        -------
        DataFrame
            ``row``, ``task``, ``score`` (acquisition value per cost), ``cost``, ``predicted`` median with its 90 %
            interval ``lower`` to ``upper`` (for classes the position), ``hit`` (probability that the quantity is in the
            range of the goal or, without one, better than the best so far), ``reason``; index ``suggestion``.  Fewer than
            ``n`` rows where the budget or the pool is used up.

        Raises
        ------
        ValueError
            If ``n`` is not positive.
        """
        if not (isinstance(n, int | np.integer) and n >= 1):
            raise ValueError(f"n must be a positive integer, got {n!r}")
        accepted: dict[int, Mapping[str, Any]] = {}
        for _ in range(ATTEMPTS):
            batch = len(self.ledger.table("suggestions"))
            seed = spawn(self.seed, "batch", batch)
            chosen = self._choose(int(n) - len(accepted), seed)
            fresh = self.ledger.suggest(chosen, self.budget, self._model_name, seed)
            accepted |= fresh
            if len(accepted) == n or len(fresh) == len(chosen):
                break  # else another process was faster with some of them: choose again for the rest
        frame = pd.DataFrame(list(accepted.values()), pd.Index(list(accepted), name="suggestion"), list(SUGGESTED))
        return SuggestionTable(self._named(frame))

    def _named(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with names of candidates instead of their positions in column ``row``."""
        return frame.assign(row=self.pool.index[frame["row"].astype(int)]) if len(frame) else frame

    def drop(self, suggestions: int | Sequence[int]) -> None:
        """Drop suggestions that will not be measured: they may be suggested again.

        Raises a ValueError for the number of one that is not open; then none is dropped.
        """
        self.ledger.drop(np.atleast_1d(suggestions).tolist())

    def _choose(self, n: int, seed: int) -> list[dict[str, Any]]:
        """Up to ``n`` suggestions: by a model once every task has enough labels, else spread over the pool."""
        known = self.labels()
        costs = np.array([t.cost for t in self.tasks])
        open_ = self.ledger.table("suggestions").query("state == 'open'")
        possible = known.isna().to_numpy() & self.allowed[:, None]
        failed = self.ledger.table("results").query("state == 'failed'")
        closed = [pair for of in (open_, failed) for pair in zip(of["row"], of["task"], strict=True)]
        for row, task in closed:
            possible[row, self.names.index(task)] = False
        used = sorted({*np.flatnonzero(known.notna().any(axis=1)).tolist(), *(int(row) for row, _ in closed)})
        left = math.inf if self.budget is None else self.budget - self.spent - float(open_["cost"].sum())
        utility = -math.inf if (best := self.best()) is None else float(best["utility"])
        pool = Pool(candidates(self.pool), known, possible, costs, self.names)
        asked = [(s.row, self.names.index(s.task)) for s in open_.itertuples()]
        under_way, failures = [at for at in asked if pd.isna(known.iloc[at])], failed["row"].astype(int).tolist()
        choice = Choice(pool, self.goal, utility, left, used, self.limits.permits, under_way, failures, self.seed)
        needed, counts = self.goal.needs(self.names), known.notna().sum()
        if few := [t for t in self.names if counts[t] < (FIRST if t in needed else FIRST_SOURCE)]:
            return [first_suggestion(row, self.tasks[t]) for row, t, _ in first_batch(choice, few, n, seed)]
        model = self._fit()
        with progress("suggestions", total=n, verbose=self.verbose) as update:
            choice.best = best_or_expected(model, choice)
            picks = choose_batch(model, choice, n, self.acquisition, seed, lambda i: update(completed=i))
        return [suggestion(*pick, self.tasks, model, choice) for pick in picks]

    def _fit(self) -> BayesianModel:
        """A copy of the model, fitted to all results."""
        X, labels, spread = training_table(self.results(), self.tasks, self.pool)
        model: BayesianModel = clone(self.model).set_params(tasks=self.tasks, verbose=self.verbose)
        return model.fit(X, labels, Y_std=spread)

    # --------------------------------------------------------------------------------------------------------- tell

    def tell(self, results: pd.DataFrame) -> None:
        """Add results; when this returns all of them are on disk or, where one is refused, none.

        The result of a suggestion (its number is a column or the index) that was told before is not added again.

        Parameters
        ----------
        results : DataFrame
            One row per measurement, columns ``row``, ``task``, ``value`` and, where known, ``se`` (standard error) and
            ``cost`` (else the task's): what ``suggest`` returned, with ``value`` added.  The word ``failed`` as the value
            of a number is a measurement that failed: it is paid for and not suggested again.  Or a table with the
            candidates' names as index and one column per task.

        Raises
        ------
        ValueError
            For a row that is not in the pool, an unknown task, a value that the task cannot have, or another result of a
            suggestion that has one, naming it.
        """
        entries = ledger_entries(results, self.pool.index, self.tasks, self.results("known"))
        if again := len(entries) - self.ledger.record(entries):
            warnings.warn(f"{again} of {len(entries)} results were told before and are not added again", stacklevel=2)

    def withdraw(self, results: int | Sequence[int]) -> None:
        """Withdraw results that were told by mistake, by their ``id`` in :meth:`results`: their costs are given back.

        Their suggestions are open again.  A withdrawn result stays in the ledger and counts nowhere.

        Raises
        ------
        ValueError
            For the number of no result, or of one that is withdrawn already; then none is withdrawn.
        """
        self.ledger.withdraw(np.atleast_1d(results).tolist())
