"""The variational posterior of a graph of tasks: a Pyro guide.

``q(u_c)`` is a full Gaussian, and

    q(z_ic | u, z_i,pa) = N(a_ic E[z_ic | u, z_i,pa] + b_ic, s_ic^2)

so the latent values of a row stay correlated with each other and with the functions, and for a Gaussian leaf the guide
contains the exact conditional.  Hyperparameters are point estimates under their priors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from bayestl.inference.svi.elbo import SVIReport, log_weights, maximise_elbo, pareto_k
from bayestl.models.latent.ancestral import GraphDraws
from bayestl.models.latent.node import row_blocks
from bayestl.models.latent.prior import LatentGraph
from bayestl.progress import progress


class Minibatches:
    """Model and guide of a graph, of other rows at each step; the guide draws them, the model takes the same.

    Parameters
    ----------
    guide : Guide
    size : int
        Rows of a step.
    seed : int
    """

    def __init__(self, guide: Guide, size: int, seed: int) -> None:
        self._guide, self._size = guide, size
        self._generator = torch.Generator().manual_seed(seed)
        self._graph = guide.graph

    def program(self) -> None:
        """The guide of the next rows."""
        n = len(self._guide.graph.x)
        chosen = torch.randperm(n, generator=self._generator)[: self._size]
        self._graph, places = self._guide.graph.of_rows(chosen)
        self._guide.program(self._graph, places)

    def model(self) -> None:
        """The model of those rows."""
        self._graph.model()


class NodeGuide(torch.nn.Module):
    """The guide of one latent function with ``m`` inducing values, and of its latent values at ``n`` rows."""

    u_start: Tensor
    u_base: Tensor

    def __init__(self, m: int, n: int) -> None:
        super().__init__()
        # q(u) is relative to its first guess, so that one step size suits all its parameters
        self.register_buffer("u_start", torch.zeros(m, dtype=torch.float64))
        self.register_buffer("u_base", torch.eye(m, dtype=torch.float64))
        self.v_mean = torch.nn.Parameter(torch.zeros(m, dtype=torch.float64))
        self.v_root = torch.nn.Parameter(torch.eye(m, dtype=torch.float64))
        self.a = torch.nn.Parameter(torch.ones(n, dtype=torch.float64))
        self.b = torch.nn.Parameter(torch.zeros(n, dtype=torch.float64))
        self.log_s = torch.nn.Parameter(torch.full((n,), math.log(0.1), dtype=torch.float64))

    def inducing(self) -> tuple[Tensor, Tensor]:
        """Mean (m,) of ``q(u)`` and the lower Cholesky factor (m, m) of its covariance."""
        root = self.v_root.tril(-1) + torch.diag(self.v_root.diagonal().abs() + 1e-6)
        return self.u_start + self.u_base @ self.v_mean, self.u_base @ root


class Guide(torch.nn.Module):
    """The guide of a whole graph; its parameters are those of the nodes' guides, not the graph's.

    Parameters
    ----------
    graph : LatentGraph
    nodes : mapping of int to NodeGuide
        By latent function.
    """

    def __init__(self, graph: LatentGraph, nodes: Mapping[int, NodeGuide]) -> None:
        super().__init__()
        self._graph = [graph]  # in a list, so that it is not a submodule
        self._nodes = torch.nn.ModuleList([nodes[c] for c in range(len(graph.names))])

    @property
    def graph(self) -> LatentGraph:
        """What the guide is of."""
        return self._graph[0]

    @property
    def nodes(self) -> list[NodeGuide]:
        """The guides of the functions, in their order."""
        return [cast(NodeGuide, node) for node in self._nodes]

    def program(self, graph: LatentGraph | None = None, places: Mapping[int, Tensor] | None = None) -> None:
        """The guide as Pyro runs it; of some rows where their graph and places are given (see ``LatentGraph.of_rows``)."""
        import pyro
        from pyro.distributions import MultivariateNormal, Normal

        from bayestl.inference.svi.landing import Landing

        graph, u = graph or self.graph, {}
        for c in self.graph.learnt:
            mean, root = self.nodes[c].inducing()
            own = MultivariateNormal(mean, scale_tril=root)
            held = MultivariateNormal(mean.detach(), scale_tril=root.detach())
            u[c] = pyro.sample(f"u[{graph.names[c]}]", Landing(own, held))
        z: dict[int, Tensor] = {}
        with pyro.poutine.scale(scale=graph.local_scale):
            for c in graph.learnt:
                node = self.nodes[c]
                a, b, s = (v if places is None else v[places[c]] for v in (node.a, node.b, node.log_s.exp()))
                mean, _ = graph.conditional(c, z, u)
                with pyro.plate(f"rows[{graph.names[c]}]", len(graph.rows[c])):
                    own = Normal(a * mean + b, s)
                    held = Normal(a.detach() * mean + b.detach(), s.detach())
                    z[c] = pyro.sample(f"z[{graph.names[c]}]", Landing(own, held))

    def functions(self, n: int, seed: int) -> Iterator[GraphDraws]:
        """See :class:`~bayestl.models.latent.ancestral.GraphPosterior`: all draws share the hyperparameters."""
        yield GraphDraws(self.graph, self._inducing(n, torch.Generator().manual_seed(seed)))

    def draws(self, n: int, seed: int) -> Iterator[GraphDraws]:
        """See :class:`~bayestl.models.latent.ancestral.GraphPosterior`."""
        graph, generator = self.graph, torch.Generator().manual_seed(seed)
        u = self._inducing(n, generator)
        z: dict[int, Tensor] = {}
        with torch.no_grad():
            for c in graph.learnt:
                node = self.nodes[c]
                mean, _ = graph.nodes[c].conditional_in_blocks(graph.x[graph.rows[c]], graph.above(c, z), u[c])
                noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
                z[c] = node.a * mean + node.b + node.log_s.exp() * noise
        yield GraphDraws(graph, u, z)

    def _inducing(self, n: int, generator: torch.Generator) -> dict[int, Tensor]:
        """Draws (n, 1, m) of the inducing values of each function."""
        out = {}
        with torch.no_grad():
            for c in self.graph.learnt:
                centre, root = self.nodes[c].inducing()
                out[c] = centre + torch.randn(n, 1, len(centre), generator=generator, dtype=centre.dtype) @ root.T
        return out


SETTLED = 100
"""The last steps by which starts are compared."""
WEIGHTED = 500
"""Draws from the guide whose importance weights are taken."""


def approximate(
    starts: Sequence[Guide], max_steps: int, batch_size: int | None, seed: int, verbose: bool
) -> tuple[Guide, SVIReport]:
    """The best of several guides with the hyperparameters of its graph; then that guide alone, in smaller steps.

    Parameters
    ----------
    starts : sequence of Guide
        Changed; their graphs too.
    max_steps : int
        Of either stage.
    batch_size : int, optional
        Rows of a step; default all.
    seed : int
    verbose : bool
    """
    firsts = [
        _climb(g, [*g.graph.parameters(), *g.parameters()], 0.03, max_steps, batch_size, seed, verbose) for g in starts
    ]
    best = int(np.argmax([r.elbo[-SETTLED:].mean() for r in firsts]))
    guide, first = starts[best], firsts[best]
    graph = guide.graph
    graph.requires_grad_(False)
    report = first.then(_climb(guide, list(guide.parameters()), 0.003, max_steps, batch_size, seed, verbose))
    guide.requires_grad_(False)
    blocks = row_blocks(WEIGHTED, len(graph.x) * max(len(node.inducing) for node in graph.nodes))
    weights = [
        log_weights(graph.model, guide.program, len(range(WEIGHTED)[block]), seed + block.start) for block in blocks
    ]
    report.pareto_k = pareto_k(np.concatenate(weights))
    return guide, report


def _climb(
    guide: Guide,
    parameters: Sequence[Tensor],
    learning_rate: float,
    max_steps: int,
    batch_size: int | None,
    seed: int,
    verbose: bool,
) -> SVIReport:
    graph = guide.graph
    model: Callable[[], None] = graph.model
    program: Callable[[], None] = guide.program
    if batch_size is not None and batch_size < len(graph.x):
        batches = Minibatches(guide, batch_size, seed)
        model, program = batches.model, batches.program
    with progress("LatentVariableGP", total=max_steps, verbose=verbose) as update:
        return maximise_elbo(
            model,
            program,
            parameters,
            scale=graph.n_labels,
            steps=max_steps,
            learning_rate=learning_rate,
            seed=seed,
            callback=lambda i, value: update(completed=i, description=f"LatentVariableGP: bound per label {value:.3f}"),
        )
