"""Knowledge of the quantity over the whole pool, in closed form for exact models of Gaussian labels.

For the goal ``Learn``, the variance of the quantity that a measurement removes, summed over target rows; for
``Maximise`` and ``Minimise`` the knowledge gradient over the pool, exact for a measurement of any task: Frazier,
Powell, Dayanik 2009, *The knowledge-gradient policy for correlated normal beliefs*.  Both are about the latent quantity,
without the noise of any label, measured or not.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import ndtr

from bayestl.active.acquisition.pool import (
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
from bayestl.likelihoods import Gaussian
from bayestl.models.base import BayesianModel
from bayestl.models.exact.model import ExactModel, jointly_gaussian
from bayestl.priors.processes import Points


def knowledge(model: BayesianModel, pool: Pool, goal: Goal) -> np.ndarray:
    """The variance of the quantity that each measurement removes, summed over target rows, per unit of cost, (n, T).

    The closed form holds for Gaussian labels of exact models and linear quantities; otherwise the score is the
    predicted spread of the quantity at the row itself.
    """
    if not has_closed_form(model, goal):
        spread = goal.promise(predicted_quantity(model, pool, goal), 0.0)
        return np.where(lacking_labels(pool, goal), spread[:, None] / pool.costs, -np.inf)
    targets = spread_over(len(pool.X), TARGET_ROWS)
    covariance, variance = covariances(model, pool, goal, targets)
    reduction = (covariance**2).sum(axis=1) / variance
    return np.asarray(reduction / pool.costs)


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
    posterior = model.posterior(pool.X, observed=observed_labels(model, pool.known), noise=False)
    predicted = goal.marginals(posterior)
    mean, sd = sign * predicted.mean(), predicted.std()
    rivals = np.argsort(-(mean + 2.5 * sd), kind="stable")[:TARGET_ROWS]
    covariance, variance = covariances(model, pool, goal, rivals)
    slopes = sign * covariance / np.sqrt(variance)[:, None, :]
    gradient = np.empty((len(pool.X), len(pool.tasks)))
    for i in range(len(pool.X)):
        for t in range(len(pool.tasks)):
            gradient[i, t] = expected_maximum(mean[rivals], slopes[i, :, t]) if pool.possible[i, t] else -np.inf
    return gradient


def expected_maximum(a: np.ndarray, b: np.ndarray) -> float:
    """``E[max_j a_j + b_j Z] - max_j a_j`` for a standard normal Z, by the upper envelope of the lines."""
    order = np.lexsort([a, b])
    a, b = a[order], b[order]
    keep = np.append(np.diff(b) > 1e-14 * (np.abs(b).max() + 1e-300), True)
    a, b = a[keep], b[keep]
    hull: list[int] = []
    starts: list[float] = []
    for j in range(len(a)):
        while hull:
            i = hull[-1]
            start = (a[i] - a[j]) / (b[j] - b[i])
            if starts[-1] < start:
                break
            hull.pop()
            starts.pop()
        starts.append(-np.inf if not hull else float(start))
        hull.append(j)
    z, slope = np.array(starts[1:]), np.diff(b[hull])
    s = -np.abs(z)
    gain = slope * (s * ndtr(s) + np.exp(-0.5 * s**2) / np.sqrt(2 * np.pi))
    return float(gain.sum()) if len(z) else 0.0


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
def covariances(model: BayesianModel, pool: Pool, goal: Goal, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariance (n, k, T) of a label of each row and task with the quantity at targets, and its variance (n, T).

    Both are posterior ones in label units, at the first set of hyperparameters of the model.
    """
    assert isinstance(model, ExactModel)
    x, group, row = map(tensor, model._rows(pool.X)[:3])
    n, n_tasks = len(x), len(pool.tasks)
    scale = model.scaler_.y_scale
    weights = affine_quantity(goal, model.table_.names)[1] * scale
    covariance = np.zeros((n, len(targets), n_tasks))
    variance = np.empty((n, n_tasks))
    for family in model.families_:
        c = family.posterior.components[0]
        everywhere = Points(x, torch.zeros_like(row), group, row).to(family.posterior.device)
        chosen, channels = everywhere.at(tensor(targets, everywhere.x.device)), family.channels
        noise = c.prior.residual.variance()
        for start in range(0, n, c.rows_at_once):
            rows = slice(start, min(start + c.rows_at_once, n))
            latent = c.within_rows(everywhere.at(rows))[1].diagonal(dim1=-2, dim2=-1)
            variance[rows, channels] = scale[channels] ** 2 * to_numpy(latent.clamp_min(1e-12) + noise)
            between = c.between(everywhere.at(rows), chosen)
            by_task = to_numpy(between.view(len(channels), -1, len(channels), len(targets)))
            covariance[rows][:, :, channels] = np.einsum("cidk,d,c->ikc", by_task, weights[channels], scale[channels])
    return covariance, variance
