"""Maximum a posteriori hyperparameters of any :class:`~bayestl.priors.prior.Prior`, by L-BFGS-B.

    maximise  log p(y | theta) + log p(theta)        over the raw (logarithmic) hyperparameters theta

There are several starts on a small stratified subset, then a fit to a larger one from the best of them, and one to all
labels, of larger tables to a few blocks of them, until the steps gain less than a fixed amount per label.  What L-BFGS has learnt of the curvature in one stage gives
the coordinates of the next, ``theta = theta_0 + R z`` with ``R R'`` the inverse Hessian per label, so that a few steps on all
labels are enough.  The marginal likelihood is a multivariate normal density by Cholesky in
float64, not by conjugate gradients: below about 10^4 labels these are slower, and do not converge for flat length
scales.  Labels that are not Gaussian enter through pseudo-labels (``inference/gaussian/sites.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.optimize

from bayestl import streams
from bayestl.inference.gaussian.labels import Data, Scored, value_and_gradient
from bayestl.inference.gaussian.laplace import covariance_root
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
    root: np.ndarray
    """A root of the inverse Hessian of the negative log posterior per label, as the optimiser knows it."""


def _ascend(
    prior: Prior,
    data: Scored,
    start: np.ndarray,
    root: np.ndarray | None,
    max_iterations: int,
    tolerance: float,
    callback: Callable | None,
) -> _Ascent:
    """The result of L-BFGS-B, stopped when five steps together gain less than ``tolerance`` per label.

    In coordinates in which the curvature is known (``root``) three steps are compared with three fifths of it.
    """
    n, size = len(data), len(start)
    steps, least = (5, tolerance) if root is None else (3, 0.6 * tolerance)
    axes = np.eye(size) if root is None else root
    best = _Ascent(start, -math.inf, np.zeros_like(start), False, "no finite value", 0, axes)
    recent: list[float] = []

    def objective(z: np.ndarray) -> tuple[float, np.ndarray]:
        free = start + axes @ z
        raw = np.clip(free, -RAW_BOUND, RAW_BOUND)
        value, gradient = value_and_gradient(prior, data, raw)
        best.n_evaluations += 1
        if value > best.value:
            best.raw, best.value, best.gradient = raw.copy(), value, gradient
        if callback is not None:
            callback(best.n_evaluations, best.value / n)
        if not math.isfinite(value):
            return 1e10, np.zeros_like(raw)
        return -value / n, -(np.where(np.abs(free) <= RAW_BOUND + 1e-9, gradient, 0.0) @ axes) / n

    def after_step(_: np.ndarray) -> None:
        recent.append(best.value)
        if len(recent) > steps and recent[-1] - recent[-1 - steps] < least * n:
            best.converged, best.message = True, f"{steps} steps gained less than the tolerance"
            raise StopIteration

    with threads_for(n):
        result = scipy.optimize.minimize(
            objective,
            np.zeros(size),
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(-RAW_BOUND - start, RAW_BOUND - start, strict=True)) if root is None else None,
            callback=after_step,
            options={"maxiter": max_iterations, "ftol": 1e-10, "gtol": 1e-6, "maxls": 30},
        )
    if not best.converged and math.isfinite(best.value):
        best.converged = bool(result.success)
        best.message = str(result.message)
    best.root = axes @ covariance_root(result.hess_inv.todense())
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
    subset_size: int = 400,
    middle_size: int = 1000,
    restart: bool = False,
    largest: int = 3000,
    n_blocks: int = 3,
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
    subset_size : int
        Number of labels in the first stage; tables of up to 1.5 times as many have no separate first stage.
    middle_size : int
        Number of labels in the stage after it, which tables of more than 1.5 times as many have where the first is much smaller.
    restart : bool
        Whether that stage tries all starts again, beside the best of the first stage; of both ends the one with the higher
        log posterior given other labels goes on, since with many features the best of a few labels may suit these alone.
    largest : int
        Largest number of labels in the last stage; for larger tables a subset determines the hyperparameters.
    n_blocks : int
        Number of such subsets, where labels are Gaussian; they are taken as independent.
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
    staged = len(data) > 1.5 * subset_size
    small = data.subset(subset_size, streams.generator(seed, "first stage")) if staged else data
    last: Scored = data
    if len(data) > largest:
        last = data.blocks(largest, n_blocks, streams.generator(seed, "last stage"))
    evaluations = 0

    def ascend(stage: str, labels: Scored, start: np.ndarray, root: np.ndarray | None = None) -> _Ascent:
        nonlocal evaluations
        told = None if callback is None else (lambda i, value: callback(stage, i, value))
        ascent = _ascend(prior, labels, start, root, max_iterations, (2 - (labels is last)) * tolerance, told)
        evaluations += ascent.n_evaluations
        return ascent

    def ascend_all(labels: Data) -> list[_Ascent]:
        return [ascend(f"start {k + 1} of {n_starts}", labels, start) for k, start in enumerate(starts)]

    ascents = ascend_all(small)
    best = max(ascents, key=lambda a: a.value)
    if staged and len(last) > 1.5 * middle_size > 2 * subset_size:
        middle = data.subset(middle_size, streams.generator(seed, "middle stage"))
        ends = [ascend(f"{len(middle)} labels", middle, best.raw, best.root)] if math.isfinite(best.value) else []
        if restart or not ends:
            ascents = ascend_all(middle)
            others = data.subset(middle_size, streams.generator(seed, "comparison"))
            ends.append(max(ascents, key=lambda a: a.value))
            ends.sort(key=lambda a: value_and_gradient(prior, others, a.raw)[0])
        best = ends[-1]
    if staged and math.isfinite(best.value):
        best = ascend(f"{len(last)} labels", last, best.raw, best.root)
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
