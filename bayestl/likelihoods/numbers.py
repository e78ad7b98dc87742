"""Likelihoods of numbers: Gaussian, Student t (outliers), censored (detection limits), and those of positive labels."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_ndtr, ndtri_exp

from bayestl.distributions import (
    Clipped,
    LogNormalMixture,
    NormalMixture,
    PowerNormalMixture,
    Predictive,
    StudentMixture,
    TruncatedMixture,
)
from bayestl.distributions.base import by_row
from bayestl.likelihoods.base import LabelBlock, LatentBlock, Part, Setting, log_normal_density

if TYPE_CHECKING:
    import gpytorch
    from torch import Tensor

LAST_NODE, LEAST_NODES, MOST_NODES = 6.0, 13, 129
"""Range (standard deviations) and number of nodes over a latent value at which a label is truncated."""
NO_NOISE = 1e-9
"""Noise variance (scaled units) below which a latent value is asked for: that of labels is at least 1e-8."""


@dataclass(frozen=True)
class _Noisy(Part):
    """Base of the likelihoods of a number ``z + e``, or of a transform of it (:class:`_Warped`)."""

    @abstractmethod
    def _noisy(self, latent: LatentBlock, setting: Setting) -> NormalMixture | StudentMixture:
        """The distribution of ``z + e``, in the units of what ``split`` makes of labels."""

    @abstractmethod
    def _draw_noisy(self, f: np.ndarray, setting: Setting, generator: np.random.Generator) -> np.ndarray:
        """``z + e`` (K, n), in the units of what ``split`` makes of labels."""

    def predictive(self, latent: LatentBlock, setting: Setting) -> Predictive:
        return self._noisy(latent, setting)

    def draw(self, f: np.ndarray, setting: Setting, generator: np.random.Generator) -> np.ndarray:
        return self._draw_noisy(f, setting, generator)


@dataclass(frozen=True)
class _NormalNoise(_Noisy):
    """``z + e`` with Gaussian noise, whether labels are exact or censored."""

    def _noisy(self, latent: LatentBlock, setting: Setting) -> NormalMixture:
        return latent.single().widened(setting.noise_of_rows).scaled(setting.location, setting.scale)

    def _draw_noisy(self, f: np.ndarray, setting: Setting, generator: np.random.Generator) -> np.ndarray:
        error = np.sqrt(setting.noise_of_rows) * generator.standard_normal(f.shape[:2])
        return setting.units(f[:, :, 0] + error)


@dataclass(frozen=True)
class Gaussian(_NormalNoise):
    """``y = z + e``, ``e ~ N(0, sigma_t^2 + s_i^2)``, ``s_i`` the known standard error of label i (``Y_std``)."""

    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        return log_normal_density((labels.y - f[..., 0]) ** 2, noise + labels.se2)

    def expected_log_density(
        self, labels: LabelBlock, mean: Tensor, variance: Tensor, noise: Tensor, further: Tensor
    ) -> Tensor:
        return log_normal_density((labels.y - mean[:, 0]) ** 2 + variance[:, 0], noise + labels.se2)


@dataclass(frozen=True)
class StudentT(_Noisy):
    """``y = z + sigma_t e``, ``e ~ t(dof)``: labels with outliers; a known standard error of a label is Gaussian.

    Parameters
    ----------
    dof : float, optional
        Degrees of freedom; learnt where not given (above 2, prior median 4).  A label has a mean only above 1, and a
        standard deviation only above 2; else it is infinite.

    Notes
    -----
    Inference uses the scale mixture of Gaussians: ``e ~ N(0, 1/w)``, ``w ~ Gamma(dof/2, dof/2)``, one ``w`` per label.
    """

    dof: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.dof is not None and not (isinstance(self.dof, int | float) and 0 < self.dof < 1e6):
            raise ValueError(f"{type(self).__name__}: dof must be a positive number, got {self.dof!r}")

    @property
    def _least_dof(self) -> float:
        """Degrees of freedom above which a label has a variance; learnt ones are."""
        return 2.0

    def further(self) -> gpytorch.Module | None:
        from bayestl.likelihoods.hyperparameters import DegreesOfFreedom

        return DegreesOfFreedom(self._least_dof) if self.dof is None else None

    def _dof(self, further: Any) -> Any:
        return further[..., 0] if self.dof is None else self.dof

    def _log_t(self, squared: Tensor, variance: Tensor, further: Tensor) -> Tensor:
        import torch

        dof = torch.as_tensor(self._dof(further), dtype=squared.dtype, device=squared.device)
        a = 0.5 * (dof + 1.0)
        constant = torch.lgamma(a) - torch.lgamma(0.5 * dof) - 0.5 * (dof * math.pi).log()
        return constant - 0.5 * variance.log() - a * torch.log1p(squared / (dof * variance))

    def _squared_scale(self, labels: LabelBlock, noise: Tensor, further: Tensor) -> Tensor:
        """The squared scale of a t with the variance of noise and known Gaussian error together."""
        import torch

        dof = torch.as_tensor(self._dof(further), dtype=labels.se2.dtype, device=labels.se2.device)
        return noise + labels.se2 * torch.where(dof > 2.0, (dof - 2.0) / dof, 1.0)

    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        return self._log_t((labels.y - f[..., 0]) ** 2, self._squared_scale(labels, noise, further), further)

    def expected_log_density(
        self, labels: LabelBlock, mean: Tensor, variance: Tensor, noise: Tensor, further: Tensor
    ) -> Tensor:
        # the bound maximised over q(w): the t density at the expected square
        squared = (labels.y - mean[:, 0]) ** 2 + variance[:, 0]
        return self._log_t(squared, self._squared_scale(labels, noise, further), further)

    def _noisy(self, latent: LatentBlock, setting: Setting) -> NormalMixture | StudentMixture:
        z, noise = latent.single().widened(setting.error), setting.noise_alone
        if (noise < NO_NOISE).all():
            return z.widened(noise).scaled(setting.location, setting.scale)
        dof = np.broadcast_to(self._dof(setting.further_of_rows), noise.shape)
        return StudentMixture(z.weights, z.means, z.variances, noise, dof).scaled(setting.location, setting.scale)

    def _draw_noisy(self, f: np.ndarray, setting: Setting, generator: np.random.Generator) -> np.ndarray:
        dof, noise = self._dof(setting.further_of_rows), setting.noise_alone
        error = np.where(noise < NO_NOISE, 0.0, np.sqrt(noise)) * generator.standard_t(dof, size=f.shape[:2])
        return setting.units(f[:, :, 0] + error + np.sqrt(setting.error) * generator.standard_normal(f.shape[:2]))


@dataclass(frozen=True)
class Censored(_NormalNoise):
    """Gaussian labels, some of which are known only to lie beyond a limit or in an interval.

    A cell of the label column may be a number, or text: ``"<0.1"`` (below), ``">5"`` (above), ``"0.1..0.3"`` (between).
    Predictions are of the underlying value, without limits.

    Parameters
    ----------
    lower, upper : float, optional
        Detection limits of the column: a number at or beyond a limit means "beyond it"; text keeps the limit it names.
    """

    lower: float | None = field(default=None, kw_only=True)
    upper: float | None = field(default=None, kw_only=True)

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
        inside = log_interval(torch.where(exact, high - 1.0, low), high)
        point = log_normal_density((bottom - z) ** 2, sd**2)
        return torch.where(exact, point, inside)


def log_interval(low: Tensor, high: Tensor) -> Tensor:
    """``log(Phi(high) - Phi(low))`` for ``low < high``, exact in both tails."""
    import torch

    flip = (low + high) > 0
    a, b = torch.where(flip, -high, low), torch.where(flip, -low, high)
    log_b = torch.special.log_ndtr(b)
    gap = (torch.special.log_ndtr(a) - log_b).clamp(max=-1e-12)
    return log_b + torch.log(-torch.expm1(gap))


@dataclass(frozen=True)
class Positive(Part):
    """``y ~ N(z, sigma_t^2 + s_i^2)`` truncated to ``y > 0``."""

    def scale(self, y: np.ndarray) -> tuple[float, float]:
        finite = y[np.isfinite(y)]
        return 0.0, (float(np.sqrt((finite**2).mean())) if len(finite) else 0.0) or 1.0

    def check(self, y: np.ndarray) -> tuple[np.ndarray, str]:
        return y <= 0, "a positive label is expected"

    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        import torch

        variance = noise + labels.se2
        z = f[..., 0]
        return log_normal_density((labels.y - z) ** 2, variance) - torch.special.log_ndtr(z / variance.sqrt())

    def predictive(self, latent: LatentBlock, setting: Setting) -> TruncatedMixture | Clipped:
        z, noise = latent.single(), setting.noise_of_rows
        if (noise < NO_NOISE).all():
            return Clipped(z.scaled(setting.location, setting.scale))
        # the truncation depends on z: trapezoidal rule over z, whose nodes are at most a standard deviation of the noise apart
        sd = np.sqrt(z.variances)
        n_nodes = int(np.clip(np.ceil(2 * LAST_NODE * (sd / np.sqrt(noise)).max()) + 1, LEAST_NODES, MOST_NODES))
        nodes = np.linspace(-LAST_NODE, LAST_NODE, n_nodes)
        mass = np.exp(-0.5 * nodes**2)
        weights = (by_row(z.weights)[:, None] * (mass / mass.sum())[:, None]).reshape(n_nodes * len(sd), -1)
        means = (z.means[:, None] + sd[:, None] * nodes[:, None]).reshape(-1, z.means.shape[1])
        spread = np.maximum(noise, (sd * (nodes[1] - nodes[0])) ** 2)
        spread = np.repeat(spread, n_nodes, axis=0)
        weights = weights[:, 0] if weights.shape[1] == 1 else weights
        return TruncatedMixture(weights, setting.units(means), setting.scale**2 * spread)

    def draw(self, f: np.ndarray, setting: Setting, generator: np.random.Generator) -> np.ndarray:
        sd = np.sqrt(setting.noise_of_rows)
        z = f[:, :, 0]
        if (setting.noise_of_rows < NO_NOISE).all():
            return np.maximum(setting.units(z), 0.0)
        above = np.log(generator.uniform(1e-300, 1.0, size=z.shape)) + log_ndtr(z / sd)  # log P(a normal > y)
        return setting.units(np.maximum(z - sd * ndtri_exp(above), 1e-100))


@dataclass(frozen=True)
class _Warped(_Noisy):
    """Base of the likelihoods of positive labels that apply to a transformed label."""

    @abstractmethod
    def _warp(self, y: np.ndarray) -> np.ndarray:
        """Labels transformed to the scale on which errors are as the likelihood says."""

    def split(self, y: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {"": self._warp(y)}

    def scale(self, y: np.ndarray) -> tuple[float, float]:
        return super().scale(self.split(y)[""])

    def check(self, y: np.ndarray) -> tuple[np.ndarray, str]:
        return y <= 0, "a positive label is expected"


@dataclass(frozen=True)
class LogNormal(_Warped, Gaussian):
    """``log y = z + e``, ``e ~ N(0, sigma_t^2)``: positive labels whose errors are relative."""

    def _warp(self, y: np.ndarray) -> np.ndarray:
        return np.log(y)

    def scale(self, y: np.ndarray) -> tuple[float, float]:
        location, scale = super().scale(y)
        logs = self.split(y)[""]
        finite = logs[np.isfinite(logs)]
        return location, scale if len(finite) and finite.std() > 1e-12 * (1.0 + abs(location)) else 1.0

    def log_jacobian(self, y: np.ndarray) -> np.ndarray:
        return -np.log(y)

    def predictive(self, latent: LatentBlock, setting: Setting) -> LogNormalMixture:
        return LogNormalMixture(self._noisy(latent, setting))

    def draw(self, f: np.ndarray, setting: Setting, generator: np.random.Generator) -> np.ndarray:
        return np.exp(self._draw_noisy(f, setting, generator))


@dataclass(frozen=True)
class _Power(_Warped):
    """``y^power = |z + e|``."""

    power: float = 0.5

    def __post_init__(self) -> None:
        if not (isinstance(self.power, int | float) and 0 < self.power <= 1):
            raise ValueError(f"{type(self).__name__}: power must be above 0 and at most 1, got {self.power!r}")

    def _warp(self, y: np.ndarray) -> np.ndarray:
        return np.asarray(y) ** self.power

    def log_jacobian(self, y: np.ndarray) -> np.ndarray:
        return np.log(self.power) + (self.power - 1.0) * np.log(y)

    def predictive(self, latent: LatentBlock, setting: Setting) -> PowerNormalMixture:
        return PowerNormalMixture(self._noisy(latent, setting), self.power)

    def draw(self, f: np.ndarray, setting: Setting, generator: np.random.Generator) -> np.ndarray:
        return np.maximum(np.abs(self._draw_noisy(f, setting, generator)), 1e-100) ** (1.0 / self.power)


@dataclass(frozen=True)
class PowerNormal(_Power, Gaussian):
    """``y^power = |z + e|``, ``e ~ N(0, sigma_t^2)``: positive labels, errors growing less than in proportion.

    Parameters
    ----------
    power : float
        Exponent between 0 (errors in proportion to the label, as for :class:`LogNormal`) and 1 (errors that are the
        same everywhere, as for :class:`Positive`).

    Notes
    -----
    Box, Cox 1964, *An analysis of transformations*.  Inference takes ``z + e`` for positive, which is right where ``z``
    is some ``sigma_t`` above zero.
    """


@dataclass(frozen=True)
class PowerStudentT(_Power, StudentT):
    """``y^power = |z + sigma_t e|``, ``e ~ t(dof)``: :class:`PowerNormal` with heavier tails.

    It is for many small errors and a few large ones, where a normal distribution would be too wide for most rows.

    Parameters
    ----------
    power : float
        Exponent, as for :class:`PowerNormal`.
    dof : float, optional
        Degrees of freedom, keyword-only; learnt where not given: above ``2 / power``, so that labels have a standard
        deviation (prior median 2 more).  Below that the reported one is infinite.
    """

    @property
    def _least_dof(self) -> float:
        return 2.0 / self.power

    def __post_init__(self) -> None:
        _Power.__post_init__(self)
        StudentT.__post_init__(self)
