"""Case S: thirty tasks with five labels each, from the chemical elements and from formation enthalpies.

A task is a property of a block of elements (volumes of the d block), or the enthalpies of one source for compounds of one
most electronegative element (SCAN's of oxides): of both kinds the 15 with the most labels.  All are in one table, an
element being a composition of itself, with ten statistics of the elements as features.

A draw takes from each task, in the order of ``numpy.random.default_rng((seed, task)).permutation``, five labels for training and
the next 20 for the score.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayestl.datasets import Dataset, load_elements, load_formation_enthalpies
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.exact.multitask import MultiTaskGP
from bayestl.models.subspace.model import LowRankLinear
from bayestl.parallel import in_parallel
from bayestl.studies import choose
from bayestl.studies.draws import STATISTICS, formula_features
from bayestl.studies.small_tables.results import Results
from bayestl.studies.small_tables.scores import Unit

FOLDER = Path("few-shots")
"""The output folder where none is named."""
N_TASKS, N_LABELS, N_TEST = 30, 5, 20
"""Tasks, half of them of each kind; labels of each for training, and for the score."""
FEATURES = [name for name in STATISTICS if "MeltingT" not in name]
"""Mean and mean deviation of five properties of the elements; melting points are labels here."""
BLOCKS = {"s": "main group", "p": "main group", "d": "d block", "f": "f block"}
"""Names of the groups of elements."""
PENALTIES = np.logspace(-3, 3, 13)
"""Penalties of ridge regression."""


class Tasks(NamedTuple):
    """The table: features (n, 10), and the labels (n, T) of all tasks."""

    X: pd.DataFrame
    Y: pd.DataFrame


class Predicted(NamedTuple):
    """Predictions (n, T) of held-out rows, and the bounds of 90 % intervals where a learner has any."""

    mean: np.ndarray
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None


def by_group(data: Dataset, group: pd.Series, n_tasks: int, least: int = N_LABELS + N_TEST) -> pd.DataFrame:
    """The labels of a table as one task for each column and group: the ``n_tasks`` with the most labels.

    Parameters
    ----------
    data : Dataset
        The labels.
    group : Series
        The name of the group of each row.
    n_tasks : int
        How many tasks are kept; the first of equal ones.
    least : int
        The least number of labels.

    Raises
    ------
    ValueError
        If fewer tasks have so many labels.
    """
    parts = {
        f"{column}, {name}": data.Y[column].where(group == name) for column in data.Y for name in sorted(group.unique())
    }
    Y = pd.DataFrame(parts)
    counts = Y.notna().sum().sort_values(ascending=False, kind="stable")
    kept = [name for name in counts.index[:n_tasks] if counts[name] >= least]
    if len(kept) < n_tasks:
        raise ValueError(f"{len(kept)} tasks of {data.name} have {least} labels, fewer than the {n_tasks} asked for")
    return Y[kept].dropna(how="all")


def load(n_jobs: int | None = None, verbose: bool = True) -> Tasks:
    """The table of the thirty tasks."""
    from pymatgen.core import Composition, Element

    elements, enthalpies = load_elements(), load_formation_enthalpies()
    blocks = pd.Series([BLOCKS[Element(symbol).block] for symbol in elements.Y.index], elements.Y.index)
    anions = [max(Composition(f).elements, key=lambda e: (e.X, e.Z)).symbol for f in enthalpies.X["formula"]]
    halves = (
        by_group(elements, blocks, N_TASKS // 2),
        by_group(enthalpies, pd.Series(anions, enthalpies.Y.index), N_TASKS // 2),
    )
    Y = pd.concat(halves)
    formulas = pd.DataFrame({"formula": Y.index}, index=Y.index)
    return Tasks(formula_features(formulas, n_jobs, verbose)[FEATURES], Y)


def draw(Y: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The labels for training and those for the score, both in the shape of ``Y``."""
    parts = np.full((2, *Y.shape), np.nan)
    for t, name in enumerate(Y):
        labelled = np.flatnonzero(Y[name].notna())
        order = labelled[np.random.default_rng((seed, t)).permutation(len(labelled))]
        for part, rows in zip(parts, (order[:N_LABELS], order[N_LABELS : N_LABELS + N_TEST]), strict=True):
            part[rows, t] = Y[name].iloc[rows]
    train, test = (pd.DataFrame(part, Y.index, Y.columns).dropna(how="all") for part in parts)
    return train, test


def mean(X: pd.DataFrame, Y: pd.DataFrame, new: pd.DataFrame) -> Predicted:
    """The mean of the labels of each task."""
    return Predicted(np.tile(Y.mean().to_numpy(), (len(new), 1)))


def ridge_alone(x: np.ndarray, Y: pd.DataFrame, new: np.ndarray) -> np.ndarray:
    """Predictions (k, T) of rows ``new`` (k, d) by ridge regression of each task alone, its penalty chosen by leave-one-out."""
    from sklearn.linear_model import RidgeCV

    columns = []
    for name in Y:
        labelled = Y[name].notna().to_numpy()
        columns.append(RidgeCV(PENALTIES).fit(x[labelled], Y[name][labelled]).predict(new))
    return np.column_stack(columns)


def ridge(X: pd.DataFrame, Y: pd.DataFrame, new: pd.DataFrame) -> Predicted:
    """:func:`ridge_alone`, features scaled by all training rows."""
    centre, scale = X.mean(), X.std().replace(0.0, 1.0)
    x, at = (((frame - centre) / scale).to_numpy() for frame in (X, new))
    return Predicted(ridge_alone(x, Y, at))


class Fitted:
    """The predictions of a model of the package, fitted to the training labels."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, X: pd.DataFrame, Y: pd.DataFrame, new: pd.DataFrame) -> Predicted:
        post = self.model.fit(X, Y).posterior(new)
        interval = post.interval(0.9)
        lower, upper = (interval.xs(side, axis=1, level="side").to_numpy() for side in ("lower", "upper"))
        return Predicted(post.mean.to_numpy(), lower, upper)


def learners(seed: int = 0) -> dict[str, Callable[[pd.DataFrame, pd.DataFrame, pd.DataFrame], Predicted]]:
    """What is compared, by name."""
    common: dict[str, Any] = {"random_state": seed, "verbose": False}
    return {
        "LowRankLinear": Fitted(LowRankLinear(**common)),
        "MultiTaskGP": Fitted(MultiTaskGP(**common)),
        "IndependentGP": Fitted(IndependentGP(**common)),
        "ridge of each task": ridge,
        "mean of each task": mean,
    }


def run_unit(unit: Unit, learner: Callable[..., Predicted], tasks: Tasks, seed: int) -> dict[str, Any]:
    """The errors of one learner in one draw: of each task relative to the spread of all of its labels."""
    train, test = draw(tasks.Y, seed)
    start = time.perf_counter()
    predicted = learner(tasks.X.loc[train.index], train, tasks.X.loc[test.index])
    seconds = time.perf_counter() - start
    y = test.to_numpy()
    error = np.sqrt(np.nanmean((predicted.mean - y) ** 2, axis=0)) / tasks.Y.std().to_numpy()
    record = {**unit._asdict(), "seconds": seconds, "error": dict(zip(tasks.Y.columns, error.tolist(), strict=True))}
    if predicted.lower is not None and predicted.upper is not None:
        inside = (predicted.lower <= y) & (y <= predicted.upper)
        record["inside"] = float(inside[~np.isnan(y)].mean())
    return record


class Result:
    """Errors of all draws in a folder.

    Parameters
    ----------
    records : sequence of dict
        What :func:`run_unit` returned.
    """

    def __init__(self, records: Sequence[dict[str, Any]]) -> None:
        self.records = list(records)

    @property
    def errors(self) -> pd.DataFrame:
        """The relative error of each task: a row for each model and draw."""
        keys = pd.MultiIndex.from_tuples([(r["model"], int(r["draw"])) for r in self.records], names=["model", "draw"])
        return pd.DataFrame([r["error"] for r in self.records], keys)

    @property
    def figures(self) -> pd.DataFrame:
        """A row for each model: mean over tasks and draws, its standard error over draws, and the paired difference.

        Columns: ``error`` (root mean square error of a task over the spread of its labels) and ``error se``; ``elements`` and
        ``enthalpies``, the error of the tasks of each kind; ``minus ridge`` and ``minus ridge se``, ``minus MultiTaskGP`` and
        its ``se``; ``in 90 %``; ``seconds``; ``draws``.
        """
        errors = self.errors
        of_draw = errors.mean(axis=1).unstack("model")
        half = errors.shape[1] // 2
        kinds = {"elements": errors.iloc[:, :half], "enthalpies": errors.iloc[:, half:]}
        records = pd.DataFrame(self.records)
        rows = {}
        for model in dict.fromkeys(records["model"]):
            of_model = records[records["model"] == model]
            row = {"error": of_draw[model].mean(), "error se": of_draw[model].sem()}
            row |= {kind: part.loc[model].mean(axis=None) for kind, part in kinds.items()}
            for short, other in (("ridge", "ridge of each task"), ("MultiTaskGP", "MultiTaskGP")):
                if other in of_draw and other != model:
                    difference = of_draw[model] - of_draw[other]
                    row |= {f"minus {short}": difference.mean(), f"minus {short} se": difference.sem()}
            inside = of_model["inside"].mean() if "inside" in of_model else float("nan")
            rows[model] = row | {"in 90 %": inside, "seconds": of_model["seconds"].mean(), "draws": len(of_model)}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")

    def __str__(self) -> str:
        return (
            f"{N_TASKS} tasks with {N_LABELS} labels each: root mean square error over the spread of the task's labels\n"
            f"{self.figures.round(3).to_string()}"
        )

    def write(self, folder: Path) -> None:
        """Write :attr:`errors` as ``errors.csv``."""
        from bayestl.files.output import write_output

        write_output(folder / "errors.csv", self.errors.to_csv())


def run(
    folder: Path = FOLDER,
    n_draws: int = 10,
    only: Sequence[str] | None = None,
    seed: int = 0,
    n_jobs: int | None = 2,
    verbose: bool = True,
) -> Result:
    """Run the protocol, or what is missing of it.

    Parameters
    ----------
    folder : Path
        Where the results are written, draw by draw; a run into the same folder goes on with what is not there yet.
    n_draws : int
        Number of draws.
    only : sequence of str, optional
        Names of the models to run, of :func:`learners`.
    seed : int
        Seed of the first draw.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.

    Returns
    -------
    Result
        Of all that is in the folder.

    Raises
    ------
    ValueError
        For an unknown model.
    """
    chosen = choose(learners(), only)
    tasks = load(n_jobs, verbose)
    results = Results(folder)
    units = [
        (Unit("few shots", N_LABELS, str(k), name), learner, tasks, k)
        for k in range(seed, seed + n_draws)
        for name, learner in chosen.items()
    ]
    missing = [job for job in units if not results.has(job[0])]
    for record in in_parallel(run_unit, missing, n_jobs, "few shots", verbose):
        results.append(record)
    return Result(list(results.records.values()))
