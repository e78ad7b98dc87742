"""The table of checks: what it says of sound fits, and of what is wrong."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.exceptions import NotFittedError

import bayestl as btl
from bayestl.inference.reports import ChainReport
from bayestl.inference.svi.elbo import SVIReport
from bayestl.models.exact.transfer import refit_without


def status(frame, check, of=None):
    rows = frame[frame["check"] == check]
    return rows["status"].iloc[0] if of is None else rows.set_index("of").loc[of, "status"]


def test_a_sound_fit_passes_everything(fitted, two_tasks):
    X, _ = two_tasks
    found = fitted["multi-task"].diagnose(X_new=X)
    assert (found["status"] == "pass").all(), found[found["status"] != "pass"]
    assert {"optimiser converged", "jitter", "noise", "outliers", "transfer (nats gained)"} < set(found["check"])
    assert found.set_index(["check", "of"]).loc[("transfer (nats gained)", "source -> target"), "value"] > 0


def test_a_wrong_label_is_named(two_tasks):
    X, Y = two_tasks
    Y = Y.copy()
    Y.loc[7, "source"] += 3.0
    found = btl.IndependentGP(hyperparameters="map", verbose=False).fit(X, Y).diagnose()
    row = found[(found["check"] == "outliers") & (found["of"] == "source")].iloc[0]
    assert row["status"] != "pass"
    assert "rows 7" in row["advice"]
    assert found["status"].iloc[0] != "pass"  # the worst comes first


def test_a_source_that_harms_is_named():
    """A source that follows the target in half of the space and opposes it in the other half."""
    rng = np.random.default_rng(3)
    X = rng.uniform(-2, 2, (60, 1))
    f = np.sin(3 * X[:, 0])
    Y = pd.DataFrame({"source": np.where(X[:, 0] > 0, f, -f), "target": f + 0.05 * rng.standard_normal(60)})
    model = btl.DifferenceGP(["source", "target"], hyperparameters="map", n_starts=1, verbose=False).fit(X, Y)
    gain = model.diagnose().set_index(["check", "of"]).loc[("transfer (nats gained)", "source -> target")]
    alone = refit_without(model, "source").leave_one_out()["log_density"]
    loo = model.leave_one_out()
    together = loo.loc[loo["task"] == "target", "log_density"]
    assert gain["value"] == pytest.approx(together.sum() - alone.sum(), abs=1e-8)
    assert (gain["status"], gain["advice"]) == ("pass", "")  # the model sees that the source does not help
    # as if it did not see it: every label of the target 1 +- 1 nat less likely than without the source
    worse = loo.assign(log_density=loo["log_density"] - rng.normal(1.0, 1.0, len(loo)))
    (check,) = (c for c in model._transfer_checks(worse) if c.of == "source -> target")
    assert check.value < 2 * check.threshold < 0
    assert check.status == "fail"
    assert "the labels of 'source' make it worse" in check.advice


def test_labels_that_are_noise_and_features_that_say_nothing_are_told():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((80, 2)), rng.standard_normal(80)
    found = btl.IndependentGP(hyperparameters="map", verbose=False).fit(X, y).diagnose()
    assert status(found, "variance explained, leave-one-out") == "warn"


def test_skew_labels_fail_calibration():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 1))
    y = np.exp(1.5 * rng.standard_normal(150))
    found = btl.IndependentGP(hyperparameters="map", verbose=False).fit(X, y).diagnose()
    row = found[found["check"] == "leave-one-out calibration (p value)"].iloc[0]
    assert row["status"] == "fail"
    assert row["advice"]


def test_rows_beyond_the_table_are_told_of(two_tasks):
    X, Y = two_tasks
    model = btl.IndependentGP(verbose=False, hyperparameters="map", n_starts=1).fit(X, Y)
    assert status(model.diagnose(X_new=X + 50, transfer=False), "new rows beyond the table") == "fail"
    assert status(model.diagnose(X_new=X, transfer=False), "new rows beyond the table") == "pass"


def test_chains_and_guides_are_judged(two_tasks):
    X, Y = two_tasks
    model = btl.LatentVariableGP({"target": ["source"]}, inference="svi", max_steps=30, verbose=False).fit(X, Y)
    assert status(model.diagnose(), "bound converged") == "warn"
    model.report_ = SVIReport(np.zeros(10), True, "converged", 1.5)
    assert status(model.diagnose(), "Pareto k of the guide") == "warn"
    model.report_ = ChainReport(np.zeros(100), 3.0, 5.0, 40, 0.2, 0.01)
    found = model.diagnose()
    assert status(found, "R-hat") == status(found, "divergences") == "fail"
    assert status(found, "effective sample size") == "warn"
    chain = btl.LowRankLinear(max_rank=2, n_draws=400, n_warmup=200, verbose=False).fit(X, Y).diagnose()
    assert set(chain["check"]) == {"R-hat", "effective sample size"}


def test_it_wants_a_fitted_model():
    with pytest.raises(NotFittedError):
        btl.MultiTaskGP().diagnose()


def checks_of_tables(noise):
    """The checks of 40 small tables of two tasks, with errors of labels 0.2 ``noise(generator)``, (24, 2)."""
    frames = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X = rng.uniform(-2, 2, (24, 1))
        f = np.sin(2 * X[:, 0]) + 0.5 * X[:, 0]
        Y = pd.DataFrame({"a": f, "b": 2 - f}) + 0.2 * noise(rng)
        Y.loc[12:, "b"] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = btl.MultiTaskGP(hyperparameters="map", n_starts=1, verbose=False).fit(X, Y)
            frames.append(model.diagnose(transfer=False).assign(seed=seed))
    return pd.concat(frames, ignore_index=True)


def test_false_alarms_are_rare_on_tables_that_the_model_is_right_about():
    """Two or three of a hundred checks may warn, and a check of labels warns at one in a hundred."""
    found = checks_of_tables(lambda rng: rng.standard_normal((24, 2)))
    assert (found["status"] != "fail").all(), found[found["status"] == "fail"]
    alarm = found["status"] != "pass"
    assert len(found) == 440
    assert alarm.sum() <= stats.binom.ppf(0.999, len(found), 0.025)
    for check in ("leave-one-out calibration (p value)", "outliers"):
        alarms = alarm[found["check"] == check]
        assert len(alarms) == 80
        assert alarms.sum() <= stats.binom.ppf(0.999, 80, 0.01)


def test_the_same_checks_warn_where_the_model_is_wrong():
    """Of the same tables with errors of heavy tails more warn of an outlier than a right model's would."""
    found = checks_of_tables(lambda rng: rng.standard_t(1.5, (24, 2)))
    alarms = found.loc[found["check"] == "outliers", "status"] != "pass"
    assert alarms.sum() > stats.binom.ppf(0.999, 80, 0.01)


def test_members_of_a_stack_are_checked_by_name(two_tasks):
    X, Y = two_tasks
    common = {"hyperparameters": "map", "n_starts": 1}
    models = {"alone": btl.IndependentGP(**common), "shared": btl.MultiTaskGP(**common)}
    stacked = btl.StackedModel(models, verbose=False).fit(X, Y)
    stacked.weights_[:] = [0.4, 0.6]
    found = stacked.diagnose(transfer=False)
    assert {of.split(":")[0] for of in found["of"]} == {"alone", "shared"}
    recalibrated = btl.Recalibrated(btl.MultiTaskGP(**common), verbose=False).fit(X, Y).diagnose(transfer=False)
    assert not recalibrated["check"].str.contains("calibration").any()
    assert "optimiser converged" in set(recalibrated["check"])


def test_labels_are_held_out_in_folds_where_there_is_no_leave_one_out(two_tasks):
    X, Y = two_tasks
    model = btl.LowRankLinear(max_rank=2, n_draws=200, n_warmup=200, verbose=False).fit(X, Y)
    found = model.diagnose(cv=3)
    assert status(found, "variance explained, held-out", "source") == "pass"
    assert {"held-out calibration (p value)", "outliers"} <= set(found["check"])


def test_advice_does_not_offer_the_likelihood_that_is_there():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 1))
    y = np.where(rng.uniform(size=200) < 0.4, 0.0, np.exp(rng.standard_t(1.5, 200)))
    task = btl.Task("gap", likelihood=btl.Hurdle("truncated-normal"))
    found = btl.IndependentGP([task], hyperparameters="map", verbose=False).fit(X, pd.DataFrame({"gap": y})).diagnose()
    row = found[found["check"] == "leave-one-out calibration (p value)"].iloc[0]
    assert row["status"] != "pass"
    assert "zeros" not in row["advice"]
    assert "Recalibrated" in row["advice"]


def test_a_feature_that_acts_linearly_is_used():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(0, 1, (60, 4)), columns=["line", "wave", "nothing", "noise"])
    Y = pd.DataFrame({"y": 3 * X["line"] + np.sin(6 * X["wave"]) + 0.05 * rng.standard_normal(60)})
    checks = (
        btl.IndependentGP(hyperparameters="map", verbose=False).fit(X, Y).diagnose(transfer=False).set_index("check")
    )
    assert checks.loc["features unused", "advice"] == "hardly used: nothing, noise"
