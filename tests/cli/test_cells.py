"""Odd cells: what is a number, what an empty cell, what is refused, by the use of a column, and where it is said to be."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayestl as btl
from bayestl.cli.labels import read_labels
from bayestl.cli.reading import Reading, read
from bayestl.cli.reading.numbers import MISSING, is_missing, number, numbers, shape
from bayestl.table.names import spelled

THOUSANDS, SIGN = "without thousands separators", "--decimal"
ODD = {
    "1.234,5": THOUSANDS, "1,234.5": THOUSANDS, "1.234.567": THOUSANDS, "1,234,567": THOUSANDS, "1'234": THOUSANDS,
    "1 234": THOUSANDS, "1\u00a0234,5": THOUSANDS, "12\u202f345": THOUSANDS, "1,234": THOUSANDS,
    "1,5": SIGN, "0,25": SIGN, "-,5": SIGN, "1,5e3": SIGN,
    "#DIV/0!": "spreadsheet", "#REF!": "spreadsheet", "#VALUE!": "spreadsheet", "#NAME?": "spreadsheet", "#NUM!": "spreadsheet",
    "####": "spreadsheet",
    "1.5±0.2": "--std", "1.5 +/- 0.2": "--std", "1.53(4)": "--std",
    "1.5 eV": "unit", "300K": "unit", "5 %": "unit", "20 °C": "unit", "1e-3 mol": "unit",
    "abc": "correct it", "n.d.": "correct it", "1.5.2": "correct it", "1-2": "correct it", "~3": "correct it",
    "inf": "correct it", "-Infinity": "correct it", "1e999": "too large", "0x10": "unit", "1_000": "correct it",
    "١٢": "correct it", "1d3": "unit", "True": "correct it", "1/2": "correct it", "2^3": "correct it", "1..": "correct it",
    "e5": "correct it", "1e": "unit", "--5": "correct it", "+": "correct it", "x<0.1": "correct it", "k.A.": "correct it",
}  # fmt: skip
GOOD = {
    "1": 1, "-1": -1, "+2.5": 2.5, ".5": 0.5, "5.": 5, "1e-3": 1e-3, "1E5": 1e5, "−3.5": -3.5, "007": 7, " 2 ": 2, "1.234": 1.234,
    "-0": 0, "1e+2": 100, "12345678901234567890": 12345678901234567890.0,
}  # fmt: skip


def table(tmp_path, cells, header="name,x", how=None, say=lambda text: None):
    path = tmp_path / "t.csv"
    rows = [f'm{i},"{cell}"' for i, cell in enumerate(cells)]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return read(path, how or Reading(decimal="."), say)


@pytest.mark.parametrize("cell", ODD)
@pytest.mark.parametrize("others", [["0.5", "2"], ["1", "2", "3"], ["1.5", "", "NA", "2", "2.25", "1e3"]])
def test_what_is_no_number_is_counted_and_shown_with_its_line(tmp_path, cell, others):
    found = table(tmp_path, [*others, cell, *others, cell, cell, cell])
    assert found.kinds["x"] == "mixed"
    with pytest.raises(ValueError, match=r"column 'x' of t\.csv holds") as error:
        found.numbers("x")
    n = len(others)
    places = [n + 2, 2 * n + 3, 2 * n + 4]
    assert ", ".join(f"{cell!r} in line {k}" for k in places) + " and 1 more: no number" in str(error.value)
    assert ODD[cell] in str(error.value)
    with pytest.raises(ValueError, match=r"column 'x' of t\.csv holds"):
        read_labels(found, {"x": None}, evident=True)
    with pytest.raises(ValueError, match=r"column 'x' of t\.csv holds"):
        read_labels(found, {"x": btl.Gaussian()}, evident=True)


@pytest.mark.parametrize("cell", GOOD)
def test_numbers_are_read_exactly(tmp_path, cell):
    assert table(tmp_path, ["0.1", cell]).numbers("x").tolist() == [0.1, GOOD[cell]]


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(".,"))
@settings(max_examples=200, deadline=None)
def test_every_number_that_python_writes_comes_back(value, decimal):
    text = repr(value).replace(".", decimal)
    assert number(text, decimal) == value
    assert number(text.replace("-", "\u2212"), decimal) == value
    assert shape(text) is not None


@given(st.text(alphabet="0123456789.,-+eE '±%", max_size=8))
@settings(max_examples=500, deadline=None)
def test_a_number_is_never_misread(text):
    """What is read is what Python reads, with the decimal sign as a point; anything else is no number."""
    for decimal, other in ((".", ","), (",", ".")):
        value = number(text, decimal)
        if value is not None:
            assert other not in text
            assert value == float(text.replace(decimal, "."))
        np.testing.assert_equal(numbers([text, "1", None], decimal)[:2], [np.nan if is_missing(text) else value, 1.0])


@pytest.mark.parametrize("word", sorted({w.upper() for w in MISSING} | set(MISSING) | {"NaN", "None", ""}))
def test_words_for_empty_are_so_in_numbers_and_text_elsewhere(tmp_path, word):
    said = []
    found = table(tmp_path, ["1.5", word, "2.5"], say=said.append)
    np.testing.assert_array_equal(found.numbers("x"), [1.5, np.nan, 2.5])
    assert found.frame["x"].dtype == float
    assert (f"taken for empty: {word!r} in 'x'" in "".join(said)) == bool(word)
    assert found.text("x").fillna("")[1] == word
    found = table(tmp_path, ["GaAs", word, "ZnO"], say=said.append)
    assert found.frame["x"].fillna("").tolist() == ["GaAs", word, "ZnO"]
    classes = read_labels(found, {"x": None}, evident=True)["x"]
    assert classes.fillna("").tolist() == ["GaAs", word, "ZnO"]


@pytest.mark.parametrize(
    ("limit", "as_read"),
    [
        ("<0.1", "<0.1"),
        ("< 0.1", "<0.1"),
        (">=5", ">5.0"),
        ("1..2", "1.0..2.0"),
        ("0.1 .. .5", "0.1..0.5"),
        ("<1e-3", "<0.001"),
        ("0.5 .. 2", "0.5..2.0"),
    ],
)
def test_limits_point_to_censored(tmp_path, limit, as_read):
    for decimal in ".,":
        cells = [c.replace("..", "§").replace(".", decimal).replace("§", "..") for c in ["0.5", limit, "", "2.25"]]
        found = table(tmp_path, cells, how=Reading(decimal=decimal))
        assert found.kinds["x"] == "limits"
        with pytest.raises(ValueError, match="in line 3: no number; limits are read with --likelihoods x=censored"):
            read_labels(found, {"x": None}, evident=False)
        for labels in (read_labels(found, {"x": None}, True), read_labels(found, {"x": btl.Censored()}, False)):
            assert labels["x"].drop(2).tolist() == [0.5, as_read, 2.25]
        btl.IndependentGP(tasks=[btl.Task("x", btl.Censored())])
    for odd in ("0.1...3", "1...5"):  # is it .3 or 3?
        with pytest.raises(ValueError, match=rf"'{re.escape(odd)}' in line 4: "):
            read_labels(table(tmp_path, ["0.5", limit, odd]), {"x": btl.Censored()}, evident=False)
    found = table(tmp_path, ["0.5", limit, "n.d."])
    with pytest.raises(ValueError, match=r"'n\.d\.' in line 4: neither a number nor a limit"):
        read_labels(found, {"x": btl.Censored()}, evident=False)


@pytest.mark.parametrize(
    ("cells", "kind", "dtype"),
    [
        (["1", "2", "3"], "number", "int64"),
        (["1", "", "3"], "number", "float64"),
        (["1", "2.0", "3"], "number", "float64"),
        (["True", "false", "TRUE"], "truth", "bool"),
        (["True", "", "False"], "truth", "object"),
        (["007", "012", "100"], "text", "object"),
        (["12345678901234567", "1", "2"], "text", "object"),
        (["2024-01-02", "2024-01-03", ""], "date", "object"),
        (["1.2.2024", "3.2.2024", "4.2.2024"], "date", "object"),
        (["a", "b", "1"], "text", "object"),
        (["", "NA", "-"], "empty", "float64"),
        (["1.234,5", "2.345,6", "1.000,0"], "mixed", "object"),
        (["1.5 eV", "2 eV", "3 eV"], "mixed", "object"),
        (["n.d.", "n.d.", "n.d.", "n.d.", "1.5", "2.5", "3"], "mixed", "object"),
        (["2H", "4H", "6H"], "text", "object"),
        (["(111)", "(110)", "(100)"], "text", "object"),
    ],
)
def test_kinds_of_columns(tmp_path, cells, kind, dtype):
    found = table(tmp_path, cells)
    assert found.kinds["x"] == kind
    assert str(found.frame["x"].dtype) == dtype


@pytest.mark.parametrize("top", ["", "# comment\n", "# a\n\n# b\n", "sep=,\n", "\n\n", "title\n\n"])
@pytest.mark.parametrize("skip", [0, 3])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lines_are_those_of_the_file(tmp_path, top, skip, ending):
    text = (
        "x,\n;y\nz\n" * bool(skip)
        + top
        + 'name,"a\nlong\nname",x\nm0,"two\nlines",1\n\nm1,b,odd\n,,\nm2,"b\n\nc",odd\nm3,d,2\n'
    )
    path = tmp_path / "t.csv"
    path.write_bytes(text.replace("\n", ending).encode())
    found = read(path, Reading(skip_rows=skip))
    lines = text.split("\n")
    expected = [i for i, line in enumerate(lines, start=1) if line.startswith(("m0", "m1", "m2", "m3"))]
    assert found.places.tolist() == expected
    assert found.columns == ["name", "a long name", "x"]
    with pytest.raises(ValueError, match="no number") as error:
        found.numbers("x")
    assert f"'odd' in line {expected[1]}, 'odd' in line {expected[2]}: no number" in str(error.value)


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        ((100, 100.0, "100", "100.0", "100.00", np.int64(100), np.float64(100)), "100"),
        ((1.5, "1.5"), "1.5"),
        (("007",), "007"),
        ((True, "True"), "True"),
        (("1e2",), "1e2"),
        (("v1.0",), "v1.0"),
        (("-3.0", -3), "-3"),
        ((None, "", np.nan, pd.NaT), None),
    ],
)
def test_a_name_has_one_spelling(cells, text):
    assert {spelled(cell) for cell in cells} == {text}


@pytest.mark.parametrize("classes", [(0, 1), (0.0, 1.0), ("0", "1"), (False, True)])
@pytest.mark.parametrize("odd", ["", "maybe"])
def test_classes_are_known_by_their_spelling(tmp_path, classes, odd):
    likelihood = btl.Bernoulli(classes)
    cells = [str(classes[1]), str(classes[0]), odd]
    found = table(tmp_path, cells)
    if odd:
        with pytest.raises(ValueError, match="'maybe' in line 4: none of the classes"):
            read_labels(found, {"x": likelihood}, evident=False)
    else:
        labels = read_labels(found, {"x": likelihood}, evident=False)["x"]
        assert [type(v) for v in labels[:2]] == [type(c) for c in classes]
        assert labels[:2].tolist() == [classes[1], classes[0]]


def test_a_column_of_few_words_and_some_numbers_is_asked_about(tmp_path):
    found = table(tmp_path, ["n.d."] * 20 + ["1.5", "2.5", "0.1"])
    with pytest.raises(ValueError, match=r"and 17 more: no number; .* or say --likelihoods x=categorical if it holds"):
        read_labels(found, {"x": None}, evident=True)
    assert read_labels(found, {"x": btl.Categorical()}, evident=True)["x"].nunique() == 4


def test_what_pandas_writes_comes_back_exactly(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(2000, 20))).add_prefix("x")
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    pd.testing.assert_frame_equal(read(path).frame, frame, check_exact=True)


@pytest.mark.parametrize(
    ("text", "with_lines"),
    [
        ("holds -1.0 in row 1: correct", "holds -1.0 in row 1 (line 3): correct"),
        ("in row 'b' (position 2) and 1 more", "in row 'b' (line 4) and 1 more"),
        ("row 1 is 'a' in Y", "row 1 (line 3) is 'a' in Y"),
        ("in row 'row 1 (line 3)'", "in row 'row 1 (line 3)'"),
        ("at most row 99 of 3 rows", "at most row 99 of 3 rows"),
    ],
)
def test_errors_of_models_name_the_line_too(tmp_path, text, with_lines):
    found = table(tmp_path, ["1", "2", "3"])
    with pytest.raises(ValueError, match="row") as error, found.located():
        raise ValueError(text)
    assert str(error.value) == with_lines
