import numpy as np
import pandas as pd
import pytest

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
    "model",
    [
        btl.MultiTaskGP(hyperparameters="map", n_starts=1),
        btl.DifferenceGP(["source", "target"], hyperparameters="laplace", n_starts=1),
        btl.LatentVariableGP(graph={"target": ["source"]}, inference="svi", max_steps=200, n_inducing=8),
    ],
)
def test_every_architecture_draws_tables_and_is_ranked(pattern, model):
    found = simulate_calibration(model, *pattern, n_tables=3, verbose=False)
    assert not found.failures
    assert len(found.ranks) == 3
    assert found.ranks.filter(like="row").notna().all().all()
    assert ((found.ranks > 0) & (found.ranks < 1)).all().all()
    again = simulate_calibration(model, *pattern, n_tables=2, seed=1, verbose=False)
    pd.testing.assert_frame_equal(again.ranks, found.ranks.iloc[1:], rtol=1e-4)  # by table, not by call
    ax = plots.plot_ranks(found)
    assert len(ax.get_lines()) == found.ranks.shape[1] + 1


@pytest.mark.slow
def test_latent_values_of_the_difference_model_are_calibrated(pattern):
    model = btl.DifferenceGP(["source", "target"], hyperparameters="laplace", n_starts=1)
    found = simulate_calibration(model, *pattern, n_tables=60, n_jobs=2, verbose=False)
    rows = found.table.filter(like="row", axis=0)
    assert (rows["p value"] > 1e-3).all()
    assert rows["spread"].mean() == pytest.approx(1.0, abs=0.15)


def test_classes_and_hurdles_are_drawn_too(pattern):
    X, Y = pattern
    labels = pd.DataFrame({"color": ["a", "b"] * 8})
    found = simulate_calibration(btl.IndependentGP(hyperparameters="map"), X, labels, n_tables=2, verbose=False)
    assert len(found.ranks) + len(found.failures) == 2


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
