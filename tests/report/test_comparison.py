import itertools
import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import bayestl as btl
from bayestl.evaluation.comparison import SCORES, Comparison
from bayestl.evaluation.verdict import ALPHA, difference, verdict, verdicts
from bayestl.report import comparison_sections, conclusion_as_text
from bayestl.report.words import conclusion


def compared(error, spread=None, n=60, seed=0, classified=False, alone="independent", hide="target", scale=1.0):
    """A comparison in which each model misses by errors of a size; its intervals are right where ``spread`` is that size."""
    rng = np.random.default_rng(seed)
    y, common = rng.uniform(0, 10, n), rng.standard_normal(n)
    rows = []
    for model, size in error.items():
        own = (spread or {}).get(model, size)
        miss = size * (0.8 * common + 0.6 * rng.standard_normal(n))
        median = y - miss
        z = np.abs(miss) / own
        frame = pd.DataFrame(
            {"model": model, "fold": np.arange(n) % 4, "quantity": "gap", "row": range(n), "y": y, "high": y}
        )
        frame = frame.assign(mean=median, median=median, lower=median - 1.645 * own, upper=median + 1.645 * own)
        frame["pit"] = norm.cdf(miss / own)
        frame["crps"] = own * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
        frame["log_density"] = norm.logpdf(miss / own) - np.log(own)
        if classified:
            right = rng.uniform(size=n) > size
            frame["y"], frame["likeliest"] = 0.0, np.where(right, 0.0, 1.0)
            frame["log_density"] = np.log(np.where(right, 1 - size, size))
        rows.append(frame)
    predictions = pd.concat(rows, ignore_index=True)
    scores = []
    for (model, fold), part in predictions.groupby(["model", "fold"], sort=False):
        missed = (part["median"] - part["y"]).abs()
        held = part["y"].between(part["lower"], part["upper"]).mean()
        record = dict.fromkeys(SCORES, np.nan) | {"model": model, "quantity": "gap", "fold": fold, "n": len(part)}
        record |= {"nlpd": -part["log_density"].mean()}
        if classified:
            record |= {"accuracy": (part["y"] == part["likeliest"]).mean(), "macro_f1": 0.5}
        else:
            record |= {"mae": missed.mean(), "rmse": missed.mean(), "crps": part["crps"].mean(), "coverage": held}
            record |= {"width": (part["upper"] - part["lower"]).mean(), "interval_score": 1.0}
        scores.append(record)
    informed = tuple(m for m in error if m != alone)
    return Comparison(pd.DataFrame(scores), predictions, hide, {"gap": "eV"}, alone=alone, informed=informed)


def said(comparison):
    return " ".join(conclusion(comparison, verdicts(comparison))["gap"])


def section(comparison, title):
    return "".join(next(s for s in comparison_sections(comparison) if s.title == title).body)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("size", "sign", "words"),
    [
        (0.4, -1, "Learning from the other tasks cuts the mean absolute error from"),
        (2.5, 1, "Learning from the other tasks harms"),
        (1.0, 0, "Whether learning from the other tasks helps cannot be told"),
    ],
)
def test_what_is_said_of_transfer_is_what_the_paired_difference_says(size, sign, words, seed):
    comparison = compared({"independent": 1.0, "difference": size}, seed=seed)
    v = verdict(comparison, "gap")
    assert v.score.sign == sign
    text = said(comparison)
    assert words in text
    errors = comparison.predictions.assign(e=lambda p: (p["y"] - p["median"]).abs()).groupby("model")["e"].mean()
    for model in errors.index:
        assert f"{errors[model]:.2g}" in text
    if sign < 0:
        assert f"by {100 * (1 - errors['difference'] / errors['independent']):.0f} %" in text


@pytest.mark.slow
def test_equal_models_are_seldom_told_apart():
    """The best of three equal models is called better, or worse, than the task alone at most about as often as it may be."""
    verdicts = [verdict(compared({"independent": 1, "a": 1, "b": 1}, n=40, seed=s), "gap") for s in range(100)]
    wrong = np.mean([v.score.sign != 0 for v in verdicts])
    assert wrong < ALPHA + 2.5 * np.sqrt(ALPHA / 100)
    assert np.mean([v.only_best for v in verdicts]) <= ALPHA


def test_better_distributions_with_errors_that_do_not_tell_are_said_to_be_that():
    comparison = compared({"independent": 1.0, "difference": 1.0}, {"independent": 0.15}, n=200)
    text = said(comparison)
    assert "makes the predicted distributions better" in text
    assert "cannot be told" in text
    assert "cuts" not in text


@pytest.mark.parametrize("sizes", [(1.0, 0.3, 0.3), (1.0, 0.3, 2.0), (1.0, 1.0, 1.0), (0.3, 1.0, 2.0)])
def test_best_is_marked_only_where_the_paired_difference_says_so(sizes):
    comparison = compared(dict(zip(("independent", "a", "b"), sizes, strict=True)), n=120)
    v = verdict(comparison, "gap")
    table = section(comparison, "Which model predicts best")
    marked = [re.findall(r"<th>(.*?)</th>", row)[0] for row in table.split("<tr")[1:] if 'class="best"' in row]
    smallest = [m for m, s in zip(("independent", "a", "b"), sizes, strict=True) if s == min(sizes)]
    assert set(v.as_good) == set(smallest)
    if len(smallest) == 3:
        assert marked == []
        assert "None is marked" in table
    else:
        told = "best" if len(smallest) == 1 else "among the best"
        assert marked == [f"{m} ({told})" for m in smallest]


@pytest.mark.parametrize(
    ("ratio", "n", "words"),
    [
        (1.0, 200, "which is right within chance"),
        (0.3, 60, "so they are too narrow"),
        (4.0, 200, "so they are too wide"),
        (0.3, 15, "which are too few to judge them"),
    ],
)
def test_miscalibrated_intervals_are_called_so(ratio, n, words):
    comparison = compared({"independent": 1.0}, {"independent": ratio}, n=n)
    v = verdict(comparison, "gap")
    text = said(comparison)
    assert f"hold {100 * v.held:.0f} % of {n} labels, {words}" in text
    assert ("the width of its intervals" in text) == ("so they" in words)


@pytest.mark.parametrize(("held", "words"), [(0.72, "hold 72 %"), (0.99, "hold 99 %"), (0.9, None), (0.8, None)])
def test_a_marked_model_has_a_word_on_wrong_intervals(held, words):
    comparison = compared({"independent": 1.0, "narrow": 0.2})
    comparison.scores.loc[comparison.scores["model"] == "narrow", "coverage"] = held
    table = section(comparison, "Which model predicts best")
    assert ("But narrow: its 90 % intervals" in table) == (words is not None)
    assert words is None or words in table


def test_intervals_of_a_few_labels_are_not_doubted():
    for n, word in ((12, ""), (80, "its 90 % intervals hold 50 %")):
        comparison = compared({"independent": 1.0, "narrow": 0.2}, n=n)
        comparison.scores["coverage"] = 0.5
        assert comparison.doubt("gap", "narrow") == word


def test_classes_have_no_intervals():
    comparison = compared({"independent": 0.5, "difference": 0.05}, classified=True, n=120)
    assert comparison.doubt("gap", "difference") == ""
    text = said(comparison)
    assert "cuts the share of wrong classes" in text
    assert "interval" not in text


def test_no_better_than_one_guess_is_not_to_be_trusted():
    assert "Do not trust its values" in said(compared({"independent": 4.0}))
    assert "Trust it for" in said(compared({"independent": 0.5}))


def test_labels_far_off_are_named_and_left_out_of_what_is_trusted():
    comparison = compared({"independent": 0.3}, n=80)
    p = comparison.predictions
    highest = p["y"].idxmax()
    p.loc[highest, "pit"] = 1e-9
    row = int(p.loc[highest, "row"])
    text = said(comparison)
    assert f"Check {row}: too far" in text
    assert f"to {p['y'].drop(highest).max():.3g} eV" in text
    assert f"<th>{row}</th>" in section(comparison, "Predictions against labels")


def test_few_labels_say_nothing():
    assert said(compared({"independent": 1.0, "difference": 0.1}, n=8)) == (
        "8 held-out rows, too few to tell which model is right."
    )


def test_every_point_tells_its_row():
    comparison = compared({"independent": 0.5}, n=30)
    shown = section(comparison, "Predictions against labels")
    assert sorted(int(n) for n in re.findall(r'data-tip="(\d+): label', shown)) == list(range(30))
    assert shown.count("<title>") == 30


def test_words_that_are_used_are_explained_where_they_stand():
    shown = section(compared({"independent": 1.0, "difference": 0.5}), "Which model predicts best")
    heads = itertools.chain.from_iterable(re.findall(r"<th[^>]*>([^<]+)</th>", row) for row in shown.split("<tr>")[1:2])
    explained = re.findall(r"<dt>(.*?)</dt>", shown)
    assert set(heads) - {"model"} <= set(explained)


def test_the_conclusion_counts_labels_and_not_folds(two_tasks):
    """Folds of 4, 16 and 20 rows: what intervals hold is of all labels, and the best is not beaten by another, row by row."""
    X, Y = two_tasks
    at = np.arange(40)
    splits = [(at[at >= 4], at[:4]), (at[(at < 4) | (at >= 20)], at[4:20]), (at[at < 20], at[20:])]
    models = {
        k: btl.IndependentGP(kernel=k, hyperparameters="map", n_starts=1, verbose=False) for k in ("rbf", "exponential")
    }
    found = btl.compare(models, X, Y, cv=splits, n_jobs=1, verbose=False)
    for quantity, v in verdicts(found).items():
        p = found.predictions.query("quantity == @quantity and model == @v.best")
        inside = p["y"].between(p["lower"], p["upper"])
        assert v.held == pytest.approx(inside.mean())
        assert f"hold {100 * inside.mean():.0f} % of {len(p)} labels" in " ".join(conclusion_as_text(found).split())
        worst = found.scores["model"].map({m: 1.0 if m == v.best else 2.0 for m in models})
        found.scores["crps"] = 3.0 - worst  # whatever the folds say
        again = verdicts(found)[quantity]
        other = next(m for m in models if m != again.best)
        assert difference(found, quantity, again.best, other).sign <= 0


def test_labels_far_from_predictions_are_written_as_they_are(two_tasks):
    X, Y = two_tasks
    Y = Y.assign(target=Y["target"].astype(object))
    Y.loc[Y.index[3], "target"], Y.loc[Y.index[5], "target"] = ">90", "80..85"
    models = {
        "m": btl.IndependentGP(
            tasks=[btl.Task("target", btl.Censored())], hyperparameters="map", n_starts=1, verbose=False
        )
    }
    found = btl.compare(models, X, Y, cv=3, target="target", n_jobs=1, verbose=False)
    page = section(found, "Predictions against labels")
    assert ">&gt;90<" in page or ">80..85<" in page
