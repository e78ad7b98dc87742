import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.report import plots


@pytest.fixture(scope="module")
def scarce():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-2, 2, (60, 2)), columns=["p", "q"])
    f = np.sin(3 * X["p"]) + 0.5 * X["q"]
    Y = pd.DataFrame({"source": f, "target": 1.3 * f + 0.5, "noise": rng.standard_normal(60)})
    Y[["source", "target"]] += 0.05 * rng.standard_normal((60, 2))
    Y.loc[24:, "target"] = np.nan
    return X, Y


def model(**kwargs):
    return btl.DifferenceGP(["source", "target"], hyperparameters="map", n_starts=1, verbose=False, **kwargs)


def test_a_good_source_gains_and_the_numbers_add_up(scarce):
    X, Y = scarce
    gain = btl.transfer_gain(model(), X, Y[["source", "target"]], "target", cv=4, verbose=False)
    assert gain["n"] == 24
    assert gain["difference"] == pytest.approx(gain["elpd"] - gain["alone"])
    assert gain["difference"] > 2 * gain["se"] > 0


def test_tasks_of_the_model_go_with_their_columns(scarce):
    X, Y = scarce
    both = Y[["source", "target"]] + 5.0  # positive: their logarithms are learnt where the tasks say so
    tasks = [btl.Task("source", btl.LogNormal()), btl.Task("target", btl.LogNormal())]
    plain, given = (btl.transfer_gain(m, X, both, "target", cv=2, verbose=False) for m in (model(), model(tasks=tasks)))
    assert given["n"] == plain["n"]
    assert abs(given["elpd"] - plain["elpd"]) > 0.1  # both fits take the tasks, that of the target alone too
    assert abs(given["alone"] - plain["alone"]) > 0.1


def test_a_target_that_is_not_there_or_alone_is_refused(scarce):
    X, Y = scarce
    with pytest.raises(ValueError, match="target 'gap' is no column of Y"):
        btl.transfer_gain(model(), X, Y, "gap", verbose=False)
    with pytest.raises(ValueError, match="is the only label column"):
        btl.transfer_gain(model(), X, Y[["target"]], "target", verbose=False)


def test_more_labels_help_and_fewer_with_a_source(scarce):
    X, Y = scarce
    Y = Y[["source", "target"]]
    models = {"transfer": model(), "alone": btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False)}
    curve = btl.learning_curve(models, X, Y, "target", sizes=(4, 16), n_repeats=3, verbose=False)
    assert len(curve) == 2 * 2 * 3
    mae = curve.groupby(["model", "n"])["mae"].mean()
    assert mae["alone", 16] < mae["alone", 4]
    assert mae["transfer", 4] < mae["alone", 4]
    assert plots.plot_learning_curve(curve).get_xlabel() == "labels of the target"
    again = btl.learning_curve(models, X, Y, "target", sizes=(4, 16), n_repeats=3, verbose=False)
    pd.testing.assert_frame_equal(curve, again)
    for sizes in ((), (0,), (30,)):
        with pytest.raises(ValueError, match="sizes must lie"):
            btl.learning_curve(models, X, Y, "target", sizes=sizes, verbose=False)
    with pytest.raises(ValueError, match="is no column of Y"):
        btl.learning_curve(models, X, Y, "gap", verbose=False)


def test_standard_errors_and_groups_reach_every_fit():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": np.linspace(0, 1, 30)})
    Y = pd.DataFrame({"source": np.sin(5 * X["x"]), "target": np.sin(5 * X["x"]) + 1})
    Y_std = pd.DataFrame({"target": np.where(np.arange(30) % 2, 2.0, 0.01)})
    Y["target"] += Y_std["target"] * rng.standard_normal(30)
    model = btl.MultiTaskGP(hyperparameters="map", n_starts=1, verbose=False)
    blind, told = (btl.transfer_gain(model, X, Y, "target", cv=3, Y_std=s, verbose=False) for s in (None, Y_std))
    assert told["elpd"] > blind["elpd"] + 5
    assert told["alone"] > blind["alone"] + 5
    curve = btl.learning_curve({"m": model}, X, Y, "target", [8], 1, Y_std=Y_std, groups=["a"] * 30, verbose=False)
    plain = btl.learning_curve({"m": model}, X, Y, "target", [8], 1, groups=["a"] * 30, verbose=False)
    assert curve["nlpd"].item() < plain["nlpd"].item()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sizes": 12}, "sizes must be a list of whole numbers"),
        ({"sizes": [12.7]}, "sizes must be a list of whole numbers"),
        ({"sizes": []}, "sizes must lie between 1 and"),
        ({"models": [btl.IndependentGP()]}, "models must be a dict"),
    ],
)
def test_what_a_learning_curve_cannot_draw_is_named(given, words, two_tasks):
    arguments = {
        "models": {"m": btl.IndependentGP()},
        "X": two_tasks[0],
        "Y": two_tasks[1],
        "target": "target",
        "sizes": [5],
    }
    with pytest.raises(ValueError, match=words):
        btl.learning_curve(**(arguments | given), verbose=False)


def test_sizes_may_be_an_array_and_labels_truth_values(two_tasks):
    X, Y = two_tasks
    model = {"m": btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False)}
    truths = pd.DataFrame({"high": Y["target"] > Y["target"].median()})
    curve = btl.learning_curve(model, X, truths, "high", np.array([8, 12]), 1, n_jobs=1, verbose=False)
    assert curve["n"].tolist() == [8, 12]
    words = btl.learning_curve(model, X, truths.astype(str), "high", [8, 12], 1, n_jobs=1, verbose=False)
    np.testing.assert_allclose(curve["accuracy"], words["accuracy"])
