"""What a campaign promises: sound suggestions, nothing lost, two at a time, everything again after opening."""

import multiprocessing
import random
import sqlite3
import time

import numpy as np
import pandas as pd
import pytest
from support.campaigns import TASKS, answers, campaign, model, table
from support.processes import Worker, suggest_and_tell, tell

import bayestl as btl
from bayestl.active import Between, Campaign, Learn, LedgerError, Maximise, plot_campaign


def test_from_nothing_to_the_best_row(tmp_path):
    own = campaign(tmp_path / "c.db")
    first = own.suggest(12)
    assert first["reason"].str.contains("first measurements").all()
    assert (first["task"].value_counts() == 6).all()
    assert first["row"].nunique() == 6
    _, Y = table()
    own.tell(answers(first))
    own.tell(Y[["dft"]].iloc[:10])
    for _ in range(3):
        own.tell(answers(own.suggest(3)))
    assert own.best()["value"] == pytest.approx(Y["exp"].max())
    last = own.suggestions().iloc[-1]
    assert last["lower"] < last["predicted"] < last["upper"]
    assert last["model"] == "DifferenceGP"
    assert last["version"] == btl.__version__


def test_it_shows_itself_at_every_stage(tmp_path):
    own = campaign(tmp_path / "c.db", goal=Maximise("exp"), budget=100.0)
    assert "No candidate is measured yet" in own._repr_html_()
    asked = own.suggest(2)
    shown = own._repr_html_()
    assert "2 under way" in shown
    assert all(f"<td>{row}</td>" in shown for row in asked["row"])
    own.tell(answers(asked))
    if (best := own.best()) is not None:
        assert f"Best so far: {best['row']}, {best['value']:.4g}" in own._repr_html_()
    assert f"spent {own.spent:g} of 100" in own._repr_html_()
    assert "under way" not in own._repr_html_()


def test_it_shows_the_unit_of_its_quantity(tmp_path):
    pool, known = pd.DataFrame({"x": np.linspace(0, 1, 9)}), pd.DataFrame({"v": [1.25, 2.5]})
    tasks, goal, model = [btl.Task("v", unit="A^3")], Between("v", 2.0, 3.0), btl.IndependentGP(verbose=False)
    own = Campaign(pool, tasks, goal, model, tmp_path / "c.db", known=known)
    assert "v between 2 and 3 A^3" in repr(own)
    shown = own._repr_html_()
    assert "Best so far: 1, 2.5 Å³" in shown  # not 1.0
    assert "<th>value (Å³)</th>" in shown
    assert Campaign.open(tmp_path / "c.db").unit == own.unit == "A^3"
    axes = btl.active.plot_campaign(own)
    assert axes.get_ylabel() == "v (Å³)"
    assert "v between 2 and 3 Å³" in axes.get_legend_handles_labels()[1]


def test_opened_again_it_goes_on_exactly(tmp_path):
    _, Y = table()
    for name in ("a", "b"):
        own = campaign(tmp_path / f"{name}.db")
        own.tell(Y.iloc[:8])
        first = own.suggest(2)
        if name == "b":
            own = Campaign.open(tmp_path / "b.db", verbose=False)
        own.tell(answers(first))
        second = own.suggest(2)
        if name == "a":
            expected = second
    pd.testing.assert_frame_equal(second, expected)
    assert own.goal == Maximise("exp")
    assert [t.cost for t in own.tasks] == [1.0, 20.0]
    pd.testing.assert_frame_equal(own.pool, table()[0])


def test_what_is_under_way_is_not_suggested_again(tmp_path):
    _, Y = table()
    own = campaign(tmp_path / "c.db")
    own.tell(Y.iloc[:8])
    one, two = own.suggest(3), own.suggest(3)
    pairs = set(zip(one["row"], one["task"], strict=True))
    assert pairs.isdisjoint(zip(two["row"], two["task"], strict=True))
    own.drop(one.index)
    assert (own.suggestions("dropped").index == [0, 1, 2]).all()
    again = own.suggest(6)
    assert pairs & set(zip(again["row"], again["task"], strict=True))


def test_the_budget_is_kept(tmp_path):
    _, Y = table()
    own = campaign(tmp_path / "c.db", budget=8 * 21 + 45)
    own.tell(Y.iloc[:8])
    found = own.suggest(200)
    assert found["cost"].sum() <= 45
    assert own.suggest(1).empty or own.suggest(1)["cost"].sum() <= 45 - found["cost"].sum()


def test_constraints_are_honoured(tmp_path):
    pytest.importorskip("pymatgen")
    X, Y = table()
    formulas = ["PbTe" if i % 2 else "GaAs" for i in range(len(X))]
    allowed = np.arange(len(X)) < 30
    own = Campaign(
        X,
        TASKS,
        Maximise("exp"),
        model(),
        tmp_path / "c.db",
        formulas=formulas,
        allowed=allowed,
        max_per_element={"Pb": 6},
        verbose=False,
    )
    own.tell(Y.iloc[:8])  # four of them hold lead
    found = Campaign.open(tmp_path / "c.db", verbose=False).suggest(20)
    positions = [list(X.index).index(r) for r in found["row"]]
    assert max(positions) < 30
    new = {p for p in positions if formulas[p] == "PbTe" and p >= 8}
    assert len(new) <= 2
    assert any(formulas[p] == "GaAs" for p in positions)


def test_repeats_and_standard_errors_count(tmp_path):
    own = campaign(tmp_path / "c.db", goal=Learn("exp"))
    _, Y = table()
    own.tell(Y.iloc[:8])
    own.tell(
        pd.DataFrame({"row": ["m0", "m0"], "task": "exp", "value": [1.0, 2.0], "se": [0.1, 0.1], "cost": [3.0, None]})
    )
    assert own.labels().loc["m0", "exp"] == pytest.approx(np.mean([Y.loc["m0", "exp"], 1.0, 2.0]))
    assert own.spent == pytest.approx(8 * 21 + 3 + 20)
    assert len(own.suggest(1)) == 1


def test_a_hurdle_and_a_class_can_be_sought(tmp_path):
    X, Y = table()
    gap = np.maximum(Y["exp"], 0.0)
    tasks = [btl.Task("gap", likelihood=btl.Hurdle("power-0.75"))]
    own = Campaign(
        X,
        tasks,
        Between("gap", 0.5, 0.9),
        btl.IndependentGP(hyperparameters="map", verbose=False),
        tmp_path / "c.db",
        verbose=False,
    )
    own.tell(pd.DataFrame({"gap": gap.iloc[:20]}))
    found = own.suggest(3)
    assert len(found) == 3
    assert (found["score"] > 0).all()
    own.tell(found.assign(value=[gap[r] for r in found["row"]]))
    assert set(own.hits().index) == set(gap[own.labels()["gap"].notna()][lambda g: g.between(0.5, 0.9)].index)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"row": ["m0"], "task": ["exp"], "value": ["red"]}, "'red'"),
        ({"row": ["zz"], "task": ["exp"], "value": [1.0]}, "'zz' is no candidate"),
        ({"row": ["m1"], "task": ["color"], "value": [1.0]}, "no task 'color'"),
        ({"row": ["m1"], "task": ["exp"], "value": [np.inf]}, "use NaN for a label"),
        ({"row": ["m1"], "task": ["exp"], "value": [1.0], "se": [-1.0]}, "se must be a number that is not negative"),
        ({"row": ["m1"], "value": [1.0]}, "lack the column 'task'"),
    ],
)
def test_results_that_cannot_be_are_refused_as_a_whole(tmp_path, results, message):
    own = campaign(tmp_path / "c.db")
    good = {"row": ["m5"], "task": ["exp"], "value": [1.0]}
    both = pd.concat([pd.DataFrame(good), pd.DataFrame(results)], ignore_index=True)
    with pytest.raises(ValueError, match=message):
        own.tell(pd.DataFrame(results) if "task" not in results else both)
    assert own.results().empty


def test_a_source_without_results_is_measured_first(tmp_path):
    own = campaign(tmp_path / "c.db")
    own.tell(table()[1][["exp"]].iloc[:8])
    first = own.suggest(2)
    assert first["task"].tolist() == ["dft", "dft"]
    own.tell(answers(first))
    assert own.suggest(1)["reason"].str.contains("exp").all()


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(LedgerError, match="no ledger at"):
        Campaign.open(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("not a database at all, but long enough to look at" * 30)
    with pytest.raises(LedgerError, match="is no ledger"):
        Campaign.open(tmp_path / "text.db")
    campaign(tmp_path / "c.db")
    with pytest.raises(LedgerError, match="already exists"):
        campaign(tmp_path / "c.db")
    with sqlite3.connect(tmp_path / "c.db") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="has format 99: this version reads format 2"):
        Campaign.open(tmp_path / "c.db")


@pytest.mark.parametrize("what", ["allowed", "formulas"])
def test_what_is_said_of_candidates_names_them(what, tmp_path):
    X, _ = table()
    values = pd.Series(np.arange(len(X)) < 3 if what == "allowed" else ["GaAs"] * len(X), X.index)
    for other, words in (
        (values[::-1], "the same rows in another order"),
        (values.set_axis(X.index + "x"), "other rows"),
    ):
        with pytest.raises(ValueError, match=f"{what} has {words}"):
            Campaign(X, TASKS, Maximise("exp"), model(), tmp_path / "c.db", verbose=False, **{what: other})
    own = Campaign(X, TASKS, Maximise("exp"), model(), tmp_path / "c.db", verbose=False, **{what: values})
    assert len(own.suggest(20)) == (6 if what == "allowed" else 20)


@pytest.mark.parametrize("opened", [False, True])
def test_dates_name_candidates_in_results_as_in_the_pool(opened, tmp_path):
    X, Y = table()
    days = pd.date_range("2024-01-01", periods=len(X))
    X, Y = X.set_axis(days), Y.set_axis(days)
    own = Campaign(X, TASKS, Maximise("exp"), model(), tmp_path / "c.db", known=Y[["dft"]].iloc[:5], verbose=False)
    own = Campaign.open(tmp_path / "c.db", verbose=False) if opened else own
    own.tell(Y[["exp"]].iloc[:3])
    own.tell(pd.DataFrame({"row": [days[4], str(days[5])], "task": "exp", "value": [0.1, 0.2]}))
    assert own.labels()["exp"].notna().sum() == 5
    with pytest.raises(ValueError, match="is no candidate of the pool"):
        own.tell(pd.DataFrame({"row": [pd.Timestamp("2023-01-01")], "task": "exp", "value": [0.1]}))
    with pytest.raises(ValueError, match="names candidates by 2 columns"):
        Campaign(X.set_index(["a", "b"], append=False, drop=False), TASKS, Maximise("exp"), model(), tmp_path / "d.db")


def test_bad_campaigns_are_named(tmp_path):
    X, _ = table()
    twice = X.rename(index={"m1": "m0"})
    for pool, kwargs, message in (
        (twice, {}, "row 'm0' twice"),
        (X, {"acquisition": "best"}, "acquisition must be one of"),
        (X, {"budget": -1}, "budget must be a positive number"),
        (X, {"allowed": [True]}, "allowed has 1 entries for 40 candidates"),
        (X, {"max_per_element": {"Pb": 1}}, "max_per_element needs formulas="),
    ):
        with pytest.raises(ValueError, match=message):
            Campaign(pool, TASKS, Maximise("exp"), model(), tmp_path / "x.db", **kwargs)


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="Windows")
def test_a_kill_at_any_point_loses_nothing_that_was_acknowledged(tmp_path):
    path = tmp_path / "c.db"
    campaign(path)
    acknowledged: list[int] = []
    delay = random.Random(0)
    for _ in range(50):
        worker = Worker(tell, path, len(acknowledged))
        said = [worker.hear()]  # it is in its loop now
        time.sleep(delay.uniform(0, 0.05))
        acknowledged += [int.from_bytes(i, "little") for i in said + worker.kill()]
        values = Campaign.open(path, verbose=False).results()["value"].tolist()
        assert values[: len(acknowledged)] == [float(i) for i in acknowledged]
        acknowledged = [int(v) for v in values]  # what was written but not acknowledged counts too
        with sqlite3.connect(path) as db:
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert len(acknowledged) >= 50


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="Windows")
def test_two_processes_share_a_ledger(tmp_path):
    path = tmp_path / "c.db"
    campaign(path)  # from nothing: no model is fitted in the forks
    both = [Worker(suggest_and_tell, path, 1) for _ in range(2)]
    for worker in both:
        worker.hear()
        worker.process.join()
        assert worker.process.exitcode == 0
    own = Campaign.open(path, verbose=False)
    pairs = own.suggestions()[["row", "task"]]
    assert not pairs.duplicated().any()
    assert len(own.results()) == len(pairs)
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_two_processes_do_not_overspend_together(tmp_path):
    """Each chose within the budget that it saw; the second one to write finds that it is used up."""
    own = campaign(tmp_path / "c.db", budget=171.0)
    own.tell(answers(own.suggest(12)))
    left = 171.0 - own.spent
    other = Campaign.open(tmp_path / "c.db", verbose=False)
    choose, between = other._choose, []

    def slowly(n, seed):
        picks = choose(n, seed)
        if not between:
            between.append(own.suggest(3))
        return picks

    other._choose = slowly
    other.suggest(50)
    assert not between[0].empty
    assert other.suggestions("open")["cost"].sum() <= left + 1e-9


@pytest.mark.parametrize(("goal", "lines"), [(Maximise("exp"), 2), (Between("exp", 0.8, 1.2), 2)])
def test_progress_is_reported_in_the_order_of_the_results(tmp_path, goal, lines):
    own = campaign(tmp_path / "c.db", goal)
    for n in (12, 3):
        own.tell(answers(own.suggest(n)))
    progress = own.progress()
    assert progress["cost"].is_monotonic_increasing
    assert progress["cost"].iloc[-1] <= own.spent
    assert set(progress["row"]) == set(own.labels()["exp"].dropna().index)
    values = own.labels()["exp"].loc[progress["row"]].to_numpy()
    np.testing.assert_allclose(progress["value"], values)
    if isinstance(goal, Maximise):
        np.testing.assert_allclose(progress["best"], np.maximum.accumulate(values))
    ax = plot_campaign(own)
    assert len(ax.get_lines()) == lines
    assert ax.get_xlabel() == "cost"
