"""Features are kept on disk: the second time they are read, and nothing that is wrong with a file shows."""

import hashlib
import io
import os
import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed

from bayestl.features import CompositionFeatures, FormulaError, MoleculeFeatures, cache

FORMULAS = ["GaAs", "ZnO", "Fe2O3"]


def features(memory, presets=("stoichiometry", "valence")):
    return CompositionFeatures(presets, verbose=False, memory=memory)


@pytest.fixture
def computed(monkeypatch):
    """The texts of each computation."""
    calls = []
    describe = CompositionFeatures._describe

    def counted(self, texts, choice):
        calls.append(list(texts))
        return describe(self, texts, choice)

    # the code of the module is part of the key, and so would be that of this file
    counted.__module__ = CompositionFeatures.__module__
    monkeypatch.setattr(CompositionFeatures, "_describe", counted)
    return calls


def test_the_second_time_nothing_is_computed_and_the_numbers_are_the_same(tmp_path, computed):
    first = features(tmp_path).fit_transform(FORMULAS)
    again = features(tmp_path).fit_transform(FORMULAS)
    pd.testing.assert_frame_equal(again, first, check_exact=True)
    pd.testing.assert_frame_equal(features(None).fit_transform(FORMULAS), first, check_exact=True)
    assert computed == [FORMULAS, FORMULAS]  # by the first and the last


def test_order_and_repeats_of_the_rows_do_not_matter(tmp_path, computed):
    first = features(tmp_path).fit_transform(FORMULAS)
    rows = [2, 0, 1, 0, 2]
    again = features(tmp_path).fit_transform([FORMULAS[i] for i in rows])
    np.testing.assert_array_equal(again, first.iloc[rows])
    assert len(computed) == 1


def test_other_formulas_presets_and_versions_are_computed(tmp_path, computed, monkeypatch):
    features(tmp_path).fit_transform(FORMULAS)
    features(tmp_path).fit_transform(FORMULAS[:2])
    features(tmp_path, ["valence"]).fit_transform(FORMULAS)
    monkeypatch.setattr(cache, "version", lambda package: "99")
    features(tmp_path).fit_transform(FORMULAS)
    assert len(computed) == len(list(tmp_path.iterdir())) == 4


class Harm:
    """A pickle that leaves a trace where it is read."""

    def __reduce__(self):
        return exec, ("import os; os.environ['BAYESTL_HARMED'] = 'yes'",)


def with_checksum(*arrays, **named):
    body = io.BytesIO()
    np.savez(body, *arrays, **named)
    return hashlib.sha256(body.getvalue()).digest() + body.getvalue()


DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-100],
    "a bit flipped": lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
    "of another kind": lambda content: pickle.dumps(Harm()),
    "with a pickle": lambda content: with_checksum(names=np.array([Harm()], dtype=object), numbers=np.ones((3, 1))),
    "of another shape": lambda content: with_checksum(names=np.array(["a"]), numbers=np.ones((2, 1))),
    "without names": lambda content: with_checksum(np.ones((3, 1))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_computed_again_and_replaced(tmp_path, damage):
    first = features(tmp_path).fit_transform(FORMULAS)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    pd.testing.assert_frame_equal(features(tmp_path).fit_transform(FORMULAS), first, check_exact=True)
    assert "BAYESTL_HARMED" not in os.environ
    assert list(tmp_path.iterdir()) == [file]
    assert len(file.read_bytes()) == len(whole)
    pd.testing.assert_frame_equal(features(tmp_path).fit_transform(FORMULAS), first, check_exact=True)


def test_a_folder_that_cannot_be_written_changes_nothing(tmp_path):
    file = tmp_path / "file"
    file.write_text("no folder")
    expected = features(None).fit_transform(FORMULAS)
    pd.testing.assert_frame_equal(features(file).fit_transform(FORMULAS), expected)
    pd.testing.assert_frame_equal(features(file / "below").fit_transform(FORMULAS), expected)
    assert file.read_text() == "no folder"


def test_a_folder_in_the_place_of_a_file_changes_nothing(tmp_path):
    features(tmp_path).fit_transform(FORMULAS)
    (file,) = tmp_path.iterdir()
    file.unlink()
    (file / "sub").mkdir(parents=True)
    features(tmp_path).fit_transform(FORMULAS)
    assert list(tmp_path.iterdir()) == [file]


def test_the_folder_is_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("BAYESTL_CACHE", str(tmp_path / "moved"))
    features(None).fit_transform(FORMULAS)
    assert not (tmp_path / "moved").exists()
    MoleculeFeatures(["C"]).fit_transform(["CCO"])
    assert len(list((tmp_path / "moved").iterdir())) == 1
    monkeypatch.delenv("BAYESTL_CACHE")
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    MoleculeFeatures(["C"]).fit_transform(["CCO"])
    assert len(list((tmp_path / "bayestl" / "features").iterdir())) == 1
    with pytest.raises(ValueError, match=r"memory must be 'auto', the path of a folder or None .*, got True"):
        features(True).fit_transform(FORMULAS)


def test_nothing_is_kept_where_no_version_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_version", lambda package: None)
    features(tmp_path).fit_transform(FORMULAS)
    assert not list(tmp_path.iterdir())


def test_an_error_is_that_of_the_formula_alone(tmp_path):
    with pytest.raises(FormulaError, match="holds 'Xx2' in row 1") as caught:
        features(tmp_path).fit_transform(["GaAs", "Xx2"])
    assert not isinstance(caught.value.__context__, OSError)
    assert not list(tmp_path.iterdir())


def test_the_files_unused_for_longest_are_deleted(tmp_path, monkeypatch):
    for k, preset in enumerate(("stoichiometry", "valence", "fractions")):
        features(tmp_path, [preset]).fit_transform(FORMULAS)
        for file in tmp_path.iterdir():
            os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 100 + k))
    oldest, *others = sorted(tmp_path.iterdir(), key=lambda file: file.stat().st_mtime)
    features(tmp_path, ["stoichiometry"]).fit_transform(FORMULAS)  # read: it is the youngest now
    monkeypatch.setattr(cache, "MOST_BYTES", sum(file.stat().st_size for file in [oldest, *others]))
    (tmp_path / "notes.txt").write_text("not ours")
    features(tmp_path).fit_transform(FORMULAS)
    left = set(tmp_path.iterdir())
    assert oldest in left
    assert others[0] not in left
    assert tmp_path / "notes.txt" in left


def test_many_at_once_read_and_write_the_same_file(tmp_path):
    expected = features(None).fit_transform(FORMULAS)
    jobs = [delayed(features(tmp_path).fit_transform)(FORMULAS) for _ in range(16)]
    for found in Parallel(n_jobs=4, prefer="threads")(jobs):
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert len(list(tmp_path.iterdir())) == 1


def test_rows_without_a_text_have_no_features_where_that_is_allowed(tmp_path):
    texts = pd.Series(["CCO", None, " ", "C"], index=list("abcd"))
    with pytest.raises(ValueError, match="holds None in row 'b'"):
        MoleculeFeatures(memory=tmp_path).fit(texts)
    out = MoleculeFeatures(["C", "O"], allow_missing=True, memory=tmp_path).fit_transform(texts)
    assert out["C"].isna().tolist() == [False, True, True, False]
    assert out.loc["d"].tolist() == [1, 0]
    with pytest.raises(ValueError, match="column 'formula' holds no formulas: drop it"):
        CompositionFeatures(allow_missing=True, memory=tmp_path, verbose=False).fit([None, ""])


def test_a_column_named_as_a_feature_is_refused():
    table = pd.DataFrame({"smiles": ["CCO"], "C": [1.0]})
    with pytest.raises(ValueError, match="column 'C' has the name of a feature of the SMILES strings: rename it"):
        MoleculeFeatures().fit(table)
