"""Formulas are read as they are meant, or refused; none is misread."""

import csv
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayestl.features import (
    CompositionFeatures,
    FormulaError,
    TableFeatures,
    element_amounts,
    parse_formulas,
    reduced_formula,
)
from bayestl.features.formula import fault_of, formula_text
from bayestl.features.formula.elements import SYMBOLS

TEXT = Path(__file__).with_name("formulas.csv").read_bytes().decode()
CORPUS = list(csv.reader(TEXT.splitlines(keepends=True)))[1:]
"""A formula, its amounts (``Fe2 O3``) or ``refused``, and words of the reason."""


def amounts_in(text):
    """Amounts of a plain list of elements."""
    return {match[1]: float(match[2] or 1) for match in re.finditer(r"([A-Z][a-z]?)([\d.]*)", text)}


def agree(amounts, expected):
    return amounts == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("formula", "expected", "words"), CORPUS, ids=[ascii(row[0]) for row in CORPUS])
def test_the_corpus_is_read_or_refused(formula, expected, words):
    if expected != "refused":
        assert agree(element_amounts(formula), amounts_in(expected))
        return
    with pytest.raises(FormulaError) as caught:
        element_amounts(formula)
    assert str(caught.value).startswith(f"{formula!r} is not read as a formula: ")
    assert words in str(caught.value)


def test_the_corpus_is_large():
    refused = sum(row[1] == "refused" for row in CORPUS)
    assert len(CORPUS) - refused > 200
    assert refused > 200


PLAIN = [
    "Fe2O3",
    "GaAs",
    "CuSO4",
    "Ca(OH)2",
    "K4[Fe(CN)6]",
    "Al2(SO4)3",
    "Na12Cl3",
    "Ga0.3In0.7As",
    "Zn(NO3)2",
    "C12H22O11",
]


def scripts(pattern):
    """A mark that writes each number after an element or bracket in another way."""
    return lambda text: re.sub(r"(?<=[A-Za-z)\]])\d+(\.\d+)?", lambda m: pattern(m[0]), text)


SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
WIDE = {ord(c): chr(ord(c) + 0xFEE0) for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789()[]"}
MARKS = {
    "unicode subscripts": scripts(lambda n: n.translate(SUBSCRIPTS)),
    "html": scripts(lambda n: f"<sub>{n}</sub>"),
    "LaTeX": scripts(lambda n: f"_{{{n}}}"),
    "LaTeX without braces": scripts(lambda n: f"_{n}"),
    "LaTeX in dollars": scripts(lambda n: f"$_{{{n}}}$"),
    "roman LaTeX": lambda text: rf"$\mathrm{{{scripts(lambda n: f'_{{{n}}}')(text)}}}$",
    "chemical LaTeX": lambda text: rf"\ce{{{text}}}",
    "wide letters": lambda text: text.translate(WIDE),
    "spaces around": lambda text: f"  {text}\t",
    "spaces after numbers": lambda text: re.sub(r"(?<=\d)(?=[A-Z(\[])", " ", text),
    "spaces that do not break": lambda text: re.sub(r"(?<=\d)(?=[A-Z(\[])", "\u00a0", text),
    "no width": lambda text: "\u200b".join(text),
    "byte order mark": lambda text: "\ufeff" + text,
    "brackets": lambda text: f"({text})",
    "square brackets": lambda text: f"[{text}]",
    "braces": lambda text: f"{{{text}}}",
    "solid": lambda text: f"{text}(s)",
    "solid with a space": lambda text: f"{text} (s)",
    "solution": lambda text: f"{text}(aq)",
    "charge in LaTeX": lambda text: f"{text}^{{2-}}",
    "charge above": lambda text: f"{text}²⁻",
    "charge behind a space": lambda text: f"{text} 3+",
    "charge in html": lambda text: f"{text}<sup>2+</sup>",
    "charge of a bracket": lambda text: f"[{text}]4-",
    "two signs": lambda text: f"{text}--",
    "oxidation state": lambda text: re.sub("^([A-Z][a-z]?)", r"\1(III)", text),
    "oxidation state of both kinds": lambda text: re.sub("^([A-Z][a-z]?)", r"\1(II,III)", text),
    "oxidation state above": lambda text: re.sub("^([A-Z][a-z]?)", r"\1^{3+}", text),
    "factor of one": lambda text: f"1{text}",
}


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("plain", PLAIN)
def test_a_mark_changes_no_amount(plain, mark):
    text = MARKS[mark](plain)
    if mark == "LaTeX without braces" and text.count("_") == 1:
        with pytest.raises(FormulaError, match="may be a subscript or the number of a sample"):
            element_amounts(text)
        return
    assert agree(element_amounts(text), element_amounts(plain))


DOTS = ["·", "•", "∙", "⋅", "*", "×", "・", "&middot;", "\\cdot ", " . ", ". ", " x "]


@pytest.mark.parametrize("dot", [*DOTS, *(f" {dot} " for dot in DOTS[:7])])
@pytest.mark.parametrize("water", ["H2O", "5H2O", "5 H2O", "12H2O", "0.5H2O", "1/2H2O", "5(H2O)", "5H₂O", "5D2O"])
@pytest.mark.parametrize("salt", ["CuSO4", "Zn(NO3)2", "NaCl", "Ga0.3In0.7Cl3", "CuSO₄"])
def test_water_of_crystallisation_is_counted(salt, water, dot):
    if dot == " x " and not water[0].isdigit():
        with pytest.raises(FormulaError, match="'x' is a variable"):
            element_amounts(f"{salt}{dot}{water}")
        return
    number = re.match(r"[\d./]*", water)[0]
    n = 1.0 if not number else 0.5 if "/" in number else float(number)
    expected = element_amounts(salt)
    expected["H"], expected["O"] = 2 * n, expected.get("O", 0.0) + n
    assert agree(element_amounts(f"{salt}{dot}{water}"), expected)


@pytest.mark.parametrize("n", ["", "2", "3", "5", "6", "7", "10", "12", "0.5"])
@pytest.mark.parametrize("salt", ["CuSO4", "Zn(NO3)2", "NaCl", "KAl(SO4)2", "[Cu(NH3)4]Cl2", "CuSO₄"])
def test_a_point_before_water_is_no_decimal(salt, n):
    expected, of_water = element_amounts(salt), float(n or 1)
    expected["H"] = expected.get("H", 0.0) + 2 * of_water
    expected["O"] = expected.get("O", 0.0) + of_water
    assert agree(element_amounts(f"{salt}.{n}H2O"), expected)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_written_is_read(data):
    """Units, brackets and factors of any elements; the amounts by a second count."""
    symbols = st.sampled_from([s for s in SYMBOLS if s not in ("I", "V")])
    numbers = st.sampled_from([1, 2, 3, 12, 0.5, 0.25])

    def group(depth):
        text, amounts = "", {}
        for k in range(data.draw(st.integers(1, 3))):
            n = data.draw(numbers)
            if depth < 2 and data.draw(st.booleans()):
                inner, held = group(depth + 1)
                opened, closed = data.draw(st.sampled_from(["()", "[]", "{}"]))
                text += f"{opened}{inner}{closed}"
            else:
                symbol = data.draw(symbols)
                held = {symbol: 1.0}
                text += " " * (k > 0) + symbol
            text += "" if n == 1 else str(n)
            for symbol, amount in held.items():
                amounts[symbol] = amounts.get(symbol, 0.0) + n * amount
        return text, amounts

    text, amounts = group(0)
    fault = fault_of(text)
    if fault:  # what could be a misprint
        assert re.search("two formulas|oxygen|carbonate|abbreviated|two elements", fault), text
        return
    assert agree(element_amounts(text), amounts), text


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("FeOCSINaHx0123456789.()[]{}·-+ ^_$<>/,²₃⁺αsubIV\u00a0*@½\\"), max_size=12))
def test_whatever_is_written_is_read_or_refused(text):
    try:
        amounts = element_amounts(text)
    except FormulaError:
        return
    assert amounts
    assert all(0 < amount <= 1e40 for amount in amounts.values())
    assert set(amounts) <= set(SYMBOLS)
    assert agree(element_amounts(formula_text(amounts)), amounts) or max(amounts.values()) > 1e6


def formulas_of_tables(folder):
    names = ["expt_formation_enthalpy", "expt_formation_enthalpy_kingsbury", "expt_gap", "mp_gap"]
    columns = [pd.read_csv(folder / f"{name}.csv", keep_default_na=False)["formula"] for name in names]
    roost = {"roost-mp-formation": "composition", "roost-mp-irbandgaps": "pretty_formula"}
    columns += [pd.read_csv(folder / f"{file}.csv", keep_default_na=False)[name] for file, name in roost.items()]
    columns.append(pd.Series(list(json.loads((folder / "SCAN_Hs_from_npj.json").read_text()))))
    with zipfile.ZipFile(folder / "band_gap_jpcrd_transformed-pif-onlyRef.json.zip") as archive:
        records = json.loads(archive.read(next(n for n in archive.namelist() if n.endswith(".json"))))
    columns.append(pd.Series([record["chemicalFormula"] for record in records]))
    return sorted(set(pd.concat(columns)))


@pytest.mark.parametrize("step", [97, pytest.param(1, marks=pytest.mark.slow)])
def test_the_formulas_of_the_real_tables_are_those_that_pymatgen_reads(data_folder, step):
    composition = pytest.importorskip("pymatgen.core").Composition
    formulas = formulas_of_tables(data_folder)
    assert len(formulas) == 176045
    for formula in formulas[::step]:
        if formula == "In1p1":  # the one that neither reads
            continue
        expected = dict(composition(formula).get_el_amt_dict())
        assert element_amounts(formula) == expected
        assert list(element_amounts(formula)) == list(expected)


BAD = ["Xx2", "nacl", "La1-xSrxMnO3", "CuSO4 5H2O", "Fe-18Cr-8Ni"]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_all_bad_cells_are_counted_and_three_are_shown(n, named):
    pytest.importorskip("pymatgen.core")
    cells = ["GaAs", *BAD[:n], "ZnO", *BAD[:n]]  # the same ones again
    table = pd.DataFrame({"formula": cells}, index=[f"sample {k}" for k in range(len(cells))] if named else None)
    with pytest.raises(FormulaError) as caught:
        CompositionFeatures(memory=None).fit(table)
    message = str(caught.value)
    rows = [1, *range(2, n + 1), *range(n + 2, len(cells))]
    for k in rows[:3]:
        assert f"{cells[k]!r} in row {table.index.tolist()[k]!r}, which is" in message
    assert message.startswith("column 'formula' holds 'Xx2' in row")
    assert message.count(", which is not a chemical formula") == min(2 * n, 3)
    assert (f"; {2 * n - 3} more" in message) == (2 * n > 3)


def test_words_that_mean_nothing_elsewhere_are_formulas_and_empty_cells_are_not():
    pytest.importorskip("matminer")
    table = pd.DataFrame({"formula": ["NaN", "NO", None, np.nan, pd.NA, "", " "]})
    out = CompositionFeatures(["fractions"], drop_constant=False, allow_missing=True, memory=None).fit_transform(table)
    np.testing.assert_allclose(out.loc[:1, ["Na", "N", "O"]], [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    assert out.loc[2:].isna().all(axis=None)


def test_hydrates_oxidation_states_and_deuterium_have_their_features():
    pytest.importorskip("matminer")
    cells = ["CuSO4.5H2O", "Fe(III)2O3", "D2O", "CuSO4"]
    out = CompositionFeatures(["fractions"], memory=None).fit_transform(cells)
    assert out.loc[0, "O"] == pytest.approx(9 / 21)
    assert out.loc[1, "Fe"] == pytest.approx(0.4)
    assert out.loc[2, "H"] == pytest.approx(2 / 3)
    assert reduced_formula("Zn(NO3)2.6H2O") == reduced_formula("ZnN2O12H12")


def test_compositions_as_cells(tmp_path):
    composition = pytest.importorskip("pymatgen.core").Composition
    pytest.importorskip("matminer")
    text = ["Fe2O3", "CuSO4"]
    cells = [composition("Fe2O3"), composition({"Cu2+": 1, "S6+": 1, "O2-": 4})]
    expected = CompositionFeatures(memory=None).fit_transform(text)
    pd.testing.assert_frame_equal(CompositionFeatures(memory=tmp_path).fit_transform(cells), expected)
    assert parse_formulas(pd.Series(cells)) == parse_formulas(pd.Series(text))
    table = pd.DataFrame({"alloy": [*cells, None], "z": [1.0, 2.0, 3.0]})
    assert TableFeatures(presets=["fractions"], memory=None).fit(table).kinds_["alloy"] == "formulas"
    close = [composition({"Fe": 1.0, "O": 1.0 + delta}) for delta in (0.0, 1e-9)]
    assert str(close[0]) == str(close[1])
    assert formula_text(close[0]) != formula_text(close[1])  # they are kept apart on disk
    for bad, words in [({"Fe": -1.0}, "amount of Fe is -1.0"), ({"X": 1.0}, "'X'"), ({}, "no element"), (3.0, "float")]:
        with pytest.raises(FormulaError, match=words):
            element_amounts(bad)
        with pytest.raises(FormulaError, match="row 1"):
            parse_formulas(pd.Series(["GaAs", bad], dtype=object))


def test_features_are_computed_anew_when_formulas_are_read_otherwise(tmp_path, monkeypatch):
    pytest.importorskip("matminer")
    features = CompositionFeatures(["stoichiometry"], memory=tmp_path)
    features.fit(["GaAs", "ZnO"])
    features.fit(["GaAs", "ZnO"])
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(CompositionFeatures, "modules", (csv,))
    features.fit(["GaAs", "ZnO"])
    assert len(list(tmp_path.iterdir())) == 2
