"""Stacking: a mixture of several models' predictive distributions, with weights that maximise the held-out density.

    p(y | data) = sum_k w_k p_k(y | data),    w maximises sum_i log sum_k w_k p_k(y_i | data without i),   sum_k w_k = 1

Yao, Vehtari, Simpson, Gelman 2018, *Using stacking to average Bayesian predictive distributions*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bayestl.diagnostics.checks import Check
from bayestl.diagnostics.draws import RowDraws
from bayestl.models.base import BayesianModel
from bayestl.models.crossfit import FOLDS, check_folds, held_out_labels, refitted, restored, state_of, with_seed_of
from bayestl.models.ensembles.member_tasks import tasks_for, tasks_given
from bayestl.models.ensembles.stacking import (
    StackedLabels,
    mixed_correlation,
    models_by_name,
    stacking_weights,
)
from bayestl.models.whole_table import decided
from bayestl.streams import RandomState, spawn
from bayestl.table.new_rows import Rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import Task


class StackedModel(BayesianModel):
    """Several models of the same tasks, mixed by how well each predicts labels that it has not seen.

    Parameters
    ----------
    models : mapping of str to model
        Unfitted models by name; clones of them are fitted.
    target : str, optional
        The task whose labels determine the weights; default: all tasks.
    cv : int, optional
        Number of folds of rows whose labels are held out, with one more fit of each model per fold.  Default: exact
        leave-one-out without fitting again where all models have it, else five folds.
    tasks : sequence of Task, optional
        The tasks, for all models; what it leaves open the models may say, where they agree.
    random_state : int, RandomState, Generator or None
        Seed of the folds, as for :class:`IndependentGP`; each model keeps its own ``random_state``.
    verbose : bool
        Whether to show progress on a terminal.

    Attributes
    ----------
    weights_ : Series
        The weight of each model, summing to one.
    elpd_ : Series
        Expected log predictive density of each model on the held-out labels, nats.
    members_ : dict of str to model
        The fitted models.

    Notes
    -----
    A held-out label is predicted with the other labels of its row known (``hide="target"``).  With few labels the
    weights are uncertain themselves: they say which model predicts better here, not which is true.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 24)[:, None]
    >>> Y = pd.DataFrame({"dft": np.sin(9 * x[:, 0]), "measured": 1.2 * np.sin(9 * x[:, 0]) + 0.3})
    >>> Y.loc[::3, "measured"] = np.nan
    >>> models = {"alone": btl.IndependentGP(), "difference": btl.DifferenceGP(["dft", "measured"])}
    >>> model = btl.StackedModel(models, target="measured", verbose=False).fit(x, Y)
    >>> model.weights_.idxmax()
    'difference'
    """

    def __init__(
        self,
        models: Mapping[str, Any] | None = None,
        target: str | None = None,
        cv: int | None = None,
        tasks: Sequence[Task] | None = None,
        random_state: RandomState = 0,
        verbose: bool = True,
    ) -> None:
        self.models = models
        self.target = target
        self.cv = cv
        self.tasks = tasks
        self.random_state = random_state
        self.verbose = verbose

    members_: dict[str, BayesianModel]
    weights_: pd.Series
    elpd_: pd.Series

    def _given_tasks(self) -> Sequence[Task] | None:
        return tasks_given(type(self).__name__, self.tasks, self._models)

    def _tasks_for(self, Y: Any) -> Sequence[Task] | None:
        return tasks_for(type(self).__name__, self.tasks, self._models, Y)

    def _decided_likelihoods(self, table: Table, seed: int = 0) -> Table:
        for model in self._models.values():
            if isinstance(model, BayesianModel):
                table = model._decided_likelihoods(table, seed)
        return table

    def _learn(self, table: Table, scaler: Scaler, seed: int) -> dict[str, Any]:
        self._check(table)
        members = {name: refitted(model, table, scaler) for name, model in self._models.items()}
        density = self._held_out(table, members, seed)
        names = pd.Index(list(members), name="model")
        return {
            "members_": members,
            "weights_": pd.Series(stacking_weights(density), names, name="weight"),
            "elpd_": pd.Series(density.sum(axis=0), names, name="elpd"),
        }

    def _decided(self, table: Table) -> dict[str, Any]:
        return {
            "models": {k: decided(m, table) if isinstance(m, BayesianModel) else m for k, m in self._models.items()}
        }

    @property
    def _models(self) -> dict[str, BayesianModel]:
        return models_by_name(self, self.models)

    def _check(self, table: Table) -> None:
        if not self._models:
            raise ValueError("StackedModel: models= is empty; give a name and an unfitted model for each")
        for name, model in self._models.items():
            if not isinstance(model, BayesianModel):
                raise ValueError(
                    f"StackedModel: models[{name!r}] must be a model of bayestl, got {type(model).__name__}"
                )
        if self.target is not None and self.target not in table.names:
            raise ValueError(f"target {self.target!r} is no task of the table; the tasks are {table.names}")
        check_folds(self.cv, len(table.x))

    def _held_out(self, table: Table, members: Mapping[str, BayesianModel], seed: int) -> np.ndarray:
        """Log density (n, K) of each label of the target given the others, under each model."""
        exact = self.cv is None and all(m._has_leave_one_out() for m in members.values())
        folds = None if exact else self.cv or FOLDS
        targets = [self.target] if self.target is not None else table.names
        columns = []
        for model in members.values():
            frame = held_out_labels(model, folds, spawn(seed, "held-out labels"), bool(self.verbose))
            columns.append(frame["log_density"][frame["task"].isin(targets)].to_numpy())
        return np.column_stack(columns)

    def _joint(self, rows: Rows) -> StackedLabels:
        weights = {name: w for name, w in self.weights_.items() if w > 0}
        members = [self.members_[str(name)]._joint(rows) for name in weights]
        return StackedLabels(members, np.array(list(weights.values())))

    def _draws_at_rows(self, n: int, seed: int) -> RowDraws:
        raise ValueError(
            f"a stack has no hyperparameters of its own: ask its members, such as members_[{self.weights_.idxmax()!r}]"
        )

    def _checks(self, transfer: bool, cv: int | None) -> Iterator[Check]:
        """The checks of each model with a positive weight."""
        for name, member in self.members_.items():
            if self.weights_[name] > 0:
                yield from (replace(c, of=f"{name}: {c.of}") for c in member._checks(transfer, cv))

    def task_correlation(self) -> pd.DataFrame:
        """Weighted mean of the models' task correlations; ``.attrs["std"]`` is the spread within and between models."""
        return mixed_correlation(self.members_.values(), self.weights_.to_numpy())

    def _state(self) -> dict[str, np.ndarray]:
        state = {"weights": self.weights_.to_numpy(), "elpd": self.elpd_.to_numpy()}
        for k, member in enumerate(self.members_.values()):
            state |= state_of(member, f"{k}:")
        return state

    def _saved_parameters(self) -> dict[str, Any]:
        parameters = super()._saved_parameters()
        if hasattr(self, "members_"):
            parameters["models"] = {k: with_seed_of(self.members_[k], model) for k, model in self._models.items()}
        return parameters

    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
        members_by_position = enumerate(self._models.items())
        members = {name: restored(model, table, scaler, state, f"{k}:") for k, (name, model) in members_by_position}
        names = pd.Index(list(members), name="model")
        series = {f"{s}_": pd.Series(state[s], names, name=n) for s, n in (("weights", "weight"), ("elpd", "elpd"))}
        return {"members_": members, **series}
