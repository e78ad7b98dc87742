"""A damaged model loads exactly as it was written or is a FileError that names the file; never another exception or number."""

import os
import warnings
from collections import Counter

import numpy as np
import pytest
from support.auto import quick_auto
from support.damage import broken, mixtures, opened, rewritten, sealed
from support.models import MODELS, quick

import bayestl as btl
from bayestl.files.folder import FILE, FileError, read_folder
from bayestl.files.models import FORMAT

MORE = {
    "plain": lambda: btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False),
    "paired": lambda: btl.PairedDifferenceGP(["source", "target"], hyperparameters="map", n_starts=1, verbose=False),
    "hurdle": lambda: btl.IndependentGP(
        [btl.Task("target", btl.Hurdle())], hyperparameters="map", n_starts=1, verbose=False
    ),
    "classes": lambda: MORE["plain"](),
    "auto": lambda: quick_auto("target"),
    "recalibrated": lambda: btl.Recalibrated(quick("independent"), verbose=False),
    "conformal": lambda: btl.Recalibrated(quick("independent"), method="conformal", verbose=False),
    "stacked": lambda: btl.StackedModel({"a": quick("independent"), "b": quick("multi-task")}, cv=2, verbose=False),
}


class Saved(dict):
    """``saved[name]``: the bytes of a saved model of a kind, fitted on first use."""

    def __init__(self, X, Y, folder):
        super().__init__()
        self.X, self.Y, self.folder = X.iloc[8:32], Y.iloc[8:32], folder

    def __missing__(self, name):
        Y = self.Y.assign(target=np.maximum(self.Y["target"] - 2.5, 0.0)) if name == "hurdle" else self.Y
        Y = Y.assign(target=np.where(Y["target"] > 2.5, "yes", "no")) if name == "classes" else Y
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = (MORE.get(name) or (lambda: quick(name)))().fit(self.X, Y)
        model.notes_ = {"inputs": {"features": ["p", "q"]}}
        model.save(self.folder / name)
        self[name] = (self.folder / name / FILE).read_bytes()
        return self[name]


@pytest.fixture(scope="module")
def saved(two_tasks, tmp_path_factory):
    return Saved(*two_tasks, tmp_path_factory.mktemp("saved"))


def outcome(folder, content, original=None):
    """What loading some bytes gives: "refused" or "loaded"; fails for any other exception, and for other numbers."""
    (folder / FILE).write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            btl.load(folder)
    except FileError as error:
        words = str(error)
    else:
        words = ""
    if words:
        assert FILE in words
        assert len(words) < 2000
        return "refused"
    if original is not None:
        (document, arrays), (expected, own) = read_folder(folder, FORMAT), opened(original)
        assert document == expected
        assert arrays.keys() == own.keys()
        assert all(arrays[k].dtype == own[k].dtype and arrays[k].tobytes() == own[k].tobytes() for k in own)
    return "loaded"


def damage(saved, names, n, folder, seed=0):
    """Counts of the outcomes of ``n`` damages of each kind of model and of every mixture of two saves."""
    rng, counts = np.random.default_rng(seed), Counter()
    for i, name in enumerate(names):
        content = saved[name]
        others = [saved[names[i - 1]], saved[names[i - 2]]]
        for kind, data in broken(content, others, n, rng):
            counts[kind, outcome(folder, data, content)] += 1
        for kind, data in mixtures(content, others):
            counts[kind, outcome(folder, data)] += 1
            assert counts[kind, "loaded"] == 0, f"{name}: {kind}"
        for kind, data in rewritten(content, n // 3, rng):
            counts["by hand: " + kind, outcome(folder, data)] += 1
    return counts


def test_damaged_models_are_refused(saved, tmp_path):
    counts = damage(saved, ["plain", "hurdle", "paired"], 45, tmp_path)
    assert sum(counts.values()) > 250
    assert sum(k for (_, end), k in counts.items() if end == "refused") > 250


@pytest.mark.slow
def test_damaged_models_of_all_kinds_are_refused(saved, tmp_path):
    counts = damage(saved, [*MODELS, *MORE], 140, tmp_path)
    print(*(f"{kind}, {end}: {k}" for (kind, end), k in sorted(counts.items())), sum(counts.values()), sep="\n")
    assert sum(counts.values()) > 2500


def test_every_bit_of_a_header_matters(saved, tmp_path):
    content = saved["plain"]
    for at in range(0, 8 + int.from_bytes(content[:8], "little"), 7):
        data = bytearray(content)
        data[at] ^= 1 << at % 8
        outcome(tmp_path, bytes(data), content)


def test_names_of_a_folder_that_are_no_files(saved, tmp_path, monkeypatch):
    with pytest.raises(FileError, match=r"no model in .*model\.safetensors is missing"):
        btl.load(tmp_path / "nowhere")
    (tmp_path / "text").write_text("a file")
    with pytest.raises(FileError, match="no model in"):
        btl.load(tmp_path / "text")
    for name, make in {
        "folder": os.mkdir,
        "pipe": os.mkfifo,
        "dangling": lambda p: os.symlink(tmp_path / "gone", p),
    }.items():
        (tmp_path / name).mkdir()
        make(tmp_path / name / FILE)
        with pytest.raises(FileError, match="no regular file"):
            btl.load(tmp_path / name)
    (tmp_path / "link").mkdir()
    (tmp_path / "target").write_bytes(saved["plain"])
    os.symlink(tmp_path / "target", tmp_path / "link" / FILE)
    assert type(btl.load(tmp_path / "link")) is btl.IndependentGP
    os.symlink(tmp_path / "link", tmp_path / "linked folder")
    assert type(btl.load(tmp_path / "linked folder")) is btl.IndependentGP

    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refused)
    with pytest.raises(FileError, match="cannot be read: Permission denied"):
        btl.load(tmp_path / "link")


def test_other_files_stay_and_what_is_no_model_is_not_replaced(two_tasks, tmp_path):
    model = btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False).fit(*two_tasks)
    mine = {"notes.txt": "mine", "tmp-data": "mine too", f".{FILE}.swp": "an editor's", "model.json": "{}"}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    (tmp_path / f".{FILE}.12345.tmp").write_bytes(b"what a kill has left")
    for _ in range(2):
        model.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*mine, FILE])
    assert all((tmp_path / name).read_text() == text for name, text in mine.items())
    for foreign in (b"weights of another program", sealed({}, {}).replace(b"bayestl-format", b"another-format"), b""):
        (tmp_path / FILE).write_bytes(foreign)
        with pytest.raises(FileError, match="is no model of bayestl: choose another folder"):
            model.save(tmp_path)
        assert (tmp_path / FILE).read_bytes() == foreign
    with pytest.raises(FileError, match="is a file, or lies in one"):
        model.save(tmp_path / "notes.txt")
    with pytest.raises(FileError, match="is a file, or lies in one"):
        model.save(tmp_path / "notes.txt" / "model")


def test_a_save_that_fails_leaves_the_earlier_model(two_tasks, saved, tmp_path, monkeypatch):
    model = btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False).fit(*two_tasks)
    (tmp_path / FILE).write_bytes(saved["plain"])

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).read_bytes() == saved["plain"]


def test_notes_travel_with_a_fit(two_tasks, tmp_path):
    X, Y = two_tasks
    model = btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False).fit(X, Y)
    assert model.notes_ == {}
    model.notes_["who"] = {"name": "Ä", "n": [1, 2.5, None]}
    model.save(tmp_path)
    again = btl.load(tmp_path)
    assert again.notes_ == model.notes_
    assert again.fit(X, Y).notes_ == {}
    for odd in ({1: "a"}, {"a": (1, 2)}, {"a": {1, 2}}, ["a"], {"a": float("nan")}, None):
        model.notes_ = odd
        with pytest.raises(FileError, match="notes_ must be a dictionary"):
            model.save(tmp_path)
    assert btl.load(tmp_path).notes_["who"]["n"] == [1, 2.5, None]
