"""A campaign: candidates, measurements with costs, a goal.  It says what to measure next, takes results, and forgets nothing.

Everything that it is told or says is in its ledger before the call returns (``ledger.py``); a campaign is that file, and
``Campaign.open`` goes on with it exactly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from bayestl.active.acquisition.pool import Pool, given
from bayestl.active.acquisition.rates import ACQUISITIONS
from bayestl.active.batch import Choice, choose_batch, first_batch
from bayestl.active.constraints import ElementLimits, check_limits
from bayestl.active.goals import Function, Goal, from_document
from bayestl.active.ledger import SUGGESTED, Ledger, LedgerError
from bayestl.active.results import label_table, long_form, number, progress_table, training_table
from bayestl.files.documents import task_from_document, task_to_document
from bayestl.files.models import model_to_document
from bayestl.models.base import BayesianModel
from bayestl.models.catalogue import model_from_document
from bayestl.progress import progress
from bayestl.table.columns import decide, encode, read_features
from bayestl.table.task import Task

FIRST = 5
"""Labels of each task that the quantity needs, before a model decides."""
FIRST_SOURCE = 2
"""Labels of each other task."""
ATTEMPTS = 5
"""At a batch, where another process takes what was chosen meanwhile."""
LEVEL = 0.9
"""Of the interval that is told with a suggestion."""


class Campaign:
    """What to measure next in a pool of candidates.

    Parameters
    ----------
    pool : DataFrame, shape (n, d)
        Numeric features of the candidates; its index names them (unique), in ``tell`` too.
    tasks : sequence of Task
        What may be measured, with units, likelihoods and the cost of one measurement each.
    goal : Goal
        See :mod:`bayestl.active.goals`: ``Maximise("N2 - NO")``, ``Between("gap", 1.3, 1.5)``, ``Learn("gap")`` ...
    model : model
        Unfitted; it is fitted to all results before each suggestion.
    path : path
        Of the ledger, a new file.
    budget : float, optional
        Sum of costs that may be spent.
    acquisition : str
        ``"auto"``: the goal's own promise for its cost, cheap sources weighed by looking ahead; ``"knowledge-gradient"``;
        or BoTorch's ``"logei"``, ``"noisy-ei"``, ``"ucb"``, ``"thompson"``, ``"max-value-entropy"``.
    formulas : sequence of str, optional
        Of the candidates, for ``max_per_element``.
    allowed : array-like of bool, optional
        Which candidates may be suggested.
    max_per_element : mapping of str to int, optional
        How many candidates with an element may be measured at the most.
    seed : int
        Suggestions repeat exactly from it and the results.
    verbose : bool
        Progress on a terminal.

    Raises
    ------
    LedgerError
        If there is a file at ``path`` already.
    ValueError
        For a pool, task or goal that does not fit, naming it.

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
        seed: int = 0,
        verbose: bool = True,
    ) -> None:
        pool = _checked(pool)
        names = [t.name for t in tasks]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"tasks must have names of their own, got {names}")
        if acquisition not in ACQUISITIONS:
            raise ValueError(f"acquisition must be one of {ACQUISITIONS}, got {acquisition!r}")
        if budget is not None and not (isinstance(budget, int | float) and math.isfinite(budget) and budget > 0):
            raise ValueError(f"budget must be a positive number, got {budget!r}")
        if not isinstance(model, BayesianModel):
            raise ValueError(f"model must be a model of bayestl, got {type(model).__name__}")
        goal.check(names)
        for what, values in (("formulas", formulas), ("allowed", allowed)):
            if values is not None and len(values) != len(pool):
                raise ValueError(f"{what} has {len(values)} entries for {len(pool)} candidates")
        check_limits(max_per_element or {}, formulas)
        meta = {
            "tasks": [task_to_document(t) for t in tasks],
            "goal": goal.document(),
            "model": model_to_document(clone(model)),
            "budget": budget,
            "acquisition": acquisition,
            "allowed": None if allowed is None else [bool(v) for v in np.asarray(allowed)],
            "max_per_element": dict(max_per_element or {}),
            "seed": int(seed),
        }
        ledger = Ledger.create(path, meta, pool, None if formulas is None else [str(f) for f in formulas])
        self._load(ledger, goal.function, verbose)

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
            If there is no ledger of this version.
        ValueError
            If the Python function is missing.
        """
        own = cls.__new__(cls)
        own._load(Ledger(path), function, verbose)
        return own

    def _load(self, ledger: Ledger, function: Function | None, verbose: bool) -> None:
        meta = ledger.meta()
        try:
            self.goal = from_document(meta["goal"], function)
            self.tasks = [task_from_document(t) for t in meta["tasks"]]
            self.model = model_from_document(meta["model"])
        except KeyError as error:
            raise LedgerError(f"{ledger.path}: {error} is missing") from error
        self.ledger, self.verbose = ledger, verbose
        self.pool, self.formulas = ledger.pool()
        self.budget, self.acquisition, self.seed = meta["budget"], meta["acquisition"], meta["seed"]
        self._allowed = np.ones(len(self.pool), bool) if meta["allowed"] is None else np.array(meta["allowed"])
        self._limits = ElementLimits(meta["max_per_element"], self.formulas)
        self._model_name = str(meta["model"]["class"])

    def __repr__(self) -> str:
        results = self.results()
        return (
            f"Campaign({self.goal.words}; {len(self.pool)} candidates, {len(results)} results, "
            f"spent {results['cost'].sum():g}{'' if self.budget is None else f' of {self.budget:g}'})"
        )

    # -------------------------------------------------------------------------------------------------------- state

    @property
    def names(self) -> list[str]:
        """The tasks' names."""
        return [t.name for t in self.tasks]

    def results(self) -> pd.DataFrame:
        """Every result: ``row`` (its name), ``task``, ``value``, ``se``, ``cost``, ``time``, ``who``, ``suggestion``."""
        found = self._named(self.ledger.table("results"))
        found["value"] = [json.loads(v) for v in found["value"]]
        return found

    def suggestions(self, state: str | None = None) -> pd.DataFrame:
        """Every suggestion; ``state`` is ``"open"`` (not told yet), ``"done"`` or ``"dropped"``."""
        found = self._named(self.ledger.table("suggestions"))
        return found if state is None else found[found["state"] == state].reset_index(drop=True)

    @property
    def spent(self) -> float:
        """Sum of the costs of all results."""
        return float(self.ledger.table("results")["cost"].sum())

    def labels(self) -> pd.DataFrame:
        """What is known, (n, T) over the pool: the mean of repeated numbers, the last of repeated classes."""
        return label_table(self.results(), self.tasks, self.pool.index)

    def best(self) -> pd.Series | None:
        """The best row by its measured quantity: ``row``, ``value``, ``utility``; None before there is one."""
        known = self._quantity()
        if known.empty:
            return None
        worth = self.goal.utility(known.to_numpy())
        i = int(np.argmax(worth))
        return pd.Series({"row": known.index[i], "value": float(known.iloc[i]), "utility": float(worth[i])})

    def found(self) -> pd.Series:
        """The measured rows within the goal's range (``Between``), by their quantity."""
        known = self._quantity()
        return known[self.goal.utility(known.to_numpy()) > 0]

    def progress(self) -> pd.DataFrame:
        """The rows whose quantity is known, in the order in which it became so.

        Returns
        -------
        DataFrame
            ``cost`` spent by then, ``row``, ``value`` of the quantity (the mean of repeats), its ``utility``, ``best`` value so far.
        """
        return progress_table(self.results(), self._quantity(), self.goal, self.names)

    def _quantity(self) -> pd.Series:
        """The quantity of the rows that have all labels it needs."""
        labels = self.labels()
        complete = labels[self.goal.needs(self.names)].dropna().index
        if len(complete) == 0:
            return pd.Series(dtype=float)
        numbers = {}
        for task in self.tasks:
            column = labels.loc[complete, task.name]
            numbers[task.name] = encode(column, decide(task, column))[0] if column.notna().all() else column.to_numpy()
        value = self.goal.value(numbers, self.names)
        return pd.Series(np.asarray(value, dtype=float), complete, name=self.goal.quantity)

    # ------------------------------------------------------------------------------------------------------ suggest

    def suggest(self, n: int = 1) -> pd.DataFrame:
        """The next ``n`` measurements; they count as taken until they are told or dropped.

        Returns
        -------
        DataFrame
            ``row``, ``task``, ``score`` (of the acquisition, for its cost), ``cost``, ``predicted`` with its 90 % interval
            ``lower`` to ``upper`` (of a class the predicted one), ``reason`` in words; index ``suggestion``.  Fewer rows where
            the budget or the pool does not reach, none where nothing is left.

        Raises
        ------
        ValueError
            If ``n`` is not positive.
        """
        if not (isinstance(n, int | np.integer) and n >= 1):
            raise ValueError(f"n must be a positive integer, got {n!r}")
        kept: dict[int, Mapping[str, Any]] = {}
        for _ in range(ATTEMPTS):
            batch = len(self.ledger.table("suggestions"))
            seed = int(np.random.default_rng([self.seed, batch]).integers(1 << 31))
            chosen = self._choose(int(n) - len(kept), seed)
            fresh = self.ledger.suggest(chosen, self.budget, self._model_name, seed)
            kept |= fresh
            if len(kept) == n or len(fresh) == len(chosen):
                break  # else another process was faster with some of them: choose again for the rest
        out = pd.DataFrame(list(kept.values()), columns=list(SUGGESTED), index=pd.Index(list(kept), name="suggestion"))
        return self._named(out)

    def _named(self, frame: pd.DataFrame) -> pd.DataFrame:
        """With the candidates' names in the place of their positions, column ``row``."""
        return frame.assign(row=self.pool.index[frame["row"].astype(int)]) if len(frame) else frame

    def drop(self, suggestions: Sequence[int]) -> None:
        """Give back suggestions that will not be measured: their rows may be suggested again."""
        self.ledger.drop(suggestions)

    def _choose(self, n: int, seed: int) -> list[dict[str, Any]]:
        known = self.labels()
        costs = np.array([t.cost for t in self.tasks])
        open_ = self.ledger.table("suggestions").query("state == 'open'")
        possible = known.isna().to_numpy() & self._allowed[:, None]
        for row, task in zip(open_["row"], open_["task"], strict=True):
            possible[row, self.names.index(task)] = False
        used = sorted({int(r) for r in (*open_["row"], *np.flatnonzero(known.notna().any(axis=1).to_numpy()))})
        left = math.inf if self.budget is None else self.budget - self.spent - float(open_["cost"].sum())
        best = self.best()
        utility = -math.inf if best is None else float(best["utility"])
        choice = Choice(
            Pool(self.pool, known, possible, costs, self.names), self.goal, utility, left, used, self._limits.permits
        )
        needed, counts = self.goal.needs(self.names), known.notna().sum()
        if few := [t for t in self.names if counts[t] < (FIRST if t in needed else FIRST_SOURCE)]:
            return [self._described(row, t) for row, t, _ in first_batch(choice, few, n, seed)]
        model = self._fit()
        with progress("suggestions", total=n, verbose=self.verbose) as update:
            picks = choose_batch(model, choice, n, self.acquisition, seed, lambda i: update(completed=i))
        return [self._described(row, t, model, score, known) for row, t, score in picks]

    def _fit(self) -> BayesianModel:
        """The model, fitted to every result; repeated measurements are rows of their own."""
        X, labels, spread = training_table(self.results(), self.tasks, self.pool)
        own: BayesianModel = clone(self.model).set_params(tasks=self.tasks, verbose=self.verbose)
        return own.fit(X, labels, Y_std=spread)

    def _described(
        self, row: int, t: int, model: BayesianModel | None = None, score: float = math.nan, known: Any = None
    ) -> dict[str, Any]:
        """A suggestion, with what is predicted and why it was chosen."""
        task = self.tasks[t]
        out = {
            "row": row,
            "task": task.name,
            "score": None,
            "cost": float(task.cost),
            **dict.fromkeys(("predicted", "lower", "upper")),
        }
        if model is None:
            return out | {"reason": "first measurements: far from what is known"}
        post = model.posterior(self.pool.iloc[[row]], observed=given(model, known.iloc[[row]]))
        marginal = post.marginal(task.name)
        low, middle, high = (
            float(marginal.quantile(np.full(1, q))[0]) for q in (0.5 - LEVEL / 2, 0.5, 0.5 + LEVEL / 2)
        )
        quantity = self.goal.marginals(post)
        now_ = f"{float(quantity.mean()[0]):.4g} ± {float(quantity.std()[0]):.2g}"
        words = f"{self.goal.words}: {self.goal.quantity} predicted {now_}"
        if task.name not in self.goal.needs(self.names):
            words = f"for its cost {task.name} tells most of {self.goal.quantity}, now {now_}"
        return out | {"score": score, "predicted": middle, "lower": low, "upper": high, "reason": words}

    # --------------------------------------------------------------------------------------------------------- tell

    def tell(self, results: pd.DataFrame) -> None:
        """Add results; they are on disk when this returns, all of them or, where one is refused, none.

        Parameters
        ----------
        results : DataFrame
            A row a measurement, columns ``row``, ``task``, ``value`` and, where known, ``se`` (standard error) and ``cost``
            (else the task's); what ``suggest`` returned, with ``value`` added.  Or a table with the candidates' names as
            index and a column a task.

        Raises
        ------
        ValueError
            For a row that is not in the pool, an unknown task, or a value that the task cannot have, naming it.
        """
        long = long_form(results, self.pool.index, self.names)
        entries = []
        costs = {t.name: float(t.cost) for t in self.tasks}
        for task in self.tasks:
            own = long[long["task"] == task.name]
            if len(own):
                column = pd.Series(list(own["value"]), own["row"].astype(str), name=task.name)
                encode(column, decide(task, column), "the results")  # refuses, naming row and value
        positions = {name: i for i, name in enumerate(self.pool.index)}
        for i, entry in enumerate(long.itertuples(index=False)):
            se, cost = (number(getattr(entry, c, None), c, i) for c in ("se", "cost"))
            value = entry.value.item() if isinstance(entry.value, np.generic) else entry.value
            paid = costs[entry.task] if cost is None else cost
            entries.append((positions[entry.row], entry.task, json.dumps(value), se, paid))
        self.ledger.record(entries)


def _checked(pool: pd.DataFrame) -> pd.DataFrame:
    """The pool with numeric columns and unique names of candidates."""
    if not isinstance(pool, pd.DataFrame):
        raise ValueError(f"pool must be a DataFrame of features, got {type(pool).__name__}")
    x, names, index, _ = read_features(pool)
    if not index.is_unique:
        raise ValueError(f"the pool has the row {index[index.duplicated()][0]!r} twice: name each candidate once")
    return pd.DataFrame(x, columns=names, index=index)
