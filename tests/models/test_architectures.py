"""What each architecture believes."""

import copy

import numpy as np
import pandas as pd
import pytest
from benchmarks import recovery
from benchmarks.drawn import fit_unscaled
from scipy import stats

import bayestl as btl
from bayestl.models.exact.transfer import refit_without

QUIET = {"verbose": False, "n_starts": 1}


def test_independent_tasks_do_not_inform_each_other(two_tasks):
    X, Y = two_tasks
    model = btl.IndependentGP(hyperparameters="map", **QUIET).fit(X, Y)
    known = pd.DataFrame({"source": [50.0, -50.0]})
    plain, given = model.posterior(X.iloc[:2]), model.posterior(X.iloc[:2], observed=known)
    np.testing.assert_allclose(given.mean["target"], plain.mean["target"], rtol=1e-3)
    assert model.task_correlation().iloc[0, 1] == 0.0


def test_exact_anticorrelation_of_twelve_points_is_found():
    """BoTorch 0.18's default multi-task model fits +0.43 to this table."""
    x = np.linspace(0, 1, 12)[:, None]
    f = np.sin(6 * x[:, 0])
    model = btl.MultiTaskGP(verbose=False).fit(x, np.column_stack([f, -f]))
    correlation = model.task_correlation()
    assert correlation.iloc[0, 1] < -0.8
    assert correlation.attrs["std"].iloc[0, 1] < 0.3


def test_a_source_of_noise_does_not_hurt():
    rng = np.random.default_rng(3)
    x = rng.uniform(-2, 2, (60, 2))
    target = np.sin(2 * x[:, 0]) + x[:, 1]
    Y = pd.DataFrame({"source": rng.standard_normal(60), "target": target + 0.05 * rng.standard_normal(60)})
    Y.iloc[25:, 1] = np.nan
    errors = {}
    for name, model in {"alone": btl.IndependentGP(**QUIET), "with": btl.MultiTaskGP(**QUIET)}.items():
        post = model.fit(x, Y).posterior(x[25:])
        errors[name] = np.abs(post.mean["target"] - target[25:]).mean()
    assert errors["with"] < 1.25 * errors["alone"]


@pytest.mark.slow
def test_difference_recovers_rho_offset_and_groups():
    rng = np.random.default_rng(0)
    n = 45
    x = rng.uniform(-2, 2, (n, 2))
    groups = np.array(["vasp", "espresso", "castep"])[np.arange(n) % 3]
    shift = pd.Series({"vasp": 0.4, "espresso": -0.4, "castep": 0.0})
    low = np.sin(2 * x[:, 0]) + x[:, 1]
    Y = pd.DataFrame({"low": low, "high": 1.5 * low + 2.0 + shift[groups].to_numpy()})
    Y += 0.05 * rng.standard_normal(Y.shape)
    Y.iloc[30:, 1] = np.nan
    model = btl.DifferenceGP(["low", "high"], hyperparameters="map", **QUIET).fit(x, Y, groups=groups)
    table = model.offsets()
    assert table.loc[("high", "rho", ""), "mean"] == pytest.approx(1.5, abs=0.1)
    spread = [table.loc[("high", "group offset", g), "mean"] for g in ("vasp", "espresso")]
    assert spread[0] - spread[1] == pytest.approx(0.8, abs=0.15)
    total = table.loc[("high", "offset", ""), "mean"] + np.mean(
        [table.loc[("high", "group offset", g), "mean"] for g in shift.index]
    )
    assert total == pytest.approx(2.0, abs=0.5)
    known, unknown = model.posterior(x[:1], groups=["vasp"]), model.posterior(x[:1], groups=["siesta"])
    assert unknown.std["high"][0] > known.std["high"][0]


def test_three_levels_and_the_order_of_columns():
    rng = np.random.default_rng(1)
    x = rng.uniform(-2, 2, (28, 1))
    f = np.sin(2 * x[:, 0])
    Y = pd.DataFrame({"c": 2 * (1.5 * f + 1) - 3, "a": f, "b": 1.5 * f + 1}) + 0.02 * rng.standard_normal((28, 3))
    Y.iloc[14:, 0] = np.nan
    Y.iloc[21:, 2] = np.nan
    model = btl.DifferenceGP(["a", "b", "c"], hyperparameters="map", **QUIET).fit(x, Y)
    offsets = model.offsets()
    assert offsets.loc[("b", "rho", ""), "mean"] == pytest.approx(1.5, abs=0.15)
    assert offsets.loc[("c", "rho", ""), "mean"] == pytest.approx(2.0, abs=0.2)
    truth = 2 * (1.5 * f[21:] + 1) - 3
    assert np.abs(model.posterior(x[21:]).mean["c"] - truth).mean() < 0.1


def test_two_levels_that_follow_the_same_one_do_not_pass_through_each_other(tmp_path):
    rng = np.random.default_rng(2)
    x = rng.uniform(-2, 2, (30, 1))
    f = np.sin(2 * x[:, 0])
    Y = pd.DataFrame({"low": f, "a": 1.5 * f + 1, "b": -0.5 * f}) + 0.02 * rng.standard_normal((30, 3))
    Y.iloc[15:, 1:] = np.nan
    levels = {"low": None, "a": "low", "b": "low"}
    model = btl.DifferenceGP(levels, hyperparameters="map", **QUIET).fit(x, Y)
    offsets = model.offsets()
    assert offsets.loc[("a", "rho", ""), "mean"] == pytest.approx(1.5, abs=0.15)
    assert offsets.loc[("b", "rho", ""), "mean"] == pytest.approx(-0.5, abs=0.1)
    assert np.abs(model.posterior(x[15:]).mean["b"] + 0.5 * f[15:]).mean() < 0.1
    model.save(tmp_path / "model")
    again = btl.load(tmp_path / "model")
    assert again.levels == levels
    pd.testing.assert_frame_equal(again.posterior(x[:3]).mean, model.posterior(x[:3]).mean)
    assert len(refit_without(model, "low").families_) == 2


@pytest.mark.slow
def test_intervals_of_drawn_tables_hold_at_their_rate(monkeypatch):
    """90 % intervals of 20 tables: the counts lie within the binomial's bounds, each crossed once in a thousand times."""
    monkeypatch.setattr(recovery, "N_ROWS", 20)
    monkeypatch.setattr(recovery, "N_TARGETS", 10)
    inside = {"rho": [], "offset": []}
    for seed in range(20):
        x, Y, groups, truth = recovery.draw_table(seed)
        model = btl.DifferenceGP(["low", "high"], hyperparameters="map", **QUIET)
        fit_unscaled(model, x, Y, groups)
        offsets = model.offsets(0.9)
        for parameter, hits in inside.items():
            row = offsets.loc[("high", parameter, "")]
            hits.append(row["lower"] <= truth["high", parameter, ""] <= row["upper"])
    for hits in inside.values():
        assert stats.binom.ppf(0.001, 20, 0.9) <= sum(hits) <= stats.binom.ppf(0.999, 20, 0.9)


def test_group_offsets_are_for_models_that_have_them(two_tasks):
    X, Y = two_tasks
    groups = np.where(np.arange(40) % 2, "a", "b")
    for model in (btl.IndependentGP(**QUIET), btl.MultiTaskGP(**QUIET)):
        shifted = Y.copy()
        shifted[groups == "a"] += 3.0
        post = model.fit(X, shifted, groups=groups).posterior(X.iloc[:1], groups=["a"]).mean
        other = model.posterior(X.iloc[:1], groups=["b"]).mean
        assert post["source"][0] - other["source"][0] == pytest.approx(3.0, abs=0.7)
    with pytest.raises(ValueError, match="does not use groups"):
        btl.LatentVariableGP(verbose=False).fit(X, Y, groups=groups)


def test_latent_values_are_reported_and_agree_with_labels(fitted, two_tasks):
    _, Y = two_tasks
    model = fitted["latent"]
    latent = model.latent(500)
    measured = Y["target"].notna()
    assert np.abs(latent["target", "mean"] - Y["target"])[measured].mean() < 0.1
    assert latent["target", "std"][~measured].mean() > latent["target", "std"][measured].mean()
    assert model.report_.elbo[-50:].mean() > model.report_.elbo[:5].mean()
    assert model.task_correlation().iloc[0, 1] > 0.9


@pytest.mark.slow
def test_a_guide_settles_within_the_default_steps(two_tasks):
    model = btl.LatentVariableGP({"target": ["source"]}, inference="svi", verbose=False, n_inducing=30).fit(*two_tasks)
    assert model.report_.converged
    assert len(model.report_.elbo) < 2000
    checks = model.diagnose(transfer=False).set_index("check")
    assert checks.loc["bound converged", "status"] == "pass"


def test_a_label_of_the_child_informs_the_parent(fitted):
    # 2000 draws: the mean moves by 0.09, its Monte Carlo error is 0.01
    model = copy.deepcopy(fitted["latent"]).set_params(n_draws=2000)
    new = pd.DataFrame({"p": [4.0], "q": [3.0]})
    before = model.posterior(new)
    label = before.mean["target"][0] + before.std["target"][0]
    after = model.posterior(new, observed=pd.DataFrame({"target": [label]}))
    assert after.mean["source"][0] > before.mean["source"][0]
    assert after.std["source"][0] < before.std["source"][0]


def test_unknown_kernels_and_parameters_are_refused(two_tasks):
    X, Y = two_tasks
    for model, words in (
        (btl.MultiTaskGP(kernel="linear"), "kernel must be one of"),
        (btl.MultiTaskGP(n_latent=0), "n_latent must be"),
        (btl.IndependentGP(hyperparameters="nuts"), "hyperparameters must be"),
        (btl.IndependentGP(n_starts=0), "n_starts must be"),
        (btl.LatentVariableGP(n_inducing=0), "n_inducing must be"),
        (btl.LatentVariableGP(kernel="cubic"), "kernel must be one of"),
    ):
        with pytest.raises(ValueError, match=words):
            model.set_params(verbose=False).fit(X, Y)


def test_a_chain_knows_what_an_unknown_source_leaves_open():
    """The source is noisy, and the target follows its label: without the label the target is far less certain."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (260, 1))
    source = x[:, 0] + 0.8 * rng.standard_normal(260)
    Y = pd.DataFrame({"source": source, "target": np.tanh(2 * source) + 0.05 * rng.standard_normal(260)})
    model = btl.ChainGP(["source", "target"], inputs=None, hyperparameters="map", verbose=False).fit(x[:160], Y[:160])
    new, truth = x[160:], Y["target"][160:].to_numpy()
    known = model.posterior(new, observed=Y[160:].assign(target=np.nan).reset_index(drop=True))
    unknown = model.posterior(new)
    assert unknown.std["target"].mean() > 5 * known.std["target"].mean()
    for post in (known, unknown):
        interval = post.interval(0.9)["target"]
        inside = ((truth >= interval["lower"]) & (truth <= interval["upper"])).mean()
        assert inside == pytest.approx(0.9, abs=3.5 * np.sqrt(0.9 * 0.1 / 100))
    draws = unknown.sample(400, seed=0).sel(task="target").std("sample")
    np.testing.assert_allclose(draws.mean(), unknown.std["target"].mean(), rtol=0.1)


def curved_and_straight():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (36, 2))
    s = np.sin(3 * x[:, 0]) + 0.5 * x[:, 1]
    noise = 0.05 * rng.standard_normal((3, 36))
    Y = pd.DataFrame({"a": 10 * s + noise[0], "straight": 3 + 2 * s + noise[1], "curved": s**2 + noise[2]})
    Y.loc[20:, ["straight", "curved"]] = np.nan
    return x, Y


def test_edges_tell_slope_strength_and_shape():
    x, Y = curved_and_straight()
    graph = {"straight": ["a"], "curved": ["a"]}
    tasks = [btl.Task("a", unit="eV"), btl.Task("straight"), btl.Task("curved")]
    settings = {"inference": "svi", "verbose": False, "n_inducing": 16, "max_steps": 200}
    model = btl.LatentVariableGP(graph, tasks=tasks, **settings).fit(x, Y)
    edges = model.edges()
    assert list(edges.index) == [("straight", "a"), ("curved", "a")]
    straight, curved = edges.iloc[0], edges.iloc[1]
    assert straight["slope"] == pytest.approx(0.2, abs=0.02)
    assert straight["lower"] < straight["slope"] < straight["upper"]
    assert straight["strength"] > 0.8
    assert straight["nonlinearity"] < 0.05 < 0.5 < curved["nonlinearity"]

    curves = model.edge_curves()
    one = curves[curves["task"] == "curved"]
    middle = one.iloc[2:-2]
    assert np.abs(middle["mean"] - (middle["value"] / 10) ** 2).max() < 0.25
    assert (one["lower"] < one["upper"]).all()
    ax = btl.plots.plot_edge(curves, "curved")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a (eV)", "curved")
    with pytest.raises(ValueError, match="no edge from 'b'"):
        btl.plots.plot_edge(curves, source="b")
    with pytest.raises(ValueError, match="level must be"):
        model.edges(level=90)


def test_a_graph_without_edges_has_empty_tables(two_tasks):
    X, Y = two_tasks
    model = btl.LatentVariableGP({"target": []}, inference="svi", verbose=False, n_inducing=10, max_steps=5).fit(X, Y)
    assert model.edges().empty
    assert model.edge_curves().empty


def follower(seed, n=60):
    """A source, and a target that follows it as the prior of an edge says."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 2))
    source = np.sin(3 * x[:, 0]) + 0.5 * x[:, 1]
    scaled = (source - source.mean()) / source.std()
    target = rng.normal() + rng.normal(1, 1) * scaled + 0.3 * np.exp(rng.normal()) * np.cos(2 * x[:, 1])
    return x, pd.DataFrame({"source": 5 + 2 * source, "target": source.mean() * 2 + 5 + 2 * source.std() * target})


def test_a_task_without_labels_is_predicted_through_the_prior_of_its_edge(tmp_path):
    inside, widths = [], []
    for seed in range(8):
        x, Y = follower(seed)
        blank = Y.assign(target=np.nan)
        model = btl.LatentVariableGP(
            {"target": ["source"]}, inference="svi", verbose=False, n_inducing=12, max_steps=60
        )
        post = model.fit(x[:40], blank.iloc[:40]).posterior(x[40:])
        low, high = (post.interval(0.9)["target", side].to_numpy() for side in ("lower", "upper"))
        inside.append(((low < Y["target"].iloc[40:]) & (Y["target"].iloc[40:] < high)).mean())
        widths.append(post.std["target"].mean() / post.std["source"].mean())
    assert np.mean(inside) > 0.75  # 8 edges, each right or wrong as a whole: 0.9 +- 0.1
    assert min(widths) > 3
    known = model.posterior(x[40:], observed=Y[["source"]].iloc[40:])
    assert np.corrcoef(known.mean["target"], Y["source"].iloc[40:])[0, 1] > 0.9
    model.save(tmp_path / "model")
    pd.testing.assert_frame_equal(btl.load(tmp_path / "model").posterior(x[40:]).mean, post.mean)
    assert model.edges().empty  # nothing was learnt of it
    assert model.latent()["target", "std"].min() > model.latent()["source", "std"].max()


def test_a_task_without_labels_needs_a_labelled_parent():
    x, Y = follower(0)
    Y["target"] = np.nan
    with pytest.raises(ValueError, match="'target' has no labels: drop the column"):
        btl.LatentVariableGP({}, verbose=False).fit(x, Y)
    with pytest.raises(ValueError, match="'target' has no labels, and 'source' follows it"):
        btl.LatentVariableGP({"source": ["target"]}, verbose=False).fit(x, Y)
    logarithm = [btl.Task("source", btl.LogNormal())]
    with pytest.raises(ValueError, match="all with Gaussian labels of one kind"):
        btl.LatentVariableGP({"target": ["source"]}, logarithm, verbose=False).fit(x, Y)
    with pytest.raises(ValueError, match="'target' has no labels"):
        btl.MultiTaskGP(verbose=False).fit(x, Y)
