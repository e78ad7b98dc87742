"""The command as a process: its name, exit codes, closed pipes, interrupts, and what goes where."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayestl as btl
from bayestl.cli import app

COMMAND = [sys.executable, "-m", "bayestl"]
QUICK = {"hyperparameters": "map", "n_starts": 1, "verbose": False}


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table with two tasks, and two saved models."""
    home = tmp_path_factory.mktemp("process")
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((60, 3)), columns=list("abc"))
    noise = 0.1 * rng.standard_normal((2, 60))
    Y = pd.DataFrame({"dft [eV]": np.sin(X["a"]) + X["b"] + noise[0], "gap": np.sin(X["a"]) + 1.1 * X["b"] + noise[1]})
    Y.loc[30:, "gap"] = np.nan
    pd.concat([X, Y], axis=1).to_csv(home / "data.csv", index=False)
    btl.IndependentGP(**QUICK).fit(X, Y).save(home / "model")
    exact = Y.assign(**{"dft [eV]": np.sin(X["a"]) + X["b"]})  # without noise the intervals are too wide
    btl.IndependentGP(**QUICK).fit(X, exact).save(home / "bad")
    return home


def files(home):
    return sorted(str(p.relative_to(home)) for p in home.rglob("*"))


def test_the_version_and_the_module():
    out = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert out.stdout == f"bayestl {btl.__version__}\n"
    assert invoke("--version").output == out.stdout
    usage = subprocess.run([*COMMAND, "fit"], capture_output=True, text=True)
    assert usage.returncode == 2
    assert usage.stderr.endswith(": see bayestl fit --help\n")


def test_help_says_the_exit_codes_and_how_to_complete():
    text = " ".join(re.sub(r"[│╭╮╰╯─]", "", invoke("--help").output).split())
    assert "Exit codes: 0 done; 1 an input is wrong" in text
    assert "--install-completion" in text
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    for code in ("0", "1", "2", "3", "130", "141"):
        assert f"| {code} |" in page
    for name in app.registered_commands:
        assert f"`bayestl {name.callback.__name__}" in page


def test_a_diagnosis_is_printed_and_its_exit_code_counts_failures(folder):
    good, bad = invoke("diagnose", folder / "model"), invoke("diagnose", folder / "bad")
    assert good.exit_code == 0, good.output
    assert "leave-one-out calibration (p value)" in good.output
    assert bad.exit_code == 3, bad.output
    assert re.search(r" fail\n +\w+", bad.output)
    checks = json.loads(invoke("diagnose", folder / "bad", "--json").stdout)
    assert list(checks[0]) == ["check", "of", "value", "threshold", "status", "advice"]
    assert checks[0]["status"] == "fail"


def test_a_comparison_as_json(folder):
    arguments = [
        "compare",
        folder / "data.csv",
        "--tasks",
        "dft [eV],gap",
        "--features",
        "a,b",
        "--models",
        "independent",
        "--folds",
        2,
    ]
    out = invoke(*arguments, "-j", 1, "--json", "--target", "gap")
    assert out.exit_code == 0, out.output
    document = json.loads(out.stdout)
    (score,) = document["scores"]
    assert (score["quantity"], score["model"], document["best"]) == ("gap", "independent", {"gap": "independent"})
    assert 0 < score["mae"]["mean"] < 2
    assert score["accuracy"] == {"mean": None, "se": None}


def test_nothing_is_replaced_without_force(folder, tmp_path):
    model, page = tmp_path / "model", tmp_path / "r.html"
    fit = ["fit", folder / "data.csv", "--tasks", "gap", "--features", "a", "--model", "independent", "-o", model, "-q"]
    assert invoke(*fit).exit_code == 0
    for command in (
        fit,
        ["predict", model, folder / "data.csv", "-o", tmp_path / "p.csv", "-q"],
        ["report", model, "-o", page, "-q"],
    ):
        first = invoke(*command, *(["--force"] if command is fit else []))
        assert first.exit_code == 0, first.output
        before = {p: (p.read_bytes(), p.stat().st_ino) for p in tmp_path.rglob("*") if p.is_file()}
        refused = invoke(*command)
        assert refused.exit_code == 1
        assert "--force" in refused.stderr
        assert before == {p: (p.read_bytes(), p.stat().st_ino) for p in tmp_path.rglob("*") if p.is_file()}
        assert invoke(*command, "--force").exit_code == 0
        assert set(before) == {p for p in tmp_path.rglob("*") if p.is_file()}


@pytest.mark.parametrize("arguments", [["datasets"], ["--help"], ["fit", "--help"], ["datasets", "elements"]])
def test_a_reader_that_has_gone_is_no_error(arguments):
    read, write = os.pipe()
    os.close(read)
    out = subprocess.run([*COMMAND, *arguments], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert out.stderr == ""
    assert out.returncode in (1, 141)


@pytest.mark.parametrize(
    "arguments", [["datasets"], ["datasets", "elements"], ["datasets", "elements", "-o", "/dev/full"]]
)
def test_a_full_disk_is_one_line(arguments):
    with open("/dev/full", "w") as full:
        out = subprocess.run([*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert out.returncode == 1
    assert re.fullmatch(r"error: [^\n]*no space left on device\n", out.stderr)


def test_a_table_goes_to_the_standard_output(folder, tmp_path):
    """Into a pipe, and into a file that the shell has opened."""
    command = [*COMMAND, "datasets", "elements", "-o", "/dev/stdout"]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert out.stdout.count("\n") > 90
    with open(tmp_path / "table.txt", "w") as file:
        file.write("before\n")
        file.flush()
        subprocess.run(command, stdout=file, stderr=subprocess.PIPE, check=True)
    before, table = (tmp_path / "table.txt").read_text().split("\n", 1)
    assert before == "before"
    assert table == out.stdout  # the lines of the process behind the table


STARTING = re.compile(
    r"Traceback \(most recent call last\):\n  File \"<frozen runpy>\"(?!.*(, in main\n|site-packages))", re.DOTALL
)
"""An interpreter that is interrupted while it starts, before it runs a line of the command; not a worker of it."""


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.15, 0.5, 1.5, 3, 4, 5, 7, 9])
@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "data.csv", "--tasks", "dft [eV],gap", "-j", "2", "-o", "r.html"],
        ["fit", "data.csv", "--tasks", "dft [eV],gap", "-o", "new"],
        ["report", "model", "-o", "new.html"],
        ["simulate", "data.csv", "--tasks", "dft [eV],gap", "--goal", "maximise gap", "-o", "simulated", "-j", "2"],
        ["demo"],
    ],
)
def test_an_interrupt_is_quiet_and_leaves_nothing(arguments, seconds, folder):
    before = files(folder)
    run = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": folder, "start_new_session": True}
    process = subprocess.Popen([*COMMAND, *arguments, "-q"], **run)
    time.sleep(seconds)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: workers too
    out, err = process.communicate(timeout=60)
    left = [name for name in files(folder) if name not in before]
    for name in reversed(left):
        path = folder / name
        path.rmdir() if path.is_dir() else path.unlink()
    assert process.returncode in (0, 130, -signal.SIGINT), err
    if process.returncode and not STARTING.match(err):
        assert (out, err.replace("warning: ", "")) == ("", "") or err.startswith("warning: ")
        assert "Traceback" not in err
        assert "KeyboardInterrupt" not in err
    whole = (
        arguments[arguments.index("-o") + 1] if "-o" in arguments else "bayestl-demo"
    )  # written as a whole, just before
    assert [name for name in left if not re.fullmatch(rf"{whole}(/[\w.]+)?", name)] == []


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1, 5, 9])
def test_a_request_to_end_is_quiet_and_leaves_nothing(seconds, folder):
    before = files(folder)
    arguments = ["compare", "data.csv", "--tasks", "dft [eV],gap", "-j", "2", "-o", "r.html", "-q"]
    process = subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True, cwd=folder)
    time.sleep(seconds)
    process.terminate()
    assert "Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode in (143, -signal.SIGTERM)
    assert files(folder) == before
