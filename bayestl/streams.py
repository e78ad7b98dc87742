"""Independent streams of random numbers from one seed, each known by a name.

The one home of random numbers: nothing in the package touches a global generator, and no two uses of a seed share a stream.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

if TYPE_CHECKING:
    import torch


GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio, the step of a stream of a row."""
RandomState = int | np.random.RandomState | np.random.Generator | None
"""What a ``random_state`` may be (:func:`seed_of`)."""


def spawn(seed: int, name: str, number: int = 0) -> int:
    """A seed whose random numbers are independent of those of ``seed`` and of every other name and number.

    Parameters
    ----------
    seed : int
        A seed, not negative.
    name : str
        What the random numbers are for.
    number : int
        Which one, where there are several.

    Returns
    -------
    A seed below ``2**63``, for NumPy, PyTorch and again for this function.

    References
    ----------
    :class:`numpy.random.SeedSequence`, whose spawn keys these are.

    Examples
    --------
    >>> spawn(0, "chains") == spawn(0, "chains"), spawn(0, "chains") == spawn(0, "draws")
    (True, False)
    """
    sequence = np.random.SeedSequence(int(seed), spawn_key=(crc32(name.encode()), number))
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def generator(seed: int, name: str, number: int = 0) -> np.random.Generator:
    """A NumPy generator of the stream of :func:`spawn`."""
    return np.random.default_rng(spawn(seed, name, number))


def torch_generator(seed: int, name: str, number: int = 0) -> torch.Generator:
    """A PyTorch generator of the stream of :func:`spawn`."""
    import torch

    return torch.Generator().manual_seed(spawn(seed, name, number))


def torch_normal(shape: Sequence[int], generator: torch.Generator, like: torch.Tensor) -> torch.Tensor:
    """Standard normal numbers, of the type and on the device of ``like``; the same ones on every device."""
    import torch

    noise = torch.randn(*shape, generator=generator, dtype=like.dtype, device=generator.device)
    return noise.to(like.device)


def small_seed(seed: int, name: str, number: int = 0) -> int:
    """A seed below ``2**31`` of the stream of :func:`spawn`, for libraries that take no larger one (scikit-learn)."""
    return spawn(seed, name, number) >> 32


class RowStreams:
    """A stream of random numbers for each of n rows, which depends on the row and not on its place among the others.

    Parameters
    ----------
    seed : int
        The seed of all streams.
    x : ndarray, shape (n, d)
        Scaled features of the rows, of which six decimals count: the first of several rows with the same features has the
        stream of these features, the second another one, and so on.
    code : ndarray, shape (n,), optional
        Codes of the rows that have a stream of their own whatever their features; -1 for other rows.
    twin : ndarray, shape (n,), optional
        How many rows with the same features come before each; by default they are counted among these rows.

    References
    ----------
    Steele, Lea, Flood 2014, *Fast splittable pseudorandom number generators*: the mixing function and its constants.
    """

    def __init__(
        self, seed: int, x: np.ndarray, code: np.ndarray | None = None, twin: np.ndarray | None = None
    ) -> None:
        base: np.ndarray = np.full(len(x), spawn(seed, "rows"), dtype=np.uint64)
        state = _of_features(base, x)
        state = state + GOLDEN * (_occurrence(state) if twin is None else twin.astype(np.uint64))
        if code is not None:
            state = np.where(code >= 0, _mixed(base ^ np.asarray(code, dtype=np.int64).view(np.uint64)), state)
        self._state, self._calls = _mixed(state), 0

    def at(self, rows: np.ndarray) -> RowStreams:
        """The streams of some of the rows, from the numbers on that come next."""
        some = copy.copy(self)
        some._state = self._state[rows]
        return some

    def uniform(self, k: int) -> np.ndarray:
        """The next ``k`` numbers between 0 and 1 of each row, (k, n)."""
        first = self._calls
        self._calls += k
        counter = np.arange(first + 1, first + k + 1, dtype=np.uint64)
        bits = _mixed(self._state + GOLDEN * counter[:, None]) >> np.uint64(11)
        return (bits + 0.5) * 2.0**-53

    def normal(self, k: int) -> np.ndarray:
        """The next ``k`` standard normal numbers of each row, (k, n)."""
        from scipy.special import ndtri

        return np.asarray(ndtri(self.uniform(k)))


class Occurrences:
    """How many rows with the same features came before each row of a table that comes in parts.

    It keeps 16 bytes for each row with other features than those before.

    Examples
    --------
    >>> import numpy as np
    >>> from bayestl.streams import Occurrences
    >>> before = Occurrences()
    >>> before.of(np.array([[1.0], [2.0], [1.0]])), before.of(np.array([[1.0], [3.0]]))
    (array([0, 0, 1]), array([2, 0]))
    """

    def __init__(self) -> None:
        self._seen, self._count = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)

    def of(self, x: np.ndarray) -> np.ndarray:
        """The numbers (n,) for the next rows, with scaled features (n, d), of which six decimals count."""
        return self.of_keys(self.keys(x))

    @staticmethod
    def keys(x: np.ndarray) -> np.ndarray:
        """What is kept of rows with scaled features (n, d): a number (n,) each."""
        return _of_features(np.zeros(len(x), dtype=np.uint64), x)

    def of_keys(self, state: np.ndarray) -> np.ndarray:
        """As :meth:`of`, from the keys (n,) of the rows."""
        distinct, position, count = np.unique(state, return_inverse=True, return_counts=True)
        at = np.searchsorted(self._seen, distinct)
        known = np.zeros(len(distinct), dtype=bool)
        known[at < len(self._seen)] = self._seen[at[at < len(self._seen)]] == distinct[at < len(self._seen)]
        before = np.zeros(len(distinct), dtype=np.int64)
        before[known] = self._count[at[known]]
        self._count[at[known]] += count[known]
        self._seen = np.insert(self._seen, at[~known], distinct[~known])
        self._count = np.insert(self._count, at[~known], count[~known])
        return before[position] + _occurrence(state).astype(np.int64)


def _of_features(base: np.ndarray, x: np.ndarray) -> np.ndarray:
    """States (n,) of rows from those of their stream and their features (n, d)."""
    state = base
    for column in np.ascontiguousarray(np.round(x.T, 6) + 0.0):  # minus zero is zero
        state = _mixed(state ^ column.view(np.uint64))
    return state


def _mixed(state: np.ndarray) -> np.ndarray:
    """The states (...) after a mixing function under which neighbours have nothing in common."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    return state ^ (state >> np.uint64(31))


def _occurrence(state: np.ndarray) -> np.ndarray:
    """How many equal states come before each of them, (n,)."""
    _, group, count = np.unique(state, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    occurrence = np.empty(len(state), dtype=np.uint64)
    occurrence[order] = np.arange(len(state)) - np.repeat(np.cumsum(count) - count, count)
    return occurrence


def seed_of(random_state: RandomState) -> int:
    """The seed that a ``random_state`` stands for, as in scikit-learn.

    Parameters
    ----------
    random_state : int, None, numpy.random.RandomState or numpy.random.Generator
        An integer is the seed itself; None is a new one each time; from a generator one integer is drawn.

    Raises
    ------
    ValueError
        If it is anything else, or negative.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(0, 2**63 - 1, dtype=np.int64))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63))
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool) and random_state >= 0:
        return int(random_state)
    raise ValueError(
        f"random_state must be an integer from 0 on, None, or a RandomState or Generator of NumPy, got {random_state!r}"
    )
