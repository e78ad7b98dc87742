"""Simulated campaigns on a table whose answers are known: what would each policy have found, at what cost?

Every policy of ``policies.py`` starts from the same rows for each seed; finished campaigns are kept in a folder, by a
key of all that they depend on, so that an interrupted simulation continues.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import pandas as pd

from bayestl import streams
from bayestl.active.acquisition.batch import Choice
from bayestl.active.acquisition.pool import Pool, candidates
from bayestl.active.goals import Between, Goal, Learn, Maximise, Minimise, Reach
from bayestl.active.policies import Evidence, Policy
from bayestl.active.results import known_quantity
from bayestl.active.words import in_words, unit_of
from bayestl.files.output import write_output
from bayestl.parallel import in_parallel
from bayestl.streams import spawn
from bayestl.table.columns import decide, label_frame, read_features
from bayestl.table.groups import refuse_other_rows
from bayestl.table.task import Task, labelled, match_tasks
from bayestl.version import __version__


@dataclass
class Simulation:
    """Result of :func:`simulate`.

    Attributes
    ----------
    records : DataFrame
        One row per policy, seed and step: ``cost`` so far, ``best`` utility so far, ``regret`` (utility of the best row
        of the pool minus that; NaN for goals without one), ``found`` (rows of the pool within the goal's range so far),
        ``measured``; for ``Learn``, ``error``: root mean square error over the pool of the model that decided.
    goal : Goal
        The goal of all campaigns.
    unit : str
        The unit of the quantity, if its tasks have one.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> X = pd.DataFrame({"x": np.linspace(0, 1, 12)})
    >>> Y, goal = pd.DataFrame({"y": np.sin(5 * X["x"])}), btl.active.Maximise("y")
    >>> policies = {"random": btl.active.Random()}
    >>> simulation = btl.active.simulate(X, Y, goal, policies, start=2, budget=3, seeds=[0, 1], verbose=False)
    >>> simulation.criterion
    'regret'
    """

    records: pd.DataFrame
    goal: Goal
    unit: str = ""

    @property
    def criterion(self) -> str:
        """The column of the records by which the goal is judged: ``found``, ``error`` or ``regret``."""
        return "found" if isinstance(self.goal, Between) else "error" if isinstance(self.goal, Learn) else "regret"

    def has_unit(self, column: str) -> bool:
        """Whether a column of the records is in the unit of the quantity."""
        return column == "error" or (
            column in ("regret", "best") and isinstance(self.goal, Maximise | Minimise | Reach)
        )

    def at_cost(self, cost: float, column: str = "found") -> pd.DataFrame:
        """Values of a column when ``cost`` was spent: a row per seed, a column per policy."""
        before = self.records[self.records["cost"] <= cost + 1e-9]
        return before.groupby(["policy", "seed"], sort=False)[column].last().unstack("policy")

    def summary(self, cost: float | None = None) -> pd.DataFrame:
        """Criterion of each policy, mean over seeds and standard error, at a cost (default: one that all reached)."""
        if cost is None:
            cost = float(self.records.groupby(["policy", "seed"])["cost"].max().min())
        column = self.criterion
        wide = self.at_cost(cost, column)
        summary = pd.DataFrame({column: wide.mean(), "se": wide.sem()})
        summary.attrs["cost"] = cost
        return summary

    def __str__(self) -> str:
        table, column = self.summary(), self.criterion
        shown = table.rename(columns={column: labelled(column, self.unit)}) if self.has_unit(column) else table
        return f"{in_words(self.goal, self.unit)}, at cost {table.attrs['cost']:g}:\n{shown.round(3).to_string()}"


def simulate(
    X: pd.DataFrame,
    Y: pd.DataFrame,
    goal: Goal,
    policies: Mapping[str, Policy],
    tasks: Sequence[Task] | None = None,
    start: int | Sequence[int] = 10,
    known: Sequence[str] = (),
    further: tuple[pd.DataFrame, pd.DataFrame] | None = None,
    budget: float = 50.0,
    batch: int = 1,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    folder: str | Path | None = None,
    n_jobs: int | None = None,
    verbose: bool = True,
) -> Simulation:
    """Simulate campaigns on a table with known answers.

    Parameters
    ----------
    X, Y : DataFrame
        The pool and its labels; only labels in the table can be measured.
    goal : Goal
        What the campaigns are after.
    policies : mapping of str to Policy
        The policies by name: :class:`~bayestl.active.Random`, :class:`~bayestl.active.ByModel`, or others.
    tasks : sequence of Task, optional
        The tasks with their costs; by default every measurement costs one.
    start : int or sequence of int
        Rows whose labels of the quantity are known at the start, at no cost, and those of tasks that would have none: a
        number, drawn for each seed, or positions.
    known : sequence of str
        Tasks whose labels are known for the whole pool (a database of calculations).
    further : (X, Y), optional
        Labelled rows that are not candidates: every policy has them from the start.
    budget : float
        Cost after which a campaign ends.
    batch : int
        Measurements at a time.
    seeds : sequence of int
        Seeds of the campaigns of each policy.
    folder : path, optional
        Folder for the finished campaigns, which are not played again: an interrupted simulation continues.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.

    Returns
    -------
    Simulation
        The records of all campaigns.

    Raises
    ------
    ValueError
        For a goal that does not fit the tasks, no policies, or a start that the pool does not have.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> from bayestl.active import ByModel, Maximise, Random, simulate
    >>> X = pd.DataFrame({"x": np.linspace(0, 1, 40)})
    >>> Y = pd.DataFrame({"y": np.sin(5 * X["x"])})
    >>> policies = {"random": Random(), "gp": ByModel(btl.IndependentGP(hyperparameters="map", n_starts=1))}
    >>> simulation = simulate(X, Y, Maximise("y"), policies, start=3, budget=6, seeds=[0, 1], verbose=False)
    >>> bool(simulation.summary().loc["gp", "regret"] < 0.01)
    True
    """
    if not isinstance(goal, Goal):
        raise ValueError(f"goal must be one of bayestl.active, such as Maximise('measured'), got {goal!r}")
    if not isinstance(seeds, Iterable) or not (seeds := list(seeds)):
        raise ValueError(f"seeds must be a list of seeds, such as range(5), got {seeds!r}")
    frame = label_frame(Y, len(X))
    chosen = [decide(t, frame[t.name]) for t in match_tasks(list(frame.columns), tasks)]
    goal.check([t.name for t in chosen])
    if not isinstance(policies, Mapping):
        raise ValueError(
            f"policies must be a dict of names and policies, such as {{'random': Random()}}, got {policies!r}"
        )
    if wrong := [policy for policy in policies.values() if not isinstance(policy, Policy)]:
        raise ValueError(f"policies holds {wrong[0]!r}, which is no policy: Random() and ByModel(model) are some")
    if not policies:
        raise ValueError("no policies to simulate")
    if unknown := [k for k in known if k not in frame]:
        raise ValueError(f"known names {unknown[0]!r}, which is no task; the tasks are {list(frame.columns)}")
    _, _, index, _ = read_features(X)  # refuses what no model takes, before the first campaign
    refuse_other_rows(index, Y, "Y")
    _check_numbers(start, len(X), budget, batch)
    if further is not None:
        _check_further(further, X, frame)
    setting = _Setting(X, frame, goal, chosen, start, tuple(known), further, float(budget), int(batch))
    home = None if folder is None else Path(folder)
    jobs = [(setting, name, policy, int(seed)) for seed in seeds for name, policy in policies.items()]
    files = [None if home is None else home / f"{s.key(name, policy, seed)}.csv" for s, name, policy, seed in jobs]
    frames = {k: pd.read_csv(file) for k, file in enumerate(files) if file is not None and file.is_file()}
    left = [k for k in range(len(files)) if k not in frames]
    played = in_parallel(_campaign, [jobs[k] for k in left], n_jobs, "campaigns", verbose)
    for k, records in zip(left, played, strict=True):
        frames[k] = records
        if (file := files[k]) is not None:
            write_output(file, records.to_csv(index=False))
    return Simulation(pd.concat([frames[k] for k in range(len(files))], ignore_index=True), goal, unit_of(goal, chosen))


def _check_numbers(start: Any, n: int, budget: Any, batch: Any) -> None:
    """Refuse what a pool of ``n`` rows cannot have."""
    if not budget > 0:
        raise ValueError(f"budget must be a positive number, got {budget!r}")
    if isinstance(batch, bool) or not isinstance(batch, int | np.integer) or batch < 1:
        raise ValueError(f"batch must be a positive integer, got {batch!r}")
    rows = [start] if np.ndim(start) == 0 else list(start)
    if any(isinstance(k, bool | np.bool_) or not isinstance(k, int | np.integer) or k < 0 for k in rows):
        raise ValueError(f"start must be a number of rows or a list of their positions, from 0 on, got {start!r}")
    if np.ndim(start) == 0 and start > n:
        raise ValueError(f"start={start!r} does not fit a pool of {n} rows with {n} known answers")


def _check_further(further: Any, X: Any, Y: pd.DataFrame) -> None:
    """Refuse further rows that have other columns than the pool, or labels of other rows."""
    features, labels = further
    if lacking := [c for c in X.columns if c not in features]:
        raise ValueError(f"further: the features lack the column {lacking[0]!r} of the pool")
    if unknown := [c for c in labels.columns if c not in Y]:
        raise ValueError(
            f"further: the labels have the column {unknown[0]!r}, which is no task; the tasks are {list(Y)}"
        )
    label_frame(labels, len(features), "further")
    refuse_other_rows(features.index, labels, "further")


@dataclass(frozen=True)
class _Setting:
    """The arguments of :func:`simulate` that all its campaigns share."""

    X: pd.DataFrame
    Y: pd.DataFrame
    goal: Goal
    tasks: list[Task]
    start: int | Sequence[int]
    known: tuple[str, ...]
    further: tuple[pd.DataFrame, pd.DataFrame] | None
    budget: float
    batch: int

    def key(self, name: str, policy: Policy, seed: int) -> str:
        """A digest of all that a campaign depends on, the name of its file."""
        tables = (self.X, self.Y, *(self.further or ()))
        dependencies = [
            __version__,
            name,
            policy.document(),
            seed,
            self.goal.document(),
            _described(self.goal.function),
            [list(map(str, table)) for table in tables],
            repr(self.tasks),
            repr(self.start),
            self.known,
            self.budget,
            self.batch,
        ]
        digest = hashlib.sha256(json.dumps(dependencies).encode())
        for table in tables:
            digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
        return digest.hexdigest()[:24]


def _described(value: Any, within: tuple[FunctionType, ...] = ()) -> Any:
    """What a function of a goal computes, as a JSON value: its instructions, and the values that it takes from elsewhere."""
    if not isinstance(value, FunctionType):
        return repr(value)
    if value in within:  # it calls itself
        return within.index(value)
    elsewhere, within = inspect.getclosurevars(value), (*within, value)
    named = {name: _described(v, within) for name, v in {**elsewhere.globals, **elsewhere.nonlocals}.items()}
    return [_instructions(value.__code__), named, repr(value.__defaults__), repr(value.__kwdefaults__)]


def _instructions(code: CodeType) -> list[Any]:
    constants = [_instructions(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), constants]


def _campaign(setting: _Setting, name: str, policy: Policy, seed: int) -> pd.DataFrame:
    """The records of one campaign, step by step."""
    goal, tasks, truth = setting.goal, setting.tasks, setting.Y
    names = [t.name for t in tasks]
    costs = np.array([t.cost for t in tasks])
    needed = goal.needs(names)
    quantity = _quantities(setting)
    utility = np.where(np.isnan(quantity), np.nan, goal.utility(quantity))
    reachable = np.flatnonzero(~np.isnan(utility))
    X = candidates(setting.X)
    generator = streams.generator(seed, "start")
    first = setting.start
    rows = generator.permutation(reachable)[:first] if isinstance(first, int | np.integer) else np.asarray(list(first))
    if len(rows) == 0 or rows.max(initial=0) >= len(truth):
        raise ValueError(
            f"start={first!r} does not fit a pool of {len(truth)} rows with {len(reachable)} known answers"
        )
    shown = truth.where(np.zeros(truth.shape, dtype=bool))
    for task in setting.known:
        shown[task] = truth[task]
    elsewhere = [] if setting.further is None else setting.further[1].columns
    for task in [*needed, *(name for name in names if name not in (*needed, *setting.known, *elsewhere))]:
        shown.iloc[rows, names.index(task)] = truth[task].iloc[rows].to_numpy()  # by position: names may repeat
    spent, at_start = 0.0, set(rows.tolist())
    records = []
    step = 0
    while True:
        complete = shown[needed].notna().all(axis=1).to_numpy()
        measured = complete.copy()
        measured[list(at_start)] = False
        best = float(np.nanmax(np.where(complete, utility, np.nan))) if complete.any() else -math.inf
        regret = float(np.nanmax(utility)) - best
        hits = int(np.nansum(np.where(measured, utility, 0.0) > 0)) if isinstance(goal, Between) else 0
        progress = {"cost": spent, "best": best, "regret": regret, "found": hits, "measured": int(measured.sum())}
        records.append({"policy": name, "seed": seed, "step": step, **progress})
        possible = (shown.isna() & truth.notna()).to_numpy()
        over = spent >= setting.budget - 1e-9 or not possible[:, [names.index(t) for t in needed]].any()
        if over and not isinstance(goal, Learn):
            break
        pool = Pool(X, shown, possible, costs, names)
        used = np.flatnonzero(shown.notna().any(axis=1).to_numpy()).tolist()
        evidence = Evidence(X, shown, tasks)
        if setting.further is not None:
            X_further, labels = setting.further
            evidence = Evidence(
                pd.concat([X, candidates(X_further, "further row")]),
                pd.concat([shown, labels.reindex(columns=names)]),
                tasks,
            )
        choice = Choice(pool, goal, best, setting.budget - spent, used, seed=seed)
        decision = policy.choose(choice, evidence, setting.batch, spawn(seed, "choices", step))
        if isinstance(goal, Learn):
            errors = np.nan if decision.predicted is None else (decision.predicted() - quantity)[reachable]
            records[-1]["error"] = float(np.sqrt(np.mean(errors**2)))
        if over or not decision.picks:
            break
        for row, t in decision.picks:
            shown.iloc[row, t] = truth.iloc[row, t]
            spent += float(costs[t])
        step += 1
    return pd.DataFrame(records)


def _quantities(setting: _Setting) -> np.ndarray:
    """The quantity of each row (n,), NaN where a label that it needs is missing."""
    labels = setting.Y.reset_index(drop=True)  # names may repeat
    return known_quantity(labels, setting.tasks, setting.goal).reindex(labels.index).to_numpy(dtype=float)
