"""Independent streams of random numbers from one seed, each known by a name.

The one home of random numbers: nothing in the package touches a global generator, and no two uses of a seed share a stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

if TYPE_CHECKING:
    import torch


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


def small_seed(seed: int, name: str, number: int = 0) -> int:
    """A seed below ``2**31`` of the stream of :func:`spawn`, for libraries that take no larger one (scikit-learn)."""
    return spawn(seed, name, number) >> 32


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
