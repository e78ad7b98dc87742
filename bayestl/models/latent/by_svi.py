"""The variational posterior of a graph of tasks: a Pyro guide.

``q(u_c)`` is a full Gaussian, and

    q(z_ic | u, z_i,pa) = N(a_ic E[z_ic | u, z_i,pa] + b_ic, s_ic^2)

so the latent values of a row stay correlated with each other and with the functions, and for a Gaussian leaf the guide
contains the exact conditional.  Hyperparameters are point estimates under their priors (:func:`approximate`).
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
from bayestl.streams import spawn, torch_generator, torch_normal


class Minibatches:
    """Model and guide of a graph on a random minibatch of rows; the guide draws the rows, the model uses the same ones.

    Parameters
    ----------
    guide : Guide
        The guide of all rows.
    size : int
        Number of rows per step.
    seed : int
        Seed of the minibatches.
    """

    def __init__(self, guide: Guide, size: int, seed: int) -> None:
        self._guide, self._size = guide, size
        self._generator = torch_generator(seed, "minibatches")
        self._graph = guide.graph

    def program(self, generator: torch.Generator) -> None:
        """Run the guide on the next minibatch."""
        n = len(self._guide.graph.x)
        drawn = torch.randperm(n, generator=self._generator, device=self._generator.device)
        chosen = drawn[: self._size].to(self._guide.graph.x.device)
        self._graph, places = self._guide.graph.of_rows(chosen)
        self._guide.program(generator, self._graph, places)

    def model(self) -> None:
        """Run the model on the guide's minibatch."""
        self._graph.model()


class NodeGuide(torch.nn.Module):
    """The variational distribution of a function's ``m`` inducing values and of its latent values at ``n`` rows."""

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
    """The guide of a whole graph; its parameters are those of the nodes' guides, not the graph's hyperparameters.

    Parameters
    ----------
    graph : LatentGraph
        The prior.
    nodes : mapping of int to NodeGuide
        The guide of each latent function.
    """

    def __init__(self, graph: LatentGraph, nodes: Mapping[int, NodeGuide]) -> None:
        super().__init__()
        self._graph = [graph]  # in a list, so that it is not a submodule
        self._nodes = torch.nn.ModuleList([nodes[c] for c in range(len(graph.names))])

    @classmethod
    def from_state(cls, graph: LatentGraph, state: Mapping[str, Tensor]) -> Guide:
        """The guide from the tensors of its ``state_dict``."""
        with graph.x.device:
            guide = cls(graph, {c: NodeGuide(len(n.inducing), len(graph.rows[c])) for c, n in enumerate(graph.nodes)})
        guide.load_state_dict(dict(state))
        return guide.requires_grad_(False)

    @property
    def graph(self) -> LatentGraph:
        """The graph whose posterior the guide approximates."""
        return self._graph[0]

    @property
    def nodes(self) -> list[NodeGuide]:
        """The guides of the functions, in their order."""
        return [cast(NodeGuide, node) for node in self._nodes]

    def program(
        self, generator: torch.Generator, graph: LatentGraph | None = None, places: Mapping[int, Tensor] | None = None
    ) -> None:
        """Run the guide as a Pyro program, on all rows or on the minibatch of ``LatentGraph.of_rows``.

        All its draws come from ``generator``.
        """
        import pyro
        from pyro.distributions import MultivariateNormal, Normal

        from bayestl.inference.svi.landing import Landing

        graph, u = graph or self.graph, {}
        for c in self.graph.learnt:
            mean, root = self.nodes[c].inducing()
            distribution = MultivariateNormal(mean, scale_tril=root)
            detached = MultivariateNormal(mean.detach(), scale_tril=root.detach())
            u[c] = pyro.sample(f"u[{graph.names[c]}]", Landing(distribution, detached, generator))
        z: dict[int, Tensor] = {}
        with pyro.poutine.scale(scale=graph.local_scale):
            for c in graph.learnt:
                node = self.nodes[c]
                a, b, s = (v if places is None else v[places[c]] for v in (node.a, node.b, node.log_s.exp()))
                mean, _ = graph.conditional(c, z, u)
                with pyro.plate(f"rows[{graph.names[c]}]", len(graph.rows[c])):
                    distribution = Normal(a * mean + b, s)
                    detached = Normal(a.detach() * mean + b.detach(), s.detach())
                    z[c] = pyro.sample(f"z[{graph.names[c]}]", Landing(distribution, detached, generator))

    def functions(self, n: int, seed: int) -> Iterator[GraphDraws]:
        """``n`` draws of the functions in one batch: all draws share the hyperparameters."""
        yield GraphDraws(self.graph, self._inducing(n, torch_generator(seed, "draws")))

    def draws(self, n: int, seed: int) -> Iterator[GraphDraws]:
        """``n`` draws of the functions and of the latent values at the rows that labels inform, in one batch."""
        graph, generator = self.graph, torch_generator(seed, "draws")
        u = self._inducing(n, generator)
        z: dict[int, Tensor] = {}
        with torch.no_grad():
            for c in graph.learnt:
                node = self.nodes[c]
                mean, _ = graph.nodes[c].conditional_in_blocks(graph.x[graph.rows[c]], graph.above(c, z), u[c])
                noise = torch_normal(mean.shape, generator, mean)
                z[c] = node.a * mean + node.b + node.log_s.exp() * noise
        yield GraphDraws(graph, u, z)

    def _inducing(self, n: int, generator: torch.Generator) -> dict[int, Tensor]:
        """Draws (n, 1, m) of the inducing values of each function."""
        u = {}
        with torch.no_grad():
            for c in self.graph.learnt:
                centre, root = self.nodes[c].inducing()
                u[c] = centre + torch_normal((n, 1, len(centre)), generator, centre) @ root.T
        return u


LAST = 100
"""Number of last steps whose mean bound compares the starts."""
WEIGHTED = 500
"""Draws from the guide behind the Pareto k of its importance weights."""


def approximate(
    starts: Sequence[Guide], max_steps: int, batch_size: int | None, seed: int, verbose: bool
) -> tuple[Guide, SVIReport]:
    """Maximise the bound from several starts with their hyperparameters, then over the best guide alone.

    Parameters
    ----------
    starts : sequence of Guide
        First guesses; they and their graphs are changed.
    max_steps : int
        Most steps of each of the two stages.
    batch_size : int, optional
        Number of rows per step; default all.
    seed : int
        Seed of the optimisation.
    verbose : bool
        Whether to show progress on a terminal.
    """
    firsts = [
        _climb(
            g, [*g.graph.parameters(), *g.parameters()], 0.03, max_steps, batch_size, spawn(seed, "climb", k), verbose
        )
        for k, g in enumerate(starts)
    ]
    best = int(np.argmax([r.elbo[-LAST:].mean() for r in firsts]))
    guide, first = starts[best], firsts[best]
    graph = guide.graph
    graph.requires_grad_(False)
    alone = _climb(guide, list(guide.parameters()), 0.003, max_steps, batch_size, spawn(seed, "guide alone"), verbose)
    report = first.then(alone)
    guide.requires_grad_(False)
    blocks = row_blocks(WEIGHTED, len(graph.x) * max(len(node.inducing) for node in graph.nodes))
    weights = [
        log_weights(graph.model, guide.program, len(range(WEIGHTED)[block]), spawn(seed, "weights", block.start))
        for block in blocks
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
    """Maximise the evidence lower bound over ``parameters``, on all rows or on minibatches."""
    graph = guide.graph
    model: Callable[[], None] = graph.model
    program: Callable[[torch.Generator], None] = guide.program
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
