"""The models that tests share, each fitted once for each worker."""

import warnings

import numpy as np
import pytest

import bayestl as btl

MODELS = {
    "independent": lambda: btl.IndependentGP(verbose=False, n_starts=1),
    "multi-task": lambda: btl.MultiTaskGP(verbose=False, n_starts=1),
    "difference": lambda: btl.DifferenceGP(levels=["source", "target"], verbose=False, n_starts=1),
    "chain": lambda: btl.ChainGP(levels=["source", "target"], inputs=None, verbose=False),
    "latent": lambda: btl.LatentVariableGP(
        graph={"target": ["source"]}, inference="svi", verbose=False, max_steps=300, n_inducing=25
    ),
    "latent chain": lambda: btl.LatentVariableGP(graph={"target": ["source"]}, inference="mcmc", verbose=False),
    "subspace": lambda: btl.LowRankLinear(max_rank=2, n_draws=300, n_warmup=200, verbose=False),
}
QUICK = {"latent": {"max_steps": 60}, "latent chain": {"n_draws": 40}}
"""Fewer steps and states, where only that a fit goes well or repeats is asked."""
CHAIN_IS_SLOW = [pytest.param(n, marks=pytest.mark.slow) if n == "latent chain" else n for n in MODELS]
"""All models, chains among the slow tests: for laws that each takes a fit or more of its own."""
EXACT = ["independent", "multi-task", "difference"]
DRAWN = {"latent": 200, "latent chain": 200, "subspace": 300}
"""Models whose posterior is so many draws, which are used again."""


def quick(name):
    """A model of ``MODELS``, not fitted, with fewer steps."""
    return MODELS[name]().set_params(**QUICK.get(name, {}))


class SharedModels(dict):
    """``shared[name]``: a model of ``MODELS`` fitted to a table on first use; tests leave it as it is."""

    def __init__(self, X, Y):
        super().__init__()
        self.X, self.Y = X, Y
        self.warnings = {}
        """What each fit warned of."""
        self._means = {}

    def __missing__(self, name):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self[name] = MODELS[name]().fit(self.X, self.Y)
            self._means[name] = self[name].posterior(self.X).mean.to_numpy()
        self.warnings[name] = [f"{w.category.__name__}: {w.message}" for w in caught]
        return self[name]

    def check_unchanged(self):
        """Every model predicts what it predicted when it was new."""
        for name, model in self.items():
            np.testing.assert_array_equal(
                model.posterior(self.X).mean, self._means[name], err_msg=f"{name} was changed"
            )
