"""A campaign on forty candidates with two tasks, and the answers to what it suggests."""

import numpy as np
import pandas as pd

import bayestl as btl
from bayestl.active import Campaign, Maximise

TASKS = [btl.Task("dft"), btl.Task("exp", unit="eV", cost=20.0)]


def table(n=40):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-1, 1, (n, 2)), columns=["a", "b"], index=[f"m{i}" for i in range(n)])
    f = np.sin(3 * X["a"]) + X["b"]
    noise = 0.05 * rng.standard_normal((n, 2))
    return X, pd.DataFrame({"dft": f, "exp": 1.1 * f + 0.3}) + noise


def model():
    return btl.DifferenceGP(["dft", "exp"], hyperparameters="map", n_starts=1, verbose=False)


def campaign(path, goal=None, tasks=TASKS, **kwargs):
    X, _ = table()
    return Campaign(X, tasks, goal or Maximise("exp"), kwargs.pop("model", model()), path, verbose=False, **kwargs)


def answers(suggested):
    _, Y = table()
    return suggested.assign(value=[Y.loc[r, t] for r, t in zip(suggested["row"], suggested["task"], strict=True)])
