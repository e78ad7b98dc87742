"""The Laplace approximation: a Gaussian posterior of the raw hyperparameters around their maximum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayestl import streams
from bayestl.device import to_numpy
from bayestl.inference.gaussian.labels import Data
from bayestl.inference.threads import threads_for
from bayestl.priors.prior import Prior
from bayestl.priors.vector import RAW_BOUND, get_raw, set_raw

LARGEST = 800
"""Most labels from which the curvature of the evidence is computed; of larger tables a random subset."""
CENTRAL = 400
"""Most labels at which differences are central: one-sided ones take half the time, and are less accurate."""


def laplace_covariance(prior: Prior, data: Data, which: np.ndarray | None = None, step: float = 1e-3) -> np.ndarray:
    """Covariance of raw hyperparameters: inverse Hessian of the negative log posterior at the present values.

    The Hessian is from differences of the exact gradient.  Directions in which the log
    posterior is flatter than a unit normal (the order of the priors), or not concave, get unit variance.  Of more than
    :data:`LARGEST` labels a random subset is taken, in which each counts for several, unless ``which`` names a few.

    Parameters
    ----------
    prior : Prior
        Prior at the maximum; left as it was.
    data : Data
        Labels.
    which : ndarray of int, optional
        Positions of hyperparameters in the raw vector; the others are held fixed.  Default: all.
    """
    raw = get_raw(prior)
    positions = np.arange(len(raw)) if which is None else np.asarray(which)
    used, count = (data, 1.0) if which is not None else counted_subset(data)

    def gradients(at: np.ndarray) -> np.ndarray:
        return np.asarray(count * used.evidences(prior, at)[1] + prior.hyperprior.at(at)[1])

    with threads_for(len(used)):
        if len(used) <= CENTRAL:
            covariance = inverse_curvature(gradients, raw, positions, step)
        else:
            slopes = gradients(np.concatenate([raw[None], raw + step * np.eye(len(raw))[positions]]))
            covariance = _inverse((slopes[0] - slopes[1:])[:, positions] / step)
    set_raw(prior, raw)
    return covariance


def counted_subset(data: Data) -> tuple[Data, float]:
    """About :data:`LARGEST` of the labels where there are more, and for how many labels each of them counts.

    Where tasks are not equally represented, the count is that of the task with the largest share: no label counts twice.
    """
    if len(data) <= LARGEST:
        return data, 1.0
    used = data.subset(LARGEST, streams.generator(0, "curvature"))
    of_all, of_used = (np.bincount(to_numpy(d.points.task)) for d in (data, used))
    return used, float((of_all[of_used > 0] / of_used[of_used > 0]).min())


def inverse_curvature(
    gradients: Callable[[np.ndarray], np.ndarray], at: np.ndarray, which: np.ndarray | None = None, step: float = 1e-3
) -> np.ndarray:
    """Inverse Hessian of any negative log density in the coordinates ``which`` (default: all), as a preconditioner.

    Flat directions get unit variance.  Differences are central: chains start from points that need not be a maximum.
    ``gradients``: the gradients (S, P) of the log density at points (S, P).
    """
    positions = np.arange(len(at)) if which is None else which
    shifts = step * np.eye(len(at))[positions]
    up, down = np.split(gradients(np.concatenate([at + shifts, at - shifts])), 2)
    return _inverse((down - up)[:, positions] / (2 * step))


def _inverse(hessian: np.ndarray) -> np.ndarray:
    """Inverse of the symmetric part of a Hessian, whose eigenvalues count as at least one."""
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    return (vectors / np.maximum(values, 1.0)) @ vectors.T


def raw_positions(prior: Prior, prefixes: tuple[str, ...]) -> np.ndarray:
    """Positions in the raw vector of the hyperparameters whose name starts with one of the prefixes."""
    positions, offset = [], 0
    for name, parameter in prior.named_parameters():
        if name.startswith(prefixes):
            positions.append(np.arange(offset, offset + parameter.numel()))
        offset += parameter.numel()
    return np.concatenate(positions) if positions else np.zeros(0, dtype=int)


def laplace_draws(prior: Prior, data: Data, n: int, seed: int, which: np.ndarray | None = None) -> np.ndarray:
    """``n`` antithetic draws (n, P) of all raw hyperparameters from the Gaussian of :func:`laplace_covariance`."""
    raw = get_raw(prior)
    positions = np.arange(len(raw)) if which is None else np.asarray(which)
    half = streams.generator(seed, "Laplace draws").standard_normal(((n + 1) // 2, len(positions)))
    steps = np.concatenate([half, -half])[:n] @ covariance_root(laplace_covariance(prior, data, which)).T
    draws = np.repeat(raw[None], n, axis=0)
    draws[:, positions] += steps
    return np.clip(draws, -RAW_BOUND, RAW_BOUND)


def covariance_root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root, with eigenvalues that rounding made negative set to zero.

    Unlike the eigenvectors themselves, which are not unique where eigenvalues are equal, it changes as little as the
    covariance does: draws made with it are reproducible to rounding on every machine and number of threads.
    """
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
