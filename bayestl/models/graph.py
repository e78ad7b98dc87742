"""The Pyro model of a graph of tasks, its guide, and the prediction of new rows from it.

    z_ic = m_c + sum_p rho_cp z_ip + g_c(x_i, z_i,pa(c)) + xi_ic,    xi_ic ~ N(0, omega_c^2)
    y_it ~ Likelihood_t(z_i, channels of t),    g_c ~ GP(0, alpha_c^2 k_c) over (x, parents),    p in pa(c)

A task has one latent value a row, a classified one a latent value for each class (channels).  The functions ``g_c`` have
inducing values ``u_c`` and the rows are independent given those (the fully independent training conditional: Snelson,
Ghahramani 2006).  The guide is structured: ``q(u_c)`` is a full Gaussian, and

    q(z_ic | u, z_i,pa) = N(a_ic E[z_ic | u, z_i,pa] + b_ic, s_ic^2)

so the latent values of a row stay correlated with each other and with the functions, and for a Gaussian leaf the guide
contains the exact conditional.  Hyperparameters are point estimates under their priors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gpytorch
import numpy as np
import torch
from gpytorch.priors import LogNormalPrior, NormalPrior
from torch import Tensor

from bayestl.hyperparameters import HyperPrior, register_positive, register_real
from bayestl.inference.variational import draw
from bayestl.likelihoods import Gaussian, LabelBlock, Setting
from bayestl.models.drawn import Drawn
from bayestl.tasks import TaskPart

INDUCING_JITTER = 1e-6
"""Added to the unit-variance covariance of the inducing values."""
MIN_VARIANCE = 1e-6
"""Least conditional variance of a latent value, scaled units."""


class Node(gpytorch.Module):
    """One latent function of the graph: its parents, its noise, and the guide of its values."""

    inducing: Tensor
    mean: Tensor
    rho: Tensor
    raw_amplitude: Tensor
    raw_omega: Tensor
    raw_sigma: Tensor
    u_start: Tensor
    u_base: Tensor

    def __init__(
        self,
        kernel: gpytorch.kernels.Kernel,
        parents: Sequence[int],
        inducing: Tensor,
        n_rows: int,
        signs: Tensor,
        size: float = 1.0,
    ) -> None:
        super().__init__()
        self.parents = tuple(parents)
        k, m = len(self.parents), len(inducing)
        self.kernel = kernel
        self.register_buffer("inducing", inducing)
        register_real(self, "mean", torch.zeros(1), NormalPrior(0.0, 1.0))
        if k:
            register_real(self, "rho", signs / k, NormalPrior(signs / k, torch.ones(k, dtype=torch.float64)))
        amplitude = size * (0.3 if k else 1.0)
        register_positive(self, "amplitude", torch.full((1,), amplitude), LogNormalPrior(math.log(amplitude), 1.0))
        register_positive(self, "omega", torch.full((1,), 0.1), LogNormalPrior(math.log(0.1), 1.0))
        register_positive(self, "sigma", torch.full((1,), 0.1), LogNormalPrior(math.log(0.1), 1.0))
        # the guide; q(u) is relative to its first guess, so that one step size suits all its parameters
        self.register_buffer("u_start", torch.zeros(m, dtype=torch.float64))
        self.register_buffer("u_base", torch.eye(m, dtype=torch.float64))
        self.v_mean = torch.nn.Parameter(torch.zeros(m, dtype=torch.float64))
        self.v_root = torch.nn.Parameter(torch.eye(m, dtype=torch.float64))
        self.a = torch.nn.Parameter(torch.ones(n_rows, dtype=torch.float64))
        self.b = torch.nn.Parameter(torch.zeros(n_rows, dtype=torch.float64))
        self.log_s = torch.nn.Parameter(torch.full((n_rows,), math.log(0.1), dtype=torch.float64))
        self._hyperprior = HyperPrior(self)

    def log_hyperprior(self) -> Tensor:
        """``log p(hyperparameters of this node)``."""
        return self._hyperprior.log_density()

    def inducing_guide(self) -> tuple[Tensor, Tensor]:
        """Mean (m,) of ``q(u)`` and the lower Cholesky factor (m, m) of its covariance."""
        root = self.v_root.tril(-1) + torch.diag(self.v_root.diagonal().abs() + 1e-6)
        return self.u_start + self.u_base @ self.v_mean, self.u_base @ root

    def unit_features(self, x: Tensor, z: Mapping[int, Tensor]) -> Tensor:
        """Whitened features (..., n, m) of a function of unit variance."""
        root = torch.linalg.cholesky(
            self.kernel.forward(self.inducing, self.inducing)
            + INDUCING_JITTER * torch.eye(len(self.inducing), dtype=x.dtype)
        )
        if self.parents:
            shape = z[self.parents[0]].shape
            inputs = torch.cat([x.expand(*shape, x.shape[-1]), *(z[p][..., None] for p in self.parents)], dim=-1)
        else:
            inputs = x
        flat = inputs.reshape(-1, inputs.shape[-1])
        half = torch.linalg.solve_triangular(root, self.kernel.forward(self.inducing, flat), upper=False).T
        return half.reshape(*inputs.shape[:-1], -1)

    def features(self, x: Tensor, z: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
        """Features ``A`` (..., n, m) with ``g = A u`` in mean, and the conditional variance (..., n)."""
        size = self.raw_amplitude.exp()
        a = size * self.unit_features(x, z)
        variance = size**2 - (a * a).sum(-1) + (2 * self.raw_omega).exp()
        return a, variance.clamp_min(MIN_VARIANCE)

    def linear(self, z: Mapping[int, Tensor]) -> Tensor:
        """``m + sum_p rho_p z_p``."""
        total = self.mean
        for i, p in enumerate(self.parents):
            total = total + self.rho[i] * z[p]
        return total

    def conditional(self, x: Tensor, z: Mapping[int, Tensor], u: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (..., n) of ``z_t`` given the parents and the whitened inducing values ``u`` (..., 1, m)."""
        a, variance = self.features(x, z)
        return self.linear(z) + (a * u).sum(-1), variance

    def prior_conditional(self, x: Tensor, z: Mapping[int, Tensor], n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Where no label has taught anything: mean and variance (S, rows) given the parents, and noise variance (S,).

        Of ``n`` draws of the function and of its hyperparameters from their priors; length scales are at their medians.
        """
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            sizes = {"mean": 1, "amplitude": 1, "omega": 1, "sigma": 1}
            if self.parents:
                sizes["rho"] = len(self.parents)
            drawn = {name: getattr(self, f"{name}_prior").expand((n, size)).sample() for name, size in sizes.items()}
            u = torch.randn(n, 1, len(self.inducing), dtype=x.dtype)
            function, left = [], []
            for rows in _row_blocks(len(x), n * len(self.inducing)):
                half = self.unit_features(x[rows], {p: v[:, rows] for p, v in z.items()})
                function.append((half * u).sum(-1))
                left.append((1 - (half * half).sum(-1)).expand(n, -1))
            mean = drawn["mean"] + drawn["amplitude"] * torch.cat(function, dim=1)
            for i, p in enumerate(self.parents):
                mean = mean + drawn["rho"][:, i, None] * z[p]
            variance = drawn["amplitude"] ** 2 * torch.cat(left, dim=1) + drawn["omega"] ** 2
        return mean, variance.clamp_min(MIN_VARIANCE), drawn["sigma"][:, 0] ** 2


class PartData:
    """The labels of one part on all rows, NaN where there is none, and where there is one."""

    def __init__(self, part: TaskPart, y: Tensor, high: Tensor, se2: Tensor) -> None:
        self.part = part
        self.present = ~torch.isnan(y)
        self.block = LabelBlock(y, se2, high)


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
    """The Pyro model and guide of a graph of latent functions on one table.

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
        self._evaluated: dict[int, tuple[tuple[Tensor, ...], tuple[Tensor, Tensor]]] = {}

    @property
    def nodes(self) -> list[Node]:
        """The nodes, in the order of the latent functions."""
        return list(self._nodes)  # type: ignore[arg-type]

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

    def log_hyperprior(self) -> Tensor:
        """``log p(all hyperparameters)``."""
        each = [node.log_hyperprior() for node in self.nodes]
        each += [prior.log_density() for prior in self._further_priors]
        return torch.stack(each).sum()

    def model(self) -> None:
        """The generative story of the module's docstring."""
        import pyro
        from pyro.distributions import Normal

        pyro.factor("hyperparameters", self.log_hyperprior())
        u = {
            c: pyro.sample(f"u[{self.names[c]}]", Normal(torch.zeros_like(self.nodes[c].v_mean), 1.0).to_event(1))
            for c in self.learnt
        }
        z: dict[int, Tensor] = {}
        for c in self.learnt:
            mean, variance = self._conditional(c, z, u)
            with pyro.plate(f"rows[{self.names[c]}]", len(self.rows[c])):
                z[c] = pyro.sample(f"z[{self.names[c]}]", Normal(mean, variance.sqrt()))
        for j, data in enumerate(self.data):
            part = data.part
            if not data.present.any():
                continue
            labelled = torch.nonzero(data.present).ravel()
            place = torch.searchsorted(self.rows[part.channels[0]], labelled)
            f = torch.stack([z[c][..., place] for c in part.channels], dim=-1)
            block = LabelBlock(*(v[labelled] for v in data.block))
            with pyro.plate(f"labels[{part.names[0]}]", len(labelled)):
                each = part.likelihood.log_density(block, f, self.noise(part), self.further(j))
                pyro.factor(f"y[{part.names[0]}]", each)

    def guide(self) -> None:
        """The structured guide of the module's docstring."""
        import pyro
        from pyro.distributions import MultivariateNormal, Normal

        u = {}
        for c in self.learnt:
            mean, root = self.nodes[c].inducing_guide()
            u[c] = pyro.sample(f"u[{self.names[c]}]", MultivariateNormal(mean, scale_tril=root))
        z: dict[int, Tensor] = {}
        for c in self.learnt:
            node = self.nodes[c]
            mean, _ = self._conditional(c, z, u)
            with pyro.plate(f"rows[{self.names[c]}]", len(self.rows[c])):
                z[c] = pyro.sample(f"z[{self.names[c]}]", Normal(node.a * mean + node.b, node.log_s.exp()))

    def _conditional(self, c: int, z: Mapping[int, Tensor], u: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
        """:meth:`Node.conditional` of a function's own rows; the model, replayed on the guide's values, takes the guide's."""
        given = (u[c], *(z[p] for p in self.nodes[c].parents))
        before = self._evaluated.pop(c, None)
        if before is not None and all(a is b for a, b in zip(before[0], given, strict=True)):
            return before[1]
        out = self.nodes[c].conditional(self.x[self.rows[c]], self._above(c, z), u[c])
        self._evaluated[c] = given, out
        return out

    def _above(self, c: int, z: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The parents' latent values at the rows of a latent function."""
        return {p: z[p][..., self._at_parent[c, p]] for p in self.nodes[c].parents}

    def draws(self, n: int, seed: int) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Draws from the guide: inducing values (n, 1, m), and latent values (n, rows) of the training rows.

        Rows without information follow from the functions alone, functions without a label from their prior.
        """
        sites = draw(self.guide, n, seed)
        generator = torch.Generator().manual_seed(seed)
        u: dict[int, Tensor] = {}
        z: dict[int, Tensor] = {}
        with torch.no_grad():
            for c in self.order:
                name, rows = self.names[c], self.rows[c]
                noise = torch.randn(n, len(self.x), generator=generator, dtype=torch.float64)
                if len(rows) == 0:
                    mean, variance, _ = self.nodes[c].prior_conditional(self.x, z, n, seed + c)
                    z[c] = mean + variance.sqrt() * noise
                    continue
                u[c] = sites[f"u[{name}]"]
                z[c] = noise
                z[c][:, rows] = sites[f"z[{name}]"]
                others = torch.ones(len(self.x), dtype=torch.bool)
                others[rows] = False
                if others.any():
                    above = {p: z[p][:, others] for p in self.nodes[c].parents}
                    mean, variance = _in_blocks(self.nodes[c], self.x[others], above, u[c])
                    z[c][:, others] = mean + variance.sqrt() * noise[:, others]
        self._evaluated.clear()
        return u, z

    def latent_draws(self, n: int, seed: int) -> np.ndarray:
        """Draws (n, rows, C) of the training rows' latent values from the guide."""
        _, z = self.draws(n, seed)
        return torch.stack([z[c] for c in range(len(self.names))], dim=-1).numpy()


class DrawnLatent(Drawn):
    """Latent values of new rows by ancestral draws, conditioned row by row on their known labels.

    In each of S draws the functions are one draw of ``q(u)``; down the graph every latent value has a Gaussian
    conditional given the draw and its parents, which is kept (for smooth marginals) and drawn from (for the children).
    Known labels weigh the draws, row by row, and the rows are resampled by those weights.  The labels of a new row
    inform that row only: they do not change the functions.
    """

    def __init__(
        self, graph: LatentGraph, x: Tensor, observed: Sequence[PartData] | None, n_draws: int, seed: int
    ) -> None:
        n, n_channels = len(x), len(graph.names)
        known = {d.part: d for d in observed or () if d.present.any()}
        home = {c: (j, d.part) for j, d in enumerate(graph.data) for c in d.part.channels}
        generator = torch.Generator().manual_seed(seed)
        normal: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
        means, variances, values = (torch.empty(n_draws, n, n_channels, dtype=torch.float64) for _ in range(3))
        log_weights = torch.zeros(n_draws, n, dtype=torch.float64)
        with torch.no_grad():
            noise = {d.part: graph.noise(d.part).expand(n_draws).clone() for d in graph.data}
            z: dict[int, Tensor] = {}
            for c in graph.order:
                node = graph.nodes[c]
                position, part = home[c]
                if len(graph.rows[c]):
                    centre, root = node.inducing_guide()
                    u = centre + torch.randn(n_draws, 1, len(centre), **normal) @ root.T
                    mean, variance = _in_blocks(node, x, z, u)
                else:
                    mean, variance, noise[part] = node.prior_conditional(x, z, n_draws, seed + c)
                data = known.get(part)
                if data is not None and isinstance(part.likelihood, Gaussian):
                    there = data.present
                    total = variance[:, there] + noise[part][:, None]
                    residual = data.block.y[there] - mean[:, there]
                    log_weights[:, there] += -0.5 * (total.log() + residual**2 / total)
                    gain = variance[:, there] / total
                    mean[:, there] += gain * residual
                    variance[:, there] *= 1 - gain
                z[c] = mean + variance.sqrt() * torch.randn(n_draws, n, **normal)
                means[:, :, c], variances[:, :, c], values[:, :, c] = mean, variance, z[c]
                if data is not None and not isinstance(part.likelihood, Gaussian) and c == part.channels[-1]:
                    there = data.present
                    f = torch.stack([z[k][:, there] for k in part.channels], dim=-1)
                    block = LabelBlock(*(v[there] for v in data.block))
                    log_weights[:, there] += part.likelihood.log_density(
                        block, f, graph.noise(part), graph.further(position)
                    )
            if known:
                rows = torch.nonzero(torch.stack([d.present for d in known.values()]).any(dim=0)).ravel()
                chance = torch.softmax(log_weights[:, rows], dim=0).T
                chosen = torch.multinomial(chance, n_draws, replacement=True, generator=generator).T
                for array in (means, variances, values):
                    array[:, rows] = array[chosen, rows]
            settings = {
                d.part: Setting(noise[d.part].numpy(), np.tile(graph.further(j).numpy(), (n_draws, 1)))
                for j, d in enumerate(graph.data)
            }
        super().__init__(means.numpy(), variances.numpy(), values.numpy(), settings)


def _row_blocks(n: int, cost: int, limit: int = 4_000_000) -> Iterator[slice]:
    """Slices over ``n`` rows, each of ``cost`` numbers, that hold at most ``limit`` numbers."""
    step = max(1, limit // cost)
    return (slice(start, start + step) for start in range(0, n, step))


def _in_blocks(node: Node, x: Tensor, z: Mapping[int, Tensor], u: Tensor) -> tuple[Tensor, Tensor]:
    """:meth:`Node.conditional` for a bounded number of rows at a time; both results (S, n), not shared."""
    n_draws = len(u)
    means, variances = [], []
    for rows in _row_blocks(len(x), n_draws * len(node.v_mean)):
        mean, variance = node.conditional(x[rows], {p: v[:, rows] for p, v in z.items()}, u)
        means.append(mean.expand(n_draws, -1))
        variances.append(variance.expand(n_draws, -1))
    return torch.cat(means, dim=1).clone(), torch.cat(variances, dim=1).clone()
