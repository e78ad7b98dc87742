"""Speed: time of an exact fit to a two-task table with 20 features and up to 6400 + 1600 labels, and of predictions.

    low(x)  = sin(4 x0) + 2 x1^2 + cos(3 x2 x3) + N(0, 0.05^2)
    high(x) = 1.2 low(x) + 0.5 sin(3 x4) + 0.3 + N(0, 0.1^2)      (low without its noise)

RMSE on 1000 fresh noise-free rows of ``high``; rows predicted in a second are with standard deviations of both tasks, averaged
over as many sets of hyperparameters as there are (one beyond 2000 labels).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd

from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.exact.multitask import MultiTaskGP

Array = np.ndarray
ROWS = 4096
"""Rows predicted to measure the speed of predictions."""


def low(x: Array) -> Array:
    """The cheap source."""
    return np.sin(4 * x[:, 0]) + 2 * x[:, 1] ** 2 + np.cos(3 * x[:, 2] * x[:, 3])


def high(x: Array) -> Array:
    """The target."""
    return 1.2 * low(x) + 0.5 * np.sin(3 * x[:, 4]) + 0.3


def table(n_low: int, n_high: int, seed: int = 0) -> tuple[Array, pd.DataFrame, Array, Array]:
    """Features and labels for training, fresh features, and the target's function at those."""
    generator = np.random.default_rng(seed)
    x = generator.random((n_low + n_high, 20))
    Y = pd.DataFrame({"low": np.nan, "high": np.nan}, index=range(n_low + n_high))
    Y.loc[: n_low - 1, "low"] = low(x[:n_low]) + 0.05 * generator.standard_normal(n_low)
    Y.loc[n_low:, "high"] = high(x[n_low:]) + 0.1 * generator.standard_normal(n_high)
    fresh = generator.random((1000, 20))
    return x, Y, fresh, high(fresh)


def run(
    sizes: tuple[tuple[int, int], ...] = ((400, 100), (800, 200), (1600, 400), (1640, 410), (6400, 1600)),
    seed: int = 0,
    verbose: bool = True,
) -> pd.DataFrame:
    """Seconds to fit, RMSE and rows predicted in a second for each size and model."""
    rows = []
    for n_low, n_high in sizes:
        x, Y, fresh, truth = table(n_low, n_high, seed)
        models: dict[str, Any] = {
            "DifferenceGP": DifferenceGP(levels=["low", "high"], verbose=verbose),
            "MultiTaskGP": MultiTaskGP(verbose=verbose),
        }
        for name, model in models.items():
            start = time.perf_counter()
            model.fit(x, Y)
            seconds = time.perf_counter() - start
            error = float(np.sqrt(np.mean((model.posterior(fresh).mean["high"].to_numpy() - truth) ** 2)))
            many = np.random.default_rng(seed + 1).random((ROWS, x.shape[1]))
            start = time.perf_counter()
            post = model.posterior(many)
            _ = post.mean, post.std
            rows.append(
                {
                    "labels": f"{n_low} + {n_high}",
                    "model": name,
                    "seconds": round(seconds, 1),
                    "RMSE": round(error, 4),
                    "sets": len(model.families_[0].posterior.components),
                    "rows/s": round(ROWS / (time.perf_counter() - start)),
                }
            )
    return pd.DataFrame(rows)
