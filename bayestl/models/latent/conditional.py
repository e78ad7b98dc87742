"""Gaussian labels of a latent function: their evidence, and its latent values given them, differentiable and in batches.

    r = z - m + N(0, 1 / w),   z - m ~ N(0, S),   S = K + v I = L L',   B = I + L' diag(w) L = M M'

with ``L`` lower and ``M`` upper triangular, so that ``L inv(M)'`` is the Cholesky factor of ``Cov[z | r]``.  A precision
``w_i`` of zero means no label.  The derivatives are written out, since those that PyTorch finds step by step take four
times as long; that of a Cholesky factor is in Murray 2016, *Differentiation of the Cholesky decomposition*.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Evidence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, covariance: Tensor, noise: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        total = covariance.clone()
        total.diagonal(dim1=-2, dim2=-1).add_(noise)
        factor, failed = root(total)
        weighted = torch.cholesky_solve(residual[..., None], factor)[..., 0]
        ctx.save_for_backward(factor, weighted)
        ctx.mark_non_differentiable(failed)
        return -0.5 * (residual * weighted).sum(-1) - _log_diagonal(factor), failed

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> Any:
        factor, weighted = ctx.saved_tensors
        slope = weighted[..., :, None] * weighted[..., None, :]
        slope = slope.sub_(torch.cholesky_inverse(factor)).mul_(0.5 * grad[..., None, None])
        return slope, slope.diagonal(dim1=-2, dim2=-1), -grad[..., None] * weighted


class _Informed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, k: Tensor, own: Tensor, w: Tensor, r: Tensor, e: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        s = k.clone()
        s.diagonal(dim1=-2, dim2=-1).add_(own)
        lower, failed = root(s)
        b = lower.mT @ (w[..., None] * lower)
        b.diagonal(dim1=-2, dim2=-1).add_(1.0)
        flipped, failed_too = root(b.flip(-2, -1))
        upper = flipped.flip(-2, -1)
        v = _times(lower.mT, w * r)
        c = torch.linalg.solve_triangular(upper, v[..., None], upper=True)[..., 0]
        t = c + e
        a = torch.linalg.solve_triangular(upper.mT, t[..., None], upper=False)[..., 0]
        ctx.save_for_backward(lower, upper, w, r, v, c, t, a)
        failed = failed | failed_too
        ctx.mark_non_differentiable(failed)
        return 0.5 * (c * c).sum(-1) - _log_diagonal(upper), _times(lower, a), failed

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_z: Tensor, _: Tensor) -> Any:
        lower, upper, w, r, v, c, t, a = ctx.saved_tensors
        in_a = _times(lower.mT, grad_z)
        in_t = torch.linalg.solve_triangular(upper, in_a[..., None], upper=True)[..., 0]
        in_c = in_t + grad[..., None] * c
        in_v = torch.linalg.solve_triangular(upper.mT, in_c[..., None], upper=False)[..., 0]
        # of B, through its factor
        half = -(t[..., :, None] * in_t[..., None, :] + in_c[..., :, None] * c[..., None, :])
        half.diagonal(dim1=-2, dim2=-1).sub_(grad[..., None])
        right = torch.linalg.solve_triangular(upper, _symmetric(half.mT), upper=True, left=False)
        in_b = torch.linalg.solve_triangular(upper.mT, right, upper=False)
        # of S, through its factor, with L' diag(w) L = M M' - I
        half = in_a[..., :, None] * a[..., None, :] + v[..., :, None] * in_v[..., None, :]
        half += 2.0 * (upper @ right - in_b)
        right = torch.linalg.solve_triangular(lower, _symmetric(half), upper=False, left=False)
        in_s = torch.linalg.solve_triangular(lower.mT, right, upper=True)
        in_q = _times(lower, in_v)
        in_w = in_q * r + ((lower @ in_b) * lower).sum(-1)
        return in_s, in_s.diagonal(dim1=-2, dim2=-1), in_w, in_q * w, in_t


def evidence(covariance: Tensor, noise: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
    """Log density (R,) of residuals (R, n) under ``N(0, covariance + diag(noise))``, less a constant.

    Parameters
    ----------
    covariance : Tensor, shape (R, n, n)
        Symmetric.
    noise : Tensor, shape (R, n)
        Variances.
    residual : Tensor, shape (R, n)
        Labels less their means.

    Returns
    -------
    The log densities, differentiable in everything, and a mask (R,) of those that could not be computed.
    """
    return _Evidence.apply(covariance, noise, residual)


def informed(covariance: Tensor, own: Tensor, precision: Tensor, residual: Tensor, e: Tensor) -> Any:
    """The evidence of the labels of a function, and its values given them at standard coordinates.

    Parameters
    ----------
    covariance : Tensor, shape (R, n, n)
        Prior covariance ``K`` of the function.
    own : Tensor, shape (R, n)
        Variance ``v`` of each latent value around the function.
    precision, residual : Tensor, shape (R, n)
        ``w`` and ``r``: inverse noise variance of each label and the label less its mean; zero where there is none.
    e : Tensor, shape (R, n)
        Standard coordinates.

    Returns
    -------
    The log density (R,) of the labels less a constant, the values less their mean (R, n),
    ``E[z - m | r] + root(Cov[z | r]) e``, both differentiable, and a mask (R,) of what could not be computed.
    """
    value, z, failed = _Informed.apply(covariance, own, precision, residual, e)
    logs = torch.where(precision > 0, precision, 1.0).log()
    return value + 0.5 * (logs - precision * residual**2).sum(-1), z, failed


def root(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Cholesky factors (R, n, n) and a mask (R,) of the matrices that have none: theirs is the identity."""
    factor, info = torch.linalg.cholesky_ex(covariance)
    failed = (info != 0) | ~torch.isfinite(factor.diagonal(dim1=-2, dim2=-1).sum(-1))
    if failed.any():
        unit = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
        factor = torch.where(failed[:, None, None], unit, factor)
    return factor, failed


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]


def _log_diagonal(factor: Tensor) -> Tensor:
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def _symmetric(matrix: Tensor) -> Tensor:
    """Half of the sum of the lower triangle, its diagonal halved, and the transpose of that."""
    lower = matrix.tril()
    lower.diagonal(dim1=-2, dim2=-1).mul_(0.5)
    return 0.5 * (lower + lower.mT)
