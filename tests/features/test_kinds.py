"""The kinds of columns are recognised, and what is not clear is refused with a cell and a cure."""

import datetime
import decimal
import sys

import numpy as np
import pandas as pd
import pytest

from bayestl.features.kinds import kind_of, levels_in, numbers_in

RECOGNISED = {
    "numbers": [
        [1, 2, None],
        [decimal.Decimal(1), 2.5],
        pd.array([1, None], dtype="Int64"),
        pd.array([0.5, None], dtype="Float64"),
        np.array([1, 2], dtype=np.int8),
        [True, 2.0],
    ],
    "categories": [
        [True, None, False],
        pd.array([True, None], dtype="boolean"),
        pd.Categorical(["a", "b"]),
        pd.Categorical([1, 2]),
        ["fcc", "bcc", "fcc"],
        pd.array(["fcc", "bcc", "fcc", None], dtype="string"),
        ["Yes", "No", "No", "Yes", ""],  # nobelium, but no yttrium
        ["n", "p", "n", "p"],
    ],
    "formulas": [["GaAs", "ZnO", None], ["Ag", "Au"], ["NaN", "K3N"], ["(NH4)2SO4", "Ga0.3In0.7As"], ["GaAs", "C"]],
    "smiles": [["CCO", "c1ccccc1"], ["[Na+].[Cl-]", "C"]],
}


@pytest.mark.parametrize(("kind", "values"), [(k, v) for k, columns in RECOGNISED.items() for v in columns])
def test_kinds_are_recognised(kind, values):
    assert kind_of(pd.Series(values, name="x")) == kind


@pytest.mark.parametrize(("name", "kind"), [("formula", "formulas"), ("Composition", "formulas"), ("SMILES", "smiles")])
def test_names_of_columns_say_what_their_text_is(name, kind):
    assert kind_of(pd.Series(["CO", "Xx?"], name=name)) == kind
    assert kind_of(pd.Series(["CO", "CO"], dtype="category", name=name)) == kind
    assert kind_of(pd.Series([1.0, 2.0], name=name)) == "numbers"


REFUSED = [
    (["111", "110", "111"], r"holds '111' in row 0, a number as text: .* numbers= or in categories="),
    ([1.0, 2.0, "<5"], r"holds '<5' in row 2, and numbers in other rows: correct it"),
    (["1.5", "n/a", "2"], r"holds 'n/a' in row 1, and numbers in other rows: correct it"),
    (["CO", "CN"], r"holds 'CO' in row 0, a formula and also a SMILES string.* formulas=, smiles= or categories="),
    (["a b", "c d", "e f"], r"holds 'a b' in row 0, one of 3 texts in 3 rows"),
    (["GaAs", "ZnO", "NaCl", "glass?"], r"holds 'glass\?' in row 3, one of 4 texts in 4 rows"),
    (["2021-03-01", "2021-03-02"], r"holds '2021-03-01' in row 0.*, a date or a duration: give it as a number"),
    (["1.3.2021", "1.3.2021"], r"holds '1.3.2021' in row 0.*, a date or a duration: give it as a number"),
    (pd.to_datetime(["2021", "2022"]), r"holds Timestamp.* in row 0.*, a date or a duration: .* days since"),
    ([None, datetime.date(2021, 3, 1)], r"holds datetime.date.* in row 1, a date or a duration"),
    (pd.to_timedelta([1, 2]), r"a date or a duration"),
    ([[1], [2]], r"holds \[1\] in row 0 .also .2. in row 1., which is neither a number nor text: drop the column"),
    ([None, np.nan], r"column 'x' is empty: drop it"),
    (["", " "], r"column 'x' is empty: drop it"),
    ([f"level {i // 2}" for i in range(200)], r"holds 'level 0' in row 0, one of 100 texts in 200 rows"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_what_is_not_clear_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        kind_of(pd.Series(values, name="x"))


def test_categories_need_no_package_and_formulas_name_theirs(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymatgen.core", None)
    monkeypatch.setitem(sys.modules, "rdkit", None)
    assert kind_of(pd.Series(["fcc", "bcc", "fcc", "bcc"], name="x")) == "categories"
    with pytest.raises(ImportError, match=r"pip install 'bayestl\[materials\]'"):
        kind_of(pd.Series(["GaAs", "ZnO"], name="x"))


def test_numbers_are_read():
    column = pd.Series([decimal.Decimal("1.5"), None, True, pd.NA, "2e3", " "], dtype=object)
    np.testing.assert_array_equal(numbers_in(column), [1.5, np.nan, 1.0, np.nan, 2000.0, np.nan])
    for dtype in ("Int64", "Float64", "boolean", "float32"):
        np.testing.assert_array_equal(numbers_in(pd.Series([1, None], dtype=dtype)), [1.0, np.nan])
    for values, message in [
        (["1", "iron"], "holds 'iron' in row 'b', which is not a number"),
        (np.array([1.0, 2j], dtype=object), r"holds 2j in row 'b', which is not a number"),
        ([1.0, np.inf], "holds inf in row 'b', which is not finite"),
        (pd.to_datetime(["2021", "2022"]), "in row 'a'.*, a date or a duration"),
    ]:
        with pytest.raises(ValueError, match=message):
            numbers_in(pd.Series(values, index=["a", "b"], name="x"))


def test_a_level_has_one_spelling():
    for values in ([111, 110], [111.0, 110.0], ["111", "110"], pd.Categorical([111, 110])):
        assert levels_in(pd.Series(values)).tolist() == ["111", "110"]
    assert levels_in(pd.Series([True, False, None], dtype="boolean"))[:2].tolist() == ["True", "False"]
    assert levels_in(pd.Series([1.5, None, " "]))[1:].isna().all()
