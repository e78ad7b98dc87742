"""Excel, Parquet and packed files: what is read, what is refused, and that what is written comes back."""

import datetime

import numpy as np
import pandas as pd
import pytest

from bayestl.cli.features import Inputs
from bayestl.cli.outputs import write
from bayestl.cli.reading import Reading, check_suffix, read

openpyxl = pytest.importorskip("openpyxl")
COLUMNS = {
    "formula": ["GaAs", "NaN", "NO"],
    "T": [300, 310, 320],
    "gap": [1.42, None, 0.1 + 0.2],
    "ok": [True, False, True],
}


def workbook(path, sheets, change=lambda book: None):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        page = book.create_sheet(name)
        for row in rows:
            page.append(row)
    change(book)
    book.save(path)
    return path


def rows():
    return [list(COLUMNS), *map(list, zip(*COLUMNS.values(), strict=True))]


@pytest.mark.parametrize(
    "suffix", [".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".xlsx", ".parquet", ".pq", ".CSV", ".XLSX"]
)
def test_what_is_written_comes_back(tmp_path, suffix):
    frame = pd.DataFrame(COLUMNS).assign(text=["=1+1", 'a "b", c', "line\nbreak"], tiny=[1e-300, np.pi, -0.1])
    path = tmp_path / f"t{suffix}"
    write(frame, path)
    table = read(path)
    rtol = 1e-15 if suffix.lower() == ".xlsx" else 0.0  # Excel keeps that many digits
    pd.testing.assert_frame_equal(table.frame, frame.astype({"gap": float}), rtol=rtol, atol=0.0)
    is_excel, is_packed = path.read_bytes()[:2] == b"PK", path.read_bytes()[:2] == b"\x1f\x8b"
    assert is_excel == (suffix.lower() == ".xlsx")
    assert is_packed == suffix.endswith(".gz")


@pytest.mark.parametrize(
    "name", ["t.xls", "t.ods", "t", "t.json", "t.xlsx.gz", "t.parquet.gz", "t.gz", "t.html", "csv"]
)
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="choose one of these suffixes"):
        write(pd.DataFrame(COLUMNS), tmp_path / name)
    assert not (tmp_path / name).exists()
    check_suffix(tmp_path / "t.csv")


def test_a_sheet_with_title_blank_rows_and_blank_columns(tmp_path):
    above = [[], ["Band gaps 2024"], []]
    sheet = [*above, *rows(), [], *[[*row, None, None] for row in rows()[1:]]]
    said = []
    table = read(workbook(tmp_path / "t.xlsx", {"data": sheet, "empty": []}), say=said.append)
    assert table.places.tolist() == [5, 6, 7, 9, 10, 11]
    assert table.columns == list(COLUMNS)
    assert table.kinds == {"formula": "text", "T": "number", "gap": "number", "ok": "truth"}
    assert "sheet 'data'" in said[0]
    assert "row 2 is a title" in said[0]


@pytest.mark.parametrize("n_blank", [0, 1, 2])
@pytest.mark.parametrize("write_as", ["xlsx", "csv"])
def test_a_title_above_a_row_of_units_is_told(tmp_path, n_blank, write_as):
    """The names are found; the units are refused where numbers are wanted, not the names."""
    sheet = [["Moduli of oxides"], *[[]] * n_blank, ["compound", "T", "K"], [None, "°C", "GPa"], ["MgO", 900, 148.2]]
    path = tmp_path / f"t.{write_as}"
    if write_as == "csv":
        path.write_text("".join(",".join("" if c is None else str(c) for c in row) + "\n" for row in sheet))
    else:
        workbook(path, {"s": sheet})
    said = []
    assert read(path, say=said.append).columns == ["compound", "T", "K"]
    assert "is a title" in " ".join(said)


def test_hidden_rows_are_said(tmp_path):
    def hide(book):
        book["s"].row_dimensions[3].hidden = True

    said = []
    assert len(read(workbook(tmp_path / "t.xlsx", {"s": rows()}, hide), say=said.append)) == 3
    assert said == ["t.xlsx: 1 hidden rows are read too"]


def test_several_sheets_need_a_name(tmp_path):
    path = workbook(tmp_path / "t.xlsx", {"first": rows(), "second": [["a"], [1]], "empty": []})
    with pytest.raises(ValueError, match=r"2 sheets with data, \['first', 'second'\]: name one with --sheet"):
        read(path)
    assert read(path, Reading(sheet="second")).columns == ["a"]
    assert read(path, Reading(sheet="1")).columns == list(COLUMNS)
    with pytest.raises(ValueError, match="no sheet 'third'; its sheets are"):
        read(path, Reading(sheet="third"))
    with pytest.raises(ValueError, match=r"--sep is not for .*, an Excel file"):
        read(path, Reading(sep=";"))
    with pytest.raises(ValueError, match="has no rows"):
        read(path, Reading(sheet="empty"))


def test_text_with_decimal_commas_in_a_sheet(tmp_path):
    path = workbook(tmp_path / "t.xlsx", {"s": [["a", "b"], ["1,5", 2], ["2,25", 3.5], [3, "NA"]]})
    said = []
    table = read(path, say=said.append)
    assert table.frame["a"].tolist() == [1.5, 2.25, 3.0]
    assert "decimal commas" in said[0]
    assert table.frame["b"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize("where", ["A1:B1", "A3:A4", "B2:C2"])
def test_merged_cells_are_refused(tmp_path, where):
    path = workbook(tmp_path / "t.xlsx", {"s": rows()}, lambda book: book["s"].merge_cells(where))
    with pytest.raises(ValueError, match=f"the cells {where} of sheet 's' are merged: .* --skip-rows"):
        read(path)


def test_merged_cells_above_the_header_may_be_skipped(tmp_path):
    above = [["DFT", None, "measured", None]]
    path = workbook(tmp_path / "t.xlsx", {"s": above + rows()}, lambda book: book["s"].merge_cells("A1:B1"))
    with pytest.raises(ValueError, match="merged"):
        read(path)
    assert read(path, Reading(skip_rows=1)).columns == list(COLUMNS)


@pytest.mark.parametrize("error", ["#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#N/A"])
def test_errors_of_a_spreadsheet(tmp_path, error):
    path = workbook(tmp_path / "t.xlsx", {"s": [["x"], [1.5], [error], [2.5]]})
    table = read(path)
    if error == "#N/A":  # not available
        assert table.numbers("x").isna().tolist() == [False, True, False]
    else:
        with pytest.raises(ValueError, match=r"in row 3: no number; an error of the spreadsheet"):
            table.numbers("x")


def test_a_formula_without_a_value_is_refused(tmp_path):
    path = workbook(tmp_path / "t.xlsx", {"s": [["x", "y"], [1.5, "=A2*2"]]})
    with pytest.raises(ValueError, match="cell B2 of sheet 's' has a formula without a value: open and save"):
        read(path)


def test_dates_times_and_ids_of_a_sheet(tmp_path):
    days = [datetime.datetime(2024, 1, k) for k in (1, 2, 3)]
    sheet = [
        ["day", "id", "name", 300, "mixed"],
        *zip(days, [100, 101, 102], ["x", "y", "z"], [1, 2, 3], [1, days[0], 3], strict=True),
    ]
    table = read(workbook(tmp_path / "t.xlsx", {"s": sheet}))
    assert table.kinds == {"day": "date", "id": "number", "name": "text", "300": "number", "mixed": "mixed"}
    assert table.text("id").tolist() == ["100", "101", "102"]
    with pytest.raises(ValueError, match="holds 2024-01-01 00:00:00 in row 3: no number"):
        table.numbers("mixed")


@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", b"PK\x03\x04 broken", b"\xd0\xcf\x11\xe0" + bytes(100)])
@pytest.mark.parametrize("suffix", [".xlsx", ".parquet", ".csv.gz"])
def test_damaged_files_are_named(tmp_path, data, suffix):
    path = tmp_path / f"t{suffix}"
    path.write_bytes(data)
    if suffix == ".csv.gz" and not data:  # nothing, packed, is nothing
        return
    with pytest.raises(ValueError, match=r"cannot be (read as|unpacked)"):
        read(path)


def test_types_and_names_of_rows_in_parquet(tmp_path):
    frame = pd.DataFrame(
        {
            "grade": pd.Categorical(["low", "high", "low"], ["low", "high"], ordered=True),
            "n": pd.array([1, None, 3], dtype="Int64"),
            "s": pd.array(["007", None, "NA"], dtype="string"),
            "day": pd.to_datetime(["2024-01-01"] * 3),
        },
        index=pd.Index(["a", "b", "c"], name="sample"),
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table = read(tmp_path / "t.parquet")
    assert table.columns == ["sample", "grade", "n", "s", "day"]
    assert table.kinds == {"sample": "text", "grade": "text", "n": "number", "s": "text", "day": "date"}
    assert table.frame["grade"].cat.ordered
    assert table.numbers("n").tolist()[::2] == [1, 3]
    assert table.text("s").fillna("-").tolist() == ["007", "-", "NA"]


def test_truth_values_are_one_level_however_a_file_spells_them(tmp_path):
    on = [True, False, True] * 4
    fitted, levels = None, ["on=False", "on=True"]
    for ending, spelled in (
        ("csv", str),
        ("csv", lambda v: str(v).upper()),
        ("csv", lambda v: str(v).lower()),
        ("xlsx", bool),
        ("parquet", bool),
    ):
        path = tmp_path / f"t.{ending}"
        written = pd.DataFrame({"on": list(map(spelled, on))})
        getattr(written, {"csv": "to_csv", "xlsx": "to_excel", "parquet": "to_parquet"}[ending])(path, index=False)
        table = read(path)
        fitted = fitted or Inputs({"on": "categories"}, ["fractions"])
        features = fitted.transform(table) if hasattr(fitted.features, "levels_") else fitted.fit(table)
        assert list(features) == levels
        assert features["on=True"].tolist() == on
