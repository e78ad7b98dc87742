"""What a campaign is after: a number that is to be large, small, at a value, in a range, above a threshold; or knowledge.

A goal says what a quantity's value is worth (``utility``) and what a prediction promises beyond the best so far (``promise``):

    Maximise, Minimise, Reach    E[max(u(y) - u*, 0)],  u(y) = y, -y, -abs(y - value)        (expected improvement)
    Between, Above               P(y in the range)
    Learn                        no utility: how much a measurement tells of the target

The quantity is a task, an expression of tasks (kept in the ledger as text) or a Python function of them (passed again when
the campaign is opened).
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.special import ndtr

from bayestl.active.expressions import Expression
from bayestl.distributions import Discrete, Empirical, Marginals, NormalMixture, Predictive

LEVELS = (np.arange(200) + 0.5) / 200
"""At which a distribution without a closed form is summed."""

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Goal(ABC):
    """Base of all goals; ``quantity`` is a task or an expression of tasks.

    ``function`` is used instead of an expression where it is given; ``quantity`` is its name then.
    """

    quantity: str
    function: Function | None = field(default=None, compare=False, kw_only=True)

    def check(self, tasks: Sequence[str]) -> None:
        """Refuse a quantity that does not fit the tasks.

        Raises
        ------
        ValueError
            See :class:`~bayestl.active.expressions.Expression`.
        """
        if self.function is None and self.quantity not in tasks:
            Expression(self.quantity, tasks)

    def needs(self, tasks: Sequence[str]) -> list[str]:
        """The tasks that the quantity is made of; of a Python function all."""
        if self.quantity in tasks:
            return [self.quantity]
        return list(tasks) if self.function is not None else Expression(self.quantity, tasks).used

    def value(self, labels: Mapping[str, Any], tasks: Sequence[str]) -> Any:
        """The quantity from labels by task."""
        if self.quantity in tasks:
            return labels[self.quantity]
        return self.function(labels) if self.function is not None else Expression(self.quantity, tasks)(labels)

    def marginals(self, posterior: Any) -> Marginals:
        """The distribution of the quantity, row by row, from a :class:`~bayestl.Posterior`."""
        names = [t.name for t in posterior.tasks]
        if self.quantity in names:
            return posterior.marginal(self.quantity)  # type: ignore[no-any-return]
        function = self.function if self.function is not None else Expression(self.quantity, names)
        return posterior.apply(function).marginals  # type: ignore[no-any-return]

    @abstractmethod
    def utility(self, y: np.ndarray) -> np.ndarray:
        """What values of the quantity are worth; larger is better."""

    @abstractmethod
    def promise(self, predicted: Marginals, best: float) -> np.ndarray:
        """What a measurement of the quantity promises, (n,), where the best utility so far is ``best``."""

    @property
    @abstractmethod
    def words(self) -> str:
        """The goal in words."""

    def document(self) -> dict[str, Any]:
        """A JSON value; a Python function is not part of it."""
        values = {k: v for k, v in asdict(self).items() if k != "function"}
        return {"goal": type(self).__name__, **values, "python": self.function is not None}


@dataclass(frozen=True)
class _Improve(Goal):
    """Goals whose promise is the expected improvement of a utility."""

    def promise(self, predicted: Marginals, best: float) -> np.ndarray:
        if isinstance(predicted, Empirical):
            return np.asarray(np.maximum(self.utility(predicted.draws) - best, 0.0).mean(axis=0))
        n = len(predicted.mean())
        total = np.zeros(n)
        for level in LEVELS:
            total += np.maximum(self.utility(predicted.quantile(np.full(n, level))) - best, 0.0)
        return total / len(LEVELS)


@dataclass(frozen=True)
class Maximise(_Improve):
    """As large as possible."""

    sign = 1.0

    def utility(self, y: np.ndarray) -> np.ndarray:
        return self.sign * y

    def promise(self, predicted: Marginals, best: float) -> np.ndarray:
        if not isinstance(predicted, NormalMixture):
            return super().promise(predicted, best)
        sd = np.sqrt(predicted.variances)
        z = (self.sign * predicted.means - best) / sd
        each = sd * (z * ndtr(z) + np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi))
        return np.asarray(np.maximum(predicted.weights @ each, 0.0))

    @property
    def words(self) -> str:
        return f"maximise {self.quantity}"


@dataclass(frozen=True)
class Minimise(Maximise):
    """As small as possible."""

    sign = -1.0

    @property
    def words(self) -> str:
        return f"minimise {self.quantity}"


@dataclass(frozen=True)
class Reach(_Improve):
    """As near to ``target`` as possible."""

    target: float = 0.0

    def utility(self, y: np.ndarray) -> np.ndarray:
        return -np.abs(y - self.target)

    @property
    def words(self) -> str:
        return f"{self.quantity} near {self.target:g}"


@dataclass(frozen=True)
class Between(Goal):
    """From ``lower`` to ``upper``, as many rows as possible."""

    lower: float = -math.inf
    upper: float = math.inf

    def __post_init__(self) -> None:
        if not self.lower < self.upper:
            raise ValueError(f"{type(self).__name__}: lower={self.lower} must be below upper={self.upper}")

    def utility(self, y: np.ndarray) -> np.ndarray:
        return np.where((y >= self.lower) & (y <= self.upper), 1.0, 0.0)

    def promise(self, predicted: Marginals, best: float) -> np.ndarray:
        if isinstance(predicted, Empirical):
            return np.asarray(self.utility(predicted.draws).mean(axis=0))
        n = len(predicted.mean())
        whole: Predictive = predicted  # type: ignore[assignment]
        below = 0.0 if math.isinf(self.lower) else whole.cdf(np.full(n, np.nextafter(self.lower, -np.inf)))
        upto = 1.0 if math.isinf(self.upper) else whole.cdf(np.full(n, self.upper))
        return np.clip(np.broadcast_to(upto - below, (n,)), 0.0, 1.0)

    @property
    def words(self) -> str:
        return f"{self.quantity} between {self.lower:g} and {self.upper:g}"


@dataclass(frozen=True)
class Above(Between):
    """Tell the rows above ``lower`` from the others: measured is where that is least certain.

    Rows are not sought for being above (that is ``Between(quantity, lower)``): the boundary is.
    """

    def promise(self, predicted: Marginals, best: float) -> np.ndarray:
        inside = super().promise(predicted, best)
        return np.asarray(inside * (1 - inside))

    @property
    def words(self) -> str:
        return f"whether {self.quantity} is above {self.lower:g}"


@dataclass(frozen=True)
class Learn(Goal):
    """Know the quantity best over the whole pool: least variance after each measurement, for its cost."""

    def utility(self, y: np.ndarray) -> np.ndarray:
        return np.zeros(np.shape(y))

    def promise(self, predicted: Marginals, best: float) -> np.ndarray:
        """Its spread: what a measurement at the row would tell of the row itself."""
        if isinstance(predicted, Discrete):
            chances = np.maximum(predicted.probabilities, 1e-12)
            return np.asarray(-(chances * np.log(chances)).sum(axis=1))
        return np.asarray(predicted.std())

    @property
    def words(self) -> str:
        return f"learn {self.quantity}"


GOALS: dict[str, type[Goal]] = {g.__name__: g for g in (Maximise, Minimise, Reach, Between, Above, Learn)}
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_WORDS: tuple[tuple[str, Callable[..., Goal]], ...] = (
    (r"maximi[sz]e (.+)", lambda q: Maximise(q)),
    (r"minimi[sz]e (.+)", lambda q: Minimise(q)),
    (r"learn (.+)", lambda q: Learn(q)),
    (rf"whether (.+) is above {_NUMBER}", lambda q, v: Above(q, float(v))),
    (rf"(.+) between {_NUMBER} and {_NUMBER}", lambda q, a, b: Between(q, float(a), float(b))),
    (rf"(.+) near {_NUMBER}", lambda q, v: Reach(q, float(v))),
)


def from_words(text: str) -> Goal:
    """A goal as it is written on the command line, and as ``words`` tells it.

    Raises
    ------
    ValueError
        For other words, with what may be written.

    Examples
    --------
    >>> from_words("gap between 1.3 and 1.5") == Between("gap", 1.3, 1.5)
    True
    """
    for pattern, make in _WORDS:
        if match := re.fullmatch(pattern, " ".join(text.split()), re.IGNORECASE):
            return make(*match.groups())
    raise ValueError(
        f"the goal {text!r} is none of: maximise Q, minimise Q, Q near 1.4, Q between 1.3 and 1.5, whether Q is above 1.5, "
        "learn Q (Q a task, or an expression of tasks such as N2 - NO)"
    )


def from_document(document: Mapping[str, Any], function: Function | None = None) -> Goal:
    """The inverse of ``document()``.

    Raises
    ------
    ValueError
        For an unknown goal, or where the Python function is missing.
    """
    values = dict(document)
    kind, python = values.pop("goal", None), values.pop("python", False)
    if kind not in GOALS:
        raise ValueError(f"unknown goal {kind!r}: one of {sorted(GOALS)} is expected")
    if python and function is None:
        raise ValueError(
            f"the goal's quantity {values.get('quantity')!r} is a Python function, which a ledger does not keep: pass function="
        )
    return GOALS[kind](**values, function=function if python else None)
