"""Independent streams of random numbers from one seed, each known by a name."""

from __future__ import annotations

from zlib import crc32

import numpy as np


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
