"""Explicit latent variables: the density behind the sampler, and both posteriors against closed forms."""

import numpy as np
import pandas as pd
import pytest
import torch
from benchmarks.agreement import reference

import bayestl as btl
from bayestl.inference.chains.hmc import Evaluated, vectorised_chains
from bayestl.inference.svi.elbo import log_weights, maximise_elbo, pareto_k
from bayestl.models.latent.ancestral import latent_draws
from bayestl.models.latent.by_chains import WARMUP
from bayestl.models.latent.by_svi import Guide
from bayestl.models.latent.density import CollapsedDensity

N = 16
X = np.random.default_rng(0).uniform(-1.5, 1.5, (N, 2))
SOURCE = np.sin(2 * X[:, 0]) + 0.3 * X[:, 1]


def three_tasks():
    """A Gaussian source, a Gaussian task that follows it, a class that follows both; each with gaps."""
    error = np.random.default_rng(1).standard_normal((2, N))
    Y = pd.DataFrame(
        {"a": SOURCE + 0.05 * error[0], "b": 1 + 2 * SOURCE + 0.1 * error[1], "c": np.where(SOURCE > 0, "up", "down")}
    )
    Y.loc[:3, "a"] = np.nan
    Y.loc[8:11, "b"] = np.nan
    Y.loc[14:, "c"] = None
    return Y


@pytest.fixture(scope="module")
def started():
    """A model after one step of the optimiser, for its graph."""
    model = btl.LatentVariableGP({"b": ["a"], "c": ["a", "b"]}, inference="svi", max_steps=1, verbose=False)
    return model.fit(X, three_tasks())


def value_and_gradient(density, w):
    """Log density at one point and its gradient."""
    found = density.at(w[None])
    return float(found.likelihood[0] + found.prior[0]), density.gradients(w[None])[0]


def test_the_gradient_of_the_density_is_that_of_its_value(started):
    density = CollapsedDensity(started.posterior_.graph)
    w = density.start() + 0.1 * np.random.default_rng(1).standard_normal(len(density.start()))
    _, gradient = value_and_gradient(density, w)
    for i in np.random.default_rng(2).permutation(len(w))[:12]:
        step = np.zeros_like(w)
        step[i] = 1e-5
        slope = (value_and_gradient(density, w + step)[0] - value_and_gradient(density, w - step)[0]) / 2e-5
        assert gradient[i] == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_many_points_at_once_have_the_densities_of_each(started):
    density = CollapsedDensity(started.posterior_.graph)
    points = density.start() + 0.1 * np.random.default_rng(1).standard_normal((5, len(density.start())))
    points[2, : density.n_hyperparameters] = 400.0  # scales overflow: no density, and the others are not touched
    found = density.at(points)
    assert np.isneginf(found.likelihood).tolist() == [False, False, True, False, False]
    for s in (0, 1, 3, 4):
        value, gradient = value_and_gradient(density, points[s])
        assert found.likelihood[s] + found.prior[s] == pytest.approx(value, rel=1e-10)
        assert found.slope_likelihood[s] + found.slope_prior[s] == pytest.approx(gradient, rel=1e-8, abs=1e-9)
    assert not found.slope_likelihood[2].any()


def chain_of_two(amplitude):
    """A graph b | a with a nearly linear edge: its posterior is then Gaussian and known."""
    Y = three_tasks()[["a", "b"]]
    model = btl.LatentVariableGP({"b": ["a"]}, inference="svi", max_steps=1, verbose=False).fit(X, Y)
    graph = model.posterior_.graph
    with torch.no_grad():
        graph.nodes[1].raw_amplitude.fill_(np.log(amplitude))
        for node in graph.nodes:
            node.raw_sigma.fill_(np.log(0.1))
            node.raw_omega.fill_(np.log(0.05))
    return model, graph


def closed_form(graph):
    """Mean and covariance of (a, b) of all rows given the labels, by dense linear algebra."""
    a, b = graph.nodes
    with torch.no_grad():
        n = len(graph.x)
        eye = np.eye(n)
        k = float(a.raw_amplitude.exp()) ** 2 * a.unit_covariance(graph.x).numpy() + 0.05**2 * eye
        rho = float(b.rho)
        prior = np.block([[k, rho * k], [rho * k, rho**2 * k + 0.05**2 * eye]])
        mean = np.concatenate([np.full(n, float(a.mean)), np.full(n, float(b.mean) + rho * float(a.mean))])
    labels = [d.block.y.numpy() for d in graph.data]
    y = np.concatenate(labels)
    there = np.isfinite(y)
    gain = prior[:, there] @ np.linalg.inv(prior[np.ix_(there, there)] + 0.1**2 * np.eye(there.sum()))
    return mean + gain @ (y - mean)[there], prior - gain @ prior[there]


def test_the_chain_agrees_with_the_closed_form_of_a_linear_edge():
    _, graph = chain_of_two(1e-4)
    mean, covariance = closed_form(graph)
    draws = latent_draws(reference(graph, 800, 0, verbose=False), 800, 0)
    flat = np.concatenate([draws[:, :, 0], draws[:, :, 1]], axis=1)
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(flat.mean(axis=0) - mean) / sd).max() < 0.15
    assert np.abs(flat.std(axis=0) / sd - 1).max() < 0.15
    n = len(graph.x)
    both = np.array([np.corrcoef(flat[:, i], flat[:, n + i])[0, 1] for i in range(n)])
    truth = covariance[np.arange(n), n + np.arange(n)] / (sd[:n] * sd[n:])
    assert np.abs(both - truth).max() < 0.15


def test_the_guide_agrees_with_the_closed_form_of_a_linear_edge():
    model, graph = chain_of_two(1e-3)
    guide = model.posterior_.requires_grad_(True)
    maximise_elbo(graph.model, guide.program, guide.parameters(), scale=graph.n_labels, steps=1000)
    guide.requires_grad_(False)
    mean, covariance = closed_form(graph)
    draws = latent_draws(guide, 4000, 0)
    informed = np.concatenate([graph.rows[0].numpy(), N + graph.rows[1].numpy()])
    flat = np.concatenate([draws[:, :, 0], draws[:, :, 1]], axis=1)[:, informed]
    assert pareto_k(log_weights(graph.model, guide.program, 1000, 0)) < 0.7
    sd = np.sqrt(np.diag(covariance))[informed]
    assert (np.abs(flat.mean(axis=0) - mean[informed]) / sd < 0.15).mean() >= 0.95
    assert (np.abs(flat.std(axis=0) / sd - 1) < 0.15).mean() >= 0.95


def test_without_edges_the_density_is_the_evidence_of_a_process():
    Y = three_tasks()[["b"]]
    graph = btl.LatentVariableGP({}, inference="svi", max_steps=1, verbose=False).fit(X, Y).posterior_.graph
    density = CollapsedDensity(graph, vary=False)
    node, labels = graph.nodes[0], graph.data[0].block.y.numpy()
    there = np.isfinite(labels)
    with torch.no_grad():
        k = float(node.raw_amplitude.exp()) ** 2 * node.unit_covariance(graph.x[there]).numpy()
        noise = float((2 * node.raw_sigma).exp()) + float((2 * node.raw_omega).exp())
        centred = labels[there] - float(node.mean)
    k = k + noise * np.eye(there.sum())
    evidence = -0.5 * centred @ np.linalg.solve(k, centred) - 0.5 * np.linalg.slogdet(k)[1]
    assert density.n_latent == 0
    assert value_and_gradient(density, density.start())[0] == pytest.approx(evidence, rel=1e-9)


@pytest.mark.slow
def test_a_chain_is_saved_and_repeats_from_its_seed(tmp_path):
    Y = three_tasks()
    make = lambda: btl.LatentVariableGP({"b": ["a"], "c": ["b"]}, inference="mcmc", n_draws=40, verbose=False)  # noqa: E731
    model = make().fit(X, Y)
    post = model.posterior(X[:5])
    pd.testing.assert_frame_equal(make().fit(X, Y).posterior(X[:5]).mean, post.mean)
    model.save(tmp_path / "model")
    loaded = btl.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.posterior(X[:5]).mean, post.mean)
    assert isinstance(model.posterior_.graph, type(loaded.posterior_.graph))
    assert loaded.report_.message == model.report_.message
    assert np.abs(post.mean["b"] - Y["b"].iloc[:5]).mean() < 0.3
    assert model.edges().loc[("b", "a"), "slope"] == pytest.approx(2.0, abs=0.4)
    unknown = model.posterior(X[8:12] + 0.5)
    known = model.posterior(X[8:12] + 0.5, observed=unknown.mean[["a"]])  # as expected: a surprise widens
    assert known.std["b"].mean() < unknown.std["b"].mean()


class Normal:
    """A normal density, half of which counts as the likelihood."""

    def __init__(self, covariance):
        self.precision = np.linalg.inv(covariance)

    def at(self, points):
        slope = -0.5 * points @ self.precision
        value = 0.5 * (slope * points).sum(axis=1)
        return Evaluated(value, value, slope, slope)


def test_chains_that_do_not_settle_are_told_of():
    # one narrow direction keeps the steps short, so that the way along the other one takes too long
    ridge = Normal(np.diag([1e2, 1e-4]))
    _, report = vectorised_chains(ridge, np.array([1000.0, 0.0]), np.eye(2), 80, 0, warmup=40, chains=2)
    with pytest.warns(RuntimeWarning, match="the chains have not converged"):
        report.warn_unless_converged()
    assert not report.converged


@pytest.mark.parametrize("learn", [None, 1, 2])
def test_draws_of_a_normal_have_its_moments(learn):
    root = np.array([[2.0, 0.0], [1.5, 0.5]])
    given = root if learn is None else np.eye(2)  # what is not given is learnt
    density = Normal(root @ root.T)
    common = {"warmup": WARMUP, "chains": 4, "learn": learn}  # after 80 states one seed in twelve still has long steps
    draws, report = vectorised_chains(density, np.array([1.0, 1.0]), given, 500, 0, **common)
    assert report.converged
    assert report.effective > 400
    assert np.abs(draws.mean(axis=0) / np.sqrt(np.diag(root @ root.T))).max() < 0.12
    assert np.abs(np.cov(draws.T) - root @ root.T).max() < 0.6
    again, _ = vectorised_chains(density, np.array([1.0, 1.0]), given, 500, 0, **common)
    assert np.array_equal(draws, again)


def test_pareto_k_tells_a_narrow_guide_from_a_wide_one():
    x = np.random.default_rng(0).standard_normal(4000)
    narrow, wide = 0.4, 2.0  # q = N(0, s^2) for p = N(0, 1); the weights of a narrow guide have a tail of shape 1 - s^2
    assert pareto_k(-0.5 * (narrow * x) ** 2 + 0.5 * x**2) == pytest.approx(1 - narrow**2, abs=0.25)
    assert pareto_k(-0.5 * (wide * x) ** 2 + 0.5 * x**2) < 0.3
    assert pareto_k(np.full(1000, -3.0)) == 0.0
    assert pareto_k(300.0 * x) > 10.0
    assert pareto_k(1e5 * x) == np.inf
    assert pareto_k(np.where(np.arange(1000) < 2, 0.0, -1e4)) == np.inf


def test_an_unknown_inference_is_refused():
    with pytest.raises(ValueError, match="inference must be one of"):
        btl.LatentVariableGP(inference="laplace", verbose=False).fit(X, three_tasks()[["a", "b"]])


def test_the_guide_has_no_parameters_of_the_graph(started):
    guide = started.posterior_
    assert isinstance(guide, Guide)
    own = {id(p) for p in guide.parameters()}
    assert not own & {id(p) for p in guide.graph.parameters()}


def test_known_labels_weigh_new_rows_as_the_closed_form_does():
    """An edge that is a line: the labels of a new row then have a joint normal distribution, by which its other task follows."""
    model, graph = chain_of_two(1e-4)
    model.n_draws = 2000
    x = graph.x[:1] + 0.7
    guide = model.posterior_
    (kept,) = guide.functions(2000, 0)
    with torch.no_grad():
        a, b = graph.nodes
        mean_a, var_a = a.conditional(x, {}, kept.u[0])
        mean_b, var_b = b.conditional(x, {0: mean_a}, kept.u[1])
        noise = 0.1**2
        rho = float(b.rho)
        spread = float(mean_a.var()) + float(var_a.mean())  # of a, over functions and within
        total = rho**2 * spread + float(mean_b.sub(rho * mean_a).var()) + float(var_b.mean()) + noise
        label = float(mean_b.mean()) + np.sqrt(total)
        expected = float(mean_a.mean()) + rho * spread / np.sqrt(total)
    location, scale = model.scaler_.y_mean, model.scaler_.y_scale
    raw = (x.numpy() * model.scaler_.x_scale) + model.scaler_.x_mean
    post = model.posterior(raw, observed=pd.DataFrame({"b": [location[1] + scale[1] * label]}), noise=False)
    found = (float(post.mean["a"][0]) - location[0]) / scale[0]
    assert found == pytest.approx(expected, abs=0.1 * np.sqrt(spread))
    assert abs(expected - float(mean_a.mean())) > 0.5 * np.sqrt(spread)


@pytest.mark.slow
def test_of_several_starts_the_highest_bound_goes_on():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (30, 1))
    Y = pd.DataFrame({"a": np.sin(2 * X[:, 0]), "b": np.sin(2 * X[:, 0]) ** 2})
    common = {"graph": {"b": ["a"]}, "inference": "svi", "max_steps": 120, "n_inducing": 8, "verbose": False}
    one, three = (btl.LatentVariableGP(n_starts=k, **common).fit(X, Y) for k in (1, 3))
    first = [m.report_.elbo[20:120].mean() for m in (one, three)]  # the last 100 before the guide goes on alone
    assert first[1] >= first[0]
    again = btl.LatentVariableGP(n_starts=3, **common).fit(X, Y)
    np.testing.assert_allclose(again.report_.elbo, three.report_.elbo)
    with pytest.raises(ValueError, match="n_starts must be a positive integer"):
        btl.LatentVariableGP(n_starts=0, **common).fit(X, Y)


@pytest.mark.slow
def test_minibatches_find_what_all_rows_find():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (120, 1))
    f = np.sin(2 * X[:, 0])
    Y = pd.DataFrame({"a": f, "b": 1.5 * f + 0.5}) + 0.05 * rng.standard_normal((120, 2))
    Y.loc[60:, "b"] = np.nan
    common = {"graph": {"b": ["a"]}, "inference": "svi", "n_inducing": 15, "max_steps": 800, "verbose": False}
    part = btl.LatentVariableGP(batch_size=40, **common).fit(X, Y)
    new = np.linspace(-1.8, 1.8, 30)[:, None]
    error = part.posterior(new).mean["b"] - (1.5 * np.sin(2 * new[:, 0]) + 0.5)
    assert np.sqrt((error**2).mean()) < 0.15
    assert part.edges().loc[("b", "a"), "slope"] == pytest.approx(1.5, abs=0.2)
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        btl.LatentVariableGP(batch_size=0, **common).fit(X, Y)


def test_the_bound_of_some_rows_is_that_of_all_on_average():
    from pyro.infer import Trace_ELBO

    from bayestl.inference.svi.elbo import alone_with_pyro
    from bayestl.models.latent.by_svi import Minibatches

    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (30, 1))
    Y = pd.DataFrame({"a": np.sin(X[:, 0]), "b": np.cos(X[:, 0])})
    Y.loc[::3, "b"] = np.nan
    model = btl.LatentVariableGP(graph={"b": ["a"]}, inference="svi", n_inducing=8, max_steps=60, verbose=False).fit(
        X, Y
    )
    guide = model.posterior_
    elbo = Trace_ELBO(num_particles=8, vectorize_particles=True, max_plate_nesting=1)
    some = Minibatches(guide, 10, 0)
    generator = torch.Generator().manual_seed(0)
    with alone_with_pyro():
        every = np.array([-elbo.loss(guide.graph.model, lambda: guide.program(generator)) for _ in range(60)])
        parts = np.array([-elbo.loss(some.model, lambda: some.program(generator)) for _ in range(600)])
    error = np.hypot(every.std() / np.sqrt(60), parts.std() / np.sqrt(600))
    assert parts.mean() == pytest.approx(every.mean(), abs=4 * error)
