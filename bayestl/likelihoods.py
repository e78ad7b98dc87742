"""How a label arises from a latent value: ``y ~ Likelihood(z)``.

A likelihood turns the posterior of the latent value into the predictive distribution of a label; it holds no
inference code and no fitted numbers (the noise of a task belongs to the fitted model).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from bayestl.distributions import NormalMixture


@dataclass(frozen=True)
class Likelihood(ABC):
    """Base of all likelihoods: :meth:`predictive` and :meth:`draw` say how a label follows from a latent value."""

    @abstractmethod
    def predictive(self, latent: NormalMixture, noise: np.ndarray) -> NormalMixture:
        """The distribution of a new label.

        Parameters
        ----------
        latent : NormalMixture
            Posterior of the latent value, S components for n rows, scaled units.
        noise : ndarray, shape (S,)
            Noise variance of the task in each component, scaled units.
        """

    @abstractmethod
    def draw(self, latent: np.ndarray, noise: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Labels for draws of the latent value (K, n) with noise variances (K,), scaled units."""


@dataclass(frozen=True)
class Gaussian(Likelihood):
    """``y = z + e``, ``e ~ N(0, sigma_t^2 + s_i^2)``, ``s_i`` the known standard error of label i (``Y_std``)."""

    def predictive(self, latent: NormalMixture, noise: np.ndarray) -> NormalMixture:
        return latent.widened(noise[:, None])

    def draw(self, latent: np.ndarray, noise: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return latent + np.sqrt(noise)[:, None] * generator.standard_normal(latent.shape)
