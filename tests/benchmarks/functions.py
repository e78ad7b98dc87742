"""Test functions of two fidelities from the literature, on the unit cube, to be maximised.

Branin: Perdikaris et al. 2017, *Nonlinear information fusion algorithms for data-efficient multi-fidelity modelling*
(their middle level below the highest).  Currin and borehole: Xiong, Qian, Wu 2013, *Sequential design and analysis of
high-accuracy and low-accuracy computer codes*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Pair:
    """Two fidelities of a function of points (n, d) in the unit cube, ``source`` and ``target``, and its maximum."""

    name: str
    d: int
    source: Function
    target: Function
    maximum: float


def _branin_at(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Branin's function in its usual coordinates."""
    valley = b - 5.1 / (4 * np.pi**2) * a**2 + 5 / np.pi * a - 6
    return np.asarray(valley**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10)


def branin(x: np.ndarray) -> np.ndarray:
    """Branin's function with its sign changed, to be maximised."""
    return -_branin_at(15 * x[:, 0] - 5, 15 * x[:, 1])


def branin_source(x: np.ndarray) -> np.ndarray:
    """The cheap source ``-(10 sqrt(B(a - 2, b - 2)) + 2 (a - 1/2) - 3 (3 b - 1) - 1)`` of Branin's function B."""
    a, b = 15 * x[:, 0] - 5, 15 * x[:, 1]
    return -(10 * np.sqrt(np.maximum(_branin_at(a - 2, b - 2), 0.0)) + 2 * (a - 0.5) - 3 * (3 * b - 1) - 1)


def _currin_at(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Currin's function at two coordinates in the unit square."""
    with np.errstate(divide="ignore"):
        edge = 1 - np.exp(-1 / (2 * np.maximum(b, 0.0)))
    return np.asarray(edge * (2300 * a**3 + 1900 * a**2 + 2092 * a + 60) / (100 * a**3 + 500 * a**2 + 4 * a + 20))


def currin(x: np.ndarray) -> np.ndarray:
    """Currin's exponential function."""
    return _currin_at(x[:, 0], x[:, 1])


def currin_source(x: np.ndarray) -> np.ndarray:
    """The cheap source of Currin's function: its mean over four points near by."""
    a, b = x[:, 0], x[:, 1]
    low = np.maximum(b - 0.05, 0.0)
    corners = [(a + 0.05, b + 0.05), (a + 0.05, low), (a - 0.05, b + 0.05), (a - 0.05, low)]
    return np.asarray(np.mean([_currin_at(*corner) for corner in corners], axis=0))


BOREHOLE = np.array(
    [[0.05, 0.15], [100, 50000], [63070, 115600], [990, 1110], [63.1, 116], [700, 820], [1120, 1680], [9855, 12045]]
)
"""Ranges of rw, r, Tu, Hu, Tl, Hl, L, Kw."""


def _borehole_at(x: np.ndarray, factor: float, constant: float) -> np.ndarray:
    """The borehole formula with its two constants, ``factor`` (2 pi) and ``constant`` (1)."""
    rw, r, tu, hu, tl, hl, length, kw = (BOREHOLE[:, 0] + x * (BOREHOLE[:, 1] - BOREHOLE[:, 0])).T
    logs = np.log(r / rw)
    return np.asarray(factor * tu * (hu - hl) / (logs * (constant + 2 * length * tu / (logs * rw**2 * kw) + tu / tl)))


def borehole(x: np.ndarray) -> np.ndarray:
    """Flow of water through a borehole, in m^3 per year."""
    return _borehole_at(x, 2 * np.pi, 1.0)


def borehole_source(x: np.ndarray) -> np.ndarray:
    """The cheap source of the borehole function, with 5 and 1.5 in place of 2 pi and 1."""
    return _borehole_at(x, 5.0, 1.5)


PAIRS = (
    Pair("Branin", 2, branin_source, branin, -0.39788735772973816),
    Pair("Currin", 2, currin_source, currin, float(currin(np.array([[13 / 60, 0.0]]))[0])),
    Pair("borehole", 8, borehole_source, borehole, float(borehole(np.array([[1, 0, 1, 1, 1, 0, 0, 1.0]]))[0])),
)
