import re

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from support.auto import quick_auto

import bayestl as btl
from bayestl.report.model import model_sections, write_model_report


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
    assert "<script" not in page


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
