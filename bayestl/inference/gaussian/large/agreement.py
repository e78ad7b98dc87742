"""How far the summary of many labels is from the exact answer, at a few rows.

With the mean ``m`` and variance ``v`` of a function given all labels, and ``m_S``, ``v_S`` given some of them,

    E[(m - m_S)^2] = v_S - v

over the other labels, whatever they are: so ``(m - m_S)^2 + v - v_S`` is zero on average if both are exact.  ``S`` are the labels
nearest to the rows, few enough for their full covariance matrix; what is above zero is what the summary gets wrong.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from bayestl.inference.gaussian.component import Component
from bayestl.inference.gaussian.large.component import Summarised
from bayestl.inference.threads import threads_for

ROWS, LABELS = 50, 3000
"""Number of rows that are compared, and about how many labels are near them."""


class Agreement(NamedTuple):
    """The error of a summary in standard deviations of the exact answer, one number for each latent function."""

    error: np.ndarray
    labels: int
    """Number of labels that the exact answer is given."""


@torch.no_grad()
def agreement(component: Summarised, generator: np.random.Generator) -> Agreement:
    """The functions at some rows of the table given all labels, against the exact ones given the labels near these rows."""
    near, prior = component.near, component.prior
    chosen = np.sort(generator.choice(len(near), min(ROWS, len(near)), replace=False))
    at = near.points.at(torch.from_numpy(chosen)).of_functions()
    places = np.unique(near.places(at, count=max(LABELS // (len(chosen) * prior.n_tasks), 1)))
    labels = near.labels(torch.from_numpy(places[places >= 0]))
    with threads_for(len(labels)):
        (mean, covariance), (exact, spread) = component.within_rows(at), Component.of(prior, labels).within_rows(at)
    variance, of_exact = (v.diagonal(dim1=1, dim2=2) for v in (covariance, spread))
    excess = ((mean - exact) ** 2 + variance - of_exact).mean(dim=0) / of_exact.mean(dim=0).clamp_min(1e-12)
    return Agreement(excess.clamp_min(0.0).sqrt().numpy(), len(labels))
