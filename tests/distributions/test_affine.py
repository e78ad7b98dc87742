"""What is affine is proved: on objects that know their slopes, never from values."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayestl as btl
from bayestl.distributions.affine import RowFunction, affine_form

NAMES = ["a", "b c"]
ROWS = np.array([1.0, 2.0, 4.0])
AFFINE = {
    "difference": (lambda y: y["a"] - y["b c"], [0.0] * 3, [[1.0, -1.0]] * 3),
    "attribute": (lambda y: y.a, [0.0] * 3, [[1.0, 0.0]] * 3),
    "numbers": (lambda y: 3 - (2 * y["a"] + y["b c"] / 4 - 1) * np.float64(2.0), [5.0] * 3, [[-4.0, -0.5]] * 3),
    "arrays": (lambda y: ROWS * y["a"] - ROWS, -ROWS, [[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]]),
    "series": (lambda y: pd.Series(ROWS) - y["b c"] / pd.Series(ROWS), ROWS, [[0.0, -1.0], [0.0, -0.5], [0.0, -0.25]]),
    "xarray": (lambda y: y["a"] * xr.DataArray(ROWS, dims="row"), [0.0] * 3, [[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]]),
    "ufuncs": (lambda y: np.subtract(ROWS, np.add(y["a"], -np.negative(y["b c"]))), ROWS, [[-1.0, -1.0]] * 3),
    "sum": (lambda y: sum([y["a"], +y["b c"]]), [0.0] * 3, [[1.0, 1.0]] * 3),
}
OTHER = {
    "comparison": lambda y: y["a"] < -3.0,
    "equality": lambda y: (y["a"] == 1.0) * 1.0,
    "maximum": lambda y: np.maximum(y["a"], 0.0),
    "branch": lambda y: y["a"] if y["a"] > 0 else -y["a"],
    "truth": lambda y: y["a"] if y["a"] else y["b c"],
    "absolute": lambda y: abs(y["a"]),
    "product": lambda y: y["a"] * y["b c"],
    "ratio": lambda y: 1.0 / y["a"],
    "power": lambda y: y["a"] ** 1,
    "method": lambda y: y["a"].clip(0.0),
    "array": lambda y: np.asarray(y["a"]) * 2.0,
    "where": lambda y: np.where(ROWS > 1, y["a"], 0.0),
    "reduction": lambda y: np.add.reduce([y["a"], y["b c"]]),
    "out": lambda y: np.add(y["a"], 1.0, out=np.zeros(3)),
    "dataset": lambda y: y.to_array().sum("variable"),
    "several": lambda y: y[["a", "b c"]],
    "iteration": lambda y: sum(y[name] for name in y),
    "membership": lambda y: y["a"] if "a" in y else y["b c"],
    "constant": lambda y: ROWS,
    "infinite": lambda y: y["a"] / np.array([1.0, 0.0, 1.0]),
    "another shape": lambda y: y["a"] + np.ones((5, 3)),
    "another dimension": lambda y: y["a"] + xr.DataArray(ROWS, dims="sample"),
    "an error": lambda y: y["nothing"],
    "a float": lambda y: float(y["a"]),
}


def swallowing(y):
    """A function that goes on after an error must not pass for the affine one of its last line."""
    try:
        return np.maximum(y["a"], 0.0)
    except Exception:
        return y["a"]


@pytest.mark.parametrize("name", AFFINE)
def test_affine_functions_know_their_constant_and_slopes(name):
    function, constant, slope = AFFINE[name]
    found = affine_form(function, NAMES, 3)
    assert found is not None
    np.testing.assert_allclose(found[0], constant)
    np.testing.assert_allclose(found[1], slope)
    draws = np.random.default_rng(0).standard_normal((5, 3, 2))
    dataset = xr.Dataset({n: (("sample", "row"), draws[:, :, i]) for i, n in enumerate(NAMES)})
    by_slopes = found[0] + np.einsum("knt,nt->kn", draws, found[1])
    np.testing.assert_allclose(RowFunction.of(function, NAMES, 3)(dataset), by_slopes, rtol=1e-12)
    if name != "series":  # which xarray does not take
        np.testing.assert_allclose(function(dataset), by_slopes, rtol=1e-12)


@pytest.mark.parametrize("function", [*OTHER.values(), swallowing], ids=[*OTHER, "swallowing"])
def test_whatever_else_is_done_is_not_affine(function):
    assert affine_form(function, NAMES, 3) is None


def test_rare_events_and_limits_are_seen():
    """Sixteen draws saw no difference between an indicator of a rare event and zero."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.uniform(-1, 1, 30)})
    Y = pd.DataFrame({"y": X["x"] + 0.2 * rng.standard_normal(30)})
    post = btl.IndependentGP(n_starts=1, hyperparameters="map", verbose=False).fit(X, Y).posterior(X.iloc[:5])
    mean, sd = post.mean["y"].to_numpy(), post.std["y"].to_numpy()
    rare = post.apply(lambda y: (y["y"] < mean - 2 * sd).astype(float)).mean
    np.testing.assert_allclose(rare, 0.0228, atol=5 * np.sqrt(0.0228 / 4096))
    cut = mean - 2.5 * sd
    assert (post.apply(lambda y: np.maximum(y["y"], cut)).quantile(0.001) >= cut - 1e-12).all()
    exact = post.apply(lambda y: 2 * y["y"] - 1)
    np.testing.assert_allclose(exact.std, 2 * sd, rtol=1e-12)
    with pytest.raises(ValueError, match="one value per sample and row"):
        post.apply(lambda y: 3.0)


def test_numbers_of_other_rows_are_refused():

    x = pd.DataFrame({"x": np.linspace(0, 1, 8)}, list("abcdefgh"))
    post = btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False).fit(x, x["x"].rename("y")).posterior(x)
    shift = pd.Series(np.arange(8.0), x.index)
    plain = post.apply(lambda y: y["y"] + shift.to_numpy()).mean
    np.testing.assert_allclose(post.apply(lambda y: y["y"] + shift).mean, plain)
    np.testing.assert_allclose(post.apply(lambda y: y["y"] + shift.reset_index(drop=True)).mean, plain)
    for other in (shift.iloc[::-1], shift.set_axis(list("ijklmnop")), shift.iloc[::-1].to_xarray().rename(index="row")):
        with pytest.raises(ValueError, match="the Series in the function has"):
            post.apply(lambda y: y["y"] + other)  # noqa: B023
