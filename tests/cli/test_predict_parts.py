"""Predictions of a large table, part by part: the same as at once, in bounded memory, and going on where a run was ended."""

import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayestl as btl
from bayestl.cli import app

N = 1100
SLOW = pytest.mark.slow


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def table(n, seed=0, classes=True):
    """Rows with numbers, text, formulas, empty cells and labels; the target is known for few rows."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": [f"m{seed}-{i}" for i in range(n)],
            "p": rng.uniform(-1, 1, n).round(5),
            "q": rng.integers(0, 50, n),
            "alloy": np.array(["NiAl", "Ni3Al", "CuAl2", "Fe2O3"], dtype=object)[rng.integers(0, 4, n)],
            "facet": np.array(["111", "110", "b"], dtype=object)[rng.integers(0, 3, n)],
            "lab": np.array(["A", "B", None, "new"], dtype=object)[rng.integers(0, 4, n)],
            "padding": [f"{'long words to be kept '}{i}" for i in range(n)],
        }
    )
    frame["source"] = (np.sin(3 * frame["p"]) + 0.02 * frame["q"]).round(5)
    frame["target"] = frame["source"] + 0.5
    frame["colour"] = np.where(frame["p"] > 0, "red", "blue")
    frame.loc[rng.random(n) < 0.5, "target"] = np.nan
    frame.loc[rng.random(n) < 0.1, "q"] = np.nan
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, its table, and a larger one: the fitted rows, others, some twice; few labels."""
    folder = tmp_path_factory.mktemp("parts")
    fitted = table(40)
    fitted.to_csv(folder / "fitted.csv", index=False)
    options = [
        "--features",
        "p,q,composition:alloy,categories:facet",
        "--presets",
        "fractions",
        "--groups",
        "lab",
        "--name",
        "id",
    ]
    run(
        "fit",
        folder / "fitted.csv",
        "--tasks",
        "source,target",
        "--model",
        "multi-task",
        *options,
        "-o",
        folder / "model",
        "-q",
    )
    new = pd.concat([fitted.iloc[:20], table(N, 1), fitted.iloc[10:30]], ignore_index=True)
    new.loc[new.index[60:], ["source", "target"]] = np.nan
    new.drop(columns="colour").to_csv(folder / "new.csv", index=False)
    new.drop(columns="colour").to_parquet(folder / "new.parquet")
    return folder


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("rows", [101, 1000])
def test_parts_are_the_whole_table(folder, tmp_path, kind, rows):
    data = folder / f"new.{kind}"
    whole = run("predict", folder / "model", data, "-o", tmp_path / f"whole.{kind}", "--rows", 10**6)
    parts = run("predict", folder / "model", data, "-o", tmp_path / f"parts.{kind}", "--rows", rows)
    strip = [line for line in whole.output.splitlines() if "predicted:" not in line]
    assert [line for line in parts.output.splitlines() if "predicted:" not in line] == strip
    assert any("rows are those of the fitted table" in line for line in strip)
    read = pd.read_csv if kind == "csv" else pd.read_parquet
    a, b = read(tmp_path / f"whole.{kind}"), read(tmp_path / f"parts.{kind}")
    assert len(a) == N + 40
    pd.testing.assert_frame_equal(a, b, rtol=1e-8)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"parts.{kind}", f"whole.{kind}"]


@pytest.mark.parametrize(
    "output", ["a.csv.gz", "a.parquet", pytest.param("a.tsv", marks=SLOW), pytest.param("a.xlsx", marks=SLOW)]
)
def test_every_kind_of_output_is_joined(folder, tmp_path, output):
    small = folder / "new.csv"
    run("predict", folder / "model", small, "-o", tmp_path / "a.csv", "--rows", 700, "-q")
    run("predict", folder / "model", small, "-o", tmp_path / output, "--rows", 700, "-q")
    expected = pd.read_csv(tmp_path / "a.csv")
    if output.endswith("xlsx"):
        found = pd.read_excel(tmp_path / output)
    elif output.endswith("parquet"):
        found = pd.read_parquet(tmp_path / output)
    else:
        found = pd.read_csv(tmp_path / output, sep="\t" if output.endswith("tsv") else ",")
    found, expected = (
        f.assign(**{n: f[n].fillna("").astype(str) for n in ("id", "facet", "lab")}) for f in (found, expected)
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def stopped_after(monkeypatch, k):
    """Let a run end, as from outside, when it has written k parts."""
    from bayestl.files.parts import Parts

    add = Parts.add

    def add_or_stop(self, *content, **notes):
        if self.count == k:
            raise KeyboardInterrupt
        add(self, *content, **notes)

    monkeypatch.setattr(Parts, "add", add_or_stop)


@pytest.mark.parametrize(
    ("model", "kind"),
    [("model", "csv"), *(pytest.param(*of, marks=SLOW) for of in [("model", "parquet"), ("draws", "csv")])],
)
def test_a_run_that_was_ended_goes_on_and_ends_alike(folder, tmp_path, monkeypatch, kind, model):
    if model == "draws" and not (folder / "draws").exists():
        options = ["--features", "p,q", "--model", "low-rank", "--name", "id", "-q"]
        run("fit", folder / "fitted.csv", "--tasks", "source,target", *options, "-o", folder / "draws")
    command = ["predict", folder / model, folder / "new.csv", "--rows", 200, "-o"]
    run(*command, tmp_path / f"once.{kind}", "-q")
    with monkeypatch.context() as patched:
        stopped_after(patched, 3)
        result = run(*command, tmp_path / f"out.{kind}", code=130)
    assert "3 parts are finished; the same command goes on" in result.output
    assert not (tmp_path / f"out.{kind}").exists()
    result = run(*command, tmp_path / f"out.{kind}")
    assert f"going on after 600 of {N + 40} rows" in result.output
    assert (tmp_path / f"out.{kind}").read_bytes() == (tmp_path / f"once.{kind}").read_bytes()
    assert not (tmp_path / f"out.{kind}.unfinished").exists()
    assert "40 rows are those of the fitted table" in result.output


def change_input(folder, tmp_path):
    data = tmp_path / "new.csv"
    data.write_text(data.read_text().replace("NiAl", "NiO", 1))


def change_model(folder, tmp_path):
    model = btl.load(tmp_path / "model")
    model.notes_["more"] = 1
    model.save(tmp_path / "model")


CHANGES = {
    "input": (change_input, []),
    "model": (change_model, []),
    "--level": (None, ["--level", "0.8"]),
    "--rows": (None, ["--rows", "500"]),
    "--ignore-labels": (None, ["--ignore-labels"]),
    "way to read the input": (None, ["--encoding", "utf-8"]),
}


@pytest.mark.parametrize("what", ["input", *(pytest.param(w, marks=SLOW) for w in list(CHANGES)[1:])])
def test_parts_of_another_run_are_refused(folder, tmp_path, monkeypatch, what):
    import shutil

    shutil.copytree(folder / "model", tmp_path / "model")
    shutil.copy(folder / "new.csv", tmp_path / "new.csv")
    command = ["predict", tmp_path / "model", tmp_path / "new.csv", "-o", tmp_path / "out.csv", "-q"]
    with monkeypatch.context() as patched:
        stopped_after(patched, 1)
        run(*command, "--rows", 400, code=130)
    change, options = CHANGES[what]
    if change is not None:
        change(folder, tmp_path)
    options = options if what == "--rows" else ["--rows", "400", *options]
    result = run(*command, *options, code=1)
    assert f"holds parts of another run, of another {what}" in " ".join(result.output.split())
    assert "--force" in result.output
    run(*command, *options, "--force")
    assert len(pd.read_csv(tmp_path / "out.csv")) == N + 40
    assert not (tmp_path / "out.csv.unfinished").exists()


@pytest.mark.parametrize(
    ("row", "column", "cell", "words"),
    [
        (1000, "p", "many", "column 'p' of bad.csv holds 'many' in line 1002"),
        (1000, "alloy", "Xx2", "column 'alloy' of bad.csv holds 'Xx2' in line 1002"),
        (1000, "source", "n.d.!", "column 'source' of bad.csv holds 'n.d.!' in line 1002"),
        (900, "padding", "a,b", "line 902 (11)"),
    ],
)
def test_a_bad_cell_is_named_before_anything_is_predicted(folder, tmp_path, row, column, cell, words):
    new = pd.read_csv(folder / "new.csv", dtype=object)
    new.loc[row, column] = cell
    text = new.to_csv(index=False).replace('"a,b"', "a,b")
    (tmp_path / "bad.csv").write_text(text)
    command = ["predict", folder / "model", tmp_path / "bad.csv", "-o", tmp_path / "out.csv", "--rows", 400]
    result = run(*command, code=1)
    assert words.replace("(11)", f"({len(new.columns) + 1})") in " ".join(result.output.split())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.csv"]


@SLOW
def test_more_processes_are_the_same_bytes(folder, tmp_path):
    command = ["predict", folder / "model", folder / "new.csv", "--rows", 400, "-q", "-o"]
    run(*command, tmp_path / "one.csv")
    run(*command, tmp_path / "two.csv", "--jobs", 2)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def started(*arguments):
    code = "from bayestl.__main__ import main; main()"
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stderr=subprocess.PIPE, text=True)


@SLOW
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_loses_the_part_at_hand_only(folder, tmp_path, how):
    command = ["predict", folder / "model", folder / "new.csv", "--rows", 100, "-o"]
    process = started(*command, tmp_path / "out.csv")
    third = tmp_path / "out.csv.unfinished" / "000003.npz"
    deadline = time.monotonic() + 100
    while not third.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    process.communicate()
    assert process.returncode in (-how, 128 + how)
    assert not (tmp_path / "out.csv").exists()
    run(*command, tmp_path / "out.csv", "-q")
    run(*command, tmp_path / "once.csv", "-q")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "once.csv").read_bytes()


MEASURE = """
import resource, sys
from bayestl.cli import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    print(end.code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@SLOW
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_table(folder, tmp_path, kind):
    """Eight times the rows, which would take some 170 MB at once, may take 40 MB: 16 bytes a row, and the allocator's."""
    peak = {}
    for n in (12_500, 100_000):
        rng = np.random.default_rng(0)
        frame = pd.DataFrame({"id": [f"x{i}" for i in range(n)], "p": rng.random(n), "q": rng.integers(0, 50, n)})
        frame["alloy"], frame["facet"], frame["padding"] = "NiAl", "b", "words that are kept, of some length"
        data, output = tmp_path / f"{n}.{kind}", tmp_path / f"out{n}.{kind}"
        frame.to_csv(data, index=False) if kind == "csv" else frame.to_parquet(data, row_group_size=12_500)
        command = [sys.executable, "-c", MEASURE, "predict", folder / "model", data, "-o", output, "-q"]
        code, peak[n] = subprocess.run(list(map(str, command)), capture_output=True, text=True).stdout.split()
        assert code == "0"
    assert float(peak[100_000]) - float(peak[12_500]) < 40
