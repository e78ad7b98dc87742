import numpy as np
import pandas as pd
import pytest
from support.auto import QUICK, with_limits
from typer.testing import CliRunner

import bayestl as btl
from bayestl.cli import app
from bayestl.cli.inputs import evident


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A CSV with limits, and two quick models to choose from."""
    models = {"independent": btl.IndependentGP(**QUICK), "multi-task": btl.MultiTaskGP(**QUICK)}
    monkeypatch.setattr("bayestl.models.ensembles.auto.candidates", lambda *_: models)
    monkeypatch.setattr("bayestl.models.ensembles.held_out.FOLDS", 2)
    X, Y = with_limits()
    path = tmp_path / "data.csv"
    pd.concat([X, Y], axis=1).to_csv(path, index=False)
    return path


def test_fit_chooses_and_says_what(table, tmp_path):
    out = invoke("fit", table, "--tasks", "dft,measured", "--target", "measured", "--budget", 600, "-o", tmp_path / "m")
    assert out.exit_code == 0, out.output
    model = btl.load(tmp_path / "m")
    assert (model.target, model.budget, list(model.members_)) == ("measured", 600, ["independent", "multi-task"])
    assert all(line in out.output for line in model.summary().splitlines())
    assert isinstance(model.tasks_[1].observes, btl.Censored)
    out = invoke("predict", tmp_path / "m", table, "-o", tmp_path / "p.csv")
    assert out.exit_code == 0, out.output
    assert pd.read_csv(tmp_path / "p.csv")["measured_mean"].notna().all()
    out = invoke("report", tmp_path / "m", "-o", tmp_path / "r.html", "--data", table)
    assert out.exit_code == 0, out.output
    assert ">What was chosen</h2>" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_compare_reads_limits_for_every_model(table):
    options = ("--tasks", "dft,measured", "--target", "measured", "--folds", "2", "-j", "1", "-q")
    out = invoke("compare", table, *options, "--models", "auto")
    assert out.exit_code == 0, out.output
    assert "measured\n" in out.output
    (task,) = evident(pd.read_csv(table)[["dft", "measured"]], None)
    assert (task.name, task.likelihood) == ("measured", btl.Censored())
    assert evident(pd.read_csv(table)[["dft"]], None) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target", "gap"), "--target: 'gap' is no task; the tasks are ['dft', 'measured']"),
        (("--target", "dft", "--model", "chain"), "--target is for --model auto, not for chain"),
        (("--budget", "3", "--model", "multi-task"), "--budget is for --model auto, not for multi-task"),
        (("--budget", "-1"), "budget must be a positive number of seconds"),
    ],
)
def test_options_of_the_choice_are_checked(table, tmp_path, options, words):
    out = invoke("fit", table, "--tasks", "dft,measured", "-o", tmp_path / "m", *options)
    assert out.exit_code == 2
    assert words in " ".join(out.output.split())


@pytest.mark.parametrize("command", ["fit", "compare"])
def test_empty_cells_of_features_are_told(tmp_path, command):
    x = np.linspace(0, 1, 12)
    pd.DataFrame({"x": x, "T": [300.0, None, 310.0] * 4, "gap": np.sin(3 * x)}).to_csv(tmp_path / "t.csv", index=False)
    of_fit, of_compare = (
        ["--model", "independent", "-o", tmp_path / "m"],
        ["--models", "independent", "--folds", 2, "-j", 1],
    )
    out = invoke(command, tmp_path / "t.csv", "--tasks", "gap", *(of_fit if command == "fit" else of_compare))
    assert out.exit_code == 0, out.output
    told = "empty cells are filled (numbers by the median), and a feature says where they were: 'T' (4)"
    assert told in " ".join(out.output.split())
