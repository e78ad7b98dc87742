"""The error of the summary of many labels, against dense algebra and against what it must be."""

import numpy as np
import pytest
import torch
from support.summaries import fitted, rough

from bayestl import streams
from bayestl.inference.gaussian.component import Component
from bayestl.inference.gaussian.large import agreement, inducing, neighbours
from bayestl.inference.gaussian.large.component import Summarised


@pytest.fixture
def problem(monkeypatch):
    X, Y = rough(200)
    _, model = fitted(monkeypatch, X, Y)
    (family,) = model.families_
    return family.prior, model._family_data(family)


def error_of(monkeypatch, problem, n_inducing, near, labels=3000):
    monkeypatch.setattr(inducing, "INDUCING", n_inducing)
    monkeypatch.setattr(neighbours, "NEAR", near)
    monkeypatch.setattr(agreement, "LABELS", labels)
    with torch.no_grad():
        component = Summarised.of(*problem)
    return agreement.agreement(component, streams.generator(0, "test"))


def test_the_error_vanishes_where_every_label_is_an_inducing_value(monkeypatch, problem):
    found = error_of(monkeypatch, problem, 1000, 1)
    assert found.labels > 150
    assert found.error.max() < 0.1


def test_the_error_falls_with_more_inducing_values_and_more_near_labels(monkeypatch, problem):
    few, near, many, both = (
        error_of(monkeypatch, problem, m, k).error.max() for m, k in ((10, 1), (10, 15), (80, 1), (80, 15))
    )
    assert few > 0.5
    assert near < 0.7 * few
    assert many < 0.7 * few
    assert both < 0.8 * min(near, many)


def test_the_exact_answer_is_that_of_dense_algebra(monkeypatch, problem):
    found = error_of(monkeypatch, problem, 10, 2, labels=100_000)
    prior, data = problem
    with torch.no_grad():
        component, dense = Summarised.of(prior, data), Component.of(prior, data)
        chosen = np.sort(streams.generator(0, "test").choice(len(data), 50, replace=False))
        at = data.points.at(torch.from_numpy(chosen)).of_functions()
        means, covariances = zip(*(c.within_rows(at) for c in (component, dense)), strict=True)
        v, v_exact = (c.diagonal(dim1=1, dim2=2) for c in covariances)
        expected = ((means[0] - means[1]) ** 2 + v - v_exact).mean(dim=0) / v_exact.mean(dim=0)
    assert found.labels == len(data)
    np.testing.assert_allclose(found.error, expected.clamp_min(0.0).sqrt(), rtol=1e-4)
