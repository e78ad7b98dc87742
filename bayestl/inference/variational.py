"""Stochastic variational inference: maximise the evidence lower bound of a Pyro model under a guide.

The engine knows neither: it takes two callables and the parameters behind them.  Nothing is left in Pyro's global
parameter store (the parameters are plain tensors), and since Pyro's handler stack and torch's random state are global
too, one lock lets only one model at a time use them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

_PYRO = threading.RLock()


class DivergedError(ValueError):
    """The evidence lower bound left the finite numbers."""


@dataclass
class SVIReport:
    """The trace of the evidence lower bound (nats, one entry a step) and whether it had settled."""

    elbo: np.ndarray
    converged: bool
    message: str


def _settled(elbo: list[float], window: int, tolerance: float) -> bool:
    """Whether the mean over the last window is no better than over the one before, by ``tolerance`` or its noise."""
    if len(elbo) < 2 * window:
        return False
    before, after = np.array(elbo[-2 * window : -window]), np.array(elbo[-window:])
    gain = after.mean() - before.mean()
    noise = math.sqrt((before.var() + after.var()) / window)
    return bool(gain < max(tolerance, noise))


def maximise_elbo(
    model: Callable[[], None],
    guide: Callable[[], None],
    parameters: Iterable[torch.Tensor],
    *,
    scale: int,
    steps: int,
    learning_rate: float = 0.01,
    particles: int = 4,
    window: int = 50,
    seed: int = 0,
    callback: Callable[[int, float], None] | None = None,
) -> SVIReport:
    """Adam on the reparameterised bound; the step size is cut by 4 when it settles, and at the third time it stops.

    Parameters
    ----------
    model, guide : callable
        Pyro programs without arguments; rows in a plate at dimension -1.
    parameters : iterable of Tensor
        Leaves that are changed in place.
    scale : int
        Number of labels: the bound counts as settled when a window gains less than 1e-3 nats a label.
    steps : int
        At the most.
    particles : int
        Draws a step, vectorised.

    Raises
    ------
    DivergedError
        If the bound is not finite for ten steps in a row.
    """
    import pyro
    from pyro.infer import Trace_ELBO

    parameters = list(parameters)
    trace: list[float] = []
    rounds, since, bad = 0, 0, 0
    with _PYRO, torch.random.fork_rng(devices=[]), pyro.validation_enabled(False):
        torch.manual_seed(seed)
        elbo = Trace_ELBO(num_particles=particles, vectorize_particles=True, max_plate_nesting=1)
        adam = torch.optim.Adam(parameters, lr=learning_rate, betas=(0.9, 0.99))
        for step in range(steps):
            adam.zero_grad()
            try:
                loss = elbo.differentiable_loss(model, guide)
                loss.backward()
                finite = math.isfinite(loss.item())
            except torch.linalg.LinAlgError:
                finite = False
            if not finite:
                bad += 1
                if bad == 10:
                    raise DivergedError(
                        "the evidence lower bound is not finite: look for labels or features many orders of magnitude apart"
                    )
                continue
            bad = 0
            torch.nn.utils.clip_grad_norm_(parameters, 100.0 * math.sqrt(scale))
            adam.step()
            trace.append(-loss.item())
            since += 1
            if callback is not None:
                callback(step + 1, trace[-1] / scale)
            if since >= 2 * window and _settled(trace, window, 1e-3 * scale):
                rounds, since = rounds + 1, 0
                if rounds == 3:
                    return SVIReport(np.array(trace), True, f"settled after {step + 1} steps")
                for group in adam.param_groups:
                    group["lr"] /= 4.0
    return SVIReport(np.array(trace), False, f"still rising after {steps} steps: raise max_steps")


def draw(program: Callable[[], None], particles: int, seed: int) -> dict[str, Any]:
    """Values of all sample sites of a Pyro program, ``particles`` draws in the leading dimension."""
    import pyro
    from pyro import poutine

    with _PYRO, torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        with pyro.plate("particles", particles, dim=-2):
            traced = poutine.trace(program).get_trace()
    return {name: site["value"] for name, site in traced.nodes.items() if site["type"] == "sample"}
