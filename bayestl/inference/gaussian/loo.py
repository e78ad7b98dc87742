"""Leave-one-out: the posterior of the latent values of one label given all other labels, without fitting again.

With ``C = K + D`` the covariance of the (pseudo-)labels, and ``I`` the pseudo-labels of one label,

    f_I | y_-I ~ N(y_I - (C^-1_II)^-1 (C^-1 y)_I,  (C^-1_II)^-1 - D_I)

which is exact for Gaussian labels (Rasmussen, Williams 2006, eq. 5.12), else the cavity distribution of its
pseudo-labels, with those of the other labels held fixed (Vehtari et al. 2016, *Bayesian leave-one-out cross-validation
approximations for Gaussian latent variable models*).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bayestl.inference.gaussian.component import Component
from bayestl.inference.gaussian.labels import noise_variance
from bayestl.kernels.cholesky import inverse_from_cholesky


@torch.no_grad()
def cavities(component: Component, places: Sequence[Tensor]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each part, mean (n, L) and covariance (n, L, L) of the latent values of each label, given all other labels.

    Parameters
    ----------
    component : Component
        Component whose labels are not summarised by inducing values.
    places : sequence of Tensor, shape (n, L)
        Positions of the L latent values of each of n labels of a part.

    Notes
    -----
    The known error of a Gaussian label is part of the covariance, since a new label of its kind would have it too.
    """
    labels = component.labels
    inverse = inverse_from_cholesky(component.factor)
    alpha = inverse @ labels.y
    noise = noise_variance(component.prior, labels)
    if labels.site is None:
        noise = noise - labels.se2
    else:
        noise = torch.where(labels.site, noise, noise - labels.se2)
    moments = []
    for place in places:
        spread = torch.linalg.inv(inverse[place[:, :, None], place[:, None, :]])
        mean = labels.y[place] - (spread @ alpha[place][:, :, None])[:, :, 0]
        moments.append((mean.numpy(), (spread - torch.diag_embed(noise[place])).numpy()))
    return moments


def label_places(task: Tensor, channels: Sequence[int]) -> Tensor:
    """Positions (n, L) of the latent values of the n labels of a part, from the channel (N,) of each latent value."""
    return torch.stack([torch.nonzero(task == c).ravel() for c in channels], dim=1)
