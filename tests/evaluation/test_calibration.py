import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.evaluation import calibration_table
from bayestl.evaluation.comparison import Comparison
from bayestl.evaluation.cross_validation import compare
from bayestl.report import plots


def comparison_of(pit, **columns):
    predictions = pd.DataFrame(
        {"model": "m", "quantity": "y", "fold": 0, "row": range(len(pit)), "pit": pit, **columns}
    )
    classes = "likeliest" in columns
    scores = pd.DataFrame({"model": ["m"], "quantity": ["y"], "fold": [0], "accuracy": [0.5 if classes else np.nan]})
    return Comparison(scores, predictions, "row")


def test_uniform_transforms_are_calibrated_and_narrow_ones_are_not():
    u = np.random.default_rng(0).uniform(size=4000)
    good = calibration_table(comparison_of(u)).loc[("y", "m")]
    assert good["error"] < 0.015
    assert good["in 90 %"] == pytest.approx(0.9, abs=0.02)
    assert good["p value"] > 0.01
    sure = calibration_table(comparison_of(np.clip(0.5 + 3 * (u - 0.5), 0.001, 0.999))).loc[("y", "m")]
    assert sure["error"] > 0.3
    assert sure["in 50 %"] == pytest.approx(0.5 / 3, abs=0.03)
    assert sure["p value"] < 1e-6
    low = calibration_table(comparison_of(u**0.5)).loc[("y", "m")]
    assert low["bias"] == pytest.approx(1 / 6, abs=0.02)


def test_the_confidence_in_a_class_is_held_against_how_often_it_is_right():
    rng = np.random.default_rng(1)
    p0 = rng.uniform(0.5, 1.0, 5000)
    y = (rng.uniform(size=5000) > p0).astype(float)
    columns = {"y": y, "likeliest": np.zeros(5000), "p0": p0, "p1": 1 - p0}
    found = calibration_table(comparison_of(rng.uniform(size=5000), **columns)).loc[("y", "m")]
    assert found["error"] < 0.02
    too_sure = {**columns, "p0": np.full(5000, 0.99), "p1": np.full(5000, 0.01)}
    found = calibration_table(comparison_of(rng.uniform(size=5000), **too_sure)).loc[("y", "m")]
    assert found["error"] == pytest.approx(0.24, abs=0.03)
    assert np.isnan(found["in 90 %"])


@pytest.fixture(scope="module")
def colours():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((60, 2)), columns=["p", "q"])
    Y = pd.DataFrame({"gap": X["p"] + 0.1 * rng.standard_normal(60)})
    Y["color"] = np.where(X["p"] + 0.5 * rng.standard_normal(60) > 0, "white", "dark")
    model = btl.IndependentGP(hyperparameters="map", n_starts=1)
    return compare({"alone": model}, X, Y, cv=3, hide="row", verbose=False)


def test_pictures_show_every_label(colours):
    ax = plots.plot_pit(colours, "gap", bins=6)
    heights = [bar.get_height() / 6 for bar in ax.patches if hasattr(bar, "get_height") and bar.get_width() < 0.5]
    assert sum(heights) == pytest.approx(1.0)
    ax = plots.plot_reliability(colours, "color", bins=4)
    line = ax.get_lines()[1].get_xydata()
    color = colours.predictions.query("quantity == 'color'")
    confidence = color[["p0", "p1"]].max(axis=1).to_numpy()
    right = (color["y"] == color["likeliest"]).to_numpy()
    quarters = np.split(np.argsort(confidence, kind="stable"), 4)
    np.testing.assert_allclose(line, [[confidence[rows].mean(), right[rows].mean()] for rows in quarters])
    with pytest.raises(ValueError, match="'gap' is a number"):
        plots.plot_reliability(colours, "gap")
    assert calibration_table(colours).index.tolist() == [("gap", "alone"), ("color", "alone")]
