import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayestl as btl
from bayestl.diagnostics.draws import RowDraws, Variable
from bayestl.evaluation import Calibration, simulate_calibration
from bayestl.evaluation.simulated import drawn_table, ranks
from bayestl.report import plots
from bayestl.table.table import build_table


@pytest.fixture(scope="module")
def pattern():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"p": rng.uniform(-2, 2, 16)})
    Y = pd.DataFrame({"source": np.zeros(16), "target": np.zeros(16)})
    Y.loc[8:, "target"] = np.nan
    return X, Y


def test_ranks_of_a_right_posterior_are_uniform_and_of_a_narrow_one_are_not():
    table = build_table(np.zeros((3, 1)), np.zeros(3))
    found = {}
    for width in (1.0, 0.5):
        rng = np.random.default_rng(0)
        rows = []
        for _ in range(600):
            centre = rng.standard_normal()  # of the posterior; the truth is one normal away from it
            truth = RowDraws({"b": Variable(np.array([centre + rng.standard_normal()]))}, np.zeros((1, 3, 1)), {})
            draws = RowDraws({"b": Variable(centre + width * rng.standard_normal(25))}, np.zeros((25, 3, 1)), {})
            rows.append(ranks(truth, draws, table, rng))
        found[width] = Calibration(pd.DataFrame(rows), [])
    good, narrow = (found[w].table.loc["b"] for w in (1.0, 0.5))
    assert good["p value"] > 0.01
    assert good["spread"] == pytest.approx(1.0, abs=0.06)
    assert narrow["p value"] < 1e-6
    assert narrow["spread"] > 1.2
    assert found[1.0].table.loc["y, row 0", "p value"] > 1e-4  # all draws equal to the truth: ties are drawn
    assert found[0.5].p_value < 1e-4 < found[1.0].p_value


@pytest.mark.parametrize(
    ("model", "ranked"),
    [
        (btl.MultiTaskGP(hyperparameters="map", n_starts=1), set()),
        (
            btl.DifferenceGP(["source", "target"], hyperparameters="laplace", n_starts=1),
            {"rho", "amplitude[0]", "noise[1]"},
        ),
        (btl.LatentVariableGP(graph={"target": ["source"]}, inference="svi", max_steps=60, n_inducing=8), set()),
    ],
    ids=["multi-task", "difference", "latent"],
)
def test_every_architecture_draws_tables_and_is_ranked(pattern, model, ranked):
    found = simulate_calibration(model, *pattern, n_tables=3, verbose=False)
    assert not found.failures
    assert found.ranks.index.tolist() == [0, 1, 2]
    rows = found.ranks.filter(like=", row")
    assert rows.columns.tolist() == [f"{task}, row {row}" for task in ("source", "target") for row in (0, 7, 15)]
    assert rows.notna().all().all()
    hyperparameters = set(found.ranks) - set(rows)
    assert ranked <= hyperparameters
    assert bool(ranked) == bool(hyperparameters)  # where they are fixed there are no draws of them
    assert (found.ranks.nunique() == found.ranks.notna().sum()).all()  # every table has a truth of its own
    again = simulate_calibration(model, *pattern, n_tables=1, verbose=False)
    pd.testing.assert_frame_equal(again.ranks, found.ranks.iloc[:1], rtol=1e-4)  # by table, not by call
    others = simulate_calibration(model, *pattern, n_tables=1, seed=2, verbose=False)
    assert not np.isin(others.ranks, found.ranks).any()  # another seed has no table in common
    ax = plots.plot_ranks(found)
    assert len(ax.get_lines()) == found.ranks.shape[1] + 1


@pytest.mark.slow
def test_latent_values_of_the_difference_model_are_calibrated(pattern):
    model = btl.DifferenceGP(["source", "target"], hyperparameters="laplace", n_starts=1)
    found = simulate_calibration(model, *pattern, n_tables=60, n_jobs=2, verbose=False)
    rows = found.table.filter(like=", row", axis=0)
    assert (rows["p value"] > 1e-3).all()
    assert rows["spread"].mean() == pytest.approx(1.0, abs=0.15)


def test_a_rank_counts_the_draws_below_the_truth():
    table = build_table(np.zeros((3, 1)), np.zeros(3))
    generator = np.random.default_rng(0)
    for below in (0, 3, 10):
        truth = RowDraws({"b": Variable(np.array([below - 0.5]))}, np.full((1, 3, 1), below - 0.5), {})
        draws = RowDraws({"b": Variable(np.arange(10.0))}, np.arange(10.0)[:, None, None] * np.ones((10, 3, 1)), {})
        for rank in ranks(truth, draws, table, generator).values():
            assert below / 11 < rank < (below + 1) / 11


@pytest.mark.slow
def test_classes_and_hurdles_are_drawn_too(pattern):
    """Of 300 drawn tables: labels follow their latent values as the likelihoods say, within four standard errors."""
    X, _ = pattern
    Y = pd.DataFrame({"color": ["a", "b"] * 8, "gap": [0.0, 1.5] * 8})
    Y.loc[12:, "color"] = None
    model = btl.IndependentGP([btl.Task("gap", btl.Hurdle("log-normal"))], hyperparameters="map", n_starts=1)
    template = build_table(X, Y, tasks=model.tasks)
    names = [name for part in template.parts for name in part.names]
    drawn = [drawn_table(model, template, seed) for seed in range(300)]
    latent = np.stack([truth.latent[0] for truth, _ in drawn])
    y = np.stack([table.y for _, table in drawn])
    assert np.isnan(y[:, 12:, 0]).all()
    for name, event in (("color", y[:, :12, 0] == 1), ("gap: nonzero", y[:, :, 1] > 0)):
        chance = stats.norm.cdf(latent[:, : event.shape[1], names.index(name)])
        for weight in (np.ones_like(chance), chance - 0.5):  # how often, and whether it depends on the latent value
            error = np.sqrt((weight**2 * chance * (1 - chance)).sum())
            assert abs((weight * (event - chance)).sum()) < 4 * error
            assert error < 0.05 * np.abs(weight).sum()
    assert np.isin(y[:, :12, 0], [0, 1]).all()
    positive = y[:, :, 1] > 0
    size = np.log(y[:, :, 1][positive]) - latent[:, :, names.index("gap")][positive]
    sd = np.array([truth.variables["gap.noise"].values.item() for truth, _ in drawn])
    sd = np.broadcast_to(sd[:, None], positive.shape)[positive]
    assert (size / sd).std() == pytest.approx(1, abs=4 / np.sqrt(2 * len(sd)))

    found = simulate_calibration(model, X, Y, n_tables=3, verbose=False)
    assert len(found.ranks) == 3 - len(found.failures) > 0
    assert all("only the class" in failure or "no positive labels" in failure for failure in found.failures)
    assert {f"{name}, row 0" for name in names} <= set(found.ranks)


def test_a_model_without_a_prior_says_so(pattern):
    with pytest.raises(ValueError, match="ChainGP has no draws from its prior"):
        simulate_calibration(btl.ChainGP(["source", "target"]), *pattern, n_tables=1, verbose=False)
    with pytest.raises(ValueError, match="n_tables must be a positive integer"):
        simulate_calibration(btl.IndependentGP(), *pattern, n_tables=0)


@pytest.mark.parametrize(
    "model",
    [btl.DifferenceGP(["source", "target"]), btl.LatentVariableGP(graph={"target": ["source"]})],
    ids=["difference", "latent"],
)
def test_the_noise_of_a_simulated_table_has_nothing_to_do_with_its_functions(pattern, model):
    """Both once came from the same random numbers, which made labels 8 % too wide and `rho` seem wrongly inferred."""
    X, Y = pattern
    template = build_table(X, Y)
    correlations = []
    for seed in range(200):
        truth, drawn = drawn_table(model, template, seed)
        latent = truth.latent[0, :, 0]
        correlations.append(np.corrcoef(drawn.y[:, 0] - latent, latent)[0, 1])
    assert abs(np.mean(correlations)) < 4 * np.std(correlations) / np.sqrt(200)


def test_functions_of_a_graph_have_nothing_to_do_with_its_hyperparameters(pattern):
    """As above: the size of a function says nothing of its sign."""
    X, Y = pattern
    template = build_table(X, Y)
    model = btl.LatentVariableGP(graph={"target": ["source"]})
    draws = [model._prior_at_table(template, seed) for seed in range(200)]
    sizes = np.array([d.variables["source.amplitude"].values.item() for d in draws])
    values = np.array([d.latent[0, :, 0] for d in draws])
    signs = np.array([np.corrcoef(np.log(sizes), np.sign(v))[0, 1] for v in values.T])
    assert np.abs(signs).max() < 4 / np.sqrt(200)
