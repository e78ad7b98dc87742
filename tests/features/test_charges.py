"""Electrons and charges of a formula unit: the same in every spelling, and what the chemist counts by hand."""

import numpy as np
import pandas as pd
import pytest

from bayestl import streams
from bayestl.features import CompositionFeatures
from bayestl.features.charges import BALANCED, MOST, ChargeBalance
from bayestl.features.formula.elements import ATOMIC_NUMBER

pytest.importorskip("matminer")

ELEMENTS = list(ATOMIC_NUMBER)


def counted(formulas):
    features = CompositionFeatures(["charges"], drop_constant=False, memory=None, verbose=False)
    return features.fit_transform(pd.DataFrame({"formula": list(formulas)}))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 30])
def test_order_and_number_of_units_do_not_matter_and_every_element_has_numbers(size):
    generator = streams.generator(size, "formulas")
    formulas, same = [], []
    for _ in range(30):
        chosen = generator.choice(ELEMENTS, size, replace=False)
        amounts = generator.integers(1, 7, size)
        formulas.append("".join(f"{e}{a}" for e, a in zip(chosen, amounts, strict=True)))
        order, factor = generator.permutation(size), generator.choice([0.125, 2, 3])
        same.append("".join(f"{e}{a * factor:g}" for e, a in zip(chosen[order], amounts[order], strict=True)))
    numbers = counted(formulas)
    assert np.isfinite(numbers).all(axis=None)
    np.testing.assert_allclose(counted(same), numbers, atol=1e-9)


@pytest.mark.parametrize(
    ("formula", "feature", "expected"),
    [
        ("AlB2", "odd electrons", 1),  # 13 + 2 * 5
        ("GaAs", "odd electrons", 0),
        ("Ga0.5As0.5", "atoms per unit", 2),
        ("Al0.123B0.877", "odd electrons", 0.5),  # no small unit with whole numbers of atoms
        ("GaAs", "valence electrons per atom", 4),
        ("GaAs", "electrons beyond all octets", 0),
        ("CuZn", "electrons beyond all octets", 9),  # nothing that takes electrons
        ("Mg3N2", "electrons beyond the octet of the anion", 0),
        ("NaCl", "imbalance, common states", 0),
        ("NaCl2", "imbalance, common states", 1 / 3 - BALANCED),
        ("PbO", "lone pairs, common states", 0.5),
        ("PbO2", "lone pairs, common states", 0),
        ("MnO", "d electrons, common states", 2.5),  # d5 on half of the atoms
        ("TiO2", "d electrons, common states", 0),
        ("TiO2", "highest charge of d and f atoms, common states", 4),
        ("SiC", "lowest charge, common states", -4),  # at carbon, the more electronegative
    ],
)
def test_counts_by_hand(formula, feature, expected):
    assert counted([formula])[feature].iloc[0] == pytest.approx(expected, abs=1e-6)


def test_many_elements_take_no_time():
    formula = "".join(ELEMENTS[:90])
    assert np.isfinite(counted([formula])).all(axis=None)
    assert len(ChargeBalance().feature_labels()) == len(set(ChargeBalance().feature_labels()))
    assert MOST < 10_000
