"""The log density ``log N(y | 0, K + diag(v))`` of Gaussian labels, with its gradient in closed form.

    d/dK = (alpha alpha' - (K + diag(v))^-1) / 2,        alpha = (K + diag(v))^-1 y

For one covariance it is a node in automatic differentiation.  For many sets of hyperparameters it is batched: on small
tables the number of operations dominates, not the arithmetic, and that number is the same as for one.
Rasmussen, Williams 2006, *Gaussian processes for machine learning*, section 5.4.1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayestl.kernels.cholesky import cholesky, half_inverse
from bayestl.priors.assemble import Term, assemble
from bayestl.priors.prior import Prior
from bayestl.priors.vector import call_at


class LogNormalDensity(torch.autograd.Function):
    """``log N(y | 0, K + diag(v))`` with the closed-form gradient ``(alpha alpha' - (K + diag(v))^-1) / 2``.

    ``K`` is symmetric, and only the sum of the gradient and its transpose is that.
    """

    @staticmethod
    def forward(ctx: Any, covariance: Tensor, noise: Tensor, y: Tensor) -> Tensor:
        factor, _ = cholesky(covariance, noise)
        alpha = torch.cholesky_solve(y[:, None], factor)[:, 0]
        ctx.save_for_backward(factor, alpha)
        return -0.5 * (y @ alpha) - factor.diagonal().log().sum() - 0.5 * len(y) * math.log(2 * math.pi)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        factor, alpha = ctx.saved_tensors
        g = half_inverse(factor).addr_(alpha, alpha, beta=-float(grad), alpha=0.5 * float(grad))
        return g, g.diagonal(), -alpha * grad


def log_densities(
    prior: Prior, terms: list[Term], y: Tensor, task: Tensor, se2: Tensor, site: Tensor | None, raws: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``log N(y | 0, K + diag(v))`` (S,) at each vector (S, P) of raw hyperparameters, and its gradients (S, P).

    The vectors are evaluated together; the value is NaN where the covariance would need jitter.  ``y``, ``task``,
    ``se2`` and ``site`` (N,) are the fields of :class:`~bayestl.inference.gaussian.labels.Labels`.
    """

    def outputs_at(raw: Tensor) -> tuple[Tensor, ...]:
        return call_at(prior, raw, terms)

    outputs, pull_back = torch.func.vjp(torch.vmap(outputs_at), torch.from_numpy(raws))[:2]
    with torch.no_grad():
        weights, noise, *arguments = (v.detach() for v in outputs)
        assembled = assemble(len(y), terms, weights, arguments)
        noisy = torch.ones_like(y) if site is None else (~site).to(y.dtype)
        covariance = assembled.covariance
        diagonal = covariance.diagonal(dim1=-2, dim2=-1)
        diagonal.add_(noise[:, task] * noisy + se2)
        factor, info = torch.linalg.cholesky_ex(covariance)
        if (info != 0).any():
            factor[info != 0] = torch.eye(len(y), dtype=y.dtype)
        alpha = torch.cholesky_solve(y[:, None].expand(len(raws), -1, -1), factor)[..., 0]
        half_log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        values = -0.5 * (alpha @ y) - half_log_det - 0.5 * len(y) * math.log(2 * math.pi)
        slope = torch.cholesky_inverse(factor).mul_(-0.5).baddbmm_(alpha[..., None], alpha[:, None, :], alpha=0.5)
        in_noise = torch.zeros_like(noise).index_add_(1, task, slope.diagonal(dim1=-2, dim2=-1) * noisy)
        in_weights, *in_arguments = assembled.pull(slope)
    (gradients,) = pull_back((in_weights, in_noise, *in_arguments))
    values[info != 0] = math.nan
    return values.numpy(), gradients.numpy()
