"""Likelihoods of positive numbers: truncated at zero, or Gaussian or Student t on the scale of a logarithm or power."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_ndtr, ndtri_exp

from bayestl.distributions import (
    Clipped,
    LogNormalMixture,
    PowerNormalMixture,
    TruncatedMixture,
)
from bayestl.distributions.base import by_row
from bayestl.likelihoods.base import LabelBlock, LatentBlock, Part, Setting, log_normal_density
from bayestl.likelihoods.numbers import NO_NOISE, Gaussian, StudentT, _Noisy

if TYPE_CHECKING:
    from torch import Tensor

LAST_NODE, LEAST_NODES, MOST_NODES = 6.0, 13, 129
"""Range (standard deviations) and number of nodes over a latent value at which a label is truncated."""


@dataclass(frozen=True)
class Positive(Part):
    """``y ~ N(z, sigma_t^2 + s_i^2)`` truncated to ``y > 0``.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> tasks = [btl.Task("size", btl.Positive())]
    >>> model = btl.IndependentGP(tasks=tasks, verbose=False).fit(x, pd.DataFrame({"size": np.exp(2 * x[:, 0])}))
    >>> bool(model.posterior([[0.0]]).interval(0.9)["size", "lower"][0] > 0)
    True
    """

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
    """``log y = z + e``, ``e ~ N(0, sigma_t^2)``: positive labels whose errors are relative.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> tasks = [btl.Task("size", btl.LogNormal())]
    >>> model = btl.IndependentGP(tasks=tasks, verbose=False).fit(x, pd.DataFrame({"size": np.exp(2 * x[:, 0])}))
    >>> bool(model.posterior([[0.0]]).interval(0.9)["size", "lower"][0] > 0)
    True
    """

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

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> tasks = [btl.Task("size", btl.PowerNormal(0.5))]
    >>> model = btl.IndependentGP(tasks=tasks, verbose=False).fit(x, pd.DataFrame({"size": np.exp(2 * x[:, 0])}))
    >>> bool(model.posterior([[0.0]]).interval(0.9)["size", "lower"][0] > 0)
    True
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

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> tasks = [btl.Task("size", btl.PowerStudentT(0.5))]
    >>> model = btl.IndependentGP(tasks=tasks, verbose=False).fit(x, pd.DataFrame({"size": np.exp(2 * x[:, 0])}))
    >>> bool(model.posterior([[0.0]]).interval(0.9)["size", "lower"][0] > 0)
    True
    """

    @property
    def _least_dof(self) -> float:
        return 2.0 / self.power

    def __post_init__(self) -> None:
        _Power.__post_init__(self)
        StudentT.__post_init__(self)
