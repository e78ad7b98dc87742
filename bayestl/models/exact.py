"""What the exact architectures share: a prior over (row, task), Gaussian labels, one engine.

A subclass states its prior (:meth:`ExactModel._prior`) and nothing else.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from bayestl.inference import exact
from bayestl.inference.exact import FitReport, Labels
from bayestl.inference.gaussian import ExactPosterior
from bayestl.inference.hmc import hmc_draws
from bayestl.kernels import KERNELS, Points, Prior, Smooth
from bayestl.models.base import BayesianModel, own_codes
from bayestl.progress import progress
from bayestl.table import Scaler, Table
from bayestl.tasks import Task

LAPLACE_LABELS = 400
"""Up to so many labels ``hyperparameters="auto"`` averages over the hyperparameters' uncertainty."""
LAPLACE_DRAWS = 24
"""Sets of hyperparameters in that average."""
HYPERPARAMETERS = ("auto", "map", "laplace", "mcmc")


class ExactModel(BayesianModel):
    """Base of the models whose posterior is exact given the hyperparameters.

    Attributes
    ----------
    report_ : FitReport
        How the optimisation of the hyperparameters went.
    prior_ : Prior
        The prior at the hyperparameters' maximum, in scaled units.
    """

    def __init__(
        self,
        tasks: Sequence[Task] | None = None,
        kernel: str = "matern52",
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

    report_: FitReport
    prior_: Prior
    posterior_: ExactPosterior
    _draws_made: np.ndarray | None

    @abstractmethod
    def _prior(self, table: Table) -> Prior:
        """The architecture's prior for a table, its hyperparameters at a first guess."""

    def _smooth(self, d: int) -> Smooth:
        """A smooth function of x with the kernel that the user asked for."""
        if self.kernel not in KERNELS:
            raise ValueError(f"kernel must be one of {sorted(KERNELS)}, got {self.kernel!r}")
        return Smooth(KERNELS[self.kernel](d))

    def _learn(self, table: Table, scaler: Scaler) -> dict[str, Any]:
        if self.hyperparameters not in HYPERPARAMETERS:
            raise ValueError(f"hyperparameters must be one of {HYPERPARAMETERS}, got {self.hyperparameters!r}")
        if not (isinstance(self.n_starts, int | np.integer) and self.n_starts >= 1):
            raise ValueError(f"n_starts must be a positive integer, got {self.n_starts!r}")
        labels, rows = training_labels(table, scaler)
        prior = self._prior(table)
        with progress(f"{type(self).__name__}: hyperparameters", verbose=self.verbose) as update:
            report = exact.fit(
                prior,
                labels,
                rows,
                seed=int(self.random_state),
                n_starts=int(self.n_starts),
                callback=lambda stage, i, value: update(
                    completed=i, description=f"{type(self).__name__}: {stage}, log posterior a label {value:.3f}"
                ),
            )
        averaged = self.hyperparameters == "laplace" or (
            self.hyperparameters == "auto" and len(labels) <= LAPLACE_LABELS
        )
        draws = exact.get_raw(prior)[None]
        if averaged:
            draws = exact.laplace_draws(prior, labels, LAPLACE_DRAWS, int(self.random_state))
        elif self.hyperparameters == "mcmc":
            draws = hmc_draws(prior, labels, 4 * LAPLACE_DRAWS, int(self.random_state))[3::4]
        return {
            "prior_": prior,
            "report_": report,
            "posterior_": ExactPosterior.of(prior, labels, draws),
            "_draws_made": None,
        }

    def _latent(self, x: np.ndarray, group: np.ndarray, observed: np.ndarray | None) -> Any:
        inputs, codes = torch.from_numpy(x), torch.from_numpy(group)
        posterior = self.posterior_
        if observed is not None:
            extra, _ = long_form(x, group, observed, np.zeros_like(observed))
            posterior = posterior.condition(extra)
        return posterior.at(inputs, codes)

    def _hyperparameter_draws(self, n: int = 100) -> np.ndarray:
        """Draws of the raw hyperparameters: by HMC up to :data:`LAPLACE_LABELS` labels, made once.

        Beyond, from the Laplace approximation of those that mix the processes, the others fixed.
        """
        if self._draws_made is None:
            labels, _ = training_labels(self.table_, self.scaler_)
            if len(labels) <= LAPLACE_LABELS:
                with progress(
                    f"{type(self).__name__}: posterior of the hyperparameters", verbose=self.verbose
                ) as update:
                    self._draws_made = hmc_draws(
                        self.prior_, labels, n, int(self.random_state), callback=lambda i: update(completed=i)
                    )
            else:
                which = exact.raw_positions(self.prior_, "mixing.")
                self._draws_made = exact.laplace_draws(self.prior_, labels, n, int(self.random_state), which)
        return self._draws_made

    def task_correlation(self) -> pd.DataFrame:
        """Correlation between tasks of the latent functions over x, with its uncertainty.

        Returns
        -------
        DataFrame (T, T)
            The prior correlation of ``f_t(x)`` and ``f_t'(x)`` at the fitted hyperparameters, averaged over their
            uncertainty; ``.attrs["std"]`` is a DataFrame of the same shape.  Constants do not count.
        """
        names = [t.name for t in self.tasks_]
        varying = [p for p, process in enumerate(self.prior_) if isinstance(process, Smooth)]
        raw = exact.get_raw(self.prior_)
        correlations = []
        draws = self._hyperparameter_draws()
        with torch.no_grad():
            for draw in draws:
                exact.set_raw(self.prior_, draw)
                w = self.prior_.mixing.weights()[:, varying].numpy()
                size = np.sqrt((w**2).sum(axis=1))
                correlations.append(w @ w.T / np.outer(size, size))
        exact.set_raw(self.prior_, raw)
        stack = np.stack(correlations)
        out = pd.DataFrame(stack.mean(axis=0), names, names)
        out.attrs["std"] = pd.DataFrame(stack.std(axis=0), names, names)
        return out

    def _state(self) -> dict[str, np.ndarray]:
        report = self.report_
        return {
            "raw": exact.get_raw(self.prior_),
            "draws": self.posterior_.draws,
            "weights": self.posterior_.weights,
            "report": np.array(
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

    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray]) -> dict[str, Any]:
        labels, _ = training_labels(table, scaler)
        prior = self._prior(table)
        exact.set_raw(prior, state["raw"])
        value, gradient, converged, evaluations, starts, jitter = state["report"].tolist()
        report = FitReport(
            value, gradient, bool(converged), "restored from a file", int(evaluations), int(starts), jitter
        )
        posterior = ExactPosterior.of(prior, labels, state["draws"], state["weights"])
        return {"prior_": prior, "report_": report, "posterior_": posterior, "_draws_made": None}


def long_form(x: np.ndarray, group: np.ndarray, z: np.ndarray, se: np.ndarray) -> tuple[Labels, torch.Tensor]:
    """One entry a label that is there, those of a task together, and the row each belongs to."""
    task, row = np.nonzero(~np.isnan(z.T))
    points = Points(torch.from_numpy(x[row]), torch.from_numpy(task), torch.from_numpy(group[row]))
    return Labels(points, torch.from_numpy(z[row, task]), torch.from_numpy(se[row, task] ** 2)), torch.from_numpy(row)


def training_labels(table: Table, scaler: Scaler) -> tuple[Labels, torch.Tensor]:
    """The table's labels in scaled units."""
    n_rows = len(table.x)
    group = np.full(n_rows, -1) if table.group is None else table.group
    codes = own_codes(group, len(table.groups))
    return long_form(scaler.features(table.x), codes, scaler.labels(table.y), table.se / scaler.y_scale)
