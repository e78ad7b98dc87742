"""A predictive distribution at some of its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayestl.distributions.base import Array, Predictive, cdf_below
from bayestl.distributions.rows import Discrete


def at_rows(predictive: Predictive, rows: Array, n: int) -> Predictive:
    """The distribution of the numbers at the positions ``rows``, none twice, of ``n`` numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from bayestl.distributions import NormalMixture
    >>> from bayestl.distributions.at_rows import at_rows
    >>> three = NormalMixture(np.ones(1), np.array([[1.0, 2.0, 3.0]]), np.ones((1, 3)))
    >>> at_rows(three, np.array([2, 0]), 3).mean()
    array([3., 1.])
    """
    if isinstance(predictive, Discrete):
        return Discrete(predictive.probabilities[rows], predictive.classes)
    return AtRows(predictive, rows, n)


@dataclass(frozen=True)
class AtRows:
    """The numbers at ``rows`` of the ``n`` numbers of a distribution."""

    whole: Predictive
    rows: Array
    n: int

    def _of(self, function: Callable[[Array], Array], values: Array) -> Array:
        """A function of one number per row, at the rows; the other rows have none."""
        values = np.asarray(values, dtype=float)
        padded = np.full((*values.shape[:-1], self.n), np.nan)
        padded[..., self.rows] = values
        return function(padded)[..., self.rows]

    def mean(self) -> Array:
        """Means, one for each of the rows."""
        return self.whole.mean()[self.rows]

    def std(self) -> Array:
        """Standard deviations."""
        return self.whole.std()[self.rows]

    def cdf(self, y: Array) -> Array:
        """``P(Y_i <= y_i)``."""
        return self._of(self.whole.cdf, y)

    def cdf_below(self, y: Array) -> Array:
        """``P(Y_i < y_i)``."""
        return self._of(lambda values: cdf_below(self.whole, values), y)

    def log_density(self, y: Array) -> Array:
        """``log p(y_i)``."""
        return self._of(self.whole.log_density, y)

    def quantile(self, q: float | Array) -> Array:
        """The ``q`` quantile; ``q`` is a number, or one per row."""
        if not (isinstance(q, np.ndarray) and q.ndim):
            return self.whole.quantile(q)[self.rows]
        levels = np.full(self.n, 0.5)
        levels[self.rows] = q
        return self.whole.quantile(levels)[self.rows]
