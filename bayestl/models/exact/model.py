"""The estimator of the exact architectures: fitting, leave-one-out, checks, draws, and saved state.

A subclass defines its prior (``_prior``) and which tasks inform each other (``_families``), and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from bayestl.device import to_numpy
from bayestl.diagnostics.checks import Check, label_checks
from bayestl.diagnostics.draws import RowDraws, Variable
from bayestl.inference.gaussian.table_labels import training_data
from bayestl.inference.threads import threads_for
from bayestl.models.base import BayesianModel
from bayestl.models.checks import fold_checks
from bayestl.models.crossfit import check_hide, with_refits
from bayestl.models.exact.architecture import ExactArchitecture
from bayestl.models.exact.at_rows import (
    posterior_at_rows,
    posterior_hyperparameters,
    prior_at_rows,
    prior_at_table,
)
from bayestl.models.exact.checks import feature_checks, noise_checks, optimiser_checks, size_checks
from bayestl.models.exact.family import Family
from bayestl.models.exact.hyperparameters import AVERAGED, effect_draws, fit_family, mixing_draws
from bayestl.models.exact.leave_one_out import held_out
from bayestl.priors.processes import PerRow, Smooth
from bayestl.priors.vector import get_raw, set_raw
from bayestl.streams import spawn
from bayestl.table.measured import Measured
from bayestl.table.new_rows import Rows
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import TaskPart


class ExactModel(ExactArchitecture):
    """Base of the models whose posterior is exact given the hyperparameters."""

    def _learn(self, table: Table, scaler: Scaler, seed: int) -> dict[str, Any]:
        self._check()
        x = scaler.features(table.x)
        return {"families_": [self._learn_family(table, scaler, parts, x, seed) for parts in self._families(table)]}

    def _learn_family(
        self, table: Table, scaler: Scaler, parts: tuple[TaskPart, ...], x: np.ndarray, seed: int
    ) -> Family:
        """Fit a family to the labels of the table at inputs ``x`` (n, d); ``seed`` is that of the model."""
        prior = self._made_prior(table, scaler, parts, x.shape[1])
        data = training_data(table, scaler, parts, x).to(prior.device)
        of_family = spawn(seed, f"family of {parts[0].names[0]}")  # the same whatever other tasks there are
        mode, title = self._mode(table, parts), type(self).__name__
        return fit_family(parts, prior, data, mode, int(self.n_starts), of_family, title, self.verbose)

    def leave_one_out(self, refit: bool = False, hide: str = "target") -> pd.DataFrame:
        """Predict every training label from all others, averaged over the hyperparameters, without fitting again.

        Parameters
        ----------
        refit : bool
            Fit again without each influential label (``sensitivity`` above 0.2), one fit per label: few labels of small
            tables, and those that the other labels do not predict.
        hide : {"target", "row"}
            Whether the other labels of the row stay known, or the row is left out with all its labels (not for
            :class:`ChainGP`).

        Returns
        -------
        DataFrame
            One row per label: ``task``, ``row`` (position in the table), ``y`` and ``high`` (the ends of an interval, else
            equal), ``log_density`` (nats, label units; with the label's known standard error),
            ``pit`` (uniform where the model is calibrated), ``sensitivity`` (variance of the log density over the draws
            of the hyperparameters; NaN where they are fixed), ``mean`` and ``std``; for classes ``y`` is a position and
            ``p0``, ``p1`` ... are the class probabilities.

        Raises
        ------
        ValueError
            If the table is so large that it is summarised by inducing values, or if ``hide`` is unknown or not possible.

        Notes
        -----
        Exact for Gaussian labels at fixed hyperparameters; for other labels the pseudo-labels of the others are held
        fixed.  Draws of the hyperparameters have seen the label; truncated importance weights correct for that (point
        estimates are not corrected).  Where the weights vary too much, the reported density is too high: a sensitivity
        above 0.4 says so (Vehtari, Gelman, Gabry 2017, *Practical Bayesian model evaluation using leave-one-out
        cross-validation and WAIC*).
        """
        check_is_fitted(self, "table_")
        check_hide(hide)
        if hide == "row" and self._labels_are_inputs:
            raise ValueError(f'{type(self).__name__} has no leave-one-out with hide="row": use compare')
        with threads_for(len(self.table_.x)):
            left_out = held_out(self, self.families_, hide)
            frames = [loo.frame(name, t) for t, (name, loo) in enumerate(left_out.items())]
        labels = pd.concat(frames, ignore_index=True)
        return with_refits(self, labels, hide) if refit else labels

    def _has_leave_one_out(self, hide: str = "target") -> bool:
        return all(f.posterior.full for f in self.families_) and not (hide == "row" and self._labels_are_inputs)

    def _leaves_out_honestly(self) -> bool:
        return self._has_leave_one_out() and all(len(f.posterior.draws) > 1 for f in self.families_)

    def _learning(self, rows: Rows, table: Table, further: Measured) -> dict[str, Any]:
        """What changes when further labels of some rows of ``table`` are learnt at the same hyperparameters."""
        known = rows._replace(further=further, given=further)
        families = [replace(f, posterior=self._posterior_with(f, known)) for f in self.families_]
        return {"table_": table, "families_": families}

    def _checks(self, transfer: bool, cv: int | None) -> Iterator[Check]:
        yield from optimiser_checks(self.families_)
        yield from size_checks(self.families_)
        yield from noise_checks(self.families_)
        yield from feature_checks(self.families_, self.table_.features)
        if self._has_leave_one_out():
            loo = self.leave_one_out()
            yield from label_checks(self.table_.tasks, self.table_.index, loo, "leave-one-out")
            if transfer:
                yield from self._transfer_checks(loo)
        else:
            yield from fold_checks(self, cv)

    def _transfer_checks(self, loo: pd.DataFrame) -> Iterable[Check]:
        """Checks that the labels of each task help the others; ``loo`` is the model's leave-one-out table."""
        return ()

    def _effect_draws(self, family: Family, n: int = 100) -> np.ndarray:
        """About ``n`` draws of a family's raw hyperparameters, for the effects that an architecture reports."""
        data = self._family_data(family)
        seed = spawn(self.seed_, f"effects of {family.parts[0].names[0]}")
        return effect_draws(family, data, n, seed, type(self).__name__, self.verbose)

    def _hyperparameters(self, n: int, seed: int) -> dict[str, Variable]:
        found = posterior_hyperparameters(self, n, seed)
        return {**found.variables, **found.fixed}

    def _draws_at_rows(self, n: int, seed: int) -> RowDraws:
        return posterior_at_rows(self, n, seed)

    def _prior_at_rows(self, n: int, seed: int) -> RowDraws:
        return prior_at_rows(self, n, seed)

    def _prior_at_table(self, table: Table, seed: int) -> RowDraws:
        return prior_at_table(self, table, seed)

    def task_correlation(self) -> pd.DataFrame:
        """Correlation of the tasks' latent functions over x, with its uncertainty.

        Returns
        -------
        DataFrame (T, T)
            The prior correlation of ``f_t(x)`` and ``f_t'(x)`` at the fitted hyperparameters, averaged over their
            uncertainty; ``.attrs["std"]`` is a DataFrame of the same shape.  Constants do not count.  A task with
            several latent functions has a row for each.  ``.attrs["residual"]`` and ``.attrs["residual_std"]`` are the same
            for what the features do not say of a row's labels, row effects and noise together: near 0, a known label says
            nothing of another one beyond the functions of x.
        """
        names = [name for part in self.table_.parts for name in part.names]
        moments = [
            np.eye(len(names)),
            np.zeros((len(names), len(names))),
            np.eye(len(names)),
            np.zeros((len(names), len(names))),
        ]
        for family in self.families_:
            block = np.ix_(family.channels, family.channels)
            for total, value in zip(moments, self._correlation(family), strict=True):
                total[block] = value
        correlation, *others = (pd.DataFrame(values, names, names) for values in moments)
        correlation.attrs |= dict(zip(("std", "residual", "residual_std"), others, strict=True))
        return correlation

    def _correlation(self, family: Family) -> list[np.ndarray]:
        """Mean and standard deviation (C, C) of the correlation of a family's functions, and of their residuals."""
        prior = family.prior
        kinds = (Smooth, PerRow) if self._rows_are_functions else Smooth
        smooth = [p for p, process in enumerate(prior) if isinstance(process, kinds)]
        of_row = [p for p, process in enumerate(prior) if isinstance(process, PerRow) and p not in smooth]
        raw = get_raw(prior)
        functions, residuals = [], []
        draws = family.posterior.draws
        if len(draws) == 1 and len(family.channels) > 1:
            seed = spawn(self.seed_, f"correlation of {family.parts[0].names[0]}")
            draws = mixing_draws(prior, self._family_data(family), AVERAGED, seed)
        with torch.no_grad():
            for draw in draws:
                set_raw(prior, draw)
                w = to_numpy(prior.weights())
                noise = [p.likelihood.has_noise for p in family.parts for _ in p.channels]
                variance = np.where(noise, to_numpy(prior.residual.variance()), 1.0)  # a class has unit noise
                functions.append(_correlation_of(w[:, smooth] @ w[:, smooth].T))
                residuals.append(_correlation_of(w[:, of_row] @ w[:, of_row].T + np.diag(variance)))
        set_raw(prior, raw)
        return [of(np.stack(values), axis=0) for values in (functions, residuals) for of in (np.mean, np.std)]

    def _state(self) -> dict[str, np.ndarray]:
        return {f"{i}.{k}": v for i, family in enumerate(self.families_) for k, v in family.state().items()}

    def _restore(self, table: Table, scaler: Scaler, state: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
        x = scaler.features(table.x)
        families = enumerate(self._families(table))
        return {"families_": [self._restore_family(table, scaler, parts, x, state, i) for i, parts in families]}

    def _restore_family(
        self,
        table: Table,
        scaler: Scaler,
        parts: tuple[TaskPart, ...],
        x: np.ndarray,
        state: dict[str, np.ndarray],
        i: int,
    ) -> Family:
        prior = self._made_prior(table, scaler, parts, x.shape[1], or_cpu=True)
        arrays = {name.removeprefix(f"{i}."): value for name, value in state.items() if name.startswith(f"{i}.")}
        return Family.restored(parts, prior, training_data(table, scaler, parts, x), arrays)


def _correlation_of(covariance: np.ndarray) -> np.ndarray:
    """The correlation (C, C) that a covariance has; what has no variance is not correlated with anything."""
    size = np.sqrt(covariance.diagonal())
    correlation = covariance / np.outer(*[np.where(size > 0, size, 1.0)] * 2)
    return np.asarray(correlation + np.diag((size == 0).astype(float)))


def jointly_gaussian(model: BayesianModel) -> TypeGuard[ExactModel]:
    """Whether the latent values of all rows and tasks are jointly Gaussian given the hyperparameters."""
    return isinstance(model, ExactModel) and not model._labels_are_inputs
