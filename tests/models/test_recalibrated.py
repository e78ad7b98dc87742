import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import bayestl as btl
from bayestl import metrics
from bayestl.distributions.warp import Temperature
from bayestl.models.ensembles.recalibrated import WarpedLabels


def gp(**kwargs):
    return btl.IndependentGP(n_starts=1, hyperparameters="map", verbose=False, **kwargs)


def table(n, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"p": rng.uniform(-2, 2, n)})
    return X, pd.DataFrame({"y": np.sin(2 * X["p"]) + 0.6 * rng.standard_t(3, n)})


def calibration_error(model, X, Y):
    return metrics.calibration_error(metrics.pit(Y["y"].to_numpy(), model.posterior(X).marginal("y")))


class TooSure(btl.IndependentGP):
    """A process whose spread is a third of what it ought to be."""

    def _joint(self, rows):
        return WarpedLabels(super()._joint(rows), {0: Temperature(1 / 3)})


def test_known_errors_of_held_out_labels_are_part_of_their_predictions():
    X, Y = table(60)
    new = X.set_axis([f"new {i}" for i in range(60)])
    Y_std = pd.DataFrame({"y": np.where(np.arange(60) % 2, 3.0, 0.0)})
    noisy = Y + Y_std * np.random.default_rng(3).standard_normal((60, 1))
    model = btl.Recalibrated(gp(), "temperature", cv=4, verbose=False).fit(X, noisy, Y_std=Y_std)
    assert 0.6 < model.warps_["y"].temperature < 1.6
    blind = model.log_density(new, noisy.set_axis(new.index))
    told = model.log_density(new, noisy.set_axis(new.index), Y_std.set_axis(new.index))
    assert told.mean().item() > blind.mean().item() + 1.0


def test_the_temperature_mends_a_model_that_is_too_sure():
    X, Y = table(120)
    new_X, new = table(300, seed=1)
    plain = TooSure(n_starts=1, hyperparameters="map", verbose=False).fit(X, Y)
    model = btl.Recalibrated(clone(plain), "temperature", cv=4, verbose=False).fit(X, Y)
    assert 2.0 < model.warps_["y"].temperature < 5.0
    assert calibration_error(model, new_X, new) < 0.5 * calibration_error(plain, new_X, new)
    assert model.log_density(new_X, new).mean().item() > plain.log_density(new_X, new).mean().item() + 0.1


def test_isotonic_mends_the_shape():
    X, Y = table(300)
    new_X, new = table(300, seed=1)
    skew, new_skew = np.exp(2 * Y), np.exp(2 * new)  # under a Gaussian likelihood
    plain = gp().fit(X, skew)
    model = btl.Recalibrated(gp(), "isotonic", verbose=False).fit(X, skew)
    assert calibration_error(model, new_X, new_skew) < 0.4 * calibration_error(plain, new_X, new_skew)
    assert model.log_density(new_X, new_skew).mean().item() > plain.log_density(new_X, new_skew).mean().item()


def test_conformal_intervals_hold_their_level_on_new_rows():
    held = []
    for seed in range(6):
        X, Y = table(200, seed)
        new_X, new = table(400, seed + 100)
        model = btl.Recalibrated(gp(), "conformal", verbose=False).fit(X, Y)
        interval = model.posterior(new_X).interval(0.8)["y"]
        held.append(((new["y"] >= interval["lower"]) & (new["y"] <= interval["upper"])).mean())
    assert len(model.member_.table_.x) == 140
    assert np.mean(held) == pytest.approx(0.8, abs=3 * np.hypot(0.051, 0.02) / np.sqrt(6))  # 60 labels kept each time


@pytest.mark.parametrize("method", ["temperature", "isotonic", "conformal"])
def test_saved_and_loaded_it_predicts_the_same(method, tmp_path):
    X, Y = table(60)
    model = btl.Recalibrated(gp(), method, verbose=False).fit(X, Y)
    model.save(tmp_path / "m")
    again = btl.load(tmp_path / "m")
    pd.testing.assert_frame_equal(again.posterior(X).interval(0.7), model.posterior(X).interval(0.7))
    assert type(again.warps_["y"]) is type(model.warps_["y"])


def test_draws_agree_with_quantiles_and_belong_together(two_tasks):
    X, Y = two_tasks
    model = btl.Recalibrated(btl.MultiTaskGP(n_starts=1, hyperparameters="map"), cv=4, verbose=False).fit(X, Y)
    rows = X.iloc[30:33].set_axis(list("abc"))
    post = model.posterior(rows)
    draws = post.sample(20_000, seed=3)
    quantile = draws.quantile(0.8, "sample").to_numpy()
    np.testing.assert_allclose(quantile, post.quantile(0.8), atol=0.05 * post.std.to_numpy().max())
    base = model.member_.posterior(rows.to_numpy()).sample(20_000, seed=3)
    for row in range(3):
        a, b = (np.corrcoef(d[:, row, 0], d[:, row, 1])[0, 1] for d in (draws.to_numpy(), base.to_numpy()))
        assert a == pytest.approx(b, abs=0.02)
    between = (draws.sel(task="target") - draws.sel(task="source")).std("sample")
    np.testing.assert_allclose(post.apply(lambda y: y["target"] - y["source"]).std, between, rtol=0.05)
    latent = model.posterior(rows, noise=False).std
    np.testing.assert_allclose(latent, model.member_.posterior(rows.to_numpy(), noise=False).std)


def test_classes_keep_their_names_and_sum_to_one():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((80, 2)), columns=["p", "q"])
    Y = pd.DataFrame({"color": np.where(X["p"] + 0.8 * rng.standard_normal(80) > 0, "red", "blue")})
    for method in ("temperature", "isotonic"):
        model = btl.Recalibrated(gp(), method, verbose=False).fit(X, Y)
        chances = model.posterior(X.iloc[:5]).probabilities("color")
        assert list(chances.columns) == ["blue", "red"]
        np.testing.assert_allclose(chances.sum(axis=1), 1.0)
        drawn = model.posterior(X.iloc[:5]).sample(4000, seed=0).mean("sample").to_numpy()[:, 0]
        np.testing.assert_allclose(drawn, chances["red"], atol=0.04)


@pytest.mark.parametrize("method", ["temperature", "conformal"])
def test_it_compares_like_any_model(method):
    X, Y = table(40)
    found = btl.compare({"recalibrated": btl.Recalibrated(gp(), method)}, X, Y, cv=2, hide="row", verbose=False)
    assert not found.failures
    assert np.isfinite(found.scores[["mae", "crps", "nlpd"]].to_numpy()).all()


def test_a_conformal_interval_of_a_positive_label_starts_at_zero():
    X, Y = table(40)
    tasks = [btl.Task("y", btl.LogNormal())]
    model = btl.Recalibrated(gp(tasks=tasks), "conformal", verbose=False).fit(X, np.exp(Y))
    interval = model.posterior(X.iloc[:3]).interval(0.99)["y"]
    assert (interval["lower"] == 0.0).all()
    assert np.isposinf(interval["upper"]).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": None}, "model= must be a model of bayestl, got NoneType"),
        ({"method": "platt"}, "method must be one of"),
        ({"cv": 1}, "cv must be a number of folds"),
        ({"fraction": 1.5}, "fraction must lie between 0 and 1"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    X, Y = table(20)
    with pytest.raises(ValueError, match=message):
        btl.Recalibrated(**{"model": gp(), "verbose": False, **parameters}).fit(X, Y)
