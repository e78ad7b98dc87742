"""Many tasks with few labels: the rank, the gain over ridge, and its own bad input."""

import numpy as np
import pandas as pd
import pytest
from benchmarks.few_shot import draw_table, ridge
from scipy import stats

import bayestl as btl
from bayestl.models.subspace.gibbs import draw_low_rank


@pytest.mark.parametrize("rank", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_finds_the_rank_and_beats_ridge(rank):
    x, Y, new, truth = draw_table(rank, seed=0)
    model = btl.LowRankLinear(verbose=False).fit(x, Y)
    assert model.rank().idxmax() == rank
    assert model.rank()[rank] > 0.8
    post = model.posterior(new, noise=False)
    error, other = ((np.sqrt(((p - truth) ** 2).mean())) for p in (post.mean.to_numpy(), ridge(x, Y, new)))
    assert error < 0.4 * other
    interval = post.interval(0.9)
    lower, upper = (interval.xs(side, axis=1, level="side").to_numpy() for side in ("lower", "upper"))
    assert 0.8 < ((lower < truth) & (truth < upper)).mean() < 0.98


def test_one_task_without_directions_is_the_conjugate_answer():
    """Constant features: only the mean is left, whose posterior is that of a normal with unknown variance."""
    y = np.random.default_rng(0).normal(0.3, 0.2, 12)[:, None]
    draws = draw_low_rank(np.zeros((12, 1)), y, np.zeros((12, 1)), max_rank=1, n_draws=4000, warmup=200, seed=0)
    grid_m, grid_v = np.linspace(-0.5, 1.0, 301)[:, None], np.exp(np.linspace(-6, 0, 200))[None]
    shared = np.exp(np.linspace(-7, 1, 60))
    log_v = np.log(
        sum(stats.invgamma(3.0, scale=s).pdf(grid_v) * stats.expon(scale=0.1).pdf(s) * s for s in shared) * grid_v
    )
    density = np.exp(
        stats.norm(0, 1).logpdf(grid_m)
        + log_v
        + sum(stats.norm(grid_m, np.sqrt(grid_v)).logpdf(one) for one in y[:, 0])
    )
    density /= density.sum()
    mean, variance = (density * grid_m).sum(), (density * grid_v).sum()
    assert draws.mean.mean() == pytest.approx(mean, abs=0.01)
    assert draws.mean.std() == pytest.approx(np.sqrt((density * (grid_m - mean) ** 2).sum()), rel=0.08)
    assert draws.noise.mean() == pytest.approx(variance, rel=0.08)


def test_known_standard_errors_are_used():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 2))
    Y = pd.DataFrame({"a": x[:, 0], "b": 2 * x[:, 0]})
    Y.iloc[:10] += 5 * rng.standard_normal((10, 2))
    spread = pd.DataFrame(0.0, Y.index, Y.columns)
    spread.iloc[:10] = 5.0
    with_errors = btl.LowRankLinear(2, verbose=False).fit(x, Y, Y_std=spread).coefficients()
    plain = btl.LowRankLinear(2, verbose=False).fit(x, Y).coefficients()
    assert abs(with_errors["b", "mean"].iloc[0] - 2) < 0.3
    assert with_errors["b", "std"].iloc[0] < 0.5 * plain["b", "std"].iloc[0]


def test_coefficients_are_in_label_units():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"p": 100 * rng.standard_normal(40), "q": rng.standard_normal(40)})
    Y = pd.DataFrame({"a": 0.03 * X["p"] + 7, "b": -0.06 * X["p"] + 1})
    found = btl.LowRankLinear(2, verbose=False).fit(X, Y).coefficients()
    assert found.loc["p", ("a", "mean")] == pytest.approx(0.03, rel=0.05)
    assert found.loc["p", ("b", "mean")] == pytest.approx(-0.06, rel=0.05)
    assert abs(found.loc["q", ("a", "mean")]) < 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_rank": 0}, "max_rank must be a positive integer"),
        ({"tasks": [btl.Task("a", btl.StudentT())]}, "'a' has StudentT labels"),
    ],
)
def test_bad_input_is_refused(change, message):
    x = np.arange(6.0)[:, None]
    with pytest.raises(ValueError, match=message):
        btl.LowRankLinear(verbose=False, **change).fit(x, pd.DataFrame({"a": x[:, 0], "b": -x[:, 0]}))
    with pytest.raises(ValueError, match="does not use groups"):
        btl.LowRankLinear(verbose=False).fit(x, pd.DataFrame({"a": x[:, 0]}), groups=["g"] * 6)
