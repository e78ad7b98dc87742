"""A chain: each task is a Gaussian process over the features and the labels of the task before it.

    y_l ~ Likelihood(f_l),        f_l = g_l(y_{l-1}) + h_l(x, y_{l-1}),        g_l, h_l ~ GP

Where the label of the source is not known, its prediction stands in, and an input says so: the explicit latent variable of
Hutchinson et al. 2017 with known labels used as they are.  It is a nonlinear autoregressive process (Perdikaris et al.
2017, *Nonlinear information fusion algorithms*) with the source plugged in, so it is exact where the labels are Gaussian,
cheap, and takes thousands of rows; what it gives up is that the target does not inform the source.  Where training had hardly
a row without its source, a new row's unknown source is integrated out by draws instead.

With ``inputs="forest"`` the features enter through cross-fitted predictions of forests (``forests.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from bayestl.diagnostics.checks import Check
from bayestl.diagnostics.draws import RowDraws
from bayestl.inference.gaussian.latent import ExactLatent, JoinedLatent, MixedLatent
from bayestl.kernels.combined import Covariance, with_sources
from bayestl.models.base import BayesianModel
from bayestl.models.chain.forests import ForestStack
from bayestl.models.exact.family import Family
from bayestl.models.exact.model import ExactModel
from bayestl.models.exact.transfer import transfer_checks
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Smooth
from bayestl.priors.task_specific import independent_prior
from bayestl.table.graph import order_levels
from bayestl.table.scaler import Scaler
from bayestl.table.table import Known, Table
from bayestl.table.task import Task, TaskPart

INPUTS = (None, "forest")
SOURCE = "label before"
"""Inputs from the task before have names that begin with it."""
FOREST_LABELS = 200
"""With fewer labels of a task its features enter as they are: trees have learnt too little."""
LEAST_WITHOUT = 20
"""Labelled rows without their source from which a model learns what a prediction in its place is worth."""
SOURCE_DRAWS = 32
"""Labels drawn for an unknown source where it has not learnt that."""


@dataclass
class Inputs:
    """How the inputs of one task are made: a forest a part, and location and scale of what they give and of the source."""

    stacks: list[ForestStack]
    location: np.ndarray
    scale: np.ndarray
    without_source: int
    """Labelled rows of the table whose source is not known."""

    def of(self, x: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Inputs (n, k) from features ``x`` (n, d) and the source's columns."""
        both = np.hstack([x, source])
        first = [stack.transform(both) for stack in self.stacks] or [x]
        return (np.hstack([*first, source]) - self.location) / self.scale


class ChainGP(ExactModel):
    """Each task a Gaussian process over the features and the label of the task before it.

    Parameters
    ----------
    levels : list of str, optional
        All label columns, the source first; default: the columns in their order.
    inputs : {"forest", None}
        Whether the features enter as they are, or as cross-fitted predictions of forests: better with many weak features such
        as those of compositions.  Tasks with fewer than 200 labels take the features as they are.
    tasks, kernel, hyperparameters, n_starts, random_state, verbose
        As for :class:`IndependentGP`.

    Notes
    -----
    ``groups`` give each task a spread between groups.  A saved model fits its forests again when it is loaded, from the
    same seed.

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
        levels: Sequence[str] | None = None,
        inputs: str | None = "forest",
        tasks: Sequence[Task] | None = None,
        kernel: str | Covariance = "matern52",
        hyperparameters: str = "auto",
        n_starts: int = 1,
        random_state: int = 0,
        verbose: bool = True,
    ) -> None:
        super().__init__(tasks, kernel, hyperparameters, n_starts, random_state, verbose)
        self.levels = levels
        self.inputs = inputs

    _labels_are_inputs = True
    inputs_: dict[int, Inputs]
    made_: dict[int, np.ndarray]

    def _families(self, table: Table) -> list[tuple[TaskPart, ...]]:
        """One a part, sources first."""
        order = order_levels(self.levels, table.names)
        return [(part,) for t in order for part in table.parts if part.task == t]

    def _transfer_checks(self, loo: pd.DataFrame) -> Iterable[Check]:
        return transfer_checks(self, loo)

    def _prior(self, table: Table, parts: tuple[TaskPart, ...], columns: Sequence[str]) -> Prior:
        return independent_prior(parts, table.group is not None, lambda: self._smooth(columns))

    def _columns(self, table: Table, parts: tuple[TaskPart, ...], d: int) -> Sequence[str]:
        stacks = self._stacks(table, parts[0].task)
        names = [f"forest {i}" for i in range(sum(s.n_outputs for s in stacks))] or list(table.features)
        return names + [f"{SOURCE} {i}" for i in range(d - len(names))]

    def _smooth(self, columns: Sequence[str]) -> Smooth:
        sources = [c for c in columns if c.startswith(SOURCE)]
        return Smooth(with_sources(self.kernel, [c for c in columns if c not in sources], sources))

    def _learn(self, table: Table, scaler: Scaler) -> dict[str, Any]:
        self._check()
        if self.inputs not in INPUTS:
            raise ValueError(f"inputs must be one of {INPUTS}, got {self.inputs!r}")
        return self._build(table, scaler, lambda parts, x, _: self._learn_family(table, scaler, parts, x))

    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray]) -> dict[str, Any]:
        return self._build(table, scaler, lambda parts, x, i: self._restore_family(table, scaler, parts, x, state, i))

    def _build(self, table: Table, scaler: Scaler, make: Any) -> dict[str, Any]:
        """Families one after another, each with inputs from those before it."""
        x, labels = scaler.features(table.x), Known(table.y, table.high)
        group = torch.zeros(len(x), dtype=torch.long) - 1
        families: list[Family] = []
        inputs: dict[int, Inputs] = {}
        made: dict[int, np.ndarray] = {}
        for i, parts in enumerate(self._families(table)):
            t = parts[0].task
            if t not in inputs:
                before = self._before(table, t)
                expected = self._expectations(before, [] if before is None else [made[before]], group, families)
                source = self._source(table, scaler, t, labels, expected)
                inputs[t], made[t] = self._inputs(table, scaler, t, x, source, labels)
            families.append(make(parts, made[t], i))
        return {"families_": families, "inputs_": inputs, "made_": made}

    def _stacks(self, table: Table, t: int) -> list[ForestStack]:
        """A stack of trees for each part of a task, not fitted; none where the features enter as they are."""
        if self.inputs is None or (~np.isnan(table.y[:, t])).sum() < FOREST_LABELS:
            return []
        likelihoods = [p.likelihood for p in table.parts if p.task == t]
        classes = [None if one.has_noise else len(one.classes_ or ()) for one in likelihoods]
        return [ForestStack(n, int(self.random_state)) for n in classes]

    def _inputs(
        self, table: Table, scaler: Scaler, t: int, x: np.ndarray, source: np.ndarray, labels: Known
    ) -> tuple[Inputs, np.ndarray]:
        """How the inputs of a task are made, and those of the table's rows."""
        stacks = self._stacks(table, t)
        first = []
        for part, stack in zip((p for p in table.parts if p.task == t), stacks, strict=False):
            y = scaler.labels(labels.y[:, t], part, table.tasks[t])
            first.append(stack.fit_transform(np.hstack([x, source]), np.where(np.isfinite(y), y, np.nan)))
        both = np.hstack([*(first or [x]), source])
        scale = both.std(axis=0)
        known = source[:, -1] > 0 if source.shape[1] else np.ones(len(x), dtype=bool)
        without = int((~known & ~np.isnan(labels.y[:, t])).sum())
        own = Inputs(stacks, both.mean(axis=0), np.where(scale > 1e-9, scale, 1.0), without)
        return own, (both - own.location) / own.scale

    def _before(self, table: Table, t: int) -> int | None:
        """The task whose label a task follows."""
        order = order_levels(self.levels, table.names)
        level = order.index(t)
        return order[level - 1] if level else None

    def _expectations(
        self, t: int | None, inputs: Sequence[np.ndarray], group: torch.Tensor, families: Sequence[Family]
    ) -> dict[str, np.ndarray]:
        """What is expected of each part of a task at rows with these inputs, equally likely alternatives averaged."""
        out = {}
        for family in families:
            (part,) = family.parts
            if part.task == t:
                places = [family.posterior.at(torch.from_numpy(one), group) for one in inputs]
                each = [_expectation(part, JoinedLatent([(family.parts, place)])) for place in places]
                out[part.role] = np.mean(each, axis=0)
        return out

    def _source(
        self, table: Table, scaler: Scaler, t: int, labels: Known, expected: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Columns (n, k) for the label of the task before: its value, or what is expected where it is not known."""
        before = self._before(table, t)
        if before is None:
            return np.empty((len(labels.y), 0))
        label = labels.y[:, before]
        columns = {}
        for part in (p for p in table.parts if p.task == before):
            value = scaler.labels(label, part, table.tasks[before])
            columns[part.role] = _with_known(part, expected[part.role], np.where(np.isfinite(value), value, np.nan))
        main = columns[""]
        if "nonzero" in columns:
            chance = columns["nonzero"]
            main = np.hstack([chance, np.where(chance > 0, chance * main, 0.0)])
        return np.column_stack([main, (~np.isnan(label)).astype(float)])

    def _prior_at_table(self, table: Table, seed: int) -> RowDraws:
        return BayesianModel._prior_at_table(self, table, seed)  # its inputs are labels

    def _latent(self, x: np.ndarray, group: np.ndarray, observed: Known | None) -> JoinedLatent:
        nothing = np.full((len(x), len(self.tasks_)), np.nan)
        labels = Known(nothing, nothing) if observed is None else observed
        codes = torch.from_numpy(group)
        made: dict[int, list[np.ndarray]] = {}
        out: list[tuple[tuple[TaskPart, ...], ExactLatent | MixedLatent]] = []
        for family in self.families_:
            t = family.parts[0].task
            if t not in made:
                before = self._before(self.table_, t)
                expected = self._expectations(before, [] if before is None else made[before], codes, self.families_)
                each = self._with_source(t, before, labels, out)
                sources = [self._source(self.table_, self.scaler_, t, y, expected) for y in each]
                made[t] = [self.inputs_[t].of(x, source) for source in sources]
            latents = [self._family_latent(family, inputs, group, observed) for inputs in made[t]]
            out.append((family.parts, latents[0] if len(latents) == 1 else MixedLatent(latents)))
        return JoinedLatent(out)

    def _with_source(
        self,
        t: int,
        before: int | None,
        labels: Known,
        above: Sequence[tuple[tuple[TaskPart, ...], ExactLatent | MixedLatent]],
    ) -> list[Known]:
        """The labels, or several versions of them with draws for the sources that are not known.

        Where training had rows without their source, the model knows how far a prediction in its place is to be trusted;
        where it had not, the prediction is averaged over what the source may be.
        """
        if before is None or self.inputs_[t].without_source >= LEAST_WITHOUT:
            return [labels]
        unknown = np.isnan(labels.y[:, before])
        if not unknown.any():
            return [labels]
        generator = np.random.default_rng(int(self.random_state))
        latent = JoinedLatent([(parts, one) for parts, one in above if parts[0].task == before])
        drawn = {}
        for part, f, setting in latent.sample(SOURCE_DRAWS, generator, joint_rows=False):
            location, scale = self.scaler_.units(part)
            drawn[part.role] = part.likelihood.draw(f, setting._replace(location=location, scale=scale), generator)
        values = self.tasks_[before].observes.combine_draws(drawn)
        out = []
        for value in values:
            y, high = labels.y.copy(), labels.high.copy()
            y[unknown, before] = high[unknown, before] = value[unknown]
            out.append(Known(y, high))
        return out

    def _family_inputs(self, family: Family) -> np.ndarray:
        return self.made_[family.parts[0].task]


def _expectation(part: TaskPart, latent: JoinedLatent) -> np.ndarray:
    """Mean of a part (n, 1), scaled units, or the probabilities of its classes (n, K)."""
    block = latent.block(part)
    if part.likelihood.has_noise:
        return np.einsum("s,sn->n", block.weights, block.means[:, :, 0])[:, None]
    return part.likelihood.predictive(block, latent.setting(part)).probabilities  # type: ignore[attr-defined]


def _with_known(part: TaskPart, expected: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Columns of a part: its scaled label or class ``value`` (n,) where that is known, else what is expected of it."""
    there = ~np.isnan(value)
    if part.likelihood.has_noise:
        return np.where(there, value, expected[:, 0])[:, None]
    chances = expected.copy()
    chances[there] = np.eye(chances.shape[1])[value[there].astype(int)]
    return chances[:, 1:] if chances.shape[1] == 2 else chances
