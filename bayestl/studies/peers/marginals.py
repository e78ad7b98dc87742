"""What a comparison needs of a posterior: the predictive distribution of each task, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayestl.distributions import NormalMixture, Predictive
from bayestl.table.measured import Measured


class RowMarginals:
    """A posterior that is its marginals, of any kind; known standard errors of labels are left out."""

    def __init__(self, marginals: Mapping[str, Predictive]) -> None:
        self._marginals = dict(marginals)

    def with_errors(self, labels: Measured) -> RowMarginals:
        """The posterior itself: the spread of such a peer contains the errors of the labels it has learnt from."""
        return self

    def marginal(self, task: str) -> Predictive:
        """The predictive distribution of one task."""
        return self._marginals[task]


class GaussianMarginals:
    """A posterior with independent Gaussian marginals, as far as a comparison needs one.

    Parameters
    ----------
    marginals : dict of str to NormalMixture
        The predictive distribution of each task.
    tasks : sequence of str, optional
        All tasks of the table in their order, for peers whose spread leaves out the known standard errors of labels; that of
        the others contains them.
    """

    def __init__(self, marginals: dict[str, NormalMixture], tasks: Sequence[str] = ()) -> None:
        self._marginals = marginals
        self._tasks = list(tasks)

    def with_errors(self, labels: Measured) -> GaussianMarginals:
        """The marginals of labels with the known standard errors of the given ones (n, T)."""
        if not self._tasks:
            return self
        errors = {name: labels.se[:, self._tasks.index(name)] ** 2 for name in self._marginals}
        return GaussianMarginals({name: m.widened(errors[name]) for name, m in self._marginals.items()})

    def marginal(self, task: str) -> NormalMixture:
        """The predictive distribution of one task."""
        return self._marginals[task]

    def apply(self, function: Any) -> Any:
        """The distribution of a linear function of tasks; the errors of the tasks are independent."""
        names = list(self._marginals)
        at = {n: np.zeros(1) for n in names}
        slope = {n: float(function({**at, n: np.ones(1)})[0] - function(at)[0]) for n in names}
        mean = sum(slope[n] * m.means for n, m in self._marginals.items())
        variance = sum(slope[n] ** 2 * m.variances for n, m in self._marginals.items())
        return _Marginals(NormalMixture(np.ones(1), np.asarray(mean), np.asarray(variance)))


class _Marginals:
    """The result of ``apply``: the distribution of the function, row by row."""

    def __init__(self, marginals: NormalMixture) -> None:
        self.marginals = marginals
