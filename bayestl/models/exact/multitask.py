"""Multi-output Gaussian process: a linear model of coregionalisation with a task-specific part.

    f_t(i) = m_t + sum_q a_tq u_q(x_i) + v_t(x_i) + b_t e_i [+ c_{t,g}]

    u_q ~ GP(0, k_q),   v_t ~ GP(0, kappa_t^2 k'_t),   a_tq ~ N(0, 1),   m_t ~ N(0, 1),   e_i ~ N(0, 1),   c_{t,g} ~ N(0, tau_t^2)

``e_i`` is the row effect, what the features do not say of row i (:mod:`bayestl.priors.rows`).  Unordered classes have a
function each, whose row effects follow the shared functions: ``b_c = sum_q a_cq r_q``, one ``r_q ~ N(0, 1)`` per label.

Every ``v_t`` has its own length scales: what a source does not share with the target is taken up by the source's
task-specific part, so that a bad source cannot hurt.  Alvarez, Rosasco, Lawrence 2012, *Kernels for vector-valued
functions*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from gpytorch.priors import NormalPrior

from bayestl import streams
from bayestl.kernels.combined import Covariance
from bayestl.kernels.hyperpriors import register_real
from bayestl.models.exact.transfer import TransferModel
from bayestl.models.parameters import check_positive_integers
from bayestl.priors.prior import Mixing, Prior
from bayestl.priors.processes import PerRow, Process
from bayestl.priors.task_specific import (
    SPECIFIC_AMPLITUDE,
    TaskSpecific,
    likelihood_hyperparameters,
    task_specific_processes,
)
from bayestl.streams import RandomState
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import Task, TaskPart

LOADING = 0.7
"""First guess of the size of a loading."""
ALONG = 0.3
"""First guess of ``r``, the row effect of classes along the first shared function."""


class Coregionalisation(Mixing):
    """``W = [a | task-specific | b]``, ``a_tq ~ N(0, s_t^2)``; ``s_t`` is the likelihood's amplitude (1 for numbers).

    A row effect moves unordered classes as the shared functions do: ``b_c = sum_q a_cq r_q``, ``r_q ~ N(0, 1)`` for each such
    label (``rows``: where other tasks have labels of the row), since its few labels do not tell K further loadings.
    """

    def __init__(self, loadings: np.ndarray, parts: Sequence[TaskPart], grouped: bool, rows: bool = False) -> None:
        super().__init__()
        n_channels, n_latent = loadings.shape
        size = np.array([[p.likelihood.amplitude] for p in parts for _ in p.channels])
        register_real(self, "a", torch.as_tensor(loadings / size), NormalPrior(0.0, 1.0))
        self.register_buffer("size", torch.as_tensor(size))
        self.own = TaskSpecific(parts, grouped, SPECIFIC_AMPLITUDE, shared=rows)
        labels = [i for i, p in enumerate(parts) if len(p.channels) > 1]
        if rows and labels:
            owner = torch.tensor(
                [labels.index(i) if i in labels else -1 for i, p in enumerate(parts) for _ in p.channels]
            )
            self.register_buffer("label", owner)
            first = torch.zeros(len(labels), n_latent)
            first[:, 0] = ALONG
            register_real(self, "along", first, NormalPrior(0.0, 1.0))
        everywhere = torch.ones(n_channels, n_latent + 1).bool()
        self.support = torch.cat([everywhere[:, :-1], self.own.support, everywhere[:, -1:]], dim=1)

    def weights(self, row_effects: torch.Tensor) -> torch.Tensor:
        a = self.size * self.a
        if hasattr(self, "along"):
            row_effects = torch.where(self.label < 0, row_effects, (a * self.along[self.label]).sum(1))
        return torch.cat([a, self.own.weights(row_effects), row_effects[:, None]], dim=1)


class MultiTaskGP(TransferModel):
    """Tasks as mixtures of shared functions, each with a task-specific part.

    Parameters
    ----------
    n_latent : int
        Number of shared functions ``u_q``.
    tasks, kernel, hyperparameters, n_starts, random_state, verbose, device
        The same as for :class:`IndependentGP`.

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
        kernel: str | Covariance = "matern52",
        hyperparameters: str | Mapping[str, str] = "auto",
        n_starts: int = 2,
        random_state: RandomState = 0,
        verbose: bool = True,
        device: str = "cpu",
    ) -> None:
        super().__init__(tasks, kernel, hyperparameters, n_starts, random_state, verbose, device)
        self.n_latent = n_latent

    def _families(self, table: Table) -> list[tuple[TaskPart, ...]]:
        """Two families, atoms (zero or not) and other parts, if two or more tasks have an atom; else a single one."""
        atoms = tuple(p for p in table.parts if p.role)
        if len(atoms) < 2:
            return [table.parts]
        return [atoms, tuple(p for p in table.parts if not p.role)]

    def _prior(self, table: Table, scaler: Scaler, parts: tuple[TaskPart, ...], columns: Sequence[str]) -> Prior:
        check_positive_integers(self, "n_latent")
        grouped = table.group is not None
        processes: list[Process] = [self._smooth(columns) for _ in range(int(self.n_latent))]
        processes += [*task_specific_processes(parts, grouped, lambda: self._smooth(columns)), PerRow()]
        loadings = self._first_loadings(table, parts)
        several = len({p.task for p in parts}) > 1  # a single label of a row shares its row effect with none
        mixing = Coregionalisation(loadings, parts, grouped, rows=several)
        alone = np.array([len(p.channels) == 1 for p in parts for _ in p.channels])
        signs = np.where(several & alone, np.sign(loadings[:, 0]), 0.0)
        return Prior(processes, mixing, *likelihood_hyperparameters(parts, signs.tolist()))

    def _first_loadings(self, table: Table, parts: tuple[TaskPart, ...]) -> np.ndarray:
        """First guess (C, Q) of the loadings: signs from common labels, further columns small and irregular."""
        signals, sizes = [], []
        for part in parts:
            y = table.tasks[part.task].observes.split(table.y[:, part.task])[part.role]
            y = np.where(np.isfinite(y), y, np.nan)
            k = len(part.channels)
            signals += [y] if k == 1 else [np.where(np.isnan(y), np.nan, y == c) for c in range(k)]
            sizes += [part.likelihood.amplitude] * k
        reference = int(np.argmax([np.isfinite(s).sum() for s in signals]))
        generator = streams.generator(0, "first loadings")  # one guess: other starts of the optimiser are random
        loadings = 0.1 * generator.standard_normal((len(signals), int(self.n_latent)))
        for c, signal in enumerate(signals):
            common = np.isfinite(signal) & np.isfinite(signals[reference])
            a, b = signal[common], signals[reference][common]
            sign = 1.0
            if common.sum() >= 3 and a.std() > 0 and b.std() > 0 and np.corrcoef(a, b)[0, 1] < 0:
                sign = -1.0
            loadings[c, 0] += LOADING * sign * sizes[c]
        return loadings
