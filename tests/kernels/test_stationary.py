"""Stationary kernels against their formulas."""

import numpy as np
import pytest
import torch

from bayestl.kernels.stationary import KERNELS, Sparse


@pytest.fixture(autouse=True)
def seeded():
    """The points are torch's random numbers: the same ones whatever ran before."""
    torch.manual_seed(0)


FORMULAS = {
    "rbf": lambda r: np.exp(-0.5 * r**2),
    "matern32": lambda r: (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r),
    "matern52": lambda r: (1 + np.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5) * r),
    "exponential": lambda r: np.exp(-r),
    "rational-quadratic": lambda r: 1 / (1 + 0.5 * r**2),
}


def logarithms(kernel):
    """What sets the features' length scales one by one, and all together."""
    if isinstance(kernel, Sparse):
        return kernel.raw_lambda, kernel.raw_tau
    return kernel.log_relative, kernel.log_shared


@pytest.mark.parametrize("name", KERNELS)
def test_stationary_kernels_are_their_formulas(name):
    kernel = KERNELS[name](3)
    with torch.no_grad():
        logarithms(kernel)[0].copy_(torch.tensor([0.3, -0.5, 1.0]))
        x, y = torch.randn(7, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
        scale = kernel.lengthscale.numpy()
        r = np.sqrt((((x.numpy()[:, None] - y.numpy()[None]) / scale) ** 2).sum(-1))
        np.testing.assert_allclose(kernel.forward(x, y).numpy(), FORMULAS[name.removeprefix("sparse-")](r), rtol=1e-6)
        np.testing.assert_allclose(
            kernel(x, y).to_dense().numpy(), FORMULAS[name.removeprefix("sparse-")](r), rtol=1e-6
        )
        np.testing.assert_allclose(kernel.forward(x, x).diagonal().numpy(), 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", ["rbf", "matern32", "matern52", "rational-quadratic"])
def test_gradients_are_those_of_finite_differences(name):
    kernel = KERNELS[name](2)
    x, y = torch.randn(6, 2, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    weights = torch.randn(6, 4, dtype=torch.float64)

    def value(relative):
        with torch.no_grad():
            logarithms(kernel)[0].copy_(relative)
        return (kernel.forward(x, y) * weights).sum()

    at = torch.tensor([0.2, -0.4], dtype=torch.float64)
    value(at).backward()
    gradient = logarithms(kernel)[0].grad.clone()
    for j in range(2):
        shift = torch.zeros(2, dtype=torch.float64)
        shift[j] = 1e-5
        numeric = (value(at + shift) - value(at - shift)) / 2e-5
        assert gradient[j].item() == pytest.approx(numeric.item(), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", KERNELS)
def test_equal_points_stay_equal_however_short_the_length_scales(name):
    """Rounding of squared distances once made them differ, and left optimisers and chains on a cliff."""
    kernel = KERNELS[name](5)
    x = 3.0 + torch.randn(60, 5, dtype=torch.float64)
    with torch.no_grad():
        for raw in logarithms(kernel):
            raw.fill_(24.0 if isinstance(kernel, Sparse) else -12.0)
    value = kernel.forward(x, x.clone())
    np.testing.assert_allclose(value.detach().diagonal().numpy(), 1.0, atol=1e-3 if name == "exponential" else 1e-7)
    value.sum().backward()
    assert abs(logarithms(kernel)[1].grad.item()) < 1e-3
