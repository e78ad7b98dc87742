"""Stochastic variational inference: maximise the evidence lower bound of a Pyro model under a guide.

The engine knows neither: it takes two callables and the parameters behind them.  Nothing is left in Pyro's global
parameter store (the parameters are plain tensors), and since Pyro's handler stack and torch's random state are global
too, one lock lets only one model at a time use them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats

_PYRO = threading.RLock()


@contextmanager
def alone_with_pyro(seed: int) -> Iterator[None]:
    """The lock, a random state from ``seed`` that nobody else sees, and no validation of arguments."""
    import pyro

    with _PYRO, torch.random.fork_rng(devices=[]), pyro.validation_enabled(False):
        torch.manual_seed(seed)
        yield


class DivergedError(ValueError):
    """The evidence lower bound left the finite numbers."""


@dataclass
class SVIReport:
    """The trace of the evidence lower bound (nats, one entry a step) and whether it had settled."""

    elbo: np.ndarray
    converged: bool
    message: str
    pareto_k: float = math.nan
    """See :func:`pareto_k`; of hundreds of values together it is often above 0.7 though each of them is well described."""

    def then(self, other: SVIReport) -> SVIReport:
        """The way so far and what came after it."""
        trace = np.concatenate([self.elbo, other.elbo])
        return SVIReport(trace, self.converged and other.converged, f"{self.message}, then {other.message}")


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
    learning_rate: float = 0.03,
    particles: int = 4,
    window: int = 100,
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
    from pyro.infer import Trace_ELBO

    parameters = list(parameters)
    trace: list[float] = []
    rounds, since, bad = 0, 0, 0
    with alone_with_pyro(seed):
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


def log_weights(model: Callable[[], None], guide: Callable[[], None], n: int, seed: int) -> np.ndarray:
    """Log importance weights (n,) of draws from a guide: ``log p(y, draw) - log q(draw)``, rows in a plate at dimension -1."""
    import pyro
    from pyro import poutine

    with alone_with_pyro(seed), torch.no_grad(), pyro.plate("draws", n, dim=-2):
        drawn = poutine.trace(guide).get_trace()
        scored = poutine.trace(poutine.replay(model, trace=drawn)).get_trace()
        total = torch.zeros(n, dtype=torch.float64)
        for trace, sign in ((scored, 1.0), (drawn, -1.0)):
            trace.compute_log_prob()
            for site in trace.nodes.values():
                if site["type"] == "sample" and site["name"] != "draws":
                    each = torch.as_tensor(site["log_prob"], dtype=torch.float64)
                    total = total + sign * (each.reshape(n, -1).sum(-1) if each.ndim == 2 else each)
    return total.numpy()


def pareto_k(log_weights: np.ndarray) -> float:
    """Shape of the generalised Pareto distribution of the largest importance weights.

    Below 0.7 the guide is close enough to the posterior for its draws to be reweighted; above, some of the posterior is hardly
    ever drawn.  Vehtari et al. 2024, *Pareto smoothed importance sampling*.
    """
    n = len(log_weights)
    size = int(min(0.2 * n, 3 * math.sqrt(n)))
    ordered = np.sort(log_weights)
    weights = np.exp(ordered - ordered[-1])
    tail = weights[-size:] - weights[-size - 1]
    if tail[-1] <= 1e-12:
        return 0.0  # all weights alike: the guide is the posterior
    return float(stats.genpareto.fit(tail[tail > 0], floc=0)[0])
