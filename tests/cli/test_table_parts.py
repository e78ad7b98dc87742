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
