"""Draws of tables with a cheap source: what is trained on, what is known of held-out rows, and how it is scored."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

import bayestl as btl
from bayestl.datasets import Dataset
from bayestl.distributions import NormalMixture
from bayestl.studies import draws, enthalpies, fidelities, molecules
from bayestl.studies.draws import BASELINES, Design, compare_draws, draw_rows
from bayestl.studies.peers import GaussianMarginals, Line, OnDifference, SourceItself


def labels(n=60):
    """The target is 2 source + 1; the source is missing in row 0, the target in rows 1 to 9."""
    source = np.linspace(0.0, 1.0, n)
    Y = pd.DataFrame({"cheap": source, "dear": 2 * source + 1})
    Y.loc[0, "cheap"] = np.nan
    Y.loc[1:9, "dear"] = np.nan
    return Y


def table():
    Y = labels()
    return Dataset(
        "drawn", pd.DataFrame({"x": np.arange(60.0)}), Y, (btl.Task("cheap"), btl.Task("dear", unit="eV")), "", "", ""
    )


def test_rows_are_drawn_in_the_order_of_the_permutation():
    Y = labels().dropna()
    order = np.random.default_rng(3).permutation(len(Y))
    draw = draw_rows(Y, "cheap", "dear", Design(5, 7, 11), 3)
    for part, expected in zip((draw.labelled, draw.test, draw.further), np.split(order, (5, 16, 23))[:3], strict=True):
        np.testing.assert_array_equal(part, expected)


def test_further_rows_have_the_source_alone_or_both_and_none_is_drawn_twice():
    Y = labels()
    draw = draw_rows(Y, "cheap", "dear", Design(10, 30, 10), 0)
    assert len(draw.rows) == len(set(draw.rows)) == 50
    assert Y.iloc[draw.labelled].notna().all(axis=None)
    assert Y.iloc[draw.test].notna().all(axis=None)
    assert Y["cheap"].iloc[draw.further].notna().all()
    assert Y["dear"].iloc[draw.further].isna().any()
    everything = draw_rows(Y, "cheap", "dear", Design(None, None, 10), 0)
    assert sorted(everything.rows) == list(range(60))
    assert 0 in everything.labelled  # without a source
    assert set(everything.further) == set(range(1, 10))


def test_too_few_rows_are_named():
    with pytest.raises(ValueError, match=r"50 rows have labels of both 'cheap' and 'dear', fewer than the 45 \+ 10"):
        draw_rows(labels(), "cheap", "dear", Design(45, 0, 10), 0)
    with pytest.raises(ValueError, match="39 further rows have a label of 'cheap', fewer than the 40"):
        draw_rows(labels(), "cheap", "dear", Design(10, 40, 10), 0)


SEEN = []
"""What each :class:`Spy` was given: training labels, held-out features, and what is known of held-out rows."""


class Spy(BaseEstimator):
    """A model that notes what it is given."""

    def fit(self, X, Y, Y_std=None, groups=None):
        self.training = Y
        return self

    def posterior(self, X, observed=None, groups=None):
        SEEN.append((self.training, X, observed))
        n = len(X)
        return GaussianMarginals({"dear": NormalMixture(np.ones(1), np.zeros((1, n)), np.ones((1, n)))})


def test_models_see_the_source_of_held_out_rows_and_never_their_target(monkeypatch):
    data, design = table(), Design(10, 20, 8)
    monkeypatch.setattr(draws, "models", lambda *_: {"spy": Spy()})
    SEEN.clear()
    drawn = [draw_rows(data.Y, "cheap", "dear", design, seed) for seed in range(2)]
    comparison = compare_draws(data.X, data, "cheap", "dear", drawn, verbose=False)
    assert len(SEEN) == 2
    for draw, (training, X, observed) in zip(drawn, SEEN, strict=True):
        assert training.notna().sum().to_dict() == {"cheap": 30, "dear": 10}
        np.testing.assert_array_equal(X["x"], draw.test)
        np.testing.assert_array_equal(observed["cheap"], data.Y["cheap"].iloc[draw.test])
        assert observed["dear"].isna().all()
    spy = comparison.predictions[comparison.predictions["model"] == "spy"]
    np.testing.assert_array_equal(spy["y"], np.concatenate([data.Y["dear"].iloc[d.test] for d in drawn]))


def test_baselines_are_what_they_say():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(400, 1))
    Y = pd.DataFrame({"cheap": rng.standard_normal(400)})
    Y["dear"] = 0.5 * Y["cheap"] + 2.0 + 0.1 * rng.standard_normal(400)
    few = Y.copy()
    few.loc[300:, "dear"] = np.nan
    known = Y.loc[300:, ["cheap"]]
    itself = SourceItself("cheap", "dear").fit(x, few).posterior(x[300:], known).marginal("dear")
    np.testing.assert_array_equal(itself.mean(), known["cheap"])
    assert itself.std()[0] == pytest.approx(np.sqrt(((Y["dear"] - Y["cheap"])[:300] ** 2).mean()))
    line = Line("cheap", "dear").fit(x, few)
    slope, level = np.polyfit(Y["cheap"][:300], Y["dear"][:300], 1)
    predicted = line.posterior(x[300:], known).marginal("dear")
    np.testing.assert_allclose(predicted.mean(), level + slope * known["cheap"], rtol=1e-9)
    far = line.posterior(x[:1], pd.DataFrame({"cheap": [100.0]})).marginal("dear")
    assert far.std()[0] > 3 * predicted.std().max()  # the slope is uncertain
    inside = np.abs(Y["dear"][300:] - predicted.mean()) < 1.645 * predicted.std()
    assert 0.8 < inside.mean() < 0.97


@pytest.mark.parametrize("std", [None, 0.1])
def test_a_model_of_the_difference_adds_the_source(std):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": np.linspace(0, 1, 40)})
    Y = pd.DataFrame({"cheap": rng.standard_normal(40)})
    Y["dear"] = Y["cheap"] + np.sin(4 * X["x"])
    few = Y.copy()
    few.loc[::2, "dear"] = np.nan
    errors = None if std is None else pd.DataFrame({"cheap": np.nan, "dear": std}, index=Y.index)
    one = btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False)
    model = OnDifference("cheap", "dear", one).fit(X, few, Y_std=errors)
    assert model.model_.table_.labels.se.max() == (std or 0.0)
    held_out = Y[few["dear"].isna()]
    predicted = model.posterior(X.loc[held_out.index], held_out[["cheap"]]).marginal("dear")
    np.testing.assert_allclose(predicted.mean(), held_out["dear"], atol=0.25 if std else 0.1)


def test_small_tables_run(data_folder):
    result = molecules.run(["coarse", "frameworks"], [20], 2, ["independent"], "map", n_jobs=1, verbose=False)
    frame = result.to_frame()
    assert list(frame.index.unique("model")) == ["independent", *BASELINES]
    assert frame.loc[("coarse", "20 rows with both", "source itself"), ("mae", "mean")] == pytest.approx(1.1, abs=0.2)
    text = str(result)
    assert "coarse, 20 rows with both: measured (kcal/mol), mean over 2 draws" in text
    assert "MAE minus that of a baseline" in text
    paired = result.paired("crps").loc[("coarse", "20 rows with both", "line", "source itself")]
    by_draw = result.comparisons["coarse", "20 rows with both"].scores.pivot(
        index="fold", columns="model", values="crps"
    )
    difference = by_draw["line"] - by_draw["source itself"]
    assert paired["difference"] == pytest.approx(difference.mean())
    assert paired["se"] == pytest.approx(difference.sem())


def test_the_order_of_the_rows_is_that_of_the_protocol(data_folder):
    """The protocol's figures at n = 40, three draws: FreeSolv 1.099 for the calculation, 1.003 for a line."""
    result = molecules.run(["coarse"], [40], 3, ["independent"], "map", n_jobs=1, verbose=False)
    mae = result.to_frame().xs("40 rows with both", level="rows").loc["coarse"]["mae", "mean"]
    assert mae["source itself"] == pytest.approx(1.099, abs=0.0005)
    assert mae["line"] == pytest.approx(1.003, abs=0.0005)


def test_enthalpies_run(data_folder):
    result = enthalpies.run("scan", [40], 1, ["independent"], "map", n_jobs=1, verbose=False)
    mae = result.to_frame().loc[("enthalpies, scan", "40 rows with both")]["mae", "mean"]
    assert mae["source itself"] == pytest.approx(0.081, abs=0.02)  # of all 637
    assert mae["independent"] > 2 * mae["line"]
    with pytest.raises(ValueError, match="source must be one of"):
        enthalpies.run("pbe", verbose=False)


def test_fidelities_run(data_folder):
    result = fidelities.run("few", 1, ["independent"], "map", n_jobs=1, verbose=False, design=Design(40, 60, 50))
    frame = result.to_frame()
    assert list(frame.index.unique("rows")) == ["40 HSE and 100 PBE gaps in training"]
    mae = frame.droplevel(["table", "rows"])["mae", "mean"]
    assert mae["line"] < 0.5 < mae["source itself"]
    assert mae["GP on the difference"] < mae["independent"]
    with pytest.raises(ValueError, match="variant must be one of"):
        fidelities.run("some", verbose=False)


def test_the_numbers_of_gaps_are_those_of_the_protocol(data_folder):
    data = btl.datasets.load_band_gap_fidelities()
    gaps = data.Y[["pbe", "hse"]]
    gaps = gaps[gaps.notna().any(axis=1) & ~gaps.eq(0).any(axis=1)]
    few = draw_rows(gaps, "pbe", "hse", fidelities.DESIGNS["few"], 0)
    assert (len(few.labelled), len(few.further), len(few.test)) == (1000, 1500, 300)
    everything = draw_rows(gaps, "pbe", "hse", fidelities.DESIGNS["all"], 0)
    training = gaps.iloc[np.concatenate([everything.labelled, everything.further])].notna().sum().sum()
    assert 22_000 < training < 24_000


def test_twelve_statistics_and_the_fractions_of_the_elements():
    out = draws.formula_features(pd.DataFrame({"formula": ["GaAs", "ZnO", "Fe2O3"]}), 1, False)
    assert set(draws.STATISTICS) <= set(out.columns)
    assert set(out.columns) - set(draws.STATISTICS) == {"Ga", "As", "Zn", "O", "Fe"}


def test_baselines_run_alone(data_folder):
    text = str(molecules.run(["coarse"], [20], 1, [], "map", n_jobs=1, verbose=False))
    assert "measured (kcal/mol)" in text
    assert "GP on the difference" in text
    assert "minus" not in text


def test_unknown_tables_are_named():
    with pytest.raises(ValueError, match="no table 'proteins'"):
        molecules.run(["proteins"], verbose=False)


@pytest.mark.parametrize("hide", ["target", "row"])
def test_all_enthalpies_hold_out_measured_compositions(hide, data_folder, monkeypatch, tmp_path):
    data = enthalpies.load_formation_enthalpies()
    some = np.arange(len(data.Y)) % 40 == 0
    small = data.rows(some)
    monkeypatch.setattr(enthalpies, "load_formation_enthalpies", lambda: small)
    monkeypatch.setattr(enthalpies, "IndependentGP", lambda **_: Spy())
    monkeypatch.setattr(Spy, "posterior", posterior_of("measured"))
    SEEN.clear()
    result = enthalpies.full(hide, only=["independent"], n_jobs=1, verbose=False)
    measured = np.flatnonzero(small.Y["measured"].notna())
    predictions = result.comparison.predictions
    assert sorted(predictions["row"]) == list(measured)
    for training, X, observed in SEEN:
        assert not set(training.index) & set(X.index)
        assert len(training) + len(X) == some.sum()
        if hide == "target":
            np.testing.assert_array_equal(observed["scan"], small.Y.loc[X.index, "scan"])
            assert observed["measured"].isna().all()
        else:
            assert observed is None
    by_source = result.by_source
    assert by_source["scan", "n"].item() == small.Y[["scan", "measured"]].notna().all(axis=1).sum()
    assert "arXiv" in str(result)
    result.write(tmp_path)
    assert len(pd.read_csv(tmp_path / "predictions.csv")) == len(measured)


def posterior_of(target):
    """The method of a :class:`Spy` that predicts a standard normal for one task."""

    def posterior(self, X, observed=None, **_):
        SEEN.append((self.training, X, observed))
        n = len(X)
        normal = NormalMixture(np.ones(1), np.zeros((1, n)), np.ones((1, n)))
        return GaussianMarginals({target: normal})

    return posterior
