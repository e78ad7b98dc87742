"""How a label arises from latent values: ``y ~ Likelihood(z)``.

A likelihood is a prior-free description: its log density, the expectation of that under a Gaussian (which is all that an
inference engine asks for), the predictive distribution of a label, and draws of labels.  It holds no inference code and
no fitted numbers: the noise of a task, cutpoints and degrees of freedom belong to the fitted model and are passed in.

A label has one or more *parts*, each with latent functions of its own.  Most have one; a hurdle label has two, whether it
is zero and how large it is otherwise, so that its second part can stay exact.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from scipy.special import ndtr, roots_genlaguerre
from scipy.stats import qmc

from bayestl.distributions import (
    Discrete,
    LogNormalMixture,
    NormalMixture,
    Predictive,
    TruncatedMixture,
)
from bayestl.distributions import Hurdle as HurdleDistribution

if TYPE_CHECKING:
    import gpytorch
    from torch import Tensor

QUADRATURE = 20
"""Gauss-Hermite nodes for the expectation of a log density under a one-dimensional Gaussian."""
SCALE_NODES = 16
"""Gaussians in whose mixture a Student t label is predicted."""
CLASS_DRAWS = 512
"""Quasi-random normal draws behind the probabilities of more than two classes."""
SIZES = ("auto", "log-normal", "truncated-normal")
"""What the positive part of a hurdle label may follow."""


class LatentBlock(NamedTuple):
    """The posterior of the L latent values behind one part: a mixture of S Gaussians for each of n rows."""

    weights: np.ndarray
    """(S,)"""
    means: np.ndarray
    """(S, n, L)"""
    covariances: np.ndarray
    """(S, n, L, L)"""

    def single(self) -> NormalMixture:
        """The first latent value alone."""
        return NormalMixture(self.weights, self.means[:, :, 0], np.maximum(self.covariances[:, :, 0, 0], 1e-12))


class LabelBlock(NamedTuple):
    """Labels of one part, in the units of its latent values."""

    y: Tensor
    """(n,) the label, or the position of its class; the lower end of an interval."""
    se2: Tensor
    """(n,) known variance of the label."""
    high: Tensor
    """(n,) the upper end of an interval; equal to ``y`` where the label is known exactly."""


@dataclass(frozen=True)
class Likelihood(ABC):
    """Base of all likelihoods: what a user may give to a :class:`~bayestl.tasks.Task`."""

    @abstractmethod
    def parts(self) -> dict[str, Part]:
        """The parts of a label, by name; the empty name is the label itself."""

    def split(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """The label of each part, NaN where a part has none, for labels (n,) in label units or class positions."""
        return {"": y}

    def scale(self, y: np.ndarray) -> tuple[float, float]:
        """Location and scale (label units of the main part) from the labels (n,) with NaN."""
        there = y[np.isfinite(y)]
        mean, sd = (float(there.mean()), float(there.std())) if len(there) else (0.0, 1.0)
        if sd <= 1e-12 * abs(mean):
            sd = abs(mean)
        return mean, sd if sd > 0 else 1.0

    def check(self, y: np.ndarray) -> tuple[np.ndarray, str]:
        """Which labels (n,) it cannot explain, and what to do about them."""
        return np.zeros(len(y), dtype=bool), ""

    @property
    def classes_(self) -> tuple[Hashable, ...] | None:
        """The classes of the label, None where it is a number."""
        return None

    def combine(self, parts: dict[str, Predictive]) -> Predictive:
        """The distribution of a label from those of its parts."""
        return parts[""]

    def combine_draws(self, parts: dict[str, np.ndarray]) -> np.ndarray:
        """Draws of labels from draws of its parts."""
        return parts[""]


@dataclass(frozen=True)
class Part(Likelihood, ABC):
    """A likelihood with one part: latent values in, one label out."""

    @property
    def n_latent(self) -> int:
        """How many latent functions it needs."""
        return 1

    @property
    def has_noise(self) -> bool:
        """Whether the task has a noise standard deviation."""
        return True

    @property
    def amplitude(self) -> float:
        """How large its latent functions are expected to be, scaled units: one for numbers, two for classes."""
        return 1.0 if self.has_noise else 2.0

    def further(self) -> gpytorch.Module | None:
        """A module with further hyperparameters; called, it gives them as a vector."""
        return None

    def parts(self) -> dict[str, Part]:
        return {"": self}

    @abstractmethod
    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        """``log p(y | f)``, shape (..., n), for latent values ``f`` (..., n, L) and noise variance ``noise``."""

    def expected_log_density(
        self, labels: LabelBlock, mean: Tensor, variance: Tensor, noise: Tensor, further: Tensor
    ) -> Tensor:
        """``E[log p(y | f)]`` or a lower bound on it, shape (n,), for ``f ~ N(mean, diag(variance))``, both (n, L).

        Differentiable in all its arguments: the gradient in ``mean`` and ``variance`` is what inference needs.
        """
        nodes, weights = _hermite(mean.dtype)
        f = mean[None] + variance.clamp_min(1e-12).sqrt()[None] * nodes[:, None, None]
        return (weights[:, None] * self.log_density(labels, f, noise, further)).sum(0)

    @abstractmethod
    def predictive(
        self, latent: LatentBlock, noise: np.ndarray, further: np.ndarray, location: float, scale: float
    ) -> Predictive:
        """The distribution of a new label, in label units.

        Parameters
        ----------
        latent : LatentBlock
            Scaled units.
        noise : ndarray, shape (S,)
            Noise variance in each component, scaled units.
        further : ndarray, shape (S, P)
            Further hyperparameters in each component.
        location, scale : float
            Label units are ``location + scale * scaled units``.
        """

    @abstractmethod
    def draw(
        self,
        f: np.ndarray,
        noise: np.ndarray,
        further: np.ndarray,
        location: float,
        scale: float,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """Labels (K, n) in label units for draws ``f`` (K, n, L), noise variances (K,) and further numbers (K, P)."""


@cache
def _hermite(dtype: Any) -> tuple[Tensor, Tensor]:
    import torch

    nodes, weights = np.polynomial.hermite.hermgauss(QUADRATURE)
    return torch.tensor(nodes * math.sqrt(2.0), dtype=dtype), torch.tensor(weights / math.sqrt(math.pi), dtype=dtype)


def _log_normal_density(squared: Tensor, variance: Tensor) -> Tensor:
    return -0.5 * (squared / variance + variance.log() + math.log(2 * math.pi))


# ----------------------------------------------------------------------------------------------------------- numbers


@dataclass(frozen=True)
class Gaussian(Part):
    """``y = z + e``, ``e ~ N(0, sigma_t^2 + s_i^2)``, ``s_i`` the known standard error of label i (``Y_std``)."""

    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        return _log_normal_density((labels.y - f[..., 0]) ** 2, noise + labels.se2)

    def expected_log_density(
        self, labels: LabelBlock, mean: Tensor, variance: Tensor, noise: Tensor, further: Tensor
    ) -> Tensor:
        return _log_normal_density((labels.y - mean[:, 0]) ** 2 + variance[:, 0], noise + labels.se2)

    def predictive(
        self, latent: LatentBlock, noise: np.ndarray, further: np.ndarray, location: float, scale: float
    ) -> NormalMixture:
        return latent.single().widened(noise[:, None]).scaled(location, scale)

    def draw(
        self,
        f: np.ndarray,
        noise: np.ndarray,
        further: np.ndarray,
        location: float,
        scale: float,
        generator: np.random.Generator,
    ) -> np.ndarray:
        error = np.sqrt(noise)[:, None] * generator.standard_normal(f.shape[:2])
        return location + scale * (f[:, :, 0] + error)


@dataclass(frozen=True)
class StudentT(Part):
    """``y = z + sigma_t e``, ``e ~ t(dof)``: labels with outliers.

    Parameters
    ----------
    dof : float, optional
        Degrees of freedom; learnt where it is not given (prior median 4).

    Notes
    -----
    Inference uses the scale mixture of Gaussians: ``e ~ N(0, 1/w)``, ``w ~ Gamma(dof/2, dof/2)``, one ``w`` a label.
    """

    dof: float | None = None

    def __post_init__(self) -> None:
        if self.dof is not None and not (isinstance(self.dof, int | float) and 0 < self.dof < 1e6):
            raise ValueError(f"StudentT: dof must be a positive number, got {self.dof!r}")

    def further(self) -> gpytorch.Module | None:
        from bayestl.observation import DegreesOfFreedom

        return DegreesOfFreedom() if self.dof is None else None

    def _dof(self, further: Any) -> Any:
        return further[..., 0] if self.dof is None else self.dof

    def _log_t(self, squared: Tensor, variance: Tensor, further: Tensor) -> Tensor:
        import torch

        dof = torch.as_tensor(self._dof(further), dtype=squared.dtype)
        a = 0.5 * (dof + 1.0)
        constant = torch.lgamma(a) - torch.lgamma(0.5 * dof) - 0.5 * (dof * math.pi).log()
        return constant - 0.5 * variance.log() - a * torch.log1p(squared / (dof * variance))

    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        return self._log_t((labels.y - f[..., 0]) ** 2, noise + labels.se2, further)

    def expected_log_density(
        self, labels: LabelBlock, mean: Tensor, variance: Tensor, noise: Tensor, further: Tensor
    ) -> Tensor:
        # the bound maximised over q(w): the t density at the expected square
        return self._log_t((labels.y - mean[:, 0]) ** 2 + variance[:, 0], noise + labels.se2, further)

    def predictive(
        self, latent: LatentBlock, noise: np.ndarray, further: np.ndarray, location: float, scale: float
    ) -> NormalMixture:
        z = latent.single()
        weights, means, variances = [], [], []
        for s in range(len(z.weights)):
            half = 0.5 * float(self._dof(further[s]) if self.dof is None else self.dof)
            nodes, mass = roots_genlaguerre(SCALE_NODES, half - 1.0)
            weights.append(z.weights[s] * mass / mass.sum())
            means.append(np.repeat(z.means[s][None], SCALE_NODES, axis=0))
            variances.append(z.variances[s] + noise[s] * (half / nodes)[:, None])
        return NormalMixture(np.concatenate(weights), np.concatenate(means), np.concatenate(variances)).scaled(
            location, scale
        )

    def draw(
        self,
        f: np.ndarray,
        noise: np.ndarray,
        further: np.ndarray,
        location: float,
        scale: float,
        generator: np.random.Generator,
    ) -> np.ndarray:
        dof = np.broadcast_to(self._dof(further), (len(f),))[:, None]
        error = generator.standard_t(dof, size=f.shape[:2])
        return location + scale * (f[:, :, 0] + np.sqrt(noise)[:, None] * error)


@dataclass(frozen=True)
class Censored(Part):
    """A Gaussian label of which some are known only to lie beyond a limit, or in an interval.

    A cell of the label column may be a number, or text: ``"<0.1"`` (below), ``">5"`` (above), ``"0.1..0.3"`` (between).
    Predictions are of the value itself, which no limit hides.

    Parameters
    ----------
    lower, upper : float, optional
        Detection limits of the column: a number at or beyond a limit means "beyond it".
    """

    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("lower", self.lower), ("upper", self.upper)):
            if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
                raise ValueError(f"Censored: {name} must be a finite number, got {value!r}")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(f"Censored: lower={self.lower} must be below upper={self.upper}")

    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        import torch

        exact = labels.y == labels.high
        sd = (noise + labels.se2).sqrt()
        z = f[..., 0]
        bottom, top = (torch.where(v.isinf(), 0.0, v) for v in (labels.y, labels.high))  # no gradient through infinity
        low = torch.where(labels.y.isinf(), -40.0, (bottom - z) / sd)
        high = torch.where(labels.high.isinf(), 40.0, (top - z) / sd)
        inside = _log_interval(torch.where(exact, high - 1.0, low), high)
        point = _log_normal_density((bottom - z) ** 2, sd**2)
        return torch.where(exact, point, inside)

    def predictive(
        self, latent: LatentBlock, noise: np.ndarray, further: np.ndarray, location: float, scale: float
    ) -> NormalMixture:
        return Gaussian().predictive(latent, noise, further, location, scale)

    def draw(
        self,
        f: np.ndarray,
        noise: np.ndarray,
        further: np.ndarray,
        location: float,
        scale: float,
        generator: np.random.Generator,
    ) -> np.ndarray:
        return Gaussian().draw(f, noise, further, location, scale, generator)


def _log_interval(low: Tensor, high: Tensor) -> Tensor:
    """``log(Phi(high) - Phi(low))`` for ``low < high``, exact in both tails."""
    import torch

    flip = (low + high) > 0
    a, b = torch.where(flip, -high, low), torch.where(flip, -low, high)
    log_b = torch.special.log_ndtr(b)
    gap = (torch.special.log_ndtr(a) - log_b).clamp(max=-1e-12)
    return log_b + torch.log(-torch.expm1(gap))


@dataclass(frozen=True)
class Positive(Part):
    """``y ~ N(z, sigma_t^2 + s_i^2)`` cut off below zero."""

    def scale(self, y: np.ndarray) -> tuple[float, float]:
        there = y[np.isfinite(y)]
        return 0.0, (float(np.sqrt((there**2).mean())) if len(there) else 0.0) or 1.0

    def check(self, y: np.ndarray) -> tuple[np.ndarray, str]:
        return y <= 0, "a positive label is expected"

    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        import torch

        variance = noise + labels.se2
        z = f[..., 0]
        return _log_normal_density((labels.y - z) ** 2, variance) - torch.special.log_ndtr(z / variance.sqrt())

    def predictive(
        self, latent: LatentBlock, noise: np.ndarray, further: np.ndarray, location: float, scale: float
    ) -> TruncatedMixture:
        z = latent.single()
        nodes, mass = np.polynomial.hermite_e.hermegauss(QUADRATURE)
        weights = np.repeat(z.weights, QUADRATURE) * np.tile(mass / mass.sum(), len(z.weights))
        means = (z.means[:, None] + np.sqrt(z.variances)[:, None] * nodes[:, None]).reshape(-1, z.means.shape[1])
        spread = np.repeat(noise, QUADRATURE)[:, None] + np.zeros_like(means)
        return TruncatedMixture(weights, location + scale * means, scale**2 * spread)

    def draw(
        self,
        f: np.ndarray,
        noise: np.ndarray,
        further: np.ndarray,
        location: float,
        scale: float,
        generator: np.random.Generator,
    ) -> np.ndarray:
        from scipy.special import ndtri

        sd = np.sqrt(noise)[:, None]
        below = ndtr(-f[:, :, 0] / sd)
        u = below + (1 - below) * generator.uniform(1e-12, 1.0 - 1e-12, size=below.shape)
        return location + scale * np.maximum(f[:, :, 0] + sd * ndtri(np.minimum(u, 1 - 1e-16)), 1e-12)


@dataclass(frozen=True)
class LogNormal(Gaussian):
    """``log y = z + e``, ``e ~ N(0, sigma_t^2)``: positive labels whose errors are relative."""

    def split(self, y: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {"": np.log(y)}

    def scale(self, y: np.ndarray) -> tuple[float, float]:
        return super().scale(self.split(y)[""])

    def check(self, y: np.ndarray) -> tuple[np.ndarray, str]:
        return y <= 0, "a positive label is expected"

    def predictive(  # type: ignore[override]
        self, latent: LatentBlock, noise: np.ndarray, further: np.ndarray, location: float, scale: float
    ) -> LogNormalMixture:
        return LogNormalMixture(super().predictive(latent, noise, further, location, scale))

    def draw(
        self,
        f: np.ndarray,
        noise: np.ndarray,
        further: np.ndarray,
        location: float,
        scale: float,
        generator: np.random.Generator,
    ) -> np.ndarray:
        return np.exp(super().draw(f, noise, further, location, scale, generator))


# ----------------------------------------------------------------------------------------------------------- classes


@dataclass(frozen=True)
class Bernoulli(Part):
    """Two classes: ``P(second class) = Phi(z)``.

    Parameters
    ----------
    classes : pair, optional
        Their names; learnt from the column where not given (False before True, else sorted).
    """

    classes: Sequence[Hashable] | None = None

    def __post_init__(self) -> None:
        _check_classes(self, least=2, most=2)

    @property
    def classes_(self) -> tuple[Hashable, ...]:
        return (0, 1) if self.classes is None else tuple(self.classes)

    @property
    def has_noise(self) -> bool:
        return False

    def scale(self, y: np.ndarray) -> tuple[float, float]:
        return 0.0, 1.0

    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        import torch

        return torch.special.log_ndtr((2.0 * labels.y - 1.0) * f[..., 0])

    def predictive(
        self, latent: LatentBlock, noise: np.ndarray, further: np.ndarray, location: float, scale: float
    ) -> Discrete:
        z = latent.single()
        second = z.weights @ ndtr(z.means / np.sqrt(1.0 + z.variances))
        return Discrete(np.column_stack([1.0 - second, second]), self.classes_)

    def draw(
        self,
        f: np.ndarray,
        noise: np.ndarray,
        further: np.ndarray,
        location: float,
        scale: float,
        generator: np.random.Generator,
    ) -> np.ndarray:
        return (generator.uniform(size=f.shape[:2]) < ndtr(f[:, :, 0])).astype(float)


@dataclass(frozen=True)
class Ordinal(Part):
    """Classes in an order: ``P(position <= k) = Phi(c_k - z)`` with increasing cutpoints ``c``, which are learnt.

    Parameters
    ----------
    classes : sequence, optional
        Their names from lowest to highest; taken from the column where that is an ordered categorical.
    """

    classes: Sequence[Hashable] | None = None

    def __post_init__(self) -> None:
        _check_classes(self, least=2)

    @property
    def classes_(self) -> tuple[Hashable, ...]:
        return () if self.classes is None else tuple(self.classes)

    @property
    def has_noise(self) -> bool:
        return False

    def further(self) -> gpytorch.Module:
        from bayestl.observation import Cutpoints

        return Cutpoints(len(self.classes_))

    def scale(self, y: np.ndarray) -> tuple[float, float]:
        return 0.0, 1.0

    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        import torch

        end = torch.full((1,), 40.0, dtype=f.dtype)
        edges = torch.cat([-end, further, end])
        position = labels.y.long()
        z = f[..., 0]
        low = torch.where(position == 0, -40.0, edges[position] - z)
        high = torch.where(position == len(self.classes_) - 1, 40.0, edges[position + 1] - z)
        return _log_interval(low, high)

    def predictive(
        self, latent: LatentBlock, noise: np.ndarray, further: np.ndarray, location: float, scale: float
    ) -> Discrete:
        z = latent.single()
        total = ndtr((further[:, :, None] - z.means[:, None]) / np.sqrt(1.0 + z.variances)[:, None])
        below = np.einsum("s,skn->nk", z.weights, total)
        edges = np.column_stack([np.zeros(len(below)), below, np.ones(len(below))])
        return Discrete(np.maximum(np.diff(edges, axis=1), 0.0), self.classes_)

    def draw(
        self,
        f: np.ndarray,
        noise: np.ndarray,
        further: np.ndarray,
        location: float,
        scale: float,
        generator: np.random.Generator,
    ) -> np.ndarray:
        seen = f[:, :, 0] + generator.standard_normal(f.shape[:2])
        return (seen[:, :, None] > further[:, None, :]).sum(axis=2).astype(float)


@dataclass(frozen=True)
class Categorical(Part):
    """Classes without an order: ``P(class k) = exp(z_k) / sum_j exp(z_j)``, a latent function for each.

    Parameters
    ----------
    classes : sequence, optional
        Their names; learnt from the column where not given (sorted).

    Notes
    -----
    Inference uses ``E[log p(y)] >= m_y - log sum_k exp(m_k + v_k / 2)`` (Blei, Lafferty 2007), whose best Gaussian has
    a diagonal precision at each label, so that the conjugate engine stays exact for that bound.
    """

    classes: Sequence[Hashable] | None = None

    def __post_init__(self) -> None:
        _check_classes(self, least=2)

    @property
    def classes_(self) -> tuple[Hashable, ...]:
        return () if self.classes is None else tuple(self.classes)

    @property
    def n_latent(self) -> int:
        return len(self.classes_)

    @property
    def has_noise(self) -> bool:
        return False

    def scale(self, y: np.ndarray) -> tuple[float, float]:
        return 0.0, 1.0

    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        import torch

        chosen = labels.y.long().expand(f.shape[:-1])[..., None]
        return torch.gather(f.log_softmax(-1), -1, chosen)[..., 0]

    def expected_log_density(
        self, labels: LabelBlock, mean: Tensor, variance: Tensor, noise: Tensor, further: Tensor
    ) -> Tensor:
        own = mean.gather(1, labels.y.long()[:, None])[:, 0]
        return own - (mean + 0.5 * variance).logsumexp(1)

    def predictive(
        self, latent: LatentBlock, noise: np.ndarray, further: np.ndarray, location: float, scale: float
    ) -> Discrete:
        normal = _class_draws(self.n_latent)
        total = np.zeros(latent.means.shape[1:])
        for weight, mean, covariance in zip(*latent, strict=True):
            values, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
            f = mean + np.einsum("nij,kj->kni", root, normal)
            f = np.exp(f - f.max(axis=2, keepdims=True))
            total += weight * (f / f.sum(axis=2, keepdims=True)).mean(axis=0)
        return Discrete(total, self.classes_)

    def draw(
        self,
        f: np.ndarray,
        noise: np.ndarray,
        further: np.ndarray,
        location: float,
        scale: float,
        generator: np.random.Generator,
    ) -> np.ndarray:
        return (f + generator.gumbel(size=f.shape)).argmax(axis=2).astype(float)


@cache
def _class_draws(n: int) -> np.ndarray:
    from scipy.special import ndtri

    uniform = qmc.Sobol(n, scramble=True, rng=np.random.default_rng(0)).random(CLASS_DRAWS)
    return ndtri(np.clip(uniform, 1e-9, 1 - 1e-9))


def _check_classes(likelihood: Bernoulli | Ordinal | Categorical, least: int, most: int | None = None) -> None:
    classes = likelihood.classes
    if classes is None:
        return
    name = type(likelihood).__name__
    if isinstance(classes, str):
        raise ValueError(f"{name}: classes must be a list of names, got the string {classes!r}")
    object.__setattr__(likelihood, "classes", tuple(classes))
    if len(set(classes)) < len(classes):
        raise ValueError(f"{name}: a class stands twice in {list(classes)}")
    if len(classes) < least or (most is not None and len(classes) > most):
        raise ValueError(f"{name} takes {least}{'' if most else ' or more'} classes, got {list(classes)}")


# ------------------------------------------------------------------------------------------------------------ hurdle


@dataclass(frozen=True)
class Hurdle(Likelihood):
    """Exactly zero with a probability of its own, else positive: band gaps, of which metals have none.

        P(y > 0) = Phi(z_1),      y | y > 0 ~ log-normal or truncated normal around z_2

    Parameters
    ----------
    size : {"auto", "log-normal", "truncated-normal"}
        What a positive label follows; "auto" takes the one with the higher evidence on the column.
    """

    size: str = "auto"

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ValueError(f"Hurdle: size must be one of {SIZES}, got {self.size!r}")

    def of_size(self, size: str) -> Self:
        """The same with the positive part decided."""
        return replace(self, size=size)

    @property
    def _size(self) -> Part:
        return LogNormal() if self.size == "log-normal" else Positive()

    def parts(self) -> dict[str, Part]:
        return {"nonzero": Bernoulli((False, True)), "": self._size}

    def split(self, y: np.ndarray) -> dict[str, np.ndarray]:
        nonzero = np.where(np.isnan(y), np.nan, (y > 0).astype(float))
        return {"nonzero": nonzero, "": self._size.split(np.where(y > 0, y, np.nan))[""]}

    def scale(self, y: np.ndarray) -> tuple[float, float]:
        return self._size.scale(np.where(y > 0, y, np.nan))

    def check(self, y: np.ndarray) -> tuple[np.ndarray, str]:
        return y < 0, "a hurdle label is zero or positive; mend it, or use another likelihood"

    def combine(self, parts: dict[str, Predictive]) -> HurdleDistribution:
        atom = parts["nonzero"]
        assert isinstance(atom, Discrete)
        return HurdleDistribution(atom.probabilities[:, 0], parts[""])

    def combine_draws(self, parts: dict[str, np.ndarray]) -> np.ndarray:
        return parts["nonzero"] * parts[""]


NAMED: dict[str, type[Likelihood]] = {
    c.__name__: c for c in (Gaussian, StudentT, Censored, LogNormal, Positive, Bernoulli, Ordinal, Categorical, Hurdle)
}
"""The likelihoods by name: what a file may hold."""
