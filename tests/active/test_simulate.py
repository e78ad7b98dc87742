import copy

import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.active import Between, Campaign, Learn, Maximise, Minimise, Reach, simulate
from bayestl.active.plots import plot_simulation
from bayestl.active.policies import ByModel, Policy, Random
from bayestl.active.simulation import _Setting
from bayestl.studies.peers import lolo_installed


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-1, 1, (60, 2)), columns=["a", "b"])
    f = np.sin(3 * X["a"]) + X["b"]
    return X, pd.DataFrame({"dft": f + 0.05 * rng.standard_normal(60), "exp": 1.1 * f + 0.3})


TASKS = [btl.Task("dft"), btl.Task("exp", cost=20.0)]


def gp(**kwargs):
    return btl.DifferenceGP(["dft", "exp"], hyperparameters="map", n_starts=1, **kwargs)


def test_a_model_finds_more_for_less_than_chance(table, tmp_path):
    alone = ByModel(btl.IndependentGP(hyperparameters="map", n_starts=1), alone=True)
    policies = {"random": Random(), "transfer": ByModel(gp()), "alone": alone}
    found = simulate(
        *table,
        Between("exp", 0.8, 1.2),
        policies,
        TASKS,
        start=6,
        known=["dft"],
        budget=200,
        batch=2,
        seeds=[0, 1, 2],
        folder=tmp_path,
        verbose=False,
    )
    summary = found.summary(cost=200)
    assert summary.loc["transfer", "found"] > 2 * summary.loc["random", "found"]
    costs = found.records.groupby(["policy", "seed"])["cost"]
    assert (costs.max() == 200).all()
    assert costs.apply(lambda c: c.is_monotonic_increasing).all()
    assert len(plot_simulation(found).get_lines()) == 3


class Never(Policy):
    def choose(self, choice, known, n, seed):
        raise AssertionError("a finished campaign was played again")

    def document(self):
        return Random().document()


def test_finished_campaigns_are_not_played_again(table, tmp_path):
    arguments = (*table, Maximise("exp"))
    keywords = {"tasks": TASKS, "start": 5, "known": ["dft"], "budget": 60, "folder": tmp_path, "verbose": False}
    once = simulate(*arguments, {"p": Random()}, seeds=[0, 1], **keywords)
    again = simulate(*arguments, {"p": Never()}, seeds=[0, 1], **keywords)
    pd.testing.assert_frame_equal(once.records, again.records)
    with pytest.raises(AssertionError, match="played again"):
        simulate(*arguments, {"p": Never()}, seeds=[2], **keywords)


def _minus(y):
    return -y["exp"]


KERNELS = [btl.Kernel("matern52", [f"f{k}" for k in range(37)] + [last]) for last in ("f38", "f39")]


@pytest.mark.parametrize("what", ["function", "closure", "features", "labels", "kernel", "acquisition"])
def test_another_campaign_is_not_answered_from_the_folder(what, table, tmp_path):
    """Each pair differs in one thing, which may change what a policy does: both are played."""
    X, Y = table
    one, two = ((X, Y, Maximise("exp"), Random()) for _ in range(2))
    if what == "function":
        one, two = ((X, Y, Maximise("q", function=f), Random()) for f in (_minus, lambda y: y["exp"]))
    elif what == "closure":
        one, two = ((X, Y, Maximise("q", function=lambda y, k=k: k * y["exp"]), Random()) for k in (1.0, 2.0))
    elif what == "features":
        two = (X.set_axis(["b", "a"], axis=1), Y, Maximise("exp"), Random())
    elif what == "labels":
        two = (X, Y.rename(columns={"dft": "other"}), Maximise("exp"), Random())
    elif what == "kernel":
        one, two = ((X, Y, Maximise("exp"), Random(btl.IndependentGP(kernel=k))) for k in KERNELS)
    else:
        one, two = ((X, Y, Maximise("exp"), ByModel(gp(), a)) for a in ("auto", "uncertainty"))
    keys = [_Setting(a, b, goal, [], 5, (), None, 1.0, 1).key("p", policy, 0) for a, b, goal, policy in (one, two)]
    again = _Setting(*one[:3], [], 5, (), None, 1.0, 1).key("p", copy.deepcopy(one[3]), 0)
    assert keys[0] != keys[1]
    assert again == keys[0]


def _with_helper(k):
    """A function of a goal that calls others, made anew at each call as in another process."""

    def helper(y):
        return k * y["exp"]

    def again(y, n=2):
        return again(y, n - 1) if n else helper(y)

    return again


def test_functions_that_call_others_are_known_again(table):
    goals = [Maximise("q", function=_with_helper(k)) for k in (1.0, 1.0, 2.0)]
    one, same, other = (_Setting(*table, goal, [], 5, (), None, 1.0, 1).key("p", Random(), 0) for goal in goals)
    assert one == same
    assert one != other


def test_seeds_may_come_once(table):
    keywords = {"start": 5, "budget": 2, "verbose": False}
    found = simulate(*table, Maximise("exp"), {"r": Random()}, seeds=(k for k in (3, 4)), **keywords)
    listed = simulate(*table, Maximise("exp"), {"r": Random()}, seeds=[3, 4], **keywords)
    pd.testing.assert_frame_equal(found.records, listed.records)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"start": -3}, "start must be a number of rows or a list of their positions"),
        ({"start": [-1, 2]}, "start must be"),
        ({"start": True}, "start must be"),
        ({"start": ["a"]}, "start must be"),
        ({"start": 61}, "start=61 does not fit"),
        ({"batch": 0}, "batch must be a positive integer"),
        ({"batch": 2.5}, "batch must be a positive integer"),
        ({"seeds": []}, "seeds must be a list of seeds"),
        ({"further": lambda X, Y: (X[["a"]], Y)}, "the features lack the column 'b' of the pool"),
        ({"further": lambda X, Y: (X, Y.rename(columns={"dft": "DFT"}))}, "the column 'DFT', which is no task"),
        ({"further": lambda X, Y: (X, Y.iloc[:5])}, "further"),
        (
            {
                "further": lambda X, Y: (
                    X.set_axis(X.index.astype(str) + "m"),
                    Y[::-1].set_axis(X.index[::-1].astype(str) + "m"),
                )
            },
            "another order",
        ),
    ],
)
def test_what_cannot_be_simulated_is_named(given, words, table):
    given = {k: v(*table) if callable(v) else v for k, v in given.items()}
    with pytest.raises(ValueError, match=words):
        simulate(
            *table,
            Maximise("exp"),
            {"r": Random()},
            **({"start": 5, "budget": 2, "seeds": [0], "verbose": False} | given),
        )


def test_answers_are_of_the_rows_of_the_pool(table):
    X, Y = (frame.set_axis([f"m{i}" for i in range(60)]) for frame in table)
    with pytest.raises(ValueError, match="Y has the same rows in another order than X"):
        simulate(X, Y[::-1], Maximise("exp"), {"r": Random()}, start=5, budget=1, seeds=[0], verbose=False)


def test_a_measurement_is_of_one_row_where_names_are_repeated(table):
    X, Y = (frame.set_axis([f"row {i % 7}" for i in range(60)]) for frame in table)
    policies, keywords = {"r": Random(), "m": ByModel(gp())}, {"start": 5, "known": ["dft"], "budget": 60, "seeds": [0]}
    found = simulate(X, Y, Maximise("exp"), policies, TASKS, **keywords, verbose=False)
    assert found.records["measured"].tolist() == [0, 1, 2, 3] * 2
    named = simulate(*table, Maximise("exp"), policies, TASKS, **keywords, verbose=False)
    pd.testing.assert_frame_equal(found.records, named.records)


def test_seeds_repeat_and_differ(table):
    keywords = {"tasks": TASKS, "start": 5, "known": ["dft"], "budget": 60, "verbose": False}
    one, two = (simulate(*table, Maximise("exp"), {"m": ByModel(gp())}, seeds=[3], **keywords) for _ in range(2))
    pd.testing.assert_frame_equal(one.records, two.records)
    other = simulate(*table, Maximise("exp"), {"m": ByModel(gp())}, seeds=[4], **keywords)
    assert not other.records["best"].equals(one.records["best"])


def test_rows_that_are_no_candidates_are_learnt_from(table):
    X, Y = table
    further = (X.iloc[30:], Y.iloc[30:])
    found = simulate(
        X.iloc[:30],
        Y.iloc[:30],
        Maximise("exp"),
        {"m": ByModel(gp())},
        TASKS,
        start=1,
        known=["dft"],
        further=further,
        budget=40,
        seeds=[0],
        verbose=False,
    )
    assert found.records["regret"].iloc[-1] < 0.05  # it knows the function already
    assert "regret" in str(found)


@pytest.mark.skipif(not lolo_installed(), reason="needs lolopy and Java")
def test_the_paper_s_learner_plays_too(table):
    from benchmarks.lolo_policy import Lolo

    found = simulate(
        *table, Maximise("exp"), {"lolo": Lolo(20)}, TASKS, start=10, known=["dft"], budget=60, seeds=[0], verbose=False
    )
    assert found.records["measured"].iloc[-1] == 3


def test_it_is_reached_from_the_package():
    assert btl.active.simulate is simulate


def test_bad_settings_are_named(table):
    with pytest.raises(ValueError, match="no policies"):
        simulate(*table, Maximise("exp"), {})
    with pytest.raises(ValueError, match="known names 'color'"):
        simulate(*table, Maximise("exp"), {"r": Random()}, known=["color"])
    with pytest.raises(ValueError, match="start=0 does not fit"):
        simulate(*table, Maximise("exp"), {"r": Random()}, start=0, seeds=[0], verbose=False)
    with pytest.raises(ValueError, match="'x', which is no task"):
        simulate(*table, Maximise("x"), {"r": Random()})


def test_learning_is_judged_by_the_error_over_the_pool(table):
    """The model that picks where it knows least ends with less error than from as many rows of chance, of the same model."""
    one = btl.IndependentGP(hyperparameters="map", n_starts=1)
    X, Y = table
    policies = {"chance": Random(one), "knowledge": ByModel(one), "blind": Random()}
    found = simulate(X, Y[["exp"]], Learn("exp"), policies, start=4, budget=8, seeds=[0, 1, 2], verbose=False)
    ends = found.records.groupby(["policy", "seed"])["error"].agg(["first", "last"])
    assert (ends.loc["knowledge", "last"] < 0.5 * ends.loc["knowledge", "first"]).all()
    summary = found.summary()["error"]
    assert summary["knowledge"] < summary["chance"]
    assert np.isnan(summary["blind"])
    assert plot_simulation(found).get_ylabel() == "error over the pool"


@pytest.mark.parametrize(
    ("goal", "title"),
    [
        (Maximise("exp"), "regret (Å³)"),
        (Minimise("exp"), "regret (Å³)"),
        (Reach("exp", 0.5), "regret (Å³)"),
        (Minimise("exp - 2 * dft + 1"), "regret (Å³)"),
        (Minimise("exp * dft"), "regret"),
        (Between("exp", 0.1, 0.5), "rows found"),
    ],
)
def test_what_is_in_the_unit_of_the_quantity_says_so(table, goal, title):
    tasks = [btl.Task("dft", unit="A^3"), btl.Task("exp", unit="A^3")]
    found = simulate(*table, goal, {"chance": Random()}, tasks, start=4, budget=2, seeds=[0], verbose=False)
    assert plot_simulation(found).get_ylabel() == title


def test_a_task_beside_the_goal_has_labels_at_the_start():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.uniform(size=30)})
    Y = pd.DataFrame({"cheap": np.sin(5 * X["x"]), "gap": np.sin(5 * X["x"]) + X["x"]})
    policies = {"gp": ByModel(btl.MultiTaskGP(hyperparameters="map", n_starts=1, verbose=False))}
    found = simulate(X, Y, Maximise("gap"), policies, start=4, budget=2, seeds=[0], verbose=False)
    assert len(found.records) == 3


@pytest.mark.parametrize(("goal", "limit"), [(Minimise("y"), "<2"), (Maximise("y"), ">6"), (Between("y", 3.0), ">6")])
def test_the_best_of_a_simulation_is_that_of_a_campaign(tmp_path, goal, limit):
    """Limits count as what they are sure to be."""
    values = pd.Series([5.0, 4.0, 3.0, limit, 2.5, 5.5], [f"m{i}" for i in range(6)], dtype=object)
    X, tasks = pd.DataFrame({"x": np.arange(6.0)}, values.index), [btl.Task("y", btl.Censored())]
    policies = {"random": Random()}
    played = simulate(X, values.to_frame("y"), goal, policies, tasks, start=2, budget=9, seeds=[0], verbose=False)
    own = Campaign(X, tasks, goal, btl.IndependentGP(), tmp_path / "c.db", verbose=False)
    own.tell(values.to_frame("y"))
    assert played.records["best"].iloc[-1] == own.best()["utility"]
    assert played.records["regret"].iloc[-1] == 0.0
