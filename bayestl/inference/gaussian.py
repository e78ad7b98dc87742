"""Conditioning: the posterior of latent values given Gaussian labels, averaged over hyperparameters.

    p(f | y) = sum_s w_s N(f | K_s* (K_s + D_s)^-1 y, K_s** - K_s* (K_s + D_s)^-1 K_*s)

One component a set of hyperparameters: one at their maximum, several from the Laplace approximation (or, later, from
MCMC).  New labels are conditioned on exactly, by extending the Cholesky factor, and shift the weights.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from bayestl.inference.exact import Labels, cholesky, get_raw, noise_variance, set_raw
from bayestl.kernels import Points, Prior

CHUNK_ROWS = 1024
"""Rows predicted at a time, which bounds the memory for cross-covariances."""
MAX_JOINT = 12_000
"""Largest rows x tasks for which joint draws are made: the covariance of that many values is 1.2 GB."""


@dataclass(frozen=True)
class Component:
    """The labels under one set of hyperparameters: ``factor`` of their covariance, ``whitened`` = factor^-1 y."""

    prior: Prior
    labels: Labels
    factor: Tensor
    whitened: Tensor

    @classmethod
    def of(cls, prior: Prior, labels: Labels) -> Component:
        """Factorise; raises ``torch.linalg.LinAlgError`` where that fails."""
        factor, _ = cholesky(prior.covariance(labels.points, labels.points), noise_variance(prior, labels))
        return cls(prior, labels, factor, _solve(factor, labels.y))

    def extended(self, extra: Labels) -> tuple[Component, float]:
        """With more labels, and their log predictive density."""
        cross = _solve(self.factor, self.prior.covariance(self.labels.points, extra.points))
        schur = self.prior.covariance(extra.points, extra.points) - cross.T @ cross
        corner, _ = cholesky(schur, noise_variance(self.prior, extra))
        n, m = len(self.labels), len(extra)
        factor = self.factor.new_zeros(n + m, n + m)
        factor[:n, :n], factor[n:, :n], factor[n:, n:] = self.factor, cross.T, corner
        whitened = _solve(corner, extra.y - cross.T @ self.whitened)
        log_density = (
            -0.5 * float(whitened @ whitened) - float(corner.diagonal().log().sum()) - 0.5 * m * np.log(2 * np.pi)
        )
        both = Labels(
            self.labels.points.join(extra.points),
            torch.cat([self.labels.y, extra.y]),
            torch.cat([self.labels.se2, extra.se2]),
        )
        return Component(self.prior, both, factor, torch.cat([self.whitened, whitened])), log_density

    def project(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of quantities whose covariance with the labels is (k, N), and ``factor^-1 covariance'`` (N, k)."""
        half = _solve(self.factor, covariance.T)
        return half.T @ self.whitened, half


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    columns = right if right.ndim == 2 else right[:, None]
    out = torch.linalg.solve_triangular(factor, columns, upper=False)
    return out if right.ndim == 2 else out[:, 0]


class ExactPosterior:
    """A mixture of :class:`Component` over hyperparameters."""

    def __init__(self, components: list[Component], weights: np.ndarray) -> None:
        self.components = components
        self.weights = weights / weights.sum()

    @classmethod
    @torch.no_grad()
    def of(cls, prior: Prior, labels: Labels, draws: np.ndarray, weights: np.ndarray | None = None) -> ExactPosterior:
        """A component for each row of ``draws`` (S, P) that can be factorised.

        Raises
        ------
        torch.linalg.LinAlgError
            If none can.
        """
        weights = np.ones(len(draws)) if weights is None else weights
        components, kept = [], []
        for raw, weight in zip(draws, weights, strict=True):
            own = copy.deepcopy(prior)
            set_raw(own, raw)
            try:
                components.append(Component.of(own, labels))
            except torch.linalg.LinAlgError:
                continue
            kept.append(weight)
        if not components:
            raise torch.linalg.LinAlgError("no set of hyperparameters gives a positive definite covariance")
        return cls(components, np.asarray(kept))

    @property
    def draws(self) -> np.ndarray:
        """The raw hyperparameters of each component, (S, P)."""
        return np.stack([get_raw(c.prior) for c in self.components])

    @torch.no_grad()
    def condition(self, extra: Labels) -> ExactPosterior:
        """Given more labels, with the hyperparameters' weights updated by how well each predicted them."""
        pairs = [component.extended(extra) for component in self.components]
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights) + np.array([log_density for _, log_density in pairs])
        return ExactPosterior([c for c, _ in pairs], np.exp(log_weights - logsumexp(log_weights)))

    @torch.no_grad()
    def process(self, p: int, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Mean (S, k) and covariance (S, k, k) of the process ``u_p`` at ``points``."""
        means, covariances = [], []
        for c in self.components:
            mean, half = c.project(c.prior.process_covariance(p, points, c.labels.points))
            means.append(mean.numpy())
            covariances.append((c.prior[p].covariance(points, points) - half.T @ half).numpy())
        return np.stack(means), np.stack(covariances)

    def at(self, x: Tensor, group: Tensor) -> ExactLatent:
        """The latent values of rows ``x`` (n, d) with group codes (n,), for all tasks."""
        return ExactLatent(self, x, group)


class ExactLatent:
    """Latent values of n rows and T tasks (the protocol ``bayestl.posterior.Latent``)."""

    def __init__(self, posterior: ExactPosterior, x: Tensor, group: Tensor) -> None:
        self._posterior, self._x, self._group = posterior, x, group
        self.weights = posterior.weights
        with torch.no_grad():
            self.noise = np.stack([c.prior.noise.variance().numpy() for c in posterior.components])
        self._moments: tuple[np.ndarray, np.ndarray] | None = None

    def marginals(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances, each (S, n, T)."""
        means, covariances = self._rows()
        return means, np.diagonal(covariances, axis1=2, axis2=3)

    def row_covariances(self) -> np.ndarray:
        """(S, n, T, T)."""
        return self._rows()[1]

    @torch.no_grad()
    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        if self._moments is None:
            n, n_tasks = len(self._x), self.noise.shape[1]
            means = np.empty((len(self.weights), n, n_tasks))
            covariances = np.empty((len(self.weights), n, n_tasks, n_tasks))
            for s, c in enumerate(self._posterior.components):
                mixing = c.prior.mixing.weights()
                for start in range(0, n, CHUNK_ROWS):
                    rows = slice(start, min(start + CHUNK_ROWS, n))
                    halves = []
                    for t in range(n_tasks):
                        points = self._points(rows, t)
                        mean, half = c.project(c.prior.covariance(points, c.labels.points))
                        means[s, rows, t] = mean.numpy()
                        halves.append(half)
                    reduction = np.stack([[(a * b).sum(0).numpy() for b in halves] for a in halves])
                    covariances[s, rows] = (mixing @ mixing.T).numpy() - np.moveaxis(reduction, 2, 0)
            self._moments = means, covariances
        return self._moments

    def _points(self, rows: slice, task: int) -> Points:
        x = self._x[rows]
        return Points(x, torch.full((len(x),), task, dtype=torch.long), self._group[rows])

    @torch.no_grad()
    def sample(self, n: int, generator: np.random.Generator, joint_rows: bool) -> tuple[np.ndarray, np.ndarray]:
        """Draws (n, rows, T) and the component of each; with ``joint_rows`` correlated over rows too.

        Raises
        ------
        ValueError
            If joint draws are asked for more than ``MAX_JOINT`` values.
        """
        n_rows, n_tasks = len(self._x), self.noise.shape[1]
        component = np.sort(generator.choice(len(self.weights), size=n, p=self.weights))
        out = np.empty((n, n_rows, n_tasks))
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
                draws = mean + noise @ root.T
                out[chosen] = draws.reshape(len(chosen), n_tasks, n_rows).transpose(0, 2, 1)
            else:
                means, covariances = self._rows()
                root = _row_roots(covariances[s])
                noise = generator.standard_normal((len(chosen), n_rows, n_tasks))
                out[chosen] = means[s] + np.einsum("ntu,knu->knt", root, noise)
        return out, component

    def _joint(self, s: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and a square root of the covariance of all values, task by task."""
        c = self._posterior.components[s]
        n_tasks = self.noise.shape[1]
        everywhere = self._points(slice(None), 0)
        for t in range(1, n_tasks):
            everywhere = everywhere.join(self._points(slice(None), t))
        mean, half = c.project(c.prior.covariance(everywhere, c.labels.points))
        covariance = c.prior.covariance(everywhere, everywhere) - half.T @ half
        factor, _ = cholesky(covariance, torch.full((len(covariance),), 1e-10))
        return mean.numpy(), factor.numpy()


def _row_roots(covariances: np.ndarray) -> np.ndarray:
    """Symmetric square roots of (n, T, T), rounding errors below zero set to zero."""
    values, vectors = np.linalg.eigh(covariances)
    return np.einsum("ntk,nk,nuk->ntu", vectors, np.sqrt(np.maximum(values, 0.0)), vectors)
