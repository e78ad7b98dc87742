"""The task-specific part of the prior of every exact architecture: a process, a constant and group effects per task.

    f_c(x, g) = m_c + v_c(x) [+ c_{c,g}],   v_c ~ GP(0, kappa^2 k),   m_c ~ N(0, 1),   c_{c,g} ~ N(0, tau^2)

for each latent function c; the last term only for tables with groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gpytorch
import torch
from gpytorch.priors import HalfNormalPrior, LogNormalPrior

from bayestl.kernels.hyperpriors import register_positive
from bayestl.likelihoods.hyperparameters import Noise
from bayestl.priors.prior import Mixing, Prior
from bayestl.priors.processes import Constant, PerGroup, Process, Smooth
from bayestl.priors.rows import Residual
from bayestl.table.task import TaskPart

AMPLITUDE = 1.0
"""Prior median of the standard deviation ``kappa`` of a latent function, on labels of unit variance."""
SPECIFIC_AMPLITUDE = 0.3
"""Prior median of the standard deviation of a task-specific part, on labels of unit variance."""
OF_CLASSES = 0.7
"""Prior standard deviation of the logarithm of the amplitude of a task-specific part of classes.

A label has K such functions, and of dozens of labels in hundreds of features the evidence says little of their size: with a
prior as wide as that for numbers they grow, and cover what the classes share with another task."""
GROUP_SPREAD = 0.5
"""Scale of the half-normal prior of the standard deviation ``tau`` between groups, on labels of unit variance."""


class TaskSpecific(Mixing):
    """Diagonal blocks of ``W``: amplitude, constant and, with groups, group standard deviation of each latent function.

    The latent functions of one part (classes of one label) share amplitude and group standard deviation.

    Parameters
    ----------
    parts : sequence of TaskPart
        Parts of the family of tasks.
    grouped : bool
        Whether rows have groups.
    amplitude : float
        Prior median of the amplitude for numbers; for classes it is :attr:`Part.amplitude` times as large.
    shared : bool
        Whether the latent functions have shared parts too: then the amplitude of unordered classes has the median
        ``amplitude``, and a narrower prior.
    """

    def __init__(
        self, parts: Sequence[TaskPart], grouped: bool, amplitude: float = AMPLITUDE, shared: bool = False
    ) -> None:
        super().__init__()
        narrow = torch.tensor([shared and len(p.channels) > 1 for p in parts])
        medians = amplitude * torch.tensor([p.likelihood.amplitude for p in parts], dtype=torch.float64)
        medians = torch.where(narrow, amplitude, medians)
        spreads = torch.where(narrow, OF_CLASSES, torch.ones_like(medians))
        owner = [i for i, p in enumerate(parts) for _ in p.channels]
        n_channels = len(owner)
        self.register_buffer("owner", torch.tensor(owner))
        self.register_buffer("constants", torch.tensor([parts[i].likelihood.amplitude for i in owner]).double())
        register_positive(self, "kappa", medians, LogNormalPrior(medians.log(), spreads))
        if grouped:
            register_positive(self, "tau", torch.full((len(parts),), 0.3), HalfNormalPrior(GROUP_SPREAD))
        self.support = torch.cat([torch.eye(n_channels)] * (3 if grouped else 2), dim=1).bool()

    def weights(self, row_effects: torch.Tensor) -> torch.Tensor:
        blocks = [torch.diag(self.raw_kappa.exp()[self.owner]), torch.diag(self.constants)]
        if hasattr(self, "raw_tau"):
            blocks.append(torch.diag(self.raw_tau.exp()[self.owner]))
        return torch.cat(blocks, dim=1)


def likelihood_hyperparameters(
    parts: Sequence[TaskPart],
    signs: Sequence[float] = (),
    medians: Sequence[float] = (),
    share: float | None = None,
) -> tuple[Residual, list[gpytorch.Module | None]]:
    """The residual of each latent function of a family, and further hyperparameters of the likelihood of each part.

    ``signs``: for each latent function the sign of the first guess of its row effect, 0 for none.  ``medians``: prior median
    of the standard deviation of each residual, by default that of :class:`Noise`.  ``share``: the fixed share of the row
    effects (:class:`Residual`), by default inferred.
    """
    noise = Noise([p.likelihood.has_noise for p in parts for _ in p.channels], medians)
    alone = [len(p.channels) == 1 for p in parts for _ in p.channels]
    return Residual(noise, signs, alone, share), [p.likelihood.further() for p in parts]


def task_specific_processes(parts: Sequence[TaskPart], grouped: bool, smooth: Callable[[], Smooth]) -> list[Process]:
    """The processes that :class:`TaskSpecific` mixes; the latent functions of one part share a kernel."""
    kernels = [smooth().kernel for _ in parts]
    n_channels = sum(len(p.channels) for p in parts)
    processes: list[Process] = [Smooth(kernel) for kernel, p in zip(kernels, parts, strict=True) for _ in p.channels]
    processes += [Constant() for _ in range(n_channels)]
    if grouped:
        processes += [PerGroup() for _ in range(n_channels)]
    return processes


def independent_prior(parts: Sequence[TaskPart], grouped: bool, smooth: Callable[[], Smooth]) -> Prior:
    """The prior of independent latent functions, with task-specific processes only."""
    return Prior(
        task_specific_processes(parts, grouped, smooth),
        TaskSpecific(parts, grouped),
        *likelihood_hyperparameters(parts),
    )
