import re

import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl import datasets
from bayestl.features import CompositionFeatures, FormulaError, parse_formulas, reduced_formula

QUICK = {"n_starts": 1, "verbose": False, "hyperparameters": "map"}


def labels(data):
    return data.Y.notna().sum().to_dict()


def test_elements_are_in_the_box(monkeypatch):
    monkeypatch.setenv("BAYESTL_DATA", "/nowhere")
    data = datasets.load_elements()
    counts = labels(data)
    assert len(data.X) == 95
    assert {
        k: counts[k] for k in ("vickers_hardness", "brinell_hardness", "bulk_modulus", "measured_volume", "dft_volume")
    } == {
        "vickers_hardness": 39,
        "brinell_hardness": 59,
        "bulk_modulus": 69,
        "measured_volume": 93,
        "dft_volume": 95,
    }
    assert data.Y["dft_volume"].corr(data.Y["measured_volume"]) == pytest.approx(0.91, abs=0.01)
    assert data.Y.loc["Fe", "melting_point"] == 1811.0
    assert np.isfinite(data.X.to_numpy()).all()


def test_experimental_gaps(data_folder):
    data = datasets.load_experimental_band_gaps()
    assert labels(data) == {"pbe_gap": 3374, "expt_gap": 4604}
    assert (data.Y["expt_gap"] == 0).mean() > 0.5


def test_strehlow_cook(data_folder):
    data = datasets.load_strehlow_cook()
    assert len(data.X) == 505
    assert labels(data) == {"band_gap": 495, "color": 80}
    assert set(data.Y["color"].dropna()) == {"dark", "white", "yellow", "orange", "red", "other"}


def test_no_decomposition(data_folder):
    data = datasets.load_no_decomposition()
    assert labels(data) == {"N2": 48, "NO": 46, "O2": 24}
    assert data.X.shape == (50, 12)
    assert data.groups.nunique() == 10
    assert data.Y.loc["Pd(111)", "O2"] == 0.61
    further = datasets.load_no_decomposition(cohesion=True)
    pd.testing.assert_frame_equal(further.X[data.X.columns], data.X)
    pd.testing.assert_frame_equal(further.Y, data.Y)
    palladium = further.X.drop(columns=data.X.columns).loc["Pd(111)"]
    expected = {
        "work_function": 5.45,
        "electron_density": 1.67,
        "molar_volume": 8.90,
        "cohesive_energy": 3.89,
        "d_electrons": 10,
    }
    pd.testing.assert_series_equal(
        palladium, pd.Series(expected), check_names=False, rtol=0.001
    )  # de Boer et al., Kittel


def test_a_missing_or_changed_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("BAYESTL_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"expt_gap.csv is not in"):
        datasets.load_experimental_band_gaps()
    (tmp_path / "expt_gap.csv").write_text("formula,target\nGaAs,1.4\n")
    with pytest.raises(ValueError, match="not the file that was tested"):
        datasets.load_experimental_band_gaps()


MODELS = {
    "independent": lambda a, b: btl.IndependentGP(**QUICK),
    "multi-task": lambda a, b: btl.MultiTaskGP(**QUICK),
    "difference": lambda a, b: btl.DifferenceGP([a, b], **QUICK),
    "latent": lambda a, b: btl.LatentVariableGP({b: [a]}, inference="svi", verbose=False, n_inducing=40, max_steps=150),
}


def end_to_end(model, X, Y, target):
    """Fit on two thirds of the target's labels; better than their mean on the others, with finite densities."""
    known = np.flatnonzero(Y[target].notna())
    held = np.random.default_rng(0).permutation(known)[: len(known) // 3]
    train = Y.copy()
    train.iloc[held, train.columns.get_loc(target)] = np.nan
    model.fit(X, train)
    observed = train.iloc[held]
    error = np.abs(model.posterior(X.iloc[held], observed=observed).mean[target] - Y[target].iloc[held]).mean()
    naive = np.abs(train[target].mean() - Y[target].iloc[held]).mean()
    assert error < 0.95 * naive
    density = model.log_density(X.iloc[held], Y.iloc[held][[target]], observed=observed)
    assert np.isfinite(density[target]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_each_model_on_the_elements(name):
    data = datasets.load_elements()
    end_to_end(
        MODELS[name]("dft_volume", "measured_volume"),
        data.X,
        data.Y[["dft_volume", "measured_volume"]],
        "measured_volume",
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_each_model_on_no_decomposition(data_folder, name):
    data = datasets.load_no_decomposition()
    end_to_end(MODELS[name]("N2", "NO"), data.X, data.Y[["N2", "NO"]], "NO")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_each_model_on_measured_gaps(data_folder, name):
    data = datasets.load_experimental_band_gaps()
    both = np.flatnonzero((data.Y["pbe_gap"] > 0).to_numpy())
    rows = np.random.default_rng(0).permutation(both)[:120]
    X = CompositionFeatures(["stoichiometry", "valence"], verbose=False).fit_transform(data.X.iloc[rows])
    end_to_end(MODELS[name]("pbe_gap", "expt_gap"), X, data.Y.iloc[rows], "expt_gap")


@pytest.mark.slow
def test_one_model_on_strehlow_cook(data_folder):
    data = datasets.load_strehlow_cook()
    rows = data.Y["band_gap"].notna().to_numpy()
    X = CompositionFeatures(["stoichiometry", "valence"], verbose=False).fit_transform(data.X[rows].iloc[:150])
    end_to_end(btl.IndependentGP(**QUICK), X, data.Y.loc[rows, ["band_gap"]].iloc[:150], "band_gap")


def test_composition_features_pass_other_columns_and_remember_their_own():
    table = pd.DataFrame({"formula": ["GaAs", "ZnO", "Fe2O3"], "temperature": [300.0, 77.0, 4.0]})
    features = CompositionFeatures(["fractions", "stoichiometry"], verbose=False)
    out = features.fit_transform(table)
    assert out.columns[0] == "temperature"
    assert "Ga" in out
    assert "Xe" not in out
    assert out.loc[2, "O"] == pytest.approx(0.6)
    again = features.transform(pd.DataFrame({"formula": ["XeO4"], "temperature": [1.0]}))
    assert list(again.columns) == list(features.get_feature_names_out())


def test_magpie_and_parallel_workers_agree():
    formulas = pd.DataFrame({"formula": ["GaAs", "ZnO", "Fe2O3", "NaCl", "SiO2"] * 60})
    one = CompositionFeatures(verbose=False).fit_transform(formulas)
    two = CompositionFeatures(n_jobs=2, verbose=False).fit_transform(formulas)
    pd.testing.assert_frame_equal(one, two)
    assert one.shape[1] > 100


@pytest.mark.parametrize("bad", ["Hello", "", "Xx2O", None, 3.0, "Ga-2", "(("])
def test_a_formula_that_does_not_parse_is_named_with_its_row(bad):
    with pytest.raises(FormulaError, match=r"column 'formula' holds .* in row 1"):
        parse_formulas(pd.Series(["GaAs", bad], name="formula"))


def test_feature_mistakes_are_named():
    with pytest.raises(ValueError, match="no column 'formula'"):
        CompositionFeatures(verbose=False).fit(pd.DataFrame({"composition": ["GaAs"]}))
    with pytest.raises(ValueError, match="unknown preset 'oqmd'"):
        CompositionFeatures(["oqmd"], verbose=False).fit(["GaAs"])
    assert reduced_formula("Ga4O6") == reduced_formula("Ga2O3")


SHAPES = [n for n in datasets.LOADERS if n not in ("freesolv", "polarizability")]


@pytest.mark.parametrize("name", SHAPES)
def test_a_loader_says_the_shapes_and_units_of_its_table(name, data_folder):
    data, said = datasets.LOADERS[name](), " ".join(datasets.LOADERS[name].__doc__.split())
    shapes = [tuple(map(int, found)) for found in re.findall(r"\((\d+), (\d+)\)", said.partition("Returns")[2])]
    assert shapes[0] == data.X.shape
    assert shapes[-1] == data.Y.shape
    for task in data.tasks:
        assert f"``{task.name}``" in said
        assert task.unit in said
