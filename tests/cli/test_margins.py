"""A row of units below the names and notes below the rows are told and left out; rows of data never are."""

import itertools

import pytest

from bayestl.cli.inputs import make_tasks
from bayestl.cli.reading import read

UNITS = [
    ("", "eV", "K"), ("", "[eV]", "[K]"), ("", "(eV)", ""), ("unit", "meV/atom", "°C"), ("Units:", "", "%"), ("-", "Å", "µm"),
    ("[-]", "[eV]", "[-]"), ("", "J mol^-1 K^-1", "10^3 kg/m^3"), ("", "Ω·cm", "wt%"), ("", "μB/f.u.", "GPa"), ("", "kJ/mol", "g cm⁻³"),
    ("", "mΩ cm", "at.%"), ("", "a.u.", "-"), ("", "W/(m K)", "1/K"), ("", "S cm-1", "ppm"), ("", "eV/Å^3", "cm2 V-1 s-1"),
]  # fmt: skip
ROWS = [["NaCl", "5.0", "300"], ["KCl", "<0.1", ""], ["LiF", "9.4", "310"]]
NOTES = [
    ["* measured at 300 K"], ["Source: Smith 2020"], ["Note: all by hand"], ["† from films"], ["[1] Smith et al."], ["a) as received"],
    ["Source: Smith", "Journal", "2020", "5"], ["*) after annealing", "see text"], ["References. Jones"], ["Data from our laboratory"],
]  # fmt: skip
DATA = [
    ["K", "C", "V"], ["", "n.d.", "NA"], ["unit", "-", ""], ["-", "-", "-"], ["NaCl", "eV", "K"], ["", "high", "low"], ["", "K", "high"],
    ["MgO", "", ""], ["", "1.5 eV", ""], ["", "5", "K"], ["V", "", ""],
]  # fmt: skip
LAST = [
    ["MgO", "", ""],
    ["*CO", "", ""],
    ["Fe(III) oxide", "", ""],
    ["a sample 3", "1", ""],
    ["CuSO4 . 5H2O", "", ""],
    ["Source", "1.0", ""],
    ["K", "", ""],
]


def written(path, rows, header=("formula", "gap", "temperature")):
    """The rows as the format that the suffix names; None is an empty row."""
    whole = [list(header), *rows]
    if path.suffix == ".csv":
        path.write_text("".join(",".join(row or []) + "\n" for row in whole), encoding="utf-8")
        return path
    book = pytest.importorskip("openpyxl").Workbook()
    for i, row in enumerate(whole, start=1):
        for j, cell in enumerate(row or [], start=1):
            number = cell.replace(".", "").isdigit()
            book.active.cell(i, j, float(cell) if number else cell or None)
    book.save(path)
    return path


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_units_and_notes_are_left_out_and_told(tmp_path, ending):
    whole = [note for note in NOTES if ending == "csv" or len(note) == 1]  # separators cut a note in a text
    for k, (units, notes) in enumerate(itertools.zip_longest(UNITS, whole, fillvalue=None)):
        blank = [] if k % 2 else [None]
        said = []
        rows = [
            *([list(units)] if units else []),
            *ROWS,
            *([*blank, notes, *(NOTES[:2] if k % 3 else [])] if notes else []),
        ]
        table = read(written(tmp_path / f"{k}.{ending}", rows), say=said.append)
        assert list(table.text("formula")) == ["NaCl", "KCl", "LiF"], (units, notes)
        assert table.kinds == {"formula": "text", "gap": "limits", "temperature": "number"}, (units, notes)
        assert ("holds units" in " ".join(said)) == (units is not None), (units, said)
        assert ("taken for notes" in " ".join(said)) == (notes is not None), (notes, said)


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_sentences_after_an_empty_row_are_notes(tmp_path, ending):
    table = read(
        written(
            tmp_path / f"a.{ending}",
            [*ROWS, None, ["All gaps were measured in air."], ["Thanks to the north laboratory"]],
        )
    )
    assert list(table.text("formula")) == ["NaCl", "KCl", "LiF"]


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_rows_of_data_are_kept(tmp_path, ending):
    for k, row in enumerate(DATA):
        table = read(written(tmp_path / f"first-{k}.{ending}", [row, *ROWS]))
        assert len(table) == 4, row
    for k, (row, blank) in enumerate(itertools.product(LAST, (True, False))):
        table = read(written(tmp_path / f"last-{k}.{ending}", [*ROWS, *([None] if blank else []), row]))
        assert list(table.text("formula"))[-1] == row[0], row


def test_units_of_the_file_are_those_of_the_tasks(tmp_path):
    units = read(written(tmp_path / "a.csv", [["", "[eV]", "in K"], *ROWS])).units
    assert units == {"gap": "eV", "temperature": "K"}
    tasks = make_tasks(["temperature", "gap"], "gap=censored", units)
    assert [(t.name, t.unit, t.likelihood is None) for t in tasks] == [("temperature", "K", True), ("gap", "eV", False)]
    assert make_tasks(["gap"], None, {}) is None
    assert read(written(tmp_path / "b.csv", [["", "-", "W/(m K)"], *ROWS])).units == {"temperature": "W/(m K)"}


def test_text_columns_alone_have_no_units(tmp_path):
    rows = [["eV", "K"], ["NaCl", "red"], ["KCl", "blue"]]
    assert len(read(written(tmp_path / "a.csv", rows, ("formula", "colour")))) == 3


def test_merged_notes_below_a_sheet_do_not_stop_it(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    path = written(tmp_path / "a.xlsx", [*ROWS, None, ["* measured at 300 K"]])
    book = openpyxl.load_workbook(path)
    book.active.merge_cells("A6:C6")
    book.save(path)
    assert len(read(path)) == 3
