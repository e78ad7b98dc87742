"""Maximum a posteriori hyperparameters of any :class:`~bayestl.priors.prior.Prior`, by L-BFGS-B.

    maximise  log p(y | theta) + log p(theta)        over the raw (logarithmic) hyperparameters theta

There are several starts on a small stratified subset, then a fit to all labels from the best of them, until the steps
gain less than a fixed amount per label.  The marginal likelihood is a multivariate normal density by Cholesky in
float64, not by conjugate gradients: below about 10^4 labels these are slower, and do not converge for flat length
scales.  Labels that are not Gaussian enter through pseudo-labels (``inference/gaussian/sites.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize

from bayestl import streams
from bayestl.inference.gaussian.labels import Data, value_and_gradient
from bayestl.inference.reports import FitReport
from bayestl.inference.threads import threads_for
from bayestl.priors.prior import Prior
from bayestl.priors.vector import RAW_BOUND, get_raw, set_raw

Callback = Callable[[str, int, float], None]
"""Called after each evaluation with the stage, the number of the evaluation and the log posterior per label."""


class FitError(ValueError):
    """No start of the optimiser reached a finite log posterior."""


@dataclass
class _Ascent:
    """The best point of one run of the optimiser."""

    raw: np.ndarray
    value: float
    gradient: np.ndarray
    converged: bool
    message: str
    n_evaluations: int


def _ascend(
    prior: Prior, data: Data, start: np.ndarray, max_iterations: int, tolerance: float, callback: Callable | None
) -> _Ascent:
    """The result of L-BFGS-B, stopped when five steps together gain less than ``tolerance`` per label."""
    n = len(data)
    best = _Ascent(start, -math.inf, np.zeros_like(start), False, "no finite value", 0)
    recent: list[float] = []

    def objective(raw: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_gradient(prior, data, raw)
        best.n_evaluations += 1
        if value > best.value:
            best.raw, best.value, best.gradient = raw.copy(), value, gradient
        if callback is not None:
            callback(best.n_evaluations, best.value / n)
        if not math.isfinite(value):
            return 1e10, np.zeros_like(raw)
        return -value / n, -gradient / n

    def after_step(_: np.ndarray) -> None:
        recent.append(best.value)
        if len(recent) > 5 and recent[-1] - recent[-6] < tolerance * n:
            best.converged, best.message = True, "five steps gained less than the tolerance"
            raise StopIteration

    bounds = [(-RAW_BOUND, RAW_BOUND)] * len(start)
    with threads_for(n):
        result = scipy.optimize.minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            callback=after_step,
            options={"maxiter": max_iterations, "ftol": 1e-10, "gtol": 1e-6, "maxls": 30},
        )
    if not best.converged and math.isfinite(best.value):
        best.converged = bool(result.success)
        best.message = str(result.message)
    return best


def _draw_start(prior: Prior, generator: np.random.Generator, spread: float = 0.7) -> np.ndarray:
    raw = get_raw(prior)
    return raw + spread * generator.standard_normal(len(raw))


def fit(
    prior: Prior,
    data: Data,
    *,
    seed: int = 0,
    n_starts: int = 3,
    subset_sizes: Sequence[int] = (400,),
    largest: int = 3000,
    max_iterations: int = 200,
    tolerance: float = 5e-4,
    callback: Callback | None = None,
) -> FitReport:
    """Set the hyperparameters of ``prior`` to the maximum of their posterior.

    Parameters
    ----------
    prior : Prior
        Its present hyperparameters are the first start; changed in place.
    data : Data
        All labels.
    seed : int
        Seed for the subset and the further starts.
    n_starts : int
        Number of starts of the optimiser; all but the best are dropped after the first stage.
    subset_sizes : sequence of int
        Numbers of labels in the first stage, rising; tables of up to 1.5 times the first have no separate first stage.  Of
        each, all starts are tried, beside the best of the smaller ones; the one that goes on has the highest log posterior
        given other labels, since with many features the best of a few labels may suit these alone.
    largest : int
        Largest number of labels in the last stage; for larger tables a subset determines the hyperparameters.
    max_iterations : int
        Largest number of iterations of L-BFGS-B in each stage.
    tolerance : float
        Stop when five steps together gain less than this, in nats per label (twice this on the subset).
    callback : callable, optional
        Called after each evaluation, see :data:`Callback`.

    Raises
    ------
    FitError
        If no start reaches a finite log posterior; the hyperparameters are then as they were.
    """
    generator = streams.generator(seed, "starts")
    first = get_raw(prior)
    starts = [first] + [_draw_start(prior, generator) for _ in range(n_starts - 1)]
    sizes = [n for n in subset_sizes if len(data) > 1.5 * n]
    evaluations = 0

    def ascend(stage: str, labels: Data, start: np.ndarray) -> _Ascent:
        nonlocal evaluations
        told = None if callback is None else (lambda i, value: callback(stage, i, value))
        rough = tolerance if len(labels) > max(sizes, default=0) else 2 * tolerance
        ascent = _ascend(prior, labels, start, max_iterations, rough, told)
        evaluations += ascent.n_evaluations
        return ascent

    candidates: list[_Ascent] = []
    for small in [data.subset(n, streams.generator(seed, "first stage")) for n in sizes] or [data]:
        ascents = [ascend(f"start {k + 1} of {n_starts}", small, start) for k, start in enumerate(starts)]
        candidates = [ascend("the best of fewer labels", small, c.raw) for c in candidates if math.isfinite(c.value)]
        candidates.append(max(ascents, key=lambda a: a.value))
    best = candidates[0]
    if len(candidates) > 1:
        others = data.subset(sizes[-1], streams.generator(seed, "comparison"))
        best = max(candidates, key=lambda c: value_and_gradient(prior, others, c.raw)[0])
    if sizes and math.isfinite(best.value):
        last = data.subset(largest, streams.generator(seed, "last stage")) if len(data) > largest else data
        best = ascend(f"{len(last)} labels", last, best.raw)
    if not math.isfinite(best.value):
        set_raw(prior, first)
        raise FitError(
            f"no finite log posterior from {n_starts} starts on {len(data)} labels: "
            "look for labels or features many orders of magnitude apart"
        )
    set_raw(prior, best.raw)
    return FitReport(
        log_posterior=best.value,
        gradient_norm=float(np.abs(best.gradient).max()),
        converged=best.converged,
        message=best.message,
        n_evaluations=evaluations,
        n_starts=n_starts,
        starts=[a.value for a in ascents],
    )
