"""The table of models and label kinds over which the laws of this folder hold: a new model or likelihood is one line here.

A cell is a model fitted to a table with two label columns: ``source`` is Gaussian (or of the same kind), ``target`` of the
cell's kind and known for two thirds of the rows.  ``SKIPS`` says which cells make no sense, and why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

import bayestl as btl

N_FITTED, N_NEW = 24, 5
N_FOREST = 210
"""Rows of a table on which forests are used."""
FAST = {"hyperparameters": "map", "n_starts": 1, "verbose": False}
SVI = {"inference": "svi", "n_inducing": 8, "max_steps": 20, "n_draws": 32, "verbose": False}
CHAINS = {"inference": "mcmc", "n_draws": 40, "verbose": False}


@dataclass(frozen=True)
class Kind:
    """One kind of label."""

    likelihood: Any
    values: Callable[[np.ndarray, np.random.Generator], Any]
    """The column (n,) from the latent values (n,), about zero with unit variance."""
    unit: str = ""
    """What another unit of the label keeps: "affine" (origin and unit), "factor" (the unit) or "" (none)."""
    std: float | None = None
    """Typical standard error, where labels have one."""
    groups: bool = False
    names: str = "text"
    """Names of the rows: "text", "counting" (0, 1, ...), "repeated"."""
    both: bool = False
    """Whether the source is of this kind too."""
    classes: bool = False
    atom: bool = False
    """Whether a label has a positive probability of being exactly zero."""


def _normal(f, rng):
    return 40.0 + 3.0 * f + 0.4 * rng.standard_normal(len(f))


def _positive(f, rng):
    return np.exp(0.6 * f + 0.15 * rng.standard_normal(len(f))) * 2.0


def _text(f, rng):
    """Numbers, limits and intervals, as text."""
    y = 2.0 + 1.5 * f + 0.2 * rng.standard_normal(len(f))
    texts = [f"{v:.4f}" for v in y]
    for i in range(0, len(y), 4):
        texts[i] = f"{y[i] - 0.3:.4f}..{y[i] + 0.4:.4f}"
    return ["<0.1" if v < 0.1 else ">3.5" if v > 3.5 else t for v, t in zip(y, texts, strict=True)]


def _hurdle(f, rng):
    return np.where(f + 0.3 * rng.standard_normal(len(f)) > -0.4, _positive(f, rng), 0.0)


def _classes(*names, edges):
    return lambda f, rng: np.array(names, dtype=object)[np.digitize(f + 0.3 * rng.standard_normal(len(f)), edges)]


NORMAL = Kind(None, _normal, "affine")
POSITIVE = Kind(btl.LogNormal(), _positive, "factor")
HURDLE = Kind(btl.Hurdle("log-normal"), _hurdle, "factor", atom=True)
TWO = Kind(None, _classes("no", "yes", edges=[0.0]), classes=True)
THREE = Kind(None, _classes("a", "b", "c", edges=[-0.6, 0.6]), classes=True)
KINDS = {
    "gaussian": NORMAL,
    "gaussian, std": replace(NORMAL, std=0.5),
    "gaussian, groups": replace(NORMAL, groups=True),
    "gaussian, repeated names": replace(NORMAL, names="repeated"),
    "gaussian, counted rows": replace(NORMAL, names="counting"),
    "student": replace(NORMAL, likelihood=btl.StudentT()),
    "student of 4": replace(NORMAL, likelihood=btl.StudentT(dof=4.0), std=0.5),
    "censored": Kind(btl.Censored(), _text),
    "censored, std": Kind(btl.Censored(), _text, std=0.3),
    "log-normal": POSITIVE,
    "log-normal, std": replace(POSITIVE, std=0.2),
    "log-normal, both": replace(POSITIVE, both=True),
    "power-normal": replace(POSITIVE, likelihood=btl.PowerNormal(0.5)),
    "power-normal, std": replace(POSITIVE, likelihood=btl.PowerNormal(0.75), std=0.2),
    "power-student": replace(POSITIVE, likelihood=btl.PowerStudentT(0.5)),
    "positive": replace(POSITIVE, likelihood=btl.Positive()),
    "positive, std": replace(POSITIVE, likelihood=btl.Positive(), std=0.2),
    "hurdle, log-normal": HURDLE,
    "hurdle, power-0.5": replace(HURDLE, likelihood=btl.Hurdle("power-0.5")),
    "hurdle, power-0.75": replace(HURDLE, likelihood=btl.Hurdle("power-0.75")),
    "hurdle, truncated-normal": replace(HURDLE, likelihood=btl.Hurdle("truncated-normal")),
    "hurdle, power-0.5-t": replace(HURDLE, likelihood=btl.Hurdle("power-0.5-t")),
    "hurdle, power-0.75-t": replace(HURDLE, likelihood=btl.Hurdle("power-0.75-t")),
    "hurdle, both, std": replace(HURDLE, both=True, std=0.2),
    "bernoulli": TWO,
    "categorical": THREE,
    "categorical, both": replace(THREE, both=True),
    "ordinal": replace(THREE, likelihood=btl.Ordinal(["a", "b", "c"])),
}


@dataclass(frozen=True)
class Model:
    """One model, or wrapper of models."""

    make: Callable[[list[btl.Task]], Any]
    draws: int | None = None
    """Predictions are averages over so many draws; None where they are closed forms or quadratures."""
    exact: bool = False
    """Jointly Gaussian given its one set of hyperparameters, where labels are Gaussian."""
    rows: int = N_FITTED
    only: tuple[str, ...] = ()
    """The kinds for which this model is tested; empty for all."""
    intervals_only: bool = False
    """Whether only levels and quantiles are corrected, not moments, density and draws."""
    folds: bool = False
    """Whether the fit holds out rows by their position, so that their order counts."""
    slow: bool = False
    """Whether a fit takes seconds, so that laws that fit again leave it out."""
    rounding: float = 1e-8
    """Relative size to which two computations of one row agree."""
    wraps: bool = False
    """Whether it is a model of models, which some laws test on few kinds only."""

    def refit(self, kind: str) -> bool:
        """Whether laws that fit again hold this model to labels of a kind."""
        return not self.slow and (not self.wraps or kind in WRAPPED)


LEVELS = ["source", "target"]
GRAPH = {"target": ["source"]}
FEW = ("gaussian", "student", "log-normal, std", "hurdle, log-normal", "categorical", "ordinal", "censored")


SOME = (*FEW, "gaussian, std", "gaussian, groups", "gaussian, repeated names", "hurdle, both, std", "positive, std")
MOST = (*FEW, "gaussian, std", "gaussian, groups", "gaussian, repeated names", "student of 4", "log-normal, both", "power-student",
        "positive, std", "hurdle, truncated-normal", "hurdle, both, std", "bernoulli", "categorical, both")  # fmt: skip
"""Kinds of models whose laws take longer: one or more of each likelihood."""
AVERAGED = ("gaussian", "log-normal, std")
"""Kinds of models that average over their hyperparameters."""
PAIRED = ("gaussian, std", "gaussian, groups", "log-normal, both")
"""Kinds of labels whose difference from those of the source is a number on the same scale."""
WRAPPED = ("gaussian", "log-normal, std", "categorical")
"""Kinds with which wrappers are fitted again."""


def _multi(tasks, **options):
    return btl.MultiTaskGP(tasks=tasks, **FAST | options)


def _recalibrated(method, tasks, model=None, **options):
    return btl.Recalibrated(model or _multi(tasks), method, tasks=tasks, verbose=False, **options)


def _pair(tasks):
    return {"alone": btl.IndependentGP(tasks, **FAST), "together": _multi(tasks)}


MODELS = {
    "independent": Model(lambda t: btl.IndependentGP(t, **FAST), exact=True, only=SOME),
    "independent, averaged": Model(
        lambda t: btl.IndependentGP(t, **FAST | {"hyperparameters": "laplace"}), only=AVERAGED
    ),
    "multi-task": Model(_multi, exact=True),
    "multi-task, averaged": Model(lambda t: _multi(t, hyperparameters="laplace"), only=AVERAGED),
    "difference": Model(lambda t: btl.DifferenceGP(LEVELS, t, **FAST), exact=True, only=SOME),
    "paired difference": Model(lambda t: btl.PairedDifferenceGP(LEVELS, t, **FAST), exact=True, only=PAIRED),
    "chain": Model(lambda t: btl.ChainGP(LEVELS, None, t, **FAST), draws=64, only=MOST),
    "chain of forests": Model(
        lambda t: btl.ChainGP(LEVELS, "forest", t, **FAST), draws=64, rows=N_FOREST, only=("gaussian",), slow=True
    ),
    "latent, svi": Model(lambda t: btl.LatentVariableGP(GRAPH, t, **SVI), draws=32, only=MOST),
    "latent, mcmc": Model(
        lambda t: btl.LatentVariableGP(GRAPH, t, **CHAINS), draws=40, only=("gaussian", "log-normal"), slow=True
    ),
    "low rank": Model(lambda t: btl.LowRankLinear(2, 100, 50, t, verbose=False), draws=100),
    "recalibrated by temperature": Model(lambda t: _recalibrated("temperature", t), only=FEW, wraps=True),
    "recalibrated by isotonic": Model(lambda t: _recalibrated("isotonic", t), only=WRAPPED, wraps=True),
    "recalibrated by conformal": Model(
        lambda t: _recalibrated("conformal", t, fraction=0.5), only=FEW, intervals_only=True, folds=True, wraps=True
    ),
    "recalibrated chain": Model(
        lambda t: _recalibrated("temperature", t, btl.ChainGP(LEVELS, None, t, **FAST), cv=2),
        draws=64,
        only=WRAPPED,
        folds=True,
        wraps=True,
    ),
    "stack": Model(
        lambda t: btl.StackedModel(_pair(t), cv=2, tasks=t, verbose=False), only=FEW, folds=True, wraps=True
    ),
    "auto": Model(
        lambda t: btl.AutoTransfer("target", _pair(t), t, cv=2, verbose=False),
        only=("gaussian", "hurdle, log-normal", "categorical"),
        rounding=1e-5,  # tails that are made heavier: levels near one have few digits
        folds=True,
        wraps=True,
    ),
    "stack of recalibrated": Model(
        lambda t: btl.StackedModel(
            {"alone": btl.IndependentGP(t, **FAST), "together": _recalibrated("temperature", t)},
            cv=2,
            tasks=t,
            verbose=False,
        ),
        only=WRAPPED,
        folds=True,
        wraps=True,
    ),
}
"""Every model that predicts; ``as_botorch`` and pipelines have laws of their own in ``test_wrappers.py``."""
GAUSSIAN = (btl.LogNormal, btl.PowerNormal, type(None))
SKIPS: list[tuple[Callable[[str, Kind], bool], str]] = [
    (lambda m, k: m.startswith("latent") and k.groups, "LatentVariableGP refuses groups"),
    (lambda m, k: m == "low rank" and k.groups, "LowRankLinear refuses groups"),
    (lambda m, k: m == "low rank" and type(k.likelihood) not in GAUSSIAN, "LowRankLinear takes Gaussian labels only"),
    (lambda m, k: m == "low rank" and k.classes, "LowRankLinear takes Gaussian labels only"),
]
"""Cells that make no sense, with the reason."""


@dataclass
class Cell:
    """A model fitted to labels of one kind; fitted on first use and then left as it is."""

    model_name: str
    kind_name: str

    @property
    def spec(self) -> Model:
        return MODELS[self.model_name]

    @property
    def kind(self) -> Kind:
        return KINDS[self.kind_name]

    @property
    def id(self) -> str:
        return f"{self.model_name} | {self.kind_name}"

    @property
    def tasks(self) -> list[btl.Task]:
        target = [btl.Task("target", self.kind.likelihood)]
        return [btl.Task("source", self.kind.likelihood), *target] if self.kind.both else target

    @cached_property
    def table(self) -> dict[str, Any]:
        """``X``, ``Y``, and where the kind has them ``Y_std`` and ``groups``, of fitted and new rows together."""
        n, kind = self.spec.rows + N_NEW, self.kind
        rng = np.random.default_rng(0)
        x = rng.uniform(-2, 2, (n, 2))
        x[-1] = [9.0, -11.0]  # far from the data
        x[3] = x[2]  # two rows of the same features
        f = np.sin(2 * x[:, 0]) * 1.2 + 0.3 * x[:, 1]
        index = {
            "text": pd.Index([f"r{i}" for i in range(n)]),
            "counting": pd.RangeIndex(n),
            "repeated": pd.Index([f"r{i // 2}" for i in range(n)]),
        }[kind.names]
        of_source = kind if kind.both else NORMAL
        Y = pd.DataFrame({"source": of_source.values(f, rng), "target": kind.values(f + 0.2 * x[:, 1], rng)})
        Y.loc[::7, "source"] = None if Y["source"].dtype == object else np.nan
        Y.loc[1::3, "target"] = None if Y["target"].dtype == object else np.nan
        table = {"X": pd.DataFrame(x, index, ["p", "q"]), "Y": Y.set_axis(index)}
        if kind.std is not None:
            spread = kind.std * rng.uniform(0.5, 2.0, (n, 2))
            spread[::5] = 0.0
            table["Y_std"] = pd.DataFrame(spread, index, list(Y))
        if kind.groups:
            groups = np.array(["lab 1", "lab 2", None, "lab 3"], dtype=object)[rng.integers(0, 4, n)]
            groups[-2:] = ["lab never seen", None]
            table["groups"] = groups
        return table

    def part(self, rows: Any) -> dict[str, Any]:
        """The table at the given positions."""
        return {k: v[rows] if isinstance(v, np.ndarray) else v.iloc[rows] for k, v in self.table.items()}

    @property
    def train(self) -> dict[str, Any]:
        """The rows of the fit."""
        return self.part(slice(0, self.spec.rows))

    @property
    def new(self) -> dict[str, Any]:
        """Rows that no fit has seen; the last is far away."""
        return self.part(slice(self.spec.rows, None))

    def fit(self, **table: Any) -> Any:
        """A fresh model, fitted to the table of the fit with some of its entries replaced."""
        return self.spec.make(self.tasks).fit(**self.train | table)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What several laws of this cell use, made on first use."""
        if key not in self.shared:
            self.shared[key] = make()
        return self.shared[key]

    @cached_property
    def shared(self) -> dict[Any, Any]:
        """Results of :meth:`once`."""
        return {}

    @cached_property
    def model(self) -> Any:
        """The model fitted to the cell's table; leave it as it is."""
        return self.fit()

    def asked(self, part: dict[str, Any]) -> dict[str, Any]:
        """The arguments of ``posterior`` for rows of the table, without labels."""
        return {k: part[k] for k in ("X", "groups") if k in part}

    def known(self, part: dict[str, Any]) -> dict[str, Any]:
        """The arguments of ``posterior`` for rows whose source is known."""
        given = self.asked(part) | {"observed": part["Y"][["source"]]}
        return given | ({"observed_std": part["Y_std"][["source"]]} if "Y_std" in part else {})


def skipped(cell: Cell) -> str | None:
    """Why a cell makes no sense, None where it does."""
    return next((reason for applies, reason in SKIPS if applies(cell.model_name, cell.kind)), None)


ALL = [Cell(model, kind) for model, spec in MODELS.items() for kind in KINDS if not spec.only or kind in spec.only]
CELLS = [cell for cell in ALL if skipped(cell) is None]


def _spread() -> frozenset[str]:
    """Names of a few cells in which each kind of label and each model is at least once."""
    sound = [c for c in CELLS if not c.spec.slow]
    chosen: list[Cell] = []
    for kind in KINDS:
        of_kind = [c for c in sound if c.kind_name == kind]
        chosen.append(min(of_kind, key=lambda c: sum(c.model_name == d.model_name for d in chosen)))
    for model in {c.model_name: c for c in reversed(sound)}.values():
        if all(model.model_name != c.model_name for c in chosen):
            chosen.append(model)
    return frozenset(c.id for c in chosen)


SPREAD = _spread()
"""For laws that take seconds a cell, or that the table's other laws hold for the most part."""
