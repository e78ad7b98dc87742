"""Explicit latent variables: a directed acyclic graph of tasks, each row with latent values for each task.

    z_it = m_t + sum_p rho_tp z_ip + g_t(z_i,pa(t)) + h_t(x_i, z_i,pa(t)) + xi_it,    y_it ~ Likelihood_t(z_it)

All latent values are inferred jointly, so that a label of the target also informs the latent source of its row.  This
is the estimator; the prior is in ``node.py`` and ``prior.py``, the posteriors are in ``by_svi.py`` and
``by_chains.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gpytorch
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bayestl import streams
from bayestl.device import tensor, to_numpy, torch_device
from bayestl.diagnostics.checks import Check, report_checks
from bayestl.diagnostics.draws import RowDraws, density_of_labels
from bayestl.distributions import check_probability
from bayestl.inference.reports import ChainReport
from bayestl.inference.sampled import correlation_over_rows
from bayestl.inference.svi.elbo import SVIReport
from bayestl.inference.threads import threads_for
from bayestl.joint import LabelsOfLatent
from bayestl.kernels.combined import Covariance, with_sources
from bayestl.models.base import BayesianModel
from bayestl.models.checks import fold_checks
from bayestl.models.latent.ancestral import AncestralLatent, graph_at_rows, latent_draws, prior_of_graph
from bayestl.models.latent.by_chains import KEPT, Chain, sample
from bayestl.models.latent.by_svi import Guide, NodeGuide, approximate
from bayestl.models.latent.edges import Edge, curve_table, edge_table, edges_of
from bayestl.models.latent.graph import arrays_below, label_blocks, parents_of, refuse_unlabelled, scaled, tensors_below
from bayestl.models.latent.node import Node
from bayestl.models.latent.prior import LatentGraph, PartData, informed_rows
from bayestl.models.latent.start import first_guess
from bayestl.models.parameters import check_positive_integers, refuse_groups
from bayestl.streams import RandomState, spawn, torch_generator, torch_normal
from bayestl.table.new_rows import Rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import Task

EDGE_POINTS = 25
"""Number of parent values at which a dependence is evaluated."""
INFERENCES = ("auto", "svi", "mcmc")
MCMC_ROWS = 100
"""Most rows at which "auto" is "mcmc"."""
START_SPREAD = 0.3
"""Standard deviation of the raw hyperparameters of further starts around the first guess."""


class LatentVariableGP(BayesianModel):
    """A graph of tasks with explicit latent values, inferred jointly.

    Parameters
    ----------
    graph : mapping of str to list of str, optional
        The parents of each task; tasks that are not named have none.  Default: the chain of the label columns.
    tasks : sequence of Task, optional
        The tasks whose likelihood, unit or cost differs from the default of their column.
    kernel : str or Covariance
        Covariance of each task's function over (x, parents), as for :class:`IndependentGP`.
    inference : {"auto", "svi", "mcmc"}
        ``"svi"``: stochastic variational inference at the best hyperparameters, for tables of any size.  ``"mcmc"``:
        draws of the latent values and of all hyperparameters by eight chains of Hamiltonian Monte Carlo, the functions
        exact; some 8 s for two tasks of 60 rows, cubic in the rows.  ``"auto"``: ``"mcmc"`` for at most 100 rows.
    n_inducing : int
        Inducing values per task (at most the number of rows), for ``"svi"``.
    max_steps : int
        Most steps of the optimiser, for ``"svi"``: first with the hyperparameters, then again for the guide alone.
    n_starts : int
        Number of starts, for ``"svi"``, with other inducing rows and nearby hyperparameters; the one with the highest
        bound is kept.  The first start is that of ``n_starts=1``.
    batch_size : int, optional
        Number of rows per step, for ``"svi"``; default: all, which is faster up to about ten thousand.
    n_draws : int
        Number of draws behind a prediction; for ``"mcmc"`` every fifth state of all chains together.
    random_state : int, RandomState, Generator or None
        Seed of the fit, as for :class:`IndependentGP`.
    verbose : bool
        Whether to show progress on a terminal.
    device : str
        Where the model computes, as for :class:`IndependentGP`.

    Attributes
    ----------
    report_ : SVIReport or ChainReport
        Trace of the evidence lower bound, or of the chains' log density, and whether it converged.

    Notes
    -----
    ``groups`` are refused; :class:`DifferenceGP` has group offsets.

    A task with parents may have no labels at all.  It is then predicted through the prior of its edge, ``rho ~ N(1,
    1)`` in the parents' units for a single parent: wide, since nothing is known about the edge.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 16)[:, None]
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
        random_state: RandomState = 0,
        verbose: bool = True,
        device: str = "cpu",
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
        self.device = device

    report_: SVIReport | ChainReport
    posterior_: Guide | Chain
    _takes_unlabelled = True

    def _scale(self, table: Table) -> Scaler:
        return scaled(self.graph, table)

    def _check(self, table: Table) -> None:
        check_positive_integers(self, "n_inducing", "max_steps", "n_starts", "n_draws")
        if self.batch_size is not None:
            check_positive_integers(self, "batch_size")
        if self.inference not in INFERENCES:
            raise ValueError(f"inference must be one of {INFERENCES}, got {self.inference!r}")
        refuse_groups(self, table, "DifferenceGP")
        refuse_unlabelled(self.graph, table)

    def _learn(self, table: Table, scaler: Scaler, seed: int) -> dict[str, Any]:
        self._check(table)
        x, data = self._at_table(table, scaler)
        with threads_for(len(x)):
            graph, guides = self._begin(table, x, data, seed)
            if self._decided(table)["inference"] == "mcmc":
                posterior, chains = sample(graph, int(self.n_draws), spawn(seed, "posterior"), self.verbose)
                return {"posterior_": posterior, "report_": chains}
            starts = [Guide(graph, guides)]
            for k in range(1, int(self.n_starts)):
                start = Guide(*self._begin(table, x, data, spawn(seed, "start", k)))
                generator = torch_generator(seed, "spread of a start", k)
                with torch.no_grad():
                    for p in start.graph.parameters():
                        p.add_(START_SPREAD * torch_normal(p.shape, generator, p))
                starts.append(start)
            size = None if self.batch_size is None else int(self.batch_size)
            guide, report = approximate(starts, int(self.max_steps), size, spawn(seed, "posterior"), self.verbose)
            return {"posterior_": guide, "report_": report}

    def _decided(self, table: Table) -> dict[str, Any]:
        auto = "mcmc" if len(table.x) <= MCMC_ROWS else "svi"
        return {"inference": auto if self.inference == "auto" else self.inference}

    def _begin(
        self, table: Table, x: Tensor, data: Sequence[PartData], seed: int
    ) -> tuple[LatentGraph, dict[int, NodeGuide]]:
        """A graph and its guides at a first guess; ``seed`` draws the inducing rows."""
        part_of = {c: (d, i) for d in data for i, c in enumerate(d.part.channels)}
        generator = streams.generator(seed, "inducing rows")
        chosen = tensor(np.sort(generator.permutation(len(x))[: int(self.n_inducing)]), x.device)
        parents_by_function = parents_of(self.graph, table)
        rows = informed_rows(parents_by_function, data)
        nodes: dict[int, Node] = {}
        guides: dict[int, NodeGuide] = {}
        guesses: dict[int, Tensor] = {}
        for c, parents in parents_by_function.items():
            kernel = self._kernel(table, parents, x.device)
            nodes[c], guides[c], guesses[c] = first_guess(
                kernel, parents, x, rows[c], *part_of[c], guesses, chosen, spawn(seed, "first guess", c)
            )
        return LatentGraph([n for p in table.parts for n in p.names], nodes, data, x, rows), guides

    def _at_table(self, table: Table, scaler: Scaler, or_cpu: bool = False) -> tuple[Tensor, list[PartData]]:
        """The scaled features and labels of a table, on the model's device."""
        device = torch_device(self.device, int(table.present.sum()), or_cpu)
        return tensor(scaler.features(table.x), device), label_blocks(table, scaler, table.labels, device)

    def _kernel(self, table: Table, parents: Sequence[int], device: torch.device) -> gpytorch.kernels.Kernel:
        """The covariance of a function of the features and of its parents' latent values."""
        names = [name for part in table.parts for name in part.names]
        with device:
            return with_sources(self.kernel, table.features, [names[p] for p in parents])

    def _graph(self, table: Table, scaler: Scaler, inducing: Callable[[int, int], Tensor]) -> LatentGraph:
        """The graph of a table at a first guess; ``inducing(c, k)`` gives the inducing inputs (m, k) of function c."""
        x, data = self._at_table(table, scaler, or_cpu=True)
        size = {c: d.part.likelihood.amplitude for d in data for c in d.part.channels}
        parents_by_function = parents_of(self.graph, table)
        nodes = {}
        for c, parents in parents_by_function.items():
            z = inducing(c, x.shape[1] + len(parents)).to(x.device)
            nodes[c] = Node(self._kernel(table, parents, x.device), parents, z, x.new_ones(len(parents)), size[c])
        return LatentGraph(
            [n for p in table.parts for n in p.names], nodes, data, x, informed_rows(parents_by_function, data)
        )

    def _prior_at_table(self, table: Table, seed: int) -> RowDraws:
        graph = self._graph(table, Scaler.identity(table), lambda _, k: tensor(np.zeros((1, k))))
        return prior_of_graph(graph, table, seed)

    def _informs_others(self) -> bool:
        return False

    def _joint(self, rows: Rows) -> LabelsOfLatent:
        new = rows.further
        device = self.posterior_.graph.x.device
        data = None if new is None else label_blocks(self.table_, self.scaler_, new, device)
        x, seed = tensor(rows.x, device), spawn(self.seed_, "new rows")
        fitted = rows.fitted(len(self.table_.x))
        latent = AncestralLatent(self.posterior_, x, data, int(self.n_draws), seed, fitted, rows.twin)
        return LabelsOfLatent(latent, self.tasks_, self.scaler_)

    def _draws_at_rows(self, n: int, seed: int) -> RowDraws:
        with threads_for(len(self.table_.x)):
            draws = graph_at_rows(self.posterior_, self.table_, n, seed)
        draws.log_likelihood = density_of_labels(self.table_, self.scaler_, draws)
        if isinstance(self.report_, ChainReport):
            k = self.report_.n_chains
            draws.n_chains = k if len(draws.latent) % k == 0 else 1
            log_density = self.report_.log_density[KEPT]
            if len(log_density) == len(draws.latent):
                draws.sample_stats = {"lp": log_density}
        return draws

    def latent(self, n_draws: int = 1000) -> pd.DataFrame:
        """Posterior of every training row's latent values: columns (latent function, "mean"/"std"), from ``n_draws``.

        In label units (for log-normal and power-normal labels, units of the logarithm or power); classes have no unit.
        """
        with threads_for(len(self.table_.x)):
            values = latent_draws(self.posterior_, n_draws, spawn(self.seed_, "latent values"))
        columns = {}
        for c, (name, (location, scale)) in enumerate(
            zip(self.posterior_.graph.names, self._channel_units(), strict=True)
        ):
            columns[name, "mean"] = location + scale * values[:, :, c].mean(axis=0)
            columns[name, "std"] = scale * values[:, :, c].std(axis=0)
        return pd.DataFrame(columns, index=self.table_.index)

    def edges(self, level: float = 0.9, n_draws: int = 200) -> pd.DataFrame:
        """How strongly, and in what shape, each latent function depends on each parent, by ``n_draws``; intervals of ``level``.

        Returns
        -------
        DataFrame
            One row per edge (task, source) that labels inform.  ``slope``, with ``std`` and the interval ``lower`` to
            ``upper``: slope of the best straight line through the partial dependence, in label units of the task per
            label unit of the source (units as for :meth:`latent`).  ``strength`` and ``strength_std``: spread of the
            dependence over the spread of the task's latent values; 0 is no dependence.  ``nonlinearity``: fraction of
            the dependence's variance that is not on the line.

        See Also
        --------
        edge_curves : the dependence itself.
        """
        tail = 0.5 * (1 - check_probability(level, "level"))
        return edge_table(self._edges(n_draws), self.posterior_.graph.names, self._channel_units(), tail)

    def edge_curves(self, level: float = 0.9, n_draws: int = 200) -> pd.DataFrame:
        """The partial dependence of each latent function on each of its parents, averaged over ``n_draws`` and the rows' other inputs.

        Returns
        -------
        DataFrame
            Columns ``task``, ``source``, ``value`` (of the source), ``mean``, ``lower``, ``upper`` (of the task, at ``level``), in
            label units as for :meth:`latent`; drawn by :func:`bayestl.report.plots.plot_edge`.
        """
        tail = 0.5 * (1 - check_probability(level, "level"))
        return curve_table(self._edges(n_draws), self.posterior_.graph.names, self._channel_units(), tail, self.table_)

    def _edges(self, n_draws: int) -> list[Edge]:
        with threads_for(len(self.table_.x)):
            return edges_of(self.posterior_, int(n_draws), EDGE_POINTS, spawn(self.seed_, "edges"))

    def _channel_units(self) -> list[tuple[float, float]]:
        """The location and scale of each latent function."""
        return [self.scaler_.units(part) for part in self.table_.parts for _ in part.channels]

    def _checks(self, transfer: bool, cv: int | None) -> Iterator[Check]:
        yield from report_checks(self.report_)
        yield from fold_checks(self, cv)

    def task_correlation(self) -> pd.DataFrame:
        """Correlation of the tasks' latent values over the training rows' features.

        Returns
        -------
        DataFrame (T, T)
            Mean over draws of the functions (the rows' labels are not used); ``.attrs["std"]`` is the spread over
            draws.
        """
        x = self.posterior_.graph.x
        with threads_for(len(x)):
            seed = spawn(self.seed_, "task correlation")
            latent = AncestralLatent(self.posterior_, x, None, int(self.n_draws), seed)
        return correlation_over_rows(latent.means, self.posterior_.graph.names)

    def _state(self) -> dict[str, np.ndarray]:
        posterior, report = self.posterior_, self.report_
        kind, arrays = (
            ("chain", posterior.state()) if isinstance(posterior, Chain) else ("guide", posterior.state_dict())
        )
        arrays = {f"{kind}.{k}": v for k, v in arrays.items()}
        arrays |= {f"graph.{k}": v for k, v in posterior.graph.state_dict().items()}
        report_arrays = {f"report.{k}": np.array(v) for k, v in vars(report).items() if k != "message"}
        return {k: to_numpy(v) for k, v in arrays.items()} | report_arrays

    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
        self._check(table)
        graph = self._graph(table, scaler, lambda c, _: tensor(state[f"graph._nodes.{c}.inducing"]))
        device = graph.x.device
        graph.load_state_dict(tensors_below(state, "graph.", device))
        graph.requires_grad_(False)
        report_state = arrays_below(state, "report.")
        if "log_density" in report_state:
            chain = Chain.from_state(graph, tensors_below(state, "chain.", device))
            return {"posterior_": chain, "report_": ChainReport.restored(report_state)}
        guide = Guide.from_state(graph, tensors_below(state, "guide.", device))
        elbo, converged, k = (report_state[name] for name in ("elbo", "converged", "pareto_k"))
        return {"posterior_": guide, "report_": SVIReport(elbo, bool(converged), "restored from a file", k.item())}
