"""Labels of every kind in every architecture: fit, predict, condition, save."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayestl as btl

N = 60
RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.uniform(-2, 2, (N, 2)), columns=["p", "q"])
F = np.sin(2 * X["p"]).to_numpy()
SEEN = F + 0.3 * RNG.standard_normal(N)
KINDS = {
    "student": (btl.StudentT(), F + 0.1 * RNG.standard_t(2, N)),
    "hurdle": (btl.Hurdle("log-normal"), np.where(F > 0, np.exp(F + 0.3 * X["q"]), 0.0)),
    "hurdle, root": (btl.Hurdle("power-0.5"), np.where(F > 0, (1.0 + F) ** 2, 0.0)),
    "hurdle, power t": (btl.Hurdle("power-0.75-t"), np.where(F > 0, (1.0 + F) ** 2, 0.0)),
    "hurdle, truncated": (btl.Hurdle("truncated-normal"), np.where(F > 0, 1.0 + F, 0.0)),
    "censored": (btl.Censored(lower=-0.5), np.maximum(SEEN, -0.5)),
    "bernoulli": (None, np.where(SEEN > 0, "yes", "no")),
    "categorical": (None, np.array(["a", "b", "c"])[np.digitize(SEEN, [-0.5, 0.5])]),
    "ordinal": (btl.Ordinal(["a", "b", "c"]), np.array(["a", "b", "c"])[np.digitize(SEEN, [-0.5, 0.5])]),
}
MODELS = {
    "independent": lambda tasks: btl.IndependentGP(tasks, hyperparameters="map", n_starts=1, verbose=False),
    "multi-task": lambda tasks: btl.MultiTaskGP(tasks=tasks, hyperparameters="map", n_starts=1, verbose=False),
    "difference": lambda tasks: btl.DifferenceGP(
        ["source", "target"], tasks, hyperparameters="map", n_starts=1, verbose=False
    ),
    "chain": lambda tasks: btl.ChainGP(["source", "target"], None, tasks, hyperparameters="map", verbose=False),
    "latent": lambda tasks: btl.LatentVariableGP(
        {"target": ["source"]}, tasks, inference="svi", n_inducing=12, max_steps=60, n_draws=64, verbose=False
    ),
}


def labels(kind):
    likelihood, values = KINDS[kind]
    Y = pd.DataFrame({"source": F + 0.05 * np.random.default_rng(1).standard_normal(N), "target": values})
    Y.loc[40:, "target"] = None if Y["target"].dtype == object else np.nan
    return Y, [btl.Task("target", likelihood)]


PAIRS = [("multi-task", kind) for kind in KINDS]
PAIRS += [("independent", kind) for kind in ("student", "hurdle", "ordinal")]
PAIRS += [("difference", kind) for kind in ("hurdle", "bernoulli")]
PAIRS += [("chain", kind) for kind in ("hurdle", "categorical")]
PAIRS += [("latent", kind) for kind in ("hurdle", "ordinal", "categorical")]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_every_kind_of_label_in_every_architecture(name, kind, tmp_path):
    Y, tasks = labels(kind)
    model = MODELS[name](tasks).fit(X, Y)
    new, truth = X.iloc[40:], KINDS[kind][1][40:]
    known = Y.iloc[40:][["source"]]
    post = model.posterior(new, observed=known)
    predicted = model.predict(new, observed=known)["target"]
    log_density = model.log_density(new, pd.DataFrame({"target": truth}, index=new.index), observed=known)["target"]
    assert np.isfinite(log_density).all()
    assert post.sample(5).shape == (5, 20, 2)
    if KINDS[kind][1].dtype.kind in "OU":
        assert (predicted.to_numpy() == truth).mean() > 0.5
        chances = post.probabilities("target")
        np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-6)
        share = post.apply(lambda y: (y["target"] == chances.columns[0]).astype(float)).mean
        np.testing.assert_allclose(share, chances.iloc[:, 0], atol=0.12 if name == "latent" else 0.05)
    else:
        error = np.abs(model.predict(new, loss="absolute", observed=known)["target"] - truth).mean()
        assert error < np.abs(np.median(truth) - truth).mean()
        behind = model.posterior(new, observed=known, noise=False)
        assert np.isfinite(behind.quantile(0.9)["target"]).all()
        assert np.isfinite(behind.sample(3).to_numpy()).all()
        with pytest.raises(ValueError, match="no classes"):
            post.probabilities("target")
    model.save(tmp_path / "model")
    again = btl.load(tmp_path / "model").posterior(new, observed=known)
    pd.testing.assert_frame_equal(again.quantile(0.9), post.quantile(0.9), rtol=1e-5, atol=1e-7)


def test_a_hurdle_source_tells_whether_the_target_is_zero():
    """Where the source's atom is known the target's is better known."""
    source = np.where(F > 0.1, 1.0 + F, 0.0)
    Y = pd.DataFrame({"source": source, "target": np.where(F > 0.1, 1.5 + F, 0.0)})
    Y.loc[Y.index % 3 > 0, "target"] = np.nan
    tasks = [btl.Task(name, btl.Hurdle("truncated-normal")) for name in Y]
    for model in (
        btl.MultiTaskGP(tasks=tasks, hyperparameters="map", verbose=False),
        btl.DifferenceGP(["source", "target"], tasks, hyperparameters="map", verbose=False),
    ):
        model.fit(X, Y)
        assert [len(f.parts) for f in model.families_] == [2, 2]
        zero = model.posterior(X).marginal("target").zero
        held = Y["target"].isna().to_numpy()
        assert zero[held & (source == 0)].mean() > 0.7
        assert zero[held & (source > 0)].mean() < 0.3
        assert "target: nonzero" in model.task_correlation().columns


def test_a_class_never_seen_is_refused_at_prediction():
    Y, tasks = labels("categorical")
    model = MODELS["independent"](tasks).fit(X, Y)
    with pytest.raises(ValueError, match="none of the classes"):
        model.log_density(X.iloc[:1], pd.DataFrame({"target": ["z"]}))


def test_size_of_a_hurdle_is_chosen_by_evidence():
    """Errors that grow with the value against errors that do not."""
    rng = np.random.default_rng(3)
    x = pd.DataFrame({"x": np.linspace(0, 4, 80)})
    relative = np.exp(x["x"] + 0.3 * rng.standard_normal(80))
    absolute = np.maximum(1.2 + np.sin(x["x"]) + 0.25 * rng.standard_normal(80), 0.02)
    root = np.maximum(2.0 + np.sin(2 * x["x"]) + 0.3 * rng.standard_normal(80), 0.02) ** 2
    even = ("power-0.75", "truncated-normal")  # their evidence differs by a nat or two
    for y, sizes in ((relative, ("log-normal",)), (root, ("power-0.5",)), (absolute, even)):
        labels = pd.DataFrame({"y": np.where(np.arange(80) % 4 == 0, 0.0, y)})
        model = btl.IndependentGP([btl.Task("y", btl.Hurdle())], verbose=False, n_starts=1).fit(x, labels)
        assert model.tasks_[0].likelihood.size in sizes


def test_stacked_trees_help_and_repeat():
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.uniform(-1, 1, (340, 6)))
    x.columns = list("abcdef")
    steps = (x["a"] > 0.1) + 2.0 * (x["b"] > -0.3) + (x["c"] > 0.4)
    y = pd.DataFrame({"y": steps + 0.02 * rng.standard_normal(340)})
    errors = {}
    for inputs in (None, "forest"):
        model = btl.ChainGP(inputs=inputs, hyperparameters="map", verbose=False).fit(x.iloc[:260], y.iloc[:260])
        predicted = model.predict(x.iloc[260:])
        errors[inputs] = np.abs(predicted["y"] - y["y"].iloc[260:]).mean()
    assert errors["forest"] < 0.5 * errors[None]
    again = btl.ChainGP(hyperparameters="map", verbose=False).fit(x.iloc[:260], y.iloc[:260])
    pd.testing.assert_frame_equal(again.predict(x.iloc[260:]), predicted, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bernoulli", "ordinal", "hurdle", "student", "categorical"])
def test_predictions_of_drawn_tables_are_calibrated(kind):
    """Tables drawn from the model's own prior: the randomised PIT of new labels is uniform."""
    from benchmarks.likelihoods import pits

    values = np.concatenate([pits(kind, seed) for seed in range(12)])
    assert stats.kstest(values, "uniform").pvalue > 1e-3
