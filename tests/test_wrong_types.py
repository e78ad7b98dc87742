"""Things of the wrong type in the place of models, tables, functions and paths: an error that says what is expected."""

import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl import active, report
from bayestl.report import plots

QUICK = {"hyperparameters": "map", "n_starts": 1, "verbose": False}
Model = btl.IndependentGP


@pytest.fixture(scope="module")
def made(two_tasks):
    """A table, a fitted model, its posterior and a comparison."""
    X, Y = two_tasks
    model = Model(**QUICK).fit(X, Y)
    comparison = btl.compare({"alone": Model(**QUICK)}, X, Y, target="source", cv=2, verbose=False)
    return X, Y, model, model.posterior(X), comparison


OTHERS = [
    "a - b",
    None,
    3,
    1.5,
    [1],
    {"a": 1},
    Model,
    Model(**QUICK),
    pd.DataFrame({"a": [1.0]}),
    np.zeros(3),
    b"x",
    {1, 2},
]
"""Things that are no function, no posterior and no comparison."""
NO_MODELS = [
    [Model()],
    (Model(), Model()),
    Model(),
    Model,
    "model",
    3,
    {"a": Model},
    {"a": "IndependentGP"},
    {"a": None},
    {"a": [Model()]},
]


@pytest.mark.parametrize("models", NO_MODELS, ids=str)
def test_no_models(made, models):
    X, Y = made[:2]
    with pytest.raises(ValueError, match=r"models must be a dict of names|which is no model: give one"):
        btl.compare(models, X, Y)


@pytest.mark.parametrize("model", [Model, "model", None, 3, [Model()], {"a": Model()}], ids=str)
def test_no_model(made, model):
    X, Y = made[:2]
    with pytest.raises(ValueError, match="which is no model: give one"):
        btl.transfer_gain(model, X, Y, target="target")
    with pytest.raises(ValueError, match="model must be a fitted model of bayestl"):
        report.write_model_report(model, "nowhere.html")


@pytest.mark.parametrize(
    "target", [3, [], ["source", "source"], ["gap"], None, ("source", "gap"), {"source": 1}], ids=str
)
def test_no_target(made, target):
    X, Y = made[:2]
    if target is None:
        return
    with pytest.raises(ValueError, match=r"is no column of Y|each once"):
        btl.compare({"a": Model()}, X, Y, target=target)


@pytest.mark.parametrize("other", OTHERS, ids=lambda o: type(o).__name__)
def test_no_function_no_posterior_and_no_comparison(made, other, tmp_path):
    X, Y, model, post, _ = made
    if not callable(other):
        with pytest.raises(ValueError, match="a function of the tasks is expected"):
            post.apply(other)
        with pytest.raises(ValueError, match="functions must be a dict"):
            btl.compare({"a": Model()}, X, Y, hide="row", functions={"f": other})
    if other is not None:
        with pytest.raises(ValueError, match=r"predictions must be what model.posterior"):
            report.write_model_report(model, tmp_path / "r.html", predictions=other)
    with pytest.raises(ValueError, match="a Comparison is expected"):
        report.comparison_sections(other)
    with pytest.raises(ValueError, match="a Comparison is expected"):
        plots.plot_comparison(other)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["gap", "", None, 3])
def test_names_that_a_comparison_lacks(made, name):
    comparison = made[-1]
    for call in (
        lambda: comparison.best(name),
        lambda: comparison.best("source", name or "loss"),
        lambda: plots.plot_parity(comparison, name, "source"),
        lambda: plots.plot_parity(comparison, "alone", name),
        lambda: plots.plot_comparison(comparison, name),
        lambda: comparison.paired(name),
        lambda: made[3].point(name),
    ):
        with pytest.raises(ValueError, match=r"no quantity|no score|no model|loss must be"):
            call()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (btl.DifferenceGP(3), "levels= must be a list"),
        (btl.DifferenceGP("source"), "levels= must be a list"),
        (btl.LatentVariableGP(graph="source"), "graph= must be a dict"),
        (btl.LatentVariableGP(graph=["source"]), "graph= must be a dict"),
        (btl.LatentVariableGP(graph={"target": None}), "parents must be a list"),
        (btl.LatentVariableGP(graph={"target": 3}), "parents must be a list"),
        (Model(tasks="source"), r"tasks= must hold bayestl.Task"),
        (Model(tasks={"source": btl.Hurdle()}), r"tasks= must hold bayestl.Task"),
        (Model(tasks=[None]), r"tasks= must hold bayestl.Task"),
    ],
    ids=str,
)
def test_parameters_of_another_type(made, model, words):
    with pytest.raises(ValueError, match=words):
        model.fit(*made[:2])


@pytest.mark.parametrize("likelihood", [btl.Categorical, btl.Ordinal, btl.Bernoulli])
@pytest.mark.parametrize("classes", [3, 1.5, "ab", True])
def test_classes_that_are_no_list(likelihood, classes):
    with pytest.raises(ValueError, match="classes must be a list of names"):
        likelihood(classes)


def test_policies_goals_and_seeds_of_another_type(made):
    X, Y = made[:2]
    goal, policies = active.Maximise("target"), {"random": active.Random()}
    for arguments, words in (
        ((goal, [active.Random()]), "policies must be a dict"),
        ((goal, {"random": "random"}), "which is no policy"),
        ((goal, {"random": active.Random}), "which is no policy"),
        (("maximise target", policies), "goal must be one of"),
        ((None, policies), "goal must be one of"),
    ):
        with pytest.raises(ValueError, match=words):
            active.simulate(X, Y, *arguments)
    with pytest.raises(ValueError, match="seeds must be a list"):
        active.simulate(X, Y, goal, policies, seeds=3)


def test_a_printed_diagnosis_shows_every_column_and_the_advice(made):
    checks = made[2].diagnose(transfer=False)
    checks.loc[0, "advice"] = "advice " * 39 + "end"
    text = str(checks)
    assert all(column in text for column in ("check", "of", "value", "threshold", "status"))
    assert "advice " * 39 + "end" in text
    assert "..." not in text
    assert "advice " * 39 + "end" in checks._repr_html_()
    assert type(checks[checks["status"] == "pass"]) is pd.DataFrame
    assert len(text.splitlines()) == len(checks) + 1 + (checks["advice"] != "").sum()
