"""Stochastic variational inference: maximise the evidence lower bound of a Pyro model under a guide.

The engine takes two callables, the model and the guide, and the parameters behind them.  Nothing is left in Pyro's global
parameter store (the parameters are plain tensors), and no draw is made with torch's global generator: a guide draws from the
generator that it is given (``landing.py``), and the model is replayed at its draws.  Pyro's handler stack is global too, so one
lock lets only one model at a time use it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bayestl.device import tensor, to_numpy
from bayestl.streams import torch_generator

_PYRO = threading.RLock()
MIN_TAIL = 5
"""Importance weights in the tail that :func:`pareto_k` needs at least."""


@contextmanager
def alone_with_pyro() -> Iterator[None]:
    """Hold the lock on Pyro, without validation of arguments."""
    import pyro

    with _PYRO, pyro.validation_enabled(False):
        yield


class DivergedError(ValueError):
    """The evidence lower bound left the finite numbers."""


@dataclass
class SVIReport:
    """The trace of the evidence lower bound (nats, one entry per step) and whether it had converged."""

    elbo: np.ndarray
    converged: bool
    message: str
    pareto_k: float = math.nan
    """Pareto k of the guide (:func:`pareto_k`).  For hundreds of latent values together it is often above 0.7 even though
    the guide describes each of them well."""

    def then(self, other: SVIReport) -> SVIReport:
        """One report of two stages, of which ``other`` is the later one."""
        trace = np.concatenate([self.elbo, other.elbo])
        return SVIReport(trace, self.converged and other.converged, f"{self.message}, then {other.message}")


def _converged(elbo: list[float], window: int, tolerance: float) -> bool:
    """Whether the bound gained less than ``tolerance``, or than its Monte Carlo noise, from one window to the next."""
    if len(elbo) < 2 * window:
        return False
    before, after = np.array(elbo[-2 * window : -window]), np.array(elbo[-window:])
    gain = after.mean() - before.mean()
    noise = math.sqrt((before.var() + after.var()) / window)
    return bool(gain < max(tolerance, noise))


def maximise_elbo(
    model: Callable[[], None],
    guide: Callable[[torch.Generator], None],
    parameters: Iterable[torch.Tensor],
    *,
    scale: int,
    steps: int,
    learning_rate: float = 0.03,
    particles: int = 4,
    window: int = 100,
    seed: int = 0,
    callback: Callable[[int, float], None] | None = None,
) -> SVIReport:
    """Adam on the reparameterised bound; the step size is cut by 4 each time it settles, and the third time the run stops.

    Parameters
    ----------
    model : callable
        Pyro program without arguments, with rows in a plate at dimension -1.
    guide : callable
        The same of a generator, from which it makes all its draws.
    parameters : iterable of Tensor
        Leaf tensors, changed in place.
    scale : int
        Number of labels: the bound counts as converged when a window gains less than 1e-3 nats per label.
    steps : int
        Maximum number of steps.
    particles : int
        Draws per step, vectorised.

    Raises
    ------
    DivergedError
        If the bound is not finite for ten steps in a row.
    """
    from pyro.infer import Trace_ELBO

    parameters = list(parameters)
    trace: list[float] = []
    n_converged, steps_since, n_failed = 0, 0, 0
    generator = torch_generator(seed, "guide")
    with alone_with_pyro():
        elbo = Trace_ELBO(num_particles=particles, vectorize_particles=True, max_plate_nesting=1)
        adam = torch.optim.Adam(parameters, lr=learning_rate, betas=(0.9, 0.99))
        for step in range(steps):
            adam.zero_grad()
            try:
                loss = elbo.differentiable_loss(model, lambda: guide(generator))
                loss.backward()
                is_finite = math.isfinite(loss.item())
            except torch.linalg.LinAlgError:
                is_finite = False
            if not is_finite:
                n_failed += 1
                if n_failed == 10:
                    raise DivergedError(
                        "the evidence lower bound is not finite: look for labels or features many orders of magnitude apart"
                    )
                continue
            n_failed = 0
            torch.nn.utils.clip_grad_norm_(parameters, 100.0 * math.sqrt(scale))
            adam.step()
            trace.append(-loss.item())
            steps_since += 1
            if callback is not None:
                callback(step + 1, trace[-1] / scale)
            if steps_since >= 2 * window and _converged(trace, window, 1e-3 * scale):
                n_converged, steps_since = n_converged + 1, 0
                if n_converged == 3:
                    return SVIReport(np.array(trace), True, f"converged after {step + 1} steps")
                for group in adam.param_groups:
                    group["lr"] /= 4.0
    return SVIReport(np.array(trace), False, f"still rising after {steps} steps: raise max_steps")


def log_weights(model: Callable[[], None], guide: Callable[[torch.Generator], None], n: int, seed: int) -> np.ndarray:
    """Log importance weights (n,) of draws from a guide, ``log p(y, draw) - log q(draw)``.

    Model and guide are those of :func:`maximise_elbo`.
    """
    import pyro
    from pyro import poutine

    generator = torch_generator(seed, "weights")
    with alone_with_pyro(), torch.no_grad(), pyro.plate("draws", n, dim=-2):
        guide_trace = poutine.trace(guide).get_trace(generator)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace()
        total: Any = 0.0
        for trace, sign in ((model_trace, 1.0), (guide_trace, -1.0)):
            trace.compute_log_prob()
            for site in trace.nodes.values():
                if site["type"] == "sample" and site["name"] != "draws":
                    log_prob = site["log_prob"].double()
                    total = total + sign * (log_prob.reshape(n, -1).sum(-1) if log_prob.ndim == 2 else log_prob)
    return to_numpy(total)


def pareto_k(log_weights: np.ndarray) -> float:
    """Shape of the generalised Pareto distribution of the largest importance weights.

    Below 0.7 the guide is close enough to the posterior for its draws to be reweighted; above, some of the posterior is hardly
    ever drawn.  It is infinite if a handful of draws has all the weight.  Vehtari et al. 2024, *Pareto smoothed importance
    sampling*; the estimator is that of Zhang, Stephens 2009, as in Pyro and ArviZ.
    """
    from pyro.ops.stats import fit_generalized_pareto

    n = len(log_weights)
    size = int(min(0.2 * n, 3 * math.sqrt(n)))
    ordered = np.sort(log_weights)
    weights = np.exp(ordered - ordered[-1])
    tail = weights[-size:] - weights[-size - 1]
    if tail[-1] <= 1e-12:
        return 0.0  # all weights are equal: the guide is the posterior
    tail = tail[tail > 0]
    if len(tail) < MIN_TAIL:
        return math.inf
    try:
        k, _ = fit_generalized_pareto(tensor(tail))
    except ZeroDivisionError:  # weights hundreds of orders of magnitude apart
        return math.inf
    return float(k)
