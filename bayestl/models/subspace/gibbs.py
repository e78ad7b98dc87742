"""Sampling of regressions whose coefficients share a low-rank subspace, its rank inferred.

    y_it / s_t = m_t + x_i' U a_t + e_it,    e_it ~ N(0, sigma_t^2 + se_it^2 / s_t^2)

with ``u_jk ~ N(0, 1/d)``, ``a_tk ~ N(0, z_k theta_k)`` and scales ``s_t`` of the tasks near one.  ``z_k`` is zero or one, a
spike and slab on whole directions (Mitchell, Beauchamp 1988; Ishwaran, Rao 2005): the number of ones is the rank.

A sweep moves what is shared (``collapsed.py``) and switches directions on or off, both with all coefficients integrated out,
and draws coefficients, angles, directions and noise in turn, of which each conditional distribution is a standard one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayestl import streams
from bayestl.models.subspace.collapsed import (
    LEAST_NOISE,
    NOISE_RATE,
    NOISE_SHAPE,
    ON_SCALE,
    ON_SHAPE,
    Labels,
    Shared,
    Steps,
)

RANK_ODDS = (1.0, 2.0)
"""Beta prior of the fraction of directions that are on."""
ANGLES = 64
"""Number of candidate angles when two directions are rotated."""


@dataclass
class LowRankDraws:
    """S draws: directions (S, d, K), coefficients (S, T, K), means (S, T), noise variances (S, T), ranks (S,)."""

    u: np.ndarray
    a: np.ndarray
    mean: np.ndarray
    noise: np.ndarray
    rank: np.ndarray

    def values(self, x: np.ndarray) -> np.ndarray:
        """The values (S, n, T) of the functions at features ``x`` (n, d)."""
        return np.asarray((x @ self.u) @ self.a.transpose(0, 2, 1) + self.mean[:, None, :])


def draw_low_rank(
    x: np.ndarray,
    y: np.ndarray,
    se2: np.ndarray,
    *,
    max_rank: int,
    n_draws: int,
    warmup: int,
    seed: int,
    callback: Callable[[int], None] | None = None,
) -> LowRankDraws:
    """Run the Gibbs sampler and return the ``n_draws`` states after the warm-up.

    Parameters
    ----------
    x : ndarray, shape (n, d)
        Scaled features.
    y : ndarray, shape (n, T)
        Scaled labels, NaN where there is no label.
    se2 : ndarray, shape (n, T)
        Known variances of the labels.
    max_rank : int
        Number of directions K.
    n_draws, warmup : int
        States that are kept, and states before them that are not.
    seed : int
        Seed of the sampler.
    callback : callable, optional
        Called with the number of states so far.
    """
    generator = streams.generator(seed, "sweeps")
    d, k = x.shape[1], max_rank
    table = Labels(x, y, se2)
    present, counts, n_tasks = table.present, table.counts, y.shape[1]
    squares_of_x = (x[:, :, None] * x[:, None, :]).reshape(len(x), d * d)
    steps = Steps(table, generator)
    u = generator.standard_normal((d, k)) / np.sqrt(d)
    noise, shared, scale = np.full(n_tasks, 0.1), 0.2, np.zeros(n_tasks)
    theta, on = np.full(k, 0.5), np.zeros(k, dtype=bool)  # from above a chain stays long where it fits labels exactly
    states = []
    for sweep in range(warmup + n_draws):
        # what is shared, the coefficients following
        active = np.flatnonzero(on)
        at = Shared(u[:, active], np.log(theta[active]), np.log(noise / shared), np.log(shared), scale)
        at = steps(at, adapt=sweep < warmup)
        u[:, active], theta[active], scale = at.u, np.exp(at.theta), at.scale
        noise, shared = np.exp(at.level + at.noise), np.exp(at.level)

        # which directions are on, and the coefficients and means of each task
        labels, known = table.scaled(scale)
        weight = present / (noise + known)
        design, products = table.design(u)
        gram = (weight.T @ products).reshape(n_tasks, k + 1, k + 1)
        pull = (weight * labels).T @ design
        on = _switch(on, theta, gram, pull, generator)
        joint = _coefficients(np.append(on * theta, 1.0), gram, pull, generator)
        a, mean = joint[:, :k], joint[:, k]
        active = np.flatnonzero(on)
        a[:, active] = _rotate(a[:, active], generator)
        squares = np.where(on, (a**2).sum(axis=0), 0.0)
        theta = (ON_SCALE + 0.5 * squares) / generator.standard_gamma(ON_SHAPE + 0.5 * n_tasks * on)

        # directions, given the coefficients
        u = generator.standard_normal((d, k)) / np.sqrt(d)
        if len(active):
            u[:, active] = _directions(x, squares_of_x, weight, labels - mean, a[:, active], generator)

        # noise: for a label with a known standard error, the error beyond it is drawn
        error = np.where(present, labels - (x @ u) @ a.T - mean, 0.0)
        total = noise + known
        noise_error = error * noise / total + np.sqrt(noise * known / total) * generator.standard_normal(y.shape)
        squares = np.where(present, noise_error**2, 0.0).sum(axis=0)
        drawn = (shared + 0.5 * squares) / generator.standard_gamma(NOISE_SHAPE + 0.5 * counts)
        noise = np.where(drawn > LEAST_NOISE, drawn, noise)
        shared = generator.standard_gamma(1.0 + NOISE_SHAPE * n_tasks) / (NOISE_RATE + (1.0 / noise).sum())

        if sweep >= warmup:
            unit = np.exp(scale)
            states.append((u.copy(), a * unit[:, None], mean * unit, noise * unit**2, int(on.sum())))
        if callback is not None:
            callback(sweep + 1)
    return LowRankDraws(*(np.array(values) for values in zip(*states, strict=True)))


def _whitened(variance: np.ndarray, gram: np.ndarray, pull: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prior standard deviations (m,), Cholesky factors (T, m, m) of whitened precisions, and whitened pulls (T, m)."""
    sd = np.sqrt(variance)
    root = np.linalg.cholesky(np.eye(len(sd)) + sd[:, None] * gram * sd)
    return sd, root, np.linalg.solve(root, (sd * pull)[..., None])[..., 0]


def _log_evidence(variance: np.ndarray, gram: np.ndarray, pull: np.ndarray) -> float:
    """Log density of all labels up to a constant, coefficients with prior variances (m,) integrated out."""
    _, root, half = _whitened(variance, gram, pull)
    return float(0.5 * (half**2).sum() - np.log(np.diagonal(root, axis1=1, axis2=2)).sum())


def _switch(
    on: np.ndarray, theta: np.ndarray, gram: np.ndarray, pull: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Switch directions on or off: one Gibbs step for each, in a random order."""
    evidence = _log_evidence(np.append(on * theta, 1.0), gram, pull)
    for h in generator.permutation(len(on)):
        flipped = on.copy()
        flipped[h] = not on[h]
        other_evidence = _log_evidence(np.append(flipped * theta, 1.0), gram, pull)
        gain = evidence - other_evidence if on[h] else other_evidence - evidence
        others = on.sum() - on[h]
        odds = np.log((RANK_ODDS[0] + others) / (RANK_ODDS[1] + len(on) - 1 - others))
        if (generator.logistic() < odds + gain) != on[h]:
            on, evidence = flipped, other_evidence
    return on


def _coefficients(
    variance: np.ndarray, gram: np.ndarray, pull: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """One draw (T, m) of the coefficients; those without prior variance are zero."""
    sd, root, half = _whitened(variance, gram, pull)
    z = half + generator.standard_normal(half.shape)
    return np.asarray(sd * np.linalg.solve(root.transpose(0, 2, 1), z[..., None])[..., 0])


def _rotate(a: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Coefficients (T, K) after a random rotation of each pair of directions, their variances integrated out.

    Rotating directions and coefficients together changes neither the functions nor the prior of the directions, so the
    angle depends on the prior of the coefficients only (a generalised Gibbs step: Liu, Sabatti 2000); the directions
    are drawn next, given the coefficients.  The step concentrates the signal in few directions, so that others can be
    switched off.
    """
    a = a.copy()
    power = ON_SHAPE + 0.5 * len(a)
    for i in range(a.shape[1]):
        for j in range(i):
            angle = np.pi * (generator.uniform() + np.arange(ANGLES)) / ANGLES
            c, s = np.cos(angle), np.sin(angle)
            ii, jj, ij = a[:, i] @ a[:, i], a[:, j] @ a[:, j], a[:, i] @ a[:, j]
            first, second = c**2 * ii + 2 * c * s * ij + s**2 * jj, s**2 * ii - 2 * c * s * ij + c**2 * jj
            log_chance = -power * (np.log(ON_SCALE + 0.5 * first) + np.log(ON_SCALE + 0.5 * second))
            k = np.argmax(log_chance + generator.gumbel(size=ANGLES))
            a[:, i], a[:, j] = c[k] * a[:, i] + s[k] * a[:, j], c[k] * a[:, j] - s[k] * a[:, i]
    return a


def _directions(
    x: np.ndarray,
    squares_of_x: np.ndarray,
    weight: np.ndarray,
    labels: np.ndarray,
    a: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """One draw (d, K) of the directions given coefficients (T, K); ``squares_of_x`` (n, d d) is x x' of each row."""
    (n, d), k = x.shape, a.shape[1]
    gram = np.einsum("nt,tk,tl->nkl", weight, a, a, optimize=True)
    precision = (gram.reshape(n, k * k).T @ squares_of_x).reshape(k, k, d, d)
    precision = precision.transpose(0, 2, 1, 3).reshape(k * d, k * d)
    precision[np.diag_indices(k * d)] += d
    pull = ((weight * labels) @ a).T @ x
    root = np.linalg.cholesky(precision)
    z = np.linalg.solve(root, pull.ravel()) + generator.standard_normal(k * d)
    return np.asarray(np.linalg.solve(root.T, z).reshape(k, d).T)
