"""How chains of states went: whether they agree, and how many draws they are worth."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np

MOST_R_HAT = 1.2
"""Of the log density: the halves of chains that have settled agree."""
MOST_DIVERGENT = 0.05


@dataclass
class ChainReport:
    """What is told of one or several chains of the same length."""

    log_density: np.ndarray
    """(S,) nats, of the states that were kept, one chain after another."""
    r_hat: float
    """Of the log density, between the halves of all chains."""
    effective: float
    """Effective number of draws of the log density."""
    divergences: int
    acceptance: float
    step: float
    n_chains: int = 1

    @classmethod
    def of(cls, log_density: np.ndarray, divergences: int, acceptance: float, step: float) -> ChainReport:
        """From log densities (chains, S)."""
        import torch
        from pyro.ops.stats import effective_sample_size, split_gelman_rubin

        chains = torch.from_numpy(np.ascontiguousarray(log_density))
        r_hat, effective = (float(f(chains)) for f in (split_gelman_rubin, effective_sample_size))
        return cls(log_density.ravel(), r_hat, effective, divergences, acceptance, step, len(log_density))

    @property
    def converged(self) -> bool:
        """Whether the halves of the chains agree and few of their trajectories diverged."""
        return self.r_hat < MOST_R_HAT and self.divergences <= MOST_DIVERGENT * len(self.log_density)

    def warn_unless_converged(self) -> None:
        """Tell of chains that have not settled.

        Warns
        -----
        RuntimeWarning
            If the halves of the chains disagree, or many of their trajectories diverged.
        """
        if not self.converged:
            warnings.warn(
                f"the chains have not settled ({self.message}): ask for more n_draws, or check for labels that are far "
                "outside what their noise allows",
                RuntimeWarning,
                stacklevel=2,
            )

    @property
    def message(self) -> str:
        """In words."""
        return (
            f"R-hat of the log density {self.r_hat:.2f}, {self.effective:.0f} effective draws, "
            f"{self.divergences} divergences"
        )


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
