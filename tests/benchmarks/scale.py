"""Scale: error and time of :class:`~bayestl.DifferenceGP` from a thousand labels to a million, in 10 or 20 dimensions.

    low(x)  = sin(4 x0) + 2 x1^2 + cos(3 x2 x3) + 0.5 sin(5 x5) + x6 x7 + N(0, 0.05^2)
    high(x) = 1.2 low(x) + 0.5 sin(3 x4) + 0.3 + N(0, 0.1^2)      (low without its noise)

Four labels of five are of ``low``; no row has both; further features say nothing.  On 1000 fresh rows: RMSE against the
function, how many of its values and how many new labels the 90 % intervals hold, and rows predicted in a second, with standard
deviations.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd

import bayestl as btl

SIZES = {"1e3": 1_000, "1e4": 10_000, "1e5": 100_000, "1e6": 1_000_000}
WIDE = {f"{name}x20": n for name, n in SIZES.items()}
"""The same sizes in 20 dimensions, where they are named."""
FRESH = 1000
Array = np.ndarray


def low(x: Array) -> Array:
    """The cheap source."""
    first = np.sin(4 * x[:, 0]) + 2 * x[:, 1] ** 2 + np.cos(3 * x[:, 2] * x[:, 3])
    return first + 0.5 * np.sin(5 * x[:, 5]) + x[:, 6] * x[:, 7]


def high(x: Array) -> Array:
    """The target."""
    return 1.2 * low(x) + 0.5 * np.sin(3 * x[:, 4]) + 0.3


def table(n: int, seed: int = 0, d: int = 10) -> tuple[Array, pd.DataFrame, Array, Array, Array]:
    """Features and labels for training, fresh features, and the target's function and labels at those."""
    generator = np.random.default_rng(seed)
    x, n_low = generator.random((n, d)), 4 * n // 5
    Y = pd.DataFrame({"low": np.nan, "high": np.nan}, index=range(n))
    Y.loc[: n_low - 1, "low"] = low(x[:n_low]) + 0.05 * generator.standard_normal(n_low)
    Y.loc[n_low:, "high"] = high(x[n_low:]) + 0.1 * generator.standard_normal(n - n_low)
    fresh = generator.random((FRESH, d))
    return x, Y, fresh, high(fresh), high(fresh) + 0.1 * generator.standard_normal(FRESH)


def inside(interval: pd.DataFrame, values: Array) -> float:
    """The fraction of values that lie in their intervals."""
    return float(((interval["lower"] <= values) & (values <= interval["upper"])).mean())


def run(only: Sequence[str] | None = None, seed: int = 0, verbose: bool = True) -> pd.DataFrame:
    """The figures for each number of labels, of :data:`SIZES` or those named in ``only``."""
    sizes = SIZES | WIDE
    if unknown := sorted(set(only or ()) - set(sizes)):
        raise ValueError(f"--models: {unknown[0]!r} is none of the sizes {list(sizes)}")
    rows = []
    for name in only or SIZES:
        x, Y, fresh, truth, labels = table(sizes[name], seed, 20 if name in WIDE else 10)
        start = time.perf_counter()
        model = btl.DifferenceGP(levels=["low", "high"], verbose=verbose).fit(x, Y)
        fitted = time.perf_counter()
        post = model.posterior(fresh, noise=False)
        mean, interval = post.mean["high"].to_numpy(), post.interval(0.9)["high"]
        predicted = time.perf_counter()
        of_labels = model.posterior(fresh).interval(0.9)["high"]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
        rows.append(
            {
                "labels": name,
                "RMSE": round(float(np.sqrt(np.mean((mean - truth) ** 2))), 4),
                "values in 90 %": inside(interval, truth),
                "labels in 90 %": inside(of_labels, labels),
                "fit, s": round(fitted - start, 1),
                "rows/s": round(FRESH / (predicted - fitted)),
                "peak memory so far, GB": round(peak, 1),
            }
        )
    return pd.DataFrame(rows).set_index("labels")
