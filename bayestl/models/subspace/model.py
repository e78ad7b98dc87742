"""Many tasks with few labels each: linear functions whose coefficients lie in a shared subspace of unknown rank.

    f_t(x) = m_t + x' w_t,      w_t = U a_t,      U (d, K),      rank = number of directions that are on

The Bayesian form of few-shot linear representation learning (Tripuraneni, Jin, Jordan 2021, *Provable meta-learning of
linear representations*): one task alone has too few labels for its d coefficients, all tasks together have enough for
the subspace.  This is the estimator; the sampler is in ``gibbs.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayestl.device import tensor, to_numpy
from bayestl.diagnostics.checks import Check, chain_checks
from bayestl.diagnostics.draws import RowDraws, Variable, density_of_labels
from bayestl.inference.sampled import SampledLatent, correlation_over_rows, systematic
from bayestl.joint import LabelsOfLatent
from bayestl.likelihoods import Gaussian, Setting
from bayestl.models.base import BayesianModel
from bayestl.models.checks import fold_checks
from bayestl.models.parameters import check_positive_integers, refuse_groups
from bayestl.models.subspace.gibbs import LowRankDraws, draw_low_rank
from bayestl.progress import progress
from bayestl.streams import RandomState, RowStreams, spawn
from bayestl.table.measured import Measured
from bayestl.table.new_rows import Rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import Task, TaskPart

DECIMALS = 10
"""Decimals of scaled features and labels: other units round differently, and a chain enlarges that."""


class LowRankLinear(BayesianModel):
    """Linear functions of many tasks in a shared subspace, whose rank is inferred.

    Parameters
    ----------
    max_rank : int
        Largest possible rank.
    n_draws : int
        Number of states of the Markov chain behind a prediction.
    n_warmup : int
        Number of states before those, which are dropped.
    tasks : sequence of Task, optional
        The tasks whose likelihood, unit or cost differs from the default of their column; labels must be Gaussian, or
        Gaussian after a logarithm or power.
    random_state : int, RandomState, Generator or None
        Seed of the fit, as for :class:`IndependentGP`.
    verbose : bool
        Whether to show progress on a terminal.

    Attributes
    ----------
    draws_ : LowRankDraws
        The states of the chain, in scaled units.

    Notes
    -----
    Functions are linear in the features, so choose features in which they are.  Mean, coefficients and noise of a task share a
    scale, of which the spread of its labels is a first guess only.  ``groups`` are refused.  Labels known
    at prediction give importance weights to the states of the chain, row by row.

    Examples
    --------
    >>> import numpy as np, bayestl as btl
    >>> rng = np.random.default_rng(1)
    >>> x = rng.standard_normal((60, 6))
    >>> every = x @ np.outer([1, -1, 0, 0, 2, 0], rng.standard_normal(20))     # 20 tasks, one direction
    >>> Y = np.where(rng.uniform(size=every.shape) < 0.1, every, np.nan)      # about 6 labels each
    >>> model = btl.LowRankLinear(verbose=False).fit(x, Y)
    >>> int(model.rank().idxmax())
    1
    """

    def __init__(
        self,
        max_rank: int = 8,
        n_draws: int = 500,
        n_warmup: int = 500,
        tasks: Sequence[Task] | None = None,
        random_state: RandomState = 0,
        verbose: bool = True,
    ) -> None:
        self.max_rank = max_rank
        self.n_draws = n_draws
        self.n_warmup = n_warmup
        self.tasks = tasks
        self.random_state = random_state
        self.verbose = verbose

    draws_: LowRankDraws

    def _check(self, table: Table) -> None:
        check_positive_integers(self, "max_rank", "n_draws", "n_warmup")
        refuse_groups(self, table, "MultiTaskGP")
        for task in table.tasks:
            if not isinstance(task.observes, Gaussian):
                raise ValueError(
                    f"task {task.name!r} has {type(task.observes).__name__} labels: LowRankLinear takes Gaussian ones "
                    "(LogNormal and PowerNormal too); use MultiTaskGP"
                )

    def _learn(self, table: Table, scaler: Scaler, seed: int) -> dict[str, Any]:
        self._check(table)
        y, se2 = self._labels(table.parts, table.tasks, scaler, table.labels)
        total = int(self.n_warmup) + int(self.n_draws)
        with progress("LowRankLinear: states of the chain", total=total, verbose=self.verbose) as update:
            draws = draw_low_rank(
                scaler.features(table.x).round(DECIMALS),
                y.round(DECIMALS),
                se2.round(DECIMALS),
                max_rank=int(self.max_rank),
                n_draws=int(self.n_draws),
                warmup=int(self.n_warmup),
                seed=spawn(seed, "chain"),
                callback=lambda i: update(completed=i),
            )
        return {"draws_": draws}

    @staticmethod
    def _labels(
        parts: Sequence[TaskPart], tasks: Sequence[Task], scaler: Scaler, labels: Measured
    ) -> tuple[np.ndarray, np.ndarray]:
        """The scaled labels (n, T) and their known variances (n, T)."""
        blocks = [scaler.block(labels, part, tasks[part.task]) for part in parts]
        return np.column_stack([b[0] for b in blocks]), np.column_stack([b[1] for b in blocks])

    def _informs_others(self) -> bool:
        return False

    def _joint(self, rows: Rows) -> LabelsOfLatent:
        values = self.draws_.values(rows.x)
        noise = self.draws_.noise
        chosen = np.tile(np.arange(len(noise))[:, None], len(rows.x))  # states of the chain for each row
        if (further := rows.further) is not None:
            labels = self._labels(self.table_.parts, self.tasks_, self.scaler_, further)
            fitted, seed = rows.fitted(len(self.table_.x)), spawn(self.seed_, "new rows")
            start = RowStreams(seed, rows.x, fitted, rows.twin).uniform(1)
            chosen = _resampled(values, noise, *labels, start)
            values = np.take_along_axis(values, chosen[:, :, None], axis=0)
        no_further = np.zeros((len(noise), 0))
        settings = {part: Setting(noise[chosen, part.task], no_further) for part in self.table_.parts}
        latent = SampledLatent(values, np.zeros_like(values), values, settings)
        return LabelsOfLatent(latent, self.tasks_, self.scaler_)

    def _draws_at_rows(self, n: int, seed: int) -> RowDraws:
        draws = self.draws_
        tasks = {"task": self.table_.names}
        variables = {
            "rank": Variable(draws.rank),
            "mean": Variable(draws.mean, ("task",), tasks),
            "noise": Variable(np.sqrt(draws.noise), ("task",), tasks),
            "coefficients": Variable(
                draws.u @ draws.a.transpose(0, 2, 1), ("feature", "task"), {"feature": self.table_.features, **tasks}
            ),
        }
        no_further = np.zeros((len(draws.noise), 0))
        settings = {part: Setting(draws.noise[:, part.task], no_further) for part in self.table_.parts}
        at_rows = RowDraws(variables, draws.values(self.scaler_.features(self.table_.x)), settings)
        at_rows.log_likelihood = density_of_labels(self.table_, self.scaler_, at_rows)
        return at_rows

    def rank(self) -> pd.Series:
        """The posterior probability of each rank from 0 to ``max_rank``."""
        counts = np.bincount(self.draws_.rank, minlength=int(self.max_rank) + 1)
        return pd.Series(counts / counts.sum(), pd.RangeIndex(len(counts), name="rank"), name="probability")

    def coefficients(self) -> pd.DataFrame:
        """Posterior of the coefficients: one row per feature, columns (task, "mean"/"std").

        In label units per unit of the feature (for log-normal and power-normal labels, units of the logarithm or
        power).
        """
        coefficients = self.draws_.u @ self.draws_.a.transpose(0, 2, 1)
        columns = {}
        for t, name in enumerate(self.table_.names):
            in_units = coefficients[:, :, t] * self.scaler_.y_scale[t] / self.scaler_.x_scale
            columns[name, "mean"], columns[name, "std"] = in_units.mean(axis=0), in_units.std(axis=0)
        return pd.DataFrame(columns, index=pd.Index(self.table_.features, name="feature"))

    def _checks(self, transfer: bool, cv: int | None) -> Iterator[Check]:
        yield from chain_checks(np.log(self.draws_.noise).mean(axis=1), "logarithms of noise variances")
        yield from fold_checks(self, cv)

    def task_correlation(self) -> pd.DataFrame:
        """Correlation of the tasks' functions over the training rows.

        Returns
        -------
        DataFrame (T, T)
            Mean over the posterior draws; ``.attrs["std"]`` is their spread.
        """
        return correlation_over_rows(self.draws_.values(self.scaler_.features(self.table_.x)), self.table_.names)

    def _state(self) -> dict[str, np.ndarray]:
        return dict(vars(self.draws_))

    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
        return {"draws_": LowRankDraws(**state)}


def _resampled(values: np.ndarray, noise: np.ndarray, y: np.ndarray, se2: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Positions (S, n) of states, resampled for each row by the likelihood of its known labels ``y`` (n, T).

    ``values`` (S, n, T) are those of the functions, ``start`` (1, n) uniform numbers for systematic resampling.
    """
    variance = noise[:, None] + se2
    density = -0.5 * ((y - values) ** 2 / variance + np.log(variance))
    log_weights = tensor(np.nansum(density, axis=2))
    return to_numpy(systematic(log_weights, len(values), tensor(start)))
