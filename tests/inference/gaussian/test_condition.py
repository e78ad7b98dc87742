"""Predictions given the labels, against dense closed forms."""

import numpy as np
import pytest
import torch

import bayestl as btl
from bayestl.inference.gaussian.table_labels import training_data
from bayestl.priors.processes import Points


def test_prediction_is_the_dense_closed_form(two_tasks):
    X, Y = two_tasks
    model = btl.MultiTaskGP(hyperparameters="map", verbose=False).fit(X, Y)
    family = model.families_[0]
    x = model.scaler_.features(model.table_.x)
    labels = training_data(model.table_, model.scaler_, family.parts, x)
    x = model.scaler_.features(X.to_numpy()[30:33])
    prior = family.prior
    new = Points(
        torch.from_numpy(np.tile(x, (2, 1))),
        torch.tensor([0, 0, 0, 1, 1, 1]),
        torch.arange(100, 106),
        torch.tensor([30, 31, 32] * 2),
    )
    with torch.no_grad():
        k = prior.covariance(labels.points, labels.points).numpy()
        d = prior.residual.variance().numpy()[labels.points.task.numpy()]
        cross = prior.covariance(new, labels.points).numpy()
        inverse = np.linalg.inv(k + np.diag(d))
        mean = cross @ inverse @ labels.y.numpy()
        covariance = prior.covariance(new, new).numpy() - cross @ inverse @ cross.T
        noise = prior.residual.variance().numpy()
    post = model.posterior(X.iloc[30:33])
    np.testing.assert_allclose(post.mean.to_numpy(), model.scaler_.label_units(mean.reshape(2, 3).T), rtol=1e-6)
    variance = np.diag(covariance).reshape(2, 3).T + noise
    np.testing.assert_allclose(post.std.to_numpy(), np.sqrt(variance) * model.scaler_.y_scale, rtol=1e-5)
    between = post.apply(lambda y: y["target"] - y["source"]).std.to_numpy()
    scale = model.scaler_.y_scale
    for i in range(3):
        block = covariance[np.ix_([i, 3 + i], [i, 3 + i])] + np.diag(noise)
        weight = np.array([-scale[0], scale[1]])
        assert between[i] == pytest.approx(np.sqrt(weight @ block @ weight), rel=1e-5)


def test_known_standard_errors_are_used():
    """A label that is known to be poor is believed less than one that is known well."""
    x = np.zeros((4, 1))
    y = np.array([0.0, 0.0, 1.0, 1.0])
    model = btl.IndependentGP(hyperparameters="map", verbose=False).fit(x, y, Y_std=np.array([0.01, 0.01, 2.0, 2.0]))
    assert model.predict([[0.0]])[0] < 0.25
