"""Recalibration: a model whose predictive distributions are corrected by its own held-out labels.

The corrections are the warps of ``distributions/warp.py``: one per task, fitted to the probability integral transform
of the held-out labels, or to their class probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayestl import streams
from bayestl.diagnostics.checks import Check
from bayestl.diagnostics.draws import RowDraws
from bayestl.distributions import Discrete, Predictive
from bayestl.distributions.warp import CLASSES, NUMBERS, ClassIsotonic, ClassTemperature, Warp, Warped, from_state
from bayestl.joint import Asked, JointLabels, Moments
from bayestl.metrics import pit
from bayestl.models.base import BayesianModel
from bayestl.models.crossfit import (
    check_folds,
    held_out_labels,
    predicted_without,
    refitted,
    restored,
    state_of,
    with_seed_of,
)
from bayestl.models.ensembles.member_tasks import tasks_for, tasks_given
from bayestl.models.whole_table import decided
from bayestl.streams import RandomState, spawn
from bayestl.table.new_rows import Rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import Task

METHODS = ("temperature", "isotonic", "conformal")
LEAST_LABELS = 10
"""A task with fewer held-out labels stays as it is."""
AnyWarp = Warp | ClassTemperature | ClassIsotonic


class WarpedLabels:
    """The joint distribution of a model's labels (``bayestl.joint.JointLabels``) with ``warps`` of tasks by position.

    Latent values (``noise=False``) are those of the model.
    """

    def __init__(self, base: JointLabels, warps: Mapping[int, AnyWarp]) -> None:
        self.base = base
        self.warps = warps

    def _is_changed(self, asked: Asked) -> bool:
        return asked.noise and bool(self.warps)

    def marginals(self, asked: Asked) -> list[Predictive]:
        """The warped distributions of the tasks' labels."""
        return self._warped(self.base.marginals(asked)) if self._is_changed(asked) else self.base.marginals(asked)

    def _warped(self, marginals: list[Predictive]) -> list[Predictive]:
        warped = list(marginals)
        for t, warp in self.warps.items():
            marginal = marginals[t]
            if isinstance(warp, ClassTemperature | ClassIsotonic):
                assert isinstance(marginal, Discrete)
                warped[t] = warp.apply(marginal)
            else:
                warped[t] = warp.apply(marginal)
        return warped

    def moments(self, asked: Asked) -> Moments | None:
        """None where labels are warped, for they are no longer Gaussian: functions of tasks are evaluated by draws."""
        return None if self._is_changed(asked) else self.base.moments(asked)

    def draws(self, n: int, generator: np.random.Generator, joint_rows: bool, asked: Asked) -> np.ndarray:
        """The model's draws, each moved to the same level of the warped distribution."""
        draws = self.base.draws(n, generator, joint_rows, asked)
        if not self._is_changed(asked):
            return draws
        before = self.base.marginals(asked)
        after = self._warped(before)
        for t in self.warps:
            marginal, old = after[t], before[t]
            if isinstance(marginal, Warped):
                draws[:, :, t] = marginal.moved(draws[:, :, t], generator)
            elif isinstance(marginal, Discrete) and isinstance(old, Discrete):
                draws[:, :, t] = _redrawn(draws[:, :, t], old, marginal, generator)
        return draws


def _redrawn(draws: np.ndarray, before: Discrete, after: Discrete, generator: np.random.Generator) -> np.ndarray:
    """Draws (K, n) of classes with other probabilities, at the quantile levels of the given draws."""
    above, below = before.cdf(draws), before.cdf_below(draws)
    level = below + (above - below) * generator.uniform(size=draws.shape)
    return np.stack([after.quantile(u) for u in level])


class Recalibrated(BayesianModel):
    """A model, recalibrated on held-out labels of its own table.

    Parameters
    ----------
    model : model
        An unfitted model; a clone of it is fitted.
    method : {"temperature", "isotonic", "conformal"}
        ``"temperature"``: one number per task that widens or narrows its predictions; the choice for few labels.
        ``"isotonic"``: any increasing function of the quantile level; for hundreds of labels.  ``"conformal"``: central
        intervals cover at least their level in finite samples, whatever the model, for rows exchangeable with the
        table's; the model then learns from the other rows only.
    cv : int, optional
        Number of folds of rows whose labels are held out, for the first two.  Default: exact leave-one-out where the
        model has it.
    fraction : float
        Fraction of the rows that are held out from the model for ``"conformal"``.
    tasks : sequence of Task, optional
        The tasks; what it leaves open is as the model has it.
    random_state : int, RandomState, Generator or None
        Seed of the split into rows, as for :class:`IndependentGP`; the model keeps its own ``random_state``.
    verbose : bool
        Whether to show progress on a terminal.

    Attributes
    ----------
    member_ : model
        The fitted model.
    warps_ : dict of str to warp
        The correction of each task; tasks with fewer than ten held-out labels have none.

    Notes
    -----
    A held-out label is predicted with the other labels of its row known (``hide="target"``).  Classes have no
    intervals, so ``"conformal"`` leaves their probabilities as they are.  Beyond the level ``n / (n + 1)`` of n
    held-out labels a conformal interval is infinite: so few labels can guarantee no more.

    Examples
    --------
    >>> import numpy as np, bayestl as btl
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(0, 1, (60, 1))
    >>> y = np.sin(6 * x[:, 0]) + 0.1 * rng.standard_t(2, 60)
    >>> model = btl.Recalibrated(btl.IndependentGP(verbose=False), method="temperature").fit(x, y)
    >>> bool(0.5 < model.warps_["y"].temperature < 2.0)
    True
    """

    def __init__(
        self,
        model: Any = None,
        method: str = "temperature",
        cv: int | None = None,
        fraction: float = 0.3,
        tasks: Sequence[Task] | None = None,
        random_state: RandomState = 0,
        verbose: bool = True,
    ) -> None:
        self.model = model
        self.method = method
        self.cv = cv
        self.fraction = fraction
        self.tasks = tasks
        self.random_state = random_state
        self.verbose = verbose

    member_: BayesianModel
    warps_: dict[str, AnyWarp]

    def _given_tasks(self) -> Sequence[Task] | None:
        return tasks_given(type(self).__name__, self.tasks, {"model": self.model})

    def _tasks_for(self, Y: Any) -> Sequence[Task] | None:
        return tasks_for(type(self).__name__, self.tasks, {"model": self.model}, Y)

    def _decided_likelihoods(self, table: Table, seed: int = 0) -> Table:
        if isinstance(self.model, BayesianModel):
            table = self.model._decided_likelihoods(table, seed)
        return super()._decided_likelihoods(table, seed)

    def _decided(self, table: Table) -> dict[str, Any]:
        return {"model": decided(self.model, table)} if isinstance(self.model, BayesianModel) else {}

    def _check(self, table: Table) -> None:
        if not isinstance(self.model, BayesianModel) or isinstance(self.model, Recalibrated):
            raise ValueError(f"Recalibrated: model= must be a model of bayestl, got {type(self.model).__name__}")
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {METHODS}, got {self.method!r}")
        check_folds(self.cv, len(table.x))
        if not (isinstance(self.fraction, int | float) and 0 < self.fraction < 1):
            raise ValueError(f"fraction must lie between 0 and 1, got {self.fraction!r}")

    def _learn(self, table: Table, scaler: Scaler, seed: int) -> dict[str, Any]:
        self._check(table)
        if self.method == "conformal":
            train, calibration_rows = self._split(len(table.x), seed)
            member = refitted(self.model, table.at(train), scaler, whole=table)
            warps = {}
            for t, rows, marginal in predicted_without(member, table, calibration_rows, range(len(table.tasks))):
                if len(rows) >= LEAST_LABELS and not isinstance(marginal, Discrete):
                    y, high, _ = table.labels.at(rows).task(t)
                    levels = pit(y, marginal, spawn(seed, "pit", t), high)
                    warps[table.names[t]] = NUMBERS[self.method].fit(levels)
            return {"member_": member, "warps_": warps}
        member = refitted(self.model, table, scaler)
        held = held_out_labels(member, self.cv, spawn(seed, "held-out labels"), bool(self.verbose))
        warp_of_task = {task.name: self._warp(task, held[held["task"] == task.name]) for task in table.tasks}
        return {"member_": member, "warps_": {name: warp for name, warp in warp_of_task.items() if warp is not None}}

    def _split(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows to learn from, and held-out rows for the conformal guarantee."""
        order = streams.generator(seed, "split").permutation(n)
        k = int(np.clip(round(n * float(self.fraction)), 1, n - 1))
        return np.sort(order[k:]), np.sort(order[:k])

    def _warp(self, task: Task, held: pd.DataFrame) -> AnyWarp | None:
        """The correction of a task, fitted to its held-out labels; None where they are too few."""
        if len(held) < LEAST_LABELS:
            return None
        if task.classes is None:
            return NUMBERS[self.method].fit(held["pit"].to_numpy())
        chances = held[[f"p{k}" for k in range(len(task.classes))]].to_numpy()
        return CLASSES[self.method].fit(chances, held["y"].to_numpy())

    def _informs_others(self) -> bool:
        return self.member_._informs_others()

    def _joint(self, rows: Rows) -> WarpedLabels:
        if self.method == "conformal":
            rows = rows.among(self._split(len(self.table_.x), self.seed_)[0], len(self.table_.x))
        warps = {t: self.warps_[name] for t, name in enumerate(self.table_.names) if name in self.warps_}
        return WarpedLabels(self.member_._joint(rows), warps)

    def _draws_at_rows(self, n: int, seed: int) -> RowDraws:
        raise ValueError("a recalibrated model has no hyperparameters of its own: ask its member_")

    def _checks(self, transfer: bool, cv: int | None) -> Iterator[Check]:
        """The model's checks, except for its calibration, which has been corrected."""
        kinds = ("leave-one-out calibration", "held-out calibration")
        yield from (c for c in self.member_._checks(transfer, None) if not c.check.startswith(kinds))

    def task_correlation(self) -> pd.DataFrame:
        """The model's task correlation, which is of latent values and so unchanged."""
        return self.member_.task_correlation()

    def _state(self) -> dict[str, np.ndarray]:
        state = state_of(self.member_, "member:")
        positions = {name: t for t, name in enumerate(self.table_.names)}
        return state | {f"warp:{positions[name]}": np.array(w.state()) for name, w in self.warps_.items()}

    def _saved_parameters(self) -> dict[str, Any]:
        parameters = super()._saved_parameters()
        if hasattr(self, "member_"):
            parameters["model"] = with_seed_of(self.member_, self.model)
        return parameters

    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
        rows = table.at(self._split(len(table.x), seed)[0]) if self.method == "conformal" else table
        member = restored(self.model, rows, scaler, state, "member:", None if rows is table else table)
        warps = {
            task.name: from_state(self.method, state[f"warp:{t}"], task.classes is not None)
            for t, task in enumerate(table.tasks)
            if f"warp:{t}" in state
        }
        return {"member_": member, "warps_": warps}
