"""Options and files of the command line as tables, tasks and models."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def read(path: Path) -> pd.DataFrame:
    """The table in a CSV or Parquet file.

    Raises
    ------
    ValueError
        If the file does not exist, cannot be read or has no rows.
    """
    import pandas as pd

    if not path.is_file():
        raise ValueError(f"no file {path}")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(path)
    except ImportError as error:
        raise ValueError(f"{path}: Parquet files need the extra: pip install 'bayestl[parquet]'") from error
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as {'Parquet' if path.suffix != '.csv' else 'CSV'}: {error}"
        ) from error
    if len(frame) == 0:
        raise ValueError(f"{path} has no rows")
    return frame


def names_in(text: str | None) -> list[str]:
    """The names in a comma-separated text; none where the option was left out.

    Raises
    ------
    ValueError
        If the option is there and names nothing.
    """
    names = [] if text is None else [name.strip() for name in text.split(",") if name.strip()]
    if text is not None and not names:
        raise ValueError(
            f"an option holds {text!r}, which names nothing: separate names by commas, or leave the option out"
        )
    return names


def sizes_in(text: str | None) -> list[int]:
    """The positive whole numbers in a comma-separated text."""
    names = names_in(text)
    for name in names:
        if not (name.isdecimal() and int(name) > 0):
            raise ValueError(f"--sizes: {name!r} is not a positive whole number")
    return [int(name) for name in names]


def require_columns(frame: pd.DataFrame, names: list[str], what: str) -> None:
    """Refuse names that are not columns; ``what`` is the option that named them."""
    for name in names:
        if name not in frame.columns:
            raise ValueError(
                f"{what}: the file has no column {name!r}; its columns are {list(map(str, frame.columns))}"
            )


class Inputs:
    """The feature columns of a file: ``composition:COLUMN`` for formulas, ``COLUMN`` for numbers."""

    def __init__(self, spec: list[str], presets: list[str]) -> None:
        from bayestl.features.composition import PRESETS

        self.spec, self.presets = spec, presets
        if unknown := [p for p in presets if p not in PRESETS]:
            raise ValueError(f"unknown preset {unknown[0]!r}; the presets are {list(PRESETS)}")
        self.formulas = [s.split(":", 1)[1] for s in spec if s.startswith("composition:")]
        self.numbers = [s for s in spec if not s.startswith("composition:")]
        if len(self.formulas) > 1:
            raise ValueError(f"--features names {len(self.formulas)} formula columns; one is supported")
        if bad := [s for s in self.numbers if ":" in s]:
            raise ValueError(f"--features: {bad[0]!r} is neither a column nor composition:COLUMN")

    def matrix(self, frame: pd.DataFrame, columns: list[str] | None, verbose: bool, jobs: int = 1) -> pd.DataFrame:
        """The numeric features of a table; ``columns`` fixes those of an earlier call."""
        from bayestl.features import CompositionFeatures

        require_columns(frame, self.numbers + self.formulas, "--features")
        chosen = frame[self.numbers + self.formulas]
        if not self.formulas:
            return chosen
        features = CompositionFeatures(self.presets, column=self.formulas[0], n_jobs=jobs, verbose=verbose)
        if columns is None:
            return features.fit_transform(chosen)
        features.columns_ = columns
        return features.transform(chosen)


def choose_inputs(
    frame: pd.DataFrame, features: str | None, presets: str, tasks: list[str], others: Sequence[str] = ()
) -> Inputs:
    """The features named by the option, or all numeric columns that are neither labels nor ``others``."""
    import pandas as pd

    spec = names_in(features)
    if not spec:
        spec = [str(c) for c in frame.columns if c not in (*tasks, *others) and pd.api.types.is_numeric_dtype(frame[c])]
        if not spec:
            raise ValueError(
                "no numeric feature columns are left: name them with --features, formulas as composition:COLUMN"
            )
    return Inputs(spec, names_in(presets))


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


def make_tasks(names: list[str], likelihoods: str | None) -> list[Any] | None:
    """Tasks with the likelihoods named by the option; None without any."""
    import bayestl as btl

    chosen = []
    for pair in names_in(likelihoods):
        name, sign, kind = (part.strip() for part in pair.partition("="))
        if not sign or name not in names:
            raise ValueError(f"--likelihoods: {pair!r} is not TASK=LIKELIHOOD with a task of {names}")
        if kind not in LIKELIHOODS:
            raise ValueError(f"--likelihoods: no likelihood {kind!r}; there are {list(LIKELIHOODS)}")
        chosen.append(btl.Task(name, getattr(btl, LIKELIHOODS[kind])()))
    return chosen or None


def models_in(text: str) -> list[str]:
    """The architectures named by the option ``--models``."""
    chosen, allowed = names_in(text), [m.value for m in ModelName]
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
    for edge in names_in(text):
        parent, arrow, child = (part.strip() for part in edge.partition(">"))
        if not (arrow and parent and child):
            raise ValueError(f"--graph: {edge!r} is not PARENT>CHILD")
        parents.setdefault(child, []).append(parent)
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
    **of_auto: Any,
) -> Any:
    """An unfitted model of the named architecture, for the tasks ``names``; ``of_auto`` are options of AutoTransfer."""
    import bayestl as btl

    common: dict[str, Any] = {"tasks": tasks, "random_state": seed, "verbose": verbose}
    if name == "auto":
        return btl.AutoTransfer(**of_auto, **common)
    if name == "multi-task":
        return btl.MultiTaskGP(**common)
    if name == "difference":
        return btl.DifferenceGP(levels=names, **common)
    if name == "chain":
        return btl.ChainGP(levels=names, **common)
    if name == "low-rank":
        return btl.LowRankLinear(**common)
    if name == "latent-variable":
        return btl.LatentVariableGP(graph=graph, **common)
    return btl.IndependentGP(**common)
