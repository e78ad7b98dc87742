"""A campaign from the shell: sheets are told once, mistakes are withdrawn, nothing is lost where a file cannot be written."""

import json
import os

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayestl.active import Campaign
from bayestl.cli import app


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def pool(tmp_path):
    """Twenty named candidates with calculations and a few measurements."""
    x = np.linspace(0, 1, 20)
    frame = pd.DataFrame({"name": [f"m{i}" for i in range(20)], "x": x, "dft": np.sin(4 * x), "measured": np.nan})
    frame.loc[::3, "measured"] = 1.1 * np.sin(4 * x[::3]) + 0.2
    frame.to_csv(tmp_path / "pool.csv", index=False)
    return tmp_path / "pool.csv"


def begin(pool, ledger, *more):
    return invoke(
        "suggest", ledger, "--pool", pool, "--tasks", "dft,measured", "--goal", "maximise measured", "--name", "name", "--features",
        "x", "--costs", "measured=20", "--model", "difference", "--budget", 100, *more,
    )  # fmt: skip


def filled(path, **values):
    """The sheet at a path with values by the number of their suggestion, as text."""
    sheet = pd.read_csv(path, dtype={"value": object}).set_index("suggestion")
    for number, value in values.items():
        sheet.loc[int(number[1:]), "value"] = value
    sheet.to_csv(path)


@pytest.mark.filterwarnings("default:.*were told before")
def test_a_campaign_from_the_first_sheet_to_the_last(pool, tmp_path):
    ledger, sheet = tmp_path / "c.db", tmp_path / "wanted.csv"
    out = begin(pool, ledger, "-n", 3, "-o", sheet)
    assert out.exit_code == 0, out.output
    assert "spent 0 of 100" in out.output  # what the pool knows costs nothing
    assert "P(hit)" in out.output
    rows = pd.read_csv(sheet)["row"]
    assert f"{rows[0]}: maximise measured: measured predicted" in out.output
    filled(sheet, s1="0.9", s2="failed")
    told = invoke("tell", ledger, sheet)
    assert told.exit_code == 0, told.output
    assert "2 results added" in told.output
    again = invoke("tell", ledger, sheet)
    assert again.exit_code == 0
    assert "2 of 2 results were told before" in again.output
    assert "0 results added" in again.output
    filled(sheet, s3="n.d.")
    refused = invoke("tell", ledger, sheet)
    assert refused.exit_code == 1
    assert "'n.d.' is no number" in " ".join(refused.output.split())
    assert "write failed where the measurement failed" in " ".join(refused.output.split())
    state = json.loads(invoke("status", ledger, "--json").output)
    assert state["results"]["failed"] == 1
    assert state["spent"] == 40
    assert [s["id"] for s in state["open"]] == [3]
    number = state["last"][-2]["id"]
    taken = invoke("withdraw", ledger, number)
    assert f"results withdrawn: {number} (measured of " in taken.output
    twice = invoke("withdraw", ledger, number)
    assert twice.exit_code == 1
    assert "nothing is withdrawn" in twice.output
    assert invoke("withdraw", ledger, 3, "--suggestions").exit_code == 0
    shown = invoke("status", ledger)
    assert shown.exit_code == 0
    for words in ("spent 20 of 100", "1 failed, 1 withdrawn", "best so far: measured", "last results", "under way"):
        assert words in shown.output
    for what, n in (
        ("results", 28),
        ("withdrawn", 1),
        ("suggestions", 3),
        ("open", 1),
        ("labels", 20),
        ("progress", 7),
    ):
        to = tmp_path / f"{what}.csv"
        assert invoke("export", ledger, "--what", what, "-o", to).exit_code == 0
        assert len(pd.read_csv(to)) == n, what
    filled(tmp_path / "open.csv", s1="0.95")
    assert "1 results added" in invoke("tell", ledger, tmp_path / "open.csv").output


def test_suggestions_are_read_by_a_program(pool, tmp_path):
    out = begin(pool, tmp_path / "c.db", "-n", 2, "--json")
    assert out.exit_code == 0, out.output
    found = json.loads(out.output)
    assert (found["spent"], found["budget"]) == (0, 100)
    assert len(found["suggestions"]) == 2
    assert {"suggestion", "row", "task", "cost", "predicted", "hit", "reason"} <= set(found["suggestions"][0])


def test_what_cannot_be_written_is_seen_before_suggestions_are_taken(pool, tmp_path):
    ledger = tmp_path / "c.db"
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file" / "out.csv", tmp_path, "/proc/none.csv"):
        out = begin(pool, ledger, "-o", output)
        assert out.exit_code != 0
        assert not ledger.exists()
    assert begin(pool, ledger, "-q").exit_code == 0
    for output in (tmp_path / "file" / "out.csv", tmp_path, "/proc/none.csv"):
        assert invoke("suggest", ledger, "-o", output).exit_code != 0
    assert len(Campaign.open(ledger, verbose=False).suggestions()) == 1


def test_suggestions_that_could_not_be_written_are_kept(pool, tmp_path, monkeypatch):
    ledger = tmp_path / "c.db"

    def full(*arguments):
        raise ValueError("out.csv cannot be written: no space left on device")

    monkeypatch.setattr("bayestl.cli.campaigns.suggesting.write", full)
    out = begin(pool, ledger, "-n", 2, "-o", tmp_path / "out.csv")
    assert out.exit_code == 1
    assert "the suggestions are kept: `bayestl export" in " ".join(out.output.split())
    assert invoke("export", ledger, "--what", "open", "-o", tmp_path / "again.csv").exit_code == 0
    assert len(pd.read_csv(tmp_path / "again.csv")) == 2


@pytest.mark.parametrize("option", [(), ("--std", "dft=dft_std,measured=error")])
def test_standard_errors_of_a_pool_are_those_of_its_results(option, pool, tmp_path):
    frame = pd.read_csv(pool).assign(dft_std=0.01, error=lambda f: 0.2 + f["x"])
    frame.to_csv(pool, index=False)
    out = begin(pool, tmp_path / "c.db", *option)
    assert out.exit_code == 0, out.output
    results = Campaign.open(tmp_path / "c.db", verbose=False).results().set_index(["task", "row"])["se"].astype(float)
    assert (results["dft"] == 0.01).all()
    if option:
        expected = frame.set_index("name")["error"][results["measured"].index]
        np.testing.assert_array_equal(results["measured"], expected)
    else:
        assert "'dft_std' is taken for the standard errors of 'dft'" in out.output
        assert results["measured"].isna().all()
    later = invoke("suggest", tmp_path / "c.db", "--std", "dft=dft_std")
    assert "--std is for a new campaign" in later.output


def test_a_simulation_says_that_it_uses_no_standard_errors(pool, tmp_path):
    frame = pd.read_csv(pool)
    frame.assign(measured=1.1 * frame["dft"], dft_std=0.01).to_csv(pool, index=False)
    out = invoke(
        "simulate", pool, "--tasks", "dft,measured", "--goal", "maximise measured", "--features", "x", "--models",
        "independent", "--seeds", 1, "--budget", 3, "--start", 4, "-j", 1,
    )  # fmt: skip
    assert out.exit_code == 0, out.output
    assert "'dft_std': not used, a simulation takes its answers as they are" in " ".join(out.output.split())


CLASSES = {
    "whole numbers": ([1, 2], "ordinal", {"2": 2.0, "2.0": 2.0, "1": 1.0}),
    "truths": ([False, True], "bernoulli", {"true": True, "FALSE": False}),
    "words": (["hard", "soft"], "bernoulli", {"soft": "soft"}),
}


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("form", ["long", "wide"])
def test_a_class_told_beside_words_and_numbers_is_the_one_of_the_pool(kind, named, form, pool, tmp_path):
    """The column of values mixes tasks, so that its cells are text: classes are known by how they are spelled."""
    classes, likelihood, told = CLASSES[kind]
    frame = pd.read_csv(pool).assign(grade=pd.Series(classes * 6, dtype=object))
    frame.to_csv(pool, index=False)
    more = ["--likelihoods", f"grade={likelihood}"] if named or kind == "whole numbers" else []
    out = begin(pool, tmp_path / "c.db", "--tasks", "dft,measured,grade", "--model", "independent", *more)
    assert out.exit_code == 0, out.output
    rows = [f"m{i}" for i in range(13, 13 + len(told))]
    if form == "long":
        sheet = pd.DataFrame(
            {
                "row": [*rows, "m1", "m2"],
                "task": ["grade"] * len(rows) + ["measured"] * 2,
                "value": [*told, "failed", "0.5"],
            }
        )
    else:
        sheet = pd.DataFrame({"row": rows, "grade": list(told), "measured": ["failed"] + [""] * (len(rows) - 1)})
    sheet.to_csv(tmp_path / "told.csv", index=False)
    out = invoke("tell", tmp_path / "c.db", tmp_path / "told.csv")
    assert out.exit_code == 0, out.output
    campaign = Campaign.open(tmp_path / "c.db", verbose=False)
    found = campaign.results().query("task == 'grade'").set_index("row")["value"]
    assert list(map(repr, found[rows])) == list(map(repr, told.values()))
    assert len(set(map(repr, found))) == 2


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [("measured", "n.d.", "n.d."), ("measured", "<0.1", "limits are read with"), ("name", "m1", "twice")],
)
def test_a_pool_that_is_refused_leaves_no_ledger(pool, tmp_path, column, cell, message):
    frame = pd.read_csv(pool).astype(object)
    frame.loc[3, column] = cell
    frame.to_csv(pool, index=False)
    out = begin(pool, tmp_path / "c.db")
    assert out.exit_code == 1
    assert message in " ".join(out.output.split())
    assert os.listdir(tmp_path) == ["pool.csv"]


def test_a_german_sheet_is_read(pool, tmp_path):
    ledger, sheet = tmp_path / "c.db", tmp_path / "wanted.csv"
    assert begin(pool, ledger, "-n", 2, "-o", sheet, "-q").exit_code == 0
    frame = pd.read_csv(sheet).assign(value=["1,25", "failed"])
    frame.to_csv(sheet, index=False, sep=";", decimal=",")
    out = invoke("tell", ledger, sheet)
    assert out.exit_code == 0, out.output
    results = Campaign.open(ledger, verbose=False).results().tail(2)
    assert results["value"].tolist() == [1.25, None]
    assert results["suggestion"].tolist() == [1, 2]


def test_commands_on_what_is_no_ledger(tmp_path):
    (tmp_path / "text.db").write_text("text" * 100)
    (tmp_path / "sheet.csv").write_text("row,task,value\nm1,exp,1\n")
    for name, message in (("none.db", "no ledger at"), ("text.db", "is no ledger of a campaign")):
        ledger = tmp_path / name
        for arguments in (
            ("suggest", ledger),
            ("tell", ledger, tmp_path / "sheet.csv"),
            ("status", ledger),
            ("withdraw", ledger, 1),
            ("export", ledger, "-o", tmp_path / "x.csv"),
        ):
            out = invoke(*arguments)
            assert out.exit_code == 1, arguments
            assert message in " ".join(out.output.split())
    assert sorted(os.listdir(tmp_path)) == ["sheet.csv", "text.db"]
