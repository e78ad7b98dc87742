"""Thirty tasks with five labels each: how tasks are made and drawn, the errors, and that a run goes on where it ended."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayestl as btl
from bayestl.cli import app
from bayestl.datasets import Dataset
from bayestl.studies.small_tables import few_shots as study


def table():
    """Two columns in three groups: 40 rows of a, 30 of b, 10 of c; the second column lacks every second row."""
    Y = pd.DataFrame({"p": np.arange(80.0), "q": -np.arange(80.0)}, [f"r{i}" for i in range(80)])
    Y.loc[Y.index[::2], "q"] = np.nan
    data = Dataset("made", Y[[]], Y, (btl.Task("p"), btl.Task("q")), "", "", "")
    return data, pd.Series(["a"] * 40 + ["b"] * 30 + ["c"] * 10, Y.index)


def linear():
    """Three tasks of 30 labels each at 90 rows, linear in two features."""
    g = np.random.default_rng(0)
    X = pd.DataFrame(g.standard_normal((90, 2)), columns=["x", "z"])
    Y = pd.DataFrame(np.nan, X.index, ["one", "two", "three"])
    for t, name in enumerate(Y):
        Y.loc[t::3, name] = (X @ [1.0, t - 1.0])[t::3]
    return study.Tasks(X, Y)


def test_tasks_are_columns_by_group_the_largest_first():
    data, group = table()
    Y = study.by_group(data, group, 3, least=15)
    assert Y.notna().sum().to_dict() == {"p, a": 40, "p, b": 30, "q, a": 20}
    assert Y.loc["r41", "p, b"] == 41.0
    assert list(Y.index) == [f"r{i}" for i in range(70)]  # rows of c are in none of them
    with pytest.raises(ValueError, match="2 tasks of made have 25 labels, fewer than the 3 asked for"):
        study.by_group(data, group, 3)


def test_a_draw_takes_five_labels_of_each_task_and_twenty_others():
    Y = linear().Y
    train, test = study.draw(Y, 3)
    assert train.notna().sum().tolist() == [5, 5, 5]
    assert test.notna().sum().tolist() == [20, 20, 20]
    assert not set(train.index) & set(test.index)  # each row of this table has one label
    pd.testing.assert_frame_equal(train, Y.loc[train.index])
    pd.testing.assert_frame_equal(study.draw(Y, 3)[0], train)
    assert not study.draw(Y, 4)[0].index.equals(train.index)


def test_errors_are_relative_to_the_spread_of_all_labels_of_a_task():
    tasks = linear()
    unit = study.Unit("few shots", 5, "0", "mean")
    record = study.run_unit(unit, study.mean, tasks, 0)
    train, test = study.draw(tasks.Y, 0)
    expected = np.sqrt(((test["two"] - train["two"].mean()) ** 2).mean()) / tasks.Y["two"].std()
    assert record["error"]["two"] == pytest.approx(expected)
    assert "inside" not in record
    of_ridge = study.run_unit(unit, study.ridge, tasks, 0)
    assert max(of_ridge["error"].values()) < 0.1  # functions are linear, without noise
    fitted = study.run_unit(unit, study.Fitted(btl.IndependentGP(verbose=False)), tasks, 0)
    assert 0.7 < fitted["inside"] <= 1.0


def test_a_run_goes_on_where_it_ended(tmp_path, monkeypatch):
    fits = []

    def counted(X, Y, new):
        fits.append(len(Y))
        return study.mean(X, Y, new)

    monkeypatch.setattr(study, "load", lambda n_jobs, verbose: linear())
    monkeypatch.setattr(study, "learners", lambda: {"ridge of each task": study.ridge, "counted": counted})
    options = ["few-shots", "--repeats", "2", "-o", str(tmp_path), "-j", "1", "-q"]
    out = CliRunner().invoke(app, ["reproduce", *options])
    assert out.exit_code == 0, out.output
    assert len(fits) == 2
    figures = pd.read_csv(tmp_path / "figures.csv").set_index("model")
    assert json.loads((tmp_path / "run.json").read_text())["command"].startswith("bayestl")
    errors = pd.read_csv(tmp_path / "errors.csv", index_col=["model", "draw"])
    of_draw = errors.mean(axis=1)
    difference = of_draw["counted"] - of_draw["ridge of each task"]
    assert figures.loc["counted", "minus ridge"] == pytest.approx(difference.mean())
    assert figures.loc["counted", "minus ridge se"] == pytest.approx(difference.std() / np.sqrt(2))
    assert figures.loc["counted", "error"] == pytest.approx(of_draw["counted"].mean())
    result = study.run(tmp_path, 3, ["counted"], n_jobs=1, verbose=False)
    assert len(fits) == 3
    assert result.figures.loc["counted", "draws"] == 3
    with pytest.raises(ValueError, match="no such model 'forest'"):
        study.run(tmp_path, 1, ["forest"], n_jobs=1, verbose=False)


@pytest.mark.slow
def test_the_thirty_tasks(data_folder):
    tasks = study.load(1, False)
    assert tasks.Y.shape[1] == 30
    assert tasks.X.index.equals(tasks.Y.index)
    assert tasks.Y.notna().sum().min() >= 25
    assert {"dft_volume, d block", "measured, O", "scan, Cl"} <= set(tasks.Y)
    assert not tasks.X.isna().any(axis=None)
    assert not any("Melting" in name for name in tasks.X)
