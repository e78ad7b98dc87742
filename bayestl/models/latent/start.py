"""First guess of a latent graph: the hyperparameters and guide of each function from an exact GP.

Variational inference and Markov chains both start here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bayestl.inference.gaussian import maximise
from bayestl.inference.gaussian.labels import Labels
from bayestl.kernels.stationary import UnitKernel
from bayestl.likelihoods import Gaussian
from bayestl.likelihoods.hyperparameters import Noise
from bayestl.models.latent.by_svi import NodeGuide
from bayestl.models.latent.node import Node
from bayestl.models.latent.prior import PartData
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Constant, Points, Smooth
from bayestl.priors.rows import Residual
from bayestl.priors.task_specific import TaskSpecific
from bayestl.table.task import TaskPart


def first_guess(
    kernel: UnitKernel,
    parents: tuple[int, ...],
    x: Tensor,
    rows: Tensor,
    data: PartData,
    which: int,
    guesses: dict[int, Tensor],
    chosen: Tensor,
    seed: int,
) -> tuple[Node, NodeGuide, Tensor]:
    """A node, its guide and a first guess (n,) of its latent values, from an exact GP on the parents' guesses.

    Parameters
    ----------
    kernel : UnitKernel
        Covariance of the function over the features and the parents.
    parents : tuple of int
        The functions that it follows.
    x : Tensor, shape (n, d)
        Scaled features.
    rows : Tensor
        The rows that labels inform.
    data : PartData
        The labels of the function's part.
    which : int
        The function's position within its part (its class).
    guesses : dict of int to Tensor, shape (n,)
        The first guesses of the parents' latent values.
    chosen : Tensor
        The rows of the inducing inputs.
    seed : int
        Seed of the optimiser's starts.
    """
    present = data.present
    y, se2 = _signal(data, which), data.block.se2
    inputs = torch.cat([x, *(guesses[p][:, None] for p in parents)], dim=1)
    signs = x.new_ones(len(parents))
    for i, p in enumerate(parents):
        product = ((guesses[p] - guesses[p].mean())[present] * (y - y[present].mean())[present]).sum()
        signs[i] = -1.0 if product < 0 else 1.0
    size = data.part.likelihood.amplitude
    node = Node(kernel, parents, inputs[chosen], signs, size)
    with x.device:
        guide = NodeGuide(len(chosen), len(rows))
    if len(rows) == 0:
        return node, guide, node.linear(guesses).detach().expand(len(x))
    offset = node.linear(guesses).detach().expand(len(x))
    labelled = torch.nonzero(present).ravel()
    zero = torch.zeros_like(labelled)
    points = Points(inputs[present], zero, zero, zero - 1)
    labels = Labels(points, (y - offset)[present], se2[present], rows=labelled)
    single_part = TaskPart(0, "", Gaussian(), (0,), ("",))
    with x.device:
        mixing = TaskSpecific((single_part,), grouped=False, amplitude=size * (0.3 if parents else 1.0))
        prior = Prior([Smooth(node.kernel), Constant()], mixing, Residual(Noise(1)))
    maximise.fit(prior, labels, n_starts=1, seed=seed)
    with torch.no_grad():
        noise = prior.residual.variance()[0]
        node.raw_amplitude.copy_(mixing.raw_kappa)
        node.raw_sigma.fill_(0.5 * torch.log(0.5 * noise))
        node.raw_omega.fill_(0.5 * torch.log(0.5 * noise))
        a, variance = node.features(x, guesses)
        # the best Gaussian q(u) for these hyperparameters, with the labels' noise and the rows' own variance
        weight = 1.0 / (variance + noise * 0.5 + se2)[present]
        design = torch.cat([a[present], a.new_ones(len(labelled), 1)], dim=1)
        precision = torch.eye(design.shape[1], dtype=a.dtype, device=a.device) + design.T @ (design * weight[:, None])
        solution = torch.linalg.solve(precision, design.T @ (weight * labels.y))
        covariance = torch.linalg.inv(precision[:-1, :-1])  # given the mean, which the guide holds fixed
        guide.u_start.copy_(solution[:-1])
        node.mean.copy_(solution[-1:])
        guide.u_base.copy_(torch.linalg.cholesky(0.5 * (covariance + covariance.T)))
        conditional = node.linear(guesses) + a @ solution[:-1]
        gain = torch.where(present, variance / (variance + noise * 0.5 + se2), torch.zeros_like(variance))
        guide.a.copy_((1 - gain)[rows])
        guide.b.copy_((gain * torch.where(present, y, 0.0))[rows])
        guide.log_s.copy_((0.5 * torch.log(variance * (1 - gain)).clamp_min(-12.0))[rows])
        guess = (1 - gain) * conditional + gain * torch.where(present, y, 0.0)
    return node, guide, guess


def _signal(data: PartData, which: int) -> Tensor:
    """The target of the first guess: the label, the middle of an interval, or plus and minus one for a class."""
    y = data.block.y
    if isinstance(data.part.likelihood, Gaussian) or data.part.likelihood.has_noise:
        middle = torch.where(
            y.isinf(), data.block.high, torch.where(data.block.high.isinf(), y, 0.5 * (y + data.block.high))
        )
        return middle
    if len(data.part.channels) > 1:
        return torch.where(y == which, 1.0, -1.0).to(y.dtype)
    most = y[data.present].max().clamp_min(1.0)
    return 2.0 * y / most - 1.0
