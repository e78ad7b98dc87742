"""Checks of a fit: each has a value, a threshold, a status and advice.

The checks use plain numbers (predictions of held-out labels, reports of chains and optimisers) and no model; each model
lists the checks that it needs.  A check warns beyond two standard errors or at a p value below 0.01, and fails far
beyond that; so two or three of a hundred checks warn although the model is right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bayestl.diagnostics.shown import TextTable
from bayestl.inference.reports import MOST_DIVERGENT, MOST_R_HAT, ChainReport
from bayestl.inference.svi.elbo import SVIReport
from bayestl.likelihoods import Gaussian, Likelihood
from bayestl.table.task import Task

LEAST_LABELS = 10
"""Fewest labels of a task whose calibration is checked."""
WARN_P, FAIL_P = 0.01, 1e-4
"""p values of calibration below which the check warns and fails."""
LEAST_EXPLAINED = 0.05
"""Fraction of the variance explained below which the check warns."""
LEAST_EFFECTIVE = 50
"""Effective sample size below which the check warns."""
MOST_K = 0.7
"""Pareto k above which the check warns."""
SENSITIVE, MOST_SENSITIVE = 0.4, 0.3
"""Variance of a label's log density over the hyperparameters above which the label is influential, and the fraction of
influential labels above which the check warns."""
FAR = 0.1
"""Fraction of new rows beyond the training table above which the check warns."""


@dataclass(frozen=True)
class Check:
    """The result of one check: a row of the table of ``diagnose()``."""

    check: str
    of: str
    value: float
    threshold: float
    status: str
    advice: str = ""


def judge(bad: bool, hopeless: bool = False) -> str:
    """The status of a check: ``"fail"``, ``"warn"`` or ``"pass"``."""
    return "fail" if hopeless else "warn" if bad else "pass"


class CheckTable(TextTable):
    """The table of ``diagnose()``."""

    text = "advice"
    whole = tuple(Check.__dataclass_fields__)


def as_table(checks: Iterable[Check]) -> pd.DataFrame:
    """The checks as a table, one row per check, worst first."""
    frame = pd.DataFrame([vars(c) for c in checks], columns=list(Check.__dataclass_fields__))
    order = frame["status"].map({"fail": 0, "warn": 1, "pass": 2})
    return CheckTable(frame.iloc[np.argsort(order, kind="stable")].reset_index(drop=True))


def label_checks(tasks: Sequence[Task], index: pd.Index, held: pd.DataFrame, how: str) -> Iterator[Check]:
    """Checks of each task's calibration, variance explained, outliers and influential observations.

    Parameters
    ----------
    tasks : sequence of Task
        The tasks of the model.
    index : Index
        The names of the rows of the table.
    held : DataFrame
        Predictions of held-out labels, with the columns of ``leave_one_out()``.
    how : str
        How the labels were held out: ``"leave-one-out"`` or ``"held-out"``.
    """
    for task, likelihood in ((t.name, t.observes) for t in tasks):
        labels = held[held["task"] == task]
        pit = labels["pit"].to_numpy()
        if len(labels) < LEAST_LABELS:
            continue
        p = float(stats.kstest(pit, "uniform").pvalue)
        advice = _calibration_advice(pit, likelihood) if p < WARN_P else ""
        yield Check(f"{how} calibration (p value)", task, p, WARN_P, judge(p < WARN_P, p < FAIL_P), advice)
        if "p0" in labels and labels["p0"].notna().any():
            continue
        numbers = labels[labels["y"] == labels["high"]]  # of the others only an interval is known
        y, mean = numbers["y"].to_numpy(), numbers["mean"].to_numpy()
        explained = 1.0 - float(np.mean((y - mean) ** 2) / max(y.var(), 1e-300)) if len(y) > 1 else np.nan
        if np.isfinite(explained) and y.var() > 0:
            unexplained = explained < LEAST_EXPLAINED
            advice = (
                "no better than the mean of the labels: the features and the other tasks say little about it"
                if unexplained
                else ""
            )
            yield Check(f"variance explained, {how}", task, explained, LEAST_EXPLAINED, judge(unexplained), advice)
        far = labels["row"].to_numpy()[far_off(pit)]
        advice = (
            f"far from their predictions by all others: rows {_row_names(index, far)}; check them, or use StudentT()"
            if len(far)
            else ""
        )
        yield Check(
            "outliers", task, float(len(far)), 0.0, judge(len(far) > 0, len(far) > 0.05 * len(labels) + 1), advice
        )
        if "sensitivity" in labels and labels["sensitivity"].notna().any():
            yield _influential_check(index, task, labels)


def far_off(pit: np.ndarray) -> np.ndarray:
    """Which of some labels (n,), given their probability integral transforms, are too far from their predictions for chance."""
    return np.asarray(2 * np.minimum(pit, 1 - pit) < WARN_P / max(len(pit), 1))


def _influential_check(index: pd.Index, task: str, held: pd.DataFrame) -> Check:
    """Check of influential observations: labels on which the hyperparameters depend, so that they need a refit."""
    rows = held["row"].to_numpy()[held["sensitivity"].to_numpy() > SENSITIVE]
    share = len(rows) / len(held)
    advice = (
        f"the hyperparameters depend on rows {_row_names(index, rows)}: leave_one_out(refit=True) for their densities"
        if len(rows)
        else ""
    )
    return Check("influential observations", task, share, MOST_SENSITIVE, judge(share > MOST_SENSITIVE), advice)


def _row_names(index: pd.Index, rows: np.ndarray) -> str:
    """The names of the first six rows, separated by commas."""
    return ", ".join(str(index[r]) for r in rows[:6]) + (" ..." if len(rows) > 6 else "")


def _calibration_advice(pit: np.ndarray, likelihood: Likelihood) -> str:
    """Advice for a histogram of PITs that is not flat, given the likelihood of the task."""
    spread, centre = pit.std() * math.sqrt(12), pit.mean()
    recalibrate = "Recalibrated(model)"
    gaussian = isinstance(likelihood, Gaussian)
    if abs(centre - 0.5) > 0.08:
        remedy = "the labels may be skewed (LogNormal, Positive, Hurdle)" if gaussian else f"use {recalibrate}"
        return f"predictions are too {'low' if centre > 0.5 else 'high'}: {remedy}"
    if spread > 1.1:
        remedy = ", or StudentT()" if gaussian else ""
        return (
            f"intervals are too narrow: average over hyperparameters (hyperparameters='mcmc'){remedy}, or {recalibrate}"
        )
    if gaussian:
        return (
            f"intervals are too wide or of the wrong shape: heavy tails (StudentT()), zeros or limits, or {recalibrate}"
        )
    return f"intervals are too wide or of the wrong shape: use {recalibrate}"


def report_checks(report: SVIReport | ChainReport, more: str = "ask for more n_draws") -> Iterator[Check]:
    """Checks of convergence: of Markov chains, or of a variational guide."""
    if isinstance(report, ChainReport):
        r_hat, least = report.r_hat, LEAST_EFFECTIVE
        not_converged = not r_hat < MOST_R_HAT
        yield Check(
            "R-hat", "log density", r_hat, MOST_R_HAT, judge(not_converged, r_hat > 2.0), more if not_converged else ""
        )
        few = report.effective < least
        yield Check("effective sample size", "log density", report.effective, least, judge(few), more if few else "")
        share = report.divergences / max(len(report.log_density), 1)
        many = share > MOST_DIVERGENT
        advice = "check for labels far outside what their noise allows, or give Y_std" if many else ""
        yield Check("divergences", "chain", share, MOST_DIVERGENT, judge(many, share > 0.3), advice)
        return
    advice = "" if report.converged else "the bound was still rising: raise max_steps"
    yield Check("bound converged", "guide", float(report.converged), 1.0, judge(not report.converged), advice)
    k, not_converged = report.pareto_k, report.pareto_k > MOST_K
    advice = (
        "some of the posterior is hardly ever drawn, so widths may be too small (common for hundreds of latent "
        "values): raise n_inducing, or use inference='mcmc' for up to a few hundred rows"
    )
    yield Check("Pareto k of the guide", "guide", k, MOST_K, judge(not_converged), advice if not_converged else "")


def chain_checks(values: np.ndarray, what: str) -> Iterator[Check]:
    """Checks of convergence of one chain of draws (S,); ``what`` names the quantity."""
    from pyro.ops.stats import effective_sample_size, split_gelman_rubin

    from bayestl.device import tensor

    chain = tensor(np.ascontiguousarray(values, dtype=float))[None]
    r_hat, effective = float(split_gelman_rubin(chain)), float(effective_sample_size(chain))
    more = "ask for more n_draws and n_warmup"
    bad, few = not r_hat < MOST_R_HAT, effective < LEAST_EFFECTIVE
    yield Check("R-hat", what, r_hat, MOST_R_HAT, judge(bad, r_hat > 2.0), more if bad else "")
    yield Check("effective sample size", what, effective, LEAST_EFFECTIVE, judge(few), more if few else "")


def new_row_check(rows: np.ndarray, new: np.ndarray) -> Check:
    """Check how many new rows lie beyond the table, in scaled features.

    A row does if its nearest row of the table is farther than 99 % of the table's rows are from their nearest
    neighbour.
    """
    from sklearn.neighbors import NearestNeighbors

    rows = np.unique(rows, axis=0)
    share = 0.0
    if len(rows) > 2:
        near = NearestNeighbors(n_neighbors=2).fit(rows)
        usual = np.quantile(near.kneighbors(rows)[0][:, 1], 0.99)
        distance = near.kneighbors(new, n_neighbors=1)[0][:, 0]
        share = float((distance > usual).mean())
    advice = (
        "these rows lie beyond the training table: trust the intervals less, and measure some of them"
        if share > FAR
        else ""
    )
    return Check("new rows beyond the table", "X_new", share, FAR, judge(share > FAR, share > 0.9), advice)
