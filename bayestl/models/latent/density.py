"""The posterior density of a graph of tasks with the functions integrated out exactly, for Markov chains.

Down the graph, the Gaussian labels of a function count through their exact marginal likelihood given its parents'
latent values, and its own latent values are drawn from their exact Gaussian conditional given those labels,

    z_c = E[z_c | y_c, z_pa(c), theta] + root(Cov[z_c | y_c, z_pa(c), theta]) eps_c,    eps_c ~ N(0, I)

so that ``eps`` is near its prior, a unit normal, unless labels further down say otherwise: a good coordinate system for
long steps.  Leaves with Gaussian labels need no ``eps``.  Labels of other likelihoods count at the drawn values.
No inducing values are needed: the functions are exact at the rows.

Many points are evaluated at once: on small tables the number of operations costs more than the arithmetic.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gpytorch
import numpy as np
import torch
from torch import Tensor

from bayestl.device import tensor, to_numpy
from bayestl.inference.chains.hmc import Evaluated
from bayestl.kernels.hyperpriors import HyperPrior
from bayestl.likelihoods import Gaussian
from bayestl.models.latent.conditional import evidence, informed
from bayestl.models.latent.node import INDUCING_JITTER, NodeValues, row_blocks
from bayestl.models.latent.prior import LatentGraph
from bayestl.streams import torch_generator, torch_normal

JITTER = 1e-8
"""Added to the variance of latent values, scaled units."""
AT_ONCE = 1_000_000
"""Most entries of the covariances that are evaluated at once."""


class _Hyperparameters(gpytorch.Module):
    """The hyperparameters of several modules as one module, which returns the values of each."""

    def __init__(self, modules: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(modules)

        owners = [(owner, name, p) for owner in self.modules() for name, p in owner.named_parameters(recurse=False)]
        self._owners = [owner._parameters for owner, _, _ in owners]
        self._names = [name for _, name, _ in owners]
        self._stored = [p for _, _, p in owners]
        self._sizes = [p.numel() for p in self._stored]

    def forward(self) -> list[Any]:
        return [module() for module in self.members]

    def at(self, raw: Tensor) -> list[Any]:
        """The values at one vector (P,), batched under ``vmap``: as ``torch.func.functional_call``, in a tenth of its time.

        The parameters are those of ``parameters()``, in its order.
        """
        try:
            pieces = zip(self._owners, self._names, self._stored, raw.split(self._sizes), strict=True)
            for owner, name, stored, piece in pieces:
                owner[name] = piece.view(stored.shape)
            return self()
        finally:
            for owner, name, stored in zip(self._owners, self._names, self._stored, strict=True):
                owner[name] = stored


class _Signal(NamedTuple):
    """The information about a function at its rows, at each of R points."""

    covariance: Tensor
    """Prior covariance (R, n, n), without jitter."""
    variance: Tensor
    """Prior variance (R, 1)."""
    residual: Tensor
    """Observed values (R, n), less the prior mean."""
    noise: Tensor
    """Their noise variances (R, n)."""


class _Labels(NamedTuple):
    """The Gaussian labels of a function, at its n rows."""

    present: Tensor
    """Mask (n,) of the rows that have one."""
    y: Tensor
    """(n,), zero where there is none, as in ``se2``."""
    se2: Tensor
    """Known variances (n,)."""


class _Descent(NamedTuple):
    """Intermediate results of the log density at R points."""

    log_likelihood: Tensor
    """Log likelihood (R,) of all labels."""
    values: dict[int, NodeValues]
    """Hyperparameters of each node."""
    z: dict[int, Tensor]
    """Latent values (R, n_c) of the sampled functions."""
    signals: dict[int, _Signal]
    """The information about each function."""
    failed: Tensor
    """Whether a covariance was not positive definite (R,)."""


class CollapsedDensity:
    """``log p(y, eps, hyperparameters)`` of a graph, as a :class:`~bayestl.inference.chains.hmc.Density`.

    Parameters
    ----------
    graph : LatentGraph
        The graph, which is not changed.
    vary : bool
        Whether the hyperparameters are part of the posterior, or fixed at their present values.
    """

    def __init__(self, graph: LatentGraph, vary: bool = True) -> None:
        self.graph = copy.deepcopy(graph).requires_grad_(False)
        self.part = {c: j for j, d in enumerate(graph.data) for c in d.part.channels}
        self.gaussian = {c: isinstance(graph.data[j].part.likelihood, Gaussian) for c, j in self.part.items()}
        learnt = graph.learnt
        parents = {p for c in learnt for p in graph.nodes[c].parents}
        self.sampled = [c for c in learnt if c in parents or not self.gaussian[c]]
        """Functions whose latent values are sampled, not integrated out."""
        self.n_latent = sum(len(graph.rows[c]) for c in self.sampled)
        self._hyper = _Hyperparameters(self.graph.informed_modules)
        self._hyperprior = HyperPrior(self._hyper) if vary else None
        self.n_hyperparameters = sum(p.numel() for p in self._hyper.parameters()) if vary else 0
        self._labels = {c: self._labels_of(c) for c in learnt}
        self._entries = sum(len(graph.rows[c]) ** 2 for c in learnt)

    def _labels_of(self, c: int) -> _Labels:
        """The labels of a function; none if they are not Gaussian."""
        data, rows = self.graph.data[self.part[c]], self.graph.rows[c]
        present = data.present[rows] & self.gaussian[c]
        return _Labels(present, *(torch.where(present, v[rows], 0.0) for v in (data.block.y, data.block.se2)))

    def start(self) -> np.ndarray:
        """The starting point (P + n,): the present hyperparameters, and ``eps`` zero."""
        raw = [p.detach().ravel() for p in self._hyper.parameters()] if self.n_hyperparameters else []
        return to_numpy(torch.cat([*raw, self.graph.x.new_zeros(self.n_latent)]))

    def exchangeable(self) -> list[np.ndarray]:
        """Groups of coordinates with the same independent prior: the relative length scales of each kernel."""
        groups, offset = [], 0
        for name, parameter in self._hyper.named_parameters():
            if name.endswith("log_relative") and parameter.numel() > 1:
                groups.append(np.arange(offset, offset + parameter.numel()))
            offset += parameter.numel()
        return groups if self.n_hyperparameters else []

    def at(self, points: np.ndarray) -> Evaluated:
        """Log likelihood, log prior and their gradients at points (R, P + n), as the protocol asks."""
        parts = [self._at(points[rows]) for rows in row_blocks(len(points), self._entries, AT_ONCE)]
        return Evaluated(*(np.concatenate(results) for results in zip(*parts, strict=True)))

    def _at(self, points: np.ndarray) -> Evaluated:
        """:meth:`at` for points that fit into memory together."""
        k = self.n_hyperparameters
        leaf = tensor(points, self.graph.x.device).requires_grad_(True)
        with torch.enable_grad():
            descent = self._descend(leaf)
            total = descent.log_likelihood
            slope = torch.autograd.grad(total.sum(), leaf)[0] if total.requires_grad else torch.zeros_like(leaf)
        value, gradient = to_numpy(total).copy(), to_numpy(slope)
        prior, slope_prior = -0.5 * (points[:, k:] ** 2).sum(axis=1), np.zeros_like(points)
        slope_prior[:, k:] = -points[:, k:]
        if self._hyperprior is not None:
            hyperprior, slope_prior[:, :k] = self._hyperprior.at(points[:, :k])
            prior += hyperprior
        failed = to_numpy(descent.failed) | ~(np.isfinite(value) & np.isfinite(gradient).all(axis=1))
        value[failed], gradient[failed] = -np.inf, 0.0
        return Evaluated(value, prior, gradient, slope_prior)

    def gradients(self, points: np.ndarray) -> np.ndarray:
        """Gradients (R, P + n) of the log density at points (R, P + n)."""
        evaluated = self.at(points)
        return evaluated.slope_likelihood + evaluated.slope_prior

    @torch.no_grad()
    def behind(self, points: np.ndarray, seed: int) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """One draw, given each of R points, of each function's whitened values (R, n_c) and latent values (R, n_c)."""
        generator = torch_generator(seed, "behind")
        blocks = row_blocks(len(points), self._entries, AT_ONCE)
        parts = [self._behind(tensor(points[rows], self.graph.x.device), generator) for rows in blocks]
        u, z = ({c: torch.cat([part[i][c] for part in parts]) for c in self.graph.learnt} for i in (0, 1))
        return u, z

    def _behind(self, points: Tensor, generator: torch.Generator) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """:meth:`behind` for points that fit into memory together."""
        descent = self._descend(points)
        u, z = {}, descent.z
        for c, signal in descent.signals.items():
            k = signal.covariance
            unit = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
            a = torch.linalg.cholesky(k + INDUCING_JITTER * signal.variance[..., None] * unit)
            scaled = a / signal.noise[..., None]
            precision = torch.linalg.cholesky(unit + a.mT @ scaled)
            mean = torch.cholesky_solve(scaled.mT @ signal.residual[..., None], precision)
            white_noise = torch_normal(mean.shape, generator, a)
            white = mean + torch.linalg.solve_triangular(precision.mT, white_noise, upper=True)
            u[c] = white[..., 0]
            if c not in z:  # a leaf: conditioned on its labels and the function
                z[c] = self._leaf(c, descent, (a @ white)[..., 0], generator)
        return u, z

    def _leaf(self, c: int, descent: _Descent, function: Tensor, generator: torch.Generator) -> Tensor:
        """One draw (R, n_c) of the latent values of a leaf, given its labels and its function values (R, n_c)."""
        data, values = self.graph.data[self.part[c]], descent.values[c]
        mean = self.graph.nodes[c].linear(self.graph.above(c, descent.z), values) + function
        variance = values.residual_variance.expand_as(mean).clone()
        place, block = self.graph.labelled(data)
        gain = variance[:, place] / (variance[:, place] + values.noise + block.se2)
        mean[:, place] += gain * (block.y - mean[:, place])
        variance[:, place] *= 1 - gain
        return mean + variance.sqrt() * torch_normal(mean.shape, generator, mean)

    def _values(self, points: Tensor) -> list[Any]:
        """The hyperparameters at points (R, P + n): those of each node, then those of each likelihood that has any."""
        vary = self.n_hyperparameters > 0  # else they are fixed at their present values
        of_points = torch.vmap(lambda raw: self._hyper.at(raw) if vary else self._hyper())
        return of_points(points[:, : self.n_hyperparameters])

    def _descend(self, points: Tensor) -> _Descent:
        """The log likelihood and the latent values at points (R, P + n), differentiable in the points."""
        graph = self.graph
        hyperparameters = self._values(points)
        values: dict[int, NodeValues] = dict(zip(graph.learnt, hyperparameters, strict=False))
        further: dict[str, Tensor] = dict(zip(graph.further_modules, hyperparameters[len(values) :], strict=True))
        eps = points[:, self.n_hyperparameters :]
        total = points.new_zeros(len(points))
        failed = points.new_zeros(len(points), dtype=torch.bool)
        z: dict[int, Tensor] = {}
        signals = {}
        for c in graph.learnt:
            node, node_values, labels = graph.nodes[c], values[c], self._labels[c]
            n = len(labels.y)
            above = graph.above(c, z)
            inputs = node.inputs(graph.x[graph.rows[c]], above)
            covariance = node_values.variance[..., None] * node.kernel.covariance(node_values.kernel, inputs, inputs)
            covariance = covariance.expand(len(points), -1, -1)
            mean = node.linear(above, node_values).expand(-1, n)
            residual = torch.where(labels.present, labels.y - mean, 0.0)
            own = node_values.residual_variance + INDUCING_JITTER * node_values.variance
            noise = node_values.noise + labels.se2
            if c in self.sampled:
                precision = torch.where(labels.present, 1.0 / noise, 0.0)
                e, eps = eps.split([n, eps.shape[1] - n], dim=1)
                log_density, shift, bad = informed(covariance, (own + JITTER).expand(-1, n), precision, residual, e)
                z[c] = mean + shift
                residual, noise = shift, node_values.residual_variance.expand(-1, n)
            else:  # at a leaf all rows have labels
                log_density, bad = evidence(covariance, own + noise, residual)
                noise = node_values.residual_variance + noise
            total, failed = total + log_density, failed | bad
            signals[c] = _Signal(covariance, node_values.variance, residual, noise)
        for j, data in enumerate(graph.data):
            channel = data.part.channels[0]
            if data.present.any() and not self.gaussian[channel]:
                no_further = points.new_zeros(len(points), 0)
                total = total + self._log_likelihoods(j, z, values[channel].noise, further.get(str(j), no_further))
        return _Descent(total, values, z, signals, failed)

    def _log_likelihoods(self, position: int, z: Mapping[int, Tensor], noise: Tensor, further: Tensor) -> Tensor:
        """Log likelihood (R,) of all labels of a part."""
        part = self.graph.data[position].part
        place, block = self.graph.labelled(self.graph.data[position])
        f = torch.stack([z[c][:, place] for c in part.channels], dim=-1)
        per_point = [
            part.likelihood.log_density(block, *arguments).sum()
            for arguments in zip(f, noise[:, 0], further, strict=True)
        ]
        return torch.stack(per_point)
