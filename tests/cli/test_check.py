"""The command ``check``: kinds, empty cells, repeated rows, units, and what would be refused."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayestl.cli import app
from bayestl.cli.inputs import names_in

N = 12


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def path(tmp_path):
    """A German export with most kinds of columns; two rows repeat others."""
    x = np.random.default_rng(0).uniform(1, 9, N).round(2)
    table = pd.DataFrame(
        {
            "Nr": range(1, N + 1),
            "Formel": [f"{a}{b}" for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br")],
            "SMILES": ["CCO", "CCN", "CC=O"] * 4,
            "lab": ["A", "B"] * 6,
            "p (bar)": x,
            "T [K]": 300,
            "day": "2024-01-02",
            "gap (eV)": np.where(np.arange(N) < 6, x.round(1), np.nan),
            "gap (eV)_std": np.linspace(0.1, 0.2, N),
            "zero": np.where(np.arange(N) % 3, 0.0, x),
        }
    )
    table.loc[N] = table.loc[0]
    table.loc[N + 1] = table.loc[1]
    table.loc[[N, N + 1], "Nr"] = [13, 14]
    table.loc[[N, N + 1], "gap (eV)"] += [0.25, 0.5]
    table.to_csv(tmp_path / "t.csv", sep=";", decimal=",", index=False)
    return tmp_path / "t.csv"


def test_what_is_in_a_table(path):
    out = invoke("check", path, "--json")
    assert out.exit_code == 0, out.output
    found = json.loads(out.stdout)
    columns = {c["name"]: c for c in found["columns"]}
    assert {n: c["kind"] for n, c in columns.items()} == {
        "Nr": "ID", "Formel": "formula", "SMILES": "SMILES", "lab": "text, categories", "p (bar)": "number",
        "T [K]": "number", "day": "date", "gap (eV)": "number", "gap (eV)_std": "number", "zero": "number",
    }  # fmt: skip
    assert {n: c["unit"] for n, c in columns.items() if c["unit"]} == {"p (bar)": "bar", "T [K]": "K", "gap (eV)": "eV"}
    assert (columns["gap (eV)"]["empty"], columns["zero"]["zeros"]) == (6, 9)
    assert found["rows"] == 14
    assert found["features"] == ["p (bar)", "zero"]
    assert found["labels"] == ["gap (eV)"]
    assert found["standard_errors"] == {"gap (eV)": "gap (eV)_std"}
    assert found["features_if_named"] == ["composition:Formel", "molecules:SMILES", "categories:lab"]
    assert found["left_out"] == {"Nr": "row numbers", "T [K]": "constant", "day": "dates"}
    assert found["repeated"]["rows"] == 2
    assert found["repeated"]["of"] == ["p (bar)", "zero", "Formel", "SMILES"]
    assert found["repeated"]["apart"]["gap (eV)"] == pytest.approx({"median": 0.375, "greatest": 0.5})
    assert found["refused"] == []
    words = invoke("check", path).output
    assert "cells separated by semicolons; decimal commas" in words
    assert "2 rows repeat another in p (bar), zero, Formel, SMILES" in words
    assert words.endswith("nothing would be refused\n")
    assert invoke("check", path, "-q").output == ""


def test_the_labels_that_are_named(path):
    found = json.loads(invoke("check", path, "--json", "--tasks", "zero,gap (eV)").stdout)
    assert found["labels"] == ["zero", "gap (eV)"]
    assert found["features"] == ["p (bar)"]
    out = invoke("check", path, "--tasks", "Gap")
    assert (out.exit_code, out.output.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("n.d.", "'n.d.' in line 4: correct it"),
        ("1.234,5", "'1.234,5' in line 4: write numbers without thousands"),
        ("5 %", "'5 %' in line 4: write the number alone"),
        ("#DIV/0!", "an error of the spreadsheet"),
        ("0,1(2)", "--std"),
    ],
)
def test_odd_cells_are_refused_with_exit_code_3(path, cell, words):
    lines = path.read_text().splitlines()
    cells = lines[3].split(";")
    cells[4] = cell
    lines[3] = ";".join(cells)
    path.write_text("\n".join(lines))
    out = invoke("check", path)
    assert out.exit_code == 3
    assert words in out.output
    quiet = invoke("check", path, "-q")
    assert quiet.exit_code == 3
    assert quiet.output.startswith("refused: column 'p (bar)' holds")
    assert quiet.output.count("\n") == 1


def test_limits_are_counted(path):
    path.write_text("x;lod\n1,5;<0,1\n2,5;0,5\n3,5;>3\n5;1,25\n")
    found = json.loads(invoke("check", path, "--json").stdout)
    assert found["columns"][1] | {"kind": "number with limits", "limits": 2} == found["columns"][1]
    assert (found["labels"], found["features"], found["refused"]) == (["lod"], ["x"], [])


def test_compare_takes_no_names_and_groups_for_features(path, tmp_path):
    columns = "--tasks", "gap (eV)", "--models", "independent", "--folds", 2, "-j", 1
    out = invoke("compare", path, *columns, "--groups", "lab", "--name", "zero", "--std", "gap (eV)=gap (eV)_std")
    assert out.exit_code == 0, out.output
    assert "left out of the features: 'Nr' (row numbers), 'T [K]' (constant), 'day' (dates)" in out.output
    refused = invoke("compare", path, *columns, "--groups", "gap (eV)")
    assert (refused.exit_code, refused.output.count("\n")) == (2, 1)


@pytest.mark.parametrize("command", ["check", "fit", "predict", "compare", "report", "suggest", "tell", "simulate"])
def test_every_command_that_reads_has_the_same_options(command):
    words = " ".join(invoke(command, "--help").output.split())
    for option in ("--sep", "--decimal", "--encoding", "--skip-rows", "--sheet"):
        assert option in words


@pytest.mark.parametrize("name", ["T synth", "T, K", 'the "hot" T', "it's T", "$T", "T"])
def test_the_features_it_names_are_an_option_as_they_stand(tmp_path, name):
    """Pasted into a shell they name the columns."""
    pd.DataFrame({"formula": ["MgO", "CaO", "SrO"], name: [1.5, 2.5, 3.0], "K": [1.0, None, 2.0]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    out = CliRunner().invoke(app, ["check", str(tmp_path / "t.csv")])
    [line] = [line for line in out.output.splitlines() if line.startswith("features if named")]
    option = shlex.split(line.removeprefix("features if named: "))
    assert option[0] == "--features"
    assert names_in(option[1], "--features") == [name, "composition:formula"]
