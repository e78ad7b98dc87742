import re

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from support.auto import quick_auto

import bayestl as btl
from bayestl.diagnostics.checks import Check, as_table
from bayestl.report.data import data_section
from bayestl.report.model import diagnosis_section, model_sections, write_model_report
from bayestl.report.transfer import gains_in, links_in_words
from bayestl.report.units import typeset
from bayestl.report.words import explained_in_words, gains_in_words, shifts_in_words
from bayestl.studies.demo import unit_in_words
from bayestl.table.table import build_table


def titles(model, **kwargs):
    return [s.title for s in model_sections(model, **kwargs)]


def test_one_file_with_what_was_learnt(two_tasks, tmp_path):
    X, Y = two_tasks
    tasks = [btl.Task("source", unit="eV"), btl.Task("target", unit="eV")]
    model = btl.DifferenceGP(["source", "target"], tasks, n_starts=1, verbose=False).fit(X, Y)
    page = write_model_report(model, tmp_path / "a" / "report.html", model.posterior(X)).read_text(encoding="utf-8")
    for title in (
        "The data",
        "What the tasks share",
        "From one level to the next",
        "Each label from all others",
        "Diagnosis",
        "Predictions",
    ):
        assert f">{title}</h2>" in page
    assert page.count("<svg") == 6  # correlation, offsets, and two of each task
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert "source (eV)" in page
    assert page.count("<script") == 1  # hovering


def test_what_does_not_pass_is_told_first(two_tasks):
    X, Y = two_tasks
    wrong = Y.copy()
    wrong.loc[7, "source"] += 3.0
    model = btl.IndependentGP(n_starts=1, verbose=False).fit(X, wrong)
    (diagnosis,) = (s for s in model_sections(model) if s.title == "Diagnosis")
    notes = [b for b in diagnosis.body if 'class="note"' in b]
    assert any("rows 7" in note for note in notes)
    assert diagnosis.body[1 : 1 + len(notes)] == notes


def test_other_models_have_their_own_sections(two_tasks):
    X, Y = two_tasks
    latent = btl.LatentVariableGP({"target": ["source"]}, inference="svi", max_steps=50, n_inducing=10, verbose=False)
    assert "How the tasks follow each other" in titles(latent.fit(X, Y))
    common = {"hyperparameters": "map", "n_starts": 1}
    stacked = btl.StackedModel({"a": btl.IndependentGP(**common), "b": btl.MultiTaskGP(**common)}, verbose=False).fit(
        X, Y
    )
    assert "Weights of the architectures" in titles(stacked)
    labels = pd.DataFrame({"color": np.where(Y["source"] > 2, "<red>", "blue")})
    classes = btl.IndependentGP(**common, verbose=False).fit(X, labels)
    sections = model_sections(classes, classes.posterior(X))
    assert "What the tasks share" not in [s.title for s in sections]
    assert "&lt;red&gt;" in "".join(sections[-1].body)  # text of the user is escaped


def test_what_was_chosen_comes_first(two_tasks):
    X, Y = two_tasks
    sections = model_sections(quick_auto("target", budget=1e9).fit(X, Y))
    first = [s.title for s in sections[:4]]
    assert first == ["What was chosen", "The data", "What the tasks share", "The mixture"]
    shared = "".join(sections[2].body)
    assert "by the labels of the task at the arrow" in shared
    assert "nats a label" in shared
    assert "<th>target, mixture</th>" in "".join(sections[3].body)
    mixture = "".join(sections[3].body)
    for words in ("target, nothing known", "multi-task", "width", "tail"):
        assert words in mixture
    assert "Left out" not in mixture
    failing = quick_auto("target")
    failing.models["difference"] = btl.DifferenceGP(["source"])
    sections = model_sections(failing.fit(X, Y))
    assert "Left out: difference, ValueError: column &#x27;target&#x27; of Y" in "".join(sections[3].body)
    assert "Each label from all others" in [s.title for s in sections]


def test_it_wants_a_fitted_model(tmp_path):
    with pytest.raises(NotFittedError):
        write_model_report(btl.IndependentGP(), tmp_path / "r.html")


def test_advice_of_checks_that_pass_is_kept():
    checks = as_table([Check("features unused", "all tasks", 1.0, 3.0, "pass", "hardly used: idle & <b>")])
    assert ">hardly used: idle &amp; &lt;b&gt;</td>" in "".join(diagnosis_section(checks).body)


def test_a_column_without_entries_is_left_out(two_tasks):
    X, Y = two_tasks
    shown = {
        unit: "".join(data_section(build_table(X, Y, tasks=[btl.Task("target", unit=unit)])).body)
        for unit in ("", "A^3/atom")
    }
    assert "<th>unit</th>" not in shown[""]
    assert "Å³/atom" in shown["A^3/atom"]


def _checks(gain, se, explained):
    rows = [
        ("transfer (nats gained)", "a -> b", gain, -2 * se, "pass", ""),
        ("transfer (nats gained)", "a -> ab", -99.0, -2.0, "fail", "x"),
        ("transfer (nats gained)", "member: a -> b", -99.0, -2.0, "fail", "x"),  # of a model in a stack
        ("variance explained, leave-one-out", "b", explained, 0.05, "pass", ""),
    ]
    return pd.DataFrame(rows, columns=["check", "of", "value", "threshold", "status", "advice"])


@pytest.mark.parametrize(
    ("gain", "words", "picture"),
    [
        (8.0, "Labels of a help (8.0 ± 2.0 nats over all labels of b)", "Tasks that inform: a to b (8.0 ± 2.0)."),
        (-8.0, "Labels of a harm (-8.0 ± 2.0 nats", "Tasks that harm: "),
        (3.0, "Labels of a neither help nor harm for sure (3.0 ± 2.0 nats", "For 1 of 2 pairs"),
    ],
)
def test_gains_are_told_as_their_standard_errors_say(gain, words, picture):
    checks = _checks(gain, 2.0, 0.5)
    assert gains_in_words(checks, "b", ["a", "b"]).startswith(words)
    assert "99" not in gains_in_words(checks, "b", ["a", "b"])
    assert gains_in_words(checks, "a", ["a", "b"]) == ""
    assert picture in links_in_words(gains_in(checks, ["a", "b", "ab"]))


@pytest.mark.parametrize(
    ("likelihood", "words"),
    [
        (None, "whose mean is 3 eV, t is 4 eV"),
        (btl.LogNormal(), "3 (of logarithms)"),
        (btl.PowerNormal(0.5), "3 (of transformed labels)"),
    ],
)
def test_a_shift_is_in_the_unit_of_what_is_shifted(likelihood, words):
    index = pd.MultiIndex.from_tuples([("t", "u")])
    shifts = pd.DataFrame({"rows": 9, "at": 3.0, "mean": 1.0, "lower": 0.5, "upper": 1.5}, index=index)
    (said,) = shifts_in_words(shifts, {name: btl.Task(name, likelihood, "eV") for name in "ut"})
    assert words in said
    assert ("eV" in said) == (likelihood is None)


@pytest.mark.parametrize(
    ("explained", "words"), [(0.873, "87 % is predicted"), (-0.1, "do not trust its values"), (0.0, "do not trust")]
)
def test_variance_explained_is_told(explained, words):
    assert words in explained_in_words(_checks(1.0, 1.0, explained), "b")
    assert explained_in_words(_checks(1.0, 1.0, explained), "a") == ""


@pytest.mark.parametrize("factor", [1.0, 1.6])
@pytest.mark.parametrize("offset", [-0.507, 2.0])
def test_the_mean_shift_is_that_of_the_labels_and_the_words_say_it(two_tasks, factor, offset):
    X, _ = two_tasks
    source = np.sin(X["p"]) + 0.5 * X["q"] + 7.0
    Y = pd.DataFrame({"low": source, "high": factor * source + offset})
    model = btl.DifferenceGP(["low", "high"], n_starts=1, hyperparameters="map", verbose=False).fit(X, Y)
    shifts = model.shifts()
    row = shifts.loc[("high", "low")]
    true = (Y["high"] - Y["low"]).mean()
    assert row["at"] == pytest.approx(source.mean(), abs=0.02)
    assert row["mean"] == pytest.approx(true, abs=0.02)
    assert row["lower"] - 0.01 <= true <= row["upper"] + 0.01
    (sentence,) = shifts_in_words(shifts, {})
    assert f"a shift of {row['mean']:+.3g}" in sentence
    assert f"mean is {row['at']:.3g}" in sentence


@pytest.mark.parametrize(("lower", "upper", "holds"), [(-0.6, -0.4, True), (-0.45, -0.40, False), (-0.9, -0.6, False)])
def test_the_demonstration_says_what_the_interval_says_of_the_change_of_unit(lower, upper, holds):
    text = unit_in_words(pd.Series({"mean": (lower + upper) / 2, "lower": lower, "upper": upper}))
    assert "ln 0.602 = -0.507" in text
    assert f"{(lower + upper) / 2:.3f}" in text
    assert ("does not hold it" in text) != holds


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("V_0^2 (ln A^3/atom)", "V_0^2 (ln Å³/atom)"),
        ("x (cm^3 mol^-1)", "x (cm³ mol⁻¹)"),
        ("x (J m**-2)", "x (J m⁻²)"),
        ("x (A/m^2)", "x (A/m²)"),
        ("gap (eV)", "gap (eV)"),
        ("um^2", "um^2"),
        ("d (um)", "d (µm)"),
        ("d (angstrom)", "d (Å)"),
    ],
)
def test_units_are_typeset_and_names_kept(given, printed):
    assert typeset(given) == printed
