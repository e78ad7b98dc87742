"""Mean, std, quantiles, density and probabilities are those of one distribution, which ``sample`` and ``apply`` draw from."""

import numpy as np
import pytest
from scipy import stats

from bayestl.distributions import Discrete
from bayestl.distributions.base import cdf_below
from laws.cells import N_NEW

N = 2000
KOLMOGOROV = 2.8
"""Largest distance of two distribution functions, times the root of the number of draws: probability 3e-7."""
LEVELS = np.array([0.03, 0.2, 0.5, 0.8, 0.97])
SCORES = np.linspace(-6.5, 6.5, 53)
WAYS = ["new rows", "source known", "latent values"]


def posterior_of(cell, way):
    """The posterior of new rows, the last far away, and of one fitted row."""
    rows = cell.part([*range(cell.spec.rows, cell.spec.rows + N_NEW), 4])
    known = {"observed": rows["Y"][["source"]]} if way == "source known" else {}
    return cell.once(way, lambda: cell.model.posterior(**cell.asked(rows), **known, noise=way != "latent values"))


def sample_of(cell, way):
    return cell.once((way, "draws"), lambda: posterior_of(cell, way).sample(N, seed=3))


def slack(cell, n=N):
    """Allowed distance between the distribution functions of n draws and of their distribution."""
    return KOLMOGOROV / np.sqrt(n) + (0.0 if cell.spec.draws is None else 1.4 / np.sqrt(cell.spec.draws))


def numbers(cell, post):
    """The marginals of tasks that are numbers, by name."""
    return {t.name: post.marginal(t.name) for t in post.tasks if not isinstance(post.marginal(t.name), Discrete)}


@pytest.mark.parametrize("way", ["new rows", "latent values"])
def test_quantiles_invert_the_distribution_function(cell, way):
    for marginal in numbers(cell, posterior_of(cell, way)).values():
        before = np.full(len(marginal.mean()), -np.inf)
        for q in LEVELS:
            at = marginal.quantile(q)
            assert (at >= before).all()
            before = at
            finite = np.isfinite(at)
            assert (marginal.cdf(np.where(finite, at, 0.0)) >= q - 1e-6)[finite].all()
            just_below = np.where(finite, at - 1e-7 * (1 + np.abs(at)), 0.0)
            assert (cdf_below(marginal, just_below) <= q + 1e-5)[finite].all()


@pytest.mark.parametrize("way", ["new rows", "latent values"])
def test_density_is_the_slope_of_the_distribution_function(cell, way):
    if cell.spec.intervals_only:
        pytest.skip("only quantiles are recalibrated")
    if cell.model_name == "low rank" and way == "latent values":
        pytest.skip("an average over states of a chain has no density")
    for marginal in numbers(cell, posterior_of(cell, way)).values():
        width = marginal.quantile(0.84) - marginal.quantile(0.16)
        zero = np.zeros(len(width))
        atom = marginal.cdf(zero) - cdf_below(marginal, zero)
        for q in LEVELS + 0.0137:  # not where an isotonic correction has a bend
            at = marginal.quantile(q)
            h = 1e-5 * np.where(width > 0, width, np.abs(at))
            smooth = (at > 3 * h) | (at < 0) | (atom == 0)
            h = np.where(h > 0, h, 1e-4)
            slope = (marginal.cdf(at + h) - marginal.cdf(at - h)) / (2 * h)
            density = np.exp(marginal.log_density(at))
            np.testing.assert_allclose(slope[smooth], density[smooth], rtol=2e-3)
            if not smooth.all():
                np.testing.assert_allclose(np.exp(marginal.log_density(zero))[~smooth], atom[~smooth], rtol=1e-9)


@pytest.mark.parametrize("way", ["new rows", "latent values"])
def test_moments_are_those_of_the_quantiles(cell, way):
    if cell.spec.intervals_only:
        pytest.skip("only quantiles are recalibrated")
    post = posterior_of(cell, way)
    mass = stats.norm.pdf(SCORES)
    mass /= mass.sum()
    for name, marginal in numbers(cell, post).items():
        grid = np.stack([marginal.quantile(q) for q in stats.norm.cdf(SCORES)])
        mean = mass @ grid
        std = np.sqrt(mass @ (grid - mean) ** 2)
        np.testing.assert_allclose(post.mean[name], mean, atol=4e-2 * std.max(), rtol=1e-2)
        np.testing.assert_allclose(post.std[name], std, rtol=0.1 if cell.kind.atom or cell.spec.draws else 0.05)
        assert (post.std[name] > 0).all()


@pytest.mark.parametrize("way", WAYS)
def test_draws_follow_the_distribution(cell, way):
    post = posterior_of(cell, way)
    draws = sample_of(cell, way).to_numpy()
    assert np.isfinite(draws).all()
    for t, task in enumerate(post.tasks):
        marginal = post.marginal(task.name)
        if cell.spec.intervals_only and not isinstance(marginal, Discrete):
            continue
        of_task = draws[:, :, t]
        at = np.quantile(of_task, np.linspace(0.0, 1.0, 65), axis=0, method="nearest")
        share = (of_task[:, None] <= at).mean(axis=0) - marginal.cdf(at)
        strictly = (of_task[:, None] < at).mean(axis=0) - cdf_below(marginal, at)
        distance = np.maximum(np.abs(share), np.abs(strictly)).max(axis=0)
        assert distance.max() < slack(cell), (task.name, distance.round(3))


@pytest.mark.parametrize("way", ["new rows", "source known"])
def test_probabilities_are_those_of_the_draws(cell, way):
    if not cell.kind.classes:
        pytest.skip("no classes")
    post = posterior_of(cell, way)
    chances = post.probabilities("target")
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-9)
    marginal, n = post.marginal("target"), len(chances)
    for k, name in enumerate(chances.columns):
        share = post.apply(lambda y, name=name: (y["target"] == name).astype(float)).mean
        np.testing.assert_allclose(share, chances[name], atol=slack(cell, 4096))
        np.testing.assert_allclose(marginal.log_density(np.full(n, float(k))), np.log(chances[name]), atol=1e-9)
    if len(chances.columns) == 2 or type(cell.kind.likelihood).__name__ == "Ordinal":
        np.testing.assert_allclose(post.mean["target"], chances.to_numpy() @ np.arange(len(chances.columns)))


FUNCTIONS = {
    "affine": lambda y: 2.0 * y["target"] - y["source"] + 1.0,
    "maximum": lambda y: np.maximum(y["target"], y["source"]),
}


@pytest.mark.parametrize("way", ["new rows", "source known"])
def test_functions_are_distributed_as_those_of_draws(cell, way):
    """The share of ``sample`` below each quantile of ``apply``, and the same of the function's own draws."""
    if cell.kind.classes:
        pytest.skip("functions of numbers")
    post = posterior_of(cell, way)
    sample = sample_of(cell, way)
    tasks = {name: sample.sel(task=name) for name in ("source", "target")}
    tolerance = slack(cell) + KOLMOGOROV / np.sqrt(4096)
    for name, function in FUNCTIONS.items():
        derived = post.apply(function)
        assert np.isfinite(derived.mean).all()
        assert (derived.std > 0).all()
        draws = [function(tasks).to_numpy()] + ([derived.sample(N, seed=6).to_numpy()] if name == "maximum" else [])
        for values in draws:
            for q in LEVELS:
                at = derived.quantile(q).to_numpy()
                share, strictly = (values <= at + 1e-12).mean(axis=0), (values < at - 1e-12).mean(axis=0)
                assert (share > q - tolerance).all(), (name, q, share)
                assert (strictly < q + tolerance).all(), (name, q, strictly)


@pytest.mark.parametrize("way", WAYS)
def test_simple_functions_are_the_posterior_itself(cell, way):
    """One task, an affine function of both and an indicator, within the error of 4096 draws; mixtures of Gaussians exactly."""
    if cell.kind.classes or cell.spec.intervals_only:
        pytest.skip("functions of numbers whose draws are recalibrated")
    post = posterior_of(cell, way)
    exact = post.moments() is not None
    rtol, error = (1e-9, 0.0) if exact else (0.0, 6.0 * (1 / np.sqrt(4096) + 0.5 / np.sqrt(cell.spec.draws or np.inf)))
    both = post.apply(FUNCTIONS["affine"])
    expected = 2.0 * post.mean["target"] - post.mean["source"] + 1.0
    heavy = (
        getattr(cell.kind.likelihood, "dof", 4.0) is None or "power-student" in cell.kind_name or "-t" in cell.kind_name
    )
    if not heavy:
        spread = 2.0 * post.std["target"] + post.std["source"]
        np.testing.assert_array_less(np.abs(both.mean - expected), rtol * expected.abs() + 1e-12 + error * spread)
    middle = post.quantile(0.6)["target"].to_numpy()
    above = post.apply(lambda y: (y["target"] > middle).astype(float)).mean
    chance = 1.0 - post.marginal("target").cdf(middle)
    np.testing.assert_allclose(above, chance, atol=slack(cell, 4096))
