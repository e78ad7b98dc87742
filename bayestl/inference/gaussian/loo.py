"""Leave-one-out: the posterior of the latent values behind a label given all other labels, without fitting again.

With ``C = K + D`` the covariance of the (pseudo-)labels, ``I`` those of one label, and ``f`` latent values of its row with
the covariance ``k`` to all (pseudo-)labels,

    h = C^-1 k,      E[f | y_-I] = E[f | y] - h_I' (C^-1_II)^-1 (C^-1 y)_I,      V[f | y_-I] = V[f | y] + h_I' (C^-1_II)^-1 h_I

which is exact for Gaussian labels (a block of Rasmussen, Williams 2006, eq. 5.12), else the cavity distribution of the
label's pseudo-labels, with those of the other labels held fixed (Vehtari et al. 2016, *Bayesian leave-one-out
cross-validation approximations for Gaussian latent variable models*).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bayestl.inference.gaussian.component import Component
from bayestl.kernels.cholesky import inverse_from_cholesky
from bayestl.priors.processes import Points


@torch.no_grad()
def cavities(component: Component, at: Sequence[Points], own: Sequence[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Mean (n, C) and covariance (n, C, C) of the latent values of n labels, each given all other labels.

    Parameters
    ----------
    component : Component
        Component whose labels are not summarised by inducing values.
    at : sequence of Points
        The n points of each of C latent functions.
    own : sequence of Tensor
        For each of n labels, the positions of its own (pseudo-)labels, which are left out.
    """
    inverse = inverse_from_cholesky(component.factor)
    alpha = inverse @ component.labels.y
    cross = torch.stack(
        [component.prior.covariance(points, component.labels.points) for points in at], dim=1
    )  # (n, C, N)
    half = cross @ inverse
    mixing = component.prior.weights()
    functions = torch.stack([points.task[0] for points in at])
    covariance = (mixing @ mixing.T)[functions[:, None], functions] - half @ cross.mT
    mean = cross @ alpha
    count = torch.tensor([len(places) for places in own])
    for size in count.unique().tolist():
        rows = torch.nonzero(count == size).ravel()
        places = torch.stack([own[i] for i in rows.tolist()])  # (k, I)
        h = torch.take_along_dim(half[rows], places[:, None], dim=2)  # (k, C, I)
        gain = torch.linalg.solve(inverse[places[:, :, None], places[:, None, :]], h.mT)
        mean[rows] -= (gain.mT @ alpha[places][..., None])[..., 0]
        covariance[rows] += h @ gain
    return mean.numpy(), covariance.numpy()
