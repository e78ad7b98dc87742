"""Whether a fitted model can be trusted: a table of checks, each with a value, a threshold and advice in words.

Exact models are checked on the leave-one-out prediction of each of their labels (``inference/loo.py``), models by draws on
their chain or their guide.  A check warns beyond two standard errors, or at a chance of one in a hundred, and fails where
that is out of the question; so of a hundred checks on a table that the model is right about some two or three warn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from bayestl import metrics
from bayestl.inference.chains import MOST_DIVERGENT, MOST_R_HAT, ChainReport
from bayestl.inference.variational import SVIReport
from bayestl.likelihoods import Gaussian, Likelihood
from bayestl.models.crossfit import has_leave_one_out, held_out_labels
from bayestl.models.exact import ExactModel
from bayestl.models.latent import LatentVariableGP
from bayestl.models.recalibrated import Recalibrated
from bayestl.models.stacked import StackedModel
from bayestl.models.subspace import SubspaceGP

if TYPE_CHECKING:
    from bayestl.models.base import BayesianModel

LEAST_LABELS = 10
"""Fewer labels say nothing of calibration."""
WARN_P, FAIL_P = 0.01, 1e-4
MOST_JITTER = 1e-6
"""Relative to unit variance."""
LEAST_NOISE, MOST_NOISE = 1e-3, 0.9
"""Noise over the labels' standard deviation, outside of which it is remarkable."""
LEAST_EXPLAINED = 0.05
UNUSED = 5.0
"""A length scale of so many times sqrt(d) standard deviations: the function hardly changes along that feature."""
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


def _judge(bad: bool, hopeless: bool = False) -> str:
    return "fail" if hopeless else "warn" if bad else "pass"


def diagnose(model: BayesianModel, X_new: Any = None, transfer: bool = True, cv: int | None = None) -> pd.DataFrame:
    """Check a fitted model.

    Parameters
    ----------
    model : BayesianModel
        Fitted.
    X_new : DataFrame or ndarray, optional
        Rows that are to be predicted: whether they lie beyond the training table.
    transfer : bool
        Whether each task is checked for harm by each other one, which takes a fit of the table without that one (exact models).
    cv : int, optional
        Folds of rows in which labels are held out, for models that have no leave-one-out: calibration and outliers are checked
        on them, which takes so many fits.

    Returns
    -------
    DataFrame
        A row a check, worst first: ``check``, ``of`` (a task, a part of the model), ``value``, ``threshold``, ``status``
        (``"pass"``, ``"warn"``, ``"fail"``), ``advice``.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        Before ``fit``.
    """
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(model, "table_")
    found = list(_of_model(model, transfer, cv))
    if X_new is not None:
        found.append(_of_new_rows(model, X_new))
    frame = pd.DataFrame([vars(c) for c in found], columns=list(Check.__dataclass_fields__))
    order = frame["status"].map({"fail": 0, "warn": 1, "pass": 2})
    return frame.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)


def _of_model(model: BayesianModel, transfer: bool, cv: int | None) -> Iterator[Check]:
    if isinstance(model, StackedModel):
        for name, member in model.members_.items():
            if model.weights_[name] > 0:
                yield from (replace(c, of=f"{name}: {c.of}") for c in _of_model(member, transfer, cv))
        return
    if isinstance(model, Recalibrated):  # what its held-out labels showed is mended already
        kinds = ("leave-one-out calibration", "held-out calibration")
        yield from (c for c in _of_model(model.member_, transfer, None) if not c.check.startswith(kinds))
        return
    if isinstance(model, ExactModel):
        yield from _of_optimiser(model)
        yield from _of_noise(model)
        yield from _of_features(model)
    elif isinstance(model, LatentVariableGP):
        yield from _of_report(model.report_)
    elif isinstance(model, SubspaceGP):
        yield from _of_chain(model.draws_.noise.mean(axis=1), "noise variances")
    if has_leave_one_out(model):
        loo = held_out_labels(model)
        yield from _of_labels(model, loo, "leave-one-out")
        if transfer and isinstance(model, ExactModel):
            yield from _of_transfer(model, loo)
    elif cv is not None:
        yield from _of_labels(model, held_out_labels(model, cv, int(model.random_state), model.verbose), "held-out")


# ---------------------------------------------------------------------------------------------------- exact models


def _of_optimiser(model: ExactModel) -> Iterator[Check]:
    for family in model.families_:
        report, name = family.report, ", ".join(dict.fromkeys(p.names[0] for p in family.parts))
        advice = (
            "" if report.converged else "the hyperparameters were still moving: raise n_starts, or scale the features"
        )
        yield Check("optimiser settled", name, float(report.converged), 1.0, _judge(not report.converged), advice)
        if report.chain is not None:
            yield from _of_report(report.chain, "the widths are known roughly: compare with hyperparameters='laplace'")
        much = report.jitter > MOST_JITTER
        advice = "rows or tasks are nearly the same: drop duplicates, or give Y_std" if much else ""
        yield Check("jitter", name, report.jitter, MOST_JITTER, _judge(much), advice)


def _of_noise(model: ExactModel) -> Iterator[Check]:
    for family in model.families_:
        used = 0
        variance = np.stack([c.prior.noise.variance().detach().numpy() for c in family.posterior.components])
        for part in family.parts:
            sd = float(np.sqrt(variance[:, used]).mean())
            used += len(part.channels)
            if part.likelihood.has_noise:
                advice = ""
                if sd < LEAST_NOISE:
                    advice = "the labels are taken as exact: repeated rows with different labels would contradict that"
                elif sd > MOST_NOISE:
                    advice = "nearly all of the labels' spread counts as noise: the features say little of this task"
                yield Check("noise", part.names[0], sd, MOST_NOISE, _judge(bool(advice)), advice)


def _of_features(model: ExactModel) -> Iterator[Check]:
    from bayestl.stationary import Stationary

    names = list(model.table_.features)
    longest = UNUSED * math.sqrt(len(names))
    shortest = np.full(len(names), np.inf)
    for family in model.families_:
        for module in family.prior.modules():
            if isinstance(module, Stationary) and len(module.lengthscale) == len(names):
                shortest = np.minimum(shortest, module.lengthscale.detach().numpy())
    if np.isinf(shortest).all():
        return
    unused = [n for n, scale in zip(names, shortest, strict=True) if scale > longest]
    shown = ", ".join(unused[:8]) + (" ..." if len(unused) > 8 else "")
    none = len(unused) == len(names)
    advice = "no feature matters to any task: the prediction is nearly constant" if none else ""
    if unused and not none:
        advice = f"hardly used: {shown}"
    yield Check("features unused", "all tasks", float(len(unused)), float(len(names)), _judge(none), advice)


def _of_labels(model: BayesianModel, loo: pd.DataFrame, how: str) -> Iterator[Check]:
    for task, likelihood in ((t.name, t.observes) for t in model.table_.tasks):
        own = loo[loo["task"] == task]
        pit = own["pit"].to_numpy()
        if len(own) < LEAST_LABELS:
            continue
        p = float(stats.kstest(pit, "uniform").pvalue)
        advice = _shape_of(pit, likelihood) if p < WARN_P else ""
        yield Check(f"{how} calibration (p value)", task, p, WARN_P, _judge(p < WARN_P, p < FAIL_P), advice)
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
            yield Check(f"variance explained, {how}", task, explained, LEAST_EXPLAINED, _judge(none), advice)
        tail = 2 * np.minimum(pit, 1 - pit)
        far = own["row"].to_numpy()[tail < WARN_P / len(own)]
        advice = (
            f"far from what all others say: rows {_named(model, far)}; check them, or use StudentT()"
            if len(far)
            else ""
        )
        yield Check(
            "outliers", task, float(len(far)), 0.0, _judge(len(far) > 0, len(far) > 0.05 * len(own) + 1), advice
        )
        if "sensitivity" in own and own["sensitivity"].notna().any():
            yield _of_sensitivity(model, task, own)


def _of_sensitivity(model: BayesianModel, task: str, own: pd.DataFrame) -> Check:
    """Whether leave-one-out can be had without fitting again: labels that decide on the hyperparameters cannot be taken away."""
    much = own["row"].to_numpy()[own["sensitivity"].to_numpy() > SENSITIVE]
    share = len(much) / len(own)
    hung = f"the hyperparameters hang on rows {_named(model, much)}: leave_one_out(refit=True) for their densities"
    advice = hung if len(much) else ""
    return Check("sensitive labels", task, share, MOST_SENSITIVE, _judge(share > MOST_SENSITIVE), advice)


def _named(model: BayesianModel, rows: np.ndarray) -> str:
    """Rows of the table as its index names them, the first six."""
    return ", ".join(str(model.table_.index[r]) for r in rows[:6]) + (" ..." if len(rows) > 6 else "")


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


def _of_transfer(model: ExactModel, loo: pd.DataFrame) -> Iterator[Check]:
    names = model.table_.names
    for source in names if len(names) > 1 else ():
        if not _informs(model, source):
            continue
        without = refit_without(model, source).leave_one_out()
        for task in (t for t in names if t != source):
            gain, se = metrics.paired_difference(_densities(loo, task), _densities(without, task))
            harm = gain < -2 * se
            advice = f"the labels of {source!r} make it worse: leave them out, or use IndependentGP" if harm else ""
            what = f"{source} -> {task}"
            yield Check("transfer (nats gained)", what, gain, -2 * se, _judge(harm, gain < -4 * se), advice)


def _informs(model: ExactModel, source: str) -> bool:
    """Whether a task shares a family with another one, or is an input of one."""
    position = model.table_.names.index(source)
    if hasattr(model, "levels"):
        return True
    return any(len({p.task for p in f.parts}) > 1 and position in {p.task for p in f.parts} for f in model.families_)


def _densities(loo: pd.DataFrame, task: str) -> np.ndarray:
    own = loo[loo["task"] == task].sort_values("row")
    return own["log_density"].to_numpy()


def refit_without(model: ExactModel, task: str) -> ExactModel:
    """The same model of the same table without the labels of a task."""
    from bayestl.models.independent import IndependentGP

    table = model.table_
    kept = [t for t, name in enumerate(table.names) if name != task]
    tasks = [table.tasks[t] for t in kept]
    parameters: Mapping[str, Any] = model.get_params(deep=False)
    own: dict[str, Any] = {k: v for k, v in parameters.items() if k in IndependentGP._get_param_names()}
    own |= {"tasks": tasks, "verbose": False}
    if len(kept) == 1:
        other: ExactModel = IndependentGP(**own)
    else:
        own = {**parameters, **own}
        if own.get("levels") is not None:
            own["levels"] = [name for name in own["levels"] if name != task]
        other = type(model)(**own)
    less = table.only(kept)
    other._become(less, other._scale(less), other._learn(less, other._scale(less)))
    return other


# ------------------------------------------------------------------------------------------------- models by draws


def _of_report(report: SVIReport | ChainReport, more: str = "ask for more n_draws") -> Iterator[Check]:
    if isinstance(report, ChainReport):
        r_hat, least = report.r_hat, LEAST_EFFECTIVE
        bad = not r_hat < MOST_R_HAT
        yield Check("R-hat", "log density", r_hat, MOST_R_HAT, _judge(bad, r_hat > 2.0), more if bad else "")
        few = report.effective < least
        yield Check("effective draws", "log density", report.effective, least, _judge(few), more if few else "")
        share = report.divergences / max(len(report.log_density), 1)
        many = share > MOST_DIVERGENT
        advice = "check for labels far outside what their noise allows, or give Y_std" if many else ""
        yield Check("divergences", "chain", share, MOST_DIVERGENT, _judge(many, share > 0.3), advice)
        return
    advice = "" if report.converged else "the bound was still rising: raise max_steps"
    yield Check("bound settled", "guide", float(report.converged), 1.0, _judge(not report.converged), advice)
    k, bad = report.pareto_k, report.pareto_k > MOST_K
    advice = (
        "some of the posterior is hardly ever drawn, so widths may be too small (of hundreds of latent values at once this is "
        "common): more n_inducing, or inference='mcmc' for up to a few hundred rows"
    )
    yield Check("Pareto k of the guide", "guide", k, MOST_K, _judge(bad), advice if bad else "")


def _of_chain(values: np.ndarray, what: str) -> Iterator[Check]:
    import torch
    from pyro.ops.stats import effective_sample_size, split_gelman_rubin

    chain = torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float64)[None]
    r_hat, effective = float(split_gelman_rubin(chain)), float(effective_sample_size(chain))
    more = "ask for more n_draws and n_warmup"
    bad, few = not r_hat < MOST_R_HAT, effective < LEAST_EFFECTIVE
    yield Check("R-hat", what, r_hat, MOST_R_HAT, _judge(bad, r_hat > 2.0), more if bad else "")
    yield Check("effective draws", what, effective, LEAST_EFFECTIVE, _judge(few), more if few else "")


def _of_new_rows(model: BayesianModel, X_new: Any) -> Check:
    """How many new rows are farther from the table than its own rows are from each other (99 % of them)."""
    from sklearn.neighbors import NearestNeighbors

    new, _ = model._new_rows(X_new)
    rows = np.unique(model.scaler_.features(model.table_.x), axis=0)
    share = 0.0
    if len(rows) > 2:
        near = NearestNeighbors(n_neighbors=2).fit(rows)
        usual = np.quantile(near.kneighbors(rows)[0][:, 1], 0.99)
        distance = near.kneighbors(model.scaler_.features(new), n_neighbors=1)[0][:, 0]
        share = float((distance > usual).mean())
    advice = (
        "these rows lie beyond the training table: trust the intervals less, and measure some of them"
        if share > FAR
        else ""
    )
    return Check("new rows beyond the table", "X_new", share, FAR, _judge(share > FAR, share > 0.9), advice)
