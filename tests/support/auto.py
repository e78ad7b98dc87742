"""A small :class:`bayestl.AutoTransfer` that is fitted in a second, and a table with limits for it."""

import numpy as np
import pandas as pd

import bayestl as btl

QUICK = {"hyperparameters": "map", "n_starts": 1}


def quick_auto(target="measured", **parameters):
    """The tasks alone and a multi-task model, at their best hyperparameters, with two folds of held-out labels."""
    models = {"independent": btl.IndependentGP(**QUICK), "multi-task": btl.MultiTaskGP(**QUICK)}
    return btl.AutoTransfer(target, models, cv=2, verbose=False, **parameters)


def with_limits(n=24, measured=14, limit=0.9):
    """A calculation of all rows and a measurement of some, known only as ``"<0.9"`` where it is lower."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(size=(n, 2)), columns=["a", "b"])
    dft = np.sin(5 * X["a"]) + X["b"]
    label = (1.2 * dft + 0.4 + 0.1 * rng.standard_normal(n)).round(4)
    Y = pd.DataFrame({"dft": dft, "measured": label.astype(object).where(label >= limit, f"<{limit}")})
    Y.loc[measured:, "measured"] = None
    return X, Y
