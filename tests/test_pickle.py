"""Posteriors, and distributions of functions of tasks, go through pickle: to another process, or to a cache."""

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from support.models import quick

NAMES = ["independent", "multi-task", "difference", "chain", "latent", "latent chain", "subspace"]


@pytest.fixture(scope="module", params=NAMES)
def posterior(request, two_tasks):
    X, Y = two_tasks
    model = quick(request.param).fit(X, Y)
    return model.posterior(X.iloc[15:25], observed=Y.iloc[15:25][["source"]])


@pytest.mark.parametrize("before", [False, True], ids=["fresh", "used"])
def test_a_posterior_gives_the_same_numbers(posterior, before):
    if before:
        posterior.mean  # noqa: B018 - what is kept must pickle too
    again = pickle.loads(pickle.dumps(posterior))
    pd.testing.assert_frame_equal(again.mean, posterior.mean)
    pd.testing.assert_frame_equal(again.quantile(0.9), posterior.quantile(0.9))
    np.testing.assert_array_equal(again.sample(5, seed=1), posterior.sample(5, seed=1))


def numbers(derived):
    """What a worker computes from a derived quantity."""
    return derived.mean.to_numpy(), derived.interval(0.8).to_numpy(), derived.sample(4, seed=2).to_numpy()


def test_a_function_of_tasks_survives_pickle_and_workers(posterior):
    two = 2.0
    derived = posterior.apply(lambda y: np.exp(y["target"] - two * y["source"]), name="ratio")
    again = pickle.loads(pickle.dumps(derived))
    assert again.name == "ratio"
    in_worker = Parallel(n_jobs=2)(delayed(numbers)(d) for d in (derived, derived))
    for found in (numbers(again), *in_worker):
        for one, other in zip(found, numbers(derived), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
