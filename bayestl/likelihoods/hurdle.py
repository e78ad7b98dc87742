"""The hurdle likelihood of labels that are exactly zero or positive: one part for whether, one for how large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.special import log_ndtr, logsumexp, ndtri_exp

from bayestl.distributions import SMALLEST, Discrete, Predictive
from bayestl.distributions import Hurdle as HurdleDistribution
from bayestl.distributions.base import by_row
from bayestl.likelihoods.base import LatentBlock, Likelihood, Part, Setting
from bayestl.likelihoods.classes import Bernoulli
from bayestl.likelihoods.positive import LogNormal, Positive, PowerNormal, PowerStudentT

NODES = 8
"""Gauss-Legendre nodes over the latent value that decides whether a label is zero, where its size depends on that."""
SIZES: dict[str, Part] = {
    "log-normal": LogNormal(),
    "power-0.5": PowerNormal(0.5),
    "power-0.75": PowerNormal(0.75),
    "truncated-normal": Positive(),
    "power-0.5-t": PowerStudentT(0.5),
    "power-0.75-t": PowerStudentT(0.75),
}
"""The likelihoods that the positive part of a hurdle label may have, by name."""
AUTO = ("log-normal", "power-0.5", "power-0.75", "truncated-normal")
"""The sizes among which ``size="auto"`` chooses by evidence; heavy tails show only where the prediction is sharp."""


@dataclass(frozen=True)
class Hurdle(Likelihood):
    """Labels that are zero with a probability of their own, else positive: band gaps, which metals do not have.

        P(y > 0) = Phi(z_1),      y | y > 0 ~ log-normal, power-normal, power-t or truncated normal around z_2

    Parameters
    ----------
    size : {"auto", "log-normal", "power-0.5", "power-0.75", "truncated-normal", "power-0.5-t", "power-0.75-t"}
        Distribution of a positive label, from errors in proportion to it to errors that are the same everywhere; "auto"
        takes the one of the first four with the highest evidence on the column.  The last two have heavier tails.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> gap = np.where(x[:, 0] > 0.4, x[:, 0], 0.0)  # metals below
    >>> model = btl.IndependentGP(tasks=[btl.Task("gap", btl.Hurdle())], verbose=False).fit(x, pd.DataFrame({"gap": gap}))
    >>> float(model.posterior([[0.1]]).quantile(0.5)["gap"][0])
    0.0
    """

    size: str = "auto"

    def __post_init__(self) -> None:
        if self.size != "auto" and self.size not in SIZES:
            raise ValueError(f"Hurdle: size must be one of {['auto', *SIZES]}, got {self.size!r}")

    def of_size(self, size: str) -> Self:
        """The likelihood with its size replaced."""
        return replace(self, size=size)

    @property
    def _size(self) -> Part:
        return SIZES.get(self.size, SIZES["truncated-normal"])

    def parts(self) -> dict[str, Part]:
        return {"nonzero": Bernoulli((False, True)), "": self._size}

    def split(self, y: np.ndarray) -> dict[str, np.ndarray]:
        nonzero = np.where(np.isnan(y), np.nan, (y > 0).astype(float))
        return {"nonzero": nonzero, "": self._size.split(np.where(y > 0, y, np.nan))[""]}

    def scale(self, y: np.ndarray) -> tuple[float, float]:
        return self._size.scale(np.where(y > 0, y, np.nan))

    def check(self, y: np.ndarray) -> tuple[np.ndarray, str]:
        return y < 0, "a hurdle label is zero or positive; correct it, or use another likelihood"

    def combine(self, parts: dict[str, Predictive]) -> HurdleDistribution:
        atom = parts["nonzero"]
        assert isinstance(atom, Discrete)
        return HurdleDistribution(atom.probabilities[:, 0], parts[""])

    def together(self, latent: LatentBlock, settings: Mapping[str, Setting]) -> HurdleDistribution:
        """The distribution of a label whose size depends on whether it is zero, for their latent values are correlated.

        Given ``u = z_1 + e > 0``, the probit of a positive label, ``z_2`` is Gaussian; ``u`` itself is a truncated normal,
        over whose levels a quadrature runs.
        """
        centre, spread = latent.means[:, :, 0], np.sqrt(1.0 + latent.covariances[:, :, 0, 0])
        log_chance = log_ndtr(centre / spread)  # P(y > 0) in each component
        log_weights = np.log(np.maximum(by_row(latent.weights), SMALLEST)) + log_chance
        log_positive = logsumexp(log_weights, axis=0)
        slope = latent.covariances[:, :, 0, 1] / spread
        levels, mass = (
            np.polynomial.legendre.leggauss(NODES) if np.abs(slope).max() > 1e-9 else (np.zeros(1), np.full(1, 2.0))
        )
        above = -ndtri_exp(np.log(0.5 * (1.0 - levels))[:, None] + log_chance[:, None])  # (S, K, n), scores of u
        n = centre.shape[1]
        means = (latent.means[:, None, :, 1] + slope[:, None] * above).reshape(-1, n)
        variances = np.repeat(np.maximum(latent.covariances[:, :, 1, 1] - slope**2, 1e-12), len(levels), axis=0)
        weights = np.exp(log_weights - log_positive)[:, None] * (0.5 * mass)[:, None]
        block = LatentBlock(weights.reshape(-1, n), means[..., None], variances[..., None, None])
        setting = settings[""].at(np.repeat(np.arange(len(centre)), len(levels)))
        return HurdleDistribution(-np.expm1(log_positive), self._size.predictive(block, setting))

    def combine_draws(self, parts: dict[str, np.ndarray]) -> np.ndarray:
        return parts["nonzero"] * parts[""]
