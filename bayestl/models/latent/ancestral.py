"""Latent values down a graph of tasks, draw by draw: of new rows, and of the training rows that no label informs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bayestl.diagnostics.draws import RowDraws, Variable, chains_of_independent, hyperparameters, stack_draws
from bayestl.inference.sampled import SampledLatent
from bayestl.likelihoods import Gaussian, LabelBlock, Setting
from bayestl.models.latent.node import MIN_VARIANCE
from bayestl.models.latent.prior import LatentGraph, PartData
from bayestl.table.table import Table
from bayestl.table.task import TaskPart

PARTICLES = 8
"""Draws of a new row's latent values for each draw of the functions, where known labels weigh them."""
MOST_NUMBERS = 20_000_000
"""In an array of those; beyond, there are fewer."""


@dataclass
class GraphDraws:
    """S draws from a posterior that share their hyperparameters, which are those of ``graph``."""

    graph: LatentGraph
    u: dict[int, Tensor]
    """Inducing values (S, 1, m) of each function that labels inform."""
    z: dict[int, Tensor] = field(default_factory=dict)
    """Latent values (S, n_c) of its rows, where they were asked for."""

    def __len__(self) -> int:
        return len(next(iter(self.u.values())))

    def repeated(self, k: int) -> GraphDraws:
        """Each draw ``k`` times in a row."""
        u, z = ({c: v.repeat_interleave(k, dim=0) for c, v in values.items()} for values in (self.u, self.z))
        return GraphDraws(self.graph, u, z)


class GraphPosterior(Protocol):
    """The posterior of a graph of tasks, by draws.  A graph is used before the next one is asked for."""

    @property
    def graph(self) -> LatentGraph:
        """What it is the posterior of."""

    def functions(self, n: int, seed: int) -> Iterator[GraphDraws]:
        """``n`` draws (at most) of the functions, in lots that share hyperparameters."""

    def draws(self, n: int, seed: int) -> Iterator[GraphDraws]:
        """The same, with the latent values of the rows that labels inform."""


def complete(drawn: GraphDraws, generator: torch.Generator) -> dict[int, Tensor]:
    """Latent values (S, rows) of all training rows.

    Rows without information follow from the functions alone, functions without a label from their prior.
    """
    graph, n = drawn.graph, len(drawn)
    z: dict[int, Tensor] = {}
    with torch.no_grad():
        for c in graph.order:
            node, rows = graph.nodes[c], graph.rows[c]
            noise = torch.randn(n, len(graph.x), generator=generator, dtype=torch.float64)
            if len(rows) == 0:
                mean, variance, _ = node.prior_conditional(graph.x, z, n, _seed(generator))
                z[c] = mean + variance.sqrt() * noise
                continue
            z[c] = noise
            others = torch.ones(len(graph.x), dtype=torch.bool)
            others[rows] = False
            if others.any():
                above = {p: z[p][:, others] for p in node.parents}
                mean, variance = node.conditional_in_blocks(graph.x[others], above, drawn.u[c])
                z[c][:, others] = mean + variance.sqrt() * noise[:, others]
            z[c][:, rows] = drawn.z[c]
    return z


def latent_draws(posterior: GraphPosterior, n: int, seed: int) -> np.ndarray:
    """Draws (n, rows, C) of the training rows' latent values."""
    generator = torch.Generator().manual_seed(seed)
    lots = [complete(drawn, generator) for drawn in posterior.draws(n, seed)]
    each = [torch.stack([z[c] for c in range(len(posterior.graph.names))], dim=-1) for z in lots]
    return torch.cat(each).numpy()


def graph_at_rows(posterior: GraphPosterior, table: Table, n: int, seed: int) -> RowDraws:
    """``n`` draws (at most) of hyperparameters and of the latent values at the rows of a table."""
    generator = torch.Generator().manual_seed(seed)
    variables: list[dict[str, Variable]] = []
    latent, lots = [], 0
    noise: dict[TaskPart, list[np.ndarray]] = {p: [] for p in table.parts}
    further: dict[TaskPart, list[np.ndarray]] = {p: [] for p in table.parts}
    for drawn in posterior.draws(n, seed):
        graph, lots = drawn.graph, lots + 1
        z = complete(drawn, generator)
        latent.append(torch.stack([z[c] for c in range(len(z))], dim=-1).numpy())
        own: dict[str, Variable] = {}
        for c in graph.learnt:
            inputs = [*table.features, *(graph.names[p] for p in graph.nodes[c].parents)]
            own |= hyperparameters(graph.nodes[c], inputs, table.features, f"{graph.names[c]}.")
        variables += [own] * len(drawn)
        for j, part in enumerate(table.parts):
            noise[part].append(np.full(len(drawn), float(graph.noise(part).detach())))
            further[part].append(np.tile(graph.further(j).detach().numpy(), (len(drawn), 1)))
    settings = {p: Setting(np.concatenate(noise[p]), np.concatenate(further[p])) for p in table.parts}
    values = np.concatenate(latent)
    if lots > 1:
        return RowDraws(stack_draws(variables), values, settings)
    return RowDraws({}, values, settings, n_chains=chains_of_independent(len(values)), fixed=variables[0])


def prior_of_graph(graph: LatentGraph, table: Table, seed: int) -> RowDraws:
    """One draw from the prior of a graph (whose hyperparameters it sets) at the rows of its table, no inducing values."""
    graph.draw_hyperparameters(seed)
    generator = torch.Generator().manual_seed(_other(seed))  # not the numbers that the hyperparameters were drawn with
    z: dict[int, Tensor] = {}
    variables: dict[str, Variable] = {}
    with torch.no_grad():
        for c in graph.order:
            node = graph.nodes[c]
            e = torch.randn(2, len(graph.x), generator=generator, dtype=torch.float64)
            root = torch.linalg.cholesky(node.unit_covariance(node.inputs(graph.x, z)))
            z[c] = node.linear(z) + node.raw_amplitude.exp() * (root @ e[0]) + node.raw_omega.exp() * e[1]
            inputs = [*table.features, *(graph.names[p] for p in node.parents)]
            variables |= hyperparameters(node, inputs, table.features, f"{graph.names[c]}.")
        settings = {
            part: Setting(graph.noise(part).reshape(1).numpy(), graph.further(j).numpy()[None])
            for j, part in enumerate(table.parts)
        }
    values = torch.stack([z[c] for c in range(len(z))], dim=-1)[None].numpy()
    return RowDraws(variables, values, settings)


@dataclass
class _Block:
    """Latent values (S, n, C) of new rows in draws that share hyperparameters, and what known labels make of them."""

    means: Tensor
    variances: Tensor
    values: Tensor
    log_weights: Tensor
    """(S, n)"""
    noise: dict[TaskPart, Tensor]
    further: list[np.ndarray]


class AncestralLatent(SampledLatent):
    """Latent values of new rows by ancestral draws, conditioned row by row on their known labels.

    In each of S draws the functions are one draw from the posterior; down the graph every latent value has a Gaussian
    conditional given the draw and its parents, which is kept (for smooth marginals) and drawn from (for the children).
    Known labels weigh the draws, of which there are :data:`PARTICLES` a function then, and each row is resampled by its
    weights.  Values that were weighed are known by their draws alone: around each a narrow Gaussian, all together with the
    moments of the draws (Liu, West 2001).  The labels of a new row inform that row only: they do not change the functions.
    """

    def __init__(
        self, posterior: GraphPosterior, x: Tensor, observed: Sequence[PartData] | None, n_draws: int, seed: int
    ) -> None:
        known = {d.part: d for d in observed or () if d.present.any()}
        generator = torch.Generator().manual_seed(seed)
        numbers = n_draws * len(x) * len(posterior.graph.names)
        k = min(PARTICLES, max(1, MOST_NUMBERS // numbers)) if known else 1
        with torch.no_grad():
            lots = [_descend(drawn.repeated(k), x, known, generator) for drawn in posterior.functions(n_draws, seed)]
            means, variances, values = (
                torch.cat([getattr(lot, name) for lot in lots]) for name in ("means", "variances", "values")
            )
            if known:
                log_weights = torch.cat([lot.log_weights for lot in lots])
                chosen = _resample(log_weights, k, generator)
                means, variances, values = (
                    torch.take_along_dim(array, chosen[:, :, None], dim=0) for array in (means, variances, values)
                )
                weighed = _weighed(posterior.graph, known)
                width = (4 / (3 * len(values))) ** 0.4  # squared, Silverman's rule
                shrunk = values.mean(dim=0) + math.sqrt(1 - width) * (values - values.mean(dim=0))
                means = torch.where(weighed, shrunk, means)
                variances = torch.where(weighed, (width * values.var(dim=0)).clamp_min(MIN_VARIANCE), variances)
        settings = {
            d.part: Setting(
                torch.cat([lot.noise[d.part] for lot in lots]).numpy()[::k],
                np.concatenate([lot.further[j] for lot in lots])[::k],
            )
            for j, d in enumerate(posterior.graph.data)
        }
        super().__init__(means.numpy(), variances.numpy(), values.numpy(), settings)


def _weighed(graph: LatentGraph, known: Mapping[TaskPart, PartData]) -> Tensor:
    """Where (n, C) known labels bear on a latent value by the weights of its draws.

    Those of its children and of what follows them, and its own where they are not Gaussian.
    """
    home = {c: d.part for d in graph.data for c in d.part.channels}
    n = len(next(iter(known.values())).present)
    out = torch.zeros(n, len(graph.names), dtype=torch.bool)
    below = torch.zeros_like(out)  # a label of its own, or further down
    for c in reversed(graph.order):
        if (data := known.get(home[c])) is not None:
            below[:, c] |= data.present
            if not isinstance(home[c].likelihood, Gaussian):
                out[:, c] |= data.present
        for p in graph.nodes[c].parents:
            below[:, p] |= below[:, c]
            out[:, p] |= below[:, c]
    return out


def _resample(log_weights: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Of (S k, n) draws those (S, n) that stand for them with equal weights, in their order.

    Systematic (Kitagawa 1996), with less noise than drawing each alone: where all weights are alike, every k-th draw.
    """
    size = len(log_weights) // k
    total = torch.softmax(log_weights, dim=0).cumsum(dim=0)
    start = torch.rand(1, log_weights.shape[1], generator=generator, dtype=total.dtype)
    at = (torch.arange(size, dtype=total.dtype)[:, None] + start) / size
    chosen = torch.searchsorted(total.T.contiguous(), at.T.contiguous()).T
    return chosen.clamp_max(len(log_weights) - 1)


def _descend(drawn: GraphDraws, x: Tensor, known: Mapping[TaskPart, PartData], generator: torch.Generator) -> _Block:
    """New rows ``x`` (n, d), parents first."""
    graph, n_draws, n = drawn.graph, len(drawn), len(x)
    home = {c: (j, d.part) for j, d in enumerate(graph.data) for c in d.part.channels}
    means, variances, values = (torch.empty(n_draws, n, len(graph.names), dtype=torch.float64) for _ in range(3))
    log_weights = torch.zeros(n_draws, n, dtype=torch.float64)
    noise = {d.part: graph.noise(d.part).expand(n_draws).clone() for d in graph.data}
    z: dict[int, Tensor] = {}
    for c in graph.order:
        node = graph.nodes[c]
        position, part = home[c]
        if c in drawn.u:
            mean, variance = node.conditional_in_blocks(x, z, drawn.u[c])
        else:
            mean, variance, noise[part] = node.prior_conditional(x, z, n_draws, _seed(generator))
        data = known.get(part)
        if data is not None and isinstance(part.likelihood, Gaussian):
            there = data.present
            total = variance[:, there] + noise[part][:, None]
            residual = data.block.y[there] - mean[:, there]
            log_weights[:, there] += -0.5 * (total.log() + residual**2 / total)
            gain = variance[:, there] / total
            mean[:, there] += gain * residual
            variance[:, there] *= 1 - gain
        z[c] = mean + variance.sqrt() * torch.randn(n_draws, n, generator=generator, dtype=torch.float64)
        means[:, :, c], variances[:, :, c], values[:, :, c] = mean, variance, z[c]
        if data is not None and not isinstance(part.likelihood, Gaussian) and c == part.channels[-1]:
            there = data.present
            f = torch.stack([z[k][:, there] for k in part.channels], dim=-1)
            block = LabelBlock(*(v[there] for v in data.block))
            log_weights[:, there] += part.likelihood.log_density(block, f, graph.noise(part), graph.further(position))
    further = [np.tile(graph.further(j).numpy(), (n_draws, 1)) for j in range(len(graph.data))]
    return _Block(means, variances, values, log_weights, noise, further)


def _other(seed: int) -> int:
    """A seed whose numbers have nothing to do with those of ``seed``."""
    return int(np.random.default_rng([1, seed]).integers(1 << 62))


def _seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**31, (1,), generator=generator))
