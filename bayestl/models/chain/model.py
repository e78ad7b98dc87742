"""A chain: each task is a Gaussian process over the features and the labels of the task before it.

    y_l ~ Likelihood(f_l),        f_l = g_l(y_{l-1}) + h_l(x, y_{l-1}),        g_l, h_l ~ GP

It is the explicit latent variable of Hutchinson et al. 2017 with known labels used as they are, and a nonlinear autoregressive
process (Perdikaris et al. 2017, *Nonlinear information fusion algorithms*) with the source plugged in: exact where the labels
are Gaussian, cheap, and for thousands of rows.  Where a row of the table lacks its source, the source's expectation is the
input, and a further input says so.  In a new row, source and target are drawn together (``latent.py``): the source's label is
integrated out, and a known target informs it.

With ``inputs="forest"`` the features enter through cross-fitted predictions of forests (``forests.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayestl.device import tensor
from bayestl.diagnostics.draws import RowDraws
from bayestl.distributions import Discrete
from bayestl.inference.gaussian.latent import JoinedLatent
from bayestl.kernels.combined import Covariance, with_sources
from bayestl.models.base import BayesianModel
from bayestl.models.chain.forests import ForestFeatures
from bayestl.models.chain.latent import ChainLatent
from bayestl.models.chain.rows import with_rows
from bayestl.models.exact.family import Family
from bayestl.models.exact.transfer import TransferModel
from bayestl.models.parameters import entry
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Smooth
from bayestl.priors.task_specific import independent_prior
from bayestl.streams import RandomState, spawn
from bayestl.table.graph import followed_levels
from bayestl.table.measured import Measured
from bayestl.table.new_rows import Rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table, row_groups
from bayestl.table.task import Task, TaskPart

INPUTS = (None, "forest")
SOURCE = "label before"
"""Prefix of the names of inputs from the task before."""
FOREST_LABELS = 200
"""A task with fewer labels takes the features as they are: trees would learn too little."""
LEAST_WITHOUT = 20
"""Labelled rows without their source that a model needs, to learn how far a prediction can replace the source."""
STAND_IN = 0.5
"""Weight of what such rows have shown, beside that of the source's label, in the prediction of a row without its source."""
FamilyMaker = Callable[[tuple[TaskPart, ...], np.ndarray, int], Family]
"""Learns or restores the family of some parts from the inputs (n, k) of the table's rows and the family's position."""


@dataclass
class Inputs:
    """How features and the label before become the inputs of one task: by one forest per part or as they are, then scaled."""

    forests: list[ForestFeatures]
    location: np.ndarray
    scale: np.ndarray

    def of(self, x: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Inputs (n, k) from features ``x`` (n, d) and the source's columns."""
        features = np.hstack([x, source])
        columns = [forest.transform(features) for forest in self.forests] or [x]
        return self.scaled(np.hstack([*columns, source]))

    def scaled(self, columns: np.ndarray) -> np.ndarray:
        """Columns (n, k) to zero mean and unit variance on the table."""
        return (columns - self.location) / self.scale


class ChainGP(TransferModel):
    """Each task a Gaussian process over the features and the label of the task before it.

    Parameters
    ----------
    levels : list of str or mapping, optional
        All label columns, the source first; default: the columns in their order.  Or each label column and the one that it
        follows, None for a first one: ``{"hse": "pbe", "measured": "pbe", "pbe": None}``.
    inputs : {"forest", None} or mapping
        How the features enter.  None: as they are.  ``"forest"``: as cross-fitted predictions of forests (extremely randomised
        and gradient-boosted trees, averaged: :class:`~bayestl.models.chain.forests.ForestFeatures`), one forest per part of a
        label; this is better with many weak features, such as those of compositions.  Tasks with fewer than 200 labels take
        the features as they are, unless a mapping of each task to ``"forest"`` or None says which take forests.
    tasks, kernel, hyperparameters, n_starts, random_state, verbose, device
        As for :class:`IndependentGP`; forests are fitted on the processor.
    stand_in : mapping of str to float, optional
        For each task that follows another the weight, from 0 to 1, of what rows without their source have shown, in the
        prediction of such a row.  Default: 0.5 for a task with 20 labelled rows without their source, else 0.

    Notes
    -----
    ``groups`` give each task a variance between groups.  A saved model fits its forests again when it is loaded, from the
    same seed.

    Where the source of a new row is not known, 64 labels of it stand for its distribution, each with a target of its own:
    draws and functions of several tasks go down the chain, and a known target informs its source.  A known label whose source
    is not known informs its own row only.  If the table had 20 labelled rows without their source, half of the target's
    distribution is what those rows have shown, independent of the source: they may lack it for a reason.  Distributions of
    such rows have the resolution of 64 labels, also in the tails.  A source's label enters the target's function as it is: its
    standard error counts for the source only, and one of which only an interval is known enters as if it were not known.  ``leave_one_out`` predicts a source without the target of
    its row, and a target without its source by the regression on such rows alone.

    References
    ----------
    Perdikaris et al. 2017, *Nonlinear information fusion algorithms for data-efficient multi-fidelity modelling*;
    Wolpert 1992, *Stacked generalization*.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 40)[:, None]
    >>> Y = pd.DataFrame({"dft": np.sin(5 * x[:, 0]), "measured": np.exp(np.sin(5 * x[:, 0]))})
    >>> Y.loc[::2, "measured"] = np.nan
    >>> model = btl.ChainGP(levels=["dft", "measured"], inputs=None).fit(x, Y)
    >>> known = pd.DataFrame({"dft": [0.5]})
    >>> round(float(model.predict([[0.3]], observed=known)["measured"][0]), 1)
    1.6
    """

    def __init__(
        self,
        levels: Sequence[str] | Mapping[str, str | None] | None = None,
        inputs: str | Mapping[str, str | None] | None = "forest",
        tasks: Sequence[Task] | None = None,
        kernel: str | Covariance = "matern52",
        hyperparameters: str | Mapping[str, str] = "auto",
        n_starts: int = 1,
        random_state: RandomState = 0,
        verbose: bool = True,
        stand_in: Mapping[str, float] | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(tasks, kernel, hyperparameters, n_starts, random_state, verbose, device)
        self.levels = levels
        self.inputs = inputs
        self.stand_in = stand_in

    _labels_are_inputs = True
    inputs_: dict[int, Inputs]
    table_inputs_: dict[int, np.ndarray]

    def _families(self, table: Table) -> list[tuple[TaskPart, ...]]:
        """One family per part, sources first."""
        return [(part,) for t in self._follows(table) for part in table.parts if part.task == t]

    def _prior(self, table: Table, scaler: Scaler, parts: tuple[TaskPart, ...], columns: Sequence[str]) -> Prior:
        return independent_prior(parts, table.group is not None, lambda: self._smooth(columns))

    def _columns(self, table: Table, parts: tuple[TaskPart, ...], d: int) -> Sequence[str]:
        forests = self._forests(table, parts[0].task)
        names = [f"forest {i}" for i in range(sum(f.n_outputs for f in forests))] or list(table.features)
        return names + [f"{SOURCE} {i}" for i in range(d - len(names))]

    def _smooth(self, columns: Sequence[str]) -> Smooth:
        sources = [c for c in columns if c.startswith(SOURCE)]
        return Smooth(with_sources(self.kernel, [c for c in columns if c not in sources], sources))

    def _learn(self, table: Table, scaler: Scaler, seed: int) -> dict[str, Any]:
        self._check()
        for inputs in self.inputs.values() if isinstance(self.inputs, Mapping) else [self.inputs]:
            if inputs not in INPUTS:
                raise ValueError(f"inputs must be one of {INPUTS}, got {inputs!r}")
        for name, share in self._stand_ins(table).items():
            if not 0 <= share <= 1:
                raise ValueError(f"stand_in={{{name!r}: {share!r}}}: a weight from 0 to 1 is expected")
        return self._build(table, scaler, seed, lambda parts, x, _: self._learn_family(table, scaler, parts, x, seed))

    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
        return self._build(
            table, scaler, seed, lambda parts, x, i: self._restore_family(table, scaler, parts, x, state, i)
        )

    def _build(self, table: Table, scaler: Scaler, seed: int, make_family: FamilyMaker) -> dict[str, Any]:
        """The fitted attributes: families one after another, each with inputs from those before it."""
        x, labels = scaler.features(table.x), table.labels
        codes = row_groups(table), np.arange(len(x))
        families: list[Family] = []
        inputs: dict[int, Inputs] = {}
        table_inputs: dict[int, np.ndarray] = {}
        for i, parts in enumerate(self._families(table)):
            t = parts[0].task
            if t not in inputs:
                expected = self._expectations(self._follows(table)[t], table_inputs, codes, families)
                source = self._source(table, scaler, t, labels.numbers, expected)
                inputs[t], table_inputs[t] = self._inputs(table, scaler, t, x, source, labels, seed)
            families.append(make_family(parts, table_inputs[t], i))
        return {"families_": families, "inputs_": inputs, "table_inputs_": table_inputs}

    def _decided(self, table: Table) -> dict[str, Any]:
        forests = {name: "forest" if self._has_forest(table, t) else None for t, name in enumerate(table.names)}
        return super()._decided(table) | {"inputs": forests, "stand_in": self._stand_ins(table)}

    def _has_forest(self, table: Table, t: int) -> bool:
        """Whether the features of a task enter through forests."""
        if isinstance(self.inputs, Mapping):
            return entry("inputs", self.inputs, table.names[t]) is not None
        return self.inputs is not None and int(table.present[:, t].sum()) >= FOREST_LABELS

    def _stand_ins(self, table: Table) -> dict[str, float]:
        """The weight of a task's regression on an expected source, beside the one on its label, where that is not known.

        For each task that follows another.
        """
        shares = {}
        for t, before in self._follows(table).items():
            if before is None:
                continue
            name, without = table.names[t], table.present[:, t] & ~table.present[:, before]
            if self.stand_in is not None:
                shares[name] = float(entry("stand_in", self.stand_in, name))
            else:
                shares[name] = STAND_IN if int(without.sum()) >= LEAST_WITHOUT else 0.0
        return shares

    def _forests(self, table: Table, t: int, seed: int = 0) -> list[ForestFeatures]:
        """Unfitted forests, one per part of a task; none where the features enter as they are."""
        if not self._has_forest(table, t):
            return []
        return [
            ForestFeatures(
                None if p.likelihood.has_noise else len(p.likelihood.classes_ or ()),
                spawn(seed, f"forests of {p.names[0]}"),
            )
            for p in table.parts
            if p.task == t
        ]

    def _inputs(
        self, table: Table, scaler: Scaler, t: int, x: np.ndarray, source: np.ndarray, labels: Measured, seed: int
    ) -> tuple[Inputs, np.ndarray]:
        """How the inputs of a task are made, and the inputs of the table's rows."""
        forests = self._forests(table, t, seed)
        predictions = []
        for part, forest in zip((p for p in table.parts if p.task == t), forests, strict=False):
            y = scaler.labels(labels.y[:, t], part, table.tasks[t])
            predictions.append(forest.fit_transform(np.hstack([x, source]), np.where(np.isfinite(y), y, np.nan)))
        columns = np.hstack([*(predictions or [x]), source])
        scale = columns.std(axis=0)
        inputs = Inputs(forests, columns.mean(axis=0), np.where(scale > 1e-9, scale, 1.0))
        return inputs, inputs.scaled(columns)

    def _follows(self, table: Table) -> dict[int, int | None]:
        """The task whose label is an input of each task, None for the first ones; sources come first."""
        return followed_levels(self.levels, table.names)

    def _expectations(
        self, t: int | None, inputs: Mapping[int, np.ndarray], codes: tuple[np.ndarray, ...], families: Sequence[Family]
    ) -> dict[str, np.ndarray]:
        """The expectation (n, k) of each part of a task by its role, at its inputs and codes (n,) of groups and rows."""
        expected = {}
        for family in families:
            (part,) = family.parts
            if part.task == t:
                at = family.posterior.at(tensor(inputs[t]), *map(tensor, codes))
                expected[part.role] = _expectation(part, JoinedLatent([(family.parts, at)]))
        return expected

    def _source(
        self, table: Table, scaler: Scaler, t: int, labels: np.ndarray, expected: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Columns (n, k) for the label of the task before, its value or else its expectation, and whether it is known."""
        before = self._follows(table)[t]
        if before is None:
            return np.empty((len(labels), 0))
        label = labels[:, before]
        columns = {}
        for part in (p for p in table.parts if p.task == before):
            value = scaler.labels(label, part, table.tasks[before])
            columns[part.role] = _with_known(part, expected[part.role], np.where(np.isfinite(value), value, np.nan))
        main = columns[""]
        if "nonzero" in columns:
            nonzero = columns["nonzero"]
            main = np.hstack([nonzero, np.where(nonzero > 0, nonzero * main, 0.0)])
        return np.column_stack([main, (~np.isnan(label)).astype(float)])

    def _prior_at_table(self, table: Table, seed: int) -> RowDraws:
        return BayesianModel._prior_at_table(self, table, seed)  # inputs are labels, which a prior draw does not have

    def _inputs_at(self, rows: Rows) -> tuple[dict[int, np.ndarray], np.ndarray]:
        """The inputs (n, k) of each task at rows, and the labels (n, T) known of them."""
        missing = np.full((len(rows.x), len(self.tasks_)), np.nan)
        y = missing if rows.known is None else rows.known.numbers
        inputs: dict[int, np.ndarray] = {}
        for t, before in self._follows(self.table_).items():
            expected = self._expectations(before, inputs, (rows.group, rows.row), self.families_)
            inputs[t] = self.inputs_[t].of(rows.x, self._source(self.table_, self.scaler_, t, y, expected))
        return inputs, y

    def _learning(self, rows: Rows, table: Table, further: Measured) -> dict[str, Any]:
        known = further if rows.known is None else further.where(further.present, rows.known)
        inputs, _ = self._inputs_at(rows._replace(learnt=None, further=known))
        families = []
        for f in self.families_:
            of_rows = rows._replace(x=inputs[f.parts[0].task], further=further, given=further)
            families.append(replace(f, posterior=self._posterior_with(f, of_rows)))
        labels = Measured(*(with_rows(v, rows.row, new) for v, new in zip(table.labels, known, strict=True)))
        of_table = {t: with_rows(x, rows.row, inputs[t]) for t, x in self.table_inputs_.items()}
        return {"table_": replace(table, labels=labels), "families_": families, "table_inputs_": of_table}

    def _latent(self, rows: Rows) -> JoinedLatent | ChainLatent:
        inputs, y = self._inputs_at(rows)
        follows = self._follows(self.table_)
        if np.isnan(y[:, list({t for t in follows.values() if t is not None})]).any():
            return ChainLatent(self, rows, inputs)
        by_family = [(f, inputs[f.parts[0].task]) for f in self.families_]
        return JoinedLatent([(f.parts, self._family_latent(f, rows._replace(x=of_rows))) for f, of_rows in by_family])

    def _stand_in(self, t: int) -> float:
        """Weight of a task's regression on an expected source, beside the one on its label, where that is not known."""
        return self._stand_ins(self.table_).get(self.table_.names[t], 0.0)

    def _drawn_inputs(self, t: int, x: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Inputs (n, k) of a task at scaled features ``x`` (n, d) with labels ``source`` (n,) of the task before it."""
        before = self._follows(self.table_)[t]
        labels = np.full((len(x), len(self.tasks_)), np.nan)
        labels[:, before] = source
        parts = [p for p in self.table_.parts if p.task == before]
        unused = {
            p.role: np.zeros((len(x), 1 if p.likelihood.has_noise else len(p.likelihood.classes_ or ()))) for p in parts
        }
        return self.inputs_[t].of(x, self._source(self.table_, self.scaler_, t, labels, unused))

    def _family_inputs(self, family: Family) -> np.ndarray:
        return self.table_inputs_[family.parts[0].task]


def _expectation(part: TaskPart, latent: JoinedLatent) -> np.ndarray:
    """Mean of a part (n, 1) in scaled units, or the probabilities of its classes (n, K)."""
    block = latent.block(part)
    if part.likelihood.has_noise:
        return np.einsum("s,sn->n", block.weights, block.means[:, :, 0])[:, None]
    predictive = part.likelihood.predictive(block, latent.setting(part))
    assert isinstance(predictive, Discrete)
    return predictive.probabilities


def _with_known(part: TaskPart, expected: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Columns of a part: its scaled label or class ``value`` (n,) where that is known, else its expectation."""
    is_known = ~np.isnan(value)
    if part.likelihood.has_noise:
        return np.where(is_known, value, expected[:, 0])[:, None]
    probabilities = expected.copy()
    probabilities[is_known] = np.eye(probabilities.shape[1])[value[is_known].astype(int)]
    return probabilities[:, 1:] if probabilities.shape[1] == 2 else probabilities
