"""The distribution of a function of several tasks, row by row: what :meth:`bayestl.Posterior.apply` returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayestl import streams
from bayestl.distributions import Marginals, check_probability


@dataclass
class Derived:
    """The distribution of a function of several tasks, row by row, from :meth:`Posterior.apply`.

    Attributes
    ----------
    mean : Series, shape (n,)
        Mean of the value, in its own units.
    std : Series, shape (n,)
        Its standard deviation.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> Y = pd.DataFrame({"a": np.sin(5 * x[:, 0]), "b": np.sin(5 * x[:, 0]) + 1.0})
    >>> post = btl.MultiTaskGP(verbose=False).fit(x, Y).complete()
    >>> float(post.apply(lambda y: y["b"] - y["a"]).mean[3].round(1))
    1.0
    """

    marginals: Marginals
    index: pd.Index
    draw: Callable[[int, streams.RandomState], np.ndarray]
    name: str | None = None

    @property
    def mean(self) -> pd.Series:
        """The mean (n,)."""
        return pd.Series(self.marginals.mean(), self.index, name=self.name)

    @property
    def std(self) -> pd.Series:
        """The standard deviation (n,)."""
        return pd.Series(self.marginals.std(), self.index, name=self.name)

    def quantile(self, q: float) -> pd.Series:
        """The ``q`` quantile (n,)."""
        return pd.Series(self.marginals.quantile(q), self.index, name=self.name)

    def interval(self, level: float = 0.9) -> pd.DataFrame:
        """The central interval of probability ``level`` (n, 2), columns ``lower`` and ``upper``."""
        tail = 0.5 * (1 - check_probability(level, "level"))
        return pd.DataFrame({"lower": self.quantile(tail), "upper": self.quantile(1 - tail)})

    def sample(self, n: int, seed: streams.RandomState = 0) -> xr.DataArray:
        """``n`` draws with dimensions (sample, row), joint over rows; ``seed`` repeats them."""
        return xr.DataArray(
            self.draw(n, seed), dims=("sample", "row"), coords={"row": np.asarray(self.index)}, name=self.name
        )
