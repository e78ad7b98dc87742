"""Reports of inference: convergence of Markov chains (split R-hat, effective sample size), and of the optimiser.

Gelman et al. 2013, *Bayesian Data Analysis*, sections 11.4 and 11.5.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MOST_R_HAT = 1.2
"""Split R-hat of the log density from which chains do not count as converged."""
MOST_DIVERGENT = 0.05
"""Largest share of divergent trajectories, relative to the number of states, of chains that count as converged."""


@dataclass
class ChainReport:
    """The convergence diagnostics of one or several chains of the same length."""

    log_density: np.ndarray
    """(S,) log density of the kept states in nats, one chain after another."""
    r_hat: float
    """Split R-hat of the log density, between the halves of all chains."""
    effective: float
    """Effective sample size (ESS) of the log density."""
    divergences: int
    """Number of divergent trajectories at temperature one."""
    acceptance: float
    """Mean acceptance probability at temperature one."""
    step: float
    """Adapted step size at temperature one, in preconditioned coordinates."""
    n_chains: int = 1

    @classmethod
    def of(cls, log_density: np.ndarray, divergences: int, acceptance: float, step: float) -> ChainReport:
        """The report of chains with the given log densities (chains, S)."""
        from pyro.ops.stats import effective_sample_size, split_gelman_rubin

        from bayestl.device import tensor

        chains = tensor(np.ascontiguousarray(log_density))
        r_hat, effective = (float(f(chains)) for f in (split_gelman_rubin, effective_sample_size))
        return cls(log_density.ravel(), r_hat, effective, divergences, acceptance, step, len(log_density))

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray]) -> ChainReport:
        """The report whose fields these arrays are."""
        fields: dict[str, Any] = {name: v if name == "log_density" else v.item() for name, v in arrays.items()}
        return cls(**fields)

    @property
    def converged(self) -> bool:
        """Whether the halves of the chains agree and few of their trajectories diverged."""
        return self.r_hat < MOST_R_HAT and self.divergences <= MOST_DIVERGENT * len(self.log_density)

    def warn_unless_converged(self) -> None:
        """Warn if the chains have not converged.

        Warns
        -----
        RuntimeWarning
            If the halves of the chains disagree, or many of their trajectories diverged.
        """
        if not self.converged:
            warnings.warn(
                f"the chains have not converged ({self.message}): ask for more n_draws, or check for labels that are far "
                "outside what their noise allows",
                RuntimeWarning,
                stacklevel=2,
            )

    @property
    def message(self) -> str:
        """R-hat, effective sample size and divergences, in a phrase for messages."""
        return (
            f"R-hat of the log density {self.r_hat:.2f}, effective sample size {self.effective:.0f}, "
            f"{self.divergences} divergences"
        )


@dataclass
class FitReport:
    """The result of maximising the posterior of the hyperparameters, for users and for ``diagnose()``."""

    log_posterior: float
    gradient_norm: float
    converged: bool
    message: str
    n_evaluations: int
    n_starts: int
    jitter: float = 0.0
    """Jitter added to the diagonal of the labels' covariance, scaled units."""
    starts: list[float] = field(default_factory=list)
    """Best log posterior of each start on the subset."""
    chain: ChainReport | None = None
    """The report of the chains over the hyperparameters, where they are averaged."""
