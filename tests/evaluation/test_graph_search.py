"""Suggested graphs of tasks."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import ShuffleSplit

import bayestl as btl
from bayestl.evaluation.graph_search import _forests


def test_all_graphs_without_a_cycle_are_compared():
    # forests of rooted trees on T labelled nodes: (T + 1)^(T - 1)
    assert [len(list(_forests("abcde"[:n]))) for n in (2, 3, 4, 5)] == [3, 16, 125, 1296]


QUICK = btl.LatentVariableGP(inference="svi", max_steps=30, n_inducing=8)


@pytest.mark.slow
def test_the_edge_that_is_there_is_found():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (30, 2))
    a = np.sin(3 * x[:, 0]) + 0.6 * rng.standard_normal(30)
    Y = pd.DataFrame({"a": a, "b": 3 - 2 * a + 0.2 * rng.standard_normal(30), "own": rng.standard_normal(30)})
    Y.loc[:5, "a"] = np.nan
    Y.loc[26:, "own"] = np.nan
    ranking = btl.suggest_graph(x, Y, QUICK, cv=2, verbose=False)
    best = ranking["graph"][0]
    assert best.get("b") == ["a"] or best.get("a") == ["b"]
    assert (ranking["difference"] <= 0).all()
    assert ranking["se"][0] == 0
    without = ranking[[graph == {} for graph in ranking["graph"]]].iloc[0]
    assert without["difference"] < -2 * without["se"]


def test_classes_may_follow_numbers():
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (30, 1))
    gap = rng.standard_normal(30)
    Y = pd.DataFrame({"gap": gap, "colour": np.where(gap > 0, "white", "dark")})
    tasks = [btl.Task("gap", btl.StudentT(dof=5.0))]
    ranking = btl.suggest_graph(x, Y, clone(QUICK).set_params(tasks=tasks, max_steps=10), cv=2, verbose=False)
    assert len(ranking) == 3
    assert ranking["graph"][2] == {}


def test_one_task_has_no_graph():
    with pytest.raises(ValueError, match="2 to 5 label columns"):
        btl.suggest_graph(np.zeros((4, 1)), pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0]}), verbose=False)


def test_a_fold_that_cannot_be_fitted_is_an_error():
    Y = pd.DataFrame({"a": np.arange(10.0), "b": [1.0] + 9 * [np.nan]})
    with pytest.warns(RuntimeWarning), pytest.raises(ValueError, match="has no labels"):
        btl.suggest_graph(np.arange(10.0)[:, None], Y, QUICK, cv=2, verbose=False)


def test_all_pairs_are_scored_on_the_same_rows():
    """A splitter without a seed, and splits that come once: densities of the same labels are compared."""
    x = np.linspace(0, 1, 24)[:, None]
    Y = pd.DataFrame({"a": np.sin(9 * x[:, 0]), "b": np.sin(9 * x[:, 0]) ** 2})
    Y.iloc[::5, 1] = np.nan
    rows = np.arange(24)
    splits = [(rows[rows % 2 != k], rows[rows % 2 == k]) for k in (0, 1)]
    fixed = btl.suggest_graph(x, Y, QUICK, cv=splits, verbose=False)
    once = btl.suggest_graph(x, Y, QUICK, cv=(split for split in splits), verbose=False)
    pd.testing.assert_frame_equal(fixed, once)
    assert np.isfinite(btl.suggest_graph(x, Y, QUICK, cv=ShuffleSplit(2, test_size=0.3), verbose=False)["elpd"]).all()
    with pytest.raises(ValueError, match="model must be a LatentVariableGP, got IndependentGP"):
        btl.suggest_graph(x, Y, btl.IndependentGP(), cv=2, verbose=False)
