"""What a batch knows of its own choices: every kind of label, known to every model that can be conditioned."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.active import Above, Campaign, Learn, Maximise, Minimise
from bayestl.active.acquisition.batch import Choice, _fantasies, choose_batch
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
    copies = _fantasies([(fit, pool.known)], pool, 30, 1, 0)
    assert copies
    double = pool.X.iloc[[54]]
    own = {m: observed_labels(m, known.iloc[[54]]) for m, known in [(fit, pool.known), *copies]}
    classes = fit.tasks_[1].classes
    imagined = [known["y"].iloc[30] if classes is None else classes.index(known["y"].iloc[30]) for _, known in copies]
    before, *after = (m.posterior(double, observed=seen).marginal("y").mean()[0] for m, seen in own.items())
    low, high = np.argmin(imagined), np.argmax(imagined)
    assert after[low] < after[high] or imagined[low] == imagined[high]
    assert not np.isclose(after, before, rtol=1e-6).all()


@pytest.mark.parametrize(("model", "likelihood"), [(m, k) for m in MODELS for k in LIKELIHOODS])
def test_a_batch_is_what_is_suggested_one_at_a_time(model, likelihood):
    """Without results in between: what is under way is known as within a batch."""
    fit, pool = fitted(model, likelihood)
    pool = pool.at(np.array([*range(20), *range(24, 30), *range(48, 54)]))
    goal = Learn("y") if likelihood == "classes" else Above("y", 0.2)

    def choose(n, under_way=()):
        possible = pool.possible.copy()
        for row, t in under_way:
            possible[row, t] = False
        used = sorted({*range(20), *(row for row, _ in under_way)})
        choice = Choice(replace(pool, possible=possible), goal, 0.0, used=used, under_way=under_way, seed=1)
        return choose_batch(fit, choice, n, "auto", 0)

    batch = choose(3)
    taken = [(row, t) for row, t, _ in batch]
    for k, pick in enumerate(batch):
        (alone,) = choose(1, taken[:k])
        assert alone[:2] == pick[:2]
        assert alone[2] == pytest.approx(pick[2], rel=1e-6)


@pytest.mark.parametrize("acquisition", ["knowledge-gradient", "auto", "uncertainty"])
@pytest.mark.parametrize("goal", [Maximise("y"), Maximise("y - cheap"), Learn("y")])
def test_a_campaign_suggests_a_batch_as_one_at_a_time(tmp_path, goal, acquisition):
    """From the first measurements on, which are those of all tasks in the same rows."""
    if isinstance(goal, Learn) and acquisition == "knowledge-gradient":
        pytest.skip("Learn has no best row")
    X = pd.DataFrame(np.random.default_rng(0).uniform(-1, 1, (30, 2)), columns=["a", "b"])
    f = np.sin(3 * X["a"]) + X["b"]
    Y, tasks = pd.DataFrame({"cheap": f, "y": 1.1 * f + 0.3 * X["a"]}), [btl.Task("cheap"), btl.Task("y", cost=3.0)]
    model = btl.DifferenceGP(["cheap", "y"], **SETTINGS)
    whole, parts = (
        Campaign(X, tasks, goal, model, tmp_path / name, acquisition=acquisition, verbose=False) for name in ("a", "b")
    )
    for n in (10, 4):
        batch = whole.suggest(n)
        alone = pd.concat([parts.suggest(1) for _ in range(n)])
        pd.testing.assert_frame_equal(batch, pd.DataFrame(alone), check_dtype=False, rtol=1e-6)
        for own in (whole, parts):
            own.tell(batch.assign(value=[Y.loc[r, t] for r, t in zip(batch["row"], batch["task"], strict=True)]))
    assert whole.results().head(10).groupby("row")["task"].nunique().eq(2).all()


def test_the_first_labels_of_a_target_are_far_apart_where_its_source_is_known_for_all(tmp_path):
    """They were once the first rows of the table."""
    X = pd.DataFrame({"x": np.sort(np.random.default_rng(0).uniform(0, 1, 60))})
    tasks = [btl.Task("cheap"), btl.Task("y")]
    model, known = btl.MultiTaskGP(**SETTINGS), pd.DataFrame({"cheap": X["x"]})
    own = Campaign(X, tasks, Maximise("y"), model, tmp_path / "c", known=known, verbose=False)
    apart = np.diff(np.sort(X.loc[own.suggest(5)["row"], "x"]))
    assert apart.min() > 0.1


@pytest.mark.parametrize("goal", [Maximise("y"), Minimise("cheap"), Learn("y")])
def test_scores_over_the_pool_count_measured_rows(goal):
    """The knowledge gradient of a batch once forgot that the best row so far may stay the best."""
    fit, pool = fitted("difference", "gaussian")
    acquisition = "auto" if isinstance(goal, Learn) else "knowledge-gradient"
    expected = rates(fit, pool, goal, 0.0, acquisition)
    ((row, t, score),) = choose_batch(fit, Choice(pool, goal, 0.0, used=list(range(24))), 1, acquisition, 0)
    assert (row, t) == np.unravel_index(expected.argmax(), expected.shape)
    assert score == pytest.approx(expected.max(), rel=1e-6)


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
