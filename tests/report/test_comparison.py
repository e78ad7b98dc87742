import pandas as pd
import pytest

from bayestl.evaluation.comparison import SCORES, Comparison
from bayestl.report import comparison_sections


def compared(coverage, classified=False):
    """Two models, "narrow" the better one, with intervals that hold a share of the labels."""
    rows = [
        {"model": model, "quantity": "gap", "fold": fold, "n": 9}
        | dict.fromkeys(SCORES, 0.1 if model == "narrow" else 0.2)
        | {"coverage": coverage[model], "accuracy": 0.5 if classified else float("nan")}
        for model in coverage
        for fold in range(2)
    ]
    label = {"row": 0, "y": 1.0, "high": 1.0, "median": 1.1, "lower": 0.5, "upper": 1.5, "pit": 0.4, "quantity": "gap"}
    predictions = pd.DataFrame([{"model": model, "fold": 0} | label for model in coverage])
    return Comparison(pd.DataFrame(rows), predictions, "row", shared=pd.DataFrame({"gap": [9]}, ["gap"]))


def best_row(comparison):
    (table,) = (s for s in comparison_sections(comparison) if s.title == "Which architecture predicts best")
    return next(row for row in "".join(table.body).split("<tr") if 'class="best"' in row)


@pytest.mark.parametrize(("held", "words"), [(0.72, "hold 72 %"), (0.99, "hold 99 %"), (0.9, None), (0.8, None)])
def test_the_best_model_is_called_so_with_a_word_on_wrong_intervals(held, words):
    comparison = compared({"narrow": held, "wide": 0.5})
    row = best_row(comparison)
    assert "narrow" in row
    assert ("its 90 % intervals" in row) == (words is not None)
    assert words is None or f"its 90 % {'intervals ' + words}" in row
    assert comparison.doubt("gap", "wide") == "its 90 % intervals hold 50 %"


def test_classes_have_no_intervals():
    assert compared({"narrow": 0.1}, classified=True).doubt("gap", "narrow") == ""
