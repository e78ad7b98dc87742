"""One estimator for a sparse table: architectures that fit it, mixed by held-out density and recalibrated.

    p(y_it) = g_t( sum_k w_tk p_k(y_it) ),      w_t ~ Dirichlet(2, ..., 2),      g_t near the identity

Each label is predicted from the others under each architecture; the weights ``w_t`` and the correction ``g_t`` of the mixture's
levels are learnt from these predictions.  A task has two sets of weights: where other labels of the row are known, and where
none is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from bayestl.device import torch_device
from bayestl.diagnostics.checks import Check, judge, label_checks
from bayestl.diagnostics.draws import RowDraws
from bayestl.models.base import BayesianModel
from bayestl.models.crossfit import check_folds, check_hide, refitted, restored, state_of
from bayestl.models.ensembles.candidates import alone_among, candidates
from bayestl.models.ensembles.held_out import (
    COLUMNS,
    MIXTURE,
    SCORES,
    Correction,
    HeldOut,
    aligned,
    correction_from,
    corrections,
    held_out,
    mixed,
    scores_of,
    weights_of,
)
from bayestl.models.ensembles.member_tasks import tasks_given
from bayestl.models.ensembles.recalibrated import WarpedLabels
from bayestl.models.ensembles.stacking import StackedLabels, mixed_correlation, models_by_name
from bayestl.models.ensembles.words import summary_of
from bayestl.models.label_evidence import decide_positive
from bayestl.models.whole_table import decided
from bayestl.progress import progress
from bayestl.streams import RandomState, spawn
from bayestl.table.new_rows import Rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table, evident_tasks
from bayestl.table.task import Task

LOSS = 0.1
"""Nats a label that the mixture may lose against the task alone before a check warns."""
SITUATIONS = ("others known", "nothing known")
"""What may be known of a row beside the label that is predicted."""


class AutoTransfer(BayesianModel):
    """Architectures that fit the table, mixed by how well each predicts labels that it has not seen, and recalibrated.

    Parameters
    ----------
    target : str, optional
        The task that matters; default: all.  It is the last in the order of tasks, and the one that :meth:`summary` is about.
    models : mapping of str to model, optional
        Unfitted models to choose from; default: those that suit the table, always with the tasks alone among them.
    tasks : sequence of Task, optional
        The tasks whose unit, cost or likelihood is known.  For a task without a likelihood one is chosen: censored where its
        cells say ``"<0.1"``, a hurdle for many exact zeros, and for positive, skewed labels the best of Gaussian, log-normal
        and power-normal by evidence.
    cv : int, optional
        Number of folds of rows whose labels are held out, with one more fit of each model per fold.  Default: exact
        leave-one-out where the hyperparameters are averaged, with a new fit without the most influential label, else five
        folds.
    budget : float, optional
        Seconds after which no further model is begun; the tasks alone are always fitted.  Default: no limit.
    random_state, verbose, device
        As for :class:`IndependentGP`; the device is that of the default models, those in ``models`` have their own.

    Attributes
    ----------
    members_ : dict of str to model
        The fitted models.
    weights_ : DataFrame
        Weight of each model; columns (task, "others known" or "nothing known" of the row).
    corrections_ : dict of str to warp
        The correction of each task's predictive distribution.
    held_out_ : DataFrame
        Each label of the table, predicted by the mixture from the others: the columns of ``leave_one_out``.
    scores_ : DataFrame
        By task and model, and for the mixture: ``density`` of held-out labels (mean log density, nats), ``error`` (mean absolute
        error of the mean, or share of wrong classes), ``gain`` in density over the tasks alone (the first
        ``IndependentGP`` of the models) with its standard error ``se``.
    left_out_ : dict of str to str
        Models that were not used, and why.

    Notes
    -----
    The weights are expectations under a Dirichlet prior, which counts as two labels for each model, and the corrections are most
    probable values under a prior that makes intervals slightly wider, so that few labels change little.  A known standard error
    of a label to predict is corrected with the rest.  Joint draws of a row take all tasks from one model where the tasks have the
    same weights, and nearly so otherwise.

    References
    ----------
    Yao, Vehtari, Simpson, Gelman 2018, *Using stacking to average Bayesian predictive distributions*.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 24)[:, None]
    >>> Y = pd.DataFrame({"dft": np.sin(9 * x[:, 0]), "measured": 1.2 * np.sin(9 * x[:, 0]) + 0.3})
    >>> Y.loc[::3, "measured"] = np.nan
    >>> model = btl.AutoTransfer(target="measured", verbose=False).fit(x, Y)
    >>> list(model.members_)
    ['independent', 'multi-task', 'paired difference', 'difference', 'chain']
    """

    def __init__(
        self,
        target: str | None = None,
        models: Mapping[str, Any] | None = None,
        tasks: Sequence[Task] | None = None,
        cv: int | None = None,
        budget: float | None = None,
        random_state: RandomState = 0,
        verbose: bool = True,
        device: str = "cpu",
    ) -> None:
        self.target = target
        self.models = models
        self.tasks = tasks
        self.cv = cv
        self.budget = budget
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    members_: dict[str, BayesianModel]
    weights_: pd.DataFrame
    corrections_: dict[str, Correction]
    held_out_: pd.DataFrame
    scores_: pd.DataFrame
    left_out_: dict[str, str]

    def _given_tasks(self) -> Sequence[Task] | None:
        return tasks_given(type(self).__name__, self.tasks, self._models)

    def _tasks_for(self, Y: Any) -> Sequence[Task] | None:
        return evident_tasks(Y, self._given_tasks())

    def _decided_likelihoods(self, table: Table, seed: int = 0) -> Table:
        return super()._decided_likelihoods(decide_positive(table, seed), seed)

    def _decided(self, table: Table) -> dict[str, Any]:
        found = self._candidates(table).items()
        models = {k: decided(m, table) if isinstance(m, BayesianModel) else m for k, m in found}
        return {"models": models, "tasks": [replace(task, likelihood=task.observes) for task in table.tasks]}

    @property
    def _models(self) -> dict[str, Any]:
        return models_by_name(self, self.models)

    def _candidates(self, table: Table) -> dict[str, Any]:
        return self._models or dict(candidates(table, self.target, self.device))

    def _check(self, table: Table) -> None:
        for name, model in self._models.items():
            if not isinstance(model, BayesianModel):
                found = type(model).__name__
                raise ValueError(f"AutoTransfer: models[{name!r}] must be a model of bayestl, got {found}")
        if MIXTURE in self._models:
            raise ValueError(f"AutoTransfer: models= names one {MIXTURE!r}, which is the name of all of them together")
        if self.target is not None and self.target not in table.names:
            raise ValueError(f"target {self.target!r} is no task of the table; the tasks are {table.names}")
        if self.budget is not None and not (isinstance(self.budget, int | float) and self.budget > 0):
            raise ValueError(f"budget must be a positive number of seconds, got {self.budget!r}")
        check_folds(self.cv, len(table.x))
        torch_device(self.device, 0)  # or each model would be left out for it

    def _learn(self, table: Table, scaler: Scaler, seed: int) -> dict[str, Any]:
        self._check(table)
        start = time.monotonic()
        members: dict[str, BayesianModel] = {}
        found: dict[str, HeldOut] = {}
        left_out: dict[str, str] = {}
        models = self._candidates(table)
        with progress("AutoTransfer", total=len(models), verbose=bool(self.verbose)) as update:
            for i, (name, model) in enumerate(models.items()):
                if members and self.budget is not None and time.monotonic() - start > self.budget:
                    left_out[name] = f"not begun within the budget of {self.budget:g} s"
                    continue
                update(completed=i, description=f"AutoTransfer: {name}")

                def tell(what: str, name: str = name) -> None:
                    update(description=f"AutoTransfer: {name}, {what}")

                try:
                    member = refitted(model, table, scaler, spawn(seed, f"model {name}"))
                    found[name] = held_out(
                        member, self.cv, spawn(seed, "held-out labels"), self._positions(table), tell
                    )
                    members[name] = member
                except (ValueError, ArithmeticError, RuntimeError) as error:
                    left_out[name] = f"{type(error).__name__}: {error}"
        if not members:
            raise ValueError(f"AutoTransfer: no model could be fitted: {next(iter(left_out.values()))}")
        found = aligned(found)
        columns = np.column_stack([w for task in table.names for w in weights_of(found, task)])
        weights = pd.DataFrame(columns, pd.Index(list(members), name="model"), self._columns(table))
        fixed = corrections(table.tasks, found, weights)
        labels = mixed(table.tasks, found, weights, fixed)
        return {
            "members_": members,
            "weights_": weights,
            "corrections_": fixed,
            "held_out_": labels,
            "scores_": scores_of(table.tasks, found, labels, alone_among(members)),
            "left_out_": left_out,
        }

    @staticmethod
    def _columns(table: Table) -> pd.MultiIndex:
        return pd.MultiIndex.from_product([table.names, SITUATIONS], names=["task", "row"])

    def _positions(self, table: Table) -> list[int]:
        """Positions of the tasks that matter."""
        return [t for t, name in enumerate(table.names) if self.target in (None, name)]

    def _joint(self, rows: Rows) -> WarpedLabels:
        n, names = len(rows.x), self.table_.names
        known = np.zeros((n, len(names)), bool) if rows.known is None else rows.known.present
        others = known.sum(axis=1, keepdims=True) > known  # another label of the row than that of the task
        beside, alone = (self.weights_.xs(s, axis=1, level=1)[names].to_numpy()[:, None, :] for s in SITUATIONS)
        weights = np.where(others, beside, alone)
        used = np.flatnonzero((weights > 0).any(axis=(1, 2)))
        members = list(self.members_.values())
        stack = StackedLabels([members[k]._joint(rows) for k in used], weights[used])
        warps = {t: self.corrections_[name] for t, name in enumerate(names) if name in self.corrections_}
        return WarpedLabels(stack, warps)

    def leave_one_out(self, refit: bool = False, hide: str = "target") -> pd.DataFrame:
        """The held-out labels from which the weights and corrections were learnt, predicted by the mixture.

        The columns are those of every ``leave_one_out``; ``hide`` is ``"target"`` here, and ``refit`` changes nothing:
        influential labels were predicted by new fits already.

        Raises
        ------
        ValueError
            For another ``hide``.
        """
        check_is_fitted(self, "table_")
        check_hide(hide)
        if hide != "target":
            raise ValueError(f'{type(self).__name__} has no leave-one-out with hide="row": use compare')
        return self.held_out_.copy()

    def _has_leave_one_out(self, hide: str = "target") -> bool:
        return hide == "target"

    def _draws_at_rows(self, n: int, seed: int) -> RowDraws:
        raise ValueError(
            f"an ensemble has no hyperparameters of its own: ask its members, such as members_[{self._heaviest()!r}]"
        )

    def _heaviest(self) -> str:
        """The name of the model with the largest weight for the tasks that matter."""
        names = [self.table_.names[t] for t in self._positions(self.table_)]
        return str(self.weights_[names].mean(axis=1).idxmax())

    def _checks(self, transfer: bool, cv: int | None) -> Iterator[Check]:
        """The checks of each model with a positive weight, except for those of its held-out labels, and those of the mixture's."""
        for name, member in self.members_.items():
            if (self.weights_.loc[name] > 0).any():
                for check in member._checks(False, None):
                    if not any(kind in check.check for kind in ("leave-one-out", "outliers", "influential")):
                        yield replace(check, of=f"{name}: {check.of}")
        yield from label_checks(self.table_.tasks, self.table_.index, self.held_out_, "held-out")
        if transfer and len(self.table_.tasks) > 1 and alone_among(self.members_) is not None:
            yield from self._transfer_checks()

    def _transfer_checks(self) -> Iterator[Check]:
        """Checks that the mixture predicts the tasks that matter no worse than each task alone would be."""
        for t in self._positions(self.table_):
            task = self.table_.names[t]
            gain, se = self.scores_.loc[(task, MIXTURE), ["gain", "se"]]
            least = min(-2 * se, -LOSS)  # a bad model that keeps some weight costs every label the same little
            advice = "the other tasks make it worse: leave them out" if gain < least else ""
            yield Check(
                "transfer (nats gained a label)", task, gain, least, judge(gain < least, gain < 2 * least), advice
            )

    def task_correlation(self) -> pd.DataFrame:
        """Weighted mean of the models' task correlations; ``.attrs["std"]`` is the spread within and between models."""
        names = [self.table_.names[t] for t in self._positions(self.table_)]
        return mixed_correlation(self.members_.values(), self.weights_[names].mean(axis=1).to_numpy())

    def summary(self) -> str:
        """In words: what was chosen, what transfers to what, by how much the error falls, and whom not to believe."""
        check_is_fitted(self, "table_")
        return summary_of(self, self._positions(self.table_))

    def _state(self) -> dict[str, np.ndarray]:
        names = list(self._candidates(self.table_))
        state = {
            "used": np.array([names.index(name) for name in self.members_]),
            "weights": self.weights_.to_numpy(),
            "scores": self.scores_.to_numpy(),
            "left out": np.frombuffer(json.dumps(self.left_out_).encode(), np.uint8),
        }
        for k, member in enumerate(self.members_.values()):
            state |= state_of(member, f"{k}:")
        for name, warp in self.corrections_.items():
            state[f"correction:{self.table_.names.index(name)}"] = warp.state()
        held = self.held_out_.assign(task=self.held_out_["task"].map(self.table_.names.index))
        return state | {f"held:{column}": held[column].to_numpy() for column in held}

    def _saved_parameters(self) -> dict[str, Any]:
        return super()._saved_parameters() | {"models": self._models}

    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
        models = list(self._candidates(table).items())
        members = {}
        for k, position in enumerate(state["used"]):
            name, model = models[int(position)]
            members[name] = restored(model, table, scaler, state, f"{k}:")
        held = pd.DataFrame({c.removeprefix("held:"): v for c, v in state.items() if c.startswith("held:")})
        chances = sorted((c for c in held if c not in COLUMNS), key=lambda c: int(c[1:]))  # a file has its own order
        order = [c for c in COLUMNS if c in held] + chances
        return {
            "members_": members,
            "weights_": pd.DataFrame(state["weights"], pd.Index(list(members), name="model"), self._columns(table)),
            "corrections_": {
                task.name: correction_from(task, state[f"correction:{t}"])
                for t, task in enumerate(table.tasks)
                if f"correction:{t}" in state
            },
            "held_out_": held.assign(task=[table.names[int(t)] for t in held["task"]])[order],
            "scores_": pd.DataFrame(
                state["scores"],
                pd.MultiIndex.from_product([table.names, [*members, MIXTURE]], names=["task", "model"]),
                SCORES,
            ),
            "left_out_": json.loads(state["left out"].tobytes()),
        }
