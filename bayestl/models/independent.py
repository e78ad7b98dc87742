"""One Gaussian process a task: the baseline that every gain of transfer is measured against.

f_t(x, g) = m_t + v_t(x) [+ c_{t,g}],   v_t ~ GP(0, kappa_t^2 k_t),   m_t ~ N(0, 1),   c_{t,g} ~ N(0, tau_t^2)
"""

from __future__ import annotations

import math

import torch
from gpytorch.priors import HalfNormalPrior, LogNormalPrior

from bayestl.kernels import Constant, Mixing, Noise, PerGroup, Prior, register_positive
from bayestl.models.exact import ExactModel
from bayestl.table import Table

AMPLITUDE = 1.0
"""Prior median of the standard deviation of a task's function, on labels of unit variance."""
GROUP_SPREAD = 0.5
"""Scale of the half-normal prior of the standard deviation between groups, on labels of unit variance."""


class OwnParts(Mixing):
    """Diagonal blocks: each task has an amplitude, a constant and, with groups, a spread between groups."""

    def __init__(self, n_tasks: int, grouped: bool, amplitude: float = AMPLITUDE) -> None:
        super().__init__()
        register_positive(self, "kappa", torch.full((n_tasks,), amplitude), LogNormalPrior(math.log(amplitude), 1.0))
        if grouped:
            register_positive(self, "tau", torch.full((n_tasks,), 0.3), HalfNormalPrior(GROUP_SPREAD))
        self.support = torch.cat([torch.eye(n_tasks)] * (3 if grouped else 2), dim=1).bool()

    def weights(self) -> torch.Tensor:
        blocks = [torch.diag(self.raw_kappa.exp()), torch.eye(len(self.raw_kappa), dtype=torch.float64)]
        if hasattr(self, "raw_tau"):
            blocks.append(torch.diag(self.raw_tau.exp()))
        return torch.cat(blocks, dim=1)


class IndependentGP(ExactModel):
    """One Gaussian process a task; tasks do not inform each other.

    Parameters
    ----------
    tasks : sequence of Task, optional
        Where the default of a column is not right.
    kernel : {"matern52", "matern32", "rbf", "exponential"}
        Covariance over the features, with a length scale for each.
    hyperparameters : {"auto", "map", "laplace", "mcmc"}
        Fixed at their posterior maximum, or averaged over a Laplace approximation or a chain (slow); "auto" is "laplace"
        up to 400 labels, else "map".
    n_starts : int
        Starts of the optimiser.
    random_state : int
        Every fit repeats exactly from it.
    verbose : bool
        Progress on a terminal.

    Examples
    --------
    >>> import numpy as np, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> model = btl.IndependentGP().fit(x, np.sin(4 * x[:, 0]))
    >>> round(float(model.predict([[0.5]])[0]), 2)
    0.91
    """

    def _prior(self, table: Table) -> Prior:
        n_tasks, d = len(table.tasks), table.x.shape[1]
        grouped = table.group is not None
        processes = [self._smooth(d) for _ in range(n_tasks)] + [Constant() for _ in range(n_tasks)]
        if grouped:
            processes += [PerGroup() for _ in range(n_tasks)]
        return Prior(processes, OwnParts(n_tasks, grouped), Noise(n_tasks))
