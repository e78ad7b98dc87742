"""The Laplace approximation: a Gaussian posterior of the raw hyperparameters around their maximum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayestl import streams
from bayestl.inference.gaussian.labels import Data, log_posteriors
from bayestl.inference.threads import threads_for
from bayestl.priors.prior import Prior
from bayestl.priors.vector import RAW_BOUND, get_raw, set_raw


def laplace_covariance(prior: Prior, data: Data, which: np.ndarray | None = None, step: float = 1e-3) -> np.ndarray:
    """Covariance of raw hyperparameters: inverse Hessian of the negative log posterior at the present values.

    The Hessian is from central differences of the exact gradient, two evaluations per hyperparameter.  Directions in
    which the log posterior is flatter than a unit normal (the order of the priors), or not concave, get unit variance.

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
    with threads_for(len(data)):
        covariance = inverse_curvature(lambda at: log_posteriors(prior, data, at)[1], raw, positions, step)
    set_raw(prior, raw)
    return covariance


def inverse_curvature(
    gradients: Callable[[np.ndarray], np.ndarray], at: np.ndarray, positions: np.ndarray, step: float = 1e-3
) -> np.ndarray:
    """Inverse Hessian of any negative log density in the coordinates ``positions``, as in :func:`laplace_covariance`.

    ``gradients``: the gradients (S, P) of the log density at points (S, P).
    """
    shifts = step * np.eye(len(at))[positions]
    up, down = np.split(gradients(np.concatenate([at + shifts, at - shifts])), 2)
    hessian = (down - up)[:, positions] / (2 * step)
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
