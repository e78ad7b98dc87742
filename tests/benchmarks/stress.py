"""Random tables that a user might bring, to random models: what is predicted, what is refused, and what goes wrong.

``python tests/benchmarks/stress.py --tables 10000 --seed 0 --jobs 2`` fits and asks one model per table, and counts the
outcomes.  An outcome is ``ok``; ``refused``: a ``ValueError`` in bayestl's own words; or a fault: another exception, a number that
is not finite, a spread that is not positive, quantiles that cross, a warning, more than a minute.  ``--only SEED`` repeats
one table and shows the error.  With ``--output FILE`` outcomes are kept, and a run goes on where an earlier one ended.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayestl as btl
from bayestl.parallel import in_parallel

PACKAGE = str(Path(btl.__file__).parent)
LIMIT = 60
"""Seconds after which a table is given up."""
FAST = {"hyperparameters": "map", "n_starts": 1, "verbose": False}
HINTS = ("Hurdle()", "have not converged")
"""Parts of bayestl's own warnings, which are no faults."""
SIZES = ("log-normal", "power-0.5", "power-0.75", "truncated-normal", "power-0.5-t", "power-0.75-t", "auto")
NUMBERS = {
    "gaussian": None,
    "student": btl.StudentT(),
    "censored": btl.Censored(),
    "log-normal": btl.LogNormal(),
    "power-normal": btl.PowerNormal(0.5),
    "power-student": btl.PowerStudentT(0.75),
    "positive": btl.Positive(),
    **{f"hurdle, {size}": btl.Hurdle(size) for size in SIZES},
}
NOT_GAUSSIAN = [name for name, likelihood in NUMBERS.items() if not isinstance(likelihood, btl.Gaussian | None)]
CLASSES = ("bool", "two", "three", "ordered")


class TooLong(Exception):
    """A table took more than :data:`LIMIT` seconds."""


class Fault(Exception):
    """A prediction that cannot be: its kind, and what it was of."""


@dataclass
class Case:
    """A table, a model and the rows to ask about, all from one seed."""

    seed: int
    words: list[str] = field(default_factory=list)
    """What is unusual about it."""

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        n = int(self.rng.choice([1, 2, 3, 5, 8, 12, 20, 30]))
        d = int(self.rng.choice([1, 2, 3, 6, 12]))
        self.n_new = int(self.rng.integers(1, 6))
        x = self._features(n + self.n_new, d)
        Y, tasks = self._labels(x, n)
        self.index = self._names(n + self.n_new)
        self.Y, self.tasks = Y.set_axis(self.index), tasks
        self.X: Any = pd.DataFrame(x, self.index, [f"f{j}" for j in range(d)])
        self.Y_std = self._errors()
        self.groups = self._groups(n + self.n_new)
        unfit = {"low rank"} if any(w in self.words for w in (*CLASSES, *NOT_GAUSSIAN)) else set()
        unfit |= {"latent", "low rank"} if self.groups is not None else set()
        self.n, self.name = n, str(self.rng.choice([m for m in self._models() if m not in unfit]))
        self.as_array = self._chance(0.2, "X is an array")

    def _chance(self, p: float, words: str) -> bool:
        happens = bool(self.rng.uniform() < p)
        self.words += [words] if happens else []
        return happens

    def _features(self, n: int, d: int) -> np.ndarray:
        rng = self.rng
        x = rng.standard_normal((n, d))
        if self._chance(0.2, "scales of features"):
            x = x * 10.0 ** rng.uniform(-12, 12, d) + rng.choice([0.0, 1.0, 1e6], d)
        if self._chance(0.2, "a constant feature"):
            x[:, rng.integers(d)] = rng.choice([0.0, 1.0, 1e9])
        if n > 2 and self._chance(0.3, "repeated rows"):
            x[rng.integers(n, size=n // 2)] = x[rng.integers(n)]
        if self._chance(0.15, "whole numbers"):
            x = np.round(x)
        if self._chance(0.1, "far rows to predict"):
            x[-1] = 1e3 * (1 + np.abs(x).max(axis=0))
        return x

    def _labels(self, x: np.ndarray, n: int) -> tuple[pd.DataFrame, list[btl.Task]]:
        rng, columns, tasks = self.rng, {}, []
        z = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
        shared = np.sin(z @ rng.standard_normal(z.shape[1]))
        for t in range(int(rng.integers(1, 4))):
            kind = str(rng.choice(CLASSES if rng.uniform() < 0.25 else list(NUMBERS)))
            kind = "gaussian" if rng.uniform() < 0.25 else kind
            self.words.append(kind)
            f = rng.choice([1.0, -1.0, 0.0]) * shared + 0.2 * rng.standard_normal(len(x))
            column = self._classes(kind, f) if kind in CLASSES else self._numbers(kind, f)
            missing = rng.uniform(size=len(x)) < rng.choice([0.0, 0.3, 0.8])
            if self._chance(0.1, "one label"):
                missing[:n] = np.arange(n) != rng.integers(n)
            kept = int(rng.integers(n))
            missing[kept] = False
            if kind.startswith("hurdle"):  # all zero is refused
                column[kept] = np.max(column) or 1.0
            if self._chance(0.02, "no label"):
                missing[:n] = True
            column[missing] = None if column.dtype == object else np.nan
            columns[f"y{t}"] = column
            if kind in NUMBERS and NUMBERS[kind] is not None:
                tasks.append(btl.Task(f"y{t}", NUMBERS[kind]))
            elif kind == "ordered":
                tasks.append(btl.Task(f"y{t}", btl.Ordinal(["a", "b", "c"])))
        return pd.DataFrame(columns), tasks

    def _numbers(self, kind: str, f: np.ndarray) -> np.ndarray:
        rng = self.rng
        y = f if kind in ("gaussian", "student", "censored") else np.exp(f)
        if self._chance(0.2, "scale of labels"):
            y = y * 10.0 ** rng.uniform(-12, 12)
        if kind in ("gaussian", "student", "censored") and self._chance(0.1, "origin of labels"):
            y = y + rng.choice([1e3, -1e6]) * np.abs(y).max()
        if self._chance(0.1, "equal labels"):
            y = np.full(len(y), y[0])
        if kind.startswith("hurdle"):
            y = np.where(rng.uniform(size=len(y)) < rng.choice([0.0, 0.3, 0.9]), 0.0, y)
        if kind in ("gaussian", "student") and self._chance(0.1, "an outlier"):
            y[rng.integers(len(y))] *= 1e4
        if kind == "censored":
            low, high = np.quantile(y, [0.3, 0.8]).tolist()
            text = [f"<{low!r}" if v <= low else f">{high!r}" if v >= high else f"{v!r}" for v in y.tolist()]
            column = np.array(text, dtype=object)
            column[::4] = [f"{v - abs(v) * 0.1!r}..{v + abs(v) * 0.1!r}" for v in y[::4].tolist()]
            return column
        return y.astype(object) if self._chance(0.1, "a column of objects") else y

    def _classes(self, kind: str, f: np.ndarray) -> np.ndarray:
        if self._chance(0.2, "a rare class"):
            f = np.where(np.arange(len(f)) == self.rng.integers(len(f)), 9.0, -9.0)
        if self.rng.uniform() < 0.9:  # two classes at least, where there are two rows
            f[:2] = [9.0, -9.0][: len(f[:2])]
        if kind == "bool":
            return (f > 0).astype(object)
        names = ["no", "yes"] if kind == "two" else ["a", "b", "c"]
        return np.array(names, dtype=object)[np.digitize(f, [0.0] if kind == "two" else [-0.4, 0.4])]

    def _names(self, n: int) -> pd.Index:
        if self._chance(0.2, "repeated names"):
            return pd.Index([f"r{i // 2}" for i in range(n)])
        return pd.RangeIndex(n) if self.rng.uniform() < 0.5 else pd.Index([f"r{i}" for i in range(n)])

    def _errors(self) -> pd.DataFrame | None:
        if not self._chance(0.3, "Y_std"):
            return None
        size = self.rng.choice([0.0, 1e-6, 0.1, 1.0, 1e4])
        self.words.append(f"standard errors times {size:g}")
        numbers = self.Y.apply(pd.to_numeric, errors="coerce").abs().median().fillna(1.0)
        errors = size * numbers.to_numpy() * self.rng.uniform(0, 2, self.Y.shape)
        return pd.DataFrame(errors, self.index, self.Y.columns)

    def _groups(self, n: int) -> np.ndarray | None:
        if not self._chance(0.2, "groups"):
            return None
        names = np.array(["a", "b", "only one", None], dtype=object)
        groups = names[self.rng.choice([0, 1, 3], n)]
        groups[0], groups[-1] = names[2], "never seen"
        return np.full(n, None, dtype=object) if self._chance(0.1, "no group known") else groups

    def _models(self) -> dict[str, Any]:
        t, names = self.tasks or None, list(self.Y)
        svi = {"inference": "svi", "max_steps": 20, "n_inducing": 8, "n_draws": 20, "verbose": False}
        alone = btl.IndependentGP(t, **FAST)
        return {
            "independent": alone,
            "multi-task": btl.MultiTaskGP(tasks=t, **FAST),
            "difference": btl.DifferenceGP(names, t, **FAST),
            "chain": btl.ChainGP(names, None, t, **FAST),
            "latent": btl.LatentVariableGP(tasks=t, **svi),
            "low rank": btl.LowRankLinear(2, 20, 20, t, verbose=False),
            "recalibrated": btl.Recalibrated(alone, verbose=False),
            "conformal": btl.Recalibrated(alone, "conformal", verbose=False),
            "stack": btl.StackedModel(
                {"alone": alone, "together": btl.MultiTaskGP(tasks=t, **FAST)}, cv=2, verbose=False
            ),
        }

    def part(self, rows: slice) -> dict[str, Any]:
        """The arguments of ``fit`` for some rows of the table."""
        X = self.X.iloc[rows].to_numpy() if self.as_array else self.X.iloc[rows]
        part = {"X": X, "Y": self.Y.iloc[rows]}
        part |= {} if self.Y_std is None else {"Y_std": self.Y_std.iloc[rows]}
        return part | ({} if self.groups is None else {"groups": self.groups[rows]})

    def run(self) -> None:
        """Fit the model, and ask it everything."""
        model = self._models()[self.name].fit(**self.part(slice(self.n)))
        new = self.part(slice(max(self.n - 2, 0), None))
        labels = new.pop("Y")
        new.pop("Y_std", None)
        first = labels.iloc[:, :1] if self.rng.uniform() < 0.5 and labels.shape[1] > 1 else None
        for observed in (None, first):
            for noise in (True, False):
                self._check(model.posterior(**new, observed=observed, noise=noise), noise)
        self._check(model.complete(), True)
        density = model.log_density(**new, Y=labels)
        _need(bool(np.isfinite(density.to_numpy()[labels.notna().to_numpy()]).all()), "log density is not finite")
        model.predict(new["X"], loss="absolute")
        if labels.notna().sum().min() >= 2 and not any(isinstance(t.likelihood, btl.Censored) for t in self.tasks):
            far = any("log" in repr(t.likelihood).lower() for t in self.tasks)
            _need(far or bool(np.isfinite(model.score(new["X"], labels))), "score is not finite")

    def _check(self, post: btl.Posterior, noise: bool) -> None:
        where = "a label" if noise else "a latent value"
        open_intervals = self.name == "conformal"
        draws = post.sample(5, seed=0).to_numpy()
        logs = ["log" in repr(t.observes).lower() for t in post.tasks]  # far from the table too large for a number
        _need(bool((np.isfinite(draws) | (np.array(logs) & (draws > 0))).all()), f"a draw of {where} is not finite")
        low, middle, high = (post.quantile(q) for q in (0.05, 0.5, 0.95))
        interval = post.interval(0.5)
        for task in post.tasks:
            if task.classes is not None:
                chances = post.probabilities(task.name).to_numpy()
                _need(bool(np.isfinite(chances).all() and (chances >= 0).all()), "a probability is not one")
                _need(bool(np.allclose(chances.sum(axis=1), 1.0, atol=1e-6)), "probabilities do not add up")
                continue
            mean, std = post.mean[task.name], post.std[task.name]
            if "log" in repr(task.observes).lower():  # far from the table its moments may exceed the largest number
                mean, std = mean.replace(np.inf, 1e308), std.replace(np.inf, 1e308)
            _need(bool(np.isfinite(mean).all()), f"mean of {where} is not finite")
            _need(bool(np.isfinite(std).all()), f"std of {where} is not finite")
            # a truncated label without noise, or a label that may be zero, may be zero for all that a number can say
            certain = not noise or "Hurdle" in repr(task.observes)
            _need(bool((std >= 0).all() if certain else (std > 0).all()), f"std of {where} is not positive")
            ordered = [low[task.name], middle[task.name], high[task.name]]
            far = open_intervals or "log" in repr(task.observes).lower()
            _need(far or bool(np.isfinite(ordered).all()), f"a quantile of {where} is not finite")
            _need(bool((np.diff(np.clip(ordered, -1e308, 1e308), axis=0) >= 0).all()), f"quantiles of {where} cross")
            sides = interval[task.name]
            _need(bool((sides["lower"] <= sides["upper"]).all()), f"an interval of {where} is turned round")


def _need(true: bool, fault: str) -> None:
    if not true:
        raise Fault(fault)


def _too_long(*_: Any) -> None:
    raise TooLong(f"more than {LIMIT} s")


def outcome(seed: int, show: bool = False) -> dict[str, Any]:
    """What becomes of one table: ``outcome``, its ``detail``, the model, what is unusual, and the seconds."""
    case, start = Case(seed), time.perf_counter()
    found, detail = "ok", ""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", message=".torch.jit", category=DeprecationWarning)
            case.run()
    except Fault as fault:
        found, detail = f"fault: {fault}", ""
    except TooLong as error:
        found, detail = f"fault: {error}", _place(error)
    except Exception as error:
        own = traceback.extract_tb(error.__traceback__)[-1].filename.startswith(PACKAGE)
        refused = isinstance(error, ValueError) and own and str(error)
        found = "refused" if refused else f"fault: {type(error).__name__}"
        detail = str(error)[:200] if refused else f"{str(error)[:120]} at {_place(error)}"
        if show and not refused:
            traceback.print_exc()
    finally:
        signal.alarm(0)
    unexpected = [w for w in caught if not any(hint in str(w.message) for hint in HINTS)]
    if found == "ok" and unexpected:
        found = f"fault: {unexpected[0].category.__name__}"
        detail = f"{str(unexpected[0].message)[:120]} at {unexpected[0].filename.split('/')[-1]}:{unexpected[0].lineno}"
    seconds = round(time.perf_counter() - start, 2)
    words = "; ".join(case.words)
    return {"seed": seed, "outcome": found, "detail": detail, "model": case.name, "table": words, "seconds": seconds}


def _place(error: BaseException) -> str:
    """The innermost line of bayestl that an exception passed through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(PACKAGE)]
    return f"{frames[-1].filename.removeprefix(PACKAGE)}:{frames[-1].lineno}" if frames else "the script"


def run(
    n_tables: int = 500, seed: int = 0, n_jobs: int | None = 1, output: Path | None = None, verbose: bool = False
) -> pd.DataFrame:
    """The outcome of each table with seeds from ``seed`` on; those that ``output`` holds already are not run again."""
    done = pd.read_csv(output) if output is not None and output.exists() else pd.DataFrame()
    known = set(done["seed"]) if len(done) else set()
    seeds = [(s,) for s in range(seed, seed + n_tables) if s not in known]
    records: list[dict[str, Any]] = []
    for record in in_parallel(outcome, seeds, n_jobs, "tables", verbose):
        records.append(record)
        if output is not None:
            first = not output.exists()
            pd.DataFrame([record]).to_csv(output, mode="a", header=first, index=False)
    every = pd.concat([done, pd.DataFrame(records)], ignore_index=True)
    return every[every["seed"].between(seed, seed + n_tables - 1)].sort_values("seed", ignore_index=True)


def summary(outcomes: pd.DataFrame, first: int = 3) -> str:
    """The count of each outcome, and the first tables of each fault."""
    lines = [str(outcomes["outcome"].value_counts().to_string())]
    for fault, part in outcomes[outcomes["outcome"].str.startswith("fault")].groupby("outcome"):
        lines.append(f"\n{fault}")
        for detail, same in part.groupby(part["detail"].fillna(""), sort=False):
            lines.append(f"  {detail or 'no detail'} ({len(same)} tables)")
            for _, row in same.head(first).iterrows():
                lines.append(f"    --only {row['seed']}: {row['model']}; {row['table']}")
    return "\n".join(lines)


def main() -> int:
    """The command line; the status is 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first table; the next ones count on")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--output", type=Path, help="CSV of outcomes, from which a run goes on")
    parser.add_argument("--only", type=int, help="repeat the table of this seed, and show its error")
    given = parser.parse_args()
    if given.only is not None:
        print(outcome(given.only, show=True))
        return 0
    outcomes = run(given.tables, given.seed, given.jobs, given.output, verbose=True)
    print(summary(outcomes))
    return int(outcomes["outcome"].str.startswith("fault").any())


if __name__ == "__main__":
    sys.exit(main())
