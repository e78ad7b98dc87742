"""Leave-one-out: the posterior of the latent values behind a label given all other labels, without fitting again.

With ``C = K + D`` the covariance of the (pseudo-)labels, ``I`` those of one label, and ``S = (C^-1_II)^-1`` their covariance
given all others,

    f_I | y_-I ~ N(y_I - S (C^-1 y)_I,  S - D_I)

which is exact for Gaussian labels (Rasmussen, Williams 2006, eq. 5.12), else the cavity distribution of the label's
pseudo-labels, with those of the other labels held fixed (Vehtari et al. 2016, *Bayesian leave-one-out cross-validation
approximations for Gaussian latent variable models*).  Of a latent value ``f`` of the row without a pseudo-label, whose
covariance with the (pseudo-)labels is ``k``,

    h = C^-1 k,   E[f | y_-I] = k' C^-1 y - h_I' S (C^-1 y)_I,   V[f | y_-I] = V[f | y] + h_I' S h_I,   Cov[f_I, f | y_-I] = S h_I
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bayestl.device import to_numpy
from bayestl.inference.gaussian.component import Component
from bayestl.inference.gaussian.labels import noise_variance
from bayestl.kernels.cholesky import inverse_from_cholesky
from bayestl.priors.processes import Points


@torch.no_grad()
def cavities(component: Component, at: Sequence[Points], own: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean (n, C) and covariance (n, C, C) of the latent values of n labels, each given all other labels.

    Parameters
    ----------
    component : Component
        Component whose labels are not summarised by inducing values.
    at : sequence of Points
        The n points of each of C latent functions.
    own : Tensor, shape (n, C)
        The position of each label's own (pseudo-)label of each function, which is left out; -1 where there is none.
    """
    labels, prior = component.labels, component.prior
    inverse = inverse_from_cholesky(component.factor)
    alpha = inverse @ labels.y
    noise = noise_variance(prior, labels)
    shared = prior.weights() @ prior.weights().T
    n, n_channels = own.shape
    mean, covariance = alpha.new_empty(n, n_channels), alpha.new_empty(n, n_channels, n_channels)
    for pattern in torch.unique(own >= 0, dim=0):
        rows = torch.nonzero(((own >= 0) == pattern).all(dim=1)).ravel()
        have, lack = torch.nonzero(pattern).ravel(), torch.nonzero(~pattern).ravel()
        places = own[rows][:, have]
        spread = torch.linalg.inv(inverse[places[:, :, None], places[:, None, :]])
        shift = (spread @ alpha[places][..., None])[..., 0]
        mean[rows[:, None], have] = labels.y[places] - shift
        covariance[rows[:, None, None], have[:, None], have] = spread - torch.diag_embed(noise[places])
        if len(lack):
            points = [at[c].at(rows) for c in lack.tolist()]
            cross = torch.stack([prior.covariance(p, labels.points) for p in points], dim=1)  # (k, L, N)
            half = cross @ inverse
            h = torch.take_along_dim(half, places[:, None], dim=2)  # (k, L, I)
            functions = torch.stack([p.task[0] for p in points])
            mean[rows[:, None], lack] = cross @ alpha - (h @ shift[..., None])[..., 0]
            rest = shared[functions[:, None], functions] - half @ cross.mT + h @ spread @ h.mT
            covariance[rows[:, None, None], lack[:, None], lack] = rest
            both = spread @ h.mT
            covariance[rows[:, None, None], have[:, None], lack] = both
            covariance[rows[:, None, None], lack[:, None], have] = both.mT
    return to_numpy(mean), to_numpy(covariance)
