"""A fitted exact model as a ``botorch.models.model.Model``: BoTorch's acquisition functions and optimisers work on it.

    y_o(x) = offset_o + sum_t A_ot f_t(x) + noise,        f | labels ~ GP, exact, by the Cholesky factor of the fit

The outputs are tasks, or one linear function of them; features and outputs are in the user's units.  Fantasies are
further observations of all outputs, conditioned on jointly.  Gradients flow to the features.  Wherever
the model computes, a posterior is on the device of the points it was asked for.  Points with exactly the same
features are one row, whose labels share its row effect, and so is a labelled row with them (unless two rows have these features).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

try:
    from botorch.models.model import FantasizeMixin, Model
    from botorch.posteriors import GPyTorchPosterior
except ImportError as error:
    raise ImportError("BoTorch's acquisition functions need the extra: pip install 'bayestl[active]'") from error

from bayestl.active.expressions import Expression
from bayestl.device import tensor
from bayestl.inference.gaussian.component import Component
from bayestl.inference.gaussian.condition import ExactPosterior
from bayestl.inference.gaussian.large.component import Summarised
from bayestl.likelihoods import Gaussian
from bayestl.models.exact.family import Family
from bayestl.models.exact.model import ExactModel, jointly_gaussian
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Constant, PerRow, Points, Process, Smooth
from bayestl.priors.vector import get_raw

JITTER = 1e-9
"""Added to the diagonal of a posterior covariance, relative to its mean variance."""


@dataclass(frozen=True)
class _View:
    """The posterior of one family at its best hyperparameters, and the positions of its channels among all."""

    component: Component
    channels: list[int]


class BotorchModel(Model, FantasizeMixin):
    """A fitted exact model behind BoTorch's interface, made by :func:`as_botorch`.

    Attributes
    ----------
    names : list of str
        Names of the outputs.
    train_inputs : tuple of Tensor
        The features of the training rows, (n, d), in the user's units.
    """

    def __init__(
        self,
        views: Sequence[_View],
        names: Sequence[str],
        offset: Tensor,
        weights: Tensor,
        noise: Tensor,
        x_mean: Tensor,
        x_scale: Tensor,
        train: Tensor,
    ) -> None:
        super().__init__()
        self.names = list(names)
        self.train_inputs = (train,)
        self._views = list(views)
        self._offset, self._weights, self._noise = offset, weights, noise
        self._x_mean, self._x_scale = x_mean, x_scale
        self._extra: tuple[Tensor, Tensor] | None = None

    @property
    def num_outputs(self) -> int:
        """Number of outputs."""
        return len(self.names)

    @property
    def batch_shape(self) -> torch.Size:
        """Batch shape of the fantasies; empty without any."""
        return torch.Size() if self._extra is None else self._extra[1].shape[:-2]

    def transform_inputs(self, X: Tensor, input_transform: Any = None) -> Tensor:
        """The features unchanged: they are scaled inside the model."""
        return X

    def posterior(  # type: ignore[override]  # BoTorch's mixin gives *args where its models name the arguments
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Any = None,
    ) -> Any:
        """The joint posterior of q points, ``X`` (batch, q, d)."""
        X = X.double()
        n_new, m = X.shape[-2], self.num_outputs
        if self._extra is None:
            mean, covariance = self._joint(X)
        else:
            x, y = self._extra
            batch = torch.broadcast_shapes(X.shape[:-2], x.shape[:-2], y.shape[:-2])
            inner = torch.broadcast_shapes(X.shape[:-2], x.shape[:-2])
            stacked = torch.cat([x.expand(*inner, *x.shape[-2:]), X.expand(*inner, *X.shape[-2:])], dim=-2)
            means, joint = self._joint(stacked)
            k = x.shape[-2] * m
            seen = joint[..., :k, :k] + torch.diag(self._noise.to(X).repeat(x.shape[-2]))
            factor = torch.linalg.cholesky(seen)
            cross = torch.linalg.solve_triangular(factor, joint[..., :k, k:], upper=False)
            residual = y.reshape(*y.shape[:-2], k) - means[..., :k]
            half = torch.linalg.solve_triangular(factor, residual.unsqueeze(-1), upper=False)
            mean = (means[..., k:].unsqueeze(-1) + cross.mT @ half).squeeze(-1).expand(*batch, n_new * m)
            covariance = (joint[..., k:, k:] - cross.mT @ cross).expand(*batch, n_new * m, n_new * m)
        noise = self._noise.to(X)
        if isinstance(observation_noise, Tensor):
            noise = observation_noise.double().expand(*mean.shape[:-1], n_new, m).reshape(mean.shape)
            covariance = covariance + torch.diag_embed(noise)
        elif observation_noise:
            covariance = covariance + torch.diag(noise.repeat(n_new))
        mean = mean.reshape(*mean.shape[:-1], n_new, m)
        if output_indices is not None:
            selected = tensor(np.array([i * m + o for i in range(n_new) for o in output_indices]))
            mean, covariance = mean[..., output_indices], covariance[..., selected, :][..., selected]
        scale = covariance.diagonal(dim1=-2, dim2=-1).mean().detach().clamp_min(1e-300)
        covariance = covariance + JITTER * scale * torch.eye(
            covariance.shape[-1], dtype=covariance.dtype, device=covariance.device
        )
        if mean.shape[-1] == 1:
            distribution = MultivariateNormal(mean.squeeze(-1), covariance)
        else:
            distribution = MultitaskMultivariateNormal(mean, covariance)
        posterior = GPyTorchPosterior(distribution)
        return posterior if posterior_transform is None else posterior_transform(posterior)

    def condition_on_observations(self, X: Tensor, Y: Tensor, **kwargs: Any) -> BotorchModel:
        """The model conditioned on further observations ``Y`` (fantasies, batch, q, outputs) at ``X`` (batch, q, d)."""
        x, y = X.double(), Y.double()
        if self._extra is not None:
            old_x, old_y = self._extra
            x = _joined(old_x, x)
            y = _joined(old_y, y)
        model = BotorchModel(
            self._views,
            self.names,
            self._offset,
            self._weights,
            self._noise,
            self._x_mean,
            self._x_scale,
            self.train_inputs[0],
        )
        model._extra = x, y
        return model

    def fantasize(
        self, X: Tensor, sampler: Any, observation_noise: Tensor | None = None, **kwargs: Any
    ) -> BotorchModel:
        """The model conditioned on draws of all outputs at ``X`` by ``sampler``."""
        noise: bool | Tensor = True if observation_noise is None else observation_noise
        return self.condition_on_observations(X, sampler(self.posterior(X, observation_noise=noise)))

    def _joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (batch, n m) and covariance (batch, n m, n m) of the outputs, given the labels of the fit."""
        n, n_channels = X.shape[-2], self._weights.shape[1]
        batch = X.shape[:-2]
        device = self._views[0].component.prior.device
        x = ((X - self._x_mean.to(X)) / self._x_scale.to(X)).reshape(-1, n, X.shape[-1]).to(device)
        mean = x.new_zeros(len(x), n, n_channels)
        covariance = x.new_zeros(len(x), n, n_channels, n, n_channels)
        for view in self._views:
            c = view.component
            if isinstance(c, Summarised):
                places = [range(len(x)), *[range(n), view.channels] * 2]
                blocks = torch.meshgrid(*(tensor(np.array(v), device) for v in places), indexing="ij")
                mean[:, :, view.channels], covariance[blocks] = _summarised(c, x)
                continue
            placed = _placed(x.reshape(-1, x.shape[-1]), c.labels.points)
            halves = []
            for local, channel in enumerate(view.channels):
                cross = _cross(c.prior, placed, local, c.labels.points)
                half = torch.linalg.solve_triangular(c.factor, cross.T, upper=False)
                mean[..., channel] = (half.T @ c.whitened).reshape(len(x), n)
                halves.append(half.reshape(len(half), len(x), n).permute(1, 0, 2))
            kernels = _kernels(c.prior, x, placed.group.view(x.shape[:-1]))
            for i, a in enumerate(view.channels):
                for j, b in enumerate(view.channels):
                    covariance[:, :, a, :, b] = _mixed(c.prior, kernels, i, j) - halves[i].mT @ halves[j]
        weights = self._weights.to(X)
        output_mean = self._offset.to(X) + mean.to(X) @ weights.T
        output_covariance = torch.einsum("oc,bicjd,pd->biojp", weights, covariance.to(X), weights)
        m = self.num_outputs
        return output_mean.reshape(*batch, n * m), output_covariance.reshape(*batch, n * m, n * m)


def _summarised(c: Summarised, x: Tensor) -> tuple[Tensor, Tensor]:
    """Means (batch, n, C) and covariances (batch, n, C, n, C) of a family whose labels are summarised."""
    n, n_tasks = x.shape[1], c.prior.n_tasks
    means, covariances = [], []
    for of_batch in x:
        placed = _placed(of_batch, c.near.points)
        alike = torch.unique(of_batch.detach(), dim=0, return_inverse=True)[1]
        row = torch.where(placed.row < 0, int(c.near.points.row.max()) + 1 + alike, placed.row)
        mean, covariance = c.of_rows(placed._replace(task=torch.zeros_like(row), row=row))
        means.append(mean.view(n_tasks, n).T)
        covariances.append(covariance.view(n_tasks, n, n_tasks, n).permute(1, 0, 3, 2))
    return torch.stack(means), torch.stack(covariances)


def _joined(old: Tensor, new: Tensor) -> Tensor:
    """Two blocks of points, concatenated along the last axis but one, their batches broadcast."""
    batch = torch.broadcast_shapes(old.shape[:-2], new.shape[:-2])
    return torch.cat([old.expand(*batch, *old.shape[-2:]), new.expand(*batch, *new.shape[-2:])], dim=-2)


def _kernels(prior: Prior, x: Tensor, group: Tensor) -> list[Tensor]:
    """Covariance (batch, n, n) of each process among points ``x`` (batch, n, d) with codes (batch, n) of their groups.

    Points of the same features are one row.
    """
    ones = x.new_ones(len(x), x.shape[-2], x.shape[-2])
    same_row = (x[..., :, None, :] == x[..., None, :, :]).all(-1)
    same_group = same_row | ((group[..., :, None] == group[..., None, :]) & (group >= 0)[..., None])

    def among(process: Process) -> Tensor:
        if isinstance(process, Smooth):
            return process.kernel.forward(x, x)
        if isinstance(process, Constant):
            return ones
        return (same_row if isinstance(process, PerRow) else same_group).to(x.dtype)

    return [among(process) for process in prior]


def _mixed(prior: Prior, kernels: Sequence[Tensor], i: int, j: int) -> Tensor:
    """Prior covariance of functions i and j, ``sum_p W_ip W_jp k_p``."""
    w = prior.weights().detach()
    return torch.stack([w[i, p] * w[j, p] * k for p, k in enumerate(kernels)]).sum(0)


def _cross(prior: Prior, placed: Points, channel: int, points: Points) -> Tensor:
    """Covariance (n, N) of a function at points with the labels."""
    w = prior.weights().detach()
    total = placed.x.new_zeros(len(placed.x), len(points.x))
    for p, process in enumerate(prior):
        if bool(w[channel, p]):
            total = total + w[channel, p] * process.covariance(placed, points) * w[points.task, p]
    return total


def _placed(x: Tensor, points: Points) -> Points:
    """Features (n, d) as points of the labelled row that has them, or of no row and group if none or several rows have."""
    same = (x.detach()[:, None] == points.x[None]).all(-1)
    row = points.row.expand(len(x), -1)
    first, last = torch.where(same, row, row.max() + 1).amin(1), torch.where(same, row, -1).amax(1)
    group = torch.where(same, points.group.expand(len(x), -1), -1).amax(1)
    unknown = torch.full_like(last, -1)
    is_one = first == last
    return Points(x, unknown, torch.where(is_one, group, unknown), torch.where(is_one, last, unknown))


def _at_best(model: ExactModel, family: Family) -> Component:
    """The posterior of a family at its best hyperparameters, given all its labels (those added after the fit too)."""
    best = get_raw(family.prior)
    posterior = family.posterior
    first = posterior.components[0]
    if len(posterior.components) > 1 or not np.array_equal(posterior.draws[0], best):
        if isinstance(first, Summarised):
            posterior = ExactPosterior.of(family.prior, model._family_data(family), best[None])
            later = first.near.joined_labels
            posterior = posterior.condition(later) if len(later) else posterior
        else:
            posterior = ExactPosterior.of(family.prior, first.labels, best[None])
    (component,) = posterior.components
    return replace(component, prior=copy.deepcopy(component.prior).requires_grad_(False))


def as_botorch(model: Any, outputs: Sequence[str] | str | None = None) -> BotorchModel:
    """A fitted model as a BoTorch model.

    Parameters
    ----------
    model : IndependentGP, MultiTaskGP or DifferenceGP
        A fitted model with Gaussian labels.
    outputs : str or list of str, optional
        One expression that is linear in the tasks, such as ``"N2 - NO"``, or a list of tasks; default: all tasks.

    Returns
    -------
    botorch.models.model.Model
        The posterior at the maximum of the hyperparameters' posterior.

    Raises
    ------
    ValueError
        For a model that is not exact, labels that are not Gaussian, or an expression that is not linear.

    Examples
    --------
    >>> import numpy as np, torch, bayestl as btl
    >>> model = btl.IndependentGP(verbose=False).fit(np.linspace(0, 1, 20)[:, None], np.linspace(0, 1, 20) ** 2)
    >>> btl.active.as_botorch(model).posterior(torch.zeros(1, 1).double()).mean.shape
    torch.Size([1, 1])
    """
    check_is_fitted(model, "table_")
    if not jointly_gaussian(model):
        raise ValueError(f"{type(model).__name__} has no BoTorch form: use IndependentGP, MultiTaskGP or DifferenceGP")
    tasks = model.table_.names
    for task in model.tasks_:
        if type(task.observes) is not Gaussian:
            raise ValueError(
                f"task {task.name!r} has {type(task.observes).__name__} labels, BoTorch's models have Gaussian ones"
            )
    offset = tensor(model.scaler_.y_mean.copy())
    weights = torch.diag(tensor(model.scaler_.y_scale.copy()))
    if isinstance(outputs, str):
        coefficients = Expression(outputs, tasks).linear(tasks)
        if coefficients is None:
            raise ValueError(f"{outputs!r} is not linear in the tasks: BoTorch takes those through its objectives")
        constant, slope = coefficients[0], tensor(coefficients[1])
        offset, weights, names = (constant + slope @ offset)[None], (slope @ weights)[None], [outputs]
    else:
        names = list(tasks if outputs is None else outputs)
        if unknown := [n for n in names if n not in tasks]:
            raise ValueError(f"no task {unknown[0]!r}; the tasks are {tasks}")
        selected = [tasks.index(n) for n in names]
        offset, weights = offset[selected], weights[selected]
    views, noise = [], torch.zeros(len(tasks), dtype=torch.float64)
    for family in model.families_:
        component = _at_best(model, family)
        with torch.no_grad():
            noise[family.channels] = component.prior.residual.variance().to(noise)
        views.append(_View(component, family.channels))
    return BotorchModel(
        views,
        names,
        offset,
        weights,
        (weights**2) @ noise,
        *(tensor(np.array(v)) for v in (model.scaler_.x_mean, model.scaler_.x_scale, model.table_.x)),
    )
