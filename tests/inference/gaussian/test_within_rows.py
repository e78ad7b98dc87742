"""Moments of all functions of a row, from few triangular solves, against those of dense algebra."""

import numpy as np
import pandas as pd
import pytest
import torch

import bayestl as btl
from bayestl.inference.gaussian.condition import component_of
from bayestl.inference.gaussian.table_labels import training_data
from bayestl.inference.gaussian.within_rows import begins, late
from bayestl.priors.processes import Points
from bayestl.priors.vector import get_raw, set_raw
from bayestl.table.scaler import Scaler
from bayestl.table.table import build_table

MODELS = {
    "levels in order": btl.DifferenceGP(levels=["a", "b", "c"]),
    "levels in reverse": btl.DifferenceGP(levels=["c", "b", "a"]),
    "levels in another order": btl.DifferenceGP(levels=["b", "c", "a"]),
    "shared functions": btl.MultiTaskGP(n_latent=2),
    "independent": btl.IndependentGP(),
    "sum of kernels": btl.DifferenceGP(
        levels=["a", "c", "b"], kernel=btl.Kernel("matern32", ["p"]) + btl.Kernel("rbf")
    ),
    "sparse kernel": btl.MultiTaskGP(kernel="sparse-rbf"),
}


def table(groups, n=40):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-2, 2, (n, 2)), columns=["p", "q"])
    Y = pd.DataFrame(rng.standard_normal((n, 3)), columns=list("abc"))
    Y.loc[rng.permutation(n)[:15], "a"] = np.nan
    Y.loc[rng.permutation(n)[:25], "b"] = np.nan
    return build_table(X, Y, groups=rng.choice(["u", "v"], n) if groups else None)


def component(model, groups, rho=None):
    """A component at random hyperparameters, and rows: some of the table, some new, some in no group."""
    data_table = table(groups)
    scaler = Scaler.of(data_table)
    parts = model._families(data_table)[0]
    x = scaler.features(data_table.x)
    prior = model._prior(data_table, scaler, parts, data_table.features)
    set_raw(prior, get_raw(prior) + 0.5 * np.random.default_rng(1).standard_normal(len(get_raw(prior))))
    if rho is not None:
        with torch.no_grad():
            prior.mixing.rho.copy_(torch.tensor(rho))
    data = training_data(data_table, scaler, parts, x)
    row = np.array([0, 3, 7, 50, 51, 52, -1])
    new = np.random.default_rng(2).standard_normal((7, 2))
    new[:3] = x[row[:3]]
    group = np.array([0, 1, 0, 1, -1, 0, -1]) if groups else np.full(7, -1)
    at = Points(*map(torch.from_numpy, (new, np.zeros(7, dtype=int), group, row)))
    return component_of(prior, data), at, data


@torch.no_grad()
def compare(c, at):
    """Each row alone by dense algebra, the rows together by few solves."""
    mean, covariance = c.within_rows(at)
    for i in range(len(at.x)):
        alone, spread = c.of_rows(at.at(slice(i, i + 1)))
        torch.testing.assert_close(mean[i], alone, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(covariance[i], spread, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("groups", [False, True], ids=["no groups", "groups"])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_functions_of_rows_are_those_of_dense_algebra(model, groups):
    with torch.no_grad():
        c, at, data = component(model, groups)
        compare(c, at)
        more, _ = c.extended(
            data.at(torch.tensor([1, len(data) // 2, len(data) - 1]))
        )  # later labels are not sorted by task
    compare(more, at)


@pytest.mark.parametrize("rho", [[0.0, 1.0], [1e-9, -1.0], [2.0, 50.0], [-1.0, 0.0]])
@pytest.mark.parametrize("levels", [["a", "b", "c"], ["c", "b", "a"]])
@torch.no_grad()
def test_any_slope_between_levels(levels, rho):
    compare(*component(btl.DifferenceGP(levels=levels), False, rho)[:2])


@pytest.mark.parametrize("seed", range(20))
def test_late_functions_mix_to_all(seed):
    rng = np.random.default_rng(seed)
    n_tasks, n_processes, n = rng.integers(1, 5), rng.integers(1, 7), 10
    weights = torch.from_numpy(rng.standard_normal((n_tasks, n_processes)) * (rng.random((n_tasks, n_processes)) < 0.6))
    for t in range(1, n_tasks):
        weights[t] += float(rng.choice([0.0, 0.7])) * weights[t - 1]
    first = torch.from_numpy(rng.choice([0, 3, 6, n], n_processes))
    mixing, basis = late(weights, first, n)
    torch.testing.assert_close(mixing @ basis, weights, rtol=1e-10, atol=1e-10)
    assert all(begins(b, first, n) >= begins(w, first, n) for b, w in zip(basis, weights, strict=True))


@torch.no_grad()
def test_a_level_costs_its_own_labels_only():
    c, _, data = component(btl.DifferenceGP(levels=["a", "b", "c"]), False)
    task = data.points.task.numpy()
    assert sorted(c._functions.groups) == [int(np.argmax(task == t)) for t in range(3)]
