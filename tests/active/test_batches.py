"""What a batch knows of its own choices: every kind of label, known to every model that can be conditioned."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.active import Above
from bayestl.active.acquisition.batch import _fantasies
from bayestl.active.acquisition.look_ahead import conditioned
from bayestl.active.acquisition.pool import Pool, candidates, observed_labels
from bayestl.active.acquisition.rates import rates

SETTINGS = {"hyperparameters": "map", "n_starts": 1, "verbose": False}
MODELS = {
    "independent": lambda tasks: btl.IndependentGP(tasks=tasks, **SETTINGS),
    "multi-task": lambda tasks: btl.MultiTaskGP(tasks=tasks, **SETTINGS),
    "difference": lambda tasks: btl.DifferenceGP(["cheap", "y"], tasks=tasks, **SETTINGS),
    "chain": lambda tasks: btl.ChainGP(["cheap", "y"], inputs=None, tasks=tasks, **SETTINGS),
}
LIKELIHOODS = {
    "gaussian": (btl.Gaussian(), lambda f: f),
    "hurdle": (btl.Hurdle(), lambda f: np.maximum(f, 0.0)),
    "ordered classes": (btl.Ordinal(["a", "b", "c"]), lambda f: np.array(["a", "b", "c"])[np.digitize(f, [-0.3, 0.4])]),
    "classes": (btl.Categorical(), lambda f: np.array(["a", "b", "c"])[np.digitize(f, [-0.3, 0.4])]),
}


def fitted(model, likelihood, known=True):
    """A model of 24 rows with both labels, and a pool of 24 further rows with the cheap one or none, each twice, 1e-6 apart."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (48, 2))
    x = candidates(pd.DataFrame(np.vstack([x, x[24:] + 1e-6]), columns=["a", "b"]))
    f = (np.sin(3 * x["a"]) + x["b"]).to_numpy()
    observes, label = LIKELIHOODS[likelihood]
    labels = pd.DataFrame({"cheap": f + 0.1 * rng.standard_normal(72), "y": label(f)}, x.index)
    labels.loc[x.index[24:], "y"] = np.nan if labels["y"].dtype.kind == "f" else None
    if not known:
        labels.loc[x.index[24:], "cheap"] = np.nan
    fit = MODELS[model]([btl.Task("cheap"), btl.Task("y", observes)])
    labelled = labels.notna().any(axis=1)
    return fit.fit(x[labelled], labels[labelled]), Pool(x, labels, labels.isna().to_numpy(), np.ones(2), ["cheap", "y"])


@pytest.mark.parametrize(("model", "likelihood"), [(m, k) for m in MODELS for k in LIKELIHOODS])
def test_the_rest_of_a_batch_knows_a_choice(model, likelihood):
    """The double of a chosen row is predicted by each imagined value of it, whatever the labels are."""
    fit, pool = fitted(model, likelihood)
    copies = _fantasies([(fit, pool.known)], pool, 30, 1, np.random.default_rng(0))
    assert copies
    double = pool.X.iloc[[54]]
    own = {m: observed_labels(m, known.iloc[[54]]) for m, known in [(fit, pool.known), *copies]}
    classes = fit.tasks_[1].classes
    imagined = [known["y"].iloc[30] if classes is None else classes.index(known["y"].iloc[30]) for _, known in copies]
    before, *after = (m.posterior(double, observed=seen).marginal("y").mean()[0] for m, seen in own.items())
    low, high = np.argmin(imagined), np.argmax(imagined)
    assert after[low] < after[high] or imagined[low] == imagined[high]
    assert not np.isclose(after, before, rtol=1e-6).all()


@pytest.mark.parametrize(("model", "likelihood"), [("multi-task", "ordered classes"), ("difference", "hurdle")])
def test_exact_models_look_ahead_at_sources_of_any_label(model, likelihood):
    """They once never chose a source for its own sake where a label was not Gaussian."""
    fit, pool = fitted(model, likelihood, known=False)
    own, goal = pool.at(np.arange(24, 29)), Above("y", 0.2)
    cheap, dear = (rates(fit, replace(own, costs=np.array([c, 20.0])), goal, 0.0) for c in (0.1, 40.0))
    assert (cheap[:, 0] > 0).all()
    assert (dear[:, 0] < cheap[:, 0]).all()
    assert dear.max(axis=0).argmax() == 1


@pytest.mark.parametrize("likelihood", ["gaussian", "hurdle"])
def test_a_chain_learns_a_label_of_a_row(likelihood):
    """It stands in the table of the copy, so that it counts once where it is known of the row."""
    fit, pool = fitted("chain", likelihood)
    row, double = pool.X.iloc[[30]], pool.X.iloc[[54]]
    value = 1.0
    (copy,) = conditioned(fit, row, "y", [value], pool.known.iloc[[30]])
    before = fit.posterior(double, observed=pool.known.iloc[[54]]).marginal("y").mean()[0]
    after = copy.posterior(double, observed=pool.known.iloc[[54]]).marginal("y").mean()[0]
    assert abs(after - value) < abs(before - value)
    assert copy.table_.labels.y[30, 1] == value
    assert np.isnan(fit.table_.labels.y[30, 1])
    np.testing.assert_array_equal(fit.table_inputs_[1], copy.table_inputs_[1])  # its source was known before
