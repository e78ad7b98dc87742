"""One estimator for a table: what it picks, how it weighs and corrects, and what it says of itself."""

import copy
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import bayestl as btl
from bayestl.distributions import NormalMixture
from bayestl.distributions.sinh_arcsinh import TAIL, TAIL_SD, WIDTH, WIDTH_SD, SinhArcsinh
from bayestl.distributions.warp import Warped
from bayestl.models.crossfit import cross_fitted
from bayestl.models.ensembles.candidates import candidates
from bayestl.models.ensembles.stacking import expected_weights, stacking_weights
from bayestl.models.label_evidence import decide_positive
from bayestl.streams import spawn
from bayestl.table.table import build_table, evident_tasks

FAST = {"hyperparameters": "map", "n_starts": 1, "verbose": False}


def models(**more):
    fast = FAST | more
    return {"independent": btl.IndependentGP(**fast), "multi-task": btl.MultiTaskGP(**fast)}


@pytest.fixture(scope="module")
def fitted(two_tasks):
    return btl.AutoTransfer("target", models(), cv=3, verbose=False).fit(*two_tasks)


def columns(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2))
    return x, np.sin(x[:, 0]) + x[:, 1], rng


# ------------------------------------------------------------------------------------------------------------ the choice


def test_the_cells_say_which_likelihood_a_column_has():
    x, f, _ = columns(30)
    Y = pd.DataFrame(
        {
            "limit": [f"<{0.1}" if v < 0.1 else f"{v:.3f}" for v in f],
            "gap": np.maximum(f, 0.0),
            "class": np.where(f > 0, "a", "b"),
            "number": f,
            "mine": np.maximum(f, 0.0),
        }
    )
    chosen = {t.name: t.likelihood for t in evident_tasks(Y, [btl.Task("mine", btl.Gaussian(), unit="eV")])}
    assert chosen == {"mine": btl.Gaussian(), "limit": btl.Censored(), "gap": btl.Hurdle()}
    assert evident_tasks(Y[["gap"]], [btl.Task("gap", unit="eV")]) == [btl.Task("gap", btl.Hurdle(), unit="eV")]


@pytest.mark.parametrize(("spread", "expected"), [(0.8, btl.LogNormal), (0.01, type(None))])
def test_positive_and_skewed_labels_are_log_normal_where_the_evidence_says_so(spread, expected):
    x, f, rng = columns(60)
    y = np.exp(spread * f) * np.exp(0.05 * spread * rng.standard_normal(60))
    table = decide_positive(build_table(x, pd.DataFrame({"dft": y, "measured": 1.1 * y, "other": f})))
    assert [type(t.likelihood) for t in table.tasks] == [expected, expected, type(None)]


def test_candidates_suit_the_table():
    x, f, rng = columns(30)
    pair = pd.DataFrame({"measured": f + 0.1, "dft": f})
    pair.loc[10:, "measured"] = np.nan

    def offered(Y, target=None, tasks=None):
        return candidates(build_table(x, Y, tasks=tasks, suggest=False), target)

    assert list(offered(pair[["dft"]])) == ["independent"]
    found = offered(pair, "measured")
    assert list(found) == ["independent", "multi-task", "paired difference", "difference", "chain"]
    assert found["difference"].levels == ["dft", "measured"]
    for unit, offers in (("", True), ("eV", True), ("K", False)):  # no unit is no other unit
        tasks = [btl.Task("measured", unit="eV"), btl.Task("dft", unit=unit)]
        assert ("paired difference" in offered(pair, "measured", tasks)) == offers
    unlike = pair.assign(dft=1000 * rng.standard_normal(30))
    assert "paired difference" not in offered(unlike)
    classes = pair.assign(measured=np.where(f > 0, "a", "b"))
    assert list(offered(classes, "measured")) == ["independent", "multi-task", "chain"]
    found = offered(pair.assign(color=np.where(f > 0, "a", "b")), "measured")
    assert list(found) == ["independent", "multi-task", "difference", "chain"]
    assert found["difference"].levels == {"color": None, "dft": None, "measured": "dft"}  # classes are no level of it
    full = pd.DataFrame({"dft": f, "color": np.where(f > 0, "a", "b"), "measured": pair["measured"]})
    for names in (list(full), list(full)[::-1]):  # classes do not come between numbers
        assert offered(full[names], "measured")["chain"].levels == ["color", "dft", "measured"]
    many = pd.DataFrame({f"y{t}": f for t in range(9)})
    assert list(offered(many)) == ["independent", "multi-task", "low rank"]
    wide = np.hstack([rng.standard_normal((250, 9))])
    assert "forests" in candidates(build_table(wide, pd.DataFrame({"y": wide[:, 0]})))


@pytest.mark.parametrize("form", [float, object, str, Decimal, "Float64"])
def test_zeros_are_seen_however_the_cells_hold_numbers(form):
    z = pd.Series(np.where(np.arange(20) < 8, 0.0, np.arange(20)), name="t")
    cells = z.map(form).astype(object) if form in (str, Decimal) else z.astype(form)
    missing = cells.astype(object).where(np.arange(20) != 3, None)
    for column in (cells, missing):
        assert evident_tasks(column.to_frame(), None) == [btl.Task("t", btl.Hurdle())]
    words = pd.Series(["a", "b"] * 10, name="t")
    for column in (z + 1, words, words == "a", cells.astype(object).where(np.arange(20) != 3, "none")):
        assert evident_tasks(column.to_frame(), None) == []


# ----------------------------------------------------------------------------------------------------- weights, correction


def test_expected_weights_are_near_equal_for_few_labels_and_the_best_for_many():
    rng = np.random.default_rng(0)
    better = rng.normal(size=(4000, 3)) - [0.0, 0.5, 1.0]
    np.testing.assert_allclose(expected_weights(better), stacking_weights(better), atol=0.01)
    few = expected_weights(better[:3])
    assert few.sum() == pytest.approx(1.0)
    assert few.min() > 0.15
    np.testing.assert_allclose(expected_weights(np.zeros((7, 4))), 0.25)


@pytest.mark.parametrize(("width", "tail"), [(1.3, 0.8), (0.8, 1.1)])
def test_the_correction_is_recovered_from_many_labels_and_stays_at_its_prior_without_any(width, tail):
    z = np.random.default_rng(0).standard_normal(20_000)
    found = SinhArcsinh.fit(SinhArcsinh(width, tail).inverse(norm.cdf(z)))
    assert (found.width, found.tail) == pytest.approx((width, tail), rel=0.03)
    none = SinhArcsinh.fit(np.empty(0))
    assert (np.log(none.width), np.log(none.tail)) == pytest.approx((WIDTH, TAIL), abs=1e-6)
    ten = SinhArcsinh.fit(norm.cdf(3.0 * z[:10]))
    assert abs(np.log(ten.width) - WIDTH) < 6 * WIDTH_SD
    assert abs(np.log(ten.tail) - TAIL) < 6 * TAIL_SD


def test_the_correction_is_the_most_probable_one():
    u = norm.cdf(np.random.default_rng(1).standard_t(3, 60)).clip(1e-12, 1 - 1e-12)

    def posterior(width, tail):
        prior = norm.logpdf(np.log([width, tail]), [WIDTH, TAIL], [WIDTH_SD, TAIL_SD]).sum()
        return SinhArcsinh(width, tail).log_slope(u).sum() + prior

    found = SinhArcsinh.fit(u)
    around = [(found.width * a, found.tail * b) for a in (0.99, 1, 1.01) for b in (0.99, 1, 1.01)]
    assert max(around, key=lambda at: posterior(*at)) == (found.width, found.tail)


def test_the_correction_is_a_distribution_of_levels():
    warp, u = SinhArcsinh(1.2, 0.8), np.linspace(0.02, 0.98, 4001)
    np.testing.assert_allclose(warp.inverse(warp.level(u)), u, atol=1e-12)
    np.testing.assert_allclose(np.gradient(warp.level(u), u)[1:-1], np.exp(warp.log_slope(u))[1:-1], rtol=1e-4)
    assert warp.level_width(0.9) == pytest.approx(-norm.ppf(warp.inverse(np.array([0.05]))[0]) / norm.ppf(0.95))


def test_the_density_of_far_labels_is_that_of_the_levels():
    base = NormalMixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1)))
    warped = Warped(base, SinhArcsinh(0.95, 0.66))
    for y in (-8.0, -5.0, -1.0, 0.3, 2.0):
        ends = warped.cdf(np.array([y + 1e-4])), warped.cdf(np.array([y - 1e-4]))
        slope = np.log((ends[0] - ends[1])[0] / 2e-4)
        assert warped.log_density(np.array([y]))[0] == pytest.approx(slope, abs=0.01)
    np.testing.assert_allclose(warped.log_density(np.array([12.0])), warped.log_density(np.array([-12.0])), rtol=1e-9)


def test_weights_are_those_of_held_out_densities_by_hand(fitted):
    densities = []
    for member in fitted.members_.values():
        frames = cross_fitted(member, 3, spawn(fitted.seed_, "held-out labels"), ("row",))
        densities.append(frames["row"].query("task == 'target'")["log_density"])
    found = fitted.weights_["target", "nothing known"].to_numpy()
    np.testing.assert_allclose(found, expected_weights(np.column_stack(densities)), atol=1e-12)


def test_a_row_has_the_weights_of_what_is_known_of_it(fitted, two_tasks):
    model = copy.deepcopy(fitted)
    model.weights_.loc[:, :] = np.array([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    model.corrections_ = {}
    X = two_tasks[0].iloc[[5, 25]] + 0.1
    known = pd.DataFrame({"source": [2.0, np.nan]}, X.index)
    post = model.posterior(X, observed=known)
    alone, together = (m.posterior(X.to_numpy(), observed=known.set_axis([0, 1])) for m in model.members_.values())
    expected = [alone.mean["target"][0], together.mean["target"][1]]
    np.testing.assert_allclose(post.mean["target"], expected)
    draws = post.sample(4000, seed=0).sel(task="target")
    assert (np.abs(draws.mean("sample") - expected) < 6 * post.std["target"].to_numpy() / np.sqrt(4000)).all()


def test_scores_and_summary_say_what_was_held_out(fitted):
    held = fitted.held_out_.query("task == 'target'")
    scores = fitted.scores_.loc["target"]
    assert scores.loc["mixture", "error"] == pytest.approx((held["mean"] - held["y"]).abs().mean())
    assert scores.loc["mixture", "density"] == pytest.approx(held["log_density"].mean())
    assert scores.loc["multi-task", "gain"] > 2 * scores.loc["multi-task", "se"]
    words = " ".join(fitted.summary().split())
    assert "target 20 (Gaussian)" in words
    assert "The other tasks help: under the model 'multi-task'" in words
    assert f"mean absolute error of {scores.loc['mixture', 'error']:.3g}" in words
    gains = fitted.diagnose().set_index("check").loc["transfer (nats gained a label)"]
    assert (gains["of"], gains["status"]) == ("target", "pass")


# --------------------------------------------------------------------------------------------------------------- the fit


def test_a_model_that_cannot_be_fitted_is_left_out_with_the_reason(two_tasks):
    X, Y = two_tasks
    bad = {"latent": btl.LatentVariableGP(graph={"target": ["nothing"]})}
    model = btl.AutoTransfer(models=models() | bad, cv=2, verbose=False).fit(X, Y)
    assert list(model.members_) == ["independent", "multi-task"]
    assert "nothing" in model.left_out_["latent"]
    assert "Left out: latent" in model.summary()
    with pytest.raises(ValueError, match="no model could be fitted: ValueError: graph= names 'nothing'"):
        btl.AutoTransfer(models=bad, cv=2, verbose=False).fit(X, Y)


def test_gains_are_over_the_task_alone_whatever_it_is_called_and_wherever_it_stands(two_tasks):
    found = models()
    renamed = {"both": found["multi-task"], "each": found["independent"]}
    first, second = (btl.AutoTransfer(models=m, cv=2, verbose=False).fit(*two_tasks) for m in (found, renamed))
    gains = [m.scores_["gain"].unstack("model") for m in (first, second.fit(*two_tasks))]
    gains[1] = gains[1].rename(columns={"each": "independent", "both": "multi-task"})
    assert (gains[0]["independent"] == 0).all()
    assert (gains[1]["independent"] == 0).all()
    assert (np.sign(gains[0]["multi-task"]) == np.sign(gains[1]["multi-task"])).all()  # the seeds go by name
    words = " ".join(second.summary().split())
    assert "from target alone it is" in words
    assert "under the model 'both'" in words
    without = btl.AutoTransfer(models={"both": found["multi-task"]}, cv=2, verbose=False).fit(*two_tasks)
    assert without.scores_["gain"].isna().all()
    assert "alone" not in without.summary()
    assert without.diagnose()["check"].str.contains("transfer").sum() == 0


def test_no_model_is_begun_beyond_the_budget(two_tasks, tmp_path):
    model = btl.AutoTransfer(models=models(), cv=2, budget=1e-3, verbose=False).fit(*two_tasks)
    assert list(model.members_) == ["independent"]
    assert model.left_out_ == {"multi-task": "not begun within the budget of 0.001 s"}
    model.save(tmp_path / "model")
    back = btl.load(tmp_path / "model")
    assert back.summary() == model.summary()
    pd.testing.assert_frame_equal(back.scores_, model.scores_)


@pytest.mark.parametrize("wrap", [btl.Recalibrated, lambda m: btl.StackedModel({"auto": m}, cv=2)])
def test_a_wrapper_reads_labels_as_the_model_inside_does(wrap):
    x, f, _ = columns(30)
    Y = pd.DataFrame({"limit": ["<-1" if v < -1 else f"{v:.3f}" for v in f], "other": f})
    inside = btl.AutoTransfer(models={"independent": btl.IndependentGP(**FAST)}, cv=2, verbose=False)
    assert isinstance(wrap(inside).fit(x, Y).tasks_[0].likelihood, btl.Censored)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"target": "nothing"}, "target 'nothing' is no task"),
        ({"budget": 0}, "budget must be a positive number"),
        ({"models": {"mixture": btl.IndependentGP()}}, "names one 'mixture'"),
        ({"models": [btl.IndependentGP()]}, "must map a name to each model"),
        ({"models": {"a": 3}}, "must be a model of bayestl, got int"),
    ],
)
def test_wrong_parameters_are_named(parameters, message, two_tasks):
    with pytest.raises(ValueError, match=message):
        btl.AutoTransfer(verbose=False, **parameters).fit(*two_tasks)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_few_labels_of_a_task_leave_the_weights_at_their_prior(n, two_tasks):
    X, Y = two_tasks
    Y = Y.copy()
    Y.iloc[n:, 1] = np.nan
    for cv in (None, 5):
        model = btl.AutoTransfer("target", models(), cv=cv, verbose=False).fit(X, Y)
        assert list(model.members_) == ["independent", "multi-task"]
        words = model.summary()
        assert "nan" not in words
        if n < 3:
            assert "cannot tell which model is right" in " ".join(words.split())
        if n == 1:
            np.testing.assert_allclose(model.weights_["target"], 0.5)
        assert np.isfinite(model.posterior(X.iloc[30:33]).mean).all().all()


def test_a_constant_column_is_taken_as_it_is(two_tasks):
    X, Y = two_tasks
    model = btl.AutoTransfer(models=models(), cv=2, verbose=False).fit(X, Y.assign(constant=2.5))
    assert model.posterior(X.iloc[:2]).mean["constant"].to_numpy() == pytest.approx(2.5, abs=0.5)


def test_a_paired_difference_counts_the_rows_as_functions_and_refuses_one_task(two_tasks):
    X, Y = two_tasks
    model = btl.PairedDifferenceGP(["source", "target"], **FAST).fit(X, Y)
    assert 0.5 < model.task_correlation().loc["source", "target"] <= 1
    checks = model.diagnose()
    assert "noise" not in set(checks.query("of == 'source'")["check"])  # it is given
    assert list(checks.query("check == 'transfer (nats gained)'")["of"]) == ["source -> target"]
    with pytest.raises(ValueError, match="needs two label columns"):
        btl.PairedDifferenceGP().fit(X, Y[["target"]])


def test_a_table_of_single_labels_is_refused_where_labels_are_to_be_held_out(two_tasks):
    X, Y = two_tasks
    Y = Y.where(np.arange(len(Y))[:, None] == [0, 3])
    with pytest.raises(ValueError, match="no label can be held out"):
        btl.StackedModel(models(), cv=3, verbose=False).fit(X, Y)
    with pytest.raises(ValueError, match="no model could be fitted: ValueError: no label can be held out"):
        btl.AutoTransfer(models=models(), cv=3, verbose=False).fit(X, Y)
