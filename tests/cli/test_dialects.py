"""One small table in every dialect, encoding, line ending and oddity: the same table, or a refusal that names the option."""

import csv
import gzip
import io
from itertools import product

import numpy as np
import pandas as pd
import pytest

from bayestl.cli.reading import Reading, read

HEADER = ["formula", "T (°C)", "gap, eV", "colour"]
ROWS = [
    ["GaAs", "300", "1.42", "weiß"],
    ["NaN", "310", "", "NA"],
    ["NO", "-20", "0.5", "null"],
    ["None", "1200", "1e-3", "müde"],
    ["ZnO", "25", "12.25", "a;b|c"],
]
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1")
ENDINGS = ("\n", "\r\n", "\r")
ODDITIES = (
    "plain", "quoted", "trailing", "trailing everywhere", "comment", "sep line", "blank lines", "empty rows", "title",
    "blank after", "no last end", "index", "skipped",
)  # fmt: skip


def expected(index=False):
    frame = pd.DataFrame(ROWS, columns=HEADER)
    frame["T (°C)"] = frame["T (°C)"].astype(int)
    frame["gap, eV"] = pd.to_numeric(frame["gap, eV"])
    if index:
        frame.insert(0, "Unnamed: 0", range(5))
    return frame


def text(separator, decimal, ending, oddity):
    """The table as text; separators within cells are quoted."""
    rows = [[cell.replace(".", decimal) if j in (1, 2) else cell for j, cell in enumerate(row)] for row in ROWS]
    rows = [HEADER, *rows]
    if oddity == "index":
        rows = [["" if i == 0 else str(i - 1), *row] for i, row in enumerate(rows)]
    if oddity == "empty rows":
        rows = [*rows[:3], [""] * 4, *rows[3:], [""] * 4]
    if oddity == "blank after":
        rows = [[row[0], *(" " + cell if cell else "" for cell in row[1:])] for row in rows]
    if oddity == "trailing everywhere":
        rows = [[*row, ""] for row in rows]
    buffer = io.StringIO()
    quoting = csv.QUOTE_ALL if oddity == "quoted" else csv.QUOTE_MINIMAL
    csv.writer(buffer, delimiter=separator, lineterminator="\n", quoting=quoting).writerows(rows)
    lines = buffer.getvalue().splitlines()
    if oddity == "trailing":
        lines = [lines[0], *(line + separator for line in lines[1:])]
    if oddity == "blank lines":
        lines = ["", *lines[:2], "", "", *lines[2:], ""]
    top = {
        "comment": ["# exported by a program", "# on a day"],
        "sep line": [f"sep={separator}"],
        "title": ["Band gaps of binary compounds", ""],
        "skipped": ["a line; with, all\t kinds | of things", "another one"],
    }
    return ending.join([*top.get(oddity, []), *lines]) + ("" if oddity == "no last end" else ending)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_the_same_table_from_every_dialect(tmp_path, separator, decimal):
    n = 0
    for encoding, ending, oddity in product(ENCODINGS, ENDINGS, ODDITIES):
        path = tmp_path / "table.csv"
        path.write_bytes(text(separator, decimal, ending, oddity).encode(encoding))
        said = []
        how = Reading(skip_rows=2 if oddity == "skipped" else 0)
        table = read(path, how, said.append)
        case = (encoding, ending, oddity, said)
        pd.testing.assert_frame_equal(table.frame, expected(oddity == "index"), obj=repr(case))
        line = "".join(said)  # nothing where nothing is assumed
        assert ("decimal commas" in line) == (decimal == ","), case
        assert ("cells separated by" in line) == (separator != ","), case
        assert ("cp1252" in line) == (encoding in ("cp1252", "latin-1")), case
        n += 1
    assert n == 312


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252", "utf-16-be"])
def test_what_is_told_is_not_guessed(tmp_path, separator, decimal, encoding):
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(text(separator, decimal, "\n", "plain").encode(encoding)))
    how = Reading(sep=separator if separator != "," else None, decimal=decimal, encoding=encoding)
    pd.testing.assert_frame_equal(read(path, how).frame, expected())


UNCERTAIN = {
    "decimal commas without quotes": (b"a,b\n1,5,2\n2,5,3\n", "--sep"),
    "one column of decimal commas": (b"gap\n1,5\n2,5\n", "--sep"),
    "one row is longer": (b"a,b\n1,2\n1,2,3\n", "line 3 (3)"),
    "one row is shorter": (b"a;b;c\n1;2;3\n1;2\n", "line 3 (2)"),
    "some rows end in a separator": (b"a;b\n1;2;\n1;2\n", "--sep"),
    "names of rows without a name": (b"a,b\nx,1,2\ny,3,4\n", "each row has 3 cells and the header 2"),
    "thousands or decimals": (b"a;b\n1.234;2\n5.678;3\n", "--decimal"),
    "thousands or decimals, commas": (b"a;b\n1,234;2\n5,678;3\n", "--decimal"),
    "both decimal signs": (b"a;b\n1,5;2.5\n5,5;3.5\n", "--decimal"),
    "blanks": (b"a b c\n1 2 3\n4 5 6\n", "--sep space"),
    "no header": (b"1.5,2.5\n3,4\n", "--skip-rows"),
    "two lines of names": (b"DFT,,measured\ngap,volume,gap,x\n1,2,3,4\n", "--skip-rows"),
    "Cyrillic": ("имя,x\nабв,1\n".encode("cp1251"), "--encoding"),
    "Japanese": ("名前,x\n日本語,1\n".encode("shift-jis"), "--encoding"),
    "NUL": (b"a,b\n1,2\x00\n", "NUL byte in line 2"),
    "two columns of one name": (b"a,b,a\n1,2,3\n", "2 columns named 'a' (columns 1, 3)"),
    "a quote that does not end": (b'a,b\n"1,2\n3,4\n', "in line"),
    "web page": (b"<!DOCTYPE html><table><tr><td>1</td></tr></table>", "web page"),
    "web page after blanks": (b"\n  <table>\n<tr><td>1</td></tr></table>", "web page"),
    "XML": (b"<?xml version='1.0'?><Workbook/>", "web page or XML"),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old Excel file (.xls): save it as .xlsx"),
    "workbook": (b"PK\x03\x04" + bytes(100), "name a workbook .xlsx"),
    "gzip": (gzip.compress(b"a,b\n1,2\n"), "name it .csv.gz"),
    "Parquet": (b"PAR1" + bytes(50), "name it .parquet"),
    "PDF": (b"%PDF-1.4\n1,2\n", "a PDF file"),
    "nothing": (b"", "has no rows"),
    "blank lines only": (b"\n\n  \n", "has no rows"),
    "header only": (b"a,b\n", "has no rows"),
    "empty rows only": (b"a,b\n,\n,\n", "has no rows"),
    "comments only": (b"# a\n# b\n", "has no rows"),
    "binary": (bytes(range(256)) * 4, "encoding"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNCERTAIN)
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt", ""])
def test_what_is_uncertain_is_refused_with_the_option(tmp_path, kind, ending):
    data, words = UNCERTAIN[kind]
    path = tmp_path / f"table{ending}"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="table") as error:
        read(path)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("data", "options", "values"),
    [
        (b"a;b\n1.234;2\n5.678;3\n", {"decimal": "."}, [1.234, 5.678]),
        (b"a;b\n1,234;2\n5,678;3\n", {"decimal": ","}, [1.234, 5.678]),
        (b"a b\n1  2\n4 5 \n", {"sep": "space"}, [1, 4]),
        (b"a\tb\n1\t2\n4\t5\n", {"sep": "tab"}, [1, 4]),
        (b"a:b\n1:2\n4:5\n", {"sep": ":"}, [1, 4]),
        (b"x,y,z\nx\na,b\n1,2\n4,5\n", {"skip_rows": 2}, [1, 4]),
        (b"a;b\n1,5;2.5\n2,5;3.5\n", {"decimal": ","}, [1.5, 2.5]),
        ("a,б\n1,2\n4,5\n".encode("cp1251"), {"encoding": "cp1251"}, [1, 4]),
    ],
)
def test_the_option_that_is_named_helps(tmp_path, data, options, values):
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    assert read(path, Reading(**options)).frame["a"].tolist() == values


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sep": "::"}, "--sep: '::' is not one character"),
        ({"decimal": "x"}, "--decimal: 'x' is neither '.' nor ','"),
        ({"sep": ",", "decimal": ","}, "--sep and --decimal are both ','"),
        ({"encoding": "klingon"}, "--encoding: no encoding 'klingon'"),
        ({"encoding": "ascii"}, "is not ascii text: name its encoding with --encoding"),
        ({"sheet": "1"}, "--sheet is not for"),
    ],
)
def test_options_are_checked(tmp_path, options, words):
    path = tmp_path / "table.csv"
    path.write_bytes("a,ü\n1,2\n".encode())
    with pytest.raises(ValueError, match="-") as error:
        read(path, Reading(**options))
    assert words in str(error.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_header_that_is_a_comment_and_one_that_is_not(tmp_path, separator):
    path = tmp_path / "table.txt"
    rows = [["1", "2.5"], ["2", "3.5"]]
    path.write_text("\n".join(separator.join(row) for row in [["# x", "y"], *rows]))
    said = []
    assert list(read(path, say=said.append).columns) == ["x", "y"]
    assert "the names of the columns are in line 1, a comment" in said[0]
    path.write_text("\n".join(separator.join(row) for row in [["#", "y"], *rows]))
    assert list(read(path).columns) == ["#", "y"]


@pytest.mark.parametrize(
    ("name", "kind"), [("t.xls", "an old Excel file"), ("t.ods", "LibreOffice"), ("t.xlsb", "binary")]
)
def test_other_formats_are_named(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=kind):
        read(tmp_path / name)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("n", [200, pytest.param(4000, marks=pytest.mark.slow)])
def test_a_damaged_file_is_read_or_refused(tmp_path, separator, n):
    """Bytes changed, lost and added: a table, or a ValueError in one line that names the file."""
    rng, path = np.random.default_rng(n), tmp_path / "table.csv"
    whole = [
        text(separator, ".", "\n", oddity).encode(e) for oddity in ODDITIES[:6] for e in ("utf-8", "utf-16", "cp1252")
    ]
    outcomes = []
    for _ in range(n):
        data = bytearray(whole[rng.integers(len(whole))])
        for _ in range(rng.choice([1, 2, 10])):
            k = rng.integers(len(data))
            change = rng.integers(3)
            data[k : k + (change != 1)] = b"" if change == 0 else bytes([rng.choice(list(b',;\t"\n\r |#.0a\xff\x00<'))])
        path.write_bytes(data)
        try:
            found = read(path)
        except ValueError as error:
            outcomes.append(str(error))
        else:
            assert [found.plain(name).shape for name in found.columns] == [(len(found),)] * len(found.columns)
    assert 0 < len(outcomes) < n
    assert [message for message in outcomes if "table.csv" not in message] == []


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("change", ["lost", "added"])
def test_one_separator_lost_or_added_never_moves_cells(tmp_path, separator, change):
    path = tmp_path / "table.csv"
    whole = "\n".join(separator.join(row) for row in [list("abcd"), *[["w", "1", "2.5", "3.5"]] * 4])
    path.write_text(whole)
    expected = read(path).frame
    places = [k for k, letter in enumerate(whole) if letter == separator] if change == "lost" else range(len(whole))
    for k in places:
        path.write_text(whole[:k] + separator * (change == "added") + whole[k + (change == "lost") :])
        try:
            found = read(path)
        except ValueError:
            continue
        pd.testing.assert_frame_equal(found.frame, expected)
