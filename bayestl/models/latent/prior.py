"""The prior of a graph of tasks, as a Pyro model.

    z_ic = m_c + sum_p rho_cp z_ip + g_c(x_i, z_i,pa(c)) + xi_ic,    xi_ic ~ N(0, omega_c^2)
    y_it ~ Likelihood_t(z_i, channels of t),    g_c ~ GP(0, alpha_c^2 k_c) over (x, parents),    p in pa(c)

A task has one latent value per row, a classified task one per class and row (channels).  The functions ``g_c`` have inducing
values ``u_c``, and the rows are independent given those (the fully independent training conditional: Snelson, Ghahramani
2006).  The posterior is found by a variational guide (``by_svi.py``) or by Markov chains (``by_chains.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import gpytorch
import torch
from torch import Tensor

from bayestl.kernels.hyperpriors import HyperPrior, draw_from_priors
from bayestl.likelihoods import LabelBlock
from bayestl.models.latent.node import Node
from bayestl.streams import spawn
from bayestl.table.task import TaskPart


class PartData:
    """The labels of one part on all rows, NaN where there is none; ``present`` says where there is one."""

    def __init__(self, part: TaskPart, y: Tensor, high: Tensor, se2: Tensor) -> None:
        self.part = part
        self.present = ~torch.isnan(y)
        self.block = LabelBlock(y, se2, high)

    def at(self, rows: Tensor) -> PartData:
        """The labels of the rows at the given positions."""
        y, se2, high = (v[rows] for v in self.block)
        return PartData(self.part, y, high, se2)

    def of_rows(self, mask: Tensor) -> PartData:
        """The same labels on the rows of a mask (n,), and none on the other rows."""
        y = torch.where(mask, self.block.y, torch.nan)
        return PartData(self.part, y, self.block.high, self.block.se2)


def informed_rows(parents: Mapping[int, Sequence[int]], data: Sequence[PartData]) -> dict[int, Tensor]:
    """Rows (n_c,) of each latent function at which it, or a function below it in the graph, has a label.

    At the other rows the latent value follows from the function alone.  ``parents`` has the parents of each latent function,
    parents first.
    """
    data_of = {c: d for d in data for c in d.part.channels}
    needed = {c: data_of[c].present.clone() for c in parents}
    for c in reversed(list(parents)):
        for k in data_of[c].part.channels:  # the latent functions of one label go together
            needed[c] |= needed[k]
        for p in parents[c]:
            for k in data_of[p].part.channels:
                needed[k] |= needed[c]
    return {c: torch.nonzero(mask).ravel() for c, mask in needed.items()}


Moments = tuple[Tensor, Tensor]
"""Mean and variance of latent values."""


class SharedMoments:
    """Conditional moments of latent functions that the guide has computed and the model needs once more.

    Pyro replays the model at the guide's draws, so both condition on the same tensors.  Moments are given out once, and only
    for the very tensors (the same objects) that they were computed from: run without the guide, the model computes its own.
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[tuple[Tensor, ...], Moments]] = {}

    def take(self, c: int, given: tuple[Tensor, ...]) -> Moments | None:
        """The moments of function ``c`` given these tensors, None if they were not computed; they are not kept."""
        known, moments = self._entries.pop(c, ((), None))
        is_same = len(known) == len(given) and all(a is b for a, b in zip(known, given, strict=True))
        return moments if is_same else None

    def put(self, c: int, given: tuple[Tensor, ...], moments: Moments) -> None:
        """Keep the moments of function ``c`` given these tensors."""
        self._entries[c] = given, moments


class LatentGraph(torch.nn.Module):
    """The Pyro model of a graph of latent functions on one table.

    Parameters
    ----------
    names : sequence of str
        Names of the latent functions.
    nodes : mapping of int to Node
        Latent functions, parents first.
    data : sequence of PartData
        The labels, parts in the order of their latent functions.
    x : Tensor, shape (n, d)
        Scaled features.
    rows : mapping of int to Tensor
        Rows at which each function has latent values (:func:`informed_rows`).
    further : mapping of str to Module, optional
        Further hyperparameters of likelihoods, by the position of their part; new ones by default.
    local_scale : float
        Weight of a row in the evidence lower bound: more than one if the rows are a sample of the table's.
    """

    def __init__(
        self,
        names: Sequence[str],
        nodes: Mapping[int, Node],
        data: Sequence[PartData],
        x: Tensor,
        rows: Mapping[int, Tensor],
        further: Mapping[str, gpytorch.Module] | None = None,
        local_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if further is None:
            with x.device:
                modules = {str(j): d.part.likelihood.further() for j, d in enumerate(data)}
            further = {j: module for j, module in modules.items() if module is not None}
        self.rows = dict(rows)
        self._at_parent = {(c, p): torch.searchsorted(rows[p], rows[c]) for c in nodes for p in nodes[c].parents}
        self.names = list(names)
        self.order = list(nodes)
        self._nodes = torch.nn.ModuleList([nodes[c] for c in range(len(names))])
        self._further = torch.nn.ModuleDict(further)
        self._further_priors = [HyperPrior(module) for module in further.values()]
        self.data = list(data)
        self.x = x
        self.local_scale = local_scale
        self._shared = SharedMoments()

    def of_rows(self, chosen: Tensor) -> tuple[LatentGraph, dict[int, Tensor]]:
        """The graph, with the same hyperparameters, on a sample of the table's rows (k,) that stands for all of them.

        Also the positions of the sample's latent values among those of each function.
        """
        mask = self.x.new_zeros(len(self.x), dtype=torch.bool)
        mask[chosen] = True
        places = {c: torch.nonzero(mask[rows]).ravel() for c, rows in self.rows.items()}
        sample = LatentGraph(
            self.names,
            {c: self.nodes[c] for c in self.order},
            [d.of_rows(mask) for d in self.data],
            self.x,
            {c: self.rows[c][place] for c, place in places.items()},
            self.further_modules,
            len(self.x) / len(chosen),
        )
        return sample, places

    @property
    def nodes(self) -> list[Node]:
        """The nodes, in the order of the latent functions."""
        return [cast(Node, node) for node in self._nodes]

    @property
    def further_modules(self) -> dict[str, gpytorch.Module]:
        """Modules with further hyperparameters of likelihoods, by the position of their part."""
        return dict(self._further.items())

    @property
    def learnt(self) -> list[int]:
        """The latent functions that labels inform, parents first."""
        return [c for c in self.order if len(self.rows[c])]

    @property
    def n_labels(self) -> int:
        """Number of labels of all parts."""
        return sum(int(d.present.sum()) for d in self.data)

    def noise(self, part: TaskPart) -> Tensor:
        """Noise variance of a part."""
        return (2 * self.nodes[part.channels[0]].raw_sigma).exp()[0]

    def further(self, position: int) -> Tensor:
        """Further hyperparameters of the likelihood of the part at a position."""
        key = str(position)
        return self._further[key]() if key in self._further else self.x.new_zeros(0)

    @property
    def informed_modules(self) -> list[gpytorch.Module]:
        """The functions that labels inform, parents first, then the further hyperparameters of likelihoods."""
        nodes = self.nodes
        return [*(nodes[c] for c in self.learnt), *self.further_modules.values()]

    def raw_hyperparameters(self) -> list[torch.nn.Parameter]:
        """Raw hyperparameters of :attr:`informed_modules`."""
        return [parameter for module in self.informed_modules for parameter in module.parameters()]

    def set_raw_hyperparameters(self, raw: Tensor) -> None:
        """Set the raw hyperparameters from one vector (P,)."""
        offset = 0
        with torch.no_grad():
            for parameter in self.raw_hyperparameters():
                parameter.copy_(raw[offset : offset + parameter.numel()].view_as(parameter))
                offset += parameter.numel()

    def draw_hyperparameters(self, seed: int) -> None:
        """Set all hyperparameters to a draw from their priors."""
        for i, module in enumerate([*self.nodes, *self.further_modules.values()]):
            draw_from_priors(module, spawn(seed, "hyperparameters", i))

    def log_hyperprior(self) -> Tensor:
        """``log p(all hyperparameters)``."""
        terms = [node.log_hyperprior() for node in self.nodes]
        terms += [prior.log_density() for prior in self._further_priors]
        return torch.stack(terms).sum()

    def labelled(self, data: PartData) -> tuple[Tensor, LabelBlock]:
        """Positions (k,) of a part's labels among the rows of its latent values, and the labels themselves."""
        rows = torch.nonzero(data.present).ravel()
        block = LabelBlock(*(values[rows] for values in data.block))
        return torch.searchsorted(self.rows[data.part.channels[0]], rows), block

    def log_likelihood(self, position: int, z: Mapping[int, Tensor]) -> Tensor:
        """``log p(y_i | z_i)`` of each label (..., k) of the part at a position."""
        data = self.data[position]
        place, block = self.labelled(data)
        f = torch.stack([z[c][..., place] for c in data.part.channels], dim=-1)
        return data.part.likelihood.log_density(block, f, self.noise(data.part), self.further(position))

    def model(self) -> None:
        """The generative model in the module's docstring, as a Pyro program."""
        import pyro
        from pyro.distributions import Normal

        pyro.factor("hyperparameters", self.log_hyperprior())
        u = {
            c: pyro.sample(
                f"u[{self.names[c]}]",
                Normal(self.x.new_zeros(len(self.nodes[c].inducing)), 1.0).to_event(1),
            )
            for c in self.learnt
        }
        z: dict[int, Tensor] = {}
        with pyro.poutine.scale(scale=self.local_scale):
            for c in self.learnt:
                mean, variance = self.conditional(c, z, u)
                with pyro.plate(f"rows[{self.names[c]}]", len(self.rows[c])):
                    z[c] = pyro.sample(f"z[{self.names[c]}]", Normal(mean, variance.sqrt()))
            for j, data in enumerate(self.data):
                part = data.part
                if not data.present.any():
                    continue
                with pyro.plate(f"labels[{part.names[0]}]", int(data.present.sum())):
                    pyro.factor(f"y[{part.names[0]}]", self.log_likelihood(j, z))

    def conditional(self, c: int, z: Mapping[int, Tensor], u: Mapping[int, Tensor]) -> Moments:
        """:meth:`Node.conditional` of a function at its own rows; the model takes what the guide has computed."""
        given = (u[c], *(z[p] for p in self.nodes[c].parents))
        moments = self._shared.take(c, given)
        if moments is None:
            moments = self.nodes[c].conditional(self.x[self.rows[c]], self.above(c, z), u[c])
            self._shared.put(c, given, moments)
        return moments

    def above(self, c: int, z: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The parents' latent values at the rows of a latent function."""
        n = len(self.rows[c])
        # rows in increasing order, so of as many all are taken
        return {p: v if (v := z[p]).shape[-1] == n else v[..., self._at_parent[c, p]] for p in self.nodes[c].parents}
