import json
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

import bayestl as btl
from bayestl.features import CompositionFeatures, MoleculeFeatures, TableFeatures


def table():
    return pd.DataFrame(
        {
            "alloy": ["NiAl", "Ni3Al", "CuAl", "NiAl"],
            "facet": ["(111)", "(110)", "(111)", "(110)"],
            "temperature": [300.0, 400.0, 500.0, 900.0],
            "solvent": ["CCO", "CC(=O)C", "c1ccccc1", "CCO"],
            "magnetic": pd.Series([True, False, False, True], dtype=object).to_numpy(),
            "layers": [1, 2, 3, 4],
        },
        index=list("abcd"),
    )


def features(**options):
    return TableFeatures(**{"presets": ["fractions"], "descriptors": ["weight", "C"], **options})


def test_each_column_is_turned_into_numbers_by_its_kind():
    X = table()
    fitted = features().fit(X)
    out = fitted.transform(X)
    assert fitted.kinds_.to_dict() == {
        "alloy": "formulas", "facet": "categories", "temperature": "numbers", "solvent": "smiles",
        "magnetic": "categories", "layers": "numbers",
    }  # fmt: skip
    assert list(out) == [
        "temperature", "layers", "facet=(110)", "facet=(111)", "magnetic=False", "magnetic=True",
        "alloy: Al", "alloy: Ni", "alloy: Cu", "solvent: weight", "solvent: C",
    ]  # fmt: skip
    assert list(out) == fitted.get_feature_names_out().tolist()
    assert (out.dtypes == np.float64).all()
    assert out.index.tolist() == list("abcd")
    assert out["facet=(111)"].tolist() == [1, 0, 1, 0]
    assert out["magnetic=True"].tolist() == [1, 0, 0, 1]
    composition = CompositionFeatures(["fractions"], "alloy", verbose=False).fit_transform(X[["alloy"]])
    pd.testing.assert_frame_equal(out.filter(like="alloy: "), composition.add_prefix("alloy: "))
    molecule = MoleculeFeatures(["weight", "C"], "solvent").fit_transform(X[["solvent"]])
    pd.testing.assert_frame_equal(out.filter(like="solvent: "), molecule.add_prefix("solvent: "))
    pd.testing.assert_frame_equal(features().fit_transform(X), out)


def test_two_columns_of_formulas_and_names_that_are_features():
    X = pd.DataFrame(
        {
            "film": ["NiAl", "Ni3Al"],
            "a__b": ["ZnO", "GaN"],
            "Ni": [1.0, 2.0],
            "missingindicator_x": [1.0, None],
            "numbers": [1, 2],
        }
    )
    out = features().fit_transform(X)
    assert list(out) == [
        "Ni", "missingindicator_x", "numbers", "film: Al", "film: Ni", "a__b: N", "a__b: O", "a__b: Zn", "a__b: Ga",
        "missingindicator_x is missing",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="two features have the name 'a=b': rename the column that is called so"):
        features().fit(pd.DataFrame({"a=b": [1.0, 2.0], "a": pd.Categorical(["b", "c"])}))


def test_kinds_that_are_told_come_first():
    X = pd.DataFrame(
        {"facet": [111, 110, 111], "grade": ["1.5", "2", ""], "name": ["x", "y", "z"], "gas": ["CO", "CN", "NO"]}
    )
    out = features(categories=["facet", "name"], numbers="grade", formulas=["gas"]).fit_transform(X)
    assert list(out)[:6] == ["grade", "facet=110", "facet=111", "name=x", "name=y", "name=z"]
    assert out["grade"].tolist() == [1.5, 2.0, 1.75]
    assert out["gas: O"].tolist() == [0.5, 0.0, 0.5]


def test_empty_cells_get_the_median_and_say_so():
    X = table()
    X.loc["b"] = None
    X.loc["d", "alloy"] = " "
    fitted = features().fit(X)
    out = fitted.transform(X)
    assert out.loc["b", "temperature"] == 500.0
    assert out.filter(like="facet=").loc["b"].tolist() == [0, 0]
    assert out["alloy: Ni"].tolist() == [0.5, 0.25, 0.0, 0.25]
    assert out.loc["b", "solvent: C"] == 2.0  # of 2, 6 and 2
    missing = out.filter(like=" is missing")
    assert list(missing) == [f"{name} is missing" for name in X]
    assert missing.loc["b"].tolist() == [1] * 6
    assert missing.loc["d"].tolist() == [1, 0, 0, 0, 0, 0]
    assert not np.isnan(out.to_numpy()).any()
    other = fitted.transform(table())
    assert (other.filter(like=" is missing") == 0).all(axis=None)


def test_empty_cells_only_in_another_table_are_filled_without_a_word():
    fitted = features().fit(table())
    X = table()
    X.loc["a"] = None
    out = fitted.transform(X)
    assert list(out) == fitted.get_feature_names_out().tolist()
    assert not out.columns.str.endswith(" is missing").any()
    assert out.loc["a", ["temperature", "layers", "alloy: Al", "facet=(111)"]].tolist() == [450.0, 2.5, 0.5, 0]
    pd.testing.assert_frame_equal(out.loc["b":], fitted.transform(table()).loc["b":])


def test_a_level_that_the_fitted_table_lacks_is_none_of_its_levels():
    fitted = features().fit(table())
    X = table()
    X.loc["c", "facet"] = "(532)"
    with pytest.warns(UserWarning, match=r"column 'facet' holds '\(532\)' in row 'c', which is none of the levels"):
        out = fitted.transform(X)
    assert out.filter(like="facet=").loc["c"].tolist() == [0, 0]


@pytest.mark.parametrize("saved", [False, True])
def test_an_element_that_the_fitted_table_lacks_is_told(saved):
    fitted = features().fit(table())
    if saved:
        fitted = TableFeatures.from_json(json.loads(json.dumps(fitted.to_json())), verbose=False)
    X = table()
    X.loc["c", "alloy"] = "NiPt"
    with pytest.warns(UserWarning, match=r"^column 'alloy' holds 'NiPt' in row 'c': features 'Pt' are 0 in all rows"):
        out = fitted.transform(X)
    pd.testing.assert_frame_equal(out.drop(index="c"), fitted.transform(table()).drop(index="c"))
    fitted.transform(table().iloc[::-1])  # without a word


def test_other_tables_may_have_other_types_orders_and_further_columns():
    fitted = features().fit(table())
    expected = fitted.transform(table())
    X = table().astype(
        {"facet": "string", "alloy": "category", "layers": "Int64", "temperature": "Float64", "magnetic": "boolean"}
    )
    pd.testing.assert_frame_equal(fitted.transform(X), expected)
    pd.testing.assert_frame_equal(features().fit(X.astype({"alloy": "string"})).transform(table()), expected)
    pd.testing.assert_frame_equal(fitted.transform(X[X.columns[::-1]].assign(label=1.0)), expected)
    twice = table().set_axis(["a", "a", "b", "b"])
    pd.testing.assert_frame_equal(fitted.transform(twice), expected.set_axis(twice.index))
    pd.testing.assert_frame_equal(fitted.transform(table().iloc[[2]]), expected.iloc[[2]])


def test_nullable_types_may_be_empty_too():
    X = pd.DataFrame(
        {
            "n": pd.array([1, None, 3], dtype="Int64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "phase": pd.array(["fcc", "fcc", None], dtype="string"),
            "alloy": pd.array(["NiAl", None, "CuAl"], dtype="string"),
        }
    )
    out = features().fit_transform(X)
    assert out["n"].tolist() == [1, 2, 3]
    assert out["phase=fcc"].tolist() == [1, 1, 0]
    assert out["flag=True"].tolist() == [1, 0, 0]
    assert out["phase is missing"].tolist() == [0, 0, 1]


def test_pickled_cloned_and_with_the_output_of_scikit_learn():
    X = table()
    X.loc["a", "temperature"] = None
    fitted = features().fit(X)
    expected = fitted.transform(table())
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(fitted)).transform(table()), expected)
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        fresh.transform(X)
    pd.testing.assert_frame_equal(fresh.fit(X).transform(table()), expected)
    pd.testing.assert_frame_equal(features().set_output(transform="pandas").fit(X).transform(table()), expected)
    assert fitted.n_features_in_ == 6
    assert fitted.feature_names_in_.tolist() == list(X)


def test_a_failed_fit_leaves_the_earlier_one():
    fitted = features().fit(table())
    expected = fitted.transform(table())
    with pytest.raises(ValueError, match="column 'facet' is empty: drop it"):
        fitted.fit(table().assign(facet=None))
    pd.testing.assert_frame_equal(fitted.transform(table()), expected)


def test_mistakes_are_named():
    X = table()
    for given, options, message in [
        (X.to_numpy(), {}, "TableFeatures needs a DataFrame, whose columns have names, got ndarray"),
        (X[:0], {}, "the table has no rows or no columns"),
        (X[[]], {}, "the table has no rows or no columns"),
        (X[["facet", "layers", "facet"]], {}, "the table has 2 columns named 'facet': rename or drop all but one"),
        (X, {"numbers": ["thickness"]}, "numbers= names 'thickness', which is no column of the table; the columns are"),
        (X, {"numbers": ["facet"], "categories": ["facet"]}, r"column 'facet' is named in numbers= and in categories="),
        (X, {"numbers": ["facet"]}, r"column 'facet' holds '\(111\)' in row 'a'.*, which is not a number"),
        (
            X,
            {"formulas": ["facet"]},
            r"column 'facet' holds '\(111\)' in row 'a', which is not a chemical formula: an element is expected.*1 more. Correct it or drop the row",
        ),
        (
            X,
            {"smiles": ["alloy"]},
            r"column 'alloy' holds 'NiAl' in row 'a' .also .* and 1 more., which is not a SMILES string",
        ),
        (X.assign(layers=None), {"categories": ["layers"]}, "column 'layers' is empty: drop it"),
        (X.assign(layers=np.inf), {}, "column 'layers' holds inf in row 'a'.*, which is not finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            features(**options).fit(given)
    fitted = features().fit(X)
    for given, message in [
        (X.drop(columns="facet"), "the table lacks the column 'facet'"),
        (X.assign(layers=["1", "2", "3", "many"]), "column 'layers' holds 'many' in row 'd', which is not a number"),
        (
            X.assign(alloy=["NiAl", "Xx2", "Ni", "Al"]),
            "column 'alloy' holds 'Xx2' in row 'b', which is not a chemical formula",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            fitted.transform(given)


def test_a_model_on_a_table_with_a_category_numbers_and_formulas():
    rng = np.random.default_rng(0)
    rows = 36
    X = pd.DataFrame(
        {
            "alloy": rng.choice(["NiAl", "Ni3Al", "CuAl", "Cu3Al", "FeAl", "Fe3Al"], rows),
            "facet": rng.choice(["(111)", "(110)"], rows),
            "temperature": rng.uniform(0, 1, rows),
        },
        index=[f"sample {i}" for i in range(rows)],
    )
    Y = pd.DataFrame(
        {"energy": 2.0 * X["facet"].eq("(111)") + X["temperature"] + X["alloy"].str.contains("3")}, X.index
    )
    model = make_pipeline(features(), btl.IndependentGP(n_starts=1, hyperparameters="map", verbose=False))
    model.fit(X[:24], Y[:24])
    predicted = model.predict(X[24:])
    assert np.abs(np.ravel(predicted) - Y["energy"][24:]).mean() < 0.2
    assert list(model[-1].feature_names_in_)[:3] == ["temperature", "facet=(110)", "facet=(111)"]


@pytest.mark.parametrize("misprint", ["NacL", "CuSO4·xH2O", "SI02"])
def test_a_misprint_among_formulas_does_not_make_classes_of_them(misprint):
    formulas = ["NaCl", "KCl", "LiF", "MgO", "CaO", "ZnS", "GaAs", "InP", "SiO2", misprint] * 3
    with pytest.raises(ValueError, match=f"{misprint}.*no formula as its other texts are"):
        TableFeatures(verbose=False).fit(pd.DataFrame({"material": formulas}))
    TableFeatures(categories=["material"], verbose=False).fit(pd.DataFrame({"material": formulas}))
