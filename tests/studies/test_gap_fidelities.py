"""Five fidelities of the gap: what a fit sees, that a stopped run goes on, and what the scores say."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

import bayestl as btl
from bayestl.datasets import Dataset
from bayestl.distributions import NormalMixture
from bayestl.studies import gap_fidelities as study
from bayestl.studies.gap_fidelities import Fit, held_out, training_labels
from bayestl.studies.gap_fidelity_scores import Offsets
from bayestl.studies.peers import GaussianMarginals

N = 80
FIDELITIES = ["pbe", "hse", "gllb_sc", "scan", "expt"]


def gaps():
    rng = np.random.default_rng(0)
    Y = pd.DataFrame(rng.uniform(0, 5, (N, 5)).round(2), [f"row {i}" for i in range(N)], FIDELITIES)
    return Y.where(rng.uniform(size=Y.shape) < [0.9, 0.5, 0.5, 0.4, 0.5])


class Spy(BaseEstimator):
    """A model that predicts the mean of a target's labels, and keeps what it was given."""

    seen: ClassVar[list] = []
    stops = False

    def fit(self, X, Y):
        self.labels = Y
        return self

    def posterior(self, X, observed=None):
        if Spy.stops and Spy.seen:
            raise KeyboardInterrupt
        Spy.seen.append((self.labels, X, observed))
        means = self.labels.mean()
        return GaussianMarginals(
            {t: NormalMixture(np.ones(1), np.full((1, len(X)), means[t]), np.ones((1, len(X)))) for t in means.index}
        )


@pytest.fixture(autouse=True)
def spied(monkeypatch):
    Y = gaps()
    data = Dataset("gaps", pd.DataFrame({"formula": Y.index}, Y.index), Y, study.tasks_of(FIDELITIES), "", "", "")
    monkeypatch.setattr(study, "load_band_gap_fidelities", lambda: data)
    monkeypatch.setattr(
        study, "formula_features", lambda X, **_: pd.DataFrame({"x": np.arange(len(X))}, X.index, dtype=float)
    )
    monkeypatch.setattr(study, "model_of", lambda *_: Spy())
    monkeypatch.setattr(Spy, "seen", [])
    monkeypatch.setattr(Spy, "stops", False)
    return Y


@pytest.mark.parametrize("hide", ["target", "row"])
@pytest.mark.parametrize("model", study.MODELS)
@pytest.mark.parametrize("fold", [0, 4])
def test_held_out_labels_are_never_seen_and_only_what_is_known_is_given(spied, tmp_path, hide, model, fold):
    study.run(tmp_path, folds=[fold], only=[model], hide=hide, verbose=False)
    assert len(Spy.seen) == len(study.TARGETS)
    for t, (labels, X, observed) in zip(study.TARGETS, Spy.seen, strict=True):
        names = spied.index[held_out(spied, fold)[t]]
        assert [name.removeprefix("new ") for name in X.index] == list(names)
        trained = labels.reindex(names)
        assert trained[t].isna().all()
        if hide == "row":
            assert trained.isna().all(axis=None)
        if hide == "row" or model == "alone":
            assert observed is None
            continue
        known = ["pbe"] if model == "PBE" else [c for c in spied if c != t]
        expected = spied.loc[names].assign(**{c: np.nan for c in spied if c not in known})
        np.testing.assert_array_equal(observed.to_numpy(), expected.to_numpy())
        assert list(observed.index) == list(X.index)


def test_all_folds_hold_out_each_label_once_and_sizes_keep_the_known_gaps(spied):
    for t in study.TARGETS:
        rows = np.concatenate([held_out(spied, k)[t] for k in range(5)])
        assert sorted(rows) == list(np.flatnonzero(spied[t].notna()))
    few = training_labels(spied, Fit("all", "target", 0, 20))
    assert few["pbe"].notna().sum() == 20
    pd.testing.assert_frame_equal(
        few[list(study.TARGETS)], training_labels(spied, Fit("all", "target", 0))[list(study.TARGETS)]
    )


def test_a_stopped_run_goes_on_where_it_ended(spied, tmp_path, monkeypatch):
    monkeypatch.setattr(Spy, "stops", True)
    with pytest.raises(KeyboardInterrupt):
        study.run(tmp_path, folds=[0], only=["all"], n_jobs=1, verbose=False)
    assert [f.name for f in tmp_path.iterdir()] == ["target-all-0-expt.csv"]
    monkeypatch.setattr(Spy, "stops", False)
    Spy.seen.clear()
    study.run(tmp_path, folds=[0], only=["all"], verbose=False)
    assert len(Spy.seen) == len(study.TARGETS) - 1
    Spy.seen.clear()
    study.run(tmp_path, folds=[0], only=["all"], verbose=False)
    assert not Spy.seen


def test_cuts_are_of_the_same_folds(spied, tmp_path):
    study.run(tmp_path, ["hse"], [0, 1], ["alone", "all"], verbose=False)
    scores = study.run(tmp_path, ["hse"], [2], ["alone"], verbose=False)
    assert scores.table["folds"].tolist() == [3, 2]
    errors = scores.predictions.assign(e=lambda p: (p["median"] - p["y"]).abs()).groupby(["model", "fold"])["e"].mean()
    (cut,) = scores.cuts.to_dict("records")
    assert cut["cut"] == pytest.approx((1 - errors["all"] / errors["alone"]).dropna().mean())
    assert cut["folds"] == 2
    assert cut["MEGNet"] == pytest.approx(0.46, abs=0.005)
    assert "MEGNet" in str(scores)
    scores.write(tmp_path)
    assert len(pd.read_csv(tmp_path / "cuts.csv")) == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"targets": ["pbe"]}, "no target 'pbe'"),
        ({"folds": [5]}, "no fold 5"),
        ({"only": ["chain"]}, "no model 'chain'"),
        ({"hide": "label"}, "hide must be"),
    ],
)
def test_what_there_is_not_is_named(tmp_path, wrong, words):
    with pytest.raises(ValueError, match=words):
        study.run(tmp_path, verbose=False, **wrong)


def test_offsets_are_those_of_the_joint_draws(spied, tmp_path):
    rng = np.random.default_rng(1)
    columns = [(t, p, "") for t in study.TARGETS for p in ("rho", "offset")]
    draws = pd.DataFrame(rng.normal(1.0, 0.1, (500, 8)), columns=pd.MultiIndex.from_tuples(columns))
    result = Offsets(draws, spied)
    added = result.beyond("hse", np.array([2.0])).iloc[0]
    by_hand = 2.0 * (draws["hse", "rho", ""] - 1) + draws["hse", "offset", ""]
    assert added["mean"] == pytest.approx(by_hand.mean())
    assert added["lower"] == pytest.approx(by_hand.quantile(0.05))
    assert result.table.loc["scan", "with PBE"] == spied[["scan", "pbe"]].notna().all(axis=1).sum()
    result.write(tmp_path)
    assert (tmp_path / "offsets.png").stat().st_size > 5000
    assert "non-metals" in str(result)


def test_each_fidelity_follows_one_that_is_there():
    assert set(study.LEVELS) == set(FIDELITIES)
    model = btl.ChainGP(study.LEVELS, inputs=None)
    assert model.levels is study.LEVELS
