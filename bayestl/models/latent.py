"""Explicit latent variables: a directed acyclic graph of tasks, each row with a latent value for each task.

    z_it = m_t + sum_p rho_tp z_ip + g_t(x_i, z_i,pa(t)) + xi_it,    xi_it ~ N(0, omega_t^2)
    y_it = z_it + e_it,    g_t ~ GP(0, alpha_t^2 k_t) over (x, parents),    p in pa(t)

All latent values are inferred together, so that a label of the target also informs the latent source of its row.
The functions ``g_t`` have inducing values ``u_t`` and the rows are independent given those (the fully independent
training conditional: Snelson, Ghahramani 2006).  The guide is structured: ``q(u_t)`` is a full Gaussian, and

    q(z_it | u, z_i,pa) = N(a_it E[z_it | u, z_i,pa] + b_it, s_it^2)

so the latent values of a row stay correlated with each other and with the functions, and for a Gaussian leaf the guide
contains the exact conditional.  Hyperparameters are point estimates under their priors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gpytorch
import numpy as np
import pandas as pd
import torch
from gpytorch.priors import LogNormalPrior, NormalPrior
from torch import Tensor

from bayestl.inference import exact
from bayestl.inference.variational import SVIReport, draw, maximise_elbo
from bayestl.kernels import (
    KERNELS,
    Constant,
    Noise,
    Points,
    Prior,
    Smooth,
    find_priors,
    log_hyperprior,
    register_positive,
    register_real,
)
from bayestl.models.base import BayesianModel
from bayestl.models.independent import OwnParts
from bayestl.progress import progress
from bayestl.table import Scaler, Table
from bayestl.tasks import Task, order_graph

INDUCING_JITTER = 1e-6
"""Added to the unit-variance covariance of the inducing values."""
MIN_VARIANCE = 1e-6
"""Least conditional variance of a latent value, scaled units."""


class Node(gpytorch.Module):
    """One task of the graph: its function of (x, parents), its noise, and the guide of its latent values."""

    inducing: Tensor
    mean: Tensor
    rho: Tensor
    raw_amplitude: Tensor
    raw_omega: Tensor
    raw_sigma: Tensor
    u_start: Tensor
    u_base: Tensor

    def __init__(
        self, kernel: str, d: int, parents: Sequence[int], inducing: Tensor, n_rows: int, signs: Tensor
    ) -> None:
        super().__init__()
        self.parents = tuple(parents)
        k, m = len(self.parents), len(inducing)
        self.kernel = KERNELS[kernel](d + k)
        self.register_buffer("inducing", inducing)
        register_real(self, "mean", torch.zeros(1), NormalPrior(0.0, 1.0))
        if k:
            register_real(self, "rho", signs / k, NormalPrior(signs / k, torch.ones(k, dtype=torch.float64)))
        amplitude = 0.3 if k else 1.0
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
        self.priors = find_priors(self)

    def log_hyperprior(self) -> Tensor:
        """``log p(hyperparameters of this node)``."""
        return log_hyperprior(self, self.priors)

    def inducing_guide(self) -> tuple[Tensor, Tensor]:
        """Mean (m,) of ``q(u)`` and the lower Cholesky factor (m, m) of its covariance."""
        root = self.v_root.tril(-1) + torch.diag(self.v_root.diagonal().abs() + 1e-6)
        return self.u_start + self.u_base @ self.v_mean, self.u_base @ root

    def features(self, x: Tensor, z: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
        """Whitened features ``A`` (..., n, m) with ``g = A u`` in mean, and the conditional variance (..., n)."""
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
        size = self.raw_amplitude.exp()
        a = (size * half).reshape(*inputs.shape[:-1], -1)
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


class LatentGraph(torch.nn.Module):
    """The Pyro model and guide of a graph of tasks on one table."""

    def __init__(self, names: Sequence[str], nodes: dict[int, Node], x: Tensor, y: Tensor, se2: Tensor) -> None:
        super().__init__()
        self.names = list(names)
        self.order = list(nodes)
        self._nodes = torch.nn.ModuleList([nodes[t] for t in range(len(names))])
        self.x, self.y, self.se2 = x, torch.nan_to_num(y), se2
        self.present = ~torch.isnan(y)

    @property
    def nodes(self) -> list[Node]:
        """The nodes, in the order of the columns."""
        return list(self._nodes)  # type: ignore[arg-type]

    def model(self) -> None:
        """The generative story of the module's docstring."""
        import pyro
        from pyro.distributions import Normal

        pyro.factor("hyperparameters", torch.stack([node.log_hyperprior() for node in self.nodes]).sum())
        u = {
            t: pyro.sample(f"u[{self.names[t]}]", Normal(torch.zeros_like(self.nodes[t].v_mean), 1.0).to_event(1))
            for t in self.order
        }
        z: dict[int, Tensor] = {}
        with pyro.plate("rows", len(self.x)):
            for t in self.order:
                node = self.nodes[t]
                mean, variance = node.conditional(self.x, z, u[t])
                z[t] = pyro.sample(f"z[{self.names[t]}]", Normal(mean, variance.sqrt()))
                noise = ((2 * node.raw_sigma).exp() + self.se2[:, t]).sqrt()
                label = Normal(z[t], noise).mask(self.present[:, t])
                pyro.sample(f"y[{self.names[t]}]", label, obs=self.y[:, t])

    def guide(self) -> None:
        """The structured guide of the module's docstring."""
        import pyro
        from pyro.distributions import MultivariateNormal, Normal

        u = {}
        for t in self.order:
            mean, root = self.nodes[t].inducing_guide()
            u[t] = pyro.sample(f"u[{self.names[t]}]", MultivariateNormal(mean, scale_tril=root))
        z: dict[int, Tensor] = {}
        with pyro.plate("rows", len(self.x)):
            for t in self.order:
                node = self.nodes[t]
                mean, _ = node.conditional(self.x, z, u[t])
                z[t] = pyro.sample(f"z[{self.names[t]}]", Normal(node.a * mean + node.b, node.log_s.exp()))

    def latent_draws(self, n: int, seed: int) -> np.ndarray:
        """Draws (n, rows, T) of the training rows' latent values from the guide."""
        sites = draw(self.guide, n, seed)
        return np.stack([sites[f"z[{name}]"].numpy() for name in self.names], axis=-1)


class DrawnLatent:
    """Latent values of new rows by ancestral draws, conditioned row by row on their known labels.

    In each of S draws the functions are one draw of ``q(u)``; down the graph every latent value has a Gaussian
    conditional given the draw and its parents, which is kept (for smooth marginals) and drawn from (for the children).
    Known labels weigh the draws, row by row, and the rows are resampled by those weights.  The labels of a new row
    inform that row only: they do not change the functions.
    """

    def __init__(self, graph: LatentGraph, x: Tensor, observed: np.ndarray | None, n_draws: int, seed: int) -> None:
        n, n_tasks = len(x), len(graph.names)
        y = torch.full((n, n_tasks), math.nan, dtype=torch.float64) if observed is None else torch.from_numpy(observed)
        generator = torch.Generator().manual_seed(seed)
        normal: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
        means, variances, values = (torch.empty(n_draws, n, n_tasks, dtype=torch.float64) for _ in range(3))
        log_weights = torch.zeros(n_draws, n, dtype=torch.float64)
        noise = torch.stack([(2 * node.raw_sigma).exp()[0] for node in graph.nodes]).detach()
        with torch.no_grad():
            z: dict[int, Tensor] = {}
            for t in graph.order:
                node = graph.nodes[t]
                centre, root = node.inducing_guide()
                u = centre + torch.randn(n_draws, 1, len(centre), **normal) @ root.T
                mean, variance = _in_blocks(node, x, z, u)
                known = ~torch.isnan(y[:, t])
                if known.any():
                    total = variance[:, known] + noise[t]
                    residual = y[known, t] - mean[:, known]
                    log_weights[:, known] += -0.5 * (total.log() + residual**2 / total)
                    gain = variance[:, known] / total
                    mean[:, known] += gain * residual
                    variance[:, known] *= 1 - gain
                z[t] = mean + variance.sqrt() * torch.randn(n_draws, n, **normal)
                means[:, :, t], variances[:, :, t], values[:, :, t] = mean, variance, z[t]
            weighted = (~torch.isnan(y)).any(dim=1)
            if weighted.any():
                chance = torch.softmax(log_weights[:, weighted], dim=0).T
                chosen = torch.multinomial(chance, n_draws, replacement=True, generator=generator).T
                rows = torch.nonzero(weighted).ravel()
                for array in (means, variances, values):
                    array[:, rows] = array[chosen, rows]
        self._means, self._variances, self._values = means.numpy(), variances.numpy(), values.numpy()
        self.weights = np.full(n_draws, 1.0 / n_draws)
        self.noise = np.repeat(noise.numpy()[None], n_draws, axis=0)

    def marginals(self) -> tuple[np.ndarray, np.ndarray]:
        """Conditional means and variances, each (S, n, T)."""
        return self._means, self._variances

    def row_covariances(self) -> None:
        """Only draws know how the tasks of a row vary together."""
        return

    def sample(self, n: int, generator: np.random.Generator, joint_rows: bool) -> tuple[np.ndarray, np.ndarray]:
        """Draws (n, rows, T) and the component of each: all S in a random order before any is used again."""
        size = len(self.weights)
        component = np.concatenate([generator.permutation(size) for _ in range(-(-n // size))])[:n]
        return self._values[component].copy(), component


def _in_blocks(
    node: Node, x: Tensor, z: Mapping[int, Tensor], u: Tensor, limit: int = 4_000_000
) -> tuple[Tensor, Tensor]:
    """:meth:`Node.conditional` for a bounded number of rows at a time; both results (S, n), not shared."""
    n_draws, step = len(u), max(1, limit // (len(u) * len(node.v_mean)))
    means, variances = [], []
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        mean, variance = node.conditional(x[rows], {p: v[:, rows] for p, v in z.items()}, u)
        means.append(mean.expand(n_draws, -1))
        variances.append(variance.expand(n_draws, -1))
    return torch.cat(means, dim=1).clone(), torch.cat(variances, dim=1).clone()


class LatentVariableGP(BayesianModel):
    """A graph of tasks with explicit latent values, inferred jointly by stochastic variational inference.

    Parameters
    ----------
    graph : mapping of str to list of str, optional
        The parents of each task; tasks that are not named have none.  Default: the chain of the label columns.
    tasks : sequence of Task, optional
        Where the default of a column is not right.
    kernel : {"matern52", "matern32", "rbf", "exponential"}
        Covariance of each task's function over (x, parents).
    n_inducing : int
        Inducing values a task (at most the number of rows).
    max_steps : int
        Of the optimiser.
    n_draws : int
        Draws behind a prediction.
    random_state : int
        Every fit repeats exactly from it.
    verbose : bool
        Progress on a terminal.

    Attributes
    ----------
    report_ : SVIReport
        Trace of the evidence lower bound and whether it settled.

    Notes
    -----
    ``groups`` are refused: :class:`DifferenceGP` has offsets of groups.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 30)[:, None]
    >>> source = np.sin(5 * x[:, 0])
    >>> Y = pd.DataFrame({"source": source, "target": source**2})
    >>> Y.loc[::2, "target"] = np.nan
    >>> model = btl.LatentVariableGP(graph={"target": ["source"]}).fit(x, Y)
    >>> post = model.posterior([[0.5]], observed=pd.DataFrame({"source": [0.6]}))
    >>> bool(abs(post.mean["target"][0] - 0.36) < 0.2)
    True
    """

    def __init__(
        self,
        graph: Mapping[str, Sequence[str]] | None = None,
        tasks: Sequence[Task] | None = None,
        kernel: str = "matern52",
        n_inducing: int = 64,
        max_steps: int = 2000,
        n_draws: int = 256,
        random_state: int = 0,
        verbose: bool = True,
    ) -> None:
        self.graph = graph
        self.tasks = tasks
        self.kernel = kernel
        self.n_inducing = n_inducing
        self.max_steps = max_steps
        self.n_draws = n_draws
        self.random_state = random_state
        self.verbose = verbose

    report_: SVIReport
    graph_: LatentGraph

    def _check(self, table: Table) -> None:
        if self.kernel not in KERNELS:
            raise ValueError(f"kernel must be one of {sorted(KERNELS)}, got {self.kernel!r}")
        for name in ("n_inducing", "max_steps", "n_draws"):
            value = getattr(self, name)
            if not (isinstance(value, int | np.integer) and value >= 1):
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        if table.group is not None:
            raise ValueError("LatentVariableGP does not use groups=: leave them out, or use DifferenceGP")

    def _learn(self, table: Table, scaler: Scaler) -> dict[str, Any]:
        self._check(table)
        graph = order_graph(self.graph, table.names)
        x = torch.from_numpy(scaler.features(table.x))
        y = torch.from_numpy(scaler.labels(table.y))
        se2 = torch.from_numpy((table.se / scaler.y_scale) ** 2)
        generator = np.random.default_rng(int(self.random_state))
        chosen = torch.from_numpy(np.sort(generator.permutation(len(x))[: int(self.n_inducing)]))
        nodes: dict[int, Node] = {}
        guesses: dict[int, Tensor] = {}
        with exact.threads_for(len(x)):
            for t, parents in graph.items():
                nodes[t], guesses[t] = self._start(t, parents, x, y[:, t], se2[:, t], guesses, chosen)
            latent = LatentGraph(table.names, nodes, x, y, se2)
            n_labels = int(latent.present.sum())
            with progress("LatentVariableGP", total=int(self.max_steps), verbose=self.verbose) as update:
                report = maximise_elbo(
                    latent.model,
                    latent.guide,
                    latent.parameters(),
                    scale=n_labels,
                    steps=int(self.max_steps),
                    seed=int(self.random_state),
                    callback=lambda i, value: update(
                        completed=i, description=f"LatentVariableGP: bound a label {value:.3f}"
                    ),
                )
        latent.requires_grad_(False)
        return {"graph_": latent, "report_": report}

    def _start(
        self,
        t: int,
        parents: tuple[int, ...],
        x: Tensor,
        y: Tensor,
        se2: Tensor,
        guesses: dict[int, Tensor],
        chosen: Tensor,
    ) -> tuple[Node, Tensor]:
        """A node whose hyperparameters and guide come from an exact GP with the parents' guesses plugged in."""
        there = ~torch.isnan(y)
        inputs = torch.cat([x, *(guesses[p][:, None] for p in parents)], dim=1)
        signs = torch.ones(len(parents), dtype=torch.float64)
        for i, p in enumerate(parents):
            product = ((guesses[p] - guesses[p].mean())[there] * (y - y[there].mean())[there]).sum()
            signs[i] = -1.0 if product < 0 else 1.0
        node = Node(self.kernel, x.shape[1], parents, inputs[chosen], len(x), signs)
        offset = node.linear(guesses).detach().expand(len(x))
        labels = exact.Labels(
            Points(
                inputs[there],
                torch.zeros(int(there.sum()), dtype=torch.long),
                torch.zeros(int(there.sum()), dtype=torch.long),
            ),
            (y - offset)[there],
            se2[there],
        )
        mixing = OwnParts(1, grouped=False, amplitude=0.3 if parents else 1.0)
        prior = Prior([Smooth(node.kernel), Constant()], mixing, Noise(1))
        exact.fit(prior, labels, torch.nonzero(there).ravel(), n_starts=1, seed=int(self.random_state))
        with torch.no_grad():
            noise = prior.noise.variance()[0]
            node.raw_amplitude.copy_(mixing.raw_kappa)
            node.raw_sigma.fill_(0.5 * torch.log(0.5 * noise))
            node.raw_omega.fill_(0.5 * torch.log(0.5 * noise))
            a, variance = node.features(x, guesses)
            # the best Gaussian q(u) for these hyperparameters, with the labels' noise and the rows' own variance
            weight = 1.0 / (variance + noise * 0.5 + se2)[there]
            design = torch.cat([a[there], torch.ones(int(there.sum()), 1, dtype=a.dtype)], dim=1)
            precision = torch.eye(design.shape[1], dtype=a.dtype) + design.T @ (design * weight[:, None])
            solution = torch.linalg.solve(precision, design.T @ (weight * labels.y))
            covariance = torch.linalg.inv(precision[:-1, :-1])  # given the mean, which the guide holds fixed
            node.u_start.copy_(solution[:-1])
            node.mean.copy_(solution[-1:])
            node.u_base.copy_(torch.linalg.cholesky(0.5 * (covariance + covariance.T)))
            conditional = node.linear(guesses) + a @ solution[:-1]
            gain = torch.where(there, variance / (variance + noise * 0.5 + se2), torch.zeros_like(variance))
            node.a.copy_(1 - gain)
            node.b.copy_(gain * torch.nan_to_num(y))
            node.log_s.copy_(0.5 * torch.log(variance * (1 - gain)).clamp_min(-12.0))
            guess = (1 - gain) * conditional + gain * torch.nan_to_num(y)
        return node, guess

    def _latent(self, x: np.ndarray, group: np.ndarray, observed: np.ndarray | None) -> DrawnLatent:
        return DrawnLatent(self.graph_, torch.from_numpy(x), observed, int(self.n_draws), int(self.random_state))

    def latent(self, n_draws: int = 1000) -> pd.DataFrame:
        """Posterior of every training row's latent values: columns (task, "mean"/"std"), label units."""
        values = self.scaler_.label_units(self.graph_.latent_draws(n_draws, int(self.random_state)))
        names = self.table_.names
        columns = {}
        for t, name in enumerate(names):
            columns[name, "mean"], columns[name, "std"] = values[:, :, t].mean(axis=0), values[:, :, t].std(axis=0)
        return pd.DataFrame(columns, index=self.table_.index)

    def task_correlation(self) -> pd.DataFrame:
        """Correlation between tasks of the latent values over the training rows' features.

        Returns
        -------
        DataFrame (T, T)
            Mean over draws of the functions (the rows' own labels are not used); ``.attrs["std"]`` their spread.
        """
        latent = DrawnLatent(self.graph_, self.graph_.x, None, int(self.n_draws), int(self.random_state))
        values = latent.marginals()[0]
        centred = values - values.mean(axis=1, keepdims=True)
        size = np.sqrt((centred**2).sum(axis=1)) + 1e-300
        stack = np.einsum("snt,snu->stu", centred, centred) / (size[:, :, None] * size[:, None, :])
        names = self.table_.names
        out = pd.DataFrame(stack.mean(axis=0), names, names)
        out.attrs["std"] = pd.DataFrame(stack.std(axis=0), names, names)
        return out

    def _state(self) -> dict[str, np.ndarray]:
        state = {f"graph.{k}": v.detach().numpy() for k, v in self.graph_.state_dict().items()}
        return {**state, "elbo": self.report_.elbo, "converged": np.array([self.report_.converged])}

    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray]) -> dict[str, Any]:
        self._check(table)
        graph = order_graph(self.graph, table.names)
        x = torch.from_numpy(scaler.features(table.x))
        nodes = {
            t: Node(
                self.kernel,
                x.shape[1],
                parents,
                torch.from_numpy(state[f"graph._nodes.{t}.inducing"]),
                len(x),
                torch.ones(len(parents), dtype=torch.float64),
            )
            for t, parents in graph.items()
        }
        y = torch.from_numpy(scaler.labels(table.y))
        latent = LatentGraph(table.names, nodes, x, y, torch.from_numpy((table.se / scaler.y_scale) ** 2))
        prefix = "graph."
        arrays = {k[len(prefix) :]: torch.from_numpy(v) for k, v in state.items() if k.startswith(prefix)}
        latent.load_state_dict(arrays)
        latent.requires_grad_(False)
        report = SVIReport(state["elbo"], bool(state["converged"][0]), "restored from a file")
        return {"graph_": latent, "report_": report}
