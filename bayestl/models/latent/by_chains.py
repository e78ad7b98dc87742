"""The posterior of a graph of tasks by Markov chain Monte Carlo, with the functions integrated out (``density.py``)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import numpy as np
from torch import Tensor

from bayestl.device import tensor
from bayestl.inference.chains.hmc import vectorised_chains
from bayestl.inference.gaussian.laplace import covariance_root, inverse_curvature
from bayestl.inference.reports import ChainReport
from bayestl.models.latent.ancestral import GraphDraws
from bayestl.models.latent.density import CollapsedDensity
from bayestl.models.latent.prior import LatentGraph
from bayestl.progress import progress
from bayestl.streams import spawn

CHAINS, WARMUP, STATES_PER_DRAW, MEAN_STEPS = 8, 140, 5, 5
"""Number of chains, warm-up states of each, states per kept draw, and mean number of leapfrog steps per trajectory."""
PATIENCE = 1
"""How often chains that have not converged go on for as many states again."""
KEPT = slice(STATES_PER_DRAW - 1, None, STATES_PER_DRAW)
"""The states that are kept as draws."""


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
        return cls(graph, tensor(points[:, : density.n_hyperparameters].copy(), graph.x.device), u, z)

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
            spawn(seed, "chains"),
            warmup=WARMUP,
            temperatures=(1.0,),
            chains=CHAINS,
            learn=k,
            mean_steps=MEAN_STEPS,
            exchangeable=density.exchangeable(),
            patience=PATIENCE,
            callback=lambda i: update(completed=i),
        )
    report.warn_unless_converged()
    graph.requires_grad_(False)
    return Chain.of(graph, density, points[KEPT], spawn(seed, "behind")), report
