import re

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import LeaveOneGroupOut

import bayestl as btl
from bayestl import metrics, report
from bayestl.evaluation.shared_tasks import informs
from bayestl.models.exact.independent import IndependentGP

QUICK = {"n_starts": 1, "verbose": False, "hyperparameters": "map"}


class Refuses(IndependentGP):
    """A model that cannot be fitted."""

    def _learn(self, table, scaler, seed):
        raise ValueError("this model refuses")


@pytest.fixture(scope="module")
def comparison(two_tasks):
    X, Y = two_tasks
    tasks = [btl.Task("target", unit="eV")]
    models = {"independent": btl.IndependentGP(tasks=tasks, **QUICK), "difference": btl.DifferenceGP(**QUICK)}
    return btl.compare(models, X, Y, target="target", cv=4, verbose=False)


def test_transfer_wins_and_its_difference_is_paired(comparison):
    assert comparison.best("target") == "difference"
    paired = comparison.paired("independent", "crps").loc[("target", "difference")]
    wide = comparison.scores.pivot(index="fold", columns="model", values="crps")
    difference = wide["difference"] - wide["independent"]
    assert paired["difference"] == pytest.approx(difference.mean())
    assert paired["se"] == pytest.approx(difference.std(ddof=1) / np.sqrt(len(wide)))
    assert paired["difference"] < 0


def test_scores_are_those_of_the_predictions(comparison):
    p = comparison.predictions.query("model == 'difference' and fold == 0")
    row = comparison.scores.query("model == 'difference' and fold == 0").iloc[0]
    assert row["mae"] == pytest.approx(metrics.mae(p["y"], p["median"]))
    assert row["rmse"] == pytest.approx(metrics.rmse(p["y"], p["mean"]))
    assert row["nlpd"] == pytest.approx(-p["log_density"].mean())
    assert comparison.predictions.query("model == 'difference'")["row"].is_unique
    assert len(comparison.predictions) == 2 * 20
    assert comparison.scores["fold"].nunique() == 4
    text = str(comparison)
    assert "target (eV)" in text
    assert "difference" in text


def test_hidden_rows_know_less_than_hidden_targets(two_tasks):
    X, Y = two_tasks
    models = {"difference": btl.DifferenceGP(**QUICK)}
    function = {"gap": lambda y: y["target"] - y["source"]}
    row = btl.compare(models, X, Y, cv=4, hide="row", functions=function, verbose=False)
    target = btl.compare(models, X, Y, cv=4, hide="target", verbose=False)
    assert row.quantities == ["source", "target", "gap"]
    assert (
        target.table.loc[("target", "difference"), ("mae", "mean")]
        < row.table.loc[("target", "difference"), ("mae", "mean")]
    )


def test_parallel_folds_give_the_same_numbers(two_tasks, comparison):
    X, Y = two_tasks
    models = {"independent": btl.IndependentGP(**QUICK), "difference": btl.DifferenceGP(**QUICK)}
    again = btl.compare(models, X, Y, target="target", cv=4, n_jobs=2, verbose=False)
    pd.testing.assert_frame_equal(again.scores, comparison.scores, rtol=1e-6)


def test_a_fit_that_fails_is_named_and_the_others_kept(two_tasks):
    X, Y = two_tasks
    with pytest.warns(RuntimeWarning) as caught:
        out = btl.compare({"bad": Refuses(**QUICK), "good": btl.IndependentGP(**QUICK)}, X, Y, cv=2, verbose=False)
    assert [str(w.message) for w in caught] == [f"bad, fold {i}: ValueError: this model refuses" for i in (0, 1)]
    assert out.models == ["good"]
    assert len(out.failures) == 2


def test_splits_may_be_masks(two_tasks):
    X, Y = two_tasks
    model = {"m": btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False)}
    test = [np.arange(40) % 4 == 0, np.arange(40) % 4 == 3]
    masks = [(~of_fold, of_fold) for of_fold in test]
    positions = [(np.flatnonzero(~of_fold), list(np.flatnonzero(of_fold))) for of_fold in test]
    found, expected = (btl.compare(model, X, Y, cv=cv, n_jobs=1, verbose=False) for cv in (masks, positions))
    pd.testing.assert_frame_equal(found.predictions, expected.predictions)
    assert found.predictions["row"].nunique() == 20
    gains = [
        btl.transfer_gain(
            btl.DifferenceGP(["source", "target"], hyperparameters="map", n_starts=1),
            X,
            Y,
            "target",
            cv=cv,
            n_jobs=1,
            verbose=False,
        )
        for cv in (masks, positions)
    ]
    assert repr(gains[0]) == repr(gains[1])


GROUPS = {
    "a list": list,
    "None": lambda g: [v if v == "A" else None for v in g],
    "masked": lambda g: np.ma.masked_array(np.array(g, dtype=object), mask=[v == "B" for v in g]),
    "tuples": lambda g: [(v, 1) for v in g],
    "categories": lambda g: pd.Categorical(g),
    "dates": lambda g: pd.to_datetime([f"2024-01-0{1 + (v == 'B')}" for v in g]),
}


@pytest.mark.parametrize("kind", GROUPS)
def test_groups_are_read_as_by_fit(kind, two_tasks):
    X, Y = two_tasks
    groups = GROUPS[kind](["A", "B", "B", "A", "A"] * 8)
    model = btl.DifferenceGP(["source", "target"], hyperparameters="map", n_starts=1, verbose=False)
    found = btl.compare({"m": model}, X, Y, cv=2, target="target", groups=groups, n_jobs=1, verbose=False).predictions
    table = model.fit(X, Y, groups=groups).table_
    names = [None if code < 0 else f"group {code}" for code in table.group]
    plain = btl.compare({"m": model}, X, Y, cv=2, target="target", groups=names, n_jobs=1, verbose=False).predictions
    pd.testing.assert_frame_equal(found, plain)


def test_groups_are_left_out_together(two_tasks):
    X, Y = two_tasks
    together = np.arange(40) % 4
    out = btl.compare(
        {"m": btl.IndependentGP(**QUICK)},
        X,
        Y,
        target="source",
        cv=LeaveOneGroupOut(),
        split_groups=together,
        verbose=False,
    )
    for _, part in out.predictions.groupby("fold"):
        assert len(set(together[part["row"]])) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"hide": "all"}, "hide must be"),
        ({"target": "gap"}, "'gap' is no column"),
        ({"functions": {"f": lambda y: y}}, 'hide="row" only'),
    ],
)
def test_bad_arguments(two_tasks, arguments, words):
    X, Y = two_tasks
    with pytest.raises(ValueError, match=words):
        btl.compare({"m": btl.IndependentGP(**QUICK)}, X, Y, verbose=False, **arguments)
    with pytest.raises(ValueError, match="no models"):
        btl.compare({}, X, Y)


def test_plots_are_drawn_on_the_given_axes(comparison):
    from matplotlib.figure import Figure

    from bayestl.report import plots

    ax = Figure().add_subplot()
    assert plots.plot_comparison(comparison, ax=ax) is ax
    assert "independent" in [t.get_text() for t in ax.get_legend().get_texts()]
    for made in (plots.plot_parity(comparison, "difference", "target"), plots.plot_calibration(comparison, "target")):
        assert "target (eV)" in made.get_xlabel() + made.get_title(loc="left")


def test_the_report_is_one_file_without_a_network(comparison, tmp_path):

    path = report.write(tmp_path / "sub" / "report.html", "A <title>", report.comparison_sections(comparison))
    page = path.read_text(encoding="utf-8")
    assert "A &lt;title&gt;" in page
    assert page.count("<svg") == 4
    for reference in ("<script ", 'src="', "<link", "@import", 'href="http', "fetch(", "url(http"):
        assert reference not in page
    assert page.count("<script>") == 1  # hovering
    assert "Whether learning from the other tasks helps cannot be told from 20 labels" in page  # one of them decides


def test_it_knows_its_rows_and_which_models_transfer(comparison, two_tasks):
    X, _ = two_tasks
    assert (comparison.alone, comparison.informed) == ("independent", ("difference",))
    assert comparison.names_of([3, 5]) == list(X.index[[3, 5]])


@pytest.mark.parametrize(
    ("model", "informed"),
    [
        (btl.IndependentGP(), False),
        (btl.MultiTaskGP(), True),
        (btl.AutoTransfer(), True),
        (btl.Recalibrated(btl.IndependentGP()), False),
        (btl.Recalibrated(btl.DifferenceGP()), True),
        (btl.StackedModel({"a": btl.IndependentGP(), "b": btl.MultiTaskGP()}), True),
        (btl.StackedModel({"a": btl.IndependentGP()}), False),
        (RandomForestRegressor(), None),
    ],
)
def test_which_models_let_tasks_inform_each_other(model, informed):
    assert informs(model) is informed


def test_what_the_columns_are_is_said_beside_them(comparison):
    for shown in (str(comparison), comparison._repr_html_()):
        assert "MAE: mean absolute error of the median; RMSE: root mean squared error of the mean" in shown.replace(
            "\n", " "
        )
    heads = re.findall(r"<th>(.*?)</th>", comparison._repr_html_())
    assert heads == ["", "MAE", "RMSE", "CRPS", "NLPD", "in 90 %", "width", "independent", "difference"]


def test_classes_and_hurdles_are_compared(tmp_path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.uniform(-2, 2, 60)})
    gap = np.where(X["x"] > 0, X["x"], 0.0)
    Y = pd.DataFrame({"gap": gap, "colour": np.where(X["x"] > 0.3 * rng.standard_normal(60), "white", "dark")})
    tasks = [btl.Task("gap", btl.Hurdle("truncated-normal"), unit="eV")]
    quick = {"tasks": tasks, "hyperparameters": "map", "n_starts": 1, "verbose": False}
    models = {"independent": btl.IndependentGP(**quick), "multi-task": btl.MultiTaskGP(**quick)}
    result = btl.compare(models, X, Y, cv=3, hide="row", verbose=False)
    assert not result.failures
    assert result.classified("colour")
    assert not result.classified("gap")
    table = result.table
    assert (table.loc["colour", ("accuracy", "mean")] > 0.7).all()
    assert table.loc["colour", ("mae", "mean")].isna().all()
    assert (table.loc["gap", ("crps", "mean")] < 0.2).all()
    zero = result.predictions.query("quantity == 'gap' and y == 0")
    assert len(zero) == 2 * (gap == 0).sum()
    assert (zero["pit"] <= np.exp(zero["log_density"])).all()  # drawn below the step of the atom
    assert "log loss" in str(result)
    assert result.best("colour") == table.loc["colour", ("nlpd", "mean")].idxmin()
    path = report.write(tmp_path / "r.html", "classes", report.comparison_sections(result))
    assert "macro F1" in path.read_text()


def test_functions_are_scored_where_all_labels_that_they_use_are_there():
    X = pd.DataFrame({"x": np.linspace(0, 1, 24)})
    Y = pd.DataFrame({"p": np.sin(4 * X["x"]), "q": np.cos(4 * X["x"])})
    Y.loc[::3, "p"] = np.nan
    model = btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False)
    functions = {
        "is large": lambda y: y["p"] > 0,
        "larger": lambda y: np.fmax(y["p"], y["q"]),
        "twice q": lambda y: 2 * y.q,
    }
    result = btl.compare({"m": model}, X, Y, cv=2, hide="row", functions=functions, verbose=False)
    counts = result.predictions.groupby("quantity").size()
    assert counts[["is large", "larger", "twice q"]].tolist() == [16, 16, 24]


def test_tasks_of_a_model_within_a_wrapper_are_those_of_the_comparison():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.uniform(-2, 2, 40)})
    Y = pd.DataFrame({"p": np.maximum(np.sin(2 * X["x"]) + 0.1 * rng.standard_normal(40), -0.2)})
    tasks = [btl.Task("p", btl.Censored(lower=-0.2), unit="eV")]
    make = lambda: btl.IndependentGP(tasks, hyperparameters="map", n_starts=1, verbose=False)  # noqa: E731
    wrapped = {
        "plain": make(),
        "recalibrated": btl.Recalibrated(make(), cv=3, verbose=False),
        "stack": btl.StackedModel({"a": make()}, cv=2, verbose=False),
    }
    results = [btl.compare({k: m}, X, Y, cv=2, verbose=False) for k, m in wrapped.items()]
    assert all(np.isinf(r.predictions["y"]).sum() == (Y["p"] == -0.2).sum() for r in results)
    assert all(r.units == {"p": "eV"} for r in results)
