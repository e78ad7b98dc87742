"""The Laplace approximation of the hyperparameters."""

import numpy as np
import pytest
import torch
from support.priors import sine_labels, single_task_prior

from bayestl.inference.gaussian import laplace, maximise
from bayestl.inference.gaussian.labels import Labels, log_posteriors
from bayestl.inference.gaussian.laplace import counted_subset, laplace_covariance
from bayestl.models.exact import hyperparameters
from bayestl.models.exact.hyperparameters import mode_for
from bayestl.priors.vector import get_raw


@pytest.fixture(scope="module")
def fitted():
    """A prior at its maximum for 240 labels, and the labels."""
    prior, labels = single_task_prior(), sine_labels(240)
    maximise.fit(prior, labels, n_starts=1, tolerance=1e-7)
    return prior, labels


def test_curvature_is_that_of_the_density(fitted):
    prior, labels = fitted
    raw, step = get_raw(prior), 0.02
    shifts = step * np.eye(len(raw))
    corners = [a + b for a in shifts for b in shifts]
    values = [log_posteriors(prior, labels, raw + sign * np.array([c]))[0][0] for c in corners for sign in (1.0, -1.0)]
    both = np.reshape(values, (len(raw), len(raw), 2)).sum(axis=2)  # of a + b: 2 f + (a + b)' H (a + b)
    here = log_posteriors(prior, labels, raw[None])[0][0]
    single = np.array(
        [log_posteriors(prior, labels, raw + np.array([s, -s]))[0].sum() for s in shifts]
    )  # of a alone: 2 f + a' H a
    hessian = -(both - single[:, None] - single + 2 * here) / (2 * step**2)
    values, vectors = np.linalg.eigh(hessian)
    expected = (vectors / np.maximum(values, 1.0)) @ vectors.T
    np.testing.assert_allclose(laplace_covariance(prior, labels), expected, atol=0.03 * np.abs(expected).max())
    np.testing.assert_array_equal(get_raw(prior), raw)


def test_a_subset_tells_as_much_as_all_labels(fitted, monkeypatch):
    prior, labels = fitted
    noise = [i for i, (name, _) in enumerate(prior.named_parameters()) if "noise" in name]
    of_all = laplace_covariance(prior, labels)[noise, noise]
    monkeypatch.setattr(laplace, "LARGEST", 80)
    of_some = laplace_covariance(prior, labels)[noise, noise]
    np.testing.assert_allclose(of_some, of_all, rtol=0.5)  # a third of the labels alone gives three times the variance


def test_no_label_counts_twice(monkeypatch):
    labels = sine_labels(90)
    points = labels.points._replace(task=torch.arange(90) // 80)
    monkeypatch.setattr(laplace, "LARGEST", 30)
    used, count = counted_subset(Labels(points, labels.y, labels.se2))
    assert len(used) == 30
    assert (used.points.task == 1).sum() == 10  # all labels of the smaller task
    assert count == 1.0
    assert counted_subset(labels)[1] == 3.0


def test_fewer_sets_are_averaged_where_labels_are_many(fitted, monkeypatch):
    prior, labels = fitted
    monkeypatch.setattr(hyperparameters, "SHORT_LABELS", 100)
    monkeypatch.setattr(hyperparameters, "MANY", 200)
    for most, mode, components in ((300, "laplace", 12), (239, "map", 1)):
        monkeypatch.setattr(hyperparameters, "LAPLACE_LABELS", most)
        assert mode_for("auto", labels) == mode
        family = hyperparameters.fit_family((Named(),), prior, labels, "auto", 1, 0, "model", False)
        assert len(family.posterior.components) == components


class Named:
    """All that a fit needs of a part."""

    names = ("label",)
