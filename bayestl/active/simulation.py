"""A campaign played again on a table whose answers are known: what would each policy have found, at what cost?"""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from bayestl.active.acquisition import Pool, given
from bayestl.active.batch import Choice, choose_batch
from bayestl.active.goals import Between, Goal, Learn
from bayestl.columns import decide, encode, label_frame
from bayestl.parallel import in_parallel
from bayestl.tasks import Task, match_tasks


@dataclass(frozen=True)
class Evidence:
    """All that is known: features and labels (n, T) of the pool's rows, then of further ones, and what the tasks are."""

    X: pd.DataFrame
    labels: pd.DataFrame
    tasks: Sequence[Task]


@dataclass(frozen=True)
class Decision:
    """What a policy decided: rows of the pool and positions of tasks, and, where it has a model, what that predicts."""

    picks: list[tuple[int, int]]
    predicted: Callable[[], np.ndarray] | None = None
    """The quantity at all rows of the pool, (n,), before the measurements."""


class Policy(ABC):
    """How a campaign decides: a choice and evidence in, rows and tasks out."""

    @abstractmethod
    def choose(self, choice: Choice, known: Evidence, n: int, seed: int) -> Decision:
        """Up to ``n`` measurements."""


@dataclass(frozen=True)
class Random(Policy):
    """Any row that lacks a label of the quantity; ``model`` is what learns from them, if anything does."""

    model: Any = None

    def choose(self, choice: Choice, known: Evidence, n: int, seed: int) -> Decision:
        pool = choice.pool
        predicted = (
            None if self.model is None else _prediction(_fitted(self.model, known, pool.tasks), pool, choice.goal)
        )
        generator = np.random.default_rng(seed)
        needed = [choice.pool.tasks.index(t) for t in choice.goal.needs(choice.pool.tasks)]
        out: list[tuple[int, int]] = []
        for row in generator.permutation(len(choice.pool.X)):
            for t in needed:
                if len(out) < n and choice.free(np.array([row]))[0, t]:
                    out.append((int(row), t))
                    choice.take(int(row), t)
        return Decision(out, predicted)


@dataclass(frozen=True)
class ByModel(Policy):
    """As a :class:`~bayestl.active.Campaign` with this model and acquisition.

    ``alone``: the model is given the tasks of the quantity only, the others are not measured (a policy without transfer).
    """

    model: Any
    acquisition: str = "auto"
    alone: bool = False

    def choose(self, choice: Choice, known: Evidence, n: int, seed: int) -> Decision:
        every = names = choice.pool.tasks
        if self.alone:
            names = choice.goal.needs(names)
            kept = [choice.pool.tasks.index(t) for t in names]
            pool = choice.pool
            choice.pool = Pool(pool.X, pool.known[names], pool.possible[:, kept], pool.costs[kept], names)
        model = _fitted(self.model, known, names)
        predicted = _prediction(model, choice.pool, choice.goal)
        picks = choose_batch(model, choice, n, self.acquisition, seed)
        return Decision([(row, every.index(names[t])) for row, t, _ in picks], predicted)


def _fitted(model: Any, known: Evidence, names: Sequence[str]) -> Any:
    """A copy of a model, fitted to the labels of some tasks."""
    labels = known.labels[list(names)].reset_index(drop=True)
    there = labels.notna().any(axis=1)
    own = clone(model).set_params(tasks=[t for t in known.tasks if t.name in names], verbose=False)
    return own.fit(known.X.reset_index(drop=True)[there].reset_index(drop=True), labels[there].reset_index(drop=True))


def _prediction(model: Any, pool: Pool, goal: Goal) -> Callable[[], np.ndarray]:
    """Mean of the quantity at the rows of a pool, made when it is asked for."""
    known = pool.known.copy()
    return lambda: goal.marginals(model.posterior(pool.X, observed=given(model, known))).mean()


@dataclass(frozen=True)
class Lolo(Policy):
    """The paper's learner, one forest of the target with jackknife spreads, under the same promise; needs lolopy and Java."""

    n_trees: int = 100

    def choose(self, choice: Choice, known: Evidence, n: int, seed: int) -> Decision:
        from bayestl.studies.peers import LoloForests

        (target,) = choice.goal.needs(choice.pool.tasks)
        t = choice.pool.tasks.index(target)
        sources = [name for name in choice.pool.tasks if name != target]
        inputs = known.X.assign(**{f"label {s}": known.labels[s].to_numpy() for s in sources})
        inputs = inputs.fillna(inputs.median())
        forest = LoloForests(self.n_trees, seed % 10_000).fit(inputs, known.labels[[target]])
        promise = choice.goal.promise(forest.posterior(inputs.iloc[: len(choice.pool.X)]).marginal(target), choice.best)
        free = choice.free(np.arange(len(choice.pool.X)))[:, t]
        order = np.argsort(-np.where(free, promise, -np.inf), kind="stable")[:n]
        return Decision([(int(row), t) for row in order if free[row]])


@dataclass
class Simulation:
    """Result of :func:`simulate`.

    Attributes
    ----------
    records : DataFrame
        A row a policy, seed and step: ``cost`` so far, ``best`` utility so far, ``regret`` (utility of the best row of the pool
        less that; NaN for goals without one), ``found`` (rows of the pool within the goal's range so far), ``measured``; for
        ``Learn``, ``error``: root mean square error over the pool of the model that decided.
    """

    records: pd.DataFrame
    goal: Goal

    @property
    def _column(self) -> str:
        """What the goal is judged by."""
        return "found" if isinstance(self.goal, Between) else "error" if isinstance(self.goal, Learn) else "regret"

    def at_cost(self, cost: float, column: str = "found") -> pd.DataFrame:
        """Value (policy by seed) of a column when ``cost`` was spent."""
        before = self.records[self.records["cost"] <= cost + 1e-9]
        return before.groupby(["policy", "seed"], sort=False)[column].last().unstack("policy")

    def summary(self, cost: float | None = None) -> pd.DataFrame:
        """Mean over seeds with its standard error, at a cost (default: the least that all policies reached)."""
        if cost is None:
            cost = float(self.records.groupby(["policy", "seed"])["cost"].max().min())
        column = self._column
        wide = self.at_cost(cost, column)
        out = pd.DataFrame({column: wide.mean(), "se": wide.sem()})
        out.attrs["cost"] = cost
        return out

    def __str__(self) -> str:
        table = self.summary()
        return f"{self.goal.words}, at cost {table.attrs['cost']:g}:\n{table.round(3).to_string()}"

    def plot(self, column: str | None = None, ax: Any = None) -> Any:
        """Mean against cost, a line a policy, with a band of one standard error over seeds."""
        from bayestl.plots import COLOURS, new_axes

        ax = new_axes(ax, (5.0, 3.6))
        column = column or self._column
        last = float(self.records.groupby(["policy", "seed"])["cost"].max().min())
        grid = np.linspace(0.0, last, 60)
        told = self.records[self.records[column].notna()]
        for i, policy in enumerate(dict.fromkeys(told["policy"])):
            own = told[told["policy"] == policy]
            curves = []
            for _, part in own.groupby("seed"):
                at = np.searchsorted(part["cost"].to_numpy(), grid + 1e-9, side="right") - 1
                curves.append(np.where(at >= 0, part[column].to_numpy()[np.maximum(at, 0)], np.nan))
            mean = np.nanmean(curves, axis=0)
            se = np.nanstd(curves, axis=0) / math.sqrt(len(curves))
            colour = COLOURS[i % len(COLOURS)]
            ax.fill_between(grid, mean - se, mean + se, color=colour, alpha=0.2, lw=0)
            ax.plot(grid, mean, color=colour, label=policy)
        ax.set_xlabel("cost")
        ax.set_ylabel(
            {"found": "rows found", "regret": "regret", "best": "best so far", "error": "error over the pool"}.get(
                column, column
            )
        )
        ax.legend(frameon=False, fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
        return ax


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
    """Play campaigns on a table with known answers.

    Parameters
    ----------
    X, Y : DataFrame
        The pool and its labels; only labels that are there can be measured.
    goal : Goal
    policies : mapping of str to Policy
        :class:`Random`, :class:`ByModel`, :class:`Lolo`.
    tasks : sequence of Task, optional
        With their costs; default: one each.
    start : int or sequence of int
        Rows whose labels of the quantity are known at the start, drawn anew for each seed, or given by position; free of cost.
    known : sequence of str
        Tasks whose labels are known of the whole pool (a database of calculations).
    further : (X, Y), optional
        Labelled rows that are not candidates: every policy has them from the start.
    budget : float
        Cost after which a campaign ends.
    batch : int
        Measurements at a time.
    seeds : sequence of int
    folder : path, optional
        Each finished campaign is kept there, and not played again; an interrupted simulation goes on.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.

    Raises
    ------
    ValueError
        For a goal that does not fit the tasks, no policies, or a start that the pool does not have.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> from bayestl.active import Maximise, simulate
    >>> from bayestl.active.simulation import ByModel, Random
    >>> X = pd.DataFrame({"x": np.linspace(0, 1, 40)})
    >>> Y = pd.DataFrame({"y": np.sin(5 * X["x"])})
    >>> policies = {"random": Random(), "gp": ByModel(btl.IndependentGP(n_starts=1))}
    >>> found = simulate(X, Y, Maximise("y"), policies, start=3, budget=6, seeds=[0, 1], verbose=False)
    >>> bool(found.summary().loc["gp", "regret"] < 0.01)
    True
    """
    frame = label_frame(Y, len(X))
    chosen = [decide(t, frame[t.name]) for t in match_tasks(list(frame.columns), tasks)]
    goal.check([t.name for t in chosen])
    if not policies:
        raise ValueError("no policies to simulate")
    if unknown := [k for k in known if k not in frame]:
        raise ValueError(f"known names {unknown[0]!r}, which is no task; the tasks are {list(frame.columns)}")
    setting = _Setting(X, frame, goal, chosen, start, tuple(known), further, float(budget), int(batch))
    home = None if folder is None else Path(folder)
    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
    jobs = [(setting, name, policy, int(seed), home) for seed in seeds for name, policy in policies.items()]
    frames = list(in_parallel(_play, jobs, n_jobs, "campaigns", verbose))
    return Simulation(pd.concat(frames, ignore_index=True), goal)


@dataclass(frozen=True)
class _Setting:
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
        """Of a campaign, for its file: all that it depends on."""
        what = [
            name,
            repr(policy),
            seed,
            self.goal.document(),
            repr(self.tasks),
            repr(self.start),
            self.known,
            self.budget,
            self.batch,
        ]
        digest = hashlib.sha256(json.dumps(what).encode())
        for table in (self.X, self.Y, *(self.further or ())):
            digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
        return digest.hexdigest()[:24]


def _play(setting: _Setting, name: str, policy: Policy, seed: int, home: Path | None) -> pd.DataFrame:
    """One campaign, or what is left of it in the folder."""
    file = None if home is None else home / f"{setting.key(name, policy, seed)}.csv"
    if file is not None and file.is_file():
        return pd.read_csv(file)
    records = _campaign(setting, name, policy, seed)
    if file is not None:
        scratch = file.with_suffix(f".{seed}.part")
        records.to_csv(scratch, index=False)
        scratch.replace(file)
    return records


def _campaign(setting: _Setting, name: str, policy: Policy, seed: int) -> pd.DataFrame:
    goal, tasks, truth = setting.goal, setting.tasks, setting.Y
    names = [t.name for t in tasks]
    costs = np.array([t.cost for t in tasks])
    needed = goal.needs(names)
    quantity = _quantities(setting)
    utility = np.where(np.isnan(quantity), np.nan, goal.utility(quantity))
    reachable = np.flatnonzero(~np.isnan(utility))
    generator = np.random.default_rng([seed, 17])
    first = setting.start
    rows = generator.permutation(reachable)[:first] if isinstance(first, int | np.integer) else np.asarray(list(first))
    if len(rows) == 0 or rows.max(initial=0) >= len(truth):
        raise ValueError(
            f"start={first!r} does not fit a pool of {len(truth)} rows with {len(reachable)} known answers"
        )
    shown = truth.where(np.zeros(truth.shape, dtype=bool))
    for task in setting.known:
        shown[task] = truth[task]
    for task in needed:
        shown.loc[shown.index[rows], task] = truth.loc[truth.index[rows], task]
    spent, at_start = 0.0, set(rows.tolist())
    records = []
    step = 0
    while True:
        complete = shown[needed].notna().all(axis=1).to_numpy()
        mine = complete.copy()
        mine[list(at_start)] = False
        best = float(np.nanmax(np.where(complete, utility, np.nan))) if complete.any() else -math.inf
        regret = float(np.nanmax(utility)) - best
        found = int(np.nansum(np.where(mine, utility, 0.0) > 0)) if isinstance(goal, Between) else 0
        told = {"cost": spent, "best": best, "regret": regret, "found": found, "measured": int(mine.sum())}
        records.append({"policy": name, "seed": seed, "step": step, **told})
        possible = (shown.isna() & truth.notna()).to_numpy()
        over = spent >= setting.budget - 1e-9 or not possible[:, [names.index(t) for t in needed]].any()
        if over and not isinstance(goal, Learn):
            break
        pool = Pool(setting.X, shown, possible, costs, names)
        used = np.flatnonzero(shown.notna().any(axis=1).to_numpy()).tolist()
        evidence = Evidence(setting.X, shown, tasks)
        if setting.further is not None:
            X, labels = setting.further
            evidence = Evidence(pd.concat([setting.X, X]), pd.concat([shown, labels.reindex(columns=names)]), tasks)
        choice = Choice(pool, goal, best, setting.budget - spent, used)
        decision = policy.choose(choice, evidence, setting.batch, int(generator.integers(1 << 31)))
        if isinstance(goal, Learn):
            wrong = np.nan if decision.predicted is None else (decision.predicted() - quantity)[reachable]
            records[-1]["error"] = float(np.sqrt(np.mean(wrong**2)))
        if over or not decision.picks:
            break
        for row, t in decision.picks:
            shown.loc[shown.index[row], names[t]] = truth.loc[truth.index[row], names[t]]
            spent += float(costs[t])
        step += 1
    return pd.DataFrame(records)


def _quantities(setting: _Setting) -> np.ndarray:
    """Each row's quantity, NaN where a label that it needs is missing."""
    names = [t.name for t in setting.tasks]
    numbers = {t.name: encode(setting.Y[t.name], t)[0] for t in setting.tasks}
    value = np.asarray(setting.goal.value(numbers, names), dtype=float)
    there = setting.Y[setting.goal.needs(names)].notna().all(axis=1).to_numpy()
    return np.where(there, value, np.nan)
