"""The interface of a likelihood: one or more parts, each a distribution ``p(y | f)`` given latent values f."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayestl.distributions import NormalMixture, Predictive

if TYPE_CHECKING:
    import gpytorch
    from torch import Tensor

QUADRATURE = 20
"""Gauss-Hermite nodes for the expectation of a log density under a one-dimensional Gaussian."""


class LatentBlock(NamedTuple):
    """The posterior of the L latent values behind one part, or behind several: a mixture of S Gaussians for each of n rows."""

    weights: np.ndarray
    """(S,) or (S, n)"""
    means: np.ndarray
    """(S, n, L)"""
    covariances: np.ndarray
    """(S, n, L, L)"""

    def single(self) -> NormalMixture:
        """The marginal distribution of the first latent value."""
        return NormalMixture(self.weights, self.means[:, :, 0], np.maximum(self.covariances[:, :, 0, 0], 1e-12))


class Setting(NamedTuple):
    """The quantities besides the latent values on which labels of a part depend, in S components or draws."""

    noise: np.ndarray
    """Noise variance, scaled units: (S,), or (S, n) where a component joins draws that differ from row to row."""
    further: np.ndarray
    """Further hyperparameters of the likelihood: (S, P), or (S, n, P)."""
    location: float = 0.0
    """Label units are ``location + scale * scaled units``."""
    scale: float = 1.0
    error: np.ndarray | float = 0.0
    """Known variance of the labels that are asked for, scaled units, (n,)."""

    def units(self, scaled: np.ndarray) -> np.ndarray:
        """Scaled numbers in label units."""
        return self.location + self.scale * scaled

    @property
    def noise_of_rows(self) -> np.ndarray:
        """Variance of labels about their latent values, noise and known error: (S, n), or (S, 1) where all rows are alike."""
        return self.noise_alone + self.error

    @property
    def noise_alone(self) -> np.ndarray:
        """Noise variance without the known error, (S, n) or (S, 1)."""
        return self.noise if self.noise.ndim == 2 else self.noise[:, None]

    @property
    def further_of_rows(self) -> np.ndarray:
        """Further hyperparameters (S, n, P), or (S, 1, P) where all rows have the same."""
        return self.further if self.further.ndim == 3 else self.further[:, None]

    def at(self, component: np.ndarray) -> Setting:
        """The setting of the given components."""
        return self._replace(noise=self.noise[component], further=self.further[component])

    def of_rows(self, rows: np.ndarray) -> Setting:
        """The setting of the rows at the given positions."""
        noise, further = (v[:, rows] if v.ndim == d else v for v, d in ((self.noise, 2), (self.further, 3)))
        error = self.error[rows] if isinstance(self.error, np.ndarray) else self.error
        return self._replace(noise=noise, further=further, error=error)


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
    """Base of all likelihoods: what a user may give to a :class:`~bayestl.table.task.Task`."""

    @abstractmethod
    def parts(self) -> dict[str, Part]:
        """The parts of a label, by name; the empty name is the label itself."""

    def split(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """The label of each part, NaN where a part has none, for labels (n,) in label units or class positions."""
        return {"": y}

    def scale(self, y: np.ndarray) -> tuple[float, float]:
        """Location and scale (label units of the main part) from the labels (n,) with NaN."""
        finite = y[np.isfinite(y)]
        mean, sd = (float(finite.mean()), float(finite.std())) if len(finite) else (0.0, 1.0)
        if sd <= 1e-12 * abs(mean):
            sd = abs(mean)
        return mean, sd if sd > 0 else 1.0

    def check(self, y: np.ndarray) -> tuple[np.ndarray, str]:
        """A mask of the labels (n,) that the likelihood cannot explain, and advice for the error message."""
        return np.zeros(len(y), dtype=bool), ""

    @property
    def classes_(self) -> tuple[Hashable, ...] | None:
        """The classes of the label, None where it is a number."""
        return None

    def combine(self, parts: dict[str, Predictive]) -> Predictive:
        """The distribution of a label from those of its parts, where the parts' latent values are independent."""
        return parts[""]

    def together(self, latent: LatentBlock, settings: Mapping[str, Setting]) -> Predictive:
        """The distribution of a label from the joint posterior of the latent values of all its parts, in their order."""
        (part,) = self.parts().values()
        return part.predictive(latent, settings[""])

    def combine_draws(self, parts: dict[str, np.ndarray]) -> np.ndarray:
        """Draws of labels from draws of their parts."""
        return parts[""]


@dataclass(frozen=True)
class Part(Likelihood, ABC):
    """A likelihood with one part: latent values in, one label out."""

    @property
    def n_latent(self) -> int:
        """The number of latent functions."""
        return 1

    @property
    def has_noise(self) -> bool:
        """Whether the task has a noise standard deviation."""
        return True

    def log_jacobian(self, y: np.ndarray) -> np.ndarray:
        """Logarithm of the derivative (n,) of the transformation that ``split`` applies to labels (n,)."""
        return np.zeros(len(y))

    @property
    def amplitude(self) -> float:
        """The expected amplitude of the latent functions, scaled units: one for numbers, two for classes."""
        return 1.0 if self.has_noise else 2.0

    def further(self) -> gpytorch.Module | None:
        """A module with further hyperparameters, which it returns as a vector when called; None if there are none."""
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
        nodes, weights = _hermite(mean.dtype, mean.device)
        f = mean[None] + variance.clamp_min(1e-12).sqrt()[None] * nodes[:, None, None]
        return (weights[:, None] * self.log_density(labels, f, noise, further)).sum(0)

    @abstractmethod
    def predictive(self, latent: LatentBlock, setting: Setting) -> Predictive:
        """The distribution of a new label in label units, from latent values in scaled units."""

    @abstractmethod
    def draw(self, f: np.ndarray, setting: Setting, generator: np.random.Generator) -> np.ndarray:
        """Labels (K, n) in label units for draws ``f`` (K, n, L), one component of ``setting`` per draw."""


@cache
def _hermite(dtype: Any, device: Any) -> tuple[Tensor, Tensor]:
    import torch

    nodes, weights = np.polynomial.hermite.hermgauss(QUADRATURE)
    points, mass = (
        torch.tensor(v, dtype=dtype, device=device) for v in (nodes * math.sqrt(2.0), weights / math.sqrt(math.pi))
    )
    return points, mass


def log_normal_density(squared: Tensor, variance: Tensor) -> Tensor:
    """``log N(e | 0, variance)`` from ``e^2``."""
    return -0.5 * (squared / variance + variance.log() + math.log(2 * math.pi))
