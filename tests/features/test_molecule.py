import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from bayestl.features import DESCRIPTORS, MoleculeFeatures, SmilesError, parse_smiles


def test_descriptors_are_those_of_known_molecules():
    out = MoleculeFeatures().fit_transform(["CC(=O)Oc1ccccc1C(=O)O", "C(F)(Cl)Br", "CS(=O)C"])  # aspirin, and two
    aspirin, halogens, dmso = (out.loc[i] for i in range(3))
    assert list(out.columns) == list(DESCRIPTORS)
    assert aspirin["weight"] == pytest.approx(180.16, abs=0.01)  # g/mol
    assert aspirin["polar_surface"] == pytest.approx(63.6, abs=0.1)  # A^2, PubChem
    assert aspirin["logp"] == pytest.approx(1.31, abs=0.01)
    assert aspirin[["donors", "rings", "aromatic_rings", "heavy_atoms", "C", "O"]].tolist() == [1, 1, 1, 13, 9, 4]
    assert halogens[["F", "Cl", "Br", "C", "heavy_atoms"]].tolist() == [1, 1, 1, 1, 4]
    assert dmso[["S", "P", "N", "rotatable_bonds"]].tolist() == [1, 0, 0, 0]


def test_two_spellings_of_a_molecule_have_the_same_features():
    one, other = MoleculeFeatures().fit_transform(["c1ccccc1O", "OC1=CC=CC=C1"]).to_numpy()
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_other_columns_are_passed_and_columns_are_remembered():
    table = pd.DataFrame({"smiles": ["CCO", "CC"], "temperature": [300.0, 77.0]}, index=["a", "b"])
    features = MoleculeFeatures(["C", "O"])
    out = features.fit_transform(table)
    assert list(out.columns) == ["temperature", "C", "O"]
    assert out.loc["a"].tolist() == [300.0, 2.0, 1.0]
    again = features.transform(pd.DataFrame({"temperature": [1.0], "unused": [0], "smiles": ["CCCC"]}))
    assert list(again.columns) == list(features.get_feature_names_out()) == ["temperature", "C", "O"]
    with pytest.raises(ValueError, match="the table lacks the column 'temperature'"):
        features.transform(pd.DataFrame({"smiles": ["CC"]}))


def test_a_series_a_list_and_a_frame_say_the_same():
    frame = pd.DataFrame({"molecule": ["CCO", "CC"]})
    features = MoleculeFeatures(column="molecule")
    expected = features.fit_transform(frame)
    pd.testing.assert_frame_equal(clone(features).fit_transform(frame["molecule"]), expected)
    pd.testing.assert_frame_equal(clone(features).fit_transform(["CCO", "CC"]), expected)


@pytest.mark.parametrize("bad", ["hello", "C1CC", "C(C)(C)(C)(C)C", "", "  ", None, 3.0])
def test_smiles_that_do_not_parse_are_named_with_their_row_and_nothing_else_is_said(bad, capfd):
    with pytest.raises(SmilesError, match=r"column 'smiles' holds .* in row 'b', .*: correct it or drop the row"):
        parse_smiles(pd.Series(["C", bad], index=["a", "b"], name="smiles"))
    assert capfd.readouterr() == ("", "")


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="no column 'smiles' with SMILES strings; the columns are"):
        MoleculeFeatures().fit(pd.DataFrame({"SMILES": ["C"]}))
    with pytest.raises(ValueError, match="unknown descriptor 'charge'"):
        MoleculeFeatures(["charge"]).fit(["C"])


def test_without_rdkit_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(ImportError, match=r"pip install 'bayestl\[molecules\]'"):
        MoleculeFeatures().fit(["C"])
