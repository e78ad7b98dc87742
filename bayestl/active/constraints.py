"""Limits on how many candidates that contain an element may be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


class ElementLimits:
    """A constraint: at most so many candidates with an element are measured.

    Parameters
    ----------
    most : mapping of str to int
        Number of candidates for each element that is limited.
    formulas : sequence of str, optional
        Formulas of the candidates; needed where any element is limited.
    """

    def __init__(self, most: Mapping[str, int], formulas: Sequence[str] | None) -> None:
        self.most = dict(most)
        self._elements: list[frozenset[str]] = []
        if self.most and formulas is not None:
            from bayestl.features import element_amounts

            self._elements = [frozenset(element_amounts(formula)) for formula in formulas]

    def permits(self, rows: np.ndarray, used: Sequence[int]) -> np.ndarray:
        """Boolean (k,): the rows that may be measured, given the rows ``used`` already, which may be measured again."""
        if not self.most:
            return np.ones(len(rows), dtype=bool)
        counts = {e: sum(e in self._elements[r] for r in used) for e in self.most}
        full = frozenset(e for e, most in self.most.items() if counts[e] >= most)
        taken = set(used)
        return np.array([int(r) in taken or not (self._elements[r] & full) for r in rows])


def check_limits(most: Mapping[str, int], formulas: Sequence[str] | None) -> None:
    """Refuse limits without formulas, for names that are no element, or that are no whole numbers.

    Raises
    ------
    ValueError
        For such a limit, naming it.
    """
    if not most:
        return
    if formulas is None:
        raise ValueError("max_per_element needs formulas=, one for each candidate")
    from pymatgen.core import Element

    for symbol, number in most.items():
        if not Element.is_valid_symbol(symbol):
            raise ValueError(f"max_per_element names {symbol!r}, which is no element")
        if not (isinstance(number, int | np.integer) and number >= 0):
            raise ValueError(f"max_per_element[{symbol!r}] must be a number of candidates, got {number!r}")
