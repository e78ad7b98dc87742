"""Levels of the paths down a chain, as normal scores: even at first, then where known labels are likely.

A path's label is the quantile of its distribution at a level; the levels of K paths fill the unit cube evenly (a
lattice: Sloan, Joe 1994, *Lattice methods for multiple integration*).  Where a known label weights the paths, further
levels are drawn near those of large weight, round by round, and all rounds count with the weights of one mixture
(Cornuet, Marin, Mira, Robert 2012, *Adaptive multiple importance sampling*).  Each row has its own; nothing is random.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp, ndtri, softmax

PATHS = 64
"""Paths down the chain in a row without a source."""
GENERATOR = 19
"""Of the lattice: its powers modulo :data:`PATHS` order the levels of each task."""
SHIFT = 0.6180339887498949
"""By which the levels move from round to round (modulo one, in steps of the lattice): the golden ratio."""
ROUNDS = 6
"""Rounds of every row, so that no row depends on another."""
ENOUGH = 0.2
"""Least effective fraction of a round's paths to which the next round's levels are fitted."""
WIDER = 1.2
"""Factor by which the next round's levels spread more than the weighted ones, so that no tail is lost."""
LEAST_VARIANCE = 1e-9


def lattice(n_tasks: int, turn: int = 0) -> np.ndarray:
    """Normal scores (K, T) of the levels in a round, of unit mean square; in the first round the first task's increase."""
    steps = np.array([pow(GENERATOR, j, PATHS) for j in range(n_tasks)])
    levels = (np.arange(PATHS)[:, None] * steps % PATHS + (0.5 + turn * SHIFT) % 1.0) / PATHS
    scores = ndtri(levels)
    return scores / np.sqrt((scores**2).mean(axis=0))


class Proposals:
    """Normal scores of R rows in several rounds; ``free`` (R, T) marks the tasks whose labels are not known."""

    def __init__(self, free: np.ndarray) -> None:
        self._free = free
        self._both = free[:, :, None] & free[:, None, :]
        self._eye = np.eye(free.shape[1])
        self._centres: list[np.ndarray] = [np.zeros(free.shape)]
        self._roots: list[np.ndarray] = [np.tile(self._eye, (len(free), 1, 1))]
        self._scores: list[np.ndarray] = []
        self._log_densities: list[np.ndarray] = []

    def next_scores(self) -> np.ndarray:
        """The scores (K, R, T) of the next round."""
        turn = len(self._scores)
        noise = lattice(self._free.shape[1], turn)
        self._scores.append(self._centres[turn] + np.einsum("rtu,ku->krt", self._roots[turn], noise))
        return self._scores[-1]

    def settle(self, log_density: np.ndarray) -> bool:
        """Take the log densities (K, R) of the known labels at the last scores; whether that was the last round."""
        self._log_densities.append(np.nan_to_num(log_density, nan=-1e9, neginf=-1e9))
        if len(self._scores) == ROUNDS:
            return True
        z, tempered = np.concatenate(self._scores), _tempered(self._log_weights())
        mean = np.einsum("kr,krt->rt", tempered, z)
        spread = np.einsum("kr,krt,kru->rtu", tempered, z - mean, z - mean) * WIDER**2
        least = self._eye * np.where(self._free, LEAST_VARIANCE, 1.0)[:, None]
        self._centres.append(np.where(self._free, mean, 0.0))
        self._roots.append(np.linalg.cholesky(np.where(self._both, spread, 0.0) + least))
        return False

    def _log_weights(self) -> np.ndarray:
        """Log weights (K rounds, R) of all scores: the prior and the known labels over the mixture of all rounds."""
        z = np.concatenate(self._scores)
        of_rounds = []
        for centre, root in zip(self._centres, self._roots, strict=True):
            noise = np.einsum("rtu,kru->krt", np.linalg.inv(root), z - centre)
            size = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
            of_rounds.append(-0.5 * (noise**2).sum(axis=2) - size)
        return np.concatenate(self._log_densities) - 0.5 * (z**2).sum(axis=2) - logsumexp(of_rounds, axis=0)

    def weights(self) -> np.ndarray:
        """The weights (K rounds, R) of all scores, which sum to one in each row."""
        return softmax(self._log_weights(), axis=0)

    def leading(self) -> np.ndarray:
        """The scores (K rounds, R) of the first label that is not known."""
        first = self._free.argmax(axis=1)[None, :, None]
        return np.take_along_axis(np.concatenate(self._scores), first, axis=2)[:, :, 0]


def resampled(weights: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Positions (K, R) of draws in proportion to their weights (M, R), at even levels in the order of ``by`` (M, R)."""
    order = np.argsort(by, axis=0, kind="stable")
    reached = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0)
    levels = (np.arange(PATHS) + 0.5) / PATHS
    chosen = np.stack([np.searchsorted(c / c[-1], levels) for c in reached.T], axis=1)
    return np.take_along_axis(order, chosen.clip(max=len(weights) - 1), axis=0)


def _effective(weights: np.ndarray) -> np.ndarray:
    """Effective number (R,) of weighted draws (M, R)."""
    return 1 / (weights**2).sum(axis=0)


def _tempered(log_weights: np.ndarray) -> np.ndarray:
    """Weights (M, R), each row's to the power 1, 1/2, 1/4 .. that leaves :data:`ENOUGH` paths effective."""
    power = np.ones(log_weights.shape[1])
    while True:
        weights = softmax(power * log_weights, axis=0)
        few = (_effective(weights) < ENOUGH * PATHS) & (power > 1e-12)
        if not few.any():
            return weights
        power[few] *= 0.5
