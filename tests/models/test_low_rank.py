"""Many tasks with few labels: the rank, the gain over ridge, and its own bad input."""

import numpy as np
import pandas as pd
import pytest
from benchmarks.few_shot import draw_table
from scipy import stats

import bayestl as btl
from bayestl.models.subspace.collapsed import (
    LOG_SCALE,
    NOISE_RATE,
    NOISE_SHAPE,
    ON_SCALE,
    ON_SHAPE,
    Labels,
    Shared,
)
from bayestl.models.subspace.gibbs import RANK_ODDS, draw_low_rank
from bayestl.studies.small_tables.few_shots import ridge_alone


@pytest.mark.parametrize("rank", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_finds_the_rank_and_beats_ridge(rank):
    x, Y, new, truth = draw_table(rank, seed=0)
    model = btl.LowRankLinear(verbose=False).fit(x, Y)
    assert model.rank().idxmax() == rank
    assert model.rank()[rank] > 0.8
    post = model.posterior(new, noise=False)
    error, other = ((np.sqrt(((p - truth) ** 2).mean())) for p in (post.mean.to_numpy(), ridge_alone(x, Y, new)))
    assert error < 0.4 * other
    interval = post.interval(0.9)
    lower, upper = (interval.xs(side, axis=1, level="side").to_numpy() for side in ("lower", "upper"))
    assert 0.8 < ((lower < truth) & (truth < upper)).mean() < 0.98


@pytest.mark.slow
def test_one_task_without_directions_is_the_answer_by_quadrature():
    """Constant features: only mean, noise and scale of the task are left, whose posterior is a sum over a grid."""
    y = np.random.default_rng(0).normal(0.3, 0.2, 12)[:, None]
    draws = draw_low_rank(np.zeros((12, 1)), y, np.zeros((12, 1)), max_rank=1, n_draws=6000, warmup=200, seed=0)
    grid_m, grid_v = np.linspace(-0.5, 1.0, 301)[:, None], np.exp(np.linspace(-6, 0, 200))[None]
    levels, scales = np.exp(np.linspace(-9, 2, 80)), np.exp(np.linspace(-4, 4, 60))
    prior = np.zeros((301, 200))
    for s in scales:
        of_noise = sum(
            stats.invgamma(NOISE_SHAPE, scale=g * s**2).pdf(grid_v) * stats.expon(scale=1 / NOISE_RATE).pdf(g) * g
            for g in levels
        )
        prior += stats.norm(0, LOG_SCALE).pdf(np.log(s)) * stats.norm(0, s).pdf(grid_m) * of_noise * grid_v
    density = np.exp(np.log(prior) + sum(stats.norm(grid_m, np.sqrt(grid_v)).logpdf(one) for one in y[:, 0]))
    density /= density.sum()
    mean, variance = (density * grid_m).sum(), (density * grid_v).sum()
    assert draws.mean.mean() == pytest.approx(mean, abs=0.01)
    assert draws.mean.std() == pytest.approx(np.sqrt((density * (grid_m - mean) ** 2).sum()), rel=0.08)
    assert draws.noise.mean() == pytest.approx(variance, rel=0.08)


def state(d, r, n_tasks, seed):
    """A state of the chain."""
    g = np.random.default_rng(seed)
    shapes = ((d, r), (r,), (n_tasks,), (), (n_tasks,))
    return Shared(*(np.asarray(0.4 * g.standard_normal(shape)) for shape in shapes))


def few(n=12, d=3, n_tasks=5):
    """Features, labels of which every third is missing, and their known variances."""
    g = np.random.default_rng(1)
    y = g.standard_normal((n, n_tasks))
    y.flat[::3] = np.nan
    return g.standard_normal((n, d)), y, 0.3 * g.uniform(size=(n, n_tasks))


def test_collapsed_density_is_that_of_the_labels_with_coefficients_integrated_out():
    """Differences of it between two states, against normal densities of each task and the priors written out."""
    x, y, se2 = few()

    def written_out(at):
        theta, noise, scale = np.exp(at.theta), np.exp(at.level + at.noise), np.exp(at.scale)
        value = (
            stats.norm(0, np.sqrt(1 / x.shape[1])).logpdf(at.u).sum() + stats.norm(0, LOG_SCALE).logpdf(at.scale).sum()
        )
        value += (stats.invgamma(ON_SHAPE, scale=ON_SCALE).logpdf(theta) + at.theta).sum()
        value += (stats.invgamma(NOISE_SHAPE, scale=np.exp(at.level)).logpdf(noise) + at.level + at.noise).sum()
        value += stats.expon(scale=1 / NOISE_RATE).logpdf(np.exp(at.level)) + at.level
        for t in range(y.shape[1]):
            rows = ~np.isnan(y[:, t])
            z = x[rows] @ at.u
            covariance = scale[t] ** 2 * (z * theta @ z.T + 1.0 + noise[t] * np.eye(len(z))) + np.diag(se2[rows, t])
            value += stats.multivariate_normal(np.zeros(len(z)), covariance).logpdf(y[rows, t])
        return value

    one, other = (state(3, 2, 5, seed) for seed in (2, 3))
    labels = Labels(x, y, se2)
    difference = labels.density(one)[0] - labels.density(other)[0]
    assert difference == pytest.approx(written_out(one) - written_out(other), rel=1e-8)


def test_gradient_of_the_collapsed_density():
    labels, at, g, h = Labels(*few()), state(3, 2, 5, seed=2), np.random.default_rng(4), 1e-5
    gradient = labels.density(at)[1]
    for i, part in enumerate(at.parts):
        way = g.standard_normal(part.shape)
        up, down = (labels.density(Shared(*at.parts[:i], part + s * way, *at.parts[i + 1 :]))[0] for s in (h, -h))
        assert (gradient.parts[i] * way).sum() == pytest.approx((up - down) / (2 * h), rel=1e-5)


def drawn_from_prior(g, x, n_tasks, k):
    """Labels of all rows and tasks drawn from the prior, their known variances, and what they were drawn from."""
    n, d = x.shape
    on = g.uniform(size=k) < g.beta(*RANK_ODDS)
    a = g.standard_normal((n_tasks, k)) * np.sqrt(on / g.gamma(ON_SHAPE, 1 / ON_SCALE, k))
    noise = g.exponential(1 / NOISE_RATE) / g.gamma(NOISE_SHAPE, 1.0, n_tasks)
    scale, se2 = np.exp(LOG_SCALE * g.standard_normal(n_tasks)), 0.2 * g.uniform(size=(n, n_tasks))
    values = x @ (g.standard_normal((d, k)) / np.sqrt(d)) @ a.T + g.standard_normal(n_tasks)
    y = scale * (values + np.sqrt(noise) * g.standard_normal((n, n_tasks))) + np.sqrt(se2) * g.standard_normal(
        (n, n_tasks)
    )
    return y, se2, (scale * values)[0], np.log(noise * scale**2), on.sum()


@pytest.mark.slow
def test_ranks_of_tables_drawn_from_the_prior_are_uniform():
    """Of values at a row, log noise, and the number of directions; 80 tables, ranks among 25 of 250 states each."""
    g, k, n_tasks = np.random.default_rng(0), 2, 4
    ranks, probabilities, true_ranks = [], [], []
    for table in range(80):
        x = g.standard_normal((9, 2))
        y, se2, value, log_noise, rank = drawn_from_prior(g, x, n_tasks, k)
        y[0] = np.nan  # the row at which values are compared has no label
        y.flat[n_tasks + 1 :: 3] = np.nan
        draws = draw_low_rank(x, y, se2, max_rank=k, n_draws=250, warmup=120, seed=table)
        values, noises = draws.values(x[:1])[::10, 0], np.log(draws.noise[::10])
        ranks.append([(values[:, 0] < value[0]).sum(), (noises[:, 0] < log_noise[0]).sum()])
        ranks[-1] += [(values.std(axis=1) < value.std()).sum(), (noises.mean(axis=1) < log_noise.mean()).sum()]
        probabilities.append(np.bincount(draws.rank, minlength=k + 1) / len(draws.rank))
        true_ranks.append(np.eye(k + 1)[rank])
    for column in np.array(ranks).T:
        assert stats.kstest((column + g.uniform(size=80)) / 26, "uniform").pvalue > 0.005
    difference = np.array(probabilities) - np.array(true_ranks)
    assert (np.abs(difference.mean(axis=0)) < 3.5 * difference.std(axis=0) / np.sqrt(80)).all()


@pytest.mark.slow
def test_chains_agree_on_rank_three():
    """A table in which chains that moved coefficients and directions in turn stayed at rank 4 with too little noise."""
    x, Y, _, _ = draw_table(3, seed=101)
    for seed in (0, 1):
        probability = btl.LowRankLinear(random_state=seed, verbose=False).fit(x, Y).rank()
        assert probability.idxmax() == 3
        assert probability[3] > 0.5


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


def test_functions_without_any_direction_are_correlated_with_none():
    rng = np.random.default_rng(0)
    Y = pd.DataFrame(rng.standard_normal((20, 2)), columns=["a", "b"])
    model = btl.LowRankLinear(1, 60, 60, verbose=False).fit(rng.standard_normal((20, 1)), Y)
    assert model.draws_.rank.min() == 0  # labels are noise
    correlation = model.task_correlation()
    assert np.abs(correlation.loc["a", "b"]) < 1.0
    assert (np.diag(correlation) == 1.0).all()


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
