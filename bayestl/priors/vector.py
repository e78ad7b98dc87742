"""The raw hyperparameters of a prior as one vector (P,), and functions of them with their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayestl.device import tensor, to_numpy
from bayestl.priors.prior import Prior

RAW_BOUND = 12.0
"""Largest absolute value of a raw hyperparameter.  These are logarithms and coefficients of unit-scale quantities, so
it is far outside every prior."""


def get_raw(prior: Prior) -> np.ndarray:
    """All raw hyperparameters as one vector (P,)."""
    return to_numpy(torch.cat([p.detach().ravel() for p in prior.raw_parameters()])).copy()


def set_raw(prior: Prior, raw: np.ndarray) -> None:
    """Set all raw hyperparameters from one vector (P,), the inverse of :func:`get_raw`."""
    vector = tensor(np.asarray(raw, dtype=float), prior.device)
    offset = 0
    with torch.no_grad():
        for parameter in prior.raw_parameters():
            parameter.copy_(vector[offset : offset + parameter.numel()].view_as(parameter))
            offset += parameter.numel()


def call_at(module: torch.nn.Module, raw: Tensor, *arguments: Any) -> Any:
    """The output of a module with its parameters from one vector (P,): differentiable in it, batched under ``vmap``."""
    named = list(module.named_parameters())
    pieces = raw.split([p.numel() for _, p in named])
    state = {name: piece.view(p.shape) for (name, p), piece in zip(named, pieces, strict=True)}
    return torch.func.functional_call(module, state, arguments)


def differentiate(prior: Prior, function: Callable[[], Tensor]) -> tuple[float, np.ndarray]:
    """The value of a function of the present raw hyperparameters, and its gradient (P,)."""
    for parameter in prior.raw_parameters():
        parameter.grad = None
    value = function()
    value.backward()
    gradient = [(torch.zeros_like(p) if p.grad is None else p.grad).ravel() for p in prior.raw_parameters()]
    return float(value.detach()), to_numpy(torch.cat(gradient)).copy()


def one_by_one(prior: Prior, function: Callable[[], Tensor], raws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (S,) of a function of the hyperparameters at each of the vectors (S, P), and gradients (S, P).

    Where the function cannot be computed, ``-inf`` and zeros; the prior is left at the last vector.
    """
    values, gradients = np.full(len(raws), -math.inf), np.zeros_like(raws)
    for s, raw in enumerate(raws):
        set_raw(prior, raw)
        try:
            value, gradient = differentiate(prior, function)
        except torch.linalg.LinAlgError:
            continue
        if math.isfinite(value) and np.isfinite(gradient).all():
            values[s], gradients[s] = value, gradient
    return values, gradients
