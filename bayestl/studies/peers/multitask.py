"""BoTorch's multi-task Gaussian process, with its defaults."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from bayestl.distributions import NormalMixture
from bayestl.studies.peers.marginals import RowMarginals


class BoTorchMultiTask(BaseEstimator):
    """BoTorch's ``MultiTaskGP`` of all tasks, features scaled to the unit cube; needs BoTorch.

    It knows a label of a new row only if it is trained on it, so the fit is part of :meth:`posterior`.
    """

    def __init__(self, target: str, random_state: int = 0) -> None:
        self.target = target
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, Y: pd.DataFrame, Y_std: Any = None, groups: Any = None) -> Self:
        """Keep the table."""
        self.x_, self.Y_ = X.to_numpy(dtype=float), Y
        return self

    def posterior(
        self, X: pd.DataFrame, observed: Any = None, observed_std: Any = None, groups: Any = None
    ) -> RowMarginals:
        """The marginals of the target after training on all labels, those of the new rows included."""
        import torch
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import MultiTaskGP
        from botorch.models.transforms.input import Normalize
        from gpytorch.mlls import ExactMarginalLogLikelihood

        tasks, new = list(self.Y_), X.to_numpy(dtype=float)
        x, labels = self.x_, self.Y_.to_numpy(dtype=float)
        if observed is not None:
            x = np.vstack([x, new])
            labels = np.vstack([labels, observed[tasks].astype(float).to_numpy()])
        varies = np.ptp(x, axis=0) > 0
        row, task = np.nonzero(~np.isnan(labels))
        inputs = torch.as_tensor(np.column_stack([x[row][:, varies], task]))
        outputs = torch.as_tensor(labels[row, task])[:, None]
        d = int(varies.sum())
        scaled = Normalize(d + 1, indices=list(range(d)))
        target = np.full(len(new), tasks.index(self.target))
        with torch.random.fork_rng():
            torch.manual_seed(self.random_state)
            model = MultiTaskGP(inputs, outputs, task_feature=d, input_transform=scaled)
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
            at = torch.as_tensor(np.column_stack([new[:, varies], target]))
            with torch.no_grad():
                predicted = model.posterior(at, observation_noise=True)
        mean, variance = (v.numpy()[:, 0] for v in (predicted.mean, predicted.variance))
        return RowMarginals({self.target: NormalMixture(np.ones(1), mean[None], np.maximum(variance, 1e-12)[None])})
