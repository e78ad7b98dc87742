"""Every command with wrong inputs: one line that names the cure, exit code 1 or 2, and nothing changed on the disk.

The cases are generated: each option and argument of each command gets wrong values of its kind, beside a valid rest.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import bayestl as btl
from bayestl import active
from bayestl.cli import app

COMMANDS = typer.main.get_command(app).commands


VALID = {
    "demo": [],
    "fit": ["data.csv", "--tasks", "dft,measured", "--features", "x", "--model", "multi-task", "-o", "new-model"],
    "predict": ["model", "data.csv", "-o", "new.csv"],
    "report": ["model", "-o", "new.html"],
    "diagnose": ["model"],
    "check": ["data.csv"],
    "compare": ["data.csv", "--tasks", "dft,measured", "--features", "x", "--models", "independent"],
    "reproduce": ["molecules"],
    "datasets": ["elements"],
    "suggest": ["campaign.db"],
    "begin": [
        "new.db",
        "--pool",
        "data.csv",
        "--tasks",
        "dft,measured",
        "--goal",
        "maximise measured",
        "--features",
        "x",
    ],
    "tell": ["campaign.db", "results.csv"],
    "simulate": ["data.csv", "--tasks", "dft,measured", "--goal", "maximise measured", "--features", "x"],
}
"""The right arguments of each command, for the files of the fixture ``folder``; "begin" is suggest with --pool."""

FILES = [
    "missing.csv",
    "",
    ".",
    "box",
    "empty.csv",
    "header.csv",
    "binary.csv",
    "binary.parquet",
    "data.csv/in.csv",
    "a" * 300,
]
MODELS = ["missing", "", ".", "box", "data.csv", "torn", "strange", "data.csv/in", "a" * 300]
NUMBERS = ["", "x", "nan", "-1", "1,5", "0x10", "--", "1 2", "²"]
NAMES = ["nope", ",", "nope,dft", "dft,,nope", "DFT", "dft;measured", "'dft'", "dft measured"]
TO_FILE = ["", ".", "box", "data.csv", "data.csv/out", "data.csv/deep/out", "a" * 300, "loop", "box/"]
TO_FOLDER = ["", "data.csv", "data.csv/out", "a" * 300, "loop", "campaign.db"]
WRONG = {
    "data": FILES,
    "pool": FILES,
    "results": FILES,
    "model folder": MODELS,
    "ledger": ["missing.db", "", ".", "box", "empty.csv", "data.csv", "binary.csv", "data.csv/in", "a" * 300],
    "output": TO_FILE,
    "tasks": [*NAMES, "", "dft,dft", "x,y", "word"],
    "features": [*NAMES, "composition:", "composition:nope", "composition:a,composition:b", "molecules:nope", "name", "gap:x"],
    "target": [*NAMES, ""],
    "groups": ["nope", "dft,measured"],
    "name": ["nope", "name,x"],
    "model": ["nope", "", "Difference", "gp", "1"],
    "models": ["nope", "", ",", "independent,nope", "Independent", "independent;chain"],
    "graph": ["dft", ">", "dft>", ">measured", "nope>measured", "dft>nope", "dft>dft", "dft>measured,measured>dft", "dft<measured"],
    "likelihoods": ["nope", "=", "dft=", "=hurdle", "nope=hurdle", "dft=nope", "dft=Hurdle", "dft:hurdle", "dft=hurdle,x=gaussian"],
    "presets": ["nope", "magpie,nope", "Magpie"],
    "hide": ["nope", "", "rows", "Target"],
    "costs": ["nope", "=", "dft=", "dft=x", "dft=-1", "dft=0", "dft=nan", "dft=inf", "nope=1", "1"],
    "goal": ["", "nope", "maximise", "maximise nope", "minimise dft -", "dft near x", "dft between 2 and 1", "learn nope", "best dft"],
    "acquisition": ["nope", "", "EI "],
    "known": ["nope", "dft,nope", "DFT"],
    "case": ["nope", "", "NO", "1"],
    "variant": ["nope", "", "G9"],
    "sizes": ["nope", "0", "-1", "20,x", "1.5", "nan", "²"],
    "split": ["nope", "", "KFold"],
    "level": [*NUMBERS, "0", "1", "90", "inf"],
    "budget": [*NUMBERS, "0", "-inf"],
    "folds": [*NUMBERS, "0", "1", "1.5", "1000"],
    "splits": [*NUMBERS, "0", "1", "1.5", "1000"],
    "start": [*NUMBERS, "0", "1.5", "1000"],
    "sep": ["ab", "", "..", "tabs"],
    "decimal": ["", ";", "1", ",."],
    "encoding": ["nope", "", "utf-99"],
    "skip_rows": [*NUMBERS, "1.5", "inf", "1000"],
    "sheet": ["1", "nope"],
    "std": ["nope", "dft=", "=x", "dft=nope", "nope=x", "dft=dft", "dft:x"],
    "seed": [*NUMBERS, "1.5", "inf", "1e3"],
}  # fmt: skip
COUNTS = [*NUMBERS, "0", "1.5", "inf", "1e3"]
"""Wrong values by the name of an option or argument; those that are not listed are counts."""


def kind_of(command, option):
    """The list of wrong values of an option: by its name, except where that means another thing."""
    if option == "model" and command in ("predict", "report", "diagnose"):
        return MODELS
    if option == "output" and command in ("demo", "reproduce", "simulate"):
        return TO_FOLDER
    if option == "output" and command == "fit":
        return [*TO_FOLDER, ".", "box", "model"]
    if option == "name" and command == "datasets":
        return ["nope", "", "Elements", "elements.csv", "elements,freesolv"]
    if option == "ledger" and command == "begin":
        return ["data.csv", "campaign.db", ".", "data.csv/in.db", "a" * 300, "loop"]
    if option == "hide" and command == "reproduce":
        return []  # of other cases: below
    return WRONG.get(option, COUNTS)


OTHERS = {
    "demo": [["--output"], ["bayestl-demo"]],
    "fit": [
        [
            "data.csv",
            "--tasks",
            "dft,measured",
            "--features",
            "x",
            "--model",
            "latent-variable",
            "-o",
            "new",
            "--graph",
            graph,
        ]
        for graph in WRONG["graph"]
    ]
    + [
        ["data.csv", "--tasks", "dft,measured", "--features", "x", "--model", "difference", "-o", "new", *more]
        for more in (["--target", "dft"], ["--budget", "3"], ["--graph", "dft>measured"])
    ],
    "compare": [
        ["data.csv", "--tasks", "dft,measured", "--features", "x", "--models", "latent-variable", "--graph", graph]
        for graph in WRONG["graph"]
    ],
    "reproduce": [
        [case, option, value]
        for case, option, values in [
            ("no", "--hide", ["nope", "Row", ""]),
            ("no", "--split", ["nope", "KFold", ""]),
            ("no", "--variant", ["G1"]),
            ("no", "--sizes", ["20"]),
            ("no", "-o", ["new"]),
            ("no", "--summary", [""]),
            ("color", "--hide", ["nope"]),
            ("color", "--split", ["metal"]),
            ("elements", "--hide", ["nope"]),
            ("elements", "--models", ["nope"]),
            ("gap", "--variant", ["nope", "g1"]),
            ("gap", "--seed", ["3"]),
            ("enthalpies", "--variant", ["nope", "SCAN"]),
            ("fidelities", "--variant", ["nope", "All"]),
            ("fidelities", "--sizes", ["20"]),
            ("small-tables", "--variant", ["nope"]),
            ("small-tables", "-o", TO_FOLDER),
        ]
        for value in values
    ],
    "datasets": [["-o", "new.csv"], ["elements", "-o", "data.csv"]],
    "tell": [["campaign.db", f"wrong-{k}.csv"] for k in range(12)],
}
"""Further wrong lines, whose fault is not in one option."""


def cases():
    """Every wrong line, as a command and its arguments."""
    for key, valid in VALID.items():
        command = "suggest" if key == "begin" else key
        lines = [[*valid, "--nope"], [*valid, "--nope", "3"], [*valid, "too", "many", "words"], ["-Q", *valid]]
        needed = [p.opts for p in COMMANDS[command].params if p.required]
        for k in range(len(valid)):
            named = sum(not opts[-1].startswith("-") for opts in needed) <= k
            if not named or not all(opts[-1][0] != "-" or {*opts} & {*valid[:k]} for opts in needed):
                lines.append(valid[:k])
        for parameter in COMMANDS[command].params:
            option, name = parameter.opts[-1], parameter.name
            if getattr(parameter, "is_flag", False) or name in ("help", "as_json"):
                continue
            is_option = option.startswith("-")
            if key == "suggest" and is_option and name not in ("n", "output"):
                continue  # for a new campaign
            for value in kind_of(key, name):
                if is_option:
                    without = list(valid)
                    for spelling in parameter.opts:
                        if spelling in without:
                            at = without.index(spelling)
                            del without[at : at + 2]
                    lines.append([*without, option, value])
                else:
                    place = [p.name for p in COMMANDS[command].params if not p.opts[-1].startswith("-")].index(name)
                    lines.append([*valid[:place], value, *valid[place + 1 :]])
            if is_option:
                lines.append([*valid, option])
        for arguments in lines + OTHERS.get(key, []):
            yield key, command, list(arguments)


CASES = [(key, [command, *arguments]) for key, command, arguments in cases()]


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
    good = pd.DataFrame({"row": ["m5"], "task": ["dft"], "value": [0.3]})
    good.to_csv(home / "results.csv", index=False)
    wrong = [
        {"row": "m99"}, {"row": ""}, {"task": "nope"}, {"task": ""}, {"value": "red"}, {"value": "inf"}, {"se": -1}, {"se": "x"},
        {"cost": -1}, {"cost": "x"}, {"row": "m5,m6"}, {"value": "1,5"},
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
    assert {key: n for key, n in counts.items() if n < 20} == {}


@pytest.mark.parametrize("key", VALID)
def test_wrong_inputs_are_one_line_and_change_nothing(key, folder, no_work):
    faults, before = [], snapshot(folder)
    for arguments in (arguments for of, arguments in CASES if of == key):
        out = CliRunner().invoke(app, arguments)
        after = snapshot(folder)
        lines = out.stderr.strip().splitlines()
        fault = (
            "exit" if out.exit_code not in (1, 2) else "traceback" if not isinstance(out.exception, SystemExit)
            else "lines" if len(lines) != 1 or not lines[0].startswith("error: ") or len(lines[0]) < 18
            else "stdout" if out.stdout else "changed" if before != after else None
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
