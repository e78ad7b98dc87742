"""The posterior of a graph of tasks by Markov chain Monte Carlo, with the functions integrated out.

Down the graph, the Gaussian labels of a function count through their exact marginal likelihood given its parents' latent
values, and its own latent values are drawn from their exact Gaussian conditional given those labels,

    z_c = E[z_c | y_c, z_pa(c), theta] + root(Cov[z_c | y_c, z_pa(c), theta]) eps_c,    eps_c ~ N(0, I)

so that ``eps`` is near its prior, a unit normal, unless labels further down say otherwise: a good coordinate system for
long steps.  Leaves with Gaussian labels need no ``eps``.  Labels of other likelihoods count at the drawn values.
No inducing values are needed: the functions are exact at the rows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from bayestl.likelihoods import Gaussian
from bayestl.models.ancestry import GraphDraws
from bayestl.models.graph import LatentGraph

JITTER = 1e-8
"""Added to the conditional covariance of latent values, scaled units."""


class Collapsed:
    """``log p(y, eps, hyperparameters)`` of a graph, and what is behind a point of it.

    Parameters
    ----------
    graph : LatentGraph
        Left as it is.
    vary : bool
        Whether the hyperparameters are part of the posterior, or held where they are.
    """

    def __init__(self, graph: LatentGraph, vary: bool = True) -> None:
        self.graph = copy.deepcopy(graph).requires_grad_(True)
        self._raw = self.graph.raw_hyperparameters() if vary else []
        self.part = {c: j for j, d in enumerate(graph.data) for c in d.part.channels}
        self.gaussian = {c: isinstance(graph.data[j].part.likelihood, Gaussian) for c, j in self.part.items()}
        learnt = graph.learnt
        parents = {p for c in learnt for p in graph.nodes[c].parents}
        self.sampled = [c for c in learnt if c in parents or not self.gaussian[c]]
        """Functions with latent values of their own in the posterior."""
        self.n_hyperparameters = sum(p.numel() for p in self._raw)
        self.n_latent = sum(len(graph.rows[c]) for c in self.sampled)

    def start(self) -> np.ndarray:
        """The present hyperparameters, and ``eps`` zero."""
        raw = [p.detach().ravel() for p in self._raw]
        return torch.cat([*raw, torch.zeros(self.n_latent, dtype=torch.float64)]).numpy()

    def value_and_gradient(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density at ``w`` and its gradient; ``-inf`` and zeros where it cannot be computed."""
        eps = self._set(w).requires_grad_(True)
        leaves = [*self._raw, eps]
        try:
            with torch.enable_grad():
                total = self._descend(eps)[0]
                slopes = torch.autograd.grad(total, leaves, allow_unused=True)
        except torch.linalg.LinAlgError:
            return -np.inf, np.zeros_like(w)
        zero = [torch.zeros_like(v) if g is None else g for v, g in zip(leaves, slopes, strict=True)]
        gradient = torch.cat([g.ravel() for g in zero]).numpy()
        value = float(total.detach())
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return -np.inf, np.zeros_like(w)
        return value, gradient

    def gradients(self, points: np.ndarray) -> np.ndarray:
        """Of the log density at several points (S, P + n)."""
        return np.stack([self.value_and_gradient(w)[1] for w in points])

    @torch.no_grad()
    def behind(self, w: np.ndarray, generator: torch.Generator) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Draws, given the point, of whitened function values (n_c,) and of latent values (n_c,) of each function."""
        _, z, signals = self._descend(self._set(w))
        u = {}
        for c, (unit, residual, noise) in signals.items():
            a = self.graph.nodes[c].raw_amplitude.exp() * torch.linalg.cholesky(unit)
            scaled = a / noise[:, None]
            precision = torch.linalg.cholesky(torch.eye(len(a), dtype=a.dtype) + a.T @ scaled)
            mean = torch.cholesky_solve((scaled.T @ residual)[:, None], precision)
            turned = torch.randn(len(a), 1, generator=generator, dtype=a.dtype)
            u[c] = (mean + torch.linalg.solve_triangular(precision.T, turned, upper=True))[:, 0]
            if c not in z:  # a leaf: its labels, and the function
                z[c] = self._leaf(c, z, a @ u[c], generator)
        return u, z

    def _leaf(self, c: int, z: Mapping[int, Tensor], function: Tensor, generator: torch.Generator) -> Tensor:
        node, data = self.graph.nodes[c], self.graph.data[self.part[c]]
        mean = node.linear(self.graph.above(c, z)) + function
        variance = (2 * node.raw_omega).exp().expand(len(mean)).clone()
        place, block = self.graph.labelled(data)
        gain = variance[place] / (variance[place] + self.graph.noise(data.part) + block.se2)
        mean[place] += gain * (block.y - mean[place])
        variance[place] *= 1 - gain
        return mean + variance.sqrt() * torch.randn(len(mean), generator=generator, dtype=mean.dtype)

    def _set(self, w: np.ndarray) -> Tensor:
        """Take over the hyperparameters of a point; its ``eps``."""
        vector = torch.as_tensor(w, dtype=torch.float64)
        offset = 0
        for parameter in self._raw:
            parameter.data = vector[offset : offset + parameter.numel()].view_as(parameter).clone()
            offset += parameter.numel()
        return vector[offset:].clone()

    def _descend(self, eps: Tensor) -> tuple[Tensor, dict[int, Tensor], dict[int, tuple[Tensor, Tensor, Tensor]]]:
        """Log density; latent values of the sampled functions; and of each function at its rows what informs it.

        The last: its covariance (n, n) at unit variance, and what it is seen as (n,) with what noise variance.
        """
        graph = self.graph
        total = graph.log_hyperprior() if self._raw else torch.zeros((), dtype=torch.float64)
        z: dict[int, Tensor] = {}
        signals = {}
        offset = 0
        for c in graph.learnt:
            node, rows, data = graph.nodes[c], graph.rows[c], graph.data[self.part[c]]
            above = graph.above(c, z)
            unit = node.unit_covariance(node.inputs(graph.x[rows], above))
            mean = node.linear(above).expand(len(rows))
            own = (2 * node.raw_omega).exp()
            place, block = graph.labelled(data) if self.gaussian[c] else (torch.zeros(0, dtype=torch.long), None)
            covariance = (2 * node.raw_amplitude).exp() * unit
            if block is not None:
                noise = own + graph.noise(data.part) + block.se2
                factor = torch.linalg.cholesky(covariance[place][:, place] + torch.diag(noise))
                residual = block.y - mean[place]
                half = torch.linalg.solve_triangular(factor, residual[:, None], upper=False)[:, 0]
                total = total - 0.5 * half @ half - factor.diagonal().log().sum()
                signals[c] = unit, residual, noise  # of a leaf, all rows have labels
            if c in self.sampled:
                conditional = covariance + own * torch.eye(len(rows), dtype=unit.dtype)
                shift = mean
                if block is not None and len(place):
                    gain = torch.linalg.solve_triangular(factor, conditional[place], upper=False)
                    shift = mean + gain.T @ half
                    conditional = conditional - gain.T @ gain
                e = eps[offset : offset + len(rows)]
                offset += len(rows)
                jitter = JITTER * torch.eye(len(rows), dtype=unit.dtype)
                z[c] = shift + torch.linalg.cholesky(conditional + jitter) @ e
                total = total - 0.5 * e @ e
                signals[c] = unit, z[c] - mean, own.expand(len(rows))
        for j, data in enumerate(graph.data):
            if data.present.any() and not self.gaussian[data.part.channels[0]]:
                total = total + graph.log_likelihood(j, z).sum()
        return total, z, signals


class Chain:
    """The posterior of a graph by draws of everything (a :class:`~bayestl.models.ancestry.GraphPosterior`).

    Parameters
    ----------
    graph : LatentGraph
        Left as it is.
    hyperparameters : Tensor, shape (S, P)
        Empty (S, 0) where they are those of the graph.
    u, z : dict of int to Tensor, shape (S, n_c)
        See :meth:`Collapsed.behind`.
    """

    def __init__(
        self, graph: LatentGraph, hyperparameters: Tensor, u: Mapping[int, Tensor], z: Mapping[int, Tensor]
    ) -> None:
        self.graph = graph
        self.hyperparameters, self.u, self.z = hyperparameters, dict(u), dict(z)

    @classmethod
    def of(cls, graph: LatentGraph, density: Collapsed, points: np.ndarray, seed: int) -> Chain:
        """From points (S, P + n) of the density."""
        generator = torch.Generator().manual_seed(seed)
        pairs = [density.behind(w, generator) for w in points]
        u, z = ({c: torch.stack([pair[i][c] for pair in pairs]) for c in graph.learnt} for i in (0, 1))
        return cls(graph, torch.from_numpy(points[:, : density.n_hyperparameters].copy()), u, z)

    def functions(self, n: int, seed: int) -> Iterator[GraphDraws]:
        """See :class:`~bayestl.models.ancestry.GraphPosterior`: every draw has its own hyperparameters."""
        return self.draws(n, seed)

    def draws(self, n: int, seed: int) -> Iterator[GraphDraws]:
        """See :class:`~bayestl.models.ancestry.GraphPosterior`: the states of the chain, evenly spaced."""
        graph = copy.deepcopy(self.graph)
        size = len(self.hyperparameters)
        for s in np.unique(np.linspace(0, size - 1, min(n, size)).astype(int)):
            if self.hyperparameters.shape[1]:
                graph.set_raw_hyperparameters(self.hyperparameters[s])
            z = {c: values[s, None] for c, values in self.z.items()}
            for c in graph.learnt:
                node = graph.nodes[c]
                node.inducing = node.inputs(graph.x[graph.rows[c]], {p: v[0] for p, v in graph.above(c, z).items()})
            yield GraphDraws(graph, {c: values[s, None, None] for c, values in self.u.items()}, z)

    def state(self) -> dict[str, Tensor]:
        """What is saved."""
        arrays = {f"{name}.{c}": v for name in ("u", "z") for c, v in getattr(self, name).items()}
        return {"hyperparameters": self.hyperparameters, **arrays}

    @classmethod
    def from_state(cls, graph: LatentGraph, state: Mapping[str, Tensor]) -> Chain:
        """The inverse of :meth:`state`."""
        u, z = ({c: state[f"{name}.{c}"] for c in graph.learnt} for name in ("u", "z"))
        return cls(graph, state["hyperparameters"], u, z)
