"""A file that is read part by part is the table that is read at once: kinds, numbers, text, notes and errors."""

import numpy as np
import pandas as pd
import pytest

from bayestl.cli.reading import TableParts, read

N, SIZE = 4000, 700


def columns(n=N):
    """A column of each kind, odd in one of its last cells."""
    rng = np.random.default_rng(0)
    u = rng.random(n)
    frame = pd.DataFrame(
        {
            "name": [f"r{i}" for i in range(n)],
            "number": u.round(4),
            "whole": np.arange(n) % 7,
            "whole but one": [f"{i}.5" if i == n - 1 else str(i) for i in range(n)],
            "truth": u > 0.5,
            "truth but one": [None if i == n - 1 else bool(i % 2) for i in range(n)],
            "empty": np.nan,
            "empty but one": [1.5 if i == n - 2 else None for i in range(n)],
            "limits at last": ["<0.1" if i > n - 4 else f"{v:.3f}" for i, v in enumerate(u)],
            "mixed": ["n.d." if i % 3 == 0 else f"{i}.5" for i in range(n)],
            "words at last": ["word" if i > n - 4 else f"{i}" for i in range(n)],
            "codes at last": ["0012" if i == n - 2 else "12" for i in range(n)],
            "missing words": ["NA" if i == n - 3 else str(i) for i in range(n)],
            "dates": pd.date_range("2020-01-01", periods=n).astype(str),
            "quoted": [f'a "{i}", b' for i in range(n)],
        }
    )
    return frame


WRITE = {
    "csv": lambda f, p: f.to_csv(p / "a.csv", index=False),
    "tabs": lambda f, p: f.to_csv(p / "a.tsv", index=False, sep="\t"),
    "packed": lambda f, p: f.to_csv(p / "a.csv.gz", index=False),
    "semicolons and commas": lambda f, p: (
        f[["name", "number", "whole", "empty"]]
        .assign(more=f["number"] / 3, most=f["number"] / 7)
        .to_csv(p / "a.csv", index=False, sep=";", decimal=",")
    ),
    "comments and a title": lambda f, p: (p / "a.csv").write_text("# note\n\nTitle\n" + f.to_csv(index=False)),
    "parquet": lambda f, p: f.drop(columns="truth but one").to_parquet(p / "a.parquet"),
    "parquet with names": lambda f, p: f.set_index("name").to_parquet(p / "a.parquet", row_group_size=900),
}


@pytest.mark.parametrize("how", WRITE)
def test_parts_are_the_table(tmp_path, how):
    WRITE[how](columns(), tmp_path)
    (path,) = tmp_path.iterdir()
    notes, at_once = [], []
    whole, parts = read(path, say=at_once.append), TableParts(path, say=notes.append, size=SIZE)
    assert parts._whole is None
    assert notes == at_once
    assert {name: fact.kind for name, fact in parts.facts.items()} == whole.kinds
    assert parts.count == len(list(parts)) == -(-N // SIZE)
    found = pd.concat([part.frame for part in parts])
    pd.testing.assert_frame_equal(found, whole.frame)
    assert found.to_csv() == whole.frame.to_csv()
    np.testing.assert_array_equal(np.concatenate([part.places for part in parts]), whole.places)
    assert [len(part) for part in parts.after(3)] == [len(part) for part in parts][3:]


PADDED = ",,"
ENDS = {
    "padded": ["* measured at 300 K,,", "Source: Smith 2020,,"],
    "alone": ["* measured at 300 K", "Source: Smith 2020"],
    "cut at its comma": ["Source: Smith, Journal, 2020, 5"],
    "below a padded empty row": [PADDED, "All gaps were measured in air.,,", "Thanks to the north laboratory,,"],
    "below a blank line": ["", "All gaps were measured in air.,,", "* by hand,,"],
    "with empty rows around": [PADDED, PADDED, "Note: all by hand,,", PADDED, PADDED],
    "only empty rows": [PADDED, PADDED],
    "with a comma in quotes": ['"Source: Smith, Journal, 2020",,'],
    "a sentence without an empty row": ["All gaps were measured in air.,,"],
    "an empty row and a name": [PADDED, "MgO,,"],
    "a row of data after all": ["* measured at 300 K,,", "Note: by hand,,", PADDED, "MgO,1.5,300"],
    "many notes": [f"[{i}] Smith et al.,," for i in range(900)],
    "nothing": [],
}
AMONG = {
    "nothing": [],
    "a note": ["* a sample with a name,,"],
    "a sentence and empty rows": [PADDED, PADDED, "some more rows follow,,", PADDED, "* still more,,"],
}


@pytest.mark.parametrize("end", ENDS)
def test_notes_and_units_of_parts_are_those_of_the_whole(tmp_path, end):
    for k, (among, at) in enumerate(
        zip([*AMONG, "a note", "a sentence and empty rows"], (1, 1995, 2499, 1, 1995), strict=True)
    ):
        units = "text,[eV],in K\n" if k % 2 else ""
        rows = [f"sample number-{i:05},{i / 7:.9f},{i % 40 + 300}" for i in range(2500)]
        rows[at:at] = AMONG[among]
        path = tmp_path / f"{k}.csv"
        path.write_text("name,gap,temperature\n" + units + "\n".join([*rows, *ENDS[end]]) + "\n")
        notes, at_once = [], []
        whole, parts = read(path, say=at_once.append), TableParts(path, say=notes.append, size=700)
        assert parts._whole is None
        assert notes == at_once
        pd.testing.assert_frame_equal(pd.concat([part.frame for part in parts]), whole.frame)
        np.testing.assert_array_equal(np.concatenate([part.places for part in parts]), whole.places)
        assert next(iter(parts)).units == whole.units == ({"gap": "eV", "temperature": "K"} if units else {})
        is_told = end not in ("nothing", "only empty rows", "an empty row and a name", "a row of data after all")
        if end != "a sentence without an empty row":  # which is below one of AMONG
            assert ("taken for notes" in " ".join(notes)) == is_told


def test_more_rows_than_can_be_kept_are_read_whole(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"a sentence number {i},{i}," if i < 20 else f"a sentence number {i},," for i in range(5000)]
    path.write_text("name,gap,temperature\n" + "\n".join(rows) + "\n")
    said, at_once = [], []
    parts = TableParts(path, say=said.append, size=700)
    assert parts._whole is not None
    assert len(read(path, say=at_once.append)) == parts.n == 5000
    assert said == at_once


IRREGULAR = {
    "another encoding": lambda text: (text + "\u00e9" + "," * 14 + "\n").encode("latin1"),
    "a nameless column": lambda text: text.replace("number", "", 1).encode(),
    "trailing separators": lambda text: text.replace("\n", ",\n").encode(),
    "a short row": lambda text: (text + "too,short\n").encode(),
    "an open quote": lambda text: (text + '"open\n').encode(),
    "a NUL byte": lambda text: text.encode() + b"\0",
    "two columns of one name": lambda text: text.replace("whole,", "number,", 1).encode(),
}


@pytest.mark.parametrize("how", IRREGULAR)
def test_files_that_are_not_as_they_begin_are_read_as_ever(tmp_path, how):
    path = tmp_path / "a.csv"
    path.write_bytes(IRREGULAR[how](columns().to_csv(index=False)))

    def outcome(reads):
        try:
            return reads()
        except ValueError as error:
            return str(error)

    at_once = outcome(lambda: read(path).frame)
    found = outcome(lambda: pd.concat([part.frame for part in TableParts(path, size=SIZE)]))
    if isinstance(at_once, str):
        assert found == at_once
    else:
        pd.testing.assert_frame_equal(found, at_once)
