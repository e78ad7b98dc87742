"""Statistics of elements for many compositions at once: the numbers of matminer's own loops."""

import numpy as np
import pandas as pd
import pytest

from bayestl import streams
from bayestl.features import composition, parse_formulas
from bayestl.features.formula.elements import ATOMIC_NUMBER

pytest.importorskip("matminer")

ELEMENTS = [symbol for symbol, number in ATOMIC_NUMBER.items() if number <= 94]


def odd_formulas(n=320):
    """Formulas of one to eight elements, with small, equal, fractional, large and nearly equal amounts."""
    generator = streams.generator(0, "odd formulas")
    texts = []
    for k in range(n):
        size = 1 + k % 8
        kinds = (
            generator.integers(1, 3, size),
            np.ones(size),
            generator.uniform(1e-4, 1.0, size).round(5),
            generator.integers(1, 100, size),
            1.0 + 1e-5 * generator.integers(0, 3, size),
        )
        chosen = generator.choice(ELEMENTS, size, replace=False)
        amounts = kinds[(k // 8) % len(kinds)].tolist()
        texts.append("".join(f"{e}{a:.6g}" for e, a in zip(chosen, amounts, strict=True)))
    return pd.Series(texts, name="formula")


@pytest.mark.parametrize("preset", ["magpie", "deml", "matminer"])
def test_statistics_are_those_of_matminer(preset):
    compositions = parse_formulas(odd_formulas())
    with composition._imputed_silently():
        featurizer = composition._featurizer(preset)
        expected = np.array([featurizer.featurize(c) for c in compositions], dtype=float)
    assert set(featurizer.stats) <= set(composition.STATISTICS)
    found = composition._featurize([preset], compositions)
    assert (np.abs(found - expected) <= 1e-10 * np.abs(expected).max(0)).all()
