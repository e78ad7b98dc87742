"""The BoTorch form of a model: the same numbers, and BoTorch's own tools work on it."""

import numpy as np
import pandas as pd
import pytest
import torch

import bayestl as btl
from bayestl.active.botorch import as_botorch
from bayestl.table.measured import Measured

botorch = pytest.importorskip("botorch")
D = torch.double


@pytest.fixture(autouse=True)
def seeded():
    """Points are torch's random numbers, and BoTorch's optimisers start from some: the same ones whatever ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (30, 3))
    f = np.sin(3 * X[:, 0])
    Y = np.column_stack([f, 1.2 * f + X[:, 1] + 0.5]) + 0.05 * rng.standard_normal((30, 2))
    Y[15:, 1] = np.nan
    return X, Y


def fitted(table, kind=btl.MultiTaskGP, groups=None, **kwargs):
    return kind(hyperparameters="map", n_starts=1, verbose=False, **kwargs).fit(*table, groups=groups)


@pytest.mark.parametrize("kind", [btl.MultiTaskGP, btl.DifferenceGP, btl.IndependentGP])
@pytest.mark.parametrize("grouped", [False, True])
def test_it_predicts_what_the_model_predicts(table, kind, grouped):
    model = fitted(table, kind, groups=["a", "b"] * 15 if grouped else None)
    own = as_botorch(model)
    X = torch.rand(4, 2, 3, dtype=D)
    post = own.posterior(X, observation_noise=True)
    expected = model.posterior(X.reshape(-1, 3).numpy())
    np.testing.assert_allclose(post.mean.reshape(-1, 2).numpy(), expected.mean, atol=1e-9)
    np.testing.assert_allclose(post.variance.sqrt().reshape(-1, 2).numpy(), expected.std, atol=1e-7)
    assert own.num_outputs == 2
    assert own.posterior(X, output_indices=[1]).mean.shape == (4, 2, 1)


def test_points_of_a_batch_covary_as_joint_draws_do(table):
    model = fitted(table)
    X = torch.rand(1, 3, 3, dtype=D)
    covariance = as_botorch(model).posterior(X).distribution.covariance_matrix[0].numpy()
    draws = model.posterior(X[0].numpy(), noise=False).sample(40_000, seed=0).to_numpy().reshape(40_000, -1)
    np.testing.assert_allclose(covariance, np.cov(draws.T), atol=0.03 * covariance.diagonal().max())


def test_a_function_of_tasks_is_one_output(table):
    model = fitted(table)
    own = as_botorch(model, "y1 - 2 * y0")
    X = torch.rand(5, 1, 3, dtype=D)
    post = own.posterior(X)
    expected = model.posterior(X[:, 0].numpy(), noise=False).apply(lambda y: y["y1"] - 2 * y["y0"])
    np.testing.assert_allclose(post.mean[:, 0, 0].numpy(), expected.mean, atol=1e-9)
    np.testing.assert_allclose(post.variance[:, 0, 0].sqrt().numpy(), expected.std, atol=1e-6)


def test_fantasies_are_exact_conditioning(table):
    model = fitted(table)
    x, y = torch.rand(1, 3, dtype=D), torch.tensor([[0.7, 0.2]], dtype=D)
    after = as_botorch(model).condition_on_observations(x, y)
    new = torch.rand(5, 3, dtype=D)
    family = model.families_[0]
    posterior = model._posterior_with(family, model._rows(x.numpy())._replace(further=Measured.of(y.numpy())))
    scaled = torch.from_numpy(model.scaler_.features(new.numpy()))
    means, covariances = posterior.at(scaled, torch.full((5,), -1), 100 + torch.arange(5)).moments()
    np.testing.assert_allclose(after.posterior(new).mean.numpy(), model.scaler_.label_units(means[0]), atol=1e-8)
    sd = np.sqrt(np.einsum("nii->ni", covariances[0])) * model.scaler_.y_scale
    np.testing.assert_allclose(after.posterior(new).variance.sqrt().numpy(), sd, atol=1e-6)
    # twice, one after the other, is both together
    other = torch.rand(1, 3, dtype=D)
    one = after.condition_on_observations(other, y + 0.1)
    both = as_botorch(model).condition_on_observations(torch.cat([x, other]), torch.cat([y, y + 0.1]))
    np.testing.assert_allclose(one.posterior(new).mean.numpy(), both.posterior(new).mean.numpy(), atol=1e-9)


def test_gradients_reach_the_features(table):
    own = as_botorch(fitted(table))
    X = torch.rand(4, 2, 3, dtype=D).requires_grad_(True)

    def value(x):
        post = own.posterior(x)
        return (post.mean[..., 1] + post.variance[..., 0]).sum()

    (gradient,) = torch.autograd.grad(value(X), X)
    step = torch.zeros_like(X)
    step[2, 1, 0] = 1e-5
    with torch.no_grad():
        slope = (value(X + step) - value(X - step)) / 2e-5
    assert gradient[2, 1, 0].item() == pytest.approx(slope.item(), rel=1e-4)


def test_acquisition_functions_and_optimisers_accept_it(table):
    from botorch.acquisition import LogExpectedImprovement, qKnowledgeGradient, qLogNoisyExpectedImprovement
    from botorch.acquisition.max_value_entropy_search import qMaxValueEntropy
    from botorch.optim import optimize_acqf

    own = as_botorch(fitted(table), "y1")
    bounds = torch.tensor([[-1.0] * 3, [1.0] * 3], dtype=D)
    best = float(np.nanmax(table[1][:, 1]))
    candidates = torch.rand(60, 3, dtype=D)
    for function in (
        LogExpectedImprovement(own, best_f=best),
        qLogNoisyExpectedImprovement(own, own.train_inputs[0], cache_root=False),
        qMaxValueEntropy(own, candidates),
        qKnowledgeGradient(own, num_fantasies=4),
    ):
        x, value = optimize_acqf(function, bounds, q=1, num_restarts=2, raw_samples=8)
        assert x.shape == (1, 3)
        assert torch.isfinite(value)


def test_what_has_no_botorch_form_says_so(table):
    X, Y = table
    labels = np.where(Y[:, 0] > 0, "a", "b")
    model = btl.IndependentGP(hyperparameters="map", verbose=False).fit(X, labels)
    with pytest.raises(ValueError, match="has Bernoulli labels"):
        as_botorch(model)
    with pytest.raises(ValueError, match="no task 'y7'"):
        as_botorch(fitted(table), ["y7"])
    with pytest.raises(ValueError, match="not linear"):
        as_botorch(fitted(table), "y0 * y1")
    chain = btl.ChainGP(inputs=None, verbose=False).fit(X, Y)
    with pytest.raises(ValueError, match="ChainGP has no BoTorch form"):
        as_botorch(chain)


def test_many_labels_are_summarised_as_in_the_model(monkeypatch):
    from bayestl.inference.gaussian.large import inducing

    monkeypatch.setattr(inducing, "FULL_LABELS", 50)
    monkeypatch.setattr(inducing, "INDUCING", 20)
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-2, 2, (60, 2)), columns=["p", "q"])
    f = np.sin(4 * X["p"]) * np.cos(3 * X["q"])
    Y = pd.DataFrame({"a": f + 0.05 * rng.standard_normal(60), "b": 1.2 * f + 0.1 * rng.standard_normal(60)})
    for mode in ("map", "laplace"):
        model = btl.MultiTaskGP(hyperparameters=mode, n_starts=1, verbose=False).fit(X, Y)
        assert not model.families_[0].posterior.full
        new = np.concatenate([X.to_numpy()[:5], rng.uniform(-2, 2, (5, 2))])
        x = torch.from_numpy(new).requires_grad_(True)
        post = as_botorch(model).posterior(x)
        if mode == "map":
            exact = model.posterior(pd.DataFrame(new, columns=["p", "q"], index=[*X.index[:5], *"vwxyz"]), noise=False)
            np.testing.assert_allclose(post.mean.detach(), exact.mean, atol=1e-6)
            np.testing.assert_allclose(post.variance.detach() ** 0.5, exact.std, atol=1e-4)
        alone = as_botorch(model).posterior(x[:, None])
        np.testing.assert_allclose(alone.mean.detach()[:, 0], post.mean.detach(), atol=1e-6)
        (slope,) = torch.autograd.grad(post.mean[7, 0], x)
        step = torch.zeros_like(x)
        step[7, 0] = 1e-5
        ends = [as_botorch(model).posterior((x + s * step).detach()).mean[7, 0] for s in (1, -1)]
        assert float(slope[7, 0]) == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=1e-4)
