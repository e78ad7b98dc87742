"""The expectation of ``log sum_k exp(f_k)`` under independent Gaussians, and its derivatives.

Gauss-Hermite nodes in each of K classes would make a grid of H^K points.  The sum over that grid is a one-dimensional
integral, since ``log sum_k exp(f_k)`` is the expected maximum of ``f_k + g_k`` with Gumbel ``g_k``, less Euler's constant:

    E[max] = int t d prod_k F_k(t),        F_k(t) = sum_h w_h exp(-exp(m_k + s_k z_h - t))

The nodes are symmetric and the function is convex, so that the derivative in a variance is never negative.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

NODES = 16
"""Gauss-Hermite nodes of each class."""
STEPS = 40
"""Points of the trapezoidal rule in t; the integrand is about as wide as a Gumbel distribution, or wider."""
BELOW, ABOVE, SPREAD = 3.5, 6.0, 4.5
"""The rule begins and ends this far from the largest mean, in units of f, with this many standard deviations of f in addition."""
ENTRIES = 2_000_000
"""Most numbers in memory at once."""


class ExpectedLogSumExp(torch.autograd.Function):
    """``E[log sum_k exp(f_k)]`` (n,) for ``f ~ N(mean, diag(variance))``, both (n, K)."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, variance: Tensor) -> Tensor:
        rows = max(1, ENTRIES // (mean.shape[1] * NODES * STEPS))
        pieces = [_integral(m, v) for m, v in zip(mean.split(rows), variance.split(rows), strict=True)]
        value, of_mean, of_variance = (torch.cat(piece) for piece in zip(*pieces, strict=True))
        ctx.save_for_backward(of_mean, of_variance)
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        of_mean, of_variance = ctx.saved_tensors
        return gradients[0][:, None] * of_mean, gradients[0][:, None] * of_variance


def _integral(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The expectation (n,) and its derivatives (n, K) in means and variances."""
    z, weights = (torch.from_numpy(v).to(mean) for v in np.polynomial.hermite_e.hermegauss(NODES))
    weights = weights / weights.sum()
    sd = variance.clamp_min(1e-12).sqrt()
    low = (mean - SPREAD * sd).amax(1, keepdim=True) - BELOW
    high = (mean + SPREAD * sd).amax(1, keepdim=True) + ABOVE + math.log(mean.shape[1])
    t = low + (high - low) * torch.linspace(0.0, 1.0, STEPS, dtype=mean.dtype, device=mean.device)
    width = ((high - low) / (STEPS - 1)).expand(-1, STEPS).clone()
    width[:, 0] *= 0.5
    width[:, -1] = 0.5 * width[:, -1] + 1.0  # beyond the last point one minus the product falls as exp(-t)
    top = high - ABOVE
    rate = (mean[:, :, None] + sd[:, :, None] * z - top[:, :, None]).exp()[:, :, None] * (top - t).exp()[
        :, None, :, None
    ]
    below = (-rate).exp_()
    cdf = (below @ weights).clamp_min_(1e-200)
    others = cdf.log()
    others = (others.sum(1, keepdim=True) - others).exp() * width[:, None]
    slope = rate.mul_(below) @ torch.stack([weights, weights * z], dim=1)
    value = high[:, 0] + 1.0 - (others[:, 0] * cdf[:, 0]).sum(1) - np.euler_gamma
    of_mean, of_sd = (others[..., None] * slope).sum(2).unbind(-1)
    return value, of_mean, 0.5 * of_sd / sd
