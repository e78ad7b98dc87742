"""What may be told to a campaign: every kind of value is kept as what it says, or refused with a cure; mistakes are withdrawn."""

import datetime
import json

import numpy as np
import pandas as pd
import pytest
from support.campaigns import TASKS, answers, campaign, model, table

import bayestl as btl
from bayestl.active import Above, Between, Campaign, Learn, Maximise, Minimise, Reach
from bayestl.active.results import training_table

ALONE = btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False)


def told(row, value, task="exp", **more):
    return pd.DataFrame({"row": [row], "task": [task], "value": pd.Series([value], dtype=object), **more})


WORDS = [
    "n.d.",
    "n/a?",
    "fail",
    "failed!",
    "broken",
    "x",
    "",
    " ",
    "1,2",
    "1.2.3",
    "1_000",
    "1 eV",
    "nan",
    "inf",
    "--",
    "true",
    "ja",
    "<",
    "±1",
]


@pytest.mark.parametrize(
    "value",
    [
        *[*WORDS, "<0.1", ">3", "1..2"],
        True,
        np.bool_(False),
        [1.0],
        {"a": 1},
        datetime.date(2024, 1, 1),
        pd.Timedelta(1, "h"),
        1j,
        b"1",
    ],
)
def test_what_is_no_number_is_refused_with_a_cure(tmp_path, value):
    own = campaign(tmp_path / "c.db")
    for earlier in (False, True):
        with pytest.raises(ValueError) as caught:
            own.tell(pd.concat([told("m5", 1.0), told("m1", value)], ignore_index=True))
        words = str(caught.value)
        assert "m1" in words
        assert any(cure in words for cure in ("correct it", "likelihood=Censored()", "use NaN for a label"))
        assert len(own.results()) == earlier
        if not earlier:
            own.tell(told("m5", 2.0))


@pytest.mark.parametrize("value", ["1.5", " 1.5 ", "1.5e0", "+1.5", 1.5, np.float32(1.5), np.float64(1.5)])
def test_numbers_as_text_are_numbers(tmp_path, value):
    own = campaign(tmp_path / "c.db")
    own.tell(told("m1", value))
    own.tell(told("m1", 2.5))
    assert own.labels().loc["m1", "exp"] == 2.0
    assert own.labels()["exp"].dtype == float
    assert own.results()["value"].tolist() == [1.5, 2.5]


def test_a_measurement_that_failed_is_paid_for_and_not_suggested_again(tmp_path):
    own = campaign(tmp_path / "c.db", allowed=np.arange(40) < 8)
    first = own.suggest(12)
    sheet = answers(first).astype({"value": object})
    lost = first.index[first["task"] == "exp"][0]
    sheet.loc[lost, "value"] = " Failed "
    own.tell(sheet)
    pair = tuple(first.loc[lost, ["row", "task"]])
    assert own.spent == first["cost"].sum()
    assert pd.isna(own.labels().loc[pair])
    failed = own.results("failed")
    assert failed[["row", "task"]].to_numpy().tolist() == [list(pair)]
    assert failed["value"].tolist() == [None]
    assert (own.suggestions()["state"] == "done").all()
    own = Campaign.open(tmp_path / "c.db", verbose=False)
    again = own.suggest(30)
    assert pair not in set(zip(again["row"], again["task"], strict=True))
    assert len(own.progress()) == 5
    own.withdraw(failed["id"])
    assert (own.suggestions().set_index("id").loc[[lost], "state"] == "open").all()
    own.drop([lost])
    own.drop(own.suggestions("open")["id"])
    assert pair in set(zip(*own.suggest(30)[["row", "task"]].to_numpy().T, strict=True))


def test_a_result_can_be_withdrawn_and_told_again(tmp_path):
    own = campaign(tmp_path / "c.db")
    sheet = answers(own.suggest(12))
    own.tell(sheet.assign(value=np.where(sheet.index == 3, 1e6, sheet["value"])))
    spent, wrong = own.spent, own.results().query("value == 1e6")["id"]
    own.withdraw(wrong)
    assert own.spent == spent - own.results("withdrawn")["cost"].sum()
    assert own.labels().max(axis=None) < 100
    assert own.suggestions("open")["id"].tolist() == [3]
    own.tell(sheet.loc[[3]])
    assert own.spent == spent
    assert len(own.results()) == 12
    assert len(own.results("withdrawn")) == 1
    for bad in ([99], [1, 99], list(wrong), [0], [-1]):
        with pytest.raises(ValueError, match="nothing is withdrawn"):
            own.withdraw(bad)
        with pytest.raises(ValueError, match="nothing is dropped"):
            own.drop(bad)
    assert len(own.results()) == 12
    assert len(own.suggest(1)) == 1


def test_a_sheet_told_twice_counts_once(tmp_path):
    own = campaign(tmp_path / "c.db")
    sheet = answers(own.suggest(4))
    own.tell(sheet.iloc[:2])
    with pytest.warns(UserWarning, match="2 of 4 results were told before"):
        own.tell(sheet)
    for again in (sheet, sheet.reset_index(), sheet.reset_index().astype({"suggestion": float})):
        with pytest.warns(UserWarning, match="4 of 4 results were told before"):
            own.tell(again)
    assert len(own.results()) == 4
    other = sheet.assign(value=sheet["value"] + 1)
    with pytest.raises(ValueError, match=r"suggestion 1 has the result .* already \(result 1\): withdraw that"):
        own.tell(other)
    with pytest.raises(ValueError, match="there is no suggestion 9 in this campaign"):
        own.tell(sheet.set_axis(pd.Index([9, 2, 3, 4], name="suggestion")))
    with pytest.raises(ValueError, match="suggestion 2 is another measurement"):
        own.tell(sheet.set_axis(pd.Index([2, 1, 3, 4], name="suggestion")))
    assert len(own.results()) == 4
    own.tell(other.reset_index(drop=True))  # without numbers: repeats
    assert len(own.results()) == 8


def test_labels_known_at_the_beginning_cost_nothing_and_are_checked_before_the_file(tmp_path):
    _, Y = table()
    own = campaign(tmp_path / "c.db", budget=50.0, known=Y.iloc[:8])
    assert own.spent == 0
    pd.testing.assert_frame_equal(own.labels().iloc[:8], Y.iloc[:8])
    assert own.suggest(10)["cost"].sum() <= 50
    for known, message in (
        (Y.astype(object).assign(exp=["n.d.", *Y["exp"].iloc[1:]]), "n.d."),
        (Y.rename(index={"m0": "zz"}), "'zz' is no candidate"),
        (Y.rename(columns={"exp": "gap"}), "results lack the column"),
        (Y.iloc[:, 0], "must be a DataFrame"),
    ):
        with pytest.raises(ValueError, match=message):
            campaign(tmp_path / "d.db", known=known)
        assert [p.name for p in tmp_path.iterdir()] == ["c.db"]


@pytest.mark.parametrize(
    ("goal", "value"),
    [(Minimise("exp"), 0.1), (Maximise("exp"), 0.9), (Reach("exp", 0.5), 0.25), (Between("exp", 0.2, 0.4), 0.25)],
)
def test_a_limit_counts_as_what_it_is_sure_to_be(tmp_path, goal, value):
    tasks = [btl.Task("exp", btl.Censored())]
    own = campaign(tmp_path / "c.db", goal, tasks, model=ALONE)
    labels = {"m0": "<0.1", "m1": ">0.9", "m2": "0.25..0.3", "m3": "0.8", "m4": 0.85, "m5": "<0.9"}
    own.tell(pd.DataFrame({"exp": pd.Series(labels, dtype=object)}))
    assert own.best()["value"] == value
    assert np.isfinite(own.progress()[["value", "utility", "best"]]).all(axis=None)
    assert len(own.suggest(2)) == 2


@pytest.mark.parametrize("likelihood", [btl.Censored(), btl.Gaussian()])
def test_the_label_of_a_row_is_that_of_its_own_results(tmp_path, likelihood):
    """The mean of its numbers, with the error of a mean, also where another row has a limit."""
    own = campaign(tmp_path / "c.db", Maximise("exp"), [btl.Task("exp", likelihood)], model=ALONE)
    last = isinstance(likelihood, btl.Censored)
    other = "0.2..0.3" if last else 0.25
    for row, value in [("m1", 1.0), ("m1", 3.0), ("m2", 7.0), ("m2", other), ("m3", 0.5)]:
        own.tell(told(row, value, se=0.2))
    _, labels, spread = training_table(own.results(), own.tasks, own.pool)
    assert labels["exp"].iloc[0] == own.labels().loc["m1", "exp"] == 2.0
    assert labels["exp"].iloc[1] == (other if last else 3.625)
    np.testing.assert_allclose(spread["exp"], [0.2 / np.sqrt(2), 0.2 if last else 0.2 / np.sqrt(2), 0.2])


@pytest.mark.parametrize(
    "goal", [Minimise("exp"), Maximise("exp"), Reach("exp", 0.5), Between("exp", 0.2), Above("exp", 0.2), Learn("exp")]
)
def test_limits_alone_do_not_stop_a_campaign(tmp_path, goal):
    limit = ">0.1" if isinstance(goal, Minimise | Above) else "<0.1"
    own = campaign(tmp_path / "c.db", goal, [btl.Task("exp", btl.Censored())], model=ALONE)
    own.tell(pd.DataFrame({"exp": pd.Series([limit] * 6 + ["0.05..0.3"], table()[0].index[:7])}))
    found = own.suggest(2)
    assert len(found) == 2
    assert np.isfinite(found["score"]).all()


def test_an_expression_without_a_complete_row_does_not_stop_a_campaign(tmp_path):
    own = campaign(tmp_path / "c.db", Maximise("exp - dft"))
    _, Y = table()
    own.tell(pd.concat([Y[["exp"]].iloc[:6], Y[["dft"]].iloc[10:16]]))
    assert own.best() is None
    assert len(own.suggest(2)) == 2


def test_what_cannot_be_computed_is_no_best(tmp_path):
    own = campaign(tmp_path / "c.db", Maximise("log(exp)"))
    own.tell(pd.DataFrame({"exp": [-1.0, 0.0, 2.0, 1.0]}, index=["m0", "m1", "m2", "m3"]))
    assert own.best()["row"] == "m2"


@pytest.mark.parametrize("quantity", ["log(exp) - dft", "exp * dft", "max(exp, dft)"])
def test_a_quantity_that_is_not_linear_is_predicted_for_each_suggestion(tmp_path, quantity):
    own = campaign(tmp_path / "c.db", Maximise(quantity))
    own.tell(table()[1].abs().iloc[:8])
    assert own.suggest(2)["reason"].str.contains(" ± ").all()


def test_an_expression_of_classes_that_are_words_is_refused_at_the_beginning(tmp_path):
    tasks = [btl.Task("exp"), btl.Task("dft", btl.Ordinal(["low", "high"]))]
    with pytest.raises(ValueError, match="classes are no numbers"):
        campaign(tmp_path / "c.db", Maximise("exp - dft"), tasks)
    own = campaign(tmp_path / "c.db", Maximise("exp - dft"), [tasks[0], btl.Task("dft", btl.Ordinal([10, 20]))])
    own.tell(pd.DataFrame({"exp": [30.0], "dft": [20]}, index=["m0"]))
    assert own.best()["value"] == 10.0


def test_the_probability_of_a_hit_is_that_of_the_prediction(tmp_path):
    _, Y = table()
    for goal in (
        Maximise("exp"),
        Minimise("exp"),
        Reach("exp", 0.7),
        Between("exp", 0.5, 0.8),
        Above("exp", 1.0),
        Maximise("exp - dft"),
        Learn("exp"),
    ):
        own = campaign(tmp_path / f"{goal.description}.db".replace("/", ""), goal, known=Y.iloc[:10])
        found = own.suggest(3)
        first = found[found["task"] == "exp"].head(1)
        assert found["hit"].isna().all() if isinstance(goal, Learn) else found["hit"].between(0, 1).all()
        if isinstance(goal, Learn) or first.empty:
            continue
        row = first["row"].iloc[0]
        draws = own._fit().posterior(own.pool.loc[[row]].set_axis([f"candidate {row}"])).sample(20_000, seed=0)
        names = own.names
        quantity = goal.value({n: np.asarray(draws)[:, 0, t] for t, n in enumerate(names)}, names)
        better = goal.utility(quantity) > (0 if isinstance(goal, Between) else own.best()["utility"])
        assert first["hit"].iloc[0] == pytest.approx(better.mean(), abs=0.03)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"goal": "maximise exp"}, "goal must be one of"),
        ({"goal": Maximise}, "goal must be one of"),
        ({"goal": Maximise("gap")}, "'gap', which is no task"),
        ({"tasks": ["exp"]}, "tasks must be a list of Task"),
        ({"tasks": "exp"}, "tasks must be a list of Task"),
        ({"tasks": btl.Task("exp")}, "tasks must be a list of Task"),
        ({"tasks": None}, "tasks must be a list of Task"),
        ({"tasks": []}, "names of their own"),
        ({"tasks": [TASKS[0], TASKS[0]]}, "names of their own"),
        ({"allowed": "yes"}, "allowed must be True or False"),
        ({"allowed": ["False"] * 40}, "allowed must be True or False"),
        ({"allowed": [0, 1] * 20}, "allowed must be True or False"),
        ({"allowed": [None] * 40}, "allowed must be True or False"),
        ({"allowed": np.ones((40, 1), bool)}, "allowed must be True or False"),
        ({"allowed": [True] * 39}, "allowed has 39 entries for 40"),
        ({"budget": "100"}, "budget must be a positive number"),
        ({"budget": True}, "budget must be a positive number"),
        ({"budget": np.nan}, "budget must be a positive number"),
        ({"budget": np.inf}, "budget must be a positive number"),
        ({"seed": "0"}, "seed must be an integer from 0"),
        ({"seed": -1}, "seed must be an integer from 0"),
        ({"seed": 1.5}, "seed must be an integer from 0"),
        ({"seed": True}, "seed must be an integer from 0"),
        ({"model": "difference"}, "model must be a model of bayestl, got str"),
        ({"model": btl.IndependentGP}, "model must be a model of bayestl, got ABCMeta"),
        ({"acquisition": None}, "acquisition must be one of"),
        ({"acquisition": ["auto"]}, "acquisition must be one of"),
        ({"acquisition": "logei", "goal": Between("exp", 0, 1)}, "is for Maximise or Minimise"),
        ({"acquisition": "knowledge-gradient", "goal": Learn("exp")}, "a closed form of its own"),
        ({"formulas": "PbTe" * 10}, "formulas must be a list"),
        ({"formulas": ["PbTe"]}, "formulas has 1 entries for 40"),
        ({"max_per_element": ["Pb"]}, "max_per_element must be a dictionary"),
        ({"known": "known.csv"}, "results must be a DataFrame, got str"),
        ({"path": 3}, "path must be the path of a new file"),
        ({"path": ""}, "path must be the path of a new file"),
        ({"pool": np.ones((40, 2))}, "pool must be a DataFrame"),
        ({"pool": table()[0].rename(index={"m1": None})}, "has no name: name each candidate once"),
        ({"pool": table()[0].rename(index={"m1": pd.Timestamp(2024, 1, 1), "m2": "2024-01-01 00:00:00"})}, "twice"),
    ],
)
def test_settings_of_a_campaign_are_checked_before_its_file(tmp_path, settings, message):
    X, _ = table()
    arguments = {"pool": X, "tasks": TASKS, "goal": Maximise("exp"), "model": model(), "path": tmp_path / "c.db"}
    with pytest.raises(ValueError, match=message):
        Campaign(**{**arguments, **settings})
    assert list(tmp_path.iterdir()) == []


def test_an_acquisition_of_botorch_needs_it_at_the_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"bayestl\[active\]"):
        campaign(tmp_path / "c.db", acquisition="logei")
    assert list(tmp_path.iterdir()) == []


def test_values_are_json_in_the_ledger(tmp_path):
    own = campaign(tmp_path / "c.db")
    own.tell(told("m1", np.int64(3)))
    assert [json.loads(v) for v in own.ledger.table("results")["value"]] == [3.0]


def test_states_are_spelled_as_they_are_called(tmp_path):
    own = campaign(tmp_path / "c.db")
    for ask, state in ((own.results, "knwon"), (own.suggestions, "known")):
        with pytest.raises(ValueError, match=f"state must be one of .*, got '{state}'"):
            ask(state)
    assert own.suggestions("open").empty
    assert own.results("withdrawn").empty
