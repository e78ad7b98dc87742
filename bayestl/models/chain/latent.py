"""The joint distribution of a chain's labels in new rows of which some lack a source.

    p(y_l | x) = 1/K sum_k p(y_l | x, y_l-1^k),       y^k a path down the chain (``paths.py``)

A draw takes one path in each row: the target goes with its source.  Where a label further down is known, the paths of the
row follow it.  Rows whose sources are all known keep their closed form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from bayestl.distributions import Discrete, NormalMixture, PowerNormalMixture, Predictive
from bayestl.distributions.base import by_row
from bayestl.likelihoods import LatentBlock, Setting
from bayestl.likelihoods.positive import Positive
from bayestl.models.chain.levels import PATHS
from bayestl.models.chain.paths import Chain, ChainPaths
from bayestl.models.chain.rows import ByRow, given_number, particles, smoothed
from bayestl.table.new_rows import Rows
from bayestl.table.task import PartDraws, TaskPart

EXACT = 1e-10
"""Variance (scaled units) of what is known."""
LEAST_PATHS = 8
"""Fewer different numbers among the paths of a row do not make a distribution: what is known without the label below stays."""


class ChainLatent:
    """Latent values and labels of rows of which some lack a source (a ``bayestl.posterior.LabelledLatent``).

    Parameters are those of :class:`~bayestl.models.chain.paths.ChainPaths`.
    """

    def __init__(self, model: Chain, rows: Rows, inputs: Mapping[int, np.ndarray]) -> None:
        self._model = model
        self._chain = ChainPaths(model, rows, inputs)

    def _is_exact(self, part: TaskPart) -> bool:
        """Whether no row of the task is drawn, or informed by a label below."""
        return bool(self._chain.fixed[:, part.task].all()) and not self._chain.informed[:, part.task].any()

    def _part_labels(self, part: TaskPart, rows: np.ndarray) -> np.ndarray:
        """Labels (K, R) of a part in the paths of the given open rows, scaled; NaN where it has none."""
        task = self._model.tasks_[part.task]
        return self._model.scaler_.labels(
            self._chain.paths.labels[part.task][:, self._chain.position[rows]], part, task
        )

    def block(self, part: TaskPart) -> LatentBlock:
        """The latent values of a part: the exact mixture, or one with the components of every path."""
        base = self._chain.base_moments(part)
        if self._is_exact(part):
            return LatentBlock(self._chain.base[part].weights, *base)
        weights, setting = self._chain.components(part)
        component, path = self._pairs(part)
        where = component[:, None], path[:, None], np.arange(len(self._chain.open))
        moments = []
        for of_base, of_paths in zip(base, self._chain.of_paths(part), strict=True):
            values = of_base[component % len(of_base)]
            values[:, self._chain.open] = of_paths[where]
            moments.append(values)
        means, covariances = moments
        rows = np.flatnonzero(self._chain.informed[:, part.task])
        if len(rows) and part.likelihood.has_noise:
            means[:, rows, 0], covariances[:, rows, 0, 0] = given_number(
                means[:, rows, 0],
                covariances[:, rows, 0, 0],
                setting.noise[component][:, None],
                self._part_labels(part, rows)[path],
            )
        return LatentBlock(weights[component] * len(weights) / len(component), means, covariances)

    def together(self, parts: Sequence[TaskPart]) -> tuple[LatentBlock, list[Setting]] | None:
        """Whether a label is zero, and its size, on the same path; None where all paths are alike, or labels below inform them.

        On a path the two are independent, so all that the size needs of the other is its probability on that path.
        """
        nonzero, size = parts
        if self._is_exact(size) or self._chain.informed[:, size.task].any():
            return None
        chances, block = self.block(nonzero), self.block(size)
        z = chances.single()
        chance = by_row(z.weights) * ndtr(z.means / np.sqrt(1.0 + z.variances))
        n = chance.shape[1]
        shape = self._n_halves(size), PATHS, len(chance) // PATHS // self._n_halves(size), -1
        of_path = chance.reshape(shape).sum(axis=2) / by_row(z.weights).reshape(shape).sum(axis=2)
        per_path = len(block.weights) // PATHS // self._n_halves(size)
        score = ndtri(np.clip(of_path, 1e-12, 1 - 1e-12))
        means = np.concatenate([np.repeat(score, per_path, axis=1).reshape(-1, n)[..., None], block.means], axis=2)
        covariances = np.pad(block.covariances, ((0, 0), (0, 0), (1, 0), (1, 0)))
        setting = self.setting(size)
        return LatentBlock(block.weights, means, covariances), [setting, setting]

    def _n_halves(self, part: TaskPart) -> int:
        return len(self._chain.components(part)[0]) // len(self._chain.base[part].weights)

    def _pairs(self, part: TaskPart) -> tuple[np.ndarray, np.ndarray]:
        """Components and paths (C,) of :meth:`block`: as few as have each of either equally often, one with another."""
        size, n_components = len(self._chain.base[part].weights), len(self._chain.components(part)[0])
        pair = np.arange(math.lcm(size, PATHS))
        path = pair * PATHS // len(pair)
        halves = np.arange(0, n_components, size)
        return (pair % size + halves[:, None]).ravel(), np.tile(path, len(halves))

    def setting(self, part: TaskPart) -> Setting:
        """Noise and further hyperparameters of a part in each component of :meth:`block`."""
        if self._is_exact(part):
            return self._chain.base[part].setting(0, 0)
        return self._chain.components(part)[1].at(self._pairs(part)[0])

    def predictive(self, part: TaskPart, setting: Setting) -> Predictive:
        """The distribution of a part's label, given the ``setting`` of :meth:`block` in label units.

        Where a known label below informs it, it is that of the paths' labels.
        """
        others = part.likelihood.predictive(self.block(part), setting)
        rows = np.flatnonzero(self._chain.informed[:, part.task])
        if not len(rows):
            return others
        y = self._part_labels(part, rows)
        if isinstance(others, Discrete):
            chances = others.probabilities.copy()
            counts = (y[:, :, None] == np.arange(chances.shape[1])).sum(axis=0)
            chances[rows] = (counts + chances[rows]) / (PATHS + 1)  # paths say nothing of what is rarer
            return Discrete(chances, others.classes)
        has_label = (np.diff(np.sort(y, axis=0), axis=0) > 0).sum(axis=0) + 1 >= LEAST_PATHS
        if not has_label.any():
            return others
        labels = self._smooth_labels(part, particles(y[:, has_label]), setting.of_rows(rows[has_label]))
        return ByRow(len(self._chain.x), rows[has_label], labels, others)

    def _smooth_labels(self, part: TaskPart, y: np.ndarray, setting: Setting) -> Predictive:
        """The distribution of labels (K, R), scaled, each smoothed on the scale on which its errors are Gaussian."""
        if isinstance(part.likelihood, Positive):  # truncated at zero: on the scale of the root
            means, variances = smoothed(np.sqrt(setting.units(y)))
            return PowerNormalMixture(NormalMixture(np.full(PATHS, 1 / PATHS), means, variances), 0.5)
        means, variances = smoothed(y)
        block = LatentBlock(np.full(PATHS, 1 / PATHS), means[..., None], variances[..., None, None])
        sharp = setting.at(np.zeros(PATHS, dtype=int))._replace(noise=np.full(PATHS, EXACT))
        return part.likelihood.predictive(block, sharp)

    def moments(self) -> None:
        """None: the joint distribution of a row's tasks is known by draws only."""
        return

    def sample(self, n: int, generator: np.random.Generator, joint_rows: bool) -> list[PartDraws]:
        """``n`` draws over all parts, with the labels on which tasks below depend.

        A draw takes one path in each row.  All paths of a row are used before any is used again; with ``joint_rows`` the
        rows' paths are ranked as joint draws of their first labels, and functions are drawn jointly at the paths' inputs.
        """
        sets = np.concatenate([generator.permutation(PATHS) for _ in range(-(-n // PATHS))])[:n]
        path_of_set = self._path_sets(generator, joint_rows)
        shares = [self._chain.stand_in(t) for t in range(len(self._model.tasks_))]
        by_stand_in = [generator.uniform(size=path_of_set.shape) < share for share in shares]
        return [
            self._sample_part(part, sets, path_of_set, by_stand_in[part.task], generator, joint_rows)
            for part in self._model.table_.parts
        ]

    def _path_sets(self, generator: np.random.Generator, joint_rows: bool) -> np.ndarray:
        """Paths (K, R) that are drawn together in the open rows, each path of a row once."""
        first = np.zeros((PATHS, len(self._chain.x)))  # the first label that is not known
        leading = (~self._chain.known[:, self._chain.sources]).argmax(axis=1)
        for j, t in enumerate(self._chain.sources):
            rows = leading == j
            if joint_rows and rows[self._chain.open].any():
                drawn: dict[str, np.ndarray] = {}
                for part in (p for p in self._chain.family if p.task == t):
                    f, component = self._chain.base[part].sample(PATHS, generator, joint_rows=True)
                    location, scale = self._model.scaler_.units(part)
                    setting = (
                        self._chain.base[part].setting(0, 0).at(component)._replace(location=location, scale=scale)
                    )
                    drawn[part.role] = part.likelihood.draw(f[:, -len(self._chain.x) :], setting, generator)
                first[:, rows] = self._model.tasks_[t].observes.combine_draws(drawn)[:, rows]
        own = np.stack([self._chain.paths.labels[t] for t in self._chain.sources])[
            leading[self._chain.open], :, np.arange(len(self._chain.open))
        ].T
        ties = generator.uniform(size=own.shape)
        rank = np.lexsort((ties, first[:, self._chain.open]), axis=0).argsort(axis=0)
        return np.take_along_axis(np.argsort(own, axis=0, kind="stable"), rank, axis=0)

    def _sample_part(
        self,
        part: TaskPart,
        sets: np.ndarray,
        path_of_set: np.ndarray,
        by_stand_in: np.ndarray,
        generator: np.random.Generator,
        joint_rows: bool,
    ) -> PartDraws:
        n, t = len(self._chain.x), part.task
        base, shape = self._chain.base[part], (len(sets), n, len(part.channels))
        drawn = np.flatnonzero(~self._chain.fixed[:, t])
        own = np.flatnonzero(~self._chain.fixed[:, t] & self._chain.known[:, t])  # these were conditioned row by row
        f, component = np.empty(shape), np.empty(len(sets), dtype=int)
        above = self._chain.above[t]
        if above is None or not (joint_rows and len(drawn)):
            values, component = base.sample(len(sets), generator, joint_rows)
            f = values[:, -n:]
        else:
            for m in np.unique(sets):
                chosen, inputs = np.flatnonzero(sets == m), self._chain.inputs[t].copy()
                at = self._chain.position[drawn]
                labels = self._chain.paths.labels[above][path_of_set[m, at], at]
                moved = ~by_stand_in[m, at]
                inputs[drawn[moved]] = self._model._drawn_inputs(t, self._chain.x[drawn[moved]], labels[moved])
                values, component[chosen] = self._chain.at(part, inputs, np.arange(n)).sample(
                    len(chosen), generator, True
                )
                f[chosen] = values[:, -n:]
        path = path_of_set[sets][:, self._chain.position]  # of all rows; of use in open ones only
        half = np.where(
            by_stand_in[sets][:, self._chain.position] | (self._chain.stand_in(t) == 0), 0, len(base.weights)
        )
        rows = own if joint_rows else drawn
        if len(rows):
            mean, covariance = self._at_paths(part, component, path, half, rows)
            f[:, rows] = mean + _normal(covariance, generator)
        label = np.full(shape[:2], np.nan)
        rows = np.flatnonzero(~self._chain.known[:, t]) if t in self._chain.sources else np.empty(0, dtype=int)
        if len(rows):
            y = np.take_along_axis(self._part_labels(part, rows), path[:, rows], axis=0)
            setting = self._chain.components(part)[1].at(component)
            if part.likelihood.has_noise:
                variance = self._at_paths(part, component, path, half, rows)[1][..., 0, 0]
                noise = np.broadcast_to(setting.noise[:, None], variance.shape)
                new = f[:, rows, 0] + np.sqrt(noise) * generator.standard_normal(variance.shape)
                moved = f[:, rows, 0] + variance / (variance + noise) * (y - new)  # Matheron's rule
                f[:, rows, 0] = np.where(np.isnan(y), f[:, rows, 0], moved)
                y = np.where(
                    np.isnan(y),
                    np.nan,
                    np.take_along_axis(
                        self._chain.paths.labels[t][:, self._chain.position[rows]], path[:, rows], axis=0
                    ),
                )
            label[:, rows] = y
        return PartDraws(part, f, self._chain.components(part)[1].at(component), label)

    def _at_paths(
        self, part: TaskPart, component: np.ndarray, path: np.ndarray, half: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means (n, R, L) and covariances of a part's latent values in the drawn components and paths of open rows."""
        index = component[:, None] + half[:, rows], path[:, rows], self._chain.position[rows]
        means, covariances = self._chain.of_paths(part)
        return means[index], covariances[index]


def _normal(covariance: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draws (..., L) with the covariances (..., L, L)."""
    noise = generator.standard_normal(covariance.shape[:-1])
    if covariance.shape[-1] == 1:
        return np.sqrt(np.maximum(covariance[..., 0], 0.0)) * noise
    values, vectors = np.linalg.eigh(covariance)
    return np.einsum("...tk,...k->...t", vectors, np.sqrt(np.maximum(values, 0.0)) * noise)
