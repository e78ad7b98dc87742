"""Exact inference: Gaussian labels under any :class:`~bayestl.kernels.Prior`.

    y_i = f(point_i) + e_i,   e_i ~ N(0, sigma_task^2 + s_i^2),   s_i a known standard error

The marginal likelihood is a multivariate normal density by Cholesky in float64, never conjugate gradients: below
about 10^4 labels they are slower and do not converge on flat length scales.  Hyperparameters are found by maximum a
posteriori with L-BFGS-B over the raw (logarithmic) parameters: several starts on a small stratified subset, then
all labels from the best of them, until a step gains less than a fixed amount a label.
The engine knows no architecture: it sees a prior, points and labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from bayestl.kernels import Points, Prior

JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4)
"""Tried in turn, relative to the mean of the diagonal, until the Cholesky factorisation succeeds."""

SINGLE_THREAD_LABELS = 1000
"""Below so many labels the linear algebra runs in one thread."""

RAW_BOUND = 12.0
"""Raw hyperparameters are logarithms and coefficients of unit-scale quantities: this is far outside every prior."""

Callback = Callable[[str, int, float], None]
"""Told after each step: stage, number of the evaluation, log posterior a label."""


class FitError(ValueError):
    """No start of the optimiser reached a finite log posterior."""


@dataclass(frozen=True)
class Labels:
    """Labels in long form: ``points`` (N), ``y`` (N,) scaled, ``se2`` (N,) known noise variance."""

    points: Points
    y: Tensor
    se2: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def at(self, index: Tensor) -> Labels:
        """The labels at the given positions."""
        return Labels(self.points.at(index), self.y[index], self.se2[index])

    def sorted_by_task(self) -> Labels:
        """The same labels, those of a task together (see :meth:`Prior.covariance`)."""
        return self.at(torch.argsort(self.points.task, stable=True))


@dataclass
class FitReport:
    """How the optimisation went: numbers for a person and for ``diagnose()``."""

    log_posterior: float
    gradient_norm: float
    converged: bool
    message: str
    n_evaluations: int
    n_starts: int
    jitter: float
    starts: list[float] = field(default_factory=list)
    """Best log posterior of each start on the subset."""


def cholesky(covariance: Tensor, noise: Tensor) -> tuple[Tensor, float]:
    """Lower Cholesky factor of ``covariance + diag(noise)`` and the jitter it needed (absolute).

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
        factor, info = torch.linalg.cholesky_ex(shifted)
        if int(info) == 0 and math.isfinite(float(factor.diagonal().sum())):
            return factor, added
    raise torch.linalg.LinAlgError("covariance is not positive definite")


def _inverse_from_cholesky(factor: Tensor) -> Tensor:
    """``(L L')^-1`` by LAPACK's potri, half the time of ``torch.cholesky_inverse``."""
    inverse, _ = scipy.linalg.lapack.dpotri(np.array(factor.numpy(), order="F"), lower=1, overwrite_c=1)
    half = torch.from_numpy(inverse.T).triu_()
    full = half + half.T
    full.diagonal().mul_(0.5)
    return full


class _LogNormalDensity(torch.autograd.Function):
    """``log N(y | 0, K + diag(v))`` with the closed-form gradient ``(alpha alpha' - (K + diag(v))^-1) / 2``."""

    @staticmethod
    def forward(ctx: Any, covariance: Tensor, noise: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        factor, _ = cholesky(covariance, noise)
        alpha = torch.cholesky_solve(y[:, None], factor)[:, 0]
        ctx.save_for_backward(factor, alpha)
        return -0.5 * (y @ alpha) - factor.diagonal().log().sum() - 0.5 * len(y) * math.log(2 * math.pi)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        factor, alpha = ctx.saved_tensors
        g = _inverse_from_cholesky(factor).mul_(-0.5 * grad).addr_(alpha, alpha, alpha=0.5 * float(grad))
        return g, g.diagonal(), -alpha * grad


def noise_variance(prior: Prior, labels: Labels) -> Tensor:
    """``sigma_task^2 + s_i^2``, shape (N,)."""
    return prior.noise.variance()[labels.points.task] + labels.se2


def log_marginal_likelihood(prior: Prior, labels: Labels) -> Tensor:
    """``log p(y | hyperparameters)``, a differentiable scalar."""
    covariance = prior.covariance(labels.points, labels.points)
    return _LogNormalDensity.apply(covariance, noise_variance(prior, labels), labels.y)


def log_posterior(prior: Prior, labels: Labels) -> Tensor:
    """``log p(y | hyperparameters) + log p(raw hyperparameters)``."""
    return log_marginal_likelihood(prior, labels) + prior.log_density()


# ------------------------------------------------------------------------------------------------ hyperparameters


def get_raw(prior: Prior) -> np.ndarray:
    """All raw hyperparameters as one vector."""
    return torch.cat([p.detach().ravel() for p in prior.parameters()]).numpy().copy()


def set_raw(prior: Prior, raw: np.ndarray) -> None:
    """The inverse of :func:`get_raw`."""
    vector = torch.as_tensor(raw, dtype=torch.float64)
    offset = 0
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.copy_(vector[offset : offset + parameter.numel()].view_as(parameter))
            offset += parameter.numel()


@contextmanager
def threads_for(n_labels: int) -> Iterator[None]:
    """One thread for small matrices, where starting several costs more than they save (measured on two cores)."""
    before = torch.get_num_threads()
    if n_labels < SINGLE_THREAD_LABELS and before > 1:
        torch.set_num_threads(1)
        try:
            with threadpool_limits(limits=1, user_api="blas"):
                yield
        finally:
            torch.set_num_threads(before)
    else:
        yield


def value_and_gradient(prior: Prior, labels: Labels, raw: np.ndarray) -> tuple[float, np.ndarray]:
    """Log posterior at ``raw`` and its gradient; ``-inf`` and zeros where it cannot be computed."""
    set_raw(prior, raw)
    prior.zero_grad()
    try:
        value = log_posterior(prior, labels)
        value.backward()
    except torch.linalg.LinAlgError:
        return -math.inf, np.zeros_like(raw)
    gradient = torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).ravel() for p in prior.parameters()]
    ).numpy()
    if not (math.isfinite(float(value.detach())) and np.isfinite(gradient).all()):
        return -math.inf, np.zeros_like(raw)
    return float(value.detach()), gradient.copy()


@dataclass
class _Ascent:
    raw: np.ndarray
    value: float
    gradient: np.ndarray
    converged: bool
    message: str
    n_evaluations: int


def _ascend(
    prior: Prior, labels: Labels, start: np.ndarray, max_iterations: int, tolerance: float, told: Callable | None
) -> _Ascent:
    """L-BFGS-B until five steps together gain less than ``tolerance`` a label."""
    n = len(labels)
    best = _Ascent(start, -math.inf, np.zeros_like(start), False, "no finite value", 0)
    recent: list[float] = []

    def objective(raw: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_gradient(prior, labels, raw)
        best.n_evaluations += 1
        if value > best.value:
            best.raw, best.value, best.gradient = raw.copy(), value, gradient
        if told is not None:
            told(best.n_evaluations, best.value / n)
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


def _stratified_subset(labels: Labels, rows: Tensor, size: int, generator: np.random.Generator) -> Tensor:
    """About ``size`` labels, tasks as equal as their numbers allow, the same rows for all tasks where possible."""
    task = labels.points.task.numpy()
    counts = np.bincount(task)
    quota = np.zeros_like(counts)
    left = size
    for position, t in enumerate(np.argsort(counts, kind="stable")):
        quota[t] = min(counts[t], left // (len(counts) - position))
        left -= quota[t]
    order = generator.permutation(int(rows.max()) + 1)[rows.numpy()]
    keep = [
        np.flatnonzero(task == t)[np.argsort(order[task == t], kind="stable")[: quota[t]]] for t in range(len(counts))
    ]
    return torch.as_tensor(np.sort(np.concatenate(keep)))


def fit(
    prior: Prior,
    labels: Labels,
    rows: Tensor,
    *,
    seed: int = 0,
    n_starts: int = 3,
    subset_size: int = 400,
    max_iterations: int = 200,
    tolerance: float = 5e-4,
    callback: Callback | None = None,
) -> FitReport:
    """Set the hyperparameters of ``prior`` to the maximum of their posterior.

    Parameters
    ----------
    prior : Prior
        Its present hyperparameters are the first start; changed in place.
    labels : Labels
        All labels, those of a task together (:meth:`Labels.sorted_by_task`).
    rows : Tensor of int, shape (N,)
        The row of the table that each label belongs to (labels of one row stay together in the subset).
    seed : int
        For the subset and the other starts.
    n_starts : int
        Starts of the optimiser; all but the best are dropped after the first stage.
    subset_size : int
        Labels in the first stage; tables of up to 1.5 times as many have no separate first stage.
    max_iterations : int
        Of L-BFGS-B in each stage.
    tolerance : float
        Stop when five steps together gain less than this, in nats a label (twice this on the subset).
    callback : callable, optional
        See :data:`Callback`.

    Raises
    ------
    FitError
        If no start reaches a finite log posterior; the hyperparameters are then as they were.
    """
    generator = np.random.default_rng(seed)
    first = get_raw(prior)
    starts = [first] + [_draw_start(prior, generator) for _ in range(n_starts - 1)]
    staged = len(labels) > 1.5 * subset_size
    small = labels.at(_stratified_subset(labels, rows, subset_size, generator)) if staged else labels
    evaluations = 0

    def told(stage: str) -> Callable | None:
        return None if callback is None else (lambda i, value: callback(stage, i, value))

    ascents = []
    for k, start in enumerate(starts):
        rough = 2 * tolerance if staged else tolerance
        ascent = _ascend(prior, small, start, max_iterations, rough, told(f"start {k + 1} of {n_starts}"))
        evaluations += ascent.n_evaluations
        ascents.append(ascent)
    best = max(ascents, key=lambda a: a.value)
    if staged and math.isfinite(best.value):
        best = _ascend(prior, labels, best.raw, max_iterations, tolerance, told("all labels"))
        evaluations += best.n_evaluations
    if not math.isfinite(best.value):
        set_raw(prior, first)
        raise FitError(
            f"no finite log posterior from {n_starts} starts on {len(labels)} labels: "
            "look for labels or features many orders of magnitude apart"
        )
    set_raw(prior, best.raw)
    with torch.no_grad():
        covariance = prior.covariance(labels.points, labels.points)
        _, jitter = cholesky(covariance, noise_variance(prior, labels))
    return FitReport(
        log_posterior=best.value,
        gradient_norm=float(np.abs(best.gradient).max()),
        converged=best.converged,
        message=best.message,
        n_evaluations=evaluations,
        n_starts=n_starts,
        jitter=jitter,
        starts=[a.value for a in ascents],
    )


def laplace_covariance(prior: Prior, labels: Labels, which: np.ndarray | None = None, step: float = 1e-3) -> np.ndarray:
    """Covariance of raw hyperparameters: inverse Hessian of the negative log posterior at the present values.

    Central differences of the exact gradient: two evaluations a hyperparameter.  Directions in which the log
    posterior is flatter than a unit normal (the order of the priors), or not concave, get unit variance.

    Parameters
    ----------
    prior : Prior
        At the maximum; left as it was.
    labels : Labels
    which : ndarray of int, optional
        Positions in the raw vector; the others are held fixed.  Default: all.
    """
    raw = get_raw(prior)
    positions = np.arange(len(raw)) if which is None else np.asarray(which)
    hessian = np.empty((len(positions), len(positions)))
    with threads_for(len(labels)):
        for row, i in enumerate(positions):
            shift = np.zeros_like(raw)
            shift[i] = step
            up = value_and_gradient(prior, labels, raw + shift)[1]
            down = value_and_gradient(prior, labels, raw - shift)[1]
            hessian[row] = -(up - down)[positions] / (2 * step)
    set_raw(prior, raw)
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    return (vectors / np.maximum(values, 1.0)) @ vectors.T


def raw_positions(prior: Prior, prefix: str) -> np.ndarray:
    """Positions in the raw vector of the hyperparameters whose name starts with ``prefix``."""
    keep, offset = [], 0
    for name, parameter in prior.named_parameters():
        if name.startswith(prefix):
            keep.append(np.arange(offset, offset + parameter.numel()))
        offset += parameter.numel()
    return np.concatenate(keep) if keep else np.zeros(0, dtype=int)


def laplace_draws(prior: Prior, labels: Labels, n: int, seed: int, which: np.ndarray | None = None) -> np.ndarray:
    """``n`` antithetic draws (n, P) of all raw hyperparameters from the Gaussian of :func:`laplace_covariance`."""
    raw = get_raw(prior)
    positions = np.arange(len(raw)) if which is None else np.asarray(which)
    half = np.random.default_rng(seed).standard_normal(((n + 1) // 2, len(positions)))
    steps = np.concatenate([half, -half])[:n] @ covariance_root(laplace_covariance(prior, labels, which)).T
    draws = np.repeat(raw[None], n, axis=0)
    draws[:, positions] += steps
    return np.clip(draws, -RAW_BOUND, RAW_BOUND)


def covariance_root(covariance: np.ndarray) -> np.ndarray:
    """A square root ``R`` with ``R R' = covariance``, rounding errors below zero set to zero."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))
