"""Checks of an exact model's hyperparameters: whether they converged, the size of the noise, and unused features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from bayestl import streams
from bayestl.device import to_numpy
from bayestl.diagnostics.checks import Check, judge, report_checks
from bayestl.inference.gaussian.large.agreement import ROWS, agreement
from bayestl.inference.gaussian.large.component import Summarised
from bayestl.inference.gaussian.large.inducing import FULL_LABELS
from bayestl.inference.gaussian.large.neighbours import NEAR
from bayestl.models.exact.family import Family
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Smooth

MOST_JITTER = 1e-6
"""Jitter above which the check warns, relative to unit variance."""
LEAST_NOISE, MOST_NOISE = 1e-3, 0.9
"""Noise standard deviation relative to the labels' standard deviation, outside of which the check warns."""
MOST_APART = 0.5
"""Error of the summary of many labels, in standard deviations of the exact answer, above which the check warns."""
UNUSED = 0.05
"""Change of a function, in standard deviations of its labels, below which it hardly changes along a feature."""


def optimiser_checks(families: Sequence[Family]) -> Iterator[Check]:
    """Check that the hyperparameters have converged, and how much jitter the covariance needed."""
    for family in families:
        report, name = family.report, ", ".join(dict.fromkeys(p.names[0] for p in family.parts))
        advice = (
            "" if report.converged else "the hyperparameters were still moving: raise n_starts, or scale the features"
        )
        yield Check("optimiser converged", name, float(report.converged), 1.0, judge(not report.converged), advice)
        if report.chain is not None:
            yield from report_checks(
                report.chain, "the posterior widths are approximate: compare with hyperparameters='laplace'"
            )
        large = report.jitter > MOST_JITTER
        advice = "rows or tasks are nearly the same: drop duplicates, or give Y_std" if large else ""
        yield Check("jitter", name, report.jitter, MOST_JITTER, judge(large), advice)


def size_checks(families: Sequence[Family]) -> Iterator[Check]:
    """Say of which families not every label is in the covariance matrix, what stands for them, and how well it does."""
    for family in families:
        component = family.posterior.components[0]
        if not isinstance(component, Summarised):
            continue
        name, n = ", ".join(dict.fromkeys(p.names[0] for p in family.parts)), len(component.labels)
        advice = f"{n} inducing values and the {NEAR} nearest labels of each function stand for all labels"
        yield Check("labels summarised", name, float(n), float(FULL_LABELS), judge(False), advice)
        found = agreement(component, streams.generator(0, "agreement"))
        names = [name for part in family.parts for name in part.names]
        for function, error in zip(names, found.error.tolist(), strict=True):
            far = error > MOST_APART
            advice = (
                f"at {ROWS} rows the function is {error:.1f} standard deviations from the exact one given the {found.labels} "
                f"labels nearest to them: fit fewer rows, at most {FULL_LABELS} labels, such as those nearest to your new rows"
            )
            yield Check("error of the summary, sd", function, error, MOST_APART, judge(far), advice if far else "")


def noise_checks(families: Sequence[Family]) -> Iterator[Check]:
    """Check whether a task's labels are taken as nearly exact, or as nearly all noise."""
    for family in families:
        channel = 0
        variance = np.stack([to_numpy(c.prior.residual.variance()) for c in family.posterior.components])
        for part in family.parts:
            sd = float(np.sqrt(variance[:, channel]).mean())
            residual = family.prior.residual
            given = residual.is_fixed and bool(residual.has_effect[channel])
            channel += len(part.channels)
            if part.likelihood.has_noise and not given:
                advice = ""
                if sd < LEAST_NOISE:
                    advice = "the labels are taken as exact: repeated rows with different labels would contradict that"
                elif sd > MOST_NOISE:
                    advice = "nearly all of the labels' spread counts as noise: the features say little about this task"
                yield Check("noise", part.names[0], sd, MOST_NOISE, judge(bool(advice)), advice)


def feature_checks(families: Sequence[Family], names: Sequence[str]) -> Iterator[Check]:
    """Count the features along which the functions hardly change."""
    change = np.zeros(len(names))
    for family in families:
        with torch.no_grad():
            d = family.posterior.components[0].labels.points.x.shape[1]  # behind the features, other tasks' labels
            of_family = _changes(family.prior, d).max(dim=0).values[: len(names)]
            change = np.maximum(change, to_numpy(of_family))
    unused = [n for n, size in zip(names, change, strict=True) if size < UNUSED]
    shown = ", ".join(unused[:8]) + (" ..." if len(unused) > 8 else "")
    all_unused = len(unused) == len(names)
    advice = "no feature matters to any task: the prediction is nearly constant" if all_unused else ""
    if unused and not all_unused:
        advice = f"hardly used: {shown}"
    yield Check("features unused", "all tasks", float(len(unused)), float(len(names)), judge(all_unused), advice)


def _changes(prior: Prior, d: int) -> torch.Tensor:
    """Standard deviation (T, d) of ``f_t(x) - f_t(x')`` where x and x' lie two standard deviations of one feature apart."""
    weights = prior.weights()
    total, moved = weights.new_zeros(prior.n_tasks, d), 2.0 * torch.eye(d, dtype=weights.dtype, device=weights.device)
    for w, process in zip(weights.T, prior, strict=True):
        if isinstance(process, Smooth):
            alike = process.kernel.forward(total.new_zeros(1, d), moved)
            total += 2.0 * w[:, None] ** 2 * (1.0 - alike)
    return total.clamp_min(0.0).sqrt()
