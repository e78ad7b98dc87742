"""The battery of small tables: what is run, that a run goes on where it ended, and what the summary says."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from typer.testing import CliRunner

import bayestl as btl
from bayestl.cli import app
from bayestl.datasets import Dataset
from bayestl.studies.draws import SOURCE_ITSELF
from bayestl.studies.peers import Line, SourceItself
from bayestl.studies.small_tables import run, summarise
from bayestl.studies.small_tables.models import peers
from bayestl.studies.small_tables.results import FILE, Results
from bayestl.studies.small_tables.scores import Unit, run_unit, summarised
from bayestl.studies.small_tables.summary import Summary
from bayestl.studies.small_tables.tables import TABLES, Draws, Folds, Table


def small(n_jobs=None, verbose=False):
    """Sixty rows, whose target is twice the source and noise."""
    rng = np.random.default_rng(0)
    Y = pd.DataFrame({"cheap": np.linspace(0.0, 1.0, 60)})
    Y["dear"] = 2 * Y["cheap"] + 0.1 * rng.standard_normal(60)
    return Dataset("small", pd.DataFrame({"x": np.arange(60.0)}), Y, (btl.Task("cheap"), btl.Task("dear")), "", "", "")


DRAWN = Table(small, ("dear",), Draws((5, 10), 10, 20), "cheap")
FITS = []
"""The number of labels in each fit of :class:`Counted`."""


class Counted(Line):
    """A line that notes its fits, and is its own member."""

    def fit(self, X, Y, Y_std=None, groups=None):
        FITS.append(Y.notna().sum().tolist())
        self.members_ = {"itself": self}
        return super().fit(X, Y)


class Broken(BaseEstimator):
    """A model that cannot be fitted."""

    def fit(self, X, Y, Y_std=None, groups=None):
        raise RuntimeError("no fit today")


@pytest.fixture
def battery(monkeypatch):
    """One small table and two cheap models in the place of all."""
    models = {"auto": Counted("cheap", "dear"), SOURCE_ITSELF: SourceItself("cheap", "dear")}
    monkeypatch.setattr("bayestl.studies.small_tables.battery.TABLES", {"small": DRAWN})
    monkeypatch.setattr("bayestl.studies.small_tables.battery.models", lambda table, data: dict(models))
    FITS.clear()
    return models


def test_what_is_there_is_skipped_and_a_torn_line_is_run_again(battery, tmp_path):
    run(tmp_path, repeats=2, n_jobs=1, verbose=False)
    assert FITS == [[15, 5], [20, 10]] * 2  # the first draws of all numbers come first
    path = tmp_path / FILE
    whole = path.read_text()
    assert whole.count("\n") == 2 * 2 * 2
    run(tmp_path, repeats=2, n_jobs=1, verbose=False)
    assert len(FITS) == 4
    assert path.read_text() == whole
    path.write_text(whole[:-100])  # the last unit, of the source itself, is half written
    assert len(Results(tmp_path).records) == 7
    summary = run(tmp_path, repeats=2, n_jobs=1, verbose=False)
    assert len(FITS) == 4
    again, first = (json.loads(text.splitlines()[-1]) for text in (path.read_text(), whole))
    assert again["scores"][0]["crps"] == first["scores"][0]["crps"]
    assert summary.table["draws"].tolist() == [2, 2]
    run(tmp_path, repeats=3, sizes=[10], n_jobs=1, verbose=False)
    assert FITS[4:] == [[20, 10]]
    assert "seed 2" in path.read_text()


def test_other_draws_have_other_seeds(battery, tmp_path):
    run(tmp_path, repeats=1, seed=7, only=["auto"], n_jobs=1, verbose=False)
    assert {unit.draw for unit in Results(tmp_path).records} == {"seed 7"}
    folds = list(Folds(2).splits(Table(small, ("dear",), Folds(2)), small().Y, None, 2, 3))
    assert [s.name for s in folds[::5]] == ["seed 3 fold 0", "seed 3 fold 5"]
    assert sorted(np.concatenate([s.test for s in folds[:5]])) == list(range(60))
    assert all(len(s.unlabelled) == 0 and not set(s.train) & set(s.test) for s in folds)


def test_failures_are_recorded_and_tried_again(battery, tmp_path):
    battery[SOURCE_ITSELF] = Broken()
    summary = run(tmp_path, repeats=1, sizes=[10], n_jobs=1, verbose=False)
    assert "small, 10, seed 0, source itself: RuntimeError: no fit today" in str(summary)
    assert np.isnan(summary.table["over peer"].iloc[0])
    battery[SOURCE_ITSELF] = SourceItself("cheap", "dear")
    summary = run(tmp_path, repeats=1, sizes=[10], n_jobs=1, verbose=False)
    assert not summary.results.failures
    assert len(FITS) == 1
    assert summary.table["best peer"].tolist() == [SOURCE_ITSELF]


def test_members_are_scored_from_the_same_fit():
    data = small()
    (split,) = DRAWN.cut.splits(DRAWN, data.Y, 10, 1, 0)
    FITS.clear()
    record = run_unit(Unit("small", 10, split.name, "auto"), Counted("cheap", "dear"), data, split, ("dear",))
    assert len(FITS) == 1
    auto, member = record["scores"]
    assert (auto["model"], member["model"]) == ("auto", "auto: itself")
    assert member["crps"] == auto["crps"]
    held_out = data.Y.iloc[split.test]
    training = data.Y.iloc[split.train[:10]]  # the further rows have no label
    line = Line("cheap", "dear").fit(None, training).posterior(None, held_out).marginal("dear")
    assert auto["mae"] == pytest.approx(np.abs(held_out["dear"] - line.mean()).mean())
    assert auto["in 90 %"] == (np.abs(held_out["dear"] - line.mean()) <= 1.644854 * line.std()).sum()
    assert auto["labels"] == 20


def test_labels_in_the_intervals_are_counted_and_classes_have_a_brier_score():
    pit = np.array([0.04, 0.3, 0.5, 0.7, 0.99])
    rows = pd.DataFrame({"y": 0.0, "median": 1.0, "mean": 2.0, "crps": 0.5, "log_density": -1.0, "pit": pit})
    found = summarised(rows)
    assert (found["in 50 %"], found["in 90 %"], found["labels"]) == (3, 3, 5)
    assert (found["mae"], found["rmse"], found["crps"], found["nlpd"]) == (1.0, 2.0, 0.5, 1.0)
    rows = pd.DataFrame({"y": [0.0, 1.0], "likeliest": [0.0, 0.0], "p0": [0.8, 0.6], "p1": [0.2, 0.4]})
    found = summarised(rows.assign(log_density=np.log([0.8, 0.4])))
    assert found["crps"] == pytest.approx((2 * 0.2**2 + 2 * 0.6**2) / 2)
    assert found["accuracy"] == 0.5
    assert "in 90 %" not in found


def unit(table, draw, model, crps, labels=10, inside=(5, 9), members=()):
    """A finished unit, whose members have the given CRPS."""
    names = [(model, crps), *((f"auto: {k}", c) for k, c in enumerate(members))]
    counts = {"labels": labels, "in 50 %": inside[0], "in 90 %": inside[1]}
    scores = [
        {"model": m, "quantity": "y", "crps": c, "mae": c, "rmse": c, "nlpd": c, "seconds": 1.0, **counts}
        for m, c in names
    ]
    return {"table": table, "n": 20, "draw": draw, "model": model, "fit_seconds": 2.0, "scores": scores}


def test_the_summary_is_that_of_a_hand_computation(tmp_path):
    results = Results(tmp_path)
    for record in [
        unit("a", "seed 0", "auto", 1.0, members=(1.0, 0.5)),
        unit("a", "seed 1", "auto", 3.0, members=(2.0, 5.5), inside=(3, 8)),
        unit("a", "seed 0", "p", 2.0),
        unit("a", "seed 1", "p", 3.0),
        unit("a", "seed 0", "q", 0.5),  # did not finish the other draw: better on this one
        unit("b", "seed 0", "auto", 1.0, labels=30, inside=(30, 30), members=(0.8,)),
        unit("b", "seed 0", "p", 4.0, labels=30),
        unit("b", "seed 0", "q", 8.0, labels=30),
    ]:
        results.append(record)
    summary = Summary(Results(tmp_path))
    a, b = (summary.table.loc[(name, 20, "y")] for name in "ab")
    assert a["crps"] == 2.0
    assert a["seconds"] == 3.0
    assert (a["best peer"], a["over peer"]) == ("q", 2.0)
    assert summary.ratios.loc[("a", 20, "y"), "p"] == pytest.approx(4.0 / 5.0)
    assert (a["best member"], a["over member"]) == ("0", pytest.approx(4.0 / 3.0))
    assert (b["best peer"], b["over peer"], b["over member"]) == ("p", 0.25, 1.25)
    totals = summary.totals
    assert totals["geometric mean over best peer"] == pytest.approx(np.sqrt(2.0 * 0.25))
    assert totals["worst over best peer"] == 2.0
    assert totals["mean over best member"] == pytest.approx((4 / 3 + 5 / 4) / 2)
    assert totals["in 50 %"] == pytest.approx(38 / 50)
    assert totals["in 90 %"] == pytest.approx(47 / 50)
    assert totals["worst in 50 %"] == 1.0
    assert totals["worst in 90 %"] == pytest.approx(1.0)
    text = str(summary)
    assert "geometric mean 0.707, worst 2.00 (a, 20)" in text
    assert "labels in 90 % intervals: 0.940 over all tables, farthest 1.00 (b, 20)" in text
    summary.write(tmp_path / "out")
    assert (tmp_path / "out" / "small-tables.png").stat().st_size > 5000
    assert pd.read_csv(tmp_path / "out" / "summary.csv")["over peer"].tolist() == [2.0, 0.25]


def test_peers_that_apply():
    data = SimpleNamespace(Y=small().Y)
    drawn = peers(DRAWN, data)
    assert {SOURCE_ITSELF, "line", "GP on the difference"} < set(drawn)
    assert len([name for name in drawn if name.endswith(("single", "latent", "difference"))]) == 4
    several = peers(Table(small, ("dear",), Folds(1)), data)
    assert [name.split()[-1] for name in several] == ["single", "latent"]
    colours = SimpleNamespace(Y=data.Y.assign(dear=pd.Categorical(["red", "blue"] * 30)))
    assert list(peers(Table(small, ("dear",), Folds(1)), colours)) == ["forest single", "forest latent"]


def test_unknown_names_are_named(battery, tmp_path):
    with pytest.raises(ValueError, match="no table 'proteins'; the tables are"):
        run(tmp_path, ["proteins"], verbose=False)
    with pytest.raises(ValueError, match="no such model 'oracle'"):
        run(tmp_path, only=["oracle"], n_jobs=1, verbose=False)
    assert not (tmp_path / FILE).exists()
    with pytest.raises(ValueError, match="no results in"):
        summarise(tmp_path)


def test_from_the_command_line(battery, tmp_path):
    options = ["--sizes", "10", "--repeats", "1", "--seed", "3", "-j", "1", "-q", "-o", str(tmp_path)]
    out = CliRunner().invoke(app, ["reproduce", "small-tables", *options])
    assert out.exit_code == 0, out.output
    assert "small, 10" in out.output
    assert (tmp_path / "small-tables.svg").exists()
    again = CliRunner().invoke(app, ["reproduce", "small-tables", "--summary", "-o", str(tmp_path)])
    assert again.output == out.output
    assert len(FITS) == 1


def test_the_tables_are_those_of_the_protocol(data_folder):
    for name, counts in {"freesolv": (640,), "hardness": (59, 39, 56), "volume": (93,), "no-row": (48, 46, 24)}.items():
        table = TABLES[name]
        data = table.load(1, False)
        assert tuple(data.Y[t].notna().sum() for t in table.targets) == counts
        assert all(dtype.kind in "fi" for dtype in data.X.dtypes)
    splits = list(TABLES["no-row"].cut.splits(TABLES["no-row"], data.Y, None, 10, 0))
    assert len(splits) == 50
