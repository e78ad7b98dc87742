"""Another unit or origin of a feature, a label or a standard error carries through to every prediction."""

import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.distributions import Discrete
from laws.cells import LEVELS

UNIT, ORIGIN = 250.0, -70.0
CLOSE = 2e-5
"""The optimiser stops at other roundings of the same numbers."""
DRAWN = 2e-3
"""Stochastic optimisation and resampled draws amplify them."""


def in_units(cell, part):
    """A part of the table with other features and labels, and the unit and origin of each task."""
    units = dict.fromkeys(LEVELS, (1.0, 0.0))
    for name in LEVELS:
        kind = cell.kind if name == "target" or cell.kind.both else None
        if kind is None or kind.unit:
            units[name] = (UNIT, 0.0 if kind is not None and kind.unit == "factor" else ORIGIN)
    other = dict(part)
    other["X"] = part["X"] * [1e3, 0.02] + [5.0, -300.0]
    other["Y"] = pd.DataFrame(
        {k: v if units[k][0] == 1.0 else units[k][0] * v + units[k][1] for k, v in part["Y"].items()}
    )
    if "Y_std" in part:
        other["Y_std"] = pd.DataFrame({k: units[k][0] * v for k, v in part["Y_std"].items()})
    return other, units


@pytest.mark.cells(lambda c: c.spec.refit(c.kind_name))
def test_other_units_carry_through(cell):
    model = cell.fit(**in_units(cell, cell.train)[0])
    (new, units), plain = in_units(cell, cell.new), cell.new
    given = [{"observed": None}, {"observed": "source"}]
    for way in given:
        one, other = (
            {**cell.asked(p), **({"observed": p["Y"][["source"]]} if way["observed"] else {})} for p in (plain, new)
        )
        for noise in (True, False):
            before, after = cell.model.posterior(**one, noise=noise), model.posterior(**other, noise=noise)
            agree(before, after, units, CLOSE if cell.spec.draws is None else DRAWN)
    density, moved = (
        cell.model.log_density(**cell.asked(plain), Y=plain["Y"]),
        model.log_density(**cell.asked(new), Y=new["Y"]),
    )
    for name in LEVELS:
        shift = np.zeros(len(density)) + np.log(units[name][0])
        if cell.kind.atom and (name == "target" or cell.kind.both):
            shift[plain["Y"][name].to_numpy() == 0] = 0.0
        np.testing.assert_allclose(moved[name] + shift, density[name], atol=1e-3)


def agree(one, other, units, close):
    for name in LEVELS:
        unit, origin = units[name]
        if isinstance(one.marginal(name), Discrete):
            np.testing.assert_allclose(other.probabilities(name), one.probabilities(name), atol=1e-4)
            continue
        spread = (unit * one.std[name]).max()
        tolerance = {"rtol": close, "atol": 10 * close * spread}
        np.testing.assert_allclose(other.mean[name], unit * one.mean[name] + origin, **tolerance)
        np.testing.assert_allclose(other.std[name], unit * one.std[name], rtol=10 * close)
        for q in (0.1, 0.6):
            a, b = other.quantile(q)[name], unit * one.quantile(q)[name] + origin
            finite = np.isfinite(b)
            np.testing.assert_allclose(a[finite], b[finite], **tolerance)
            assert (np.isfinite(a) == finite).all()


@pytest.mark.cells(
    lambda c: (
        c.spec.refit(c.kind_name) and c.spec.draws is None and (c.kind.unit == "affine" or c.kind_name == "ordinal")
    )
)
def test_numbers_of_the_other_sign_and_classes_from_the_other_end(cell):
    """Neither is preferred: energies of formation and of decomposition, hardness from hard to soft."""
    classes = ["c", "b", "a"]
    likelihood = btl.Ordinal(classes) if cell.kind_name == "ordinal" else cell.kind.likelihood
    turned = {k: v if v.dtype == object else -v for k, v in cell.train["Y"].items()}
    model = cell.spec.make([btl.Task("target", likelihood)]).fit(**cell.train | {"Y": pd.DataFrame(turned)})
    one, other = (m.posterior(**cell.asked(cell.new)) for m in (cell.model, model))
    for name in LEVELS:
        if isinstance(one.marginal(name), Discrete):
            chances = other.probabilities(name)
            np.testing.assert_allclose(chances[classes[::-1]], one.probabilities(name), atol=4e-3)
        else:
            spread = one.std[name].max()
            np.testing.assert_allclose(-other.mean[name], one.mean[name], atol=0.01 * spread)
            np.testing.assert_allclose(other.std[name], one.std[name], rtol=0.01)
