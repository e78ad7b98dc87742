"""Likelihoods of numbers: Gaussian, Student t (outliers), and censored (detection limits)."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bayestl.distributions import (
    NormalMixture,
    Predictive,
    StudentMixture,
)
from bayestl.likelihoods.base import LabelBlock, LatentBlock, Part, Setting, log_normal_density

if TYPE_CHECKING:
    import gpytorch
    from torch import Tensor

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
    """``y = z + e``, ``e ~ N(0, sigma_t^2 + s_i^2)``, ``s_i`` the known standard error of label i (``Y_std``).

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> model = btl.IndependentGP(tasks=[btl.Task("gap", btl.Gaussian(), unit="eV")], verbose=False)
    >>> model.fit(x, pd.DataFrame({"gap": np.sin(5 * x[:, 0])})).predict([[0.5]]).round(1)["gap"].tolist()
    [0.6]
    """

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

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> gap = np.sin(5 * x[:, 0])
    >>> gap[10] = 20.0  # a misprint
    >>> model = btl.IndependentGP(tasks=[btl.Task("gap", btl.StudentT())], verbose=False).fit(x, pd.DataFrame({"gap": gap}))
    >>> bool(abs(model.predict([[0.53]])["gap"][0] - np.sin(5 * 0.53)) < 0.3)
    True
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

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> seen = [f"{v:.2f}" if v < 4 else ">4" for v in 5 * x[:, 0]]  # a meter that ends at 4
    >>> tasks = [btl.Task("signal", btl.Censored())]
    >>> model = btl.IndependentGP(tasks=tasks, verbose=False).fit(x, pd.DataFrame({"signal": seen}))
    >>> bool(model.predict([[1.0]])["signal"][0] > 4)
    True
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
