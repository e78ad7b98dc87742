"""Features of a formula unit that averages over elements do not tell: its electrons, and whether its charges balance.

A crystal whose formula unit has an odd number of electrons is a metal, unless it is magnetic; compounds of which common
oxidation states add up to zero, or whose anions have eight electrons, are mostly no metals (Mooser, Pearson 1956, *The
chemical bond in semiconductors*).  The oxidation states and electronegativities are those of pymatgen.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

UNITS = np.arange(1, 21)[:, None]
"""Multiples of the least amount among which a formula unit with whole numbers of atoms is sought."""
ROUNDING = 0.02
"""Error of an amount in a formula unit."""
MOST = 4096
"""Assignments of oxidation states that are compared; with more, the elements there is least of keep their first state."""
BALANCED = 0.01
"""Mean charge of an atom up to which charges balance: amounts of alloys are rounded."""
NONE = 9.0
"""Electrons that anions lack where there are none."""
STATES = ("common", "found")
"""Lists of oxidation states: those that are common, and those found in the Inorganic Crystal Structure Database."""
UNIT = ("atoms per unit", "odd electrons", "odd valence electrons", "whole unit", "number of elements")
VALENCE = (
    "valence electrons per atom",
    "valence electrons per p atom",
    "electrons beyond all octets",
    "electrons beyond the octet of the anion",
    "fraction of p atoms",
    "fraction of d and f atoms",
)
CHARGES = (
    "lowest charge per atom",
    "highest charge per atom",
    "imbalance",
    "balanced assignments",
    "electronegativity difference of charges",
    "highest charge",
    "lowest charge",
    "mean absolute charge",
    "highest charge of d and f atoms",
    "d electrons",
    "lone pairs",
)


class _Element(NamedTuple):
    number: int
    valence: int
    """Electrons outside closed shells, by the group; 3 for lanthanides and actinides, whose f electrons are bound."""
    lacks: int
    """Electrons to the next closed shell, zero for those that do not become anions."""
    electronegativity: float
    is_p: bool
    """Groups 14 to 18, hydrogen and boron: those that may be anions."""
    is_d: bool
    states: tuple[tuple[int, ...], ...]
    """Oxidation states by :data:`STATES`."""


@cache
def _element(element: Any) -> _Element:
    is_f = element.is_lanthanoid or element.is_actinoid
    valence = 3 if is_f else element.group - 10 if element.group >= 13 else element.group
    is_p = element.group >= 14 or element.Z in (1, 5)
    lacks = 1 if element.Z == 1 else 8 - valence
    common = tuple(map(int, element.common_oxidation_states)) or (0,)
    found = tuple(map(int, element.icsd_oxidation_states)) or common
    known = 1.5 if np.isnan(element.X) else float(element.X)
    is_d = is_f or element.is_transition_metal
    return _Element(element.Z, valence, lacks if is_p else 0, known, is_p, is_d, (common, found))


class ChargeBalance:
    """Counts of electrons and charges of one composition, in the manner of a matminer featurizer."""

    def feature_labels(self) -> list[str]:
        """Names of the features."""
        return [*UNIT, *VALENCE, *(f"{name}, {states} states" for states in STATES for name in CHARGES)]

    def featurize(self, composition: Any) -> list[float]:
        """The features of a composition; they are the same for any number of formula units."""
        items = sorted((_element(e), amount) for e, amount in composition.element_composition.items())
        elements, amounts = [e for e, _ in items], np.array([amount for _, amount in items], dtype=float)
        shares = amounts / amounts.sum()
        features = [*_unit(elements, amounts), *_valence(elements, shares)]
        for k in range(len(STATES)):
            features += _charges(elements, shares, [e.states[k] for e in elements])
        return [float(value) for value in features]


def _unit(elements: list[_Element], amounts: np.ndarray) -> list[float]:
    """Numbers by :data:`UNIT`; half an odd electron where no small unit has whole numbers of atoms."""
    multiples = UNITS * (amounts / amounts.min())
    is_whole = (np.abs(multiples - multiples.round()) < ROUNDING).all(axis=1)
    if not is_whole.any():
        return [0.0, 0.5, 0.5, 0.0, len(elements)]
    unit = multiples[is_whole.argmax()].round()
    electrons, valence = (unit @ [getattr(e, name) for e in elements] for name in ("number", "valence"))
    return [unit.sum(), electrons % 2, valence % 2, 1.0, len(elements)]


def _valence(elements: list[_Element], shares: np.ndarray) -> list[float]:
    """Numbers by :data:`VALENCE`."""
    valence, lacks, x, is_p, is_d = np.array(
        [[e.valence, e.lacks, e.electronegativity, e.is_p, e.is_d] for e in elements]
    ).T
    total, p = shares @ valence, shares @ is_p
    beyond = shares @ np.where(is_p > 0, -lacks, valence) if p > 0 else NONE
    of_anion = shares @ np.where(x == x.max(), -lacks, valence)
    return [total, total / p if p > 0 else 0.0, beyond, of_anion, p, shares @ is_d]


def _charges(elements: list[_Element], shares: np.ndarray, states: list[tuple[int, ...]]) -> list[float]:
    """Numbers by :data:`CHARGES`, of the assignment of states that is nearest to balance.

    Of several, the one whose negative charges are at the elements of the highest electronegativity.
    """
    lowest, highest = (shares @ [of(s) for s in states] for of in (min, max))
    allowed = list(states)
    for i in np.argsort(shares.round(6), kind="stable"):
        if math.prod(map(len, allowed)) <= MOST:
            break
        allowed[i] = allowed[i][:1]
    assigned = np.array(list(product(*allowed)), dtype=float)
    imbalance = np.maximum(np.abs(assigned @ shares), BALANCED).round(6)
    moved = -(assigned @ (shares * [e.electronegativity for e in elements])).round(6)
    best = np.lexsort((-moved, imbalance))[0]
    charge = assigned[best]
    at = list(zip(elements, shares, charge, strict=True))
    return [
        lowest,
        highest,
        imbalance[best] - BALANCED,
        (imbalance <= BALANCED).sum(),
        moved[best],
        charge.max(),
        charge.min(),
        shares @ np.abs(charge),
        max((q for e, _, q in at if e.is_d), default=0.0),
        sum(share * max(e.valence - q, 0.0) for e, share, q in at if e.is_d),
        sum(share for e, share, q in at if e.is_p and q == e.valence - 2),
    ]
