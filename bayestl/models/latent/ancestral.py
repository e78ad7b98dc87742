"""Ancestral draws of latent values, parents before children: at new rows, and at training rows that no label informs.

Both posteriors of a graph (``by_svi.py``, ``by_chains.py``) are used through :class:`GraphPosterior`, by draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from bayestl.device import tensor, to_numpy
from bayestl.diagnostics.draws import RowDraws, Variable, chains_of_independent, hyperparameters, stack_draws
from bayestl.inference.sampled import SampledLatent, systematic
from bayestl.likelihoods import Gaussian, LabelBlock, Setting
from bayestl.models.latent.node import MIN_VARIANCE, row_blocks
from bayestl.models.latent.prior import LatentGraph, PartData
from bayestl.streams import RowStreams, spawn, torch_generator, torch_normal
from bayestl.table.table import Table
from bayestl.table.task import TaskPart

PARTICLES = 8
"""Draws of a new row's latent values per draw of the functions, where known labels give them importance weights."""
MOST_NUMBERS = 20_000_000
"""Largest size of an array of those draws; more rows are drawn in blocks."""


@dataclass
class GraphDraws:
    """A batch of S posterior draws with the same hyperparameters, which are those of ``graph``."""

    graph: LatentGraph
    u: dict[int, Tensor]
    """Inducing values (S, 1, m) of each function that labels inform."""
    z: dict[int, Tensor] = field(default_factory=dict)
    """Latent values (S, n_c) of each function at the rows that labels inform, where requested."""

    def __len__(self) -> int:
        return len(next(iter(self.u.values())))

    def repeated(self, k: int) -> GraphDraws:
        """The batch with each draw repeated ``k`` times, one after another."""
        u, z = ({c: v.repeat_interleave(k, dim=0) for c, v in values.items()} for values in (self.u, self.z))
        return GraphDraws(self.graph, u, z)


class GraphPosterior(Protocol):
    """The posterior of a graph of tasks, by batches of draws; a batch must be used before the next one is requested."""

    @property
    def graph(self) -> LatentGraph:
        """The graph of tasks."""

    def functions(self, n: int, seed: int) -> Iterator[GraphDraws]:
        """At most ``n`` draws of the functions, in batches that share hyperparameters."""

    def draws(self, n: int, seed: int) -> Iterator[GraphDraws]:
        """At most ``n`` draws of the functions and of the latent values at informed rows, in such batches."""


def complete(drawn: GraphDraws, generator: torch.Generator) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """Latent values (S, n) of each function at all training rows, and the noise variance (S,) of its labels.

    Rows that no label informs are drawn from the functions, functions without a label from their prior, as their noise.
    """
    graph, n = drawn.graph, len(drawn)
    z: dict[int, Tensor] = {}
    noises = {c: graph.noise(d.part).detach().expand(n).clone() for d in graph.data for c in d.part.channels}
    with torch.no_grad():
        for c in graph.order:
            node, rows = graph.nodes[c], graph.rows[c]
            noise = torch_normal((n, len(graph.x)), generator, graph.x)
            if len(rows) == 0:
                mean, variance, noises[c] = node.prior_conditional(graph.x, z, n, generator)
                z[c] = mean + variance.sqrt() * noise
                continue
            z[c] = noise
            uninformed = graph.x.new_ones(len(graph.x), dtype=torch.bool)
            uninformed[rows] = False
            if uninformed.any():
                parent_values = {p: z[p][:, uninformed] for p in node.parents}
                mean, variance = node.conditional_in_blocks(graph.x[uninformed], parent_values, drawn.u[c])
                z[c][:, uninformed] = mean + variance.sqrt() * noise[:, uninformed]
            z[c][:, rows] = drawn.z[c]
    return z, noises


def latent_draws(posterior: GraphPosterior, n: int, seed: int) -> np.ndarray:
    """Draws (at most n, rows, C) of the training rows' latent values."""
    generator = torch_generator(seed, "uninformed rows")
    batches = [complete(drawn, generator)[0] for drawn in posterior.draws(n, spawn(seed, "draws"))]
    stacked = [torch.stack([z[c] for c in range(len(posterior.graph.names))], dim=-1) for z in batches]
    return to_numpy(torch.cat(stacked))


def graph_at_rows(posterior: GraphPosterior, table: Table, n: int, seed: int) -> RowDraws:
    """At most ``n`` draws of the hyperparameters and of the latent values at the rows of the training table."""
    generator = torch_generator(seed, "uninformed rows")
    variables: list[dict[str, Variable]] = []
    latent, n_batches = [], 0
    noise: dict[TaskPart, list[np.ndarray]] = {p: [] for p in table.parts}
    further: dict[TaskPart, list[np.ndarray]] = {p: [] for p in table.parts}
    for drawn in posterior.draws(n, spawn(seed, "draws")):
        graph, n_batches = drawn.graph, n_batches + 1
        z, noises = complete(drawn, generator)
        latent.append(to_numpy(torch.stack([z[c] for c in range(len(z))], dim=-1)))
        shared: dict[str, Variable] = {}
        for c in graph.learnt:
            inputs = [*table.features, *(graph.names[p] for p in graph.nodes[c].parents)]
            shared |= hyperparameters(graph.nodes[c], inputs, table.features, f"{graph.names[c]}.")
        variables += [shared] * len(drawn)
        for j, part in enumerate(table.parts):
            noise[part].append(to_numpy(noises[part.channels[0]]))
            further[part].append(np.tile(to_numpy(graph.further(j)), (len(drawn), 1)))
    settings = {p: Setting(np.concatenate(noise[p]), np.concatenate(further[p])) for p in table.parts}
    values = np.concatenate(latent)
    if n_batches > 1:
        return RowDraws(stack_draws(variables), values, settings)
    return RowDraws({}, values, settings, n_chains=chains_of_independent(len(values)), fixed=variables[0])


def prior_of_graph(graph: LatentGraph, table: Table, seed: int) -> RowDraws:
    """One prior draw at the rows of a graph's table, without inducing values; sets the graph's hyperparameters."""
    graph.draw_hyperparameters(seed)
    generator = torch_generator(seed, "latent values")
    z: dict[int, Tensor] = {}
    variables: dict[str, Variable] = {}
    with torch.no_grad():
        for c in graph.order:
            node = graph.nodes[c]
            e = torch_normal((2, len(graph.x)), generator, graph.x)
            root = torch.linalg.cholesky(node.unit_covariance(node.inputs(graph.x, z)))
            z[c] = node.linear(z) + node.raw_amplitude.exp() * (root @ e[0]) + node.raw_omega.exp() * e[1]
            inputs = [*table.features, *(graph.names[p] for p in node.parents)]
            variables |= hyperparameters(node, inputs, table.features, f"{graph.names[c]}.")
        settings = {
            part: Setting(to_numpy(graph.noise(part).reshape(1)), to_numpy(graph.further(j))[None])
            for j, part in enumerate(table.parts)
        }
    values = to_numpy(torch.stack([z[c] for c in range(len(z))], dim=-1)[None])
    return RowDraws(variables, values, settings)


@dataclass
class _Block:
    """Latent values (S, n, C) of new rows in one batch of draws, with importance weights from the known labels."""

    means: Tensor
    variances: Tensor
    values: Tensor
    log_weights: Tensor
    """Log importance weights (S, n)."""
    noise: dict[TaskPart, Tensor]
    further: list[np.ndarray]


class AncestralLatent(SampledLatent):
    """Latent values of new rows by ancestral draws, conditioned row by row on their known labels.

    In each of S draws the functions are one draw from the posterior; down the graph every latent value has a Gaussian
    conditional given the draw and its parents, which is kept (for smooth marginals) and drawn from (for the children).
    Known labels give importance weights to the draws (then :data:`PARTICLES` per draw of the functions), and each row
    is resampled by its weights.  Resampled values are smoothed by a narrow Gaussian around each, which keeps the
    moments of the draws (Liu, West 2001).  The labels of a new row inform that row only: they do not change the
    functions.  A row of the training table has the latent values that were inferred with the functions.

    Parameters
    ----------
    posterior : GraphPosterior
        The functions and the training rows' latent values.
    x : Tensor, shape (n, d)
        Scaled features.
    observed : sequence of PartData, optional
        Labels of the rows that the posterior has not learnt.
    n_draws : int
        Number of draws S.
    seed : int
        Seed of the draws.
    fitted : ndarray, shape (n,), optional
        Positions of the rows in the training table, -1 for other rows; by default all are others.
    twin : ndarray, shape (n,), optional
        How many rows with the same features come before each; by default they are counted among these rows.
    """

    def __init__(
        self,
        posterior: GraphPosterior,
        x: Tensor,
        observed: Sequence[PartData] | None,
        n_draws: int,
        seed: int,
        fitted: np.ndarray | None = None,
        twin: np.ndarray | None = None,
    ) -> None:
        rows = tensor(np.full(len(x), -1) if fitted is None else fitted, x.device)
        streams = RowStreams(spawn(seed, "latent values"), to_numpy(x), fitted, twin)
        known = [d for d in observed or () if d.present.any()]
        is_known = np.any([np.zeros(len(x), dtype=bool), *(to_numpy(d.present) for d in known)], axis=0)
        pieces: list[tuple[np.ndarray, _Piece]] = []
        for of_kind, k in ((np.flatnonzero(is_known), PARTICLES), (np.flatnonzero(~is_known), 1)):
            for block in row_blocks(len(of_kind), k * n_draws * len(posterior.graph.names), MOST_NUMBERS):
                at = of_kind[block]
                there = tensor(at, x.device)
                labels = {d.part: d.at(there) for d in known if k > 1}
                piece = _piece(posterior, x[there], labels, k, n_draws, rows[there], streams.at(at), seed)
                pieces.append((at, piece))
        place = np.argsort(np.concatenate([at for at, _ in pieces]))
        means, variances, values = (np.concatenate([p[i] for _, p in pieces], axis=1)[:, place] for i in range(3))
        settings = pieces[0][1].settings
        for part in settings if known else ():
            of_part = [(len(at), p.settings[part]) for at, p in pieces]
            noise = [np.broadcast_to(s.noise_of_rows, (len(means), n)) for n, s in of_part]
            further = [np.broadcast_to(s.further_of_rows, (len(means), n, s.further.shape[-1])) for n, s in of_part]
            settings[part] = Setting(*(np.concatenate(v, axis=1)[:, place] for v in (noise, further)))  # type: ignore[arg-type]
        super().__init__(means, variances, values, settings)


class _Piece(NamedTuple):
    """Latent values (S, n, C) of some rows, and the settings of their parts."""

    means: np.ndarray
    variances: np.ndarray
    values: np.ndarray
    settings: dict[TaskPart, Setting]


def _piece(
    posterior: GraphPosterior,
    x: Tensor,
    known: Mapping[TaskPart, PartData],
    k: int,
    n_draws: int,
    rows: Tensor,
    streams: RowStreams,
    seed: int,
) -> _Piece:
    """The latent values of rows, of which either all have a known label or none, with ``k`` particles for each draw."""
    held = _held(posterior.graph, rows)
    source = posterior.draws if bool(held.any()) else posterior.functions
    generator = torch_generator(seed, "functions without labels")
    with torch.no_grad():
        batches = source(n_draws, spawn(seed, "functions"))
        blocks = [_descend(drawn.repeated(k), x, known, rows, streams, generator) for drawn in batches]
        means, variances, values = (
            torch.cat([getattr(b, name) for b in blocks]) for name in ("means", "variances", "values")
        )
        if known:
            log_weights = torch.cat([b.log_weights for b in blocks])
            chosen = systematic(log_weights, len(log_weights) // k, tensor(streams.uniform(1), x.device))
            means, variances, values = (
                torch.take_along_dim(array, chosen[:, :, None], dim=0) for array in (means, variances, values)
            )
            held |= _is_weighted(posterior.graph, known)
        if bool(held.any()):
            width = (4 / (3 * len(values))) ** 0.4  # squared, Silverman's rule
            shrunk = values.mean(dim=0) + math.sqrt(1 - width) * (values - values.mean(dim=0))
            means = torch.where(held, shrunk, means)
            variances = torch.where(held, (width * values.var(dim=0)).clamp_min(MIN_VARIANCE), variances)
    # a row has the noise of the very draws that it was resampled from
    drawn = slice(None) if not known else to_numpy(chosen)
    settings = {
        d.part: Setting(
            to_numpy(torch.cat([b.noise[d.part] for b in blocks]))[drawn],
            np.concatenate([b.further[j] for b in blocks])[drawn],
        )
        for j, d in enumerate(posterior.graph.data)
    }
    return _Piece(to_numpy(means), to_numpy(variances), to_numpy(values), settings)


def _held(graph: LatentGraph, rows: Tensor) -> Tensor:
    """Mask (n, C) of the latent values that were inferred at training rows; ``rows`` (n,) as in AncestralLatent."""
    held = rows.new_zeros(len(rows), len(graph.names), dtype=torch.bool)
    for c in graph.learnt:
        held[:, c] = torch.isin(rows, graph.rows[c])
    return held


def _is_weighted(graph: LatentGraph, known: Mapping[TaskPart, PartData]) -> Tensor:
    """Mask (n, C) of the latent values that known labels inform through importance weights.

    These are the labels of descendants in the graph, and the task's own labels where they are not Gaussian.
    """
    part_of = {c: d.part for d in graph.data for c in d.part.channels}
    present = next(iter(known.values())).present
    weighted = present.new_zeros(len(present), len(graph.names))
    below = torch.zeros_like(weighted)  # whether the task or one of its descendants has a known label
    for c in reversed(graph.order):
        if (data := known.get(part_of[c])) is not None:
            below[:, c] |= data.present
            if not isinstance(part_of[c].likelihood, Gaussian):
                weighted[:, c] |= data.present
        for p in graph.nodes[c].parents:
            below[:, p] |= below[:, c]
            weighted[:, p] |= below[:, c]
    return weighted


def _descend(
    drawn: GraphDraws,
    x: Tensor,
    known: Mapping[TaskPart, PartData],
    rows: Tensor,
    streams: RowStreams,
    generator: torch.Generator,
) -> _Block:
    """Draw the latent values of rows ``x`` (n, d), parents before children; training ``rows`` (n,) have those drawn.

    ``streams`` are the random numbers of the rows, ``generator`` those of functions without labels.
    """
    graph, n_draws, n = drawn.graph, len(drawn), len(x)
    part_of = {c: (j, d.part) for j, d in enumerate(graph.data) for c in d.part.channels}
    means, variances, values = (x.new_empty(n_draws, n, len(graph.names)) for _ in range(3))
    log_weights = x.new_zeros(n_draws, n)
    noise = {d.part: graph.noise(d.part).expand(n_draws).clone() for d in graph.data}
    z: dict[int, Tensor] = {}
    for c in graph.order:
        node, (position, part) = graph.nodes[c], part_of[c]
        if c in drawn.u:
            mean, variance = node.conditional_in_blocks(x, z, drawn.u[c])
        else:
            mean, variance, noise[part] = node.prior_conditional(x, z, n_draws, generator)
        if c in drawn.z:
            here = torch.isin(rows, graph.rows[c])
            mean[:, here] = drawn.z[c][:, torch.searchsorted(graph.rows[c], rows[here])]
            variance[:, here] = MIN_VARIANCE
        data = known.get(part)
        if data is not None and isinstance(part.likelihood, Gaussian):
            is_known = data.present
            total = variance[:, is_known] + noise[part][:, None] + data.block.se2[is_known]
            residual = data.block.y[is_known] - mean[:, is_known]
            log_weights[:, is_known] += -0.5 * (total.log() + residual**2 / total)
            gain = variance[:, is_known] / total
            mean[:, is_known] += gain * residual
            variance[:, is_known] *= 1 - gain
        z[c] = mean + variance.sqrt() * tensor(streams.normal(n_draws), x.device)
        means[:, :, c], variances[:, :, c], values[:, :, c] = mean, variance, z[c]
        if data is not None and not isinstance(part.likelihood, Gaussian) and c == part.channels[-1]:
            is_known, further_of_part = data.present, graph.further(position)
            f = torch.stack([z[k][:, is_known] for k in part.channels], dim=-1)
            block = LabelBlock(*(v[is_known] for v in data.block))
            log_weights[:, is_known] += part.likelihood.log_density(block, f, graph.noise(part), further_of_part)
    further = [np.tile(to_numpy(graph.further(j)), (n_draws, 1)) for j in range(len(graph.data))]
    return _Block(means, variances, values, log_weights, noise, further)
