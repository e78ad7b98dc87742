"""Multi-output Gaussian process: a linear model of coregionalisation with a task-specific part.

    f_t(x, g) = m_t + sum_q a_tq u_q(x) + v_t(x) [+ c_{t,g}]

    u_q ~ GP(0, k_q),   v_t ~ GP(0, kappa_t^2 k'_t),   a_tq ~ N(0, 1),   m_t ~ N(0, 1),   c_{t,g} ~ N(0, tau_t^2)

Every ``v_t`` has length scales of its own: what a source does not share with the target is taken up by the source's
own part, so that a bad source cannot hurt.  Alvarez, Rosasco, Lawrence 2012, *Kernels for vector-valued functions*.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from gpytorch.priors import NormalPrior

from bayestl.kernels import Constant, Mixing, Noise, PerGroup, Prior, register_real
from bayestl.models.exact import ExactModel
from bayestl.models.independent import OwnParts
from bayestl.table import Table
from bayestl.tasks import Task

SPECIFIC_AMPLITUDE = 0.3
"""Prior median of the standard deviation of a task's own part, on labels of unit variance."""
LOADING = 0.7
"""First guess of the size of a loading."""


class Coregionalisation(Mixing):
    """``W = [a | own parts]`` with loadings ``a_tq ~ N(0, 1)``."""

    def __init__(self, loadings: np.ndarray, grouped: bool) -> None:
        super().__init__()
        n_tasks, n_latent = loadings.shape
        register_real(self, "a", torch.from_numpy(loadings), NormalPrior(0.0, 1.0))
        self.own = OwnParts(n_tasks, grouped, SPECIFIC_AMPLITUDE)
        self.support = torch.cat([torch.ones(n_tasks, n_latent).bool(), self.own.support], dim=1)

    def weights(self) -> torch.Tensor:
        return torch.cat([self.a, self.own.weights()], dim=1)


class MultiTaskGP(ExactModel):
    """Tasks as mixtures of shared functions, each with a part of its own.

    Parameters
    ----------
    n_latent : int
        Number of shared functions ``u_q``; a row may lack any label.
    tasks, kernel, hyperparameters, n_starts, random_state, verbose
        As for :class:`IndependentGP`.

    Examples
    --------
    >>> import numpy as np, bayestl as btl
    >>> x = np.linspace(0, 1, 30)[:, None]
    >>> Y = np.column_stack([np.sin(4 * x[:, 0]), -np.sin(4 * x[:, 0])])
    >>> Y[10:, 1] = np.nan                      # the second task is known for ten rows only
    >>> model = btl.MultiTaskGP().fit(x, Y)
    >>> bool(model.task_correlation().iloc[0, 1] < -0.5)
    True
    """

    def __init__(
        self,
        n_latent: int = 1,
        tasks: Sequence[Task] | None = None,
        kernel: str = "matern52",
        hyperparameters: str = "auto",
        n_starts: int = 2,
        random_state: int = 0,
        verbose: bool = True,
    ) -> None:
        super().__init__(tasks, kernel, hyperparameters, n_starts, random_state, verbose)
        self.n_latent = n_latent

    def _prior(self, table: Table) -> Prior:
        if not (isinstance(self.n_latent, int | np.integer) and self.n_latent >= 1):
            raise ValueError(f"n_latent must be a positive integer, got {self.n_latent!r}")
        n_tasks, d = len(table.tasks), table.x.shape[1]
        grouped = table.group is not None
        processes = [self._smooth(d) for _ in range(int(self.n_latent))]
        processes += [self._smooth(d) for _ in range(n_tasks)] + [Constant() for _ in range(n_tasks)]
        if grouped:
            processes += [PerGroup() for _ in range(n_tasks)]
        return Prior(processes, Coregionalisation(self._first_loadings(table), grouped), Noise(n_tasks))

    def _first_loadings(self, table: Table) -> np.ndarray:
        """Signs from the labels that tasks have in common; further columns small and random, to break the symmetry."""
        reference = int(np.argmax(table.present.sum(axis=0)))
        signs = np.ones(len(table.tasks))
        for t in range(len(table.tasks)):
            both = table.present[:, t] & table.present[:, reference]
            a, b = table.y[both, t], table.y[both, reference]
            if both.sum() >= 3 and a.std() > 0 and b.std() > 0 and np.corrcoef(a, b)[0, 1] < 0:
                signs[t] = -1.0
        generator = np.random.default_rng(int(self.random_state))
        loadings = 0.1 * generator.standard_normal((len(table.tasks), int(self.n_latent)))
        loadings[:, 0] += LOADING * signs
        return loadings
