"""Tables of one quantity from cheap and dear sources: their counts, signs and joins."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from bayestl import datasets
from bayestl.datasets import materials_project


def labels(data):
    return data.Y.notna().sum().to_dict()


def error(data, source, target="measured"):
    """Mean absolute difference of two tasks, and of how many rows."""
    difference = (data.Y[source] - data.Y[target]).dropna().abs()
    return difference.mean(), len(difference)


def test_free_energies_have_the_sign_of_physics(data_folder):
    data = datasets.load_molecules("freesolv")
    assert labels(data) == {"calculated": 640, "measured": 640}
    assert list(data.X) == ["smiles"]
    by_smiles = data.Y.set_index(data.X["smiles"])["measured"]
    assert by_smiles["CC(=O)N"] == pytest.approx(-9.71, abs=0.1)  # acetamide dissolves
    assert by_smiles["CCCCCC"] == pytest.approx(2.48, abs=0.1)  # hexane does not
    assert error(data, "calculated")[0] == pytest.approx(1.103, abs=0.001)
    assert {t.unit for t in data.tasks} == {"kcal/mol"}


def test_polarizabilities_and_frameworks(data_folder):
    molecules = datasets.load_molecules("polarizability")
    assert labels(molecules) == {"calculated": 1134, "measured": 1134}
    assert (molecules.Y.min() == 0).all()
    assert (molecules.Y.max() == 1).all()
    assert molecules.Y["measured"].corr(molecules.Y["calculated"]) > 0.99
    frameworks = datasets.load_frameworks()
    assert labels(frameworks) == {"henry": 608, "monte_carlo": 608}
    assert frameworks.X.shape == (608, 14)
    assert all(name.isidentifier() for name in frameworks.X)
    assert frameworks.X["void_fraction"].between(0.1, 1).all()
    atoms = frameworks.X.drop(columns=["pore_diameter", "void_fraction", "surface_area", "crystal_density"])
    np.testing.assert_allclose(atoms.sum(axis=1), 1, atol=0.02)


def test_the_tables_of_molecules_have_names_and_titles():
    for name in ("freesolv", "polarizability"):
        assert "molecules" in datasets.LOADERS[name].__doc__
    with pytest.raises(
        ValueError, match=r"no table of molecules 'qm9'; the tables are \['freesolv', 'polarizability'\]"
    ):
        datasets.load_molecules("qm9")


def test_formation_enthalpies_are_joined_by_composition(data_folder):
    data = datasets.load_formation_enthalpies()
    assert labels(data) == {"mp": 1293, "oqmd": 674, "scan": 1012, "measured": 2135}
    assert data.Y.index.is_unique
    assert data.Y_std.notna().sum().to_dict() == {"mp": 0, "oqmd": 0, "scan": 0, "measured": 1829}  # 5 of 1834 are 0
    assert (data.Y_std["measured"].dropna() > 0).all()
    assert data.Y_std.notna().to_numpy()[data.Y.isna().to_numpy()].sum() == 0
    for source, mean, n in (("scan", 0.0814, 637), ("oqmd", 0.0848, 604), ("mp", 0.1193, 1218)):
        assert error(data, source) == (pytest.approx(mean, abs=1e-3), n)
    assert data.Y.loc["Ag2O", "measured"] == pytest.approx(-0.1074, abs=1e-4)
    assert data.Y_std.loc["Ag2O", "measured"] == pytest.approx(0.0021, abs=1e-4)
    scan = json.loads((data_folder / "SCAN_Hs_from_npj.json").read_text())["Ag1Br1"]["H"]
    assert data.Y.loc["AgBr", "scan"] == scan


def test_band_gaps_of_five_fidelities(data_folder):
    data = datasets.load_band_gap_fidelities()
    assert labels(data) == {"pbe": 36618, "hse": 3927, "gllb_sc": 2154, "scan": 387, "expt": 4601}
    assert data.Y.index.is_unique
    assert (data.Y["gllb_sc"].dropna() > 0).all()
    assert 0.4 < (data.Y["pbe"].dropna() == 0).mean() < 0.45
    assert 0.45 < (data.Y["hse"].dropna() == 0).mean() < 0.55
    costs = {t.name: t.cost for t in data.tasks}
    assert min(costs, key=costs.get) == "pbe"
    assert max(costs, key=costs.get) == "expt"


def test_calculated_gaps_of_a_composition_are_those_of_its_most_stable_compound(data_folder):
    data = datasets.load_band_gap_fidelities()
    formulas = materials_project.formulas()
    energy = materials_project.formation_energies()
    with gzip.open(data_folder / "data_no_structs.json.gz", "rt") as file:
        hse = pd.Series(json.load(file)["hse"])
    rows = data.Y.index.intersection(formulas.loc[hse.index.intersection(energy.index)])
    known = formulas[formulas.isin(rows) & formulas.index.isin(hse.index) & formulas.index.isin(energy.index)]
    assert len(known) > 3000
    np.testing.assert_array_equal(data.Y.loc[known, "hse"], hse[known.index])  # an energy is known: it comes first


def test_sodium_nitride_is_a_formula(data_folder):
    formulas = materials_project.formulas()
    assert formulas["mp-1080032"] == "NaN"
    assert len(formulas) == 86995


def test_rows_of_a_table(data_folder):
    data = datasets.load_formation_enthalpies()
    measured = data.Y["measured"].notna().to_numpy()
    part = data.rows(measured)
    assert len(part.X) == len(part.Y) == len(part.Y_std) == 2135
    assert part.tasks == data.tasks
    assert part.Y["measured"].notna().all()
