"""Leave-one-out without fitting again, against leaving out and conditioning again."""

import numpy as np
import pandas as pd
import pytest
from benchmarks import harm
from scipy import stats

import bayestl as btl
from bayestl.models.base import BayesianModel

N = 24
X = pd.DataFrame(np.random.default_rng(0).uniform(-1.5, 1.5, (N, 2)), columns=["p", "q"])


def labels():
    """A number, a number that is often zero, and a class, each with gaps."""
    error = np.random.default_rng(1).standard_normal(N)
    f = np.sin(2 * X["p"]) + 0.3 * X["q"]
    Y = pd.DataFrame({"a": f + 0.1 * error, "gap": np.where(f > 0, f, 0.0), "c": np.where(f > 0.2, "up", "down")})
    Y.loc[:3, "a"] = np.nan
    Y.loc[8:11, "gap"] = np.nan
    Y.loc[20:, "c"] = None
    return Y


def without(model: BayesianModel, X, Y, row, task, Y_std=None):
    """The same hyperparameters with one label less: its log density and mean."""
    less = Y.copy()
    less.loc[row, task] = None if less[task].dtype == object else np.nan
    other = type(model)(**model.get_params()).fit(X, less, Y_std=Y_std)
    for family, own in zip(other.families_, model.families_, strict=True):
        from bayestl.inference.gaussian.condition import ExactPosterior

        # the scales of labels depend on the table: those of the whole one
        other.scaler_ = model.scaler_
        family.posterior = ExactPosterior.of(own.prior, other._family_data(family), own.posterior.draws)
    post = other.posterior(X.iloc[[row]], observed=None)
    return post


@pytest.mark.parametrize("make", [btl.MultiTaskGP, btl.DifferenceGP, btl.IndependentGP])
def test_it_is_what_conditioning_on_the_others_gives(make):
    Y = labels()[["a"]].assign(b=lambda f: 1 - 2 * f["a"] + 0.1 * X["q"])
    Y.loc[10:13, "a"] = np.nan
    Y.loc[:5, "b"] = [1.0, 0.5, np.nan, 0.2, 0.8, np.nan]
    se = pd.DataFrame(0.05, Y.index, Y.columns)
    model = make(hyperparameters="map", n_starts=1, verbose=False).fit(X, Y, Y_std=se)
    found = model.leave_one_out().set_index(["task", "row"])
    assert len(found) == Y.notna().to_numpy().sum()
    for row, task in ((4, "a"), (7, "b"), (20, "a"), (1, "b")):
        post = without(model, X, Y, row, task, se)
        one = found.loc[(task, row)]
        spread = np.hypot(post.std[task].iloc[0], 0.05)
        assert one["mean"] == pytest.approx(post.mean[task].iloc[0], abs=1e-6)
        assert one["std"] == pytest.approx(spread, rel=1e-6)
        z = (Y.loc[row, task] - one["mean"]) / spread
        assert one["log_density"] == pytest.approx(-0.5 * z**2 - np.log(spread) - 0.5 * np.log(2 * np.pi), abs=1e-6)


def test_other_labels_are_predicted_about_as_without_them():
    Y = labels()
    tasks = [btl.Task("gap", btl.Hurdle("log-normal"))]
    model = btl.IndependentGP(tasks, hyperparameters="map", n_starts=1, verbose=False).fit(X, Y)
    found = model.leave_one_out().set_index(["task", "row"])
    exact, quick = [], []
    for task in ("gap", "c"):
        for row in np.flatnonzero(Y[task].notna())[::3]:
            post = without(model, X, Y, row, task)
            exact.append(post.log_density(Y.iloc[[row]])[task].iloc[0])
            quick.append(found.loc[(task, row), "log_density"])
    assert np.abs(np.array(exact) - quick).max() < 0.1
    assert found.loc["c"][["p0", "p1"]].sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert found.loc["gap"]["p0"].isna().all()


def test_averaged_over_hyperparameters_it_is_near_a_fit_without_the_label():
    """Of a table on which a draw of the hyperparameters explains one label badly: that draw must not count alone."""
    x, Y = harm.draw_table("half opposed", 17)
    make = lambda: btl.MultiTaskGP(hyperparameters="laplace", random_state=17, verbose=False)  # noqa: E731
    model = make().fit(x, Y)
    found = model.leave_one_out().query("task == 'target'").set_index("row")["log_density"]
    rows, refitted = range(0, 30, 3), []
    for row in rows:
        less = Y.copy()
        less.loc[row, "target"] = np.nan
        refitted.append(make().fit(x, less).complete().log_density(Y)["target"].iloc[row])
    # the hyperparameters saw the label: too good by some 0.1 nats a label
    assert -0.2 < (found[list(rows)] - refitted).mean() < 0.4
    assert (found[list(rows)] - refitted).abs().max() < 3.0
    seen = model.log_density(x, Y)["target"].sum()
    assert seen - found.sum() > 3.0


def test_influential_observations_are_named_and_predicted_by_a_fit_without_them():
    """One label far from all others: without it the noise is small, with it large, and importance weights cannot correct for that."""
    Y = labels()[["a"]].assign(b=lambda f: 1 - 2 * f["a"] + 0.1 * X["q"])
    Y.loc[[6, 12], "b"] = [np.nan, 5.0]
    se = pd.DataFrame(0.05, Y.index, Y.columns)
    make = lambda: btl.MultiTaskGP(n_starts=1, verbose=False)  # noqa: E731
    model = make().fit(X, Y, Y_std=se)
    quick = model.leave_one_out().set_index(["task", "row"])
    assert quick["sensitivity"].idxmax() == ("b", 12)
    exact = model.leave_one_out(refit=True).set_index(["task", "row"])
    same = quick["sensitivity"] <= 0.2
    pd.testing.assert_frame_equal(exact[same], quick[same])
    assert exact.loc[("b", 12), "log_density"] < quick.loc[("b", 12), "log_density"] - 1.0
    less = Y.copy()
    less.loc[12, "b"] = np.nan
    post = make().fit(X, less, Y_std=se).posterior(X.iloc[[12]])
    # the same but for the scale of the labels, which the row had a part in
    assert exact.loc[("b", 12), "mean"] == pytest.approx(post.mean["b"].iloc[0], abs=0.15)
    advice = model.diagnose(transfer=False).set_index(["check", "of"])["advice"]["influential observations", "b"]
    assert "12" in advice
    assert "refit=True" in advice
    fixed = btl.MultiTaskGP(hyperparameters="map", n_starts=1, verbose=False).fit(X, Y).leave_one_out()
    assert fixed["sensitivity"].isna().all()


def test_a_label_within_limits_has_the_probability_of_its_interval():
    y = np.sin(2 * X["p"]).to_numpy()
    Y = pd.DataFrame({"y": [f"{v:.3f}" if v > -0.4 else "<-0.4" for v in y]})
    model = btl.IndependentGP([btl.Task("y", btl.Censored())], hyperparameters="map", n_starts=1, verbose=False)
    found = model.fit(X, Y).leave_one_out()
    below = y <= -0.4
    assert 3 < below.sum() < 12
    normal = stats.norm(found["mean"], found["std"])
    np.testing.assert_allclose(found["log_density"][below], normal.logcdf(-0.4)[below], atol=1e-6)
    np.testing.assert_allclose(found["log_density"][~below], normal.logpdf(np.round(y, 3))[~below], atol=1e-6)
    assert (found["pit"][below] <= normal.cdf(-0.4)[below]).all()
    np.testing.assert_allclose(found["pit"][~below], normal.cdf(np.round(y, 3))[~below], atol=1e-6)


def test_a_chain_of_tasks_has_it_too():
    Y = labels()[["a", "gap"]]
    tasks = [btl.Task("gap", btl.Hurdle("log-normal"))]
    model = btl.ChainGP(["a", "gap"], inputs=None, tasks=tasks, verbose=False).fit(X, Y)
    found = model.leave_one_out()
    assert len(found) == Y.notna().to_numpy().sum()
    assert np.isfinite(found["log_density"]).all()
    a = found[found["task"] == "a"]
    z = (a["y"] - a["mean"]) / a["std"]
    assert 0.5 < np.sqrt((z**2).mean()) < 2.0
    assert np.corrcoef(a["mean"], a["y"])[0, 1] > 0.7


@pytest.mark.parametrize("noise", [0.0, 3e-4])
def test_labels_without_noise_are_left_out_as_exactly(noise):
    """Of labels without noise the others say nearly everything: differences of large numbers would lose it."""
    x = pd.DataFrame({"x": np.linspace(0, 1, 24)})
    Y = pd.DataFrame({"dft": np.sin(5 * x["x"])})
    Y["measured"] = 1.2 * Y["dft"] + 0.4 + noise * np.random.default_rng(0).standard_normal(24)
    Y.loc[::2, "measured"] = np.nan
    model = btl.DifferenceGP(["dft", "measured"], hyperparameters="map", verbose=False).fit(x, Y)
    found = model.leave_one_out().set_index(["task", "row"])
    for row in (1, 9):
        post = without(model, x, Y, row, "measured")
        assert found.loc[("measured", row), "mean"] == pytest.approx(post.mean["measured"].iloc[0], abs=1e-5)
        assert found.loc[("measured", row), "std"] == pytest.approx(post.std["measured"].iloc[0], rel=0.02)
