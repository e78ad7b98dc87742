"""Paths down a chain in rows that lack a source: ancestral draws of labels, weighted by the known labels below them.

    p(y_1 .. y_L | x) = p(y_1 | x) p(y_2 | x, y_1) ... p(y_L | x, y_L-1)

Every factor is a distribution of one number or class that is known in closed form.  A path is a label of each task, each the
quantile of its factor at a level (``levels.py``), so that no row's paths depend on which other rows are asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtr

from bayestl.distributions import Predictive, log_density_of
from bayestl.distributions.mixture import average
from bayestl.inference.gaussian.latent import ExactLatent
from bayestl.likelihoods import LatentBlock, Setting
from bayestl.models.chain.levels import PATHS, Proposals, lattice, resampled
from bayestl.models.chain.rows import given_label
from bayestl.models.exact.family import Family
from bayestl.table.measured import Measured
from bayestl.table.new_rows import Rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import Task, TaskPart

ROWS = 256
"""Rows whose paths are drawn at a time, which bounds the memory."""


class Chain(Protocol):
    """What paths need of a fitted chain."""

    table_: Table
    scaler_: Scaler
    tasks_: tuple[Task, ...]
    families_: list[Family]

    def _follows(self, table: Table) -> dict[int, int | None]:
        """The task that each task follows, None for the first ones; sources come first."""

    def _stand_in(self, t: int) -> float:
        """Weight of a task's regression on an expected source, in rows without the source."""

    def _drawn_inputs(self, t: int, x: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Inputs (n, k) of a task at scaled features (n, d) with labels ``source`` (n,) of the task before it."""

    def _family_latent(self, family: Family, rows: Rows) -> ExactLatent:
        """The latent values of a family at rows whose ``x`` are its inputs, given their further labels."""


@dataclass
class Descent:
    """Paths (K) down the chain in R rows."""

    labels: dict[int, np.ndarray]
    """Labels (K, R) of each task in label units: the known one in each path, else one per path; NaN in tasks that none follows."""
    means: dict[TaskPart, np.ndarray]
    """Means (S, K, R, L) of each part's latent values, given the path above."""
    covariances: dict[TaskPart, np.ndarray]
    log_weights: np.ndarray
    """Log densities (K, R) of the known labels, given the paths above them."""

    def chosen(self, paths: np.ndarray) -> Descent:
        """The paths at the positions (K, R)."""
        every = np.arange(paths.shape[1])
        labels = {t: y[paths, every] for t, y in self.labels.items()}
        means, covariances = (
            {p: v[:, paths, every] for p, v in of_parts.items()} for of_parts in (self.means, self.covariances)
        )
        return Descent(labels, means, covariances, self.log_weights[paths, every])

    def at(self, rows: np.ndarray) -> Descent:
        """The paths of the rows at the given positions."""
        labels = {t: y[:, rows] for t, y in self.labels.items()}
        means, covariances = ({p: v[:, :, rows] for p, v in a.items()} for a in (self.means, self.covariances))
        return Descent(labels, means, covariances, self.log_weights[:, rows])


def _joined(pieces: Sequence[Descent], axis: int) -> Descent:
    """Further paths of the same rows (axis 0), or the paths of further rows (axis 1)."""
    first = pieces[0]
    labels = {t: np.concatenate([p.labels[t] for p in pieces], axis=axis) for t in first.labels}
    means = {q: np.concatenate([p.means[q] for p in pieces], axis=axis + 1) for q in first.means}
    covariances = {q: np.concatenate([p.covariances[q] for p in pieces], axis=axis + 1) for q in first.means}
    return Descent(labels, means, covariances, np.concatenate([p.log_weights for p in pieces], axis=axis))


class ChainPaths:
    """The paths down a chain in rows of which some lack a source.

    Parameters
    ----------
    model : Chain
        The fitted chain.
    rows : Rows
        The rows, with their known labels.
    inputs : mapping of int to ndarray, shape (n, k)
        Inputs of each task, with the expectation of a source that is not known.

    Notes
    -----
    A label that the functions have not learnt, and whose source is known, informs them, as in the table.  One whose source is not known informs its own
    row only: the sources above it and its own latent value.

    The label of a task whose source is not known follows a mixture: with weight :meth:`stand_in`, the regression on
    the features that rows without a source have shown, independent of the source; else the one on the source's label.
    """

    def __init__(self, model: Chain, rows: Rows, inputs: Mapping[int, np.ndarray]) -> None:
        self._model, self._rows, self.x, self.inputs = model, rows, rows.x, inputs
        self.above = model._follows(model.table_)
        self.order = tuple(self.above)
        self.sources = [t for t in self.order if t in self.above.values()]
        nothing = Measured.none(len(rows.x), len(model.tasks_))
        labels = rows.known or nothing
        is_source = np.isin(np.arange(len(model.tasks_)), self.sources)
        self._labels = labels.hidden((labels.y != labels.high) & is_source)  # an interval is no input
        self._further = rows.further or nothing
        self.known = self._labels.present
        self.fixed = np.ones_like(self.known)
        for t, above in self.above.items():
            if above is not None:
                self.fixed[:, t] = self.known[:, above]
        self.informed = self._informed_from_below()
        self.family = {part: f for f in model.families_ for part in f.parts}
        every = np.arange(len(rows.x))
        self.base = {p: self.at(p, inputs[p.task], every) for p in self.family}
        self._base_moments: dict[TaskPart, tuple[np.ndarray, np.ndarray]] = {}
        self.open = np.flatnonzero(~self.fixed.all(axis=1))
        self.position = np.searchsorted(self.open, every).clip(max=len(self.open) - 1)
        self._weights = (self.known & ~self.fixed).any(axis=0)
        self.paths = self._all_paths()

    def _informed_from_below(self) -> np.ndarray:
        """Mask (n, T) of the unknown labels that a known label further down the chain informs."""
        informed = np.zeros_like(self.known)
        for t, above in reversed(self.above.items()):
            if above is not None:
                informed[:, above] |= ~self.known[:, above] & (self.known[:, t] | informed[:, t])
        return informed

    # ------------------------------------------------------------------------------------------------- down the chain

    def at(self, part: TaskPart, inputs: np.ndarray, rows: np.ndarray) -> ExactLatent:
        """Latent values of a part at ``inputs`` of the given rows, given further labels at known inputs.

        The rows with those labels come first.
        """
        t = part.task
        given = np.flatnonzero(self._further.present[:, t] & self.fixed[:, t])
        everything = np.concatenate([self.inputs[t][given], inputs])
        further = Measured.none(len(everything), self.known.shape[1]) if len(given) else None
        if further is not None:
            for values, labels in zip(further, self._further, strict=True):
                values[: len(given), t] = labels[given, t]
        chosen = np.concatenate([given, rows])
        at = Rows(everything, self._rows.group[chosen], self._rows.row[chosen], None, further)
        return self._model._family_latent(self.family[part], at)

    def _moments(self, part: TaskPart, inputs: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means (S, R, L) and covariances of a part's latent values at ``inputs`` of the given rows."""
        means, covariances = self.at(part, inputs, rows).moments()
        return means[:, -len(rows) :], covariances[:, -len(rows) :]

    def base_moments(self, part: TaskPart) -> tuple[np.ndarray, np.ndarray]:
        """Means (S, n, L) and covariances of a part's latent values at the inputs without drawn labels."""
        if part not in self._base_moments:
            n = len(self.x)
            means, covariances = self.base[part].moments()
            self._base_moments[part] = means[:, -n:], covariances[:, -n:]
        return self._base_moments[part]

    def stand_in(self, t: int) -> float:
        """Weight of a task's regression on an expected source, in rows without the source."""
        return self._model._stand_in(t)

    def components(self, part: TaskPart) -> tuple[np.ndarray, Setting]:
        """Weights and setting of a part's components given a path: those of the stand-in, if any, come first."""
        weights, setting = self.base[part].weights, self.base[part].setting(0, 0)
        share = self.stand_in(part.task)
        if share == 0:
            return weights, setting
        return np.concatenate([share * weights, (1 - share) * weights]), setting.at(np.tile(np.arange(len(weights)), 2))

    def _given(self, t: int, down: Descent, rows: np.ndarray, labels: Measured | None = None) -> Predictive:
        """The distribution of a task's label given each path in a mask of the rows; K R numbers, path by path.

        ``labels`` of the R rows have standard errors, which are then part of the distribution.
        """
        share = self.stand_in(t)
        members = []
        for half in (0, 1) if share else (0,):
            predicted = {}
            for part in (p for p in self.family if p.task == t):
                base, (location, scale) = self.base[part], self._model.scaler_.units(part)
                size = len(base.weights)
                moments = (
                    v[half * size : (half + 1) * size][:, :, rows] for v in (down.means[part], down.covariances[part])
                )
                block = LatentBlock(base.weights, *(v.reshape(size, -1, *v.shape[3:]) for v in moments))
                setting = base.setting(0, 0)._replace(location=location, scale=scale)
                if labels is not None:
                    error = self._model.scaler_.errors(labels, part, self._model.tasks_[t])
                    setting = setting._replace(error=np.tile(error, len(down.log_weights)))
                predicted[part.role] = part.likelihood.predictive(block, setting)
            members.append(self._model.tasks_[t].observes.combine(predicted))
        return average(np.array([share, 1 - share]) if share else np.ones(1), members)

    def of_paths(self, part: TaskPart) -> tuple[np.ndarray, np.ndarray]:
        """Means (S, K, R, L) of a part's latent values on the paths of the open rows, and covariances."""
        if part not in self.paths.means:
            few = [np.arange(i, min(i + ROWS, len(self.open))) for i in range(0, len(self.open), ROWS)]
            labels = self._above(part.task, self.paths)
            pieces = [self._part_moments(part, self.open[i], None if labels is None else labels[:, i]) for i in few]
            means, covariances = (np.concatenate(v, axis=2) for v in zip(*pieces, strict=True))
            self.paths.means[part], self.paths.covariances[part] = means, covariances
        return self.paths.means[part], self.paths.covariances[part]

    def _above(self, t: int, down: Descent) -> np.ndarray | None:
        """Labels (K, R) on paths of the task that a task follows, None for a first one."""
        above = self.above[t]
        return None if above is None else down.labels[above]

    def _part_moments(self, part: TaskPart, rows: np.ndarray, above: np.ndarray | None) -> tuple[np.ndarray, ...]:
        """Means (S, K, R, L) and covariances of a part at the given rows, on paths whose labels of the task before are ``above`` (K, R)."""
        t, k = part.task, PATHS
        share, drawn = self.stand_in(t), ~self.fixed[rows, t]
        base = [v[:, rows][:, None] for v in self.base_moments(part)]
        moments = [
            np.broadcast_to(v, (len(v), k, *v.shape[2:]))
            for v in (np.concatenate([b, b]) if share else b for b in base)
        ]
        if above is not None and drawn.any():
            repeated = np.tile(rows[drawn], k)
            inputs = self._model._drawn_inputs(t, self.x[repeated], above[:, drawn].ravel())
            moments = [v.copy() for v in moments]
            for values, at_paths in zip(moments, self._moments(part, inputs, repeated), strict=True):
                values[-len(at_paths) :, :, drawn] = at_paths.reshape(len(at_paths), k, -1, *at_paths.shape[2:])
        return tuple(moments)

    def _descend(self, rows: np.ndarray, scores: np.ndarray) -> Descent:
        """The paths of the given rows whose levels are those of normal ``scores`` (K, R, T), tasks in their order.

        Tasks on which no label of the open rows depends are left for :meth:`of_paths`.
        """
        k, r = scores.shape[:2]
        down = Descent({}, {}, {}, np.zeros((k, r)))
        for j, t in enumerate(self.order):
            drawn, known = ~self.fixed[rows, t], self.known[rows, t]
            if t in self.sources or self._weights[t]:
                for part in (p for p in self.family if p.task == t):
                    down.means[part], down.covariances[part] = self._part_moments(part, rows, self._above(t, down))
            down.labels[t] = np.tile(self._labels.y[rows, t], (k, 1))
            if (unknown := ~known).any() and t in self.sources:
                of_label = self._given(t, down, unknown)
                level = np.clip(ndtr(scores[:, unknown, j]), 1e-12, 1 - 1e-12)
                down.labels[t][:, unknown] = of_label.quantile(level.ravel()).reshape(k, -1)
            if (weighted := known & drawn).any():
                labels = self._labels.at(rows[weighted])
                of_label = self._given(t, down, weighted, labels)
                y, high = (np.tile(v[:, t], k) for v in (labels.y, labels.high))
                down.log_weights[:, weighted] += log_density_of(of_label, y, high).reshape(k, -1)
        return down

    def _all_paths(self) -> Descent:
        """Paths of the rows that lack a source: those of informed rows by weights."""
        is_informed = self.informed[self.open].any(axis=1)
        others, informed = self.open[~is_informed], self.open[is_informed]
        pieces, scores = [], lattice(len(self.order))
        for first in range(0, len(others), ROWS):
            rows = others[first : first + ROWS]
            pieces.append(self._descend(rows, np.repeat(scores[:, None], len(rows), axis=1)))
        pieces += [self._weighted(informed[i : i + ROWS]) for i in range(0, len(informed), ROWS)]
        return _joined(pieces, 1).at(np.argsort(np.concatenate([others, informed])))

    def _weighted(self, rows: np.ndarray) -> Descent:
        """Paths of informed rows, resampled by their weights, in the order of the first label that is drawn."""
        free = ~self.known[rows][:, list(self.order)] & np.isin(self.order, self.sources)
        proposals, rounds = Proposals(free), []
        while True:
            rounds.append(self._descend(rows, proposals.next_scores()))
            if proposals.settle(rounds[-1].log_weights):
                break
        paths = _joined(rounds, 0).chosen(resampled(proposals.weights(), proposals.leading()))
        for part in paths.means:
            own = self.known[rows, part.task] & ~self.fixed[rows, part.task]
            if own.any():
                self._condition(part, paths, rows, own)
        return paths

    def _condition(self, part: TaskPart, paths: Descent, rows: np.ndarray, own: np.ndarray) -> None:
        """Condition the latent values of a part on the known labels of its own task at a mask of the rows, in place.

        The regression on an expected source has learnt the labels of the fitted rows already.
        """
        task, setting = self._model.tasks_[part.task], self.components(part)[1]
        half = len(self.base[part].weights) if self.stand_in(part.task) else 0
        halves = (slice(0, half), self._further), (slice(half, len(setting.noise)), self._labels)
        for values in (paths.means, paths.covariances):
            values[part] = values[part].copy()
        for components, labels in halves:
            y, se2, high = (np.tile(v, (PATHS, 1)) for v in self._model.scaler_.block(labels.at(rows[own]), part, task))
            moments = paths.means[part][components][:, :, own], paths.covariances[part][components][:, :, own]
            chosen = setting.at(np.arange(len(setting.noise))[components])
            if len(chosen.noise):
                updated = given_label(part.likelihood, *moments, chosen, y, high, se2)
                for values, given in zip((paths.means, paths.covariances), updated, strict=True):
                    values[part][components][:, :, own] = given  # a view of these components
