"""Every command with wrong inputs: one line that names the cure, exit code 1 or 2, and nothing changed on the disk."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.wrong_inputs import CASES, COMMANDS, OPTIONS, VALID
from typer.testing import CliRunner

import bayestl as btl
from bayestl import active
from bayestl.cli import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table, a model, a campaign, and wrong files of many kinds."""
    home = tmp_path_factory.mktemp("wrong")
    x = np.linspace(0, 1, 12)
    table = pd.DataFrame(
        {"name": [f"m{i}" for i in range(12)], "x": x, "dft": np.sin(4 * x), "measured": np.nan, "word": "a"}
    )
    table.loc[::2, "measured"] = 1.1 * np.sin(4 * x[::2]) + 0.2
    table.to_csv(home / "data.csv", index=False)
    (home / "box").mkdir()
    (home / "box" / "note.txt").write_text("a note")
    (home / "loop").symlink_to(home / "loop")
    (home / "empty.csv").write_text("")
    (home / "header.csv").write_text("name,x,dft,measured\n")
    for name in ("binary.csv", "binary.parquet"):
        (home / name).write_bytes(bytes(range(256)) * 4)
    arguments = ["--tasks", "dft,measured", "--features", "x", "--model", "independent", "-q"]
    made = CliRunner().invoke(app, ["fit", str(home / "data.csv"), *arguments, "-o", str(home / "model")])
    assert made.exit_code == 0, made.output
    for name, change in (("torn", lambda b: b[: len(b) // 2]), ("strange", lambda b: b"{}")):
        (home / name).mkdir()
        for file in (home / "model").iterdir():
            (home / name / file.name).write_bytes(change(file.read_bytes()))
    pool = pd.DataFrame({"x": x}, index=table["name"])
    campaign = active.Campaign(
        pool,
        [btl.Task("dft"), btl.Task("measured")],
        active.Maximise("measured"),
        btl.IndependentGP(),
        home / "campaign.db",
        verbose=False,
    )
    campaign.tell(table.set_index("name")[["dft"]].iloc[:3])
    body = (home / "campaign.db").read_bytes()
    (home / "torn.db").write_bytes(body[: len(body) // 2])
    (home / "changed.db").write_bytes(body.replace(b"maximise", b"minimise").replace(b"Maximise", b"Minimise"))
    good = pd.DataFrame({"row": ["m5"], "task": ["dft"], "value": [0.3]})
    good.to_csv(home / "results.csv", index=False)
    wrong = [
        {"row": "m99"}, {"row": ""}, {"task": "nope"}, {"task": ""}, {"value": "red"}, {"value": "inf"}, {"se": -1}, {"se": "x"},
        {"cost": -1}, {"cost": "x"}, {"row": "m5,m6"}, {"value": "1;5"},
    ]  # fmt: skip
    for k, change in enumerate(wrong):
        good.assign(**change).to_csv(home / f"wrong-{k}.csv", index=False)
    return home


def snapshot(home):
    """Every file with its content, and every folder."""
    paths = {str(p.relative_to(home)): p for p in home.rglob("*")}
    return {name: p.read_bytes() if p.is_file() else os.path.islink(p) for name, p in paths.items()}


@pytest.fixture
def no_work(monkeypatch, folder):
    """In the folder, where no long work may begin."""
    monkeypatch.chdir(folder)

    def refuse(*_, **__):
        raise AssertionError("long work has begun")

    monkeypatch.setattr("bayestl.parallel.Parallel", refuse)
    monkeypatch.setattr("bayestl.report.html.render", refuse)


def test_every_command_is_tried_with_many_wrong_inputs():
    assert set(VALID) - {"begin"} == set(COMMANDS)
    counts = pd.Series([key for key, _ in CASES]).value_counts()
    assert len(CASES) > 800
    assert {key: n for key, n in counts.items() if n < 60} == {}


@pytest.mark.parametrize("key", VALID)
@pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.slow)])
def test_wrong_inputs_are_one_line_and_change_nothing(key, step, folder, no_work):
    faults, before = [], snapshot(folder)
    for arguments in [arguments for of, arguments in CASES if of == key][::step]:
        out = CliRunner().invoke(app, arguments)
        after = snapshot(folder)
        lines = out.stderr.strip().splitlines()
        fault = (
            "exit" if out.exit_code not in (1, 2) else "traceback" if not isinstance(out.exception, SystemExit)
            else "lines" if len(lines) != 1 or not lines[0].startswith("error: ") or len(lines[0]) < 18
            else "stdout" if out.stdout else "changed" if before != after
            else "an option's fault" if out.exit_code == 1 and len(arguments) > 2 and arguments[-1] in OPTIONS.get(arguments[-2], ())
            else "an input's fault" if out.exit_code == 2 and key != "datasets" and "--" not in lines[0]
            else None
        )  # fmt: skip
        if fault:
            changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
            faults.append(
                (fault, arguments, out.exit_code, repr(out.exception), lines[-3:], out.stdout[-200:], changed)
            )
            for name in changed:
                path = Path(folder, name)
                if name not in before:
                    path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
                elif path.is_file():
                    path.write_bytes(before[name])
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(map(str, faults))
