"""Knowledge of the quantity over the whole pool, in closed form for exact models of Gaussian labels.

For the goal ``Learn``, the variance of the quantity that a measurement removes, summed over target rows; for
``Maximise`` and ``Minimise`` the knowledge gradient over the pool, exact for a measurement of any task: Frazier,
Powell, Dayanik 2009, *The knowledge-gradient policy for correlated normal beliefs*.  Both are about the latent quantity,
without the noise of any label, measured or not, and both are averaged over the sets of hyperparameters of the model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import ndtr

from bayestl.active.acquisition.pool import (
    CHUNK,
    TARGET_ROWS,
    Pool,
    lacking_labels,
    observed_labels,
    predicted_quantity,
    spread_over,
)
from bayestl.active.expressions import Expression
from bayestl.active.goals import Goal, Maximise
from bayestl.device import tensor, to_numpy
from bayestl.inference.gaussian.latent import coupled
from bayestl.likelihoods import Gaussian
from bayestl.models.base import BayesianModel
from bayestl.models.exact.model import ExactModel, jointly_gaussian
from bayestl.priors.processes import Points

ALL_DRAWS = 1000
"""Rows of a task whose knowledge gradient is averaged over all sets of hyperparameters; the likeliest set chooses them."""


def knowledge(model: BayesianModel, pool: Pool, goal: Goal) -> np.ndarray:
    """The variance of the quantity that each measurement removes, summed over target rows, per unit of cost, (n, T).

    The closed form holds for Gaussian labels of exact models and linear quantities; otherwise the score is the
    predicted spread of the quantity at the row itself.
    """
    if not has_closed_form(model, goal):
        spread = goal.promise(predicted_quantity(model, pool, goal), 0.0)
        return np.where(lacking_labels(pool, goal), spread[:, None] / pool.costs, -np.inf)
    targets = spread_over(len(pool.X), TARGET_ROWS)

    def reduction(components: np.ndarray, rows: np.ndarray, s: int) -> np.ndarray:
        covariance, variance = covariances(model, pool, goal, targets, components, rows)
        return np.asarray((covariance**2).sum(axis=1) / variance)

    return _averaged(model, pool, reduction) / pool.costs


def knowledge_gradient(model: BayesianModel, pool: Pool, goal: Goal) -> np.ndarray:
    """The knowledge gradient of each measurement, ``E[max_j mean_j after it] - max_j mean_j`` over rows j, (n, T).

    Raises
    ------
    ValueError
        For goals other than ``Maximise`` or ``Minimise`` of a linear quantity, or models that are not exact and
        Gaussian.
    """
    if not (isinstance(goal, Maximise) and has_closed_form(model, goal)):
        raise ValueError(
            "acquisition 'knowledge-gradient' is for Maximise or Minimise of a quantity that is linear in Gaussian tasks of "
            "IndependentGP, MultiTaskGP or DifferenceGP: use 'auto'"
        )
    sign = goal.sign
    moments = model.posterior(pool.X, observed=observed_labels(model, pool.known), noise=False).moments()
    assert moments is not None
    constant, slope = affine_quantity(goal, model.table_.names)
    means = sign * (constant + moments[1] @ slope)
    sds = np.sqrt(np.einsum("t,sntu,u->sn", slope, moments[2], slope))

    def gradient(components: np.ndarray, rows: np.ndarray, s: int) -> np.ndarray:
        rivals = np.argsort(-(means[s] + 2.5 * sds[s]), kind="stable")[:TARGET_ROWS]
        covariance, variance = covariances(model, pool, goal, rivals, components, rows)
        slopes = sign * covariance / np.sqrt(variance)[:, None, :]
        return np.stack([expected_maximum(means[s, rivals], of.T) for of in slopes.T], axis=1)

    return np.where(pool.possible, _averaged(model, pool, gradient), -np.inf)


def _averaged(model: ExactModel, pool: Pool, score: Callable[[np.ndarray, np.ndarray, int], np.ndarray]) -> np.ndarray:
    """Scores (n, T), averaged over the sets of hyperparameters; zero where no measurement is possible.

    ``score`` takes the component of each family, the rows and the number of the set.  The likeliest set scores all rows
    and chooses the :data:`ALL_DRAWS` rows of each task that the other sets score; the rest are left at zero.
    """
    weights, components = coupled([family.posterior.weights for family in model.families_])
    rows, scores = np.flatnonzero(pool.possible.any(axis=1)), np.zeros((0, len(pool.tasks)))
    for k, s in enumerate(np.argsort(-weights, kind="stable")):
        if k == 1:
            best = np.unique(np.argsort(-scores, axis=0, kind="stable")[:ALL_DRAWS])
            rows, scores = rows[best], scores[best]
        new = weights[s] * score(np.array([c[s] for c in components]), rows, s)
        scores = new if k == 0 else scores + new
    every = np.zeros((len(pool.X), len(pool.tasks)))
    every[rows] = scores
    return every


def expected_maximum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``E[max_j a_j + b_ij Z] - max_j a_j`` (n,) for a standard normal Z, by the upper envelope of k lines for each i.

    ``a`` (k,) are the values of the lines at zero and ``b`` (n, k) their slopes.
    """
    order = np.argsort(-a, kind="stable")
    parts = [_expected_maximum(a[order], part[:, order]) for part in np.split(b, range(CHUNK, len(b), CHUNK))]
    return np.concatenate(parts)


def _expected_maximum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The same for values in descending order: along each envelope from the left, where the flattest line is highest."""
    gain, rows, line = np.zeros(len(b)), np.arange(len(b)), b.argmin(axis=1)
    least = 1e-14 * np.abs(b).max(axis=1, initial=0.0, keepdims=True) + 1e-300
    while len(rows):
        steeper = b[rows] - b[rows, line][:, None]
        above = steeper > least[rows]
        crossing = np.full(steeper.shape, np.inf)
        np.divide(a[line][:, None] - a, steeper, out=crossing, where=above)
        z = crossing.min(axis=1)
        line = np.where(crossing <= z[:, None], steeper, -np.inf).argmax(axis=1)
        go_on = np.isfinite(z)
        rows, line, z, rise = rows[go_on], line[go_on], -np.abs(z[go_on]), steeper[go_on, line[go_on]]
        gain[rows] += rise * (z * ndtr(z) + np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
    return gain


def has_closed_form(model: BayesianModel, goal: Goal) -> bool:
    """Whether quantity and labels are jointly Gaussian: an exact model, Gaussian labels and a linear quantity."""
    if not jointly_gaussian(model) or goal.function is not None:
        return False
    if any(type(task.observes) is not Gaussian for task in model.tasks_):
        return False
    names = model.table_.names
    return goal.quantity in names or Expression(goal.quantity, names).linear(names) is not None


def affine_quantity(goal: Goal, names: list[str]) -> tuple[float, np.ndarray]:
    """Constant and coefficients (T,) of a linear quantity."""
    if goal.quantity in names:
        return 0.0, np.array([float(n == goal.quantity) for n in names])
    coefficients = Expression(goal.quantity, names).linear(names)
    assert coefficients is not None
    return coefficients


@torch.no_grad()
def covariances(
    model: BayesianModel,
    pool: Pool,
    goal: Goal,
    targets: np.ndarray,
    components: np.ndarray | None = None,
    rows: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Covariance (n, k, T) of a label of each row and task with the quantity at targets, and its variance (n, T).

    Both are posterior ones in label units, at one set of hyperparameters: the first ``components`` of the families by
    default.  ``rows`` are those of the pool whose labels are meant, all by default.
    """
    assert isinstance(model, ExactModel)
    x, group, row = map(tensor, model._rows(pool.X)[:3])
    every = np.arange(len(x)) if rows is None else rows
    n, n_tasks = len(every), len(pool.tasks)
    scale = model.scaler_.y_scale
    weights = affine_quantity(goal, model.table_.names)[1] * scale
    covariance = np.zeros((n, len(targets), n_tasks))
    variance = np.empty((n, n_tasks))
    components = np.zeros(len(model.families_), dtype=int) if components is None else components
    for family, s in zip(model.families_, components, strict=True):
        c = family.posterior.components[s]
        everywhere = Points(x, torch.zeros_like(row), group, row).to(family.posterior.device)
        chosen, channels = everywhere.at(tensor(targets, everywhere.x.device)), family.channels
        noise = c.prior.residual.variance()
        for start in range(0, n, c.rows_at_once):
            part = slice(start, min(start + c.rows_at_once, n))
            here = everywhere.at(tensor(every[part], everywhere.x.device))
            latent = c.within_rows(here)[1].diagonal(dim1=-2, dim2=-1)
            variance[part, channels] = scale[channels] ** 2 * to_numpy(latent.clamp_min(1e-12) + noise)
            between = c.between(here, chosen)
            by_task = to_numpy(between.view(len(channels), -1, len(channels), len(targets)))
            covariance[part][:, :, channels] = np.einsum("cidk,d,c->ikc", by_task, weights[channels], scale[channels])
    return covariance, variance
