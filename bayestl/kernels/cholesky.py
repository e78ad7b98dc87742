"""Cholesky factor ``L L' = K + diag(v) + jitter I`` of a covariance matrix, and the inverse ``(L L')^-1`` from it.

Both are in float64.  The jitter is the smallest of a fixed sequence with which the factorisation succeeds.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4)
"""Jitters tried in turn, relative to the mean of the diagonal, until the Cholesky factorisation succeeds."""


def cholesky(covariance: Tensor, noise: Tensor) -> tuple[Tensor, float]:
    """Lower Cholesky factor of ``covariance + diag(noise)``, and the absolute jitter that it needed.

    Raises
    ------
    torch.linalg.LinAlgError
        If the matrix is not positive definite even with the largest jitter, or not finite.
    """
    shifted = covariance.clone()
    diagonal = shifted.diagonal()
    diagonal.add_(noise)
    scale, added = float(diagonal.mean()), 0.0
    for jitter in JITTERS:
        diagonal.add_(jitter * scale - added)
        added = jitter * scale
        factor, info = torch.linalg.cholesky_ex(shifted.mT)  # by columns, as LAPACK takes it without a transposed copy
        if int(info) == 0 and math.isfinite(float(factor.diagonal().sum())):
            return factor, added
    raise torch.linalg.LinAlgError("covariance is not positive definite")


def inverse_from_cholesky(factor: Tensor) -> Tensor:
    """``(L L')^-1``."""
    half = half_inverse(factor)
    return half + half.T


def half_inverse(factor: Tensor) -> Tensor:
    """A matrix that with its transpose adds up to ``(L L')^-1``.

    With one thread it is a triangle by SciPy's potri, in half the time of torch, whose threads SciPy does not share.
    """
    if torch.get_num_threads() > 1:
        return torch.cholesky_inverse(factor).mul_(0.5)
    inverse, _ = scipy.linalg.lapack.dpotri(np.array(factor.numpy(), order="F"), lower=1, overwrite_c=1)
    half = torch.from_numpy(inverse.T)
    half.diagonal().mul_(0.5)
    return half
