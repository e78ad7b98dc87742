"""A wrapper with nothing to do is the model that it wraps; what is asked in two ways has one answer."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

import bayestl as btl
from bayestl.distributions.warp import ClassTemperature, Temperature
from laws.cells import LEVELS, WRAPPED

PLAIN = pytest.mark.cells(
    lambda c: (
        not c.spec.wraps
        and not c.spec.slow
        and (c.kind_name == "gaussian" or (c.spec.exact and c.kind_name in (*WRAPPED, "hurdle, log-normal")))
    )
)
TIGHT = {"rtol": 1e-7, "atol": 1e-9}


def answers(post):
    found = [post.mean, post.std, post.quantile(0.1), post.quantile(0.7)]
    found += [post.probabilities(t.name) for t in post.tasks if t.classes is not None]
    return np.column_stack([f.to_numpy() for f in found])


def asked(cell):
    rows = cell.part([*range(cell.spec.rows, len(cell.table["X"])), 2, 7])
    return cell.asked(rows) | {"observed": rows["Y"][["source"]]}


def agree(cell, wrapper, **tolerance):
    expected = answers(cell.model.posterior(**asked(cell)))
    np.testing.assert_allclose(answers(wrapper.posterior(**asked(cell))), expected, **tolerance or TIGHT)
    rows = cell.new
    given = cell.asked(rows) | {"Y": rows["Y"]}
    np.testing.assert_allclose(wrapper.log_density(**given), cell.model.log_density(**given), rtol=1e-6, atol=1e-7)
    draws, own = (m.posterior(**asked(cell)).sample(400, seed=1).to_numpy().mean(axis=0) for m in (wrapper, cell.model))
    spread = np.sqrt(2 / 400) * np.nan_to_num(cell.model.posterior(**asked(cell)).std.to_numpy(), nan=1.0)
    assert (np.abs(draws - own) < 6 * spread + 1e-9).all()


@PLAIN
def test_a_stack_of_one_is_its_member(cell):
    stack = btl.StackedModel({"only": cell.spec.make(cell.tasks)}, cv=2, tasks=cell.tasks, verbose=False)
    agree(cell, stack.fit(**cell.train))


@pytest.mark.cells(lambda c: c.model_name.startswith("stack"))
def test_a_stack_is_the_weighted_mean_of_its_members_posteriors(cell):
    weights = {name: w for name, w in cell.model.weights_.items() if w > 0}
    stacked = cell.model.posterior(**asked(cell))
    members = {name: cell.model.members_[name].posterior(**asked(cell)) for name in weights}
    for name in LEVELS:
        mixed = stacked.marginal(name)
        of_members = {k: m.marginal(name) for k, m in members.items()}
        at = next(iter(of_members.values())).quantile(0.6)
        expected = sum(w * of_members[k].cdf(at) for k, w in weights.items())
        np.testing.assert_allclose(mixed.cdf(at), expected, rtol=1e-9)


@PLAIN
def test_a_recalibration_that_changes_nothing_is_its_member(cell):
    model = btl.Recalibrated(cell.spec.make(cell.tasks), cv=2, tasks=cell.tasks, verbose=False).fit(**cell.train)
    one = {True: ClassTemperature(1.0), False: Temperature(1.0)}
    model.warps_ = {t.name: one[t.classes is not None] for t in model.tasks_}
    agree(cell, model, rtol=2e-3, atol=1e-6)  # its moments are sums over quantiles


@PLAIN
def test_a_pipeline_of_one_step_is_its_model(cell):
    pipeline = make_pipeline("passthrough", cell.spec.make(cell.tasks))
    step = type(cell.model).__name__.lower()
    pipeline.fit(
        cell.train["X"], cell.train["Y"], **{f"{step}__{k}": v for k, v in cell.train.items() if k not in "XY"}
    )
    X = cell.new["X"]
    pd.testing.assert_frame_equal(pipeline.predict(X), cell.model.predict(X))
    if not cell.kind.classes and "<" not in str(cell.new["Y"]["target"].tolist()):
        known = cell.new["Y"]
        assert pipeline.score(X, known) == pytest.approx(cell.model.score(X, known))


def test_the_fitted_table_with_its_labels_is_complete(cell):
    """Labels that a model has learnt from count once."""
    train, model = cell.train, cell.model
    given = cell.asked(train) | {"observed": train["Y"]}
    if "Y_std" in train:
        given["observed_std"] = train["Y_std"]
    for noise in (True, False):
        complete = answers(model.complete(noise=noise))
        if not cell.spec.intervals_only:  # its member has not seen the rows that it is calibrated on
            np.testing.assert_allclose(answers(model.posterior(**cell.asked(train), noise=noise)), complete, **TIGHT)
        np.testing.assert_allclose(answers(model.posterior(**given, noise=noise)), complete, **TIGHT)


def test_identity_and_intervals_are_the_posterior_itself(cell):
    post = cell.model.posterior(**asked(cell))
    interval = post.interval(0.8)
    for name in LEVELS:
        np.testing.assert_allclose(interval[name]["lower"], post.quantile(0.1)[name])
        np.testing.assert_allclose(interval[name]["upper"], post.quantile(0.9)[name])
    prediction, std = cell.model.predict(**asked(cell), return_std=True)
    pd.testing.assert_frame_equal(prediction, post.point())
    pd.testing.assert_frame_equal(std, post.std)


@PLAIN
def test_density_is_the_posteriors_own(cell):
    """``log_density`` of a model is that of its posterior; of a label without standard error, and of one whose is zero."""
    rows, model = cell.new, cell.model
    given = cell.asked(rows)
    expected = model.log_density(**given, Y=rows["Y"])
    assert expected.notna().equals(rows["Y"].notna())
    zero = pd.DataFrame(0.0, rows["Y"].index, LEVELS)
    pd.testing.assert_frame_equal(model.log_density(**given, Y=rows["Y"], Y_std=zero), expected)
    given |= {"observed": rows["Y"][["source"]]}
    pd.testing.assert_frame_equal(
        answer_frame(model.posterior(**given, observed_std=zero[["source"]])), answer_frame(model.posterior(**given))
    )


def answer_frame(post):
    return pd.DataFrame(answers(post))


@pytest.mark.cells(lambda c: c.spec.exact and c.kind_name.startswith("gaussian"))
def test_the_botorch_model_is_the_posterior(cell):
    pytest.importorskip("botorch")
    import torch

    from bayestl.active.botorch import as_botorch

    view, X = as_botorch(cell.model), cell.new["X"]
    for noise in (False, True):
        post = cell.model.posterior(X, noise=noise)
        own = view.posterior(torch.from_numpy(X.to_numpy())[:, None], observation_noise=noise)
        np.testing.assert_allclose(own.mean[:, 0].detach(), post.mean, rtol=1e-6)
        np.testing.assert_allclose(own.variance[:, 0].detach().sqrt(), post.std, rtol=1e-5)
    both = as_botorch(cell.model, "target - source").posterior(torch.from_numpy(X.to_numpy())[:, None])
    derived = cell.model.posterior(X, noise=False).apply(lambda y: y["target"] - y["source"])
    np.testing.assert_allclose(both.mean[:, 0, 0].detach(), derived.mean, rtol=1e-6)
    np.testing.assert_allclose(both.variance[:, 0, 0].detach().sqrt(), derived.std, rtol=1e-5)
