"""What a label is: its value, the upper end where only an interval is known, and its standard error, in label units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SAME = 1e-13
"""Largest relative difference of two numbers that are the same: the last digits are lost in files."""


def same_number(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two arrays hold the same numbers, as far as programs keep them when they write and read a file."""
    return np.isclose(a, b, rtol=SAME, atol=0.0)


class Measured(NamedTuple):
    """Labels (n, T) of n rows and T tasks, classes as positions; the three numbers of a label travel together."""

    y: np.ndarray
    """The label, or the lower end of its interval (minus infinity where it has none); NaN where there is no label."""
    high: np.ndarray
    """The upper end of its interval (infinity where it has none); equal to ``y`` where the label is one number."""
    se: np.ndarray
    """Its known standard error, 0 where none is known."""

    @classmethod
    def of(cls, y: np.ndarray, se: np.ndarray | None = None) -> Measured:
        """Labels that are one number each."""
        return cls(y, y, np.zeros_like(y) if se is None else se)

    @classmethod
    def none(cls, n: int, n_tasks: int) -> Measured:
        """A table without labels."""
        return cls(np.full((n, n_tasks), np.nan), np.full((n, n_tasks), np.nan), np.zeros((n, n_tasks)))

    @property
    def present(self) -> np.ndarray:
        """Boolean (n, T): where there is a label."""
        return ~np.isnan(self.y)

    @property
    def empty(self) -> bool:
        """Whether there is no label at all."""
        return not self.present.any()

    @property
    def numbers(self) -> np.ndarray:
        """The labels that are one number, (n, T); NaN where only an interval is known."""
        return np.where(self.y == self.high, self.y, np.nan)

    @property
    def centre(self) -> np.ndarray:
        """One number for each label, (n, T): the middle of its interval, or the end that it has."""
        with np.errstate(invalid="ignore"):
            middle = np.where(self.y == self.high, self.y, 0.5 * (self.y + self.high))
        return np.where(np.isinf(self.y), self.high, np.where(np.isinf(self.high), self.y, middle))

    def at(self, rows: np.ndarray) -> Measured:
        """The labels of the rows at the given positions."""
        return Measured(*(v[rows] for v in self))

    def only(self, tasks: list[int]) -> Measured:
        """The labels of the tasks at the given positions."""
        return Measured(*(v[:, tasks] for v in self))

    def task(self, t: int) -> Measured:
        """The labels (n,) of one task."""
        return Measured(*(v[:, t] for v in self))

    def hidden(self, mask: np.ndarray) -> Measured:
        """The labels without those in a mask, which broadcasts to (n, T)."""
        return Measured(np.where(mask, np.nan, self.y), np.where(mask, np.nan, self.high), np.where(mask, 0.0, self.se))

    def where(self, mask: np.ndarray, others: Measured) -> Measured:
        """These labels in a mask, which broadcasts to (n, T), and the others elsewhere."""
        return Measured(*(np.where(mask, a, b) for a, b in zip(self, others, strict=True)))

    def same(self, others: Measured) -> np.ndarray:
        """Boolean (n, T): labels that say the same number or interval as the others (:func:`same_number`)."""
        return same_number(self.y, others.y) & same_number(self.high, others.high)
