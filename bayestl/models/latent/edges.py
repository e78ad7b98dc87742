"""The learnt edges of a latent graph: how a latent value depends on one of its parents, all other inputs unchanged.

An edge is the partial dependence (Friedman 2001, *Greedy function approximation*) in each draw of the functions and of
the rows' latent values; the spread over draws is its posterior.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from bayestl import streams
from bayestl.device import tensor, to_numpy
from bayestl.diagnostics.summary import channel_labels
from bayestl.models.latent.ancestral import GraphPosterior, complete
from bayestl.streams import spawn, torch_generator
from bayestl.table.table import Table

MOST_ROWS = 200
"""Most rows over which a dependence is averaged; of more, a random subset."""


class Edge(NamedTuple):
    """The dependence of a latent function on a parent in scaled units: ``mean`` (S, G) at parent values ``at`` (G,)."""

    child: int
    parent: int
    at: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    """Standard deviation (S,) of the child's latent values over the rows."""

    @property
    def slope(self) -> np.ndarray:
        """Slope (S,) of the best straight line."""
        centred = self.at - self.at.mean()
        return np.asarray(self.mean @ centred / (centred @ centred))

    @property
    def strength(self) -> np.ndarray:
        """Spread of the dependence over the spread of the child (S,): how much of the child the parent explains."""
        return np.asarray(self.mean.std(axis=1) / (self.spread + 1e-12))

    @property
    def nonlinearity(self) -> np.ndarray:
        """Fraction (S,) of the variance of the dependence that is not on its straight line."""
        centred = self.mean - self.mean.mean(axis=1, keepdims=True)
        line = self.slope[:, None] * (self.at - self.at.mean())
        return np.asarray(((centred - line) ** 2).sum(axis=1) / ((centred**2).sum(axis=1) + 1e-300))


def edges_of(posterior: GraphPosterior, n_draws: int, n_points: int, seed: int) -> list[Edge]:
    """The edges that labels inform, by child, each at ``n_points`` equally likely values of its parent."""
    graph = posterior.graph
    generator = torch_generator(seed, "uninformed rows")
    drawn_rows = streams.generator(seed, "subset of rows").permutation(len(graph.x))[:MOST_ROWS]
    rows = tensor(np.sort(drawn_rows), graph.x.device)
    of_draws = spawn(seed, "draws")
    pairs = [(c, p) for c in graph.learnt for p in graph.nodes[c].parents]
    # the latent values of all draws come first: a dependence is evaluated at quantiles over all draws
    latent = [{c: v[:, rows] for c, v in complete(d, generator)[0].items()} for d in posterior.draws(n_draws, of_draws)]
    share = (torch.arange(n_points, dtype=graph.x.dtype, device=graph.x.device) + 0.5) / n_points
    parent_values = {p: torch.quantile(torch.cat([z[p] for z in latent]).ravel(), share) for _, p in pairs}
    mean: dict[tuple[int, int], list[torch.Tensor]] = {pair: [] for pair in pairs}
    for drawn, z in zip(posterior.draws(n_draws, of_draws), latent, strict=True):
        for c, p in pairs:
            means = []
            for value in parent_values[p]:
                moved = {**z, p: torch.full_like(z[p], float(value))}
                means.append(drawn.graph.nodes[c].conditional(graph.x[rows], moved, drawn.u[c])[0].mean(dim=-1))
            mean[c, p].append(torch.stack(means, dim=-1))
    edges = []
    for c, p in pairs:
        spread = torch.cat([z[c].std(dim=-1) for z in latent])
        edges.append(Edge(c, p, *map(to_numpy, (parent_values[p], torch.cat(mean[c, p]), spread))))
    return edges


Units = Sequence[tuple[float, float]]
"""The location and scale of each latent function in label units."""


def edge_table(edges: Sequence[Edge], names: Sequence[str], units: Units, tail: float) -> pd.DataFrame:
    """The table of ``LatentVariableGP.edges``: slope with its interval, strength and nonlinearity of each edge."""
    rows = {}
    for edge in edges:
        slope = edge.slope * units[edge.child][1] / units[edge.parent][1]
        rows[names[edge.child], names[edge.parent]] = {
            "slope": slope.mean(),
            "std": slope.std(),
            "lower": np.quantile(slope, tail),
            "upper": np.quantile(slope, 1 - tail),
            "strength": edge.strength.mean(),
            "strength_std": edge.strength.std(),
            "nonlinearity": edge.nonlinearity.mean(),
        }
    columns = ["slope", "std", "lower", "upper", "strength", "strength_std", "nonlinearity"]
    index = pd.MultiIndex.from_tuples(list(rows), names=["task", "source"])
    return pd.DataFrame(list(rows.values()), index=index, columns=columns)


def curve_table(edges: Sequence[Edge], names: Sequence[str], units: Units, tail: float, table: Table) -> pd.DataFrame:
    """The table of ``LatentVariableGP.edge_curves``: the dependence, one row per value of a parent; names with units in ``attrs``."""
    curves = []
    for edge in edges:
        (location, scale), (parent_location, parent_scale) = units[edge.child], units[edge.parent]
        values = location + scale * edge.mean
        lower, upper = np.quantile(values, [tail, 1 - tail], axis=0)
        curve = {
            "value": parent_location + parent_scale * edge.at,
            "mean": values.mean(axis=0),
            "lower": lower,
            "upper": upper,
        }
        curves.append(pd.DataFrame({"task": names[edge.child], "source": names[edge.parent], **curve}))
    columns = ["task", "source", "value", "mean", "lower", "upper"]
    whole = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=columns)
    whole.attrs["labels"] = channel_labels(table)
    return whole
