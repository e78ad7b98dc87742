"""A chain's joint distribution where sources are not known, against brute force over a grid of the source."""

import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.models.chain.rows import ByRow

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (160, 1))
S = X[:, 0] + 0.8 * RNG.standard_normal(160)
Y = pd.DataFrame({"s": S, "m": np.tanh(2 * S) + 0.05 * RNG.standard_normal(160)})
Y["t"] = Y["m"] + 0.3 * X[:, 0] + 0.1 * RNG.standard_normal(160)
NEW = np.array([[0.3], [-0.6], [0.8]])
N = 600
LEVELS = (np.arange(N) + 0.5) / N


@pytest.fixture(scope="module")
def two():
    return btl.ChainGP(["s", "m"], inputs=None, hyperparameters="map", verbose=False).fit(X, Y[["s", "m"]])


@pytest.fixture(scope="module")
def three():
    return btl.ChainGP(["s", "m", "t"], inputs=None, hyperparameters="map", verbose=False).fit(X, Y)


def down(model, row, names, levels):
    """Labels (n, len(names)) drawn down the chain one after another at ``levels`` (n, len(names))."""
    many, labels = np.repeat(row, len(levels), axis=0), {}
    for name, level in zip(names, levels.T, strict=True):
        given = pd.DataFrame(labels) if labels else None
        labels[name] = model.posterior(many, observed=given).marginal(name).quantile(level)
    return pd.DataFrame(labels)


@pytest.fixture(scope="module")
def by_hand(three):
    levels = np.random.default_rng(1).uniform(size=(N, 3))
    levels[:, 0] = LEVELS
    return [down(three, NEW[[i]], list(Y), levels) for i in range(len(NEW))]


def test_marginals_draws_and_differences_are_those_of_draws_by_hand(three, by_hand):
    post = three.posterior(NEW)
    draws = post.sample(4000, seed=0).to_numpy()
    difference = post.apply(lambda y: y["t"] - y["m"]).std.to_numpy()
    assert post.moments() is None
    for i, hand in enumerate(by_hand):
        np.testing.assert_allclose(post.mean.iloc[i], hand.mean(), atol=0.02)
        np.testing.assert_allclose(post.std.iloc[i], hand.std(), rtol=0.05)
        np.testing.assert_allclose(draws[:, i].std(axis=0), post.std.iloc[i], rtol=0.05)
        np.testing.assert_allclose(np.corrcoef(draws[:, i].T), hand.corr(), atol=0.06)
        assert difference[i] == pytest.approx((hand["t"] - hand["m"]).std(), rel=0.06)
        assert difference[i] < 0.3 * np.hypot(hand["t"].std(), hand["m"].std())


@pytest.mark.parametrize("known", [-0.5, 0.0, 0.6])
def test_a_known_target_informs_its_source(two, known):
    """Against the density of the source times that of the target given it."""
    row = NEW[[0]]
    given = two.posterior(row, observed=pd.DataFrame({"m": [known]}))
    s = two.posterior(np.repeat(row, N, axis=0)).marginal("s").quantile(LEVELS)
    of_target = two.posterior(np.repeat(row, N, axis=0), observed=pd.DataFrame({"s": s})).marginal("m")
    weights = np.exp(of_target.log_density(np.full(N, known)))
    reached = np.cumsum(weights) / weights.sum()
    width = np.diff(np.interp([0.05, 0.95], reached, s))[0]
    assert width < 0.15 * 3.29 * two.posterior(row).std["s"][0]
    for level in (0.05, 0.5, 0.95):
        assert given.quantile(level)["s"][0] == pytest.approx(np.interp(level, reached, s), abs=0.05 * width)
    draws = given.sample(640, seed=0).sel(task="s").to_numpy()
    assert np.median(draws) == pytest.approx(given.quantile(0.5)["s"][0], abs=0.05 * width)
    assert draws.std() == pytest.approx(given.std["s"][0], rel=0.1)


def test_a_label_two_levels_down_informs_both_sources(three, by_hand):
    known = 0.8
    given = three.posterior(NEW[[0]], observed=pd.DataFrame({"t": [known]}))
    hand = by_hand[0]
    of_target = three.posterior(np.repeat(NEW[[0]], N, axis=0), observed=hand[["s", "m"]]).marginal("t")
    weights = np.exp(of_target.log_density(np.full(N, known)))
    weights /= weights.sum()
    for name in ("s", "m"):
        mean = weights @ hand[name]
        std = np.sqrt(weights @ (hand[name] - mean) ** 2)
        assert given.mean[name][0] == pytest.approx(mean, abs=0.15 * std + 0.02)
        assert given.std[name][0] == pytest.approx(std, rel=0.2)
        assert std < 0.75 * three.posterior(NEW[[0]]).std[name][0]
    # a known label between cuts the chain: what is below it says nothing of what is above
    cut = pd.DataFrame({"m": [0.5], "t": [known]})
    pd.testing.assert_series_equal(
        three.posterior(NEW[[0]], observed=cut).std["s"], three.posterior(NEW[[0]], observed=cut[["m"]]).std["s"]
    )


def test_rows_do_not_depend_on_each_other_and_known_sources_keep_their_closed_form(three):
    observed = pd.DataFrame({"s": [0.2, np.nan, np.nan], "m": [0.5, np.nan, np.nan]})
    together = three.posterior(NEW, observed=observed)
    first = three.posterior(NEW[[0]], observed=observed.iloc[[0]])
    assert first.moments() is not None
    np.testing.assert_allclose(together.mean.iloc[0], first.mean.iloc[0], rtol=1e-9)
    np.testing.assert_allclose(together.std.iloc[0], first.std.iloc[0], rtol=1e-9)
    targets = pd.DataFrame({"t": [0.8, np.nan, -0.2]})
    informed = three.posterior(NEW, observed=targets)
    for i in range(len(NEW)):
        alone = three.posterior(NEW[[i]], observed=targets.iloc[[i]])
        np.testing.assert_allclose(alone.mean.iloc[0], informed.mean.iloc[i], rtol=1e-6)
    all_unknown = three.posterior(NEW)
    for i in range(len(NEW)):
        alone = three.posterior(NEW[[i]])
        np.testing.assert_allclose(alone.quantile(0.3).iloc[0], all_unknown.quantile(0.3).iloc[i], rtol=1e-9)


def test_draws_without_noise_and_over_rows(two):
    near = np.array([[0.3], [0.3001], [-0.9]])
    for observed in (None, pd.DataFrame({"m": [0.4, np.nan, np.nan]})):
        latent = two.posterior(near, observed=observed, noise=False)
        draws = latent.sample(2000, seed=3).to_numpy()
        np.testing.assert_allclose(draws.std(axis=0), latent.std, rtol=0.12)
        assert np.corrcoef(draws[:, 1, 0], draws[:, 1, 1])[0, 1] < 0.9  # the target follows the label, not the mean
    source = two.posterior(near, noise=False).sample(2000, seed=3).sel(task="s").to_numpy()
    assert np.corrcoef(source[:, 0], source[:, 1])[0, 1] > 0.9
    assert two.posterior(near).sample(10, seed=1).equals(two.posterior(near).sample(10, seed=1))


@pytest.mark.parametrize("kind", ["hurdle", "class"])
def test_sources_of_other_kinds_are_informed_and_drawn_with_the_target(kind, tmp_path):
    s = np.where(S > 0, S, 0.0) if kind == "hurdle" else np.where(S > 0, "high", "low")
    table = pd.DataFrame({"s": s, "m": np.where(S > 0, 1.0 + np.abs(S), -1.0) + 0.1 * RNG.standard_normal(160)})
    tasks = [btl.Task("s", btl.Hurdle("truncated-normal"))] if kind == "hurdle" else None
    model = btl.ChainGP(["s", "m"], None, tasks, hyperparameters="map", verbose=False).fit(X[:80], table[:80])
    draws = model.posterior(NEW).sample(640, seed=0).to_numpy()
    high = draws[:, 0, 0] > 0 if kind == "hurdle" else draws[:, 0, 0] == 0  # classes are sorted: high, low
    assert 0.2 < high.mean() < 0.9
    assert (draws[high, 0, 1] > 0).mean() > 0.97
    assert (draws[~high, 0, 1] < 0).mean() > 0.97
    known = pd.DataFrame({"m": [-1.0, 2.0, np.nan]})
    given = model.posterior(NEW, observed=known)
    if kind == "hurdle":
        zero = given.marginal("s").zero
        assert isinstance(given.marginal("s").positive, ByRow)
        assert given.quantile(0.5)["s"][1] == pytest.approx(1.0, abs=0.3)
    else:
        zero = given.probabilities("s")["low"].to_numpy()
    assert zero[0] > 0.9
    assert zero[1] < 0.1
    model.save(tmp_path / "model")
    again = btl.load(tmp_path / "model").posterior(NEW, observed=known)
    np.testing.assert_array_equal(again.sample(50, seed=2), given.sample(50, seed=2))
    pd.testing.assert_frame_equal(again.quantile(0.9), given.quantile(0.9), check_exact=True)


def test_groups_count_in_the_expected_source_at_fit_as_at_prediction():
    rng = np.random.default_rng(2)
    group = np.repeat(["a", "b"], 40)
    s = np.where(group == "a", 3.0, -3.0) + 0.1 * rng.standard_normal(80)
    table = pd.DataFrame({"s": s, "t": s + 0.1 * rng.standard_normal(80)})
    table.loc[::2, "s"] = np.nan
    model = btl.ChainGP(["s", "t"], None, hyperparameters="map", verbose=False)
    model.fit(rng.uniform(-1, 1, (80, 1)), table, groups=group)
    column = model.table_inputs_[1][:, -2]
    missing = table["s"].isna().to_numpy()
    assert column[missing & (group == "a")].min() > column[missing & (group == "b")].max()
    assert model._stand_in(1) == 0.5
    draws = model.posterior([[0.0]], groups=["a"]).sample(640, seed=0).to_numpy()[:, 0]
    assert draws.mean(axis=0) == pytest.approx([3.0, 3.0], abs=0.3)


@pytest.fixture(scope="module")
def tree():
    table = Y.assign(t=np.cos(S) + 0.1 * X[:, 0] + 0.05 * RNG.standard_normal(160))
    common = {"inputs": None, "hyperparameters": "map", "verbose": False}
    pairs = [btl.ChainGP(["s", name], **common).fit(X, table[["s", name]]) for name in ("m", "t")]
    return btl.ChainGP({"t": "s", "m": "s"}, **common).fit(X, table), pairs


def test_two_tasks_that_follow_the_same_one_are_two_chains(tree):
    model, pairs = tree
    known = pd.DataFrame({"s": [0.2, np.nan, -0.7]})
    for pair, name in zip(pairs, ("m", "t"), strict=True):
        found, expected = (m.posterior(NEW, observed=known).marginal(name) for m in (model, pair))
        np.testing.assert_allclose(found.mean()[[0, 2]], expected.mean()[[0, 2]], rtol=1e-6)
        np.testing.assert_allclose(found.std()[[0, 2]], expected.std()[[0, 2]], rtol=1e-5)
        assert found.mean()[1] == pytest.approx(expected.mean()[1], abs=0.05)


def test_a_task_informs_one_beside_it_through_the_one_that_both_follow(tree):
    model, (pair, _) = tree
    known = pd.DataFrame({"m": [0.6, -0.6, 0.1]})
    source, expected = (m.posterior(NEW, observed=known).marginal("s") for m in (model, pair))
    np.testing.assert_allclose(source.mean(), expected.mean(), atol=0.05)
    beside = model.posterior(NEW, observed=known)
    draws = beside.sample(4000, seed=0)
    found = beside.mean["t"].to_numpy()
    np.testing.assert_allclose(draws.sel(task="t").mean("sample"), found, atol=0.02)
    levels = np.cos(draws.sel(task="s").to_numpy()).mean(axis=0) + 0.1 * NEW[:, 0]
    np.testing.assert_allclose(found, levels, atol=0.05)
    assert (beside.std["t"] < model.posterior(NEW).std["t"]).all()
