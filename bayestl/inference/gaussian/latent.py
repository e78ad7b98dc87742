"""Latent values of new rows under an exact posterior: moments within rows, and draws with or without correlated rows.

    p(f) = sum_s w_s N(f | m_s, V_s)

:class:`ExactLatent` has one Gaussian per component of the posterior; :class:`JoinedLatent` joins families of tasks that are
independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayestl.device import tensor, to_numpy
from bayestl.inference.gaussian.component import Component
from bayestl.inference.threads import threads_for
from bayestl.kernels.cholesky import cholesky
from bayestl.likelihoods import LatentBlock, Setting
from bayestl.priors.processes import Points
from bayestl.table.task import PartDraws, TaskPart

MAX_JOINT = 12_000
"""Largest number of rows x tasks for joint draws: the covariance of that many values is 1.2 GB."""


def _in_threads(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of :class:`ExactLatent`, in as many threads as its labels and rows call for."""

    @wraps(method)
    def limited(self: ExactLatent, *arguments: Any, **options: Any) -> Any:
        with threads_for(max(len(self._x), len(self._components[0].labels))):
            return method(self, *arguments, **options)

    return limited


class ExactLatent:
    """Latent values of n rows and C channels of one family of tasks."""

    def __init__(
        self, components: Sequence[Component], weights: np.ndarray, x: Tensor, group: Tensor, row: Tensor
    ) -> None:
        self._components, self._x, self._group, self._row = components, x, group, row
        self.weights = weights
        with torch.no_grad():
            self.noise = np.stack([to_numpy(c.prior.residual.variance()) for c in components])
        self._moments: tuple[np.ndarray, np.ndarray] | None = None

    def at_rows(self, rows: np.ndarray) -> ExactLatent:
        """The latent values of the rows at positions (k,)."""
        at = tensor(rows, self._x.device)
        return ExactLatent(self._components, self.weights, self._x[at], self._group[at], self._row[at])

    def setting(self, channel: int, part: int) -> Setting:
        """Noise of a channel and further hyperparameters of the likelihood of its part, in each component."""
        with torch.no_grad():
            further = np.stack([to_numpy(c.prior.further(part)) for c in self._components])
        return Setting(self.noise[:, channel], further)

    @_in_threads
    @torch.no_grad()
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Means (S, n, C) and the covariances within each row (S, n, C, C)."""
        if self._moments is None:
            n, n_tasks = len(self._x), self.noise.shape[1]
            means = np.empty((len(self.weights), n, n_tasks))
            covariances = np.empty((len(self.weights), n, n_tasks, n_tasks))
            for s, c in enumerate(self._components):
                for start in range(0, n, c.rows_at_once):
                    rows = slice(start, min(start + c.rows_at_once, n))
                    mean, covariance = c.within_rows(self._points(rows))
                    means[s, rows], covariances[s, rows] = to_numpy(mean), to_numpy(covariance)
            self._moments = means, covariances
        return self._moments

    def _points(self, rows: slice) -> Points:
        x = self._x[rows]
        row = self._row[rows]
        return Points(x, torch.zeros_like(row), self._group[rows], row)

    @torch.no_grad()
    def sample(self, n: int, generator: np.random.Generator, joint_rows: bool) -> tuple[np.ndarray, np.ndarray]:
        """Draws (n, rows, T) and the component of each; with ``joint_rows`` correlated over rows too.

        Raises
        ------
        ValueError
            If joint draws are asked for more than ``MAX_JOINT`` values.
        """
        component = np.sort(generator.choice(len(self.weights), size=n, p=self.weights))
        return self.draw(component, generator, joint_rows), component

    @_in_threads
    @torch.no_grad()
    def draw(self, component: np.ndarray, generator: np.random.Generator, joint_rows: bool) -> np.ndarray:
        """One draw (rows, T) from each of the given components, with the errors of :meth:`sample`."""
        n_rows, n_tasks = len(self._x), self.noise.shape[1]
        draws = np.empty((len(component), n_rows, n_tasks))
        if joint_rows and n_rows * n_tasks > MAX_JOINT:
            raise ValueError(
                f"joint draws of {n_rows} rows x {n_tasks} tasks need the covariance of {n_rows * n_tasks} values "
                f"(at most {MAX_JOINT}): ask for the posterior of fewer rows at a time"
            )
        for s in np.unique(component):
            chosen = np.flatnonzero(component == s)
            if joint_rows:
                mean, root = self._joint(int(s))
                noise = generator.standard_normal((len(chosen), n_rows * n_tasks))
                values = mean + noise @ root.T
                draws[chosen] = values.reshape(len(chosen), n_tasks, n_rows).transpose(0, 2, 1)
            else:
                means, covariances = self.moments()
                root = _row_roots(covariances[s])
                noise = generator.standard_normal((len(chosen), n_rows, n_tasks))
                draws[chosen] = means[s] + np.einsum("ntu,knu->knt", root, noise)
        return draws

    def _joint(self, s: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and a root of the covariance of all latent values, task by task."""
        mean, covariance = self._components[s].of_rows(self._points(slice(None)))
        return to_numpy(mean), to_numpy(_root(covariance))


def _root(covariance: Tensor) -> Tensor:
    """A root of a posterior covariance; where rounding has made a variance negative, that of its positive part."""
    try:
        return cholesky(covariance, covariance.new_full((len(covariance),), 1e-10))[0]
    except torch.linalg.LinAlgError:
        values, vectors = torch.linalg.eigh(covariance)
        return vectors * values.clamp_min(0.0).sqrt()


def _row_roots(covariances: np.ndarray) -> np.ndarray:
    """Symmetric square roots of matrices (n, T, T), with eigenvalues that rounding made negative set to zero."""
    values, vectors = np.linalg.eigh(covariances)
    return np.einsum("ntk,nk,nuk->ntu", vectors, np.sqrt(np.maximum(values, 0.0)), vectors)


class JoinedLatent:
    """Latent values of several families that are independent of each other (a ``bayestl.posterior.Latent``).

    Parameters
    ----------
    families : sequence of (parts, latent)
        The parts of each family, and its latent values; channels of the parts are numbered over all families.
    """

    def __init__(self, families: Sequence[tuple[tuple[TaskPart, ...], ExactLatent]]) -> None:
        self._families = families
        self._home = {
            c: (f, local)
            for f, (parts, _) in enumerate(families)
            for local, c in enumerate(channel for part in parts for channel in part.channels)
        }

    def at_rows(self, rows: np.ndarray) -> JoinedLatent:
        """The latent values of the rows at positions (k,)."""
        return JoinedLatent([(parts, latent.at_rows(rows)) for parts, latent in self._families])

    def _place(self, part: TaskPart) -> tuple[ExactLatent, list[int], int]:
        f, _ = self._home[part.channels[0]]
        parts, latent = self._families[f]
        return latent, [self._home[c][1] for c in part.channels], parts.index(part)

    def block(self, part: TaskPart) -> LatentBlock:
        """The mixture of Gaussians of the latent values of a part."""
        return self._block([part])

    def _block(self, parts: Sequence[TaskPart]) -> LatentBlock:
        """The mixture of Gaussians of the latent values of parts of one family."""
        latent, local = self._place(parts[0])[0], [c for part in parts for c in self._place(part)[1]]
        means, covariances = latent.moments()
        return LatentBlock(latent.weights, means[:, :, local], covariances[:, :, local][:, :, :, local])

    def together(self, parts: Sequence[TaskPart]) -> tuple[LatentBlock, list[Setting]] | None:
        """The joint posterior of the latent values of parts of one family; None for parts of independent families."""
        if len({self._home[part.channels[0]][0] for part in parts}) > 1:
            return None
        return self._block(parts), [self.setting(part) for part in parts]

    def setting(self, part: TaskPart) -> Setting:
        """Noise and further hyperparameters of a part in each component."""
        latent, local, position = self._place(part)
        return latent.setting(local[0], position)

    def moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Weights (S,), means (S, n, C), covariances within rows (S, n, C, C) and noise (S, C) of all channels.

        Components of different families, whose hyperparameters are independent draws, are coupled (:func:`coupled`).
        """
        first = self._families[0][1].moments()[0]
        n, total = first.shape[1], len(self._home)
        weights, components = coupled([latent.weights for _, latent in self._families])
        size = len(weights)
        means, noise = np.empty((size, n, total)), np.empty((size, total))
        covariances = np.zeros((size, n, total, total))
        for (parts, latent), chosen in zip(self._families, components, strict=True):
            channels = [c for part in parts for c in part.channels]
            family_means, family_covariances = latent.moments()
            means[:, :, channels] = family_means[chosen]
            noise[:, channels] = latent.noise[chosen]
            covariances[np.ix_(range(size), range(n), channels, channels)] = family_covariances[chosen]
        return weights, means, covariances, noise

    def sample(self, n: int, generator: np.random.Generator, joint_rows: bool) -> list[PartDraws]:
        """Draws of the latent values of each part, with the hyperparameters of its likelihood."""
        draws: dict[TaskPart, PartDraws] = {}
        for parts, latent in self._families:
            f, component = latent.sample(n, generator, joint_rows)
            order = generator.permutation(n) if len(self._families) > 1 else np.arange(n)
            f, component = f[order], component[order]
            used = 0
            for position, part in enumerate(parts):
                local = slice(used, used + len(part.channels))
                used += len(part.channels)
                draws[part] = PartDraws(part, f[:, :, local], latent.setting(local.start, position).at(component))
        return sorted(draws.values(), key=lambda d: d.part.channels)


def coupled(weights: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Weights (S,) of tuples of components of several mixtures, and the components of each mixture in them.

    Each mixture keeps the weights of its components exactly: the unit interval is cut where a component of any of them ends.
    """
    ends = [np.cumsum(w) / w.sum() for w in weights]
    cuts = np.unique(np.concatenate([e[:-1] for e in ends] + [np.zeros(1), np.ones(1)]).round(12))
    middle = 0.5 * (cuts[1:] + cuts[:-1])
    return np.diff(cuts), [np.searchsorted(e, middle).clip(max=len(e) - 1) for e in ends]


def resample(weights: np.ndarray, size: int) -> np.ndarray:
    """Indices of ``size`` components in proportion to their weights (systematic resampling)."""
    return np.searchsorted(np.cumsum(weights), (np.arange(size) + 0.5) / size).clip(max=len(weights) - 1)
