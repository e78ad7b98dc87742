"""What a latent graph has learnt of its edges: how a latent value depends on one of its parents, all else as it is.

The partial dependence of Friedman 2001, *Greedy function approximation*, of each draw of the functions and of the rows'
latent values: the spread over draws is its posterior.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from bayestl.models.latent.ancestral import GraphPosterior, complete

MOST_ROWS = 200
"""Rows over which a dependence is averaged; of more a random subset."""


class Edge(NamedTuple):
    """The dependence of a latent function on a parent, scaled units: ``mean`` (S, G) at parent values ``at`` (G,)."""

    child: int
    parent: int
    at: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    """(S,) standard deviation over the rows of the child's own latent values."""

    @property
    def slope(self) -> np.ndarray:
        """Of the best straight line, (S,)."""
        centred = self.at - self.at.mean()
        return np.asarray(self.mean @ centred / (centred @ centred))

    @property
    def strength(self) -> np.ndarray:
        """Spread of the dependence over that of the child, (S,): how much of it the parent moves."""
        return np.asarray(self.mean.std(axis=1) / (self.spread + 1e-12))

    @property
    def nonlinearity(self) -> np.ndarray:
        """Fraction of the variance of the dependence that is not on its straight line, (S,)."""
        centred = self.mean - self.mean.mean(axis=1, keepdims=True)
        line = self.slope[:, None] * (self.at - self.at.mean())
        return np.asarray(((centred - line) ** 2).sum(axis=1) / ((centred**2).sum(axis=1) + 1e-300))


def edges_of(posterior: GraphPosterior, n_draws: int, n_points: int, seed: int) -> list[Edge]:
    """The edges that labels inform, children in their order: each at ``n_points`` equally likely values that its parent takes."""
    graph = posterior.graph
    generator = torch.Generator().manual_seed(seed)
    rows = torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(len(graph.x))[:MOST_ROWS]))
    pairs = [(c, p) for c in graph.learnt for p in graph.nodes[c].parents]
    # all latent values before any dependence, which is asked for at quantiles over all draws
    here = [{c: v[:, rows] for c, v in complete(d, generator).items()} for d in posterior.draws(n_draws, seed)]
    share = (torch.arange(n_points, dtype=graph.x.dtype) + 0.5) / n_points
    at = {p: torch.quantile(torch.cat([z[p] for z in here]).ravel(), share) for _, p in pairs}
    mean: dict[tuple[int, int], list[torch.Tensor]] = {pair: [] for pair in pairs}
    for drawn, z in zip(posterior.draws(n_draws, seed), here, strict=True):
        for c, p in pairs:
            each = []
            for value in at[p]:
                moved = {**z, p: torch.full_like(z[p], float(value))}
                each.append(drawn.graph.nodes[c].conditional(graph.x[rows], moved, drawn.u[c])[0].mean(dim=-1))
            mean[c, p].append(torch.stack(each, dim=-1))
    out = []
    for c, p in pairs:
        spread = torch.cat([z[c].std(dim=-1) for z in here])
        out.append(Edge(c, p, at[p].numpy(), torch.cat(mean[c, p]).numpy(), spread.numpy()))
    return out


Units = Sequence[tuple[float, float]]
"""Location and scale of each latent function."""


def edge_table(edges: Sequence[Edge], names: Sequence[str], units: Units, tail: float) -> pd.DataFrame:
    """Slope, strength and nonlinearity of each edge, with the interval of the slope; see ``LatentVariableGP.edges``."""
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


def curve_table(edges: Sequence[Edge], names: Sequence[str], units: Units, tail: float) -> pd.DataFrame:
    """The dependence itself, a row for each value of a parent; see ``LatentVariableGP.edge_curves``."""
    out = []
    for edge in edges:
        (location, scale), (from_, by) = units[edge.child], units[edge.parent]
        values = location + scale * edge.mean
        lower, upper = np.quantile(values, [tail, 1 - tail], axis=0)
        curve = {"value": from_ + by * edge.at, "mean": values.mean(axis=0), "lower": lower, "upper": upper}
        out.append(pd.DataFrame({"task": names[edge.child], "source": names[edge.parent], **curve}))
    columns = ["task", "source", "value", "mean", "lower", "upper"]
    return pd.concat(out, ignore_index=True) if out else pd.DataFrame(columns=columns)
