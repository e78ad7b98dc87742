import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

import bayestl as btl
from bayestl.kernels.combined import Kernel, build_kernel, from_document, to_document, with_sources
from bayestl.kernels.stationary import KERNELS
from bayestl.priors.processes import Smooth

NAMES = ["a1", "a2", "b"]


def matrix(kernel, x):
    with torch.no_grad():
        return kernel.forward(x, x).numpy()


def test_blocks_sums_and_products_are_what_they_say():
    x = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = matrix(KERNELS["matern52"](2), x[:, :2]), matrix(KERNELS["rbf"](1), x[:, 2:])
    np.testing.assert_allclose(matrix(build_kernel(Kernel("matern52", "a*"), NAMES), x), a)
    product = build_kernel(Kernel("matern52", ["a2", "a1"]) * Kernel("rbf", "b"), NAMES)
    np.testing.assert_allclose(matrix(product, x), a * b)
    total = build_kernel(Kernel("matern52", "a*") + Kernel("rbf", "b"), NAMES)
    with torch.no_grad():
        total.log_weight.copy_(torch.tensor([np.log(3.0), 0.0]))
    np.testing.assert_allclose(matrix(total, x), 0.75 * a + 0.25 * b)
    np.testing.assert_allclose(total.forward(x, x, diag=True).detach().numpy(), 1.0)


def test_sources_have_a_function_of_their_own():
    x = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    both = matrix(with_sources("rbf", ["a1", "a2"], ["b"]), x)
    np.testing.assert_allclose(
        both, 0.5 * matrix(KERNELS["rbf"](1), x[:, 2:]) + 0.5 * matrix(KERNELS["rbf"](3), x), rtol=1e-9
    )
    np.testing.assert_allclose(matrix(with_sources("rbf", NAMES, []), x), matrix(KERNELS["rbf"](3), x))


def test_all_hyperparameters_of_a_composed_kernel_have_priors():
    kernel = (Kernel("rbf", "a*") + Kernel("rational-quadratic", "b")) * Kernel("matern32")
    process = Smooth(build_kernel(kernel, NAMES))
    owned = {id(getattr(owner, prior.stored_as)) for _, owner, prior, _, _ in process.named_priors()}
    assert owned == {id(p) for p in process.parameters()}


def test_a_sum_over_blocks_learns_an_additive_function_better():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-2, 2, (240, 4)), columns=["a1", "a2", "b1", "b2"])
    y = np.sin(2 * X["a1"] * X["a2"]) + np.cos(2 * X["b1"] + X["b2"])
    train, test = slice(0, 120), slice(120, 240)

    def error(kernel):
        model = btl.IndependentGP(kernel=kernel, hyperparameters="map", n_starts=1, verbose=False)
        return (model.fit(X[train], y[train].to_frame("y")).predict(X[test])["y"] - y[test]).abs().mean()

    assert error(Kernel("rbf", "a*") + Kernel("rbf", "b*")) < 0.7 * error("rbf")


@pytest.mark.parametrize(
    "kernel",
    ["rational-quadratic", Kernel("rbf", "p") + Kernel("matern32", ["q"]), Kernel("rbf", "p") * Kernel("rbf", "q")],
)
@pytest.mark.parametrize(
    "model",
    [
        lambda **k: btl.MultiTaskGP(hyperparameters="map", n_starts=1, **k),
        lambda **k: btl.DifferenceGP(hyperparameters="map", n_starts=1, **k),
        lambda **k: btl.ChainGP(inputs=None, hyperparameters="map", **k),
        lambda **k: btl.LatentVariableGP(inference="svi", max_steps=30, n_inducing=10, **k),
    ],
    ids=["multi-task", "difference", "chain", "latent"],
)
def test_every_model_takes_and_keeps_it(two_tasks, tmp_path, model, kernel):
    X, Y = two_tasks
    fitted = model(kernel=kernel, verbose=False).fit(X, Y)
    assert clone(fitted).get_params()["kernel"] == kernel
    fitted.save(tmp_path / "model")
    loaded = btl.load(tmp_path / "model")
    assert loaded.kernel == kernel
    np.testing.assert_allclose(loaded.posterior(X).mean, fitted.posterior(X).mean, rtol=1e-8)


def test_files_hold_descriptions_as_plain_json():
    kernel = (Kernel("rbf", "a*") + Kernel("matern52", ["b"])) * Kernel("rbf")
    assert from_document(json.loads(json.dumps(to_document(kernel)))) == kernel
    for bad in ({"kernel": "rbf"}, {"sum": [], "x": 1}, 3, {"kernel": "no", "columns": None}):
        with pytest.raises(ValueError, match="kernel"):
            from_document(bad)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="must be one of"):
        Kernel("linear")
    with pytest.raises(ValueError, match="no feature is named 'c\\*'; the features are 'a1'"):
        build_kernel(Kernel("rbf", "c*"), NAMES)
    with pytest.raises(ValueError, match="must be one of"):
        build_kernel(3, NAMES)
    with pytest.raises(TypeError):
        Kernel() + "rbf"


@pytest.mark.parametrize(
    ("columns", "pattern", "chosen"),
    [
        (["T [K]", "T K", "T"], "T [K]", [0]),
        (["x?", "xy", "x"], "x?", [0]),
        (["MagpieData a", "b Magpie", "Magpie*"], "Magpie*", [0, 2]),
        (["a.b", "axb"], "a.b", [0]),
    ],
)
def test_only_a_star_stands_for_other_characters(columns, pattern, chosen):
    assert btl.Kernel("rbf", pattern).build(columns).columns.tolist() == chosen
    assert btl.Kernel("rbf", [pattern]).build(columns).columns.tolist() == chosen
