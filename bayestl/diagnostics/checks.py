"""Checks of a fit: each has a value, a threshold, a status and advice in words.

They are made of plain numbers (predictions of held-out labels, reports of chains and optimisers), so they know no model; each
model states which of them it asks for.  A check warns beyond two standard errors, or at a chance of one in a hundred, and
fails where that is out of the question; so of a hundred checks on a table that the model is right about some two or three warn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bayestl.inference.reports import MOST_DIVERGENT, MOST_R_HAT, ChainReport
from bayestl.inference.svi.elbo import SVIReport
from bayestl.likelihoods import Gaussian, Likelihood
from bayestl.table.task import Task

LEAST_LABELS = 10
"""Fewer labels say nothing of calibration."""
WARN_P, FAIL_P = 0.01, 1e-4
LEAST_EXPLAINED = 0.05
LEAST_EFFECTIVE = 50
MOST_K = 0.7
SENSITIVE, MOST_SENSITIVE = 0.4, 0.3
"""Variance of a label's log density over the hyperparameters, and the fraction of labels beyond it that is remarkable."""
FAR = 0.1
"""Fraction of new rows beyond the training table that is remarkable."""


@dataclass(frozen=True)
class Check:
    """One row of the table."""

    check: str
    of: str
    value: float
    threshold: float
    status: str
    advice: str = ""


def judge(bad: bool, hopeless: bool = False) -> str:
    """The status of a check."""
    return "fail" if hopeless else "warn" if bad else "pass"


def as_table(checks: Iterable[Check]) -> pd.DataFrame:
    """A row a check, worst first."""
    frame = pd.DataFrame([vars(c) for c in checks], columns=list(Check.__dataclass_fields__))
    order = frame["status"].map({"fail": 0, "warn": 1, "pass": 2})
    return frame.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)


def label_checks(tasks: Sequence[Task], index: pd.Index, held: pd.DataFrame, how: str) -> Iterator[Check]:
    """Calibration, variance explained and outliers of each task, from its held-out labels (see ``leave_one_out``).

    ``index`` names the rows of the table; ``how`` says how the labels were held out.
    """
    for task, likelihood in ((t.name, t.observes) for t in tasks):
        own = held[held["task"] == task]
        pit = own["pit"].to_numpy()
        if len(own) < LEAST_LABELS:
            continue
        p = float(stats.kstest(pit, "uniform").pvalue)
        advice = _shape_of(pit, likelihood) if p < WARN_P else ""
        yield Check(f"{how} calibration (p value)", task, p, WARN_P, judge(p < WARN_P, p < FAIL_P), advice)
        if "p0" in own and own["p0"].notna().any():
            continue
        y = own["y"].to_numpy()
        explained = 1.0 - float(np.mean((y - own["mean"].to_numpy()) ** 2) / max(y.var(), 1e-300))
        if np.isfinite(explained) and y.var() > 0:
            none = explained < LEAST_EXPLAINED
            advice = (
                "no better than the mean of the labels: the features and the other tasks say little of it"
                if none
                else ""
            )
            yield Check(f"variance explained, {how}", task, explained, LEAST_EXPLAINED, judge(none), advice)
        tail = 2 * np.minimum(pit, 1 - pit)
        far = own["row"].to_numpy()[tail < WARN_P / len(own)]
        advice = (
            f"far from what all others say: rows {_row_names(index, far)}; check them, or use StudentT()"
            if len(far)
            else ""
        )
        yield Check("outliers", task, float(len(far)), 0.0, judge(len(far) > 0, len(far) > 0.05 * len(own) + 1), advice)
        if "sensitivity" in own and own["sensitivity"].notna().any():
            yield _sensitivity(index, task, own)


def _sensitivity(index: pd.Index, task: str, own: pd.DataFrame) -> Check:
    """Whether leave-one-out can be had without fitting again: labels that decide on the hyperparameters cannot be taken away."""
    much = own["row"].to_numpy()[own["sensitivity"].to_numpy() > SENSITIVE]
    share = len(much) / len(own)
    hung = f"the hyperparameters hang on rows {_row_names(index, much)}: leave_one_out(refit=True) for their densities"
    advice = hung if len(much) else ""
    return Check("sensitive labels", task, share, MOST_SENSITIVE, judge(share > MOST_SENSITIVE), advice)


def _row_names(index: pd.Index, rows: np.ndarray) -> str:
    """Rows of the table as its index names them, the first six."""
    return ", ".join(str(index[r]) for r in rows[:6]) + (" ..." if len(rows) > 6 else "")


def _shape_of(pit: np.ndarray, likelihood: Likelihood) -> str:
    """What a histogram of PITs that is not flat says, to somebody who has chosen that likelihood."""
    spread, centre = pit.std() * math.sqrt(12), pit.mean()
    mended = "Recalibrated(model)"
    plain = isinstance(likelihood, Gaussian)
    if abs(centre - 0.5) > 0.08:
        other = "the labels may be skew (LogNormal, Positive, Hurdle)" if plain else f"mend them with {mended}"
        return f"predictions are too {'low' if centre > 0.5 else 'high'}: {other}"
    if spread > 1.1:
        other = ", or StudentT()" if plain else ""
        return f"intervals are too narrow: average over hyperparameters (hyperparameters='mcmc'){other}, or {mended}"
    if plain:
        return f"intervals are too wide or of the wrong shape: heavy tails (StudentT()), zeros or limits, or {mended}"
    return f"intervals are too wide or of the wrong shape: mend them with {mended}"


def report_checks(report: SVIReport | ChainReport, more: str = "ask for more n_draws") -> Iterator[Check]:
    """Whether chains or a guide have settled."""
    if isinstance(report, ChainReport):
        r_hat, least = report.r_hat, LEAST_EFFECTIVE
        bad = not r_hat < MOST_R_HAT
        yield Check("R-hat", "log density", r_hat, MOST_R_HAT, judge(bad, r_hat > 2.0), more if bad else "")
        few = report.effective < least
        yield Check("effective draws", "log density", report.effective, least, judge(few), more if few else "")
        share = report.divergences / max(len(report.log_density), 1)
        many = share > MOST_DIVERGENT
        advice = "check for labels far outside what their noise allows, or give Y_std" if many else ""
        yield Check("divergences", "chain", share, MOST_DIVERGENT, judge(many, share > 0.3), advice)
        return
    advice = "" if report.converged else "the bound was still rising: raise max_steps"
    yield Check("bound settled", "guide", float(report.converged), 1.0, judge(not report.converged), advice)
    k, bad = report.pareto_k, report.pareto_k > MOST_K
    advice = (
        "some of the posterior is hardly ever drawn, so widths may be too small (of hundreds of latent values at once this is "
        "common): more n_inducing, or inference='mcmc' for up to a few hundred rows"
    )
    yield Check("Pareto k of the guide", "guide", k, MOST_K, judge(bad), advice if bad else "")


def chain_checks(values: np.ndarray, what: str) -> Iterator[Check]:
    """Whether one chain of draws (S,) of a quantity has settled."""
    import torch
    from pyro.ops.stats import effective_sample_size, split_gelman_rubin

    chain = torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float64)[None]
    r_hat, effective = float(split_gelman_rubin(chain)), float(effective_sample_size(chain))
    more = "ask for more n_draws and n_warmup"
    bad, few = not r_hat < MOST_R_HAT, effective < LEAST_EFFECTIVE
    yield Check("R-hat", what, r_hat, MOST_R_HAT, judge(bad, r_hat > 2.0), more if bad else "")
    yield Check("effective draws", what, effective, LEAST_EFFECTIVE, judge(few), more if few else "")


def new_row_check(rows: np.ndarray, new: np.ndarray) -> Check:
    """How many new rows are farther from the table's ``rows`` than those are from each other (99 % of them); scaled features."""
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
