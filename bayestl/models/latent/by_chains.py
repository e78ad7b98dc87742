"""The posterior of a graph of tasks by Markov chain Monte Carlo, with the functions integrated out exactly.

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
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import gpytorch
import numpy as np
import torch
from torch import Tensor

from bayestl.inference.chains.hmc import Evaluated, vectorised_chains
from bayestl.inference.gaussian.laplace import covariance_root, inverse_curvature
from bayestl.inference.reports import ChainReport
from bayestl.kernels.hyperpriors import HyperPrior
from bayestl.likelihoods import Gaussian
from bayestl.models.latent.ancestral import GraphDraws
from bayestl.models.latent.node import INDUCING_JITTER, NodeValues, row_blocks
from bayestl.models.latent.prior import LatentGraph
from bayestl.priors.vector import call_at
from bayestl.progress import progress

JITTER = 1e-8
"""Added to the conditional covariance of latent values, scaled units."""
AT_ONCE = 1_000_000
"""Most entries of the covariances that are evaluated at once."""
CHAINS, WARMUP, STATES_PER_DRAW, MEAN_STEPS = 8, 120, 5, 6
"""Number of chains, warm-up states of each, states per kept draw, and mean number of leapfrog steps per trajectory."""
KEPT = slice(STATES_PER_DRAW - 1, None, STATES_PER_DRAW)
"""The states that are kept as draws."""


class _Hyperparameters(gpytorch.Module):
    """The hyperparameters of several modules as one module, which returns the values of each."""

    def __init__(self, modules: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(modules)

    def forward(self) -> list[Any]:
        return [module() for module in self.members]


class _Signal(NamedTuple):
    """The information about a function at its rows, at each of R points."""

    covariance: Tensor
    """Prior covariance (R, n, n)."""
    residual: Tensor
    """Observed values (R, n), less the prior mean."""
    noise: Tensor
    """Their noise variances (R, n)."""


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
        self._entries = sum(len(graph.rows[c]) ** 2 for c in learnt)

    def start(self) -> np.ndarray:
        """The starting point (P + n,): the present hyperparameters, and ``eps`` zero."""
        raw = [p.detach().ravel() for p in self._hyper.parameters()] if self.n_hyperparameters else []
        return torch.cat([*raw, torch.zeros(self.n_latent, dtype=torch.float64)]).numpy()

    def at(self, points: np.ndarray) -> Evaluated:
        """Log likelihood, log prior and their gradients at points (R, P + n), as the protocol asks."""
        parts = [self._at(points[rows]) for rows in row_blocks(len(points), self._entries, AT_ONCE)]
        return Evaluated(*(np.concatenate(results) for results in zip(*parts, strict=True)))

    def _at(self, points: np.ndarray) -> Evaluated:
        """:meth:`at` for points that fit into memory together."""
        k = self.n_hyperparameters
        leaf = torch.from_numpy(points).requires_grad_(True)
        with torch.enable_grad():
            descent = self._descend(leaf)
            total = descent.log_likelihood
            slope = torch.autograd.grad(total.sum(), leaf)[0] if total.requires_grad else torch.zeros_like(leaf)
        value, gradient = total.detach().numpy().copy(), slope.numpy()
        prior, slope_prior = -0.5 * (points[:, k:] ** 2).sum(axis=1), np.zeros_like(points)
        slope_prior[:, k:] = -points[:, k:]
        if self._hyperprior is not None:
            hyperprior, slope_prior[:, :k] = self._hyperprior.at(points[:, :k])
            prior += hyperprior
        failed = descent.failed.numpy() | ~(np.isfinite(value) & np.isfinite(gradient).all(axis=1))
        value[failed], gradient[failed] = -np.inf, 0.0
        return Evaluated(value, prior, gradient, slope_prior)

    def gradients(self, points: np.ndarray) -> np.ndarray:
        """Gradients (R, P + n) of the log density at points (R, P + n)."""
        evaluated = self.at(points)
        return evaluated.slope_likelihood + evaluated.slope_prior

    @torch.no_grad()
    def behind(self, points: np.ndarray, seed: int) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """One draw, given each of R points, of each function's whitened values (R, n_c) and latent values (R, n_c)."""
        generator = torch.Generator().manual_seed(seed)
        blocks = row_blocks(len(points), self._entries, AT_ONCE)
        parts = [self._behind(torch.from_numpy(points[rows]), generator) for rows in blocks]
        u, z = ({c: torch.cat([part[i][c] for part in parts]) for c in self.graph.learnt} for i in (0, 1))
        return u, z

    def _behind(self, points: Tensor, generator: torch.Generator) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """:meth:`behind` for points that fit into memory together."""
        descent = self._descend(points)
        u, z = {}, descent.z
        for c, signal in descent.signals.items():
            a = torch.linalg.cholesky(signal.covariance)
            scaled = a / signal.noise[..., None]
            precision = torch.linalg.cholesky(torch.eye(a.shape[-1], dtype=a.dtype) + a.mT @ scaled)
            mean = torch.cholesky_solve(scaled.mT @ signal.residual[..., None], precision)
            white_noise = torch.randn(*mean.shape, generator=generator, dtype=a.dtype)
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
        return mean + variance.sqrt() * torch.randn(*mean.shape, generator=generator, dtype=mean.dtype)

    def _values(self, points: Tensor) -> list[Any]:
        """The hyperparameters at points (R, P + n): those of each node, then those of each likelihood that has any."""
        vary = self.n_hyperparameters > 0  # else they are fixed at their present values
        of_points = torch.vmap(lambda raw: call_at(self._hyper, raw) if vary else self._hyper())
        return of_points(points[:, : self.n_hyperparameters])

    def _descend(self, points: Tensor) -> _Descent:
        """The log likelihood and the latent values at points (R, P + n), differentiable in the points."""
        graph = self.graph
        hyperparameters = self._values(points)
        values: dict[int, NodeValues] = dict(zip(graph.learnt, hyperparameters, strict=False))
        further: dict[str, Tensor] = dict(zip(graph.further_modules, hyperparameters[len(values) :], strict=True))
        eps = points[:, self.n_hyperparameters :]
        total = points.new_zeros(len(points))
        failed = torch.zeros(len(points), dtype=torch.bool)
        z: dict[int, Tensor] = {}
        signals = {}

        def root(covariance: Tensor) -> Tensor:
            """Cholesky factors; where there is none, the identity, and the point counts as failed."""
            nonlocal failed
            factor, info = torch.linalg.cholesky_ex(covariance)
            bad = (info != 0) | ~torch.isfinite(factor.detach()).all(dim=-1).all(dim=-1)
            if bad.any():
                failed = failed | bad
                unit = torch.eye(covariance.shape[-1], dtype=covariance.dtype)
                factor = torch.linalg.cholesky(torch.where(bad[:, None, None], unit, covariance))
            return factor

        for c in graph.learnt:
            node, rows, data, node_values = graph.nodes[c], graph.rows[c], graph.data[self.part[c]], values[c]
            eye = torch.eye(len(rows), dtype=points.dtype)
            above = graph.above(c, z)
            inputs = node.inputs(graph.x[rows], above)
            unit = node.kernel.covariance(node_values.kernel, inputs, inputs) + INDUCING_JITTER * eye
            mean = node.linear(above, node_values).expand(-1, len(rows))
            covariance = node_values.variance[..., None] * unit
            place, block = graph.labelled(data) if self.gaussian[c] else (torch.zeros(0, dtype=torch.long), None)
            if block is not None:
                noise = node_values.residual_variance + node_values.noise + block.se2
                factor = root(covariance[:, place][:, :, place] + torch.diag_embed(noise))
                residual = block.y - mean[:, place]
                half = torch.linalg.solve_triangular(factor, residual[..., None], upper=False)
                total = total - 0.5 * (half * half).sum((-2, -1)) - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
                signals[c] = _Signal(covariance, residual, noise)  # at a leaf, all rows have labels
            if c in self.sampled:
                conditional = covariance + (node_values.residual_variance[..., None] + JITTER) * eye
                shift = mean
                if block is not None and len(place):
                    cross = covariance[:, place] + node_values.residual_variance[..., None] * eye[place]
                    gain = torch.linalg.solve_triangular(factor, cross, upper=False)
                    shift = mean + (gain.mT @ half)[..., 0]
                    conditional = conditional - gain.mT @ gain
                e, eps = eps.split([len(rows), eps.shape[1] - len(rows)], dim=1)
                z[c] = shift + (root(conditional) @ e[..., None])[..., 0]
                signals[c] = _Signal(covariance, z[c] - mean, node_values.residual_variance.expand(-1, len(rows)))
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


class Chain:
    """The posterior of a graph by draws of all unknowns (a :class:`~bayestl.models.latent.ancestral.GraphPosterior`).

    Parameters
    ----------
    graph : LatentGraph
        The graph, which is not changed.
    hyperparameters : Tensor, shape (S, P)
        Raw hyperparameters of each draw; empty (S, 0) where all draws have those of the graph.
    u, z : dict of int to Tensor, shape (S, n_c)
        Whitened values and latent values of each function, from :meth:`CollapsedDensity.behind`.
    """

    def __init__(
        self, graph: LatentGraph, hyperparameters: Tensor, u: Mapping[int, Tensor], z: Mapping[int, Tensor]
    ) -> None:
        self.graph = graph
        self.hyperparameters, self.u, self.z = hyperparameters, dict(u), dict(z)

    @classmethod
    def of(cls, graph: LatentGraph, density: CollapsedDensity, points: np.ndarray, seed: int) -> Chain:
        """The posterior at points (S, P + n) of the density, which are states of its chains."""
        u, z = density.behind(points, seed)
        return cls(graph, torch.from_numpy(points[:, : density.n_hyperparameters].copy()), u, z)

    def functions(self, n: int, seed: int) -> Iterator[GraphDraws]:
        """At most ``n`` states of the chain, evenly spaced, one per batch: each has its own hyperparameters."""
        return self.draws(n, seed)

    def draws(self, n: int, seed: int) -> Iterator[GraphDraws]:
        """At most ``n`` states of the chain, evenly spaced, one per batch: each has its own hyperparameters."""
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
        """The arrays that a file holds."""
        arrays = {f"{name}.{c}": v for name in ("u", "z") for c, v in getattr(self, name).items()}
        return {"hyperparameters": self.hyperparameters, **arrays}

    @classmethod
    def from_state(cls, graph: LatentGraph, state: Mapping[str, Tensor]) -> Chain:
        """The posterior from the arrays of :meth:`state`."""
        u, z = ({c: state[f"{name}.{c}"] for c in graph.learnt} for name in ("u", "z"))
        return cls(graph, state["hyperparameters"], u, z)


def sample(graph: LatentGraph, n_draws: int, seed: int, verbose: bool) -> tuple[Chain, ChainReport]:
    """Sample the latent values and the hyperparameters of a graph by Markov chains; about ``n_draws`` states are kept.

    Warns
    -----
    RuntimeWarning
        If the chains have not converged.
    """
    density = CollapsedDensity(graph)
    start, k = density.start(), density.n_hyperparameters
    states = STATES_PER_DRAW * -(-n_draws // CHAINS)
    with progress("LatentVariableGP: states", total=WARMUP + states, verbose=verbose) as update:
        root = np.eye(len(start))
        root[:k, :k] = covariance_root(inverse_curvature(density.gradients, start, np.arange(k)))
        points, report = vectorised_chains(
            density,
            start,
            root,
            states,
            seed,
            warmup=WARMUP,
            chains=CHAINS,
            learn=k,
            mean_steps=MEAN_STEPS,
            callback=lambda i: update(completed=i),
        )
    report.warn_unless_converged()
    graph.requires_grad_(False)
    return Chain.of(graph, density, points[KEPT], seed), report
