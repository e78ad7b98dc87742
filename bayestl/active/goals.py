"""Goals of a campaign: a quantity that is to be large, small, near a value, in a range, above a threshold, or learnt.

A goal says what a value of its quantity is worth (``utility``), and what measuring it promises given its predicted
distribution and the best utility so far (``promise``):

    Maximise, Minimise, Reach    E[max(u(y) - u*, 0)],  u(y) = y, -y, -abs(y - value)        (expected improvement)
    Between, Above               P(y in the range)
    Learn                        no utility: how much variance of the quantity a measurement removes
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd

from bayestl.active.expressions import Expression, WithKnown
from bayestl.distributions import Discrete, Empirical, Marginals, NormalMixture, Predictive, StudentMixture, cdf_below
from bayestl.distributions.base import check_number

LEVELS = (np.arange(200) + 0.5) / 200  # of quantiles, over which a distribution without a closed form is averaged
Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Goal(ABC):
    """Base class of all goals; ``quantity`` is a task or an expression of tasks.

    Where a ``function`` of the labels is given, it replaces the expression and ``quantity`` is only its name.
    """

    quantity: str
    function: Function | None = field(default=None, compare=False, kw_only=True)

    def check(self, tasks: Sequence[str]) -> None:
        """Refuse a quantity that does not fit the tasks.

        Raises
        ------
        ValueError
            For an expression that is not allowed (:class:`~bayestl.active.expressions.Expression`), an unknown task, or
            a function whose name is that of a task.
        """
        if self.function is not None and self.quantity in tasks:
            raise ValueError(
                f"function= computes {self.quantity!r}, which is a task: call the quantity by another name"
            )
        if self.function is None and self.quantity not in tasks:
            Expression(self.quantity, tasks)

    def needs(self, tasks: Sequence[str]) -> list[str]:
        """The tasks that the quantity is computed from; all tasks for a Python function."""
        if self.quantity in tasks:
            return [self.quantity]
        return list(tasks) if self.function is not None else Expression(self.quantity, tasks).used

    def value(self, labels: Mapping[str, Any], tasks: Sequence[str]) -> Any:
        """The value of the quantity, from labels by task."""
        if self.quantity in tasks:
            return labels[self.quantity]
        return self.function(labels) if self.function is not None else Expression(self.quantity, tasks)(labels)

    def given(self, tasks: Sequence[str], known: pd.DataFrame) -> WithKnown:
        """The quantity of rows as a function of labels by task, with their ``known`` labels (n, T) at their values."""
        return WithKnown(partial(self.value, tasks=tasks), known)

    def marginals(self, posterior: Any, known: pd.DataFrame | None = None) -> Marginals:
        """The distribution of the quantity, row by row, from a :class:`~bayestl.Posterior`.

        ``known`` labels (n, T) of the rows stand at their values in an expression or function; a task by itself is that of
        a new label.
        """
        names = [t.name for t in posterior.tasks]
        if self.quantity in names:
            return posterior.marginal(self.quantity)
        function = partial(self.value, tasks=names) if known is None else self.given(names, known)
        with np.errstate(all="ignore"):
            return posterior.apply(function).marginals

    @abstractmethod
    def utility(self, y: np.ndarray) -> np.ndarray:
        """The utility of values of the quantity; larger is better."""

    @abstractmethod
    def promise(self, predicted: Marginals, best: float) -> np.ndarray:
        """Acquisition value (n,) of measuring the quantity, given its predicted distribution and the best utility."""

    def sure(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """The value (n,) that a quantity known only to lie between two ends is sure to be as good as; NaN where there is none."""
        worse = self.utility(high) < self.utility(low)
        either = self.utility(high) == self.utility(low)
        value = np.where(worse | (either & np.isinf(low)), high, low)
        return np.where(np.isinf(value), np.nan, value)

    def best_of(self, y: np.ndarray) -> int:
        """Position of the best of some values (n,) of the quantity."""
        return int(np.argmax(self.utility(y)))

    def hit(self, predicted: Marginals, best: float) -> np.ndarray | None:
        """Probability (n,) that the quantity is better than the ``best`` utility so far; None where that says nothing."""
        return None

    @property
    @abstractmethod
    def description(self) -> str:
        """A description of the goal in plain words, which :func:`from_words` reads."""

    def document(self) -> dict[str, Any]:
        """The goal as a JSON value; a Python function is not part of it."""
        values = {k: v for k, v in asdict(self).items() if k != "function"}
        return {"goal": type(self).__name__, **values, "python": self.function is not None}


@dataclass(frozen=True)
class _Improve(Goal):
    """Base class of goals whose promise is the expected improvement of a utility."""

    def promise(self, predicted: Marginals, best: float) -> np.ndarray:
        if isinstance(predicted, Empirical):
            worth = self.utility(predicted.draws)  # what cannot be computed, such as log(-1), is no improvement
            return np.where(np.isfinite(worth), np.maximum(worth - best, 0.0), 0.0).mean(axis=0)
        n = len(predicted.mean())
        worths = (self.utility(predicted.quantile(np.full(n, level))) for level in LEVELS)
        return np.asarray(sum(np.maximum(worth - best, 0.0) for worth in worths) / len(LEVELS))

    def hit(self, predicted: Marginals, best: float) -> np.ndarray | None:
        if not math.isfinite(best):
            return None
        if isinstance(predicted, Empirical):
            return np.asarray((self.utility(predicted.draws) > best).mean(axis=0))
        return self._better(cast(Predictive, predicted), best)

    @abstractmethod
    def _better(self, predicted: Predictive, best: float) -> np.ndarray:
        """Probability (n,) of a utility above ``best``, from the distribution function."""


@dataclass(frozen=True)
class Maximise(_Improve):
    """Make the quantity as large as possible.

    Parameters
    ----------
    quantity : str
        A task, or an expression of tasks such as ``"N2 - NO"``.
    function : callable, optional
        Computes the quantity from the labels by task; ``quantity`` is then its name.

    Examples
    --------
    >>> Maximise("hardness").description
    'maximise hardness'
    """

    sign = 1.0

    def utility(self, y: np.ndarray) -> np.ndarray:
        return self.sign * y

    def promise(self, predicted: Marginals, best: float) -> np.ndarray:
        if isinstance(predicted, NormalMixture | StudentMixture):
            improvement = predicted.expected_excess(best, self.sign)
            if np.isfinite(improvement).all():  # else noise without a mean
                return improvement
        return super().promise(predicted, best)

    def _better(self, predicted: Predictive, best: float) -> np.ndarray:
        at = np.full(len(predicted.mean()), self.sign * best)
        return np.asarray(1.0 - predicted.cdf(at) if self.sign > 0 else cdf_below(predicted, at))

    @property
    def description(self) -> str:
        return f"maximise {self.quantity}"


@dataclass(frozen=True)
class Minimise(Maximise):
    """Make the quantity as small as possible.

    Parameters
    ----------
    quantity, function
        As for :class:`Maximise`.

    Examples
    --------
    >>> Minimise("N2 - NO").description
    'minimise N2 - NO'
    """

    sign = -1.0

    @property
    def description(self) -> str:
        return f"minimise {self.quantity}"


@dataclass(frozen=True)
class Reach(_Improve):
    """Bring the quantity as near to ``target`` as possible.

    Parameters
    ----------
    quantity, function
        As for :class:`Maximise`.
    target : float
        The wanted value, in the units of the quantity.

    Examples
    --------
    >>> Reach("gap", 1.4).description
    'gap near 1.4'
    """

    target: float = 0.0

    def __post_init__(self) -> None:
        check_number(self.target, "Reach: target")

    def utility(self, y: np.ndarray) -> np.ndarray:
        return -np.abs(y - self.target)

    def _better(self, predicted: Predictive, best: float) -> np.ndarray:
        n = len(predicted.mean())
        nearer = cdf_below(predicted, np.full(n, self.target - best)) - predicted.cdf(np.full(n, self.target + best))
        return np.maximum(nearer, 0.0)  # nothing is better than the target itself, which may be an atom

    @property
    def description(self) -> str:
        return f"{self.quantity} near {self.target:g}"


@dataclass(frozen=True)
class Between(Goal):
    """Find as many rows as possible whose quantity lies between ``lower`` and ``upper``.

    Parameters
    ----------
    quantity, function
        As for :class:`Maximise`.
    lower, upper : float
        Ends of the range, in the units of the quantity; without one the range is open.

    Examples
    --------
    >>> Between("gap", 1.3, 1.5).description
    'gap between 1.3 and 1.5'
    """

    lower: float = -math.inf
    upper: float = math.inf

    def __post_init__(self) -> None:
        for end in ("lower", "upper"):
            check_number(getattr(self, end), f"{type(self).__name__}: {end}", infinite=True)
        if not self.lower < self.upper:
            raise ValueError(f"{type(self).__name__}: lower={self.lower} must be below upper={self.upper}")

    def utility(self, y: np.ndarray) -> np.ndarray:
        return np.where((y >= self.lower) & (y <= self.upper), 1.0, 0.0)

    def best_of(self, y: np.ndarray) -> int:
        """The first value in the range; where there is none, the nearest one."""
        return int(np.argmin(np.maximum(np.maximum(self.lower - y, y - self.upper), 0.0)))

    def promise(self, predicted: Marginals, best: float) -> np.ndarray:
        if isinstance(predicted, Empirical):
            return np.asarray(self.utility(predicted.draws).mean(axis=0))
        n = len(predicted.mean())
        predictive = cast(Predictive, predicted)  # only draws have no distribution function
        below = 0.0 if math.isinf(self.lower) else cdf_below(predictive, np.full(n, self.lower))
        upto = 1.0 if math.isinf(self.upper) else predictive.cdf(np.full(n, self.upper))
        return np.clip(np.broadcast_to(upto - below, (n,)), 0.0, 1.0)

    def hit(self, predicted: Marginals, best: float) -> np.ndarray | None:
        """Probability (n,) that the quantity is in the range."""
        return Between.promise(self, predicted, best)

    @property
    def description(self) -> str:
        return f"{self.quantity} between {self.lower:g} and {self.upper:g}"


@dataclass(frozen=True)
class Above(Between):
    """Separate the rows above ``lower`` from those below: rows on which the model is least certain are measured.

    The boundary is learnt; to find rows above a threshold, use ``Between(quantity, lower)``.

    Parameters
    ----------
    quantity, function
        As for :class:`Maximise`.
    lower, upper : float
        The boundary ``lower``, in the units of the quantity; an ``upper`` one counts, too.

    Examples
    --------
    >>> Above("gap", 1.5).description
    'whether gap is above 1.5'
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.lower, "Above: lower")

    def promise(self, predicted: Marginals, best: float) -> np.ndarray:
        inside = super().promise(predicted, best)
        return np.asarray(inside * (1 - inside))

    @property
    def description(self) -> str:
        ends = f"between {self.lower:g} and {self.upper:g}" if math.isfinite(self.upper) else f"above {self.lower:g}"
        return f"whether {self.quantity} is {ends}"


@dataclass(frozen=True)
class Learn(Goal):
    """Learn the quantity over the whole pool: each measurement removes as much variance as possible for its cost.

    Parameters
    ----------
    quantity, function
        As for :class:`Maximise`.

    Examples
    --------
    >>> Learn("gap").description
    'learn gap'
    """

    def utility(self, y: np.ndarray) -> np.ndarray:
        return np.zeros(np.shape(y))

    def promise(self, predicted: Marginals, best: float) -> np.ndarray:
        """The spread of each row's prediction: standard deviation of numbers, entropy of classes."""
        if isinstance(predicted, Discrete):
            chances = np.maximum(predicted.probabilities, 1e-12)
            return np.asarray(-(chances * np.log(chances)).sum(axis=1))
        return np.asarray(predicted.std())

    @property
    def description(self) -> str:
        return f"learn {self.quantity}"
