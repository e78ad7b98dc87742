"""A table with more detail than few inducing values hold, and models of it with and without these."""

import numpy as np
import pandas as pd

import bayestl as btl
from bayestl.inference.gaussian.large import inducing


def rough(n=240):
    """Two tasks of a function with more detail than twenty inducing values hold; rows with one label or both."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-2, 2, (n, 2)), columns=["p", "q"])
    f = np.sin(5 * X["p"]) * np.cos(4 * X["q"])
    Y = pd.DataFrame({"source": f + 0.05 * rng.standard_normal(n), "target": 1.2 * f + 0.1 * rng.standard_normal(n)})
    Y.loc[rng.permutation(n)[: n // 2], "target"] = np.nan
    return X, Y


def fitted(monkeypatch, X, Y, kernel="matern52", n_inducing=20):
    """The model of all labels, and the one that summarises them."""
    model = btl.MultiTaskGP(kernel=kernel, hyperparameters="map", n_starts=1, verbose=False)
    full = model.fit(X, Y)
    monkeypatch.setattr(inducing, "FULL_LABELS", 100)
    monkeypatch.setattr(inducing, "INDUCING", n_inducing)
    return full, btl.MultiTaskGP(kernel=kernel, hyperparameters="map", n_starts=1, verbose=False).fit(X, Y)
