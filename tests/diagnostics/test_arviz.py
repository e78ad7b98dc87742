"""What ArviZ is given: names, shapes, units, and that its own functions run on it."""

import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
from support.models import CHAIN_IS_SLOW

import bayestl as btl

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    import arviz as az


@pytest.fixture(scope="module")
def mixed(two_tasks):
    """A number and a class, fitted with averaged hyperparameters and groups."""
    X, Y = two_tasks
    Y = Y.assign(kind=np.where(Y["source"] > 2, "high", "low"))
    Y.loc[5:9, "kind"] = None
    model = btl.MultiTaskGP(verbose=False, n_starts=1).fit(X, Y, groups=np.where(np.arange(40) % 2, "a", "b"))
    return model, Y


@pytest.fixture(scope="module")
def exported(mixed):
    return mixed[0].to_arviz(n_draws=120)


def test_groups_have_the_names_of_the_table(mixed):
    model, Y = mixed
    data = model.to_arviz(n_draws=48, prior=True)
    assert set(data.groups()) == {
        "posterior",
        "posterior_predictive",
        "log_likelihood",
        "observed_data",
        "prior",
        "prior_predictive",
    }
    scale = data.posterior["u0.lengthscale"]
    assert scale.dims == ("chain", "draw", "feature")
    assert scale.shape == (4, 12, 2)
    assert scale["feature"].values.tolist() == ["p", "q"]
    assert data.posterior["latent"].sizes["row"] == 40
    assert data.posterior["latent"]["function"].values.tolist()[:2] == ["source", "target"]
    for task in Y:
        assert data.observed_data[task].size == Y[task].notna().sum()
        assert data.log_likelihood[task].shape == (4, 12, Y[task].notna().sum())
        assert data.posterior_predictive[task].shape == data.log_likelihood[task].shape
    assert data.posterior.attrs["model"] == "MultiTaskGP"
    again = model.to_arviz(n_draws=48, prior=True)
    assert np.array_equal(again.posterior["latent"], data.posterior["latent"])


def test_latent_values_and_predictions_are_in_label_units(mixed, exported):
    _, Y = mixed
    data = exported
    there = Y["source"].to_numpy()
    latent = data.posterior["latent"].sel(function="source").mean(("chain", "draw")).to_numpy()
    assert np.abs(latent - there).max() < 0.1
    assert np.abs(data.posterior_predictive["source"].mean(("chain", "draw")).to_numpy() - there).max() < 0.1
    assert set(np.unique(data.posterior_predictive["kind"])) == {0.0, 1.0}
    wide = data.posterior_predictive["source"].std(("chain", "draw")).mean()
    assert wide > data.posterior["latent"].sel(function="source").std(("chain", "draw")).mean()


def test_arviz_loo_is_the_exact_one_for_fixed_hyperparameters(two_tasks):
    X, Y = two_tasks
    model = btl.IndependentGP(verbose=False, hyperparameters="map", n_starts=1).fit(X, Y)
    data = model.to_arviz()
    assert "source.noise" in data.constant_data
    assert list(data.posterior.data_vars) == ["latent"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing to smooth: the importance weights are all alike
        found = az.loo(data, var_name="target")
    own = model.leave_one_out()
    assert float(found.elpd_loo) == pytest.approx(own.loc[own["task"] == "target", "log_density"].sum(), abs=1e-8)


@pytest.mark.slow
def test_arviz_loo_agrees_with_the_averaged_one(mixed, exported):
    model, _ = mixed
    others = [model.to_arviz(n_draws=120, seed=seed) for seed in (1, 2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [float(az.loo(data, var_name="target").elpd_loo) for data in (exported, *others)]
    own = model.leave_one_out()
    # 24 draws of hyperparameters here (over seeds 42 to 45 nats), 120 there (42, with single draws that weigh too much 38)
    expected = own.loc[own["task"] == "target", "log_density"].sum()
    assert np.median(found) == pytest.approx(expected, abs=4.0)


@pytest.mark.parametrize("name", CHAIN_IS_SLOW)
def test_every_model_is_exported_and_summarised(fitted, name):
    model = fitted[name]
    n_draws = 200 if name == "latent chain" else 60  # those that the chains have kept, with their log densities
    data = model.to_arviz(n_draws=n_draws)
    summary = az.summary(data)
    assert np.isfinite(summary[["mean", "sd"]].to_numpy()).all()
    assert data.log_likelihood["target"].sizes["target_row"] == 20
    assert np.isfinite(data.log_likelihood["target"]).all()
    if name == "latent chain":
        assert data.sample_stats["lp"].size == data.posterior["target.rho"].size == n_draws
    if name in ("latent", "latent chain", "subspace"):
        with pytest.raises(ValueError, match="no draws from its prior"):
            model.to_arviz(prior=True)


def test_a_difference_model_exports_its_links_and_groups(two_tasks):
    X, Y = two_tasks
    model = btl.DifferenceGP(["source", "target"], verbose=False, n_starts=1)
    data = model.fit(X, Y, groups=np.where(np.arange(40) % 2, "a", "b")).to_arviz(n_draws=60)
    assert float(data.posterior["rho[target]"].mean()) == pytest.approx(1.3, abs=0.15)
    assert data.posterior["group offset[target]"].dims == ("chain", "draw", "group")


def test_a_table_of_classes_alone_is_exported(two_tasks):
    """There is no noise then, and a hyperparameter without entries is none."""
    X, Y = two_tasks
    model = btl.IndependentGP(verbose=False).fit(X, np.where(Y["source"] > 2, "high", "low"))
    data = model.to_arviz(n_draws=16)
    assert "noise" not in data.posterior
    assert "u0.lengthscale" in data.posterior


def test_chains_of_hyperparameters_are_chains(two_tasks):
    X, Y = two_tasks
    model = btl.IndependentGP(hyperparameters="mcmc", n_starts=1, verbose=False).fit(X[:15], Y["source"][:15])
    data = model.to_arviz()
    assert dict(data.posterior.sizes)["chain"] == 4
    summary = az.summary(data, var_names=["noise", "kappa"])
    assert (summary["r_hat"] < 1.4).all()


def test_pictures_and_comparison_run(exported, fitted):
    data = exported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        az.plot_ppc(data, var_names=["source"], num_pp_samples=10)
        az.plot_trace(data, var_names=["noise"])
        other = fitted["independent"].to_arviz(n_draws=120)
        ranked = az.compare({"multi-task": data, "independent": other}, var_name="target")
    assert ranked.index[0] == "multi-task"


def test_bad_requests_are_refused(mixed):
    with pytest.raises(ValueError, match="n_draws must be"):
        mixed[0].to_arviz(n_draws=0)


ON_ONE = """
import sys, warnings
import numpy as np, xarray as xr, arviz as az
from types import SimpleNamespace as S
from bayestl.diagnostics.arviz import assemble
assert "torch" not in sys.modules
generator = np.random.default_rng(0)
def dataset(**variables):
    n = next(iter(variables.values()))[1].shape
    return xr.Dataset(variables, coords={"chain": np.arange(n[0]), "draw": np.arange(n[1])})
y = generator.standard_normal(20)
mu = 0.1 * generator.standard_normal((4, 100))
density = -0.5 * (y - mu[:, :, None]) ** 2
tree = assemble({
    "posterior": dataset(mu=(("chain", "draw"), mu)),
    "log_likelihood": dataset(y=(("chain", "draw", "y_row"), density)),
    "observed_data": xr.Dataset({"y": (("y_row",), y)}),
})
assert isinstance(tree, xr.DataTree), type(tree)
print(az.summary(tree), az.loo(tree, var_name="y"))
print("arviz", az.__version__)
"""


def newer_python() -> str | None:
    """A Python that ArviZ 1 runs on, on the path or among pyenv's."""
    names = [shutil.which(f"python3.{minor}") for minor in (12, 13)]
    names += sorted(str(p) for p in (Path.home() / ".pyenv/versions").glob("3.1[23]*/bin/python3"))
    for python in (n for n in names if n):
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    return None


@pytest.mark.slow
def test_the_groups_are_a_tree_on_arviz_1(tmp_path):
    python = newer_python()
    if python is None:
        pytest.skip("no Python 3.12, which ArviZ 1 needs")
    subprocess.run([python, "-m", "venv", str(tmp_path / "env")], check=True)
    there = str(tmp_path / "env" / "bin" / "python")
    wanted = ["arviz>=1", "scipy", "pandas"]
    got = subprocess.run([there, "-m", "pip", "install", "-q", *wanted], capture_output=True, text=True, check=False)
    if got.returncode:
        pytest.skip(f"ArviZ 1 cannot be installed: {got.stderr[-200:]}")
    root = Path(btl.__file__).parents[1]
    done = subprocess.run([there, "-c", ON_ONE], capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    assert "arviz 1." in done.stdout


@pytest.mark.parametrize("name", ["chain", "draw", "source_row"])
def test_a_task_that_is_called_as_a_dimension_is_refused(name, two_tasks):
    X, Y = two_tasks
    model = btl.MultiTaskGP(hyperparameters="map", n_starts=1, verbose=False).fit(X, Y.rename(columns={"target": name}))
    with pytest.raises(ValueError, match=f"task '{name}' has the name of a dimension"):
        model.to_arviz(n_draws=4)
