"""Exact inference: Gaussian labels under any :class:`~bayestl.kernels.Prior`.

    y_i = f(point_i) + e_i,   e_i ~ N(0, sigma_task^2 + s_i^2),   s_i a known standard error

The marginal likelihood is a multivariate normal density by Cholesky in float64, never conjugate gradients: below
about 10^4 labels they are slower and do not converge on flat length scales.  Hyperparameters are found by maximum a
posteriori with L-BFGS-B over the raw (logarithmic) parameters: several starts on a small stratified subset, then
all labels from the best of them, until a step gains less than a fixed amount a label.
The engine knows no architecture: it sees a prior, points and labels.  Labels of other likelihoods take part as Gaussian
pseudo-labels (``inference/sites.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.linalg
import scipy.optimize
import torch
from torch import Tensor

from bayestl.inference.chains import ChainReport
from bayestl.inference.threads import threads_for
from bayestl.kernels import Points, Prior

JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4)
"""Tried in turn, relative to the mean of the diagonal, until the Cholesky factorisation succeeds."""

RAW_BOUND = 12.0
"""Raw hyperparameters are logarithms and coefficients of unit-scale quantities: this is far outside every prior."""

Callback = Callable[[str, int, float], None]
"""Told after each step: stage, number of the evaluation, log posterior a label."""


class FitError(ValueError):
    """No start of the optimiser reached a finite log posterior."""


@dataclass(frozen=True)
class Labels:
    """Gaussian labels in long form, those of a task together (see :meth:`Prior.covariance`).

    ``points`` (N), ``y`` (N,) scaled, ``se2`` (N,) known noise variance; ``site`` (N,) marks pseudo-labels, whose
    variance is ``se2`` alone, where the others have the noise of their task too; ``rows`` (N,) of the table.
    """

    points: Points
    y: Tensor
    se2: Tensor
    site: Tensor | None = None
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)

    def at(self, index: Tensor) -> Labels:
        """The labels at the given positions."""
        site, rows = (None if v is None else v[index] for v in (self.site, self.rows))
        return Labels(self.points.at(index), self.y[index], self.se2[index], site, rows)

    def join(self, other: Labels) -> Labels:
        """These labels, then the other ones."""
        none = (torch.zeros(len(v), dtype=torch.bool) for v in (self, other))
        sites = [n if v.site is None else v.site for v, n in zip((self, other), none, strict=True)]
        return Labels(
            self.points.join(other.points),
            torch.cat([self.y, other.y]),
            torch.cat([self.se2, other.se2]),
            torch.cat(sites),
        )

    def subset(self, size: int, generator: np.random.Generator) -> Labels:
        """About ``size`` of the labels (see :func:`stratified`)."""
        rows = torch.arange(len(self)) if self.rows is None else self.rows
        return self.at(torch.from_numpy(stratified(self.points.task.numpy(), rows.numpy(), size, generator)))

    def log_posterior(self, prior: Prior) -> Tensor:
        """``log p(y | hyperparameters) + log p(raw hyperparameters)``, a differentiable scalar."""
        return log_marginal_likelihood(prior, self) + prior.log_density()

    def conditioned(self, prior: Prior, mean: Tensor | None = None, covariance: Tensor | None = None) -> Pseudo:
        """These labels: they are Gaussian already."""
        return Pseudo(self, 0.0)


class Pseudo(NamedTuple):
    """Gaussian labels that stand for the real ones, and what the log evidence of the real ones has beyond theirs."""

    labels: Labels
    correction: float


class Data(Protocol):
    """Labels of any likelihood, as the engine sees them."""

    @property
    def points(self) -> Points:
        """Where their latent values are."""

    def __len__(self) -> int: ...

    def subset(self, size: int, generator: np.random.Generator) -> Data:
        """About ``size`` of the labels."""

    def log_posterior(self, prior: Prior) -> Tensor:
        """Log evidence (or a bound on it) plus log prior density, a differentiable scalar."""

    def conditioned(self, prior: Prior, mean: Tensor | None = None, covariance: Tensor | None = None) -> Pseudo:
        """Gaussian labels with the same posterior, at the hyperparameters of ``prior``.

        ``mean`` and ``covariance`` of the latent values at the points, where other labels are conditioned on already.
        """


@dataclass
class FitReport:
    """How the optimisation went: numbers for a person and for ``diagnose()``."""

    log_posterior: float
    gradient_norm: float
    converged: bool
    message: str
    n_evaluations: int
    n_starts: int
    jitter: float = 0.0
    """Added to the diagonal of the labels' covariance, scaled units."""
    starts: list[float] = field(default_factory=list)
    """Best log posterior of each start on the subset."""
    chain: ChainReport | None = None
    """Of the hyperparameters, where they are averaged over chains."""


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


def inverse_from_cholesky(factor: Tensor) -> Tensor:
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
        g = inverse_from_cholesky(factor).mul_(-0.5 * grad).addr_(alpha, alpha, alpha=0.5 * float(grad))
        return g, g.diagonal(), -alpha * grad


def noise_variance(prior: Prior, labels: Labels) -> Tensor:
    """``sigma_task^2 + s_i^2``, shape (N,); ``s_i^2`` alone for pseudo-labels."""
    own = prior.noise.variance()[labels.points.task]
    if labels.site is not None:
        own = torch.where(labels.site, 0.0, own)
    return own + labels.se2


def log_marginal_likelihood(prior: Prior, labels: Labels) -> Tensor:
    """``log p(y | hyperparameters)``, a differentiable scalar."""
    covariance = prior.covariance(labels.points, labels.points)
    return _LogNormalDensity.apply(covariance, noise_variance(prior, labels), labels.y)


# ------------------------------------------------------------------------------------------------ hyperparameters


def get_raw(prior: Prior) -> np.ndarray:
    """All raw hyperparameters as one vector."""
    return torch.cat([p.detach().ravel() for p in prior.raw_parameters()]).numpy().copy()


def set_raw(prior: Prior, raw: np.ndarray) -> None:
    """The inverse of :func:`get_raw`."""
    vector = torch.as_tensor(raw, dtype=torch.float64)
    offset = 0
    with torch.no_grad():
        for parameter in prior.raw_parameters():
            parameter.copy_(vector[offset : offset + parameter.numel()].view_as(parameter))
            offset += parameter.numel()


def differentiate(prior: Prior, function: Callable[[], Tensor]) -> tuple[float, np.ndarray]:
    """Value of a function of the present raw hyperparameters, and its gradient."""
    for parameter in prior.raw_parameters():
        parameter.grad = None
    value = function()
    value.backward()
    gradient = [(torch.zeros_like(p) if p.grad is None else p.grad).ravel() for p in prior.raw_parameters()]
    return float(value.detach()), torch.cat(gradient).numpy().copy()


def value_and_gradient(prior: Prior, data: Data, raw: np.ndarray) -> tuple[float, np.ndarray]:
    """Log posterior at ``raw`` and its gradient; ``-inf`` and zeros where it cannot be computed."""
    set_raw(prior, raw)
    try:
        value, gradient = differentiate(prior, lambda: data.log_posterior(prior))
    except torch.linalg.LinAlgError:
        return -math.inf, np.zeros_like(raw)
    if not (math.isfinite(value) and np.isfinite(gradient).all()):
        return -math.inf, np.zeros_like(raw)
    return value, gradient


@dataclass
class _Ascent:
    raw: np.ndarray
    value: float
    gradient: np.ndarray
    converged: bool
    message: str
    n_evaluations: int


def _ascend(
    prior: Prior, data: Data, start: np.ndarray, max_iterations: int, tolerance: float, told: Callable | None
) -> _Ascent:
    """L-BFGS-B until five steps together gain less than ``tolerance`` a label."""
    n = len(data)
    best = _Ascent(start, -math.inf, np.zeros_like(start), False, "no finite value", 0)
    recent: list[float] = []

    def objective(raw: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_gradient(prior, data, raw)
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


def stratified(kind: np.ndarray, rows: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """Positions of about ``size`` labels, sorted: kinds (N,) as equal as their numbers allow, the same rows for all."""
    counts = np.bincount(kind)
    quota = np.zeros_like(counts)
    left = size
    for position, t in enumerate(np.argsort(counts, kind="stable")):
        quota[t] = min(counts[t], left // (len(counts) - position))
        left -= quota[t]
    order = generator.permutation(int(rows.max()) + 1)[rows]
    keep = [
        np.flatnonzero(kind == t)[np.argsort(order[kind == t], kind="stable")[: quota[t]]] for t in range(len(counts))
    ]
    return np.sort(np.concatenate(keep))


def fit(
    prior: Prior,
    data: Data,
    *,
    seed: int = 0,
    n_starts: int = 3,
    subset_size: int = 400,
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
        For the subset and the other starts.
    n_starts : int
        Starts of the optimiser; all but the best are dropped after the first stage.
    subset_size : int
        Labels in the first stage; tables of up to 1.5 times as many have no separate first stage.
    largest : int
        Labels in the last stage: of larger tables a subset decides on the hyperparameters.
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
    staged = len(data) > 1.5 * subset_size
    small = data.subset(subset_size, generator) if staged else data
    last = data.subset(largest, generator) if len(data) > largest else data
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
        best = _ascend(prior, last, best.raw, max_iterations, tolerance, told(f"{len(last)} labels"))
        evaluations += best.n_evaluations
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
