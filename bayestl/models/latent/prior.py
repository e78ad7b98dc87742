"""The prior of a graph of tasks, as a Pyro model.

    z_ic = m_c + sum_p rho_cp z_ip + g_c(x_i, z_i,pa(c)) + xi_ic,    xi_ic ~ N(0, omega_c^2)
    y_it ~ Likelihood_t(z_i, channels of t),    g_c ~ GP(0, alpha_c^2 k_c) over (x, parents),    p in pa(c)

A task has one latent value a row, a classified one a latent value for each class (channels).  The functions ``g_c`` have
inducing values ``u_c`` and the rows are independent given those (the fully independent training conditional: Snelson,
Ghahramani 2006).  Its posterior: by a variational guide (``models/guide.py``) or by Markov chains (``models/collapsed.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bayestl.kernels.hyperpriors import HyperPrior, draw_from_priors
from bayestl.likelihoods import LabelBlock
from bayestl.models.latent.node import Node
from bayestl.table.task import TaskPart


class PartData:
    """The labels of one part on all rows, NaN where there is none, and where there is one."""

    def __init__(self, part: TaskPart, y: Tensor, high: Tensor, se2: Tensor) -> None:
        self.part = part
        self.present = ~torch.isnan(y)
        self.block = LabelBlock(y, se2, high)

    def of_rows(self, mask: Tensor) -> PartData:
        """The labels on some rows, none on the others."""
        y = torch.where(mask, self.block.y, torch.nan)
        return PartData(self.part, y, self.block.high, self.block.se2)


def informed_rows(parents: Mapping[int, Sequence[int]], data: Sequence[PartData]) -> dict[int, Tensor]:
    """Rows (n_c,) whose latent value has a label, or one below it in the graph: the others follow from the function alone.

    ``parents`` of each latent function, parents first.
    """
    home = {c: d for d in data for c in d.part.channels}
    needed = {c: home[c].present.clone() for c in parents}
    for c in reversed(list(parents)):
        for k in home[c].part.channels:  # the latent functions of one label go together
            needed[c] |= needed[k]
        for p in parents[c]:
            for k in home[p].part.channels:
                needed[k] |= needed[c]
    return {c: torch.nonzero(mask).ravel() for c, mask in needed.items()}


class LatentGraph(torch.nn.Module):
    """The Pyro model of a graph of latent functions on one table.

    Parameters
    ----------
    names : sequence of str
        Of the latent functions.
    nodes : dict of int to Node
        Parents first.
    data : sequence of PartData
        The labels, parts in the order of their latent functions.
    x : Tensor, shape (n, d)
    rows : dict of int to Tensor
        See :func:`informed_rows`.
    """

    def __init__(
        self,
        names: Sequence[str],
        nodes: dict[int, Node],
        data: Sequence[PartData],
        x: Tensor,
        rows: Mapping[int, Tensor],
    ) -> None:
        super().__init__()
        self.rows = dict(rows)
        self._at_parent = {(c, p): torch.searchsorted(rows[p], rows[c]) for c in nodes for p in nodes[c].parents}
        self.names = list(names)
        self.order = list(nodes)
        self._nodes = torch.nn.ModuleList([nodes[t] for t in range(len(names))])
        further = {str(j): d.part.likelihood.further() for j, d in enumerate(data)}
        self._further = torch.nn.ModuleDict({j: m for j, m in further.items() if m is not None})
        self._further_priors = [HyperPrior(m) for m in self._further.values()]  # type: ignore[arg-type]
        self.data = list(data)
        self.x = x
        self.local_scale = 1.0
        """What a row counts for: more than one where the rows stand for others too."""
        self._evaluated: dict[int, tuple[tuple[Tensor, ...], tuple[Tensor, Tensor]]] = {}

    def of_rows(self, chosen: Tensor) -> tuple[LatentGraph, dict[int, Tensor]]:
        """The graph, with the same hyperparameters, of some rows (k,) of the table that stand for all of them.

        And the positions of their latent values among those of each function.
        """
        mask = torch.zeros(len(self.x), dtype=torch.bool)
        mask[chosen] = True
        places = {c: torch.nonzero(mask[rows]).ravel() for c, rows in self.rows.items()}
        own = LatentGraph.__new__(LatentGraph)
        torch.nn.Module.__init__(own)
        for name, value in vars(self).items():  # hyperparameters, names and order are shared
            if name not in ("training", "rows", "data", "local_scale", "_at_parent", "_evaluated"):
                own.__dict__[name] = value
        own.rows = {c: self.rows[c][place] for c, place in places.items()}
        own._at_parent = {(c, p): torch.searchsorted(own.rows[p], own.rows[c]) for c, p in self._at_parent}
        own.data = [d.of_rows(mask) for d in self.data]
        own.local_scale = len(self.x) / len(chosen)
        own._evaluated = {}
        return own, places

    @property
    def nodes(self) -> list[Node]:
        """The nodes, in the order of the latent functions."""
        return list(self._nodes)  # type: ignore[arg-type]

    @property
    def further_modules(self) -> Mapping[str, torch.nn.Module]:
        """Those with further hyperparameters of likelihoods, by the position of their part."""
        return self._further  # type: ignore[return-value]

    @property
    def learnt(self) -> list[int]:
        """The latent functions that a label informs, parents first."""
        return [c for c in self.order if len(self.rows[c])]

    @property
    def n_labels(self) -> int:
        """Labels of all parts."""
        return sum(int(d.present.sum()) for d in self.data)

    def noise(self, part: TaskPart) -> Tensor:
        """Noise variance of a part."""
        return (2 * self.nodes[part.channels[0]].raw_sigma).exp()[0]

    def further(self, position: int) -> Tensor:
        """Further hyperparameters of the likelihood of the part at a position."""
        key = str(position)
        return self._further[key]() if key in self._further else torch.zeros(0, dtype=torch.float64)

    @property
    def informed_modules(self) -> list[torch.nn.Module]:
        """The functions that labels inform, parents first, and the further hyperparameters of likelihoods."""
        return [*(self.nodes[c] for c in self.learnt), *self._further.values()]

    def raw_hyperparameters(self) -> list[torch.nn.Parameter]:
        """Those of :attr:`informed_modules`."""
        return [parameter for module in self.informed_modules for parameter in module.parameters()]

    def set_raw_hyperparameters(self, raw: Tensor) -> None:
        """From one vector (P,)."""
        offset = 0
        with torch.no_grad():
            for parameter in self.raw_hyperparameters():
                parameter.copy_(raw[offset : offset + parameter.numel()].view_as(parameter))
                offset += parameter.numel()

    def draw_hyperparameters(self, seed: int) -> None:
        """Set all hyperparameters to a draw from their priors."""
        for i, module in enumerate([*self.nodes, *self._further.values()]):
            draw_from_priors(module, 1000 * seed + i)  # type: ignore[arg-type]

    def log_hyperprior(self) -> Tensor:
        """``log p(all hyperparameters)``."""
        each = [node.log_hyperprior() for node in self.nodes]
        each += [prior.log_density() for prior in self._further_priors]
        return torch.stack(each).sum()

    def labelled(self, data: PartData) -> tuple[Tensor, LabelBlock]:
        """Positions (k,) of a part's labels among the rows of its latent values, and the labels."""
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
        """The generative story of the module's docstring."""
        import pyro
        from pyro.distributions import Normal

        pyro.factor("hyperparameters", self.log_hyperprior())
        u = {
            c: pyro.sample(
                f"u[{self.names[c]}]",
                Normal(torch.zeros(len(self.nodes[c].inducing), dtype=self.x.dtype), 1.0).to_event(1),
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

    def conditional(self, c: int, z: Mapping[int, Tensor], u: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
        """:meth:`Node.conditional` of a function's own rows; the model, replayed on a guide's values, takes the guide's."""
        given = (u[c], *(z[p] for p in self.nodes[c].parents))
        before = self._evaluated.pop(c, None)
        if before is not None and all(a is b for a, b in zip(before[0], given, strict=True)):
            return before[1]
        out = self.nodes[c].conditional(self.x[self.rows[c]], self.above(c, z), u[c])
        self._evaluated[c] = given, out
        return out

    def above(self, c: int, z: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The parents' latent values at the rows of a latent function."""
        return {p: z[p][..., self._at_parent[c, p]] for p in self.nodes[c].parents}
