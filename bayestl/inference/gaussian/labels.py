"""Labels for the Gaussian engine: Gaussian labels in long form, and the protocol for labels of any likelihood.

    y_i = f(point_i) + e_i,   e_i ~ N(0, sigma_task^2 + s_i^2),   s_i a known standard error

The log evidence of Gaussian labels is a multivariate normal density; plus the log prior density of the hyperparameters
it is their log posterior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from bayestl.device import tensor, to_numpy
from bayestl.inference.gaussian.density import LogNormalDensity, log_densities
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Points
from bayestl.priors.vector import one_by_one

MAX_ENTRIES = 1_000_000
"""Largest number of entries of the covariance matrices that are evaluated at once."""


@dataclass(frozen=True)
class Labels:
    """Gaussian labels in long form, sorted by task (for :meth:`Prior.covariance`).

    ``points`` (N); ``y`` (N,) scaled labels; ``se2`` (N,) known noise variances; ``site`` (N,) marks pseudo-labels,
    whose variance is ``se2`` alone, while that of the others includes the noise of their task; ``rows`` (N,) of the
    table.
    """

    points: Points
    y: Tensor
    se2: Tensor
    site: Tensor | None = None
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)

    def at(self, index: Tensor) -> Labels:
        """The labels at the given positions."""
        site, rows = (None if v is None else v[index] for v in (self.site, self.rows))
        return Labels(self.points.at(index), self.y[index], self.se2[index], site, rows)

    def to(self, device: torch.device) -> Labels:
        """The labels on a device; themselves where they are there."""
        if self.y.device == device:
            return self
        site, rows = (None if v is None else v.to(device) for v in (self.site, self.rows))
        return Labels(self.points.to(device), self.y.to(device), self.se2.to(device), site, rows)

    def join(self, other: Labels) -> Labels:
        """The labels followed by the other labels."""
        no_sites = (torch.zeros_like(v.y, dtype=torch.bool) for v in (self, other))
        sites = [none if v.site is None else v.site for v, none in zip((self, other), no_sites, strict=True)]
        return Labels(
            self.points.join(other.points),
            torch.cat([self.y, other.y]),
            torch.cat([self.se2, other.se2]),
            torch.cat(sites),
        )

    def subset(self, size: int, generator: np.random.Generator) -> Labels:
        """About ``size`` of the labels (see :func:`stratified`)."""
        return self.blocks(size, 1, generator).blocks[0]

    def blocks(self, size: int, n: int, generator: np.random.Generator) -> Blocks:
        """Up to ``n`` blocks of about ``size`` of the labels each, no label in two of them."""
        kind, rows = to_numpy(self.points.task), np.arange(len(self)) if self.rows is None else to_numpy(self.rows)
        left, found = np.arange(len(self)), list[Labels]()
        while len(found) < n and len(left):
            chosen = stratified(kind[left], rows[left], size, generator)
            found.append(self.at(tensor(left[chosen], self.y.device)))
            left = np.delete(left, chosen)
        return Blocks(found)

    def evidences(self, prior: Prior, raws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log evidence (S,) at raw vectors (S, P), and gradients (S, P); see :meth:`Scored.evidences`."""
        at_once = MAX_ENTRIES // max(len(self) ** 2, 1)
        if len(raws) == 1 or at_once < 2:
            return one_by_one(prior, lambda: log_marginal_likelihood(prior, self), raws)
        terms = prior.terms(self.points)
        blocks = [
            log_densities(prior, terms, self.y, self.points.task, self.se2, self.site, raws[i : i + at_once])
            for i in range(0, len(raws), at_once)
        ]
        values, gradients = (np.concatenate(arrays) for arrays in zip(*blocks, strict=True))
        failed = ~(np.isfinite(values) & np.isfinite(gradients).all(axis=1))
        if failed.any():
            values[failed], gradients[failed] = one_by_one(
                prior, lambda: log_marginal_likelihood(prior, self), raws[failed]
            )
        return values, gradients

    def conditioned(self, prior: Prior, mean: Tensor | None = None, covariance: Tensor | None = None) -> Pseudo:
        """The labels themselves, which are Gaussian already, without a correction."""
        return Pseudo(self, 0.0)


class Pseudo(NamedTuple):
    """Gaussian pseudo-labels for the real labels, and the correction: log evidence of the real ones minus theirs."""

    labels: Labels
    correction: float


class Scored(Protocol):
    """What has an evidence."""

    def __len__(self) -> int: ...

    def evidences(self, prior: Prior, raws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log evidence (S,), or a bound on it, at each vector (S, P) of raw hyperparameters, and the gradients (S, P).

        Where the evidence cannot be computed, ``-inf`` and zeros.  ``prior`` is left at any of the vectors.
        """


class Data(Scored, Protocol):
    """Labels of any likelihood, as the Gaussian engine needs them."""

    @property
    def points(self) -> Points:
        """The points of the latent values on which the labels depend."""

    def to(self, device: torch.device) -> Data:
        """The labels on a device."""

    def subset(self, size: int, generator: np.random.Generator) -> Data:
        """About ``size`` of the labels."""

    def blocks(self, size: int, n: int, generator: np.random.Generator) -> Scored:
        """Up to ``n`` blocks of about ``size`` of the labels, one where an evidence takes long."""

    def conditioned(self, prior: Prior, mean: Tensor | None = None, covariance: Tensor | None = None) -> Pseudo:
        """Gaussian labels with the same posterior, at the hyperparameters of ``prior``.

        ``mean`` and ``covariance`` are the prior moments of the latent values at the points, such as those given other
        labels; by default those of ``prior``.
        """


class Blocks:
    """Labels in blocks that are taken as independent, so that their evidence is the product of the blocks' (a composite likelihood).

    Varin, Reid, Firth 2011, *An overview of composite likelihood methods*.
    """

    def __init__(self, blocks: Sequence[Labels]) -> None:
        self.blocks = blocks

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def evidences(self, prior: Prior, raws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log evidence (S,) at raw vectors (S, P), and gradients (S, P); see :meth:`Scored.evidences`."""
        values, gradients = zip(*(block.evidences(prior, raws) for block in self.blocks), strict=True)
        return np.sum(values, axis=0), np.sum(gradients, axis=0)


def noise_variance(prior: Prior, labels: Labels) -> Tensor:
    """``sigma_task^2 + s_i^2``, shape (N,); ``s_i^2`` alone for pseudo-labels."""
    task_noise = prior.residual.variance()[labels.points.task]
    if labels.site is not None:
        task_noise = torch.where(labels.site, 0.0, task_noise)
    return task_noise + labels.se2


def log_marginal_likelihood(prior: Prior, labels: Labels) -> Tensor:
    """``log p(y | hyperparameters)``, a differentiable scalar."""
    covariance = prior.covariance(labels.points, labels.points)
    return LogNormalDensity.apply(covariance, noise_variance(prior, labels), labels.y)


def log_posteriors(prior: Prior, data: Scored, raws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log posterior, evidence plus prior, (S,) at each vector (S, P) of raw hyperparameters, and gradients (S, P)."""
    values, gradients = data.evidences(prior, raws)
    log_priors, prior_gradients = prior.hyperprior.at(raws)
    failed = ~np.isfinite(values)
    return values + log_priors, np.where(failed[:, None], 0.0, gradients + prior_gradients)


def value_and_gradient(prior: Prior, data: Scored, raw: np.ndarray) -> tuple[float, np.ndarray]:
    """Log posterior at the vector ``raw`` (P,), and its gradient; ``-inf`` and zeros where it cannot be computed."""
    values, gradients = log_posteriors(prior, data, raw[None])
    return float(values[0]), gradients[0]


def stratified(kind: np.ndarray, rows: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """Sorted positions of about ``size`` of N labels: kinds (N,) equally often where possible.

    Whole rows are drawn, those with several kinds first: only they say what the labels of a row share.
    """
    counts = np.bincount(kind)
    quota = np.zeros_like(counts)
    left = size
    for position, t in enumerate(np.argsort(counts, kind="stable")):
        quota[t] = min(counts[t], left // (len(counts) - position))
        left -= quota[t]
    _, row, labels_of_row = np.unique(rows, return_inverse=True, return_counts=True)
    order = np.lexsort([generator.permutation(len(labels_of_row)), -labels_of_row]).argsort()[row]
    chosen = [
        np.flatnonzero(kind == t)[np.argsort(order[kind == t], kind="stable")[: quota[t]]] for t in range(len(counts))
    ]
    return np.sort(np.concatenate(chosen))
