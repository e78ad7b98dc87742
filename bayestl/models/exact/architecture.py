"""Base class of the exact architectures: the prior over (row, latent function), and which tasks inform each other.

Parts of tasks that are independent under the prior are separate families: each has its own hyperparameters and its own
covariance, so the Gaussian ones stay exact beside others that are not.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayestl.device import tensor, torch_device
from bayestl.diagnostics.draws import Variable
from bayestl.inference.gaussian.condition import ExactPosterior
from bayestl.inference.gaussian.labels import Data
from bayestl.inference.gaussian.latent import ExactLatent, JoinedLatent
from bayestl.inference.gaussian.table_labels import part_data, training_data
from bayestl.joint import LabelsOfLatent, Latent
from bayestl.kernels.combined import Covariance, build_kernel
from bayestl.models.base import BayesianModel
from bayestl.models.exact.family import Family
from bayestl.models.exact.hyperparameters import MODES, mode_for
from bayestl.models.parameters import check_positive_integers, entry
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Smooth
from bayestl.streams import RandomState
from bayestl.table.new_rows import Rows, fitted_rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import Task, TaskPart


class ExactArchitecture(BayesianModel):
    """A prior in families of task parts, and the inputs at which its functions are evaluated.

    Attributes
    ----------
    families_ : list of Family
        One per set of task parts that inform each other: the prior at the hyperparameters' maximum, the report of their
        optimisation, and the posterior.
    """

    def __init__(
        self,
        tasks: Sequence[Task] | None = None,
        kernel: str | Covariance = "matern52",
        hyperparameters: str | Mapping[str, str] = "auto",
        n_starts: int = 2,
        random_state: RandomState = 0,
        verbose: bool = True,
        device: str = "cpu",
    ) -> None:
        self.tasks = tasks
        self.kernel = kernel
        self.hyperparameters = hyperparameters
        self.n_starts = n_starts
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    families_: list[Family]
    _rows_are_functions = False
    """Whether row effects count as functions, for a task that has no other."""
    _labels_are_inputs = False
    """Whether a row's label is an input of another task's function, so that rows and tasks are not jointly Gaussian."""

    @abstractmethod
    def _families(self, table: Table) -> list[tuple[TaskPart, ...]]:
        """The parts of all tasks, grouped into families that inform each other."""

    @abstractmethod
    def _prior(self, table: Table, scaler: Scaler, parts: tuple[TaskPart, ...], columns: Sequence[str]) -> Prior:
        """The prior of a family's functions of the named inputs, with its hyperparameters at a first guess."""

    def _columns(self, table: Table, parts: tuple[TaskPart, ...], d: int) -> Sequence[str]:
        """Names of the ``d`` inputs of a family's functions."""
        return table.features

    def _smooth(self, columns: Sequence[str]) -> Smooth:
        """A smooth function of the named inputs with the user's kernel."""
        return Smooth(build_kernel(self.kernel, columns))

    def _check(self) -> None:
        modes = self.hyperparameters
        for mode in modes.values() if isinstance(modes, Mapping) else [modes]:
            if mode not in MODES:
                raise ValueError(f"hyperparameters must be one of {MODES}, got {mode!r}")
        check_positive_integers(self, "n_starts")

    def _made_prior(
        self, table: Table, scaler: Scaler, parts: tuple[TaskPart, ...], d: int, or_cpu: bool = False
    ) -> Prior:
        """The prior of a family's functions of ``d`` inputs, on the model's device."""
        with torch_device(self.device, int(table.present.sum()), or_cpu):
            return self._prior(table, scaler, parts, self._columns(table, parts, d))

    def _mode(self, table: Table, parts: Sequence[TaskPart]) -> str:
        """How the hyperparameters of a family are inferred."""
        if isinstance(self.hyperparameters, str):
            return self.hyperparameters
        first = parts[0]
        return str(entry("hyperparameters", self.hyperparameters, first.names[0], table.names[first.task]))

    def _decided(self, table: Table) -> dict[str, Any]:
        """What ``hyperparameters="auto"`` stands for, by the first latent function of each part where families differ."""
        if self.hyperparameters != "auto":
            return {}
        scaler = self._scale(table)
        x = scaler.features(table.x)
        families = {f: mode_for("auto", training_data(table, scaler, f, x)) for f in self._families(table)}
        modes = {part.names[0]: mode for family, mode in families.items() for part in family}
        return {"hyperparameters": modes if len(set(modes.values())) > 1 else next(iter(modes.values()))}

    def _joint(self, rows: Rows) -> LabelsOfLatent:
        return LabelsOfLatent(self._latent(rows), self.tasks_, self.scaler_)

    def _latent(self, rows: Rows) -> Latent:
        """The latent values of rows, given all labels known of them."""
        return JoinedLatent([(f.parts, self._family_latent(f, rows)) for f in self.families_])

    def _family_latent(self, family: Family, rows: Rows) -> ExactLatent:
        """The latent values of a family at rows whose ``x`` are its inputs, given their further labels."""
        return self._posterior_with(family, rows).at(*map(tensor, rows[:3]))

    def _posterior_with(self, family: Family, rows: Rows) -> ExactPosterior:
        """The posterior of a family given the further labels of some rows."""
        if rows.further is None:
            return family.posterior
        labels = part_data(rows, rows.further, self.scaler_, self.tasks_, family.parts)
        return family.posterior if labels is None else family.given(labels, rows.further_key())

    def _family_inputs(self, family: Family) -> np.ndarray:
        """The inputs (n, k) of a family's functions at the rows of the table."""
        return self.scaler_.features(self.table_.x)

    def _family_data(self, family: Family) -> Data:
        """The labels that a family was fitted to."""
        data = training_data(self.table_, self.scaler_, family.parts, self._family_inputs(family))
        return data.to(family.posterior.device)

    def _at_rows(self, family: Family, rows: np.ndarray) -> ExactLatent:
        """The latent values of a family at rows of the table."""
        at = fitted_rows(self.table_, self._family_inputs(family), rows)
        return family.posterior.at(*map(tensor, at[:3]))

    def _effects(self, family: Family, component: np.ndarray, generator: np.random.Generator) -> dict[str, Variable]:
        """Draws of an architecture's derived quantities (offsets, scales), one from each of the given components."""
        return {}
