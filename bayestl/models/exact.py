"""What the exact architectures share: a prior over (row, latent function), one engine a family of tasks.

A subclass states its prior (:meth:`ExactModel._prior`) and which tasks inform each other (:meth:`ExactModel._families`),
and nothing else.  Parts of tasks that are independent under the prior are separate families: each has its own
hyperparameters and its own covariance, so the Gaussian ones stay exact beside others that are not.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from bayestl.blocks import Covariance, build_kernel
from bayestl.inference import exact
from bayestl.inference.chains import ChainReport
from bayestl.inference.exact import FitReport
from bayestl.inference.gaussian import ExactLatent, ExactPosterior, JoinedLatent
from bayestl.inference.hmc import hmc_draws, short_chains
from bayestl.inference.labels import Data, Labels
from bayestl.inference.laplace import laplace_draws, raw_positions
from bayestl.inference.sites import Observations
from bayestl.inference.threads import threads_for
from bayestl.inference.vector import get_raw, set_raw
from bayestl.kernels import Prior, Smooth
from bayestl.models.base import BayesianModel
from bayestl.models.draws import RowDraws, Variable
from bayestl.models.heldout import held_out
from bayestl.models.rows import posterior_at_rows, prior_at_rows, prior_at_table, row_groups
from bayestl.models.training import part_data, training_data
from bayestl.progress import progress
from bayestl.table import Known, Scaler, Table
from bayestl.tasks import Task, TaskPart

LAPLACE_LABELS = 400
"""Up to so many labels ``hyperparameters="auto"`` averages over the hyperparameters' uncertainty."""
AVERAGED = 24
"""Sets of hyperparameters in that average."""
SHORT_LABELS = 250
"""Up to so many Gaussian labels it does so over short chains, beyond over a Laplace approximation."""
CHAINS, WARMUP, STATES, KEPT = 4, 100, 192, 48
"""Of ``hyperparameters="mcmc"``: chains, their first states that are dropped, the others, and how many of these all chains keep."""
SITE_CHAINS, SITE_STATES = 2, 96
"""The same where labels are not Gaussian, whose evidence takes long and one set of hyperparameters at a time."""
CHAIN_LABELS = 200
"""Up to so many labels the offsets of a difference model are averaged over a chain of hyperparameters."""
HYPERPARAMETERS = ("auto", "map", "laplace", "mcmc")
LARGEST, LARGEST_SITES = 3000, 1000
"""Labels that decide on hyperparameters, of larger tables a subset; fewer where some are not Gaussian."""


@dataclass
class Family:
    """Parts of tasks that inform each other, and what was learnt of them."""

    parts: tuple[TaskPart, ...]
    prior: Prior
    """At the hyperparameters' maximum, in scaled units."""
    report: FitReport
    posterior: ExactPosterior
    draws: np.ndarray | None = None
    """Of the hyperparameters, once they have been made."""

    @property
    def channels(self) -> list[int]:
        """Positions of its latent functions among those of all tasks."""
        return [c for part in self.parts for c in part.channels]


class ExactModel(BayesianModel):
    """Base of the models whose posterior is exact given the hyperparameters.

    Attributes
    ----------
    families_ : list of Family
        What informs what: the prior at the hyperparameters' maximum, how their optimisation went, the posterior.
    """

    def __init__(
        self,
        tasks: Sequence[Task] | None = None,
        kernel: str | Covariance = "matern52",
        hyperparameters: str = "auto",
        n_starts: int = 2,
        random_state: int = 0,
        verbose: bool = True,
    ) -> None:
        self.tasks = tasks
        self.kernel = kernel
        self.hyperparameters = hyperparameters
        self.n_starts = n_starts
        self.random_state = random_state
        self.verbose = verbose

    families_: list[Family]
    _labels_are_inputs = False
    """Whether a label of a row is an input of another task's function there, so that rows are not jointly Gaussian."""

    @abstractmethod
    def _families(self, table: Table) -> list[tuple[TaskPart, ...]]:
        """The parts of all tasks, those together that inform each other."""

    @abstractmethod
    def _prior(self, table: Table, parts: tuple[TaskPart, ...], columns: Sequence[str]) -> Prior:
        """The architecture's prior for a family's functions of inputs with these names, hyperparameters at a first guess."""

    def _columns(self, table: Table, parts: tuple[TaskPart, ...], d: int) -> Sequence[str]:
        """Names of the ``d`` inputs of a family's functions."""
        return table.features

    def _smooth(self, columns: Sequence[str]) -> Smooth:
        """A smooth function of x with the kernel that the user asked for."""
        return Smooth(build_kernel(self.kernel, columns))

    def _learn(self, table: Table, scaler: Scaler) -> dict[str, Any]:
        self._check()
        x = scaler.features(table.x)
        return {"families_": [self._learn_family(table, scaler, parts, x) for parts in self._families(table)]}

    def _check(self) -> None:
        if self.hyperparameters not in HYPERPARAMETERS:
            raise ValueError(f"hyperparameters must be one of {HYPERPARAMETERS}, got {self.hyperparameters!r}")
        self._check_positive_integers("n_starts")

    def _learn_family(self, table: Table, scaler: Scaler, parts: tuple[TaskPart, ...], x: np.ndarray) -> Family:
        """Hyperparameters and posterior of a family from inputs ``x`` (n, d) of the table's rows."""
        prior = self._prior(table, parts, self._columns(table, parts, x.shape[1]))
        data = training_data(table, scaler, parts, x)
        what = f"{type(self).__name__}, {', '.join(dict.fromkeys(p.names[0] for p in parts))}"
        seed = int(self.random_state)
        with progress(f"{what}: hyperparameters", verbose=self.verbose) as update:
            report = exact.fit(
                prior,
                data,
                seed=seed,
                n_starts=int(self.n_starts),
                largest=LARGEST_SITES if isinstance(data, Observations) else LARGEST,
                callback=lambda stage, i, value: update(
                    completed=i, description=f"{what}: {stage}, log posterior a label {value:.3f}"
                ),
            )
        draws = get_raw(prior)[None]
        if self.hyperparameters == "mcmc":
            draws, report.chain = self._chains(prior, data)
        elif sampler := self._sampler(data):
            draws = sampler(prior, data, AVERAGED, seed)
        posterior = ExactPosterior.of(prior, data, draws)
        report.jitter = posterior.jitter
        return Family(parts, prior, report, posterior)

    def _sampler(self, data: Data) -> Callable[[Prior, Data, int, int], np.ndarray] | None:
        """What draws the hyperparameters that predictions are averaged over; None where they are fixed, or chains are kept."""
        n, auto = len(data), self.hyperparameters == "auto"
        if auto and n <= SHORT_LABELS and isinstance(data, Labels):
            return short_chains
        return laplace_draws if self.hyperparameters == "laplace" or (auto and n <= LAPLACE_LABELS) else None

    def _chains(self, prior: Prior, data: Data) -> tuple[np.ndarray, ChainReport]:
        """Every so many states of chains of the hyperparameters, one chain after another."""
        chains, states = (CHAINS, STATES) if isinstance(data, Labels) else (SITE_CHAINS, SITE_STATES)
        what = f"{type(self).__name__}: chains of hyperparameters"
        with progress(what, total=WARMUP + states, verbose=self.verbose) as update:
            draws, report = hmc_draws(
                prior,
                data,
                states,
                int(self.random_state),
                warmup=WARMUP,
                chains=chains,
                callback=lambda i: update(completed=i),
            )
        thin = len(draws) // KEPT
        return draws[thin - 1 :: thin], report

    def _latent(self, x: np.ndarray, group: np.ndarray, observed: Known | None) -> JoinedLatent:
        return JoinedLatent([(f.parts, self._family_latent(f, x, group, observed)) for f in self.families_])

    def _family_latent(self, family: Family, x: np.ndarray, group: np.ndarray, observed: Known | None) -> ExactLatent:
        """The latent values of a family at inputs ``x`` (n, d), given the labels that are known there."""
        inputs, codes = torch.from_numpy(x), torch.from_numpy(group)
        posterior = family.posterior
        if observed is not None:
            se = np.zeros_like(observed.y)
            extra = part_data(inputs, codes, observed, se, self.scaler_, self.tasks_, family.parts)
            posterior = posterior if extra is None else posterior.condition(extra)
        return posterior.at(inputs, codes)

    def _family_inputs(self, family: Family) -> np.ndarray:
        """Inputs (n, k) of a family's functions at the rows of the table."""
        return self.scaler_.features(self.table_.x)

    def _family_data(self, family: Family) -> Data:
        """The labels that a family was fitted to."""
        return training_data(self.table_, self.scaler_, family.parts, self._family_inputs(family))

    def _at_rows(self, family: Family, rows: np.ndarray) -> ExactLatent:
        """The latent values of a family at rows of the table."""
        codes = row_groups(self.table_)[rows]
        return family.posterior.at(torch.from_numpy(self._family_inputs(family)[rows]), torch.from_numpy(codes))

    def leave_one_out(self, refit: bool = False) -> pd.DataFrame:
        """Every training label predicted from all others, at the hyperparameters' posterior, without fitting again.

        Parameters
        ----------
        refit : bool
            Fit again without each label whose ``sensitivity`` is above 0.2, one fit a label: few labels of small tables, and
            those that nothing else would have foretold.

        Returns
        -------
        DataFrame
            A row a label: ``task``, ``row`` (position in the table), ``y``, ``log_density`` (nats, label units), ``pit``
            (uniform where the model is calibrated), ``sensitivity`` (variance of the log density over the draws of the
            hyperparameters; NaN where they are fixed), ``mean`` and ``std``; of classes ``y`` is a position and ``p0``,
            ``p1`` ... are their probabilities.  Other labels of the same row stay known, as with ``hide="target"``.

        Raises
        ------
        ValueError
            For tables so large that they are summarised by inducing values.

        Notes
        -----
        Exact for Gaussian labels at fixed hyperparameters; for other labels the pseudo-labels of the others are held fixed.
        Hyperparameters that have seen the label are weighed back by importance ratios, which are cut off; points are not.
        Where the ratios vary too much, the label's density is too high: a sensitivity above 0.4 tells of that (Vehtari, Gelman,
        Gabry 2017, *Practical Bayesian model evaluation using leave-one-out cross-validation and WAIC*).
        """
        check_is_fitted(self, "table_")
        with threads_for(len(self.table_.x)):
            frames = [held.frame(name, t) for t, (name, held) in enumerate(held_out(self, self.families_).items())]
        found = pd.concat(frames, ignore_index=True)
        if not refit:
            return found
        from bayestl.models.crossfit import with_refits

        return with_refits(self, found)

    def as_botorch(self, outputs: Sequence[str] | str | None = None) -> Any:
        """The fitted model as a ``botorch.models.model.Model`` (needs the extra ``active``).

        See :func:`bayestl.active.botorch.as_botorch`.
        """
        from bayestl.active.botorch import as_botorch

        return as_botorch(self, outputs)

    def _hyperparameter_draws(self, family: Family, n: int = 100) -> np.ndarray:
        """Draws of the raw hyperparameters: every third state of chains up to :data:`CHAIN_LABELS` labels, made once.

        Beyond, from the Laplace approximation of those that mix the processes, the others fixed.
        """
        if family.draws is None:
            data = self._family_data(family)
            seed = int(self.random_state)
            if len(data) <= CHAIN_LABELS:
                chains = CHAINS if isinstance(data, Labels) else SITE_CHAINS
                what, states = f"{type(self).__name__}: posterior of the hyperparameters", -(-3 * n // chains)
                with progress(what, total=WARMUP + states, verbose=self.verbose) as update:
                    draws, _ = hmc_draws(
                        family.prior,
                        data,
                        states,
                        seed,
                        warmup=WARMUP,
                        chains=chains,
                        callback=lambda i: update(completed=i),
                    )
                    family.draws = draws[2::3]
            else:
                family.draws = self._mixing_draws(family, data, n)
        return family.draws

    def _mixing_draws(self, family: Family, data: Data, n: int) -> np.ndarray:
        """Draws from the Laplace approximation of the hyperparameters that mix the processes, the others fixed."""
        which = raw_positions(family.prior, "mixing.")
        if len(data) > LARGEST:
            data = data.subset(LARGEST, np.random.default_rng(int(self.random_state)))
        return laplace_draws(family.prior, data, n, int(self.random_state), which)

    def _draws_at_rows(self, n: int, seed: int) -> RowDraws:
        return posterior_at_rows(self, n, seed)

    def _prior_at_rows(self, n: int, seed: int) -> RowDraws:
        return prior_at_rows(self, n, seed)

    def _prior_at_table(self, table: Table, seed: int) -> RowDraws:
        return prior_at_table(self, table, seed)

    def _effects(self, family: Family, component: np.ndarray, generator: np.random.Generator) -> dict[str, Variable]:
        """Draws of further quantities that an architecture speaks of, one from each of the given components."""
        return {}

    def task_correlation(self) -> pd.DataFrame:
        """Correlation between tasks of the latent functions over x, with its uncertainty.

        Returns
        -------
        DataFrame (T, T)
            The prior correlation of ``f_t(x)`` and ``f_t'(x)`` at the fitted hyperparameters, averaged over their
            uncertainty; ``.attrs["std"]`` is a DataFrame of the same shape.  Constants do not count.  A task with
            several latent functions has a row for each.
        """
        names = [name for part in self.table_.parts for name in part.names]
        mean, spread = np.eye(len(names)), np.zeros((len(names), len(names)))
        for family in self.families_:
            place = np.ix_(family.channels, family.channels)
            mean[place], spread[place] = self._correlation(family)
        out = pd.DataFrame(mean, names, names)
        out.attrs["std"] = pd.DataFrame(spread, names, names)
        return out

    def _correlation(self, family: Family) -> tuple[np.ndarray, np.ndarray]:
        if len(family.channels) == 1:
            return np.ones((1, 1)), np.zeros((1, 1))
        prior = family.prior
        varying = [p for p, process in enumerate(prior) if isinstance(process, Smooth)]
        raw = get_raw(prior)
        correlations = []
        draws = family.posterior.draws
        if len(draws) == 1:
            draws = self._mixing_draws(family, self._family_data(family), AVERAGED)
        with torch.no_grad():
            for draw in draws:
                set_raw(prior, draw)
                w = prior.mixing.weights()[:, varying].numpy()
                size = np.sqrt((w**2).sum(axis=1))
                correlations.append(w @ w.T / np.outer(size, size))
        set_raw(prior, raw)
        stack = np.stack(correlations)
        return stack.mean(axis=0), stack.std(axis=0)

    def _state(self) -> dict[str, np.ndarray]:
        state: dict[str, np.ndarray] = {}
        for i, family in enumerate(self.families_):
            report = family.report
            labels = [c.labels for c in family.posterior.components]
            if labels[0].site is not None and family.posterior.components[0].full:  # they need not be found again
                state[f"{i}.site"] = labels[0].site.numpy()
                state[f"{i}.y"] = np.stack([c.y.numpy() for c in labels])
                state[f"{i}.se2"] = np.stack([c.se2.numpy() for c in labels])
            state |= {
                f"{i}.raw": get_raw(family.prior),
                f"{i}.draws": family.posterior.draws,
                f"{i}.weights": family.posterior.weights,
                f"{i}.report": np.array(
                    [
                        report.log_posterior,
                        report.gradient_norm,
                        report.converged,
                        report.n_evaluations,
                        report.n_starts,
                        report.jitter,
                    ]
                ),
            }
            if report.chain is not None:
                state |= {f"{i}.chain.{k}": np.array(v) for k, v in vars(report.chain).items()}
        return state

    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray]) -> dict[str, Any]:
        x = scaler.features(table.x)
        return {
            "families_": [
                self._restore_family(table, scaler, parts, x, state, i) for i, parts in enumerate(self._families(table))
            ]
        }

    def _restore_family(
        self,
        table: Table,
        scaler: Scaler,
        parts: tuple[TaskPart, ...],
        x: np.ndarray,
        state: dict[str, np.ndarray],
        i: int,
    ) -> Family:
        prior = self._prior(table, parts, self._columns(table, parts, x.shape[1]))
        set_raw(prior, state[f"{i}.raw"])
        value, gradient, converged, evaluations, starts, jitter = state[f"{i}.report"].tolist()
        report = FitReport(
            value, gradient, bool(converged), "restored from a file", int(evaluations), int(starts), jitter
        )
        if chain := {k.split(".")[-1]: v for k, v in state.items() if k.startswith(f"{i}.chain.")}:
            trace = chain.pop("log_density")
            report.chain = ChainReport(trace, **{k: v.item() for k, v in chain.items()})
        data = training_data(table, scaler, parts, x)
        each: Data | list[Data] = data
        if f"{i}.site" in state:
            points, site = data.points, torch.from_numpy(state[f"{i}.site"])
            pairs = zip(state[f"{i}.y"], state[f"{i}.se2"], strict=True)
            each = [Labels(points, torch.from_numpy(y), torch.from_numpy(v), site) for y, v in pairs]
        posterior = ExactPosterior.of(prior, each, state[f"{i}.draws"], state[f"{i}.weights"])
        return Family(parts, prior, report, posterior)


def jointly_gaussian(model: BayesianModel) -> TypeGuard[ExactModel]:
    """Whether the latent values of all rows and tasks are jointly Gaussian given the hyperparameters."""
    return isinstance(model, ExactModel) and not model._labels_are_inputs
