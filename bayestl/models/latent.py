"""Explicit latent variables: a directed acyclic graph of tasks, each row with latent values for each task.

    z_it = m_t + sum_p rho_tp z_ip + g_t(z_i,pa(t)) + h_t(x_i, z_i,pa(t)) + xi_it,    y_it ~ Likelihood_t(z_it)

All latent values are inferred together, so that a label of the target also informs the latent source of its row.  The
prior is in ``models/graph.py``, its posteriors in ``models/guide.py`` and ``models/collapsed.py``; this is the estimator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gpytorch
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bayestl.blocks import Covariance, with_sources
from bayestl.distributions import check_probability
from bayestl.inference.chains import ChainReport
from bayestl.inference.hmc import chains_in_step
from bayestl.inference.laplace import covariance_root, inverse_curvature
from bayestl.inference.threads import threads_for
from bayestl.inference.variational import SVIReport, log_weights, maximise_elbo, pareto_k
from bayestl.models.ancestry import DrawnLatent, graph_at_rows, latent_draws, prior_of_graph
from bayestl.models.base import BayesianModel
from bayestl.models.collapsed import Chain, Collapsed
from bayestl.models.drawn import correlation_over_rows
from bayestl.models.draws import RowDraws, density_of_labels
from bayestl.models.edges import Edge, edges_of
from bayestl.models.first_guess import first_guess
from bayestl.models.graph import LatentGraph, Node, PartData, informed_rows, row_blocks
from bayestl.models.guide import Guide, Minibatches, NodeGuide
from bayestl.models.structure import label_blocks, parents_of, refuse_unlabelled, scaled
from bayestl.progress import progress
from bayestl.table import Known, Scaler, Table
from bayestl.tasks import Task

EDGE_POINTS = 25
"""Values of a parent at which a dependence is evaluated."""
INFERENCES = ("auto", "svi", "mcmc")
MCMC_ROWS = 100
"""Up to so many rows "auto" is "mcmc"."""
START_SPREAD, SETTLED = 0.3, 100
"""How far the raw hyperparameters of further starts are from the first guess, and the last steps by which they are compared."""
WEIGHED = 500
"""Draws from the guide that are weighed against the posterior."""
CHAINS, WARMUP, STATES_A_DRAW, MEAN_STEPS = 8, 120, 5, 6
"""Chains, states of each in which it adapts, states for each draw that is kept, and leapfrog steps of a trajectory."""
KEPT = slice(STATES_A_DRAW - 1, None, STATES_A_DRAW)


class LatentVariableGP(BayesianModel):
    """A graph of tasks with explicit latent values, inferred jointly.

    Parameters
    ----------
    graph : mapping of str to list of str, optional
        The parents of each task; tasks that are not named have none.  Default: the chain of the label columns.
    tasks : sequence of Task, optional
        Where the default of a column is not right.
    kernel : str or Covariance
        Covariance of each task's function over (x, parents), as for :class:`IndependentGP`.
    inference : {"auto", "svi", "mcmc"}
        ``"svi"``: stochastic variational inference at the best hyperparameters, for tables of any size.  ``"mcmc"``: draws of
        the latent values and of all hyperparameters by eight tempered chains of Hamiltonian Monte Carlo, the functions exact;
        some 20 s for 50 rows, and cubic in them.  ``"auto"``: ``"mcmc"`` for at most 100 rows.
    n_inducing : int
        Inducing values a task (at most the number of rows), for ``"svi"``.
    max_steps : int
        Of the optimiser, for ``"svi"``: first of everything, then as many at the most of the guide alone.
    n_starts : int
        For ``"svi"``: starts with other inducing rows and hyperparameters nearby, of which the one with the highest bound
        is kept; the first is the one of ``n_starts=1``.
    batch_size : int, optional
        Rows of a step, for ``"svi"``; default: all, which is faster up to some ten thousand.
    n_draws : int
        Draws behind a prediction; for ``"mcmc"`` every fifth state of all chains together.
    random_state : int
        Every fit repeats exactly from it.
    verbose : bool
        Progress on a terminal.

    Attributes
    ----------
    report_ : SVIReport or ChainReport
        Trace of the evidence lower bound, or of the log density of the chain, and whether it settled.

    Notes
    -----
    ``groups`` are refused: :class:`DifferenceGP` has offsets of groups.

    A task with parents may have no labels at all.  It is then predicted through the prior of its edge, ``rho ~ N(1, 1)``
    in the parents' units for a single parent: wide, since nothing is known of how it follows them.

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
        kernel: str | Covariance = "matern52",
        inference: str = "auto",
        n_inducing: int = 64,
        max_steps: int = 2000,
        n_starts: int = 1,
        batch_size: int | None = None,
        n_draws: int = 200,
        random_state: int = 0,
        verbose: bool = True,
    ) -> None:
        self.graph = graph
        self.tasks = tasks
        self.kernel = kernel
        self.inference = inference
        self.n_inducing = n_inducing
        self.max_steps = max_steps
        self.n_starts = n_starts
        self.batch_size = batch_size
        self.n_draws = n_draws
        self.random_state = random_state
        self.verbose = verbose

    report_: SVIReport | ChainReport
    posterior_: Guide | Chain
    _takes_unlabelled = True

    def _scale(self, table: Table) -> Scaler:
        return scaled(self.graph, table)

    def _check(self, table: Table) -> None:
        self._check_positive_integers("n_inducing", "max_steps", "n_starts", "n_draws")
        if self.batch_size is not None:
            self._check_positive_integers("batch_size")
        if self.inference not in INFERENCES:
            raise ValueError(f"inference must be one of {INFERENCES}, got {self.inference!r}")
        self._refuse_groups(table, "DifferenceGP")
        refuse_unlabelled(self.graph, table)

    def _learn(self, table: Table, scaler: Scaler) -> dict[str, Any]:
        self._check(table)
        x = torch.from_numpy(scaler.features(table.x))
        data = label_blocks(table, scaler, Known(table.y, table.high), table.se)
        seed = int(self.random_state)
        with threads_for(len(x)):
            graph, guides = self._begin(table, x, data, seed)
            if self.inference == "mcmc" or (self.inference == "auto" and len(x) <= MCMC_ROWS):
                return self._sample(graph)
            starts = [Guide(graph, guides)]
            for k in range(1, int(self.n_starts)):
                other = Guide(*self._begin(table, x, data, seed + k))
                generator = torch.Generator().manual_seed(seed + k)
                with torch.no_grad():
                    for p in other.graph.parameters():
                        p.add_(START_SPREAD * torch.randn(p.shape, generator=generator, dtype=p.dtype))
                starts.append(other)
            return self._approximate(starts)

    def _begin(
        self, table: Table, x: Tensor, data: Sequence[PartData], seed: int
    ) -> tuple[LatentGraph, dict[int, NodeGuide]]:
        """A graph and its guides at a first guess; the inducing rows are drawn from ``seed``."""
        home = {c: (d, i) for d in data for i, c in enumerate(d.part.channels)}
        generator = np.random.default_rng(seed)
        chosen = torch.from_numpy(np.sort(generator.permutation(len(x))[: int(self.n_inducing)]))
        above = parents_of(self.graph, table)
        rows = informed_rows(above, data)
        nodes: dict[int, Node] = {}
        guides: dict[int, NodeGuide] = {}
        guesses: dict[int, Tensor] = {}
        for c, parents in above.items():
            kernel = self._kernel(table, parents)
            nodes[c], guides[c], guesses[c] = first_guess(kernel, parents, x, rows[c], *home[c], guesses, chosen, seed)
        return LatentGraph([n for p in table.parts for n in p.names], nodes, data, x, rows), guides

    def _approximate(self, starts: Sequence[Guide]) -> dict[str, Any]:
        """Guides and the hyperparameters of their graphs at the best bound; then the best guide alone, in smaller steps."""
        firsts = [self._climb(g, [*g.graph.parameters(), *g.parameters()], 0.03) for g in starts]
        best = int(np.argmax([r.elbo[-SETTLED:].mean() for r in firsts]))
        guide, first = starts[best], firsts[best]
        graph = guide.graph
        graph.requires_grad_(False)
        report = first.then(self._climb(guide, list(guide.parameters()), 0.003))
        guide.requires_grad_(False)
        lots = row_blocks(WEIGHED, len(graph.x) * max(len(node.inducing) for node in graph.nodes))
        weights = [
            log_weights(graph.model, guide.program, len(range(WEIGHED)[lot]), int(self.random_state) + lot.start)
            for lot in lots
        ]
        report.pareto_k = pareto_k(np.concatenate(weights))
        return {"posterior_": guide, "report_": report}

    def _climb(self, guide: Guide, parameters: Sequence[Tensor], learning_rate: float) -> SVIReport:
        graph = guide.graph
        model: Callable[[], None] = graph.model
        program: Callable[[], None] = guide.program
        if self.batch_size is not None and self.batch_size < len(graph.x):
            batches = Minibatches(guide, int(self.batch_size), int(self.random_state))
            model, program = batches.model, batches.program
        with progress("LatentVariableGP", total=int(self.max_steps), verbose=self.verbose) as update:
            return maximise_elbo(
                model,
                program,
                parameters,
                scale=graph.n_labels,
                steps=int(self.max_steps),
                learning_rate=learning_rate,
                seed=int(self.random_state),
                callback=lambda i, value: update(
                    completed=i, description=f"LatentVariableGP: bound a label {value:.3f}"
                ),
            )

    def _sample(self, graph: LatentGraph) -> dict[str, Any]:
        """Chains over the latent values and the hyperparameters."""
        density = Collapsed(graph)
        start, k = density.start(), density.n_hyperparameters
        kept = -(-int(self.n_draws) // CHAINS)
        states = STATES_A_DRAW * kept
        with progress("LatentVariableGP: states", total=WARMUP + states, verbose=self.verbose) as update:
            root = np.eye(len(start))
            root[:k, :k] = covariance_root(inverse_curvature(density.gradients, start, np.arange(k)))
            points, report = chains_in_step(
                density,
                start,
                root,
                states,
                int(self.random_state),
                warmup=WARMUP,
                chains=CHAINS,
                learn=k,
                mean_steps=MEAN_STEPS,
                callback=lambda i: update(completed=i),
            )
        report.warn_unless_converged()
        graph.requires_grad_(False)
        return {"posterior_": Chain.of(graph, density, points[KEPT], int(self.random_state)), "report_": report}

    def _kernel(self, table: Table, parents: Sequence[int]) -> gpytorch.kernels.Kernel:
        """The covariance of a function over the features and the latent values of its parents."""
        names = [name for part in table.parts for name in part.names]
        return with_sources(self.kernel, table.features, [names[p] for p in parents])

    def _graph(self, table: Table, scaler: Scaler, inducing: Callable[[int, int], Tensor]) -> LatentGraph:
        """The graph of a table at a first guess of its hyperparameters; ``inducing`` inputs (m, k) of function c."""
        x = torch.from_numpy(scaler.features(table.x))
        data = label_blocks(table, scaler, Known(table.y, table.high), table.se)
        size = {c: d.part.likelihood.amplitude for d in data for c in d.part.channels}
        above = parents_of(self.graph, table)
        nodes = {}
        for c, parents in above.items():
            signs = torch.ones(len(parents), dtype=torch.float64)
            at = inducing(c, x.shape[1] + len(parents))
            nodes[c] = Node(self._kernel(table, parents), parents, at, signs, size[c])
        return LatentGraph([n for p in table.parts for n in p.names], nodes, data, x, informed_rows(above, data))

    def _prior_at_table(self, table: Table, seed: int) -> RowDraws:
        graph = self._graph(table, Scaler.identity(table), lambda _, k: torch.zeros(1, k, dtype=torch.float64))
        return prior_of_graph(graph, table, seed)

    def _latent(self, x: np.ndarray, group: np.ndarray, observed: Known | None) -> DrawnLatent:
        data = None
        if observed is not None:
            data = label_blocks(self.table_, self.scaler_, observed, np.zeros_like(observed.y))
        return DrawnLatent(self.posterior_, torch.from_numpy(x), data, int(self.n_draws), int(self.random_state))

    def _draws_at_rows(self, n: int, seed: int) -> RowDraws:
        with threads_for(len(self.table_.x)):
            draws = graph_at_rows(self.posterior_, self.table_, n, seed)
        draws.log_likelihood = density_of_labels(self.table_, self.scaler_, draws)
        if isinstance(self.report_, ChainReport):
            k = self.report_.n_chains
            draws.n_chains = k if len(draws.latent) % k == 0 else 1
            kept = self.report_.log_density[KEPT]
            if len(kept) == len(draws.latent):
                draws.sample_stats = {"lp": kept}
        return draws

    def latent(self, n_draws: int = 1000) -> pd.DataFrame:
        """Posterior of every training row's latent values: columns (latent function, "mean"/"std").

        In label units (log-normal and power-normal labels: of their logarithm or power); those of classes have no unit.
        """
        with threads_for(len(self.table_.x)):
            values = latent_draws(self.posterior_, n_draws, int(self.random_state))
        columns = {}
        for c, (name, (location, scale)) in enumerate(
            zip(self.posterior_.graph.names, self._channel_units(), strict=True)
        ):
            columns[name, "mean"] = location + scale * values[:, :, c].mean(axis=0)
            columns[name, "std"] = scale * values[:, :, c].std(axis=0)
        return pd.DataFrame(columns, index=self.table_.index)

    def edges(self, level: float = 0.9, n_draws: int = 200) -> pd.DataFrame:
        """How strongly, and in what shape, each latent function depends on each of its parents.

        Returns
        -------
        DataFrame
            A row an edge that labels inform, (task, source).  ``slope``, with ``std`` and the interval ``lower`` to
            ``upper``: of the best straight line through the partial dependence, label units of the task per label unit of
            the source (see :meth:`latent` for the units).  ``strength`` and its ``strength_std``: spread of the dependence
            over the spread of the task's latent values; 0 is none.  ``nonlinearity``: fraction of the dependence that is not on the line.

        See Also
        --------
        edge_curves : the dependence itself.
        """
        tail = 0.5 * (1 - check_probability(level, "level"))
        names, scales = self.posterior_.graph.names, [scale for _, scale in self._channel_units()]
        rows = {}
        for edge in self._edges(n_draws):
            slope = edge.slope * scales[edge.child] / scales[edge.parent]
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

    def edge_curves(self, level: float = 0.9, n_draws: int = 200) -> pd.DataFrame:
        """The partial dependence of each latent function on each of its parents, other inputs as the rows have them.

        Returns
        -------
        DataFrame
            Columns ``task``, ``source``, ``value`` (of the source), ``mean``, ``lower``, ``upper`` (of the task), in label
            units as :meth:`latent` has them; drawn by :func:`bayestl.plots.plot_edge`.
        """
        tail = 0.5 * (1 - check_probability(level, "level"))
        names, units = self.posterior_.graph.names, self._channel_units()
        out = []
        for edge in self._edges(n_draws):
            (location, scale), (from_, by) = units[edge.child], units[edge.parent]
            values = location + scale * edge.mean
            lower, upper = np.quantile(values, [tail, 1 - tail], axis=0)
            curve = {"value": from_ + by * edge.at, "mean": values.mean(axis=0), "lower": lower, "upper": upper}
            out.append(pd.DataFrame({"task": names[edge.child], "source": names[edge.parent], **curve}))
        columns = ["task", "source", "value", "mean", "lower", "upper"]
        return pd.concat(out, ignore_index=True) if out else pd.DataFrame(columns=columns)

    def _edges(self, n_draws: int) -> list[Edge]:
        with threads_for(len(self.table_.x)):
            return edges_of(self.posterior_, int(n_draws), EDGE_POINTS, int(self.random_state))

    def _channel_units(self) -> list[tuple[float, float]]:
        """Location and scale of each latent function."""
        return [self.scaler_.units(part) for part in self.table_.parts for _ in part.channels]

    def task_correlation(self) -> pd.DataFrame:
        """Correlation between tasks of the latent values over the training rows' features.

        Returns
        -------
        DataFrame (T, T)
            Mean over draws of the functions (the rows' own labels are not used); ``.attrs["std"]`` their spread.
        """
        x = self.posterior_.graph.x
        with threads_for(len(x)):
            latent = DrawnLatent(self.posterior_, x, None, int(self.n_draws), int(self.random_state))
        return correlation_over_rows(latent.means, self.posterior_.graph.names)

    def _state(self) -> dict[str, np.ndarray]:
        posterior, report = self.posterior_, self.report_
        kind, arrays = (
            ("chain", posterior.state()) if isinstance(posterior, Chain) else ("guide", posterior.state_dict())
        )
        arrays = {f"{kind}.{k}": v for k, v in arrays.items()}
        arrays |= {f"graph.{k}": v for k, v in posterior.graph.state_dict().items()}
        told = {f"report.{k}": np.array(v) for k, v in vars(report).items() if k != "message"}
        return {k: v.detach().numpy() for k, v in arrays.items()} | told

    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray]) -> dict[str, Any]:
        self._check(table)
        graph = self._graph(table, scaler, lambda c, _: torch.from_numpy(state[f"graph._nodes.{c}.inducing"]))
        graph.load_state_dict(_below(state, "graph."))
        graph.requires_grad_(False)
        told = _below(state, "report.")
        if "log_density" in told:
            trace = told.pop("log_density").numpy()
            chain = ChainReport(trace, **{k: v.item() for k, v in told.items()})  # type: ignore[arg-type]
            return {"posterior_": Chain.from_state(graph, _below(state, "chain.")), "report_": chain}
        guide = Guide(graph, {c: NodeGuide(len(n.inducing), len(graph.rows[c])) for c, n in enumerate(graph.nodes)})
        guide.load_state_dict(_below(state, "guide."))
        guide.requires_grad_(False)
        report = SVIReport(
            told["elbo"].numpy(), bool(told["converged"]), "restored from a file", told["pareto_k"].item()
        )
        return {"posterior_": guide, "report_": report}


def _below(state: Mapping[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): torch.from_numpy(v) for k, v in state.items() if k.startswith(prefix)}
