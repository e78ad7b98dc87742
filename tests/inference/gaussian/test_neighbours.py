"""What the labels near a row say beyond the inducing values, against dense algebra and against all labels."""

import numpy as np
import pandas as pd
import pytest
import torch
from support.summaries import fitted, rough

import bayestl as btl
from bayestl.inference.gaussian.large import inducing, neighbours
from bayestl.inference.gaussian.table_labels import part_data
from bayestl.priors.processes import Points

KERNELS = {
    "matern52": "matern52",
    "sum of a block and all": btl.Kernel("matern52", ["p"]) + btl.Kernel("rbf"),
    "product": btl.Kernel("rational-quadratic", ["p"]) * btl.Kernel("rbf", ["q"]),
}


@pytest.fixture
def new():
    return pd.DataFrame(np.random.default_rng(1).uniform(-2, 2, (30, 2)), columns=["p", "q"])


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_near_labels_bring_back_detail(monkeypatch, new, kernel):
    X, Y = rough()
    full, sparse = fitted(monkeypatch, X, Y, kernel)
    exact = full.posterior(new).mean
    errors = []
    for near in (1, 12, 240):  # the last: all of them
        monkeypatch.setattr(neighbours, "NEAR", near)
        errors.append(float((sparse.posterior(new).mean - exact).abs().to_numpy().mean()))
    assert errors[1] < max(0.5 * errors[0], 0.05)
    assert errors[2] < 0.03


def test_given_labels_near_a_row_are_those_of_dense_algebra(monkeypatch, new):
    X, Y = rough(150)
    _, sparse = fitted(monkeypatch, X, Y)
    (family,) = sparse.families_
    (c,) = family.posterior.components
    prior, near, data = c.prior, c.near, sparse._family_data(family)
    rows = sparse._rows(pd.concat([new.iloc[:3], X.iloc[:4]]))  # the last ones have labels of their own
    at = Points(*(torch.from_numpy(v) for v in (rows.x, np.zeros(7, dtype=int), rows.group, rows.row)))
    with torch.no_grad():
        given = near.given(prior, at, c.labels.points, c.root)
        noise = prior.residual.variance()[data.points.task] + data.se2 + neighbours.JITTER
        u = c.labels.points
        k_uu = c.root @ c.root.T
        for i, places in enumerate(near.places(at)):
            places = torch.from_numpy(places[places >= 0])
            own = set(np.flatnonzero(data.points.row.numpy() == int(at.row[i])).tolist())
            assert own <= set(places.tolist())
            assert len(set(places.tolist())) == len(places)
            labels, row = data.points.at(places), Points(*(v[[i, i]] for v in at))._replace(task=torch.arange(2))
            both = labels.join(row)
            left = prior.covariance(both, both) - prior.covariance(both, u) @ torch.linalg.solve(
                k_uu, prior.covariance(u, both)
            )
            k = len(places)
            gain = left[k:, :k] @ torch.linalg.inv(left[:k, :k] + torch.diag(noise[places]))
            np.testing.assert_allclose(given.shift[i], gain @ data.y[places], atol=1e-6)
            np.testing.assert_allclose(given.rest[i], left[k:, k:] - gain @ left[:k, k:], atol=1e-6)


def test_rows_together_agree_with_rows_one_by_one(monkeypatch, new):
    X, Y = rough()
    _, sparse = fitted(monkeypatch, X, Y)
    (family,) = sparse.families_
    known = pd.DataFrame({"source": np.linspace(-1, 1, 10)}, index=new.index[:10]).reindex(new.index)
    again = pd.DataFrame({"source": Y["source"] + 0.1, "target": np.nan}).iloc[:30]
    for rows in (
        sparse._rows(new),
        sparse._rows(new, known),
        sparse._rows(X.iloc[:30]),
        sparse._rows(X.iloc[:30], again),
    ):
        latent = sparse._family_latent(family, rows)
        means, covariances = latent.moments()
        with torch.no_grad():
            mean, covariance = latent._components[0].of_rows(latent._points(slice(None)))
        n, n_tasks = means.shape[1:]
        np.testing.assert_allclose(mean.reshape(n_tasks, n).T, means[0], atol=1e-8)
        blocks = covariance.reshape(n_tasks, n, n_tasks, n).numpy()[:, range(n), :, range(n)]
        np.testing.assert_allclose(blocks, covariances[0], atol=1e-7)
        assert np.linalg.eigvalsh(covariance.numpy()).min() > -1e-7


def test_known_labels_count_the_same_at_once_and_one_after_another(monkeypatch, new):
    X, Y = rough()
    full, sparse = fitted(monkeypatch, X, Y, n_inducing=60)
    known = pd.DataFrame({"source": np.linspace(-1, 1, 30)}, index=new.index)
    monkeypatch.setattr(neighbours, "NEAR", 10)
    at_once = sparse.posterior(new, observed=known)
    one = pd.concat([sparse.posterior(new.iloc[[i]], observed=known.iloc[[i]]).mean["target"] for i in range(30)])
    given = full.posterior(new, observed=known).mean["target"]
    spread = full.posterior(new, observed=known).std["target"].mean()
    assert (at_once.mean["target"] - given).abs().mean() < 0.3 * spread
    assert (at_once.mean["target"] - one).abs().mean() < 0.3 * spread


def test_more_labels_never_hurt(monkeypatch):
    X, Y = rough(700)
    monkeypatch.setattr(inducing, "FULL_LABELS", 100)  # the first table is exact
    monkeypatch.setattr(inducing, "INDUCING", 100)
    new, known = X.iloc[-100:], Y[["source"]].iloc[-100:]
    truth = 1.2 * np.sin(5 * new["p"]) * np.cos(4 * new["q"])
    errors: dict[bool, list[float]] = {True: [], False: []}
    for n in (60, 200, 600):
        model = btl.MultiTaskGP(hyperparameters="map", n_starts=1, verbose=False).fit(X.iloc[:n], Y.iloc[:n])
        for observed, list_ in errors.items():
            mean = model.posterior(new, observed=known if observed else None).mean["target"]
            list_.append(float(((mean - truth) ** 2).mean() ** 0.5))
    first, second, third = errors[False]
    assert 0.6 * first > second
    assert 0.6 * second > third
    assert errors[True][2] < 0.9 * min(errors[True][:2])
    checks = model.diagnose(cv=2, transfer=False).set_index(["check", "of"])
    assert "labels summarised" in checks.index.get_level_values("check")
    apart = checks.loc["error of the summary, sd"].loc[["source", "target"]]
    assert (apart["value"] < 1.0).all(), apart
    assert (apart["status"].eq("warn") == (apart["value"] > 0.5)).all()
    assert apart["advice"].str.contains("fit fewer rows").eq(apart["value"] > 0.5).all()


@pytest.mark.parametrize("columns", [["source"], ["source", "target"]], ids=["one task", "both tasks"])
@pytest.mark.parametrize("n_inducing", [15, 60])
def test_labels_of_new_rows_given_at_once_are_those_given_in_turn(monkeypatch, new, columns, n_inducing):
    X, Y = rough(120)
    _, sparse = fitted(monkeypatch, X, Y, n_inducing=n_inducing)
    (family,) = sparse.families_
    monkeypatch.setattr(neighbours, "NEAR", 240)  # all: no label is left out of a longer list of neighbours
    known = pd.DataFrame({"source": np.linspace(-1, 1, 30), "target": np.linspace(1, -1, 30)})[columns]
    rows = sparse._rows(new, known.iloc[:8].set_index(new.index[:8]).reindex(new.index))
    data = part_data(rows, rows.further, sparse.scaler_, sparse.tasks_, family.parts)
    at_once = family.posterior.condition(data)
    one_by_one = family.posterior
    for row in np.unique(data.points.row):
        one_by_one = one_by_one.condition(data.at(torch.nonzero(data.points.row == row).ravel()))
    at = tuple(map(torch.from_numpy, rows[:3]))
    (mean, covariance), (other_mean, other_covariance) = (p.at(*at).moments() for p in (at_once, one_by_one))
    before, _ = family.posterior.at(*at).moments()
    assert np.abs(mean - before).max() > 0.1
    np.testing.assert_allclose(mean, other_mean, atol=1e-6)
    np.testing.assert_allclose(covariance, other_covariance, atol=1e-6)


@pytest.mark.parametrize("room", [0, 8, 20, 10**6], ids=lambda r: f"room for {r}")
def test_features_of_labels_are_the_same_kept_or_computed(monkeypatch, room):
    values = torch.from_numpy(np.random.default_rng(0).standard_normal((30, 3)))
    monkeypatch.setattr(neighbours, "ROOM", 8 * 3 * room)
    remembered, computed = neighbours.Remembered(25, torch.device("cpu")), []  # five were added later

    def compute(place):
        computed.append(len(place))
        return values[place]

    for seed in range(20):
        place = torch.from_numpy(np.random.default_rng(seed).integers(0, 25 if seed % 3 else 30, (6, 2)))
        torch.testing.assert_close(remembered.at(place, compute), values[place], rtol=0, atol=0)
    if room == 10**6:
        assert sum(computed) <= 25 + 7 * 5


def test_predictions_do_not_depend_on_what_is_kept(monkeypatch, new):
    X, Y = rough()
    _, sparse = fitted(monkeypatch, X, Y)
    expected = sparse.posterior(new).std
    monkeypatch.setattr(neighbours, "ROOM", 0)
    _, forgetful = fitted(monkeypatch, X, Y)
    pd.testing.assert_frame_equal(forgetful.posterior(new).std, expected, rtol=1e-9)
    pd.testing.assert_frame_equal(sparse.posterior(new.iloc[::-1]).std.iloc[::-1], expected, rtol=1e-9)
