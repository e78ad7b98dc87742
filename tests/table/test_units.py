"""Numbers in any units that a computer can square; others are refused by name."""

import numpy as np
import pandas as pd
import pytest

import bayestl as btl

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.uniform(-1, 1, (30, 2)), columns=["a", "b"])
Y = pd.DataFrame({"y": np.exp(X["a"]), "z": X["a"] - X["b"]}) + 0.05 * RNG.uniform(0, 1, (30, 2))
Y.loc[20:, "z"] = np.nan


def gp(**parameters):
    return btl.IndependentGP(n_starts=1, hyperparameters="map", verbose=False, **parameters)


@pytest.mark.parametrize("value", [1e160, -2e100])
def test_numbers_that_cannot_be_squared_are_refused(value):
    for what, frame in (("X", "b"), ("Y", "z"), ("Y_std", "y")):
        tables = {"X": X.copy(), "Y": Y.copy(), "Y_std": 0.0 * Y + 0.1}
        tables[what].loc[3, frame] = abs(value) if what == "Y_std" else value
        with pytest.raises(ValueError, match=rf"column '{frame}' of {what} holds .* in row 3: .* use other units"):
            gp().fit(**tables)
    model = gp().fit(X, Y)
    far = X.copy()
    far.loc[1, "a"] = value
    with pytest.raises(ValueError, match=r"column 'a' of X holds .* in row 1"):
        model.predict(far)
    with pytest.raises(ValueError, match=r"column 'y' of .* holds .* in row 2"):
        model.posterior(X.iloc[:3].to_numpy(), observed=pd.DataFrame({"y": [1.0, 2.0, value]}))
    limits = pd.DataFrame({"y": [f">{value:g}", *map(str, Y["y"][1:])]})
    with pytest.raises(ValueError, match=r"column 'y' of Y holds .* in row 0"):
        gp(tasks=[btl.Task("y", btl.Censored())]).fit(X, limits)


def test_numbers_whose_differences_are_lost_are_refused():
    with pytest.raises(ValueError, match=r"column 'a' of X holds .*e-151 in row \d+, .* use other units"):
        gp().fit(X.assign(a=X["a"] * 1e-150), Y)
    with pytest.raises(ValueError, match=r"column 'z' of Y holds .*e-150 in row \d+, .* use other units"):
        gp().fit(X, Y.assign(z=Y["z"] * 1e-150))
    gp().fit(X.assign(a=0.0), Y.assign(z=np.where(Y["z"].isna(), np.nan, 1e-150)))  # constant columns are fine


LIKELIHOODS = {
    "gaussian": btl.Gaussian(),
    "student": btl.StudentT(),
    "log": btl.LogNormal(),
    "positive": btl.Positive(),
    "root": btl.PowerNormal(0.5),
    "hurdle": btl.Hurdle("power-0.75"),
    "censored": btl.Censored(),
}


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e30])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_fit_is_the_same_in_all_units(likelihood, scale):
    labels = pd.DataFrame({"y": Y["y"]})
    if likelihood == "hurdle":
        labels.loc[::3, "y"] = 0.0
    tasks = [btl.Task("y", LIKELIHOODS[likelihood])]
    plain = gp(tasks=tasks).fit(X, labels)
    other = gp(tasks=tasks).fit(X * scale, labels * scale)
    a, b = plain.posterior(X), other.posterior(X * scale)
    for of in (lambda p: p.mean, lambda p: p.std, lambda p: p.quantile(0.1), lambda p: p.interval(0.9)):
        np.testing.assert_allclose(of(b) / scale, of(a), rtol=1e-3, atol=1e-6)
    densities = other.log_density(X * scale, labels * scale) + np.where(labels == 0, 0.0, np.log(scale))
    np.testing.assert_allclose(densities, plain.log_density(X, labels), atol=2e-3)
    crps = [
        btl.metrics.crps(t["y"].to_numpy(), p.marginal("y")) / s
        for t, p, s in ((labels, a, 1.0), (labels * scale, b, scale))
    ]
    np.testing.assert_allclose(*crps, rtol=2e-3)


@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e7])
def test_equal_log_normal_labels_have_no_unit(unit):
    model = btl.IndependentGP([btl.Task("y", btl.LogNormal())], hyperparameters="map", n_starts=1, verbose=False)
    x = np.linspace(0, 1, 4)[:, None]
    post = model.fit(x, np.full(4, 2.0 * unit)).posterior([[0.3]])
    wide = post.quantile(0.95)["y"].item() / post.quantile(0.05)["y"].item()
    assert post.quantile(0.5)["y"].item() == pytest.approx(2.0 * unit, rel=1e-6)
    assert wide == pytest.approx(1.107, rel=1e-3)
