import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.inference.gaussian.large import inducing
from bayestl.models.exact import hyperparameters
from bayestl.models.exact.family import Family


def table(n=500):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-2, 2, (n, 2)), columns=["p", "q"])
    f = np.sin(2 * X["p"]) + X["q"]
    source = f + 0.2 * rng.standard_normal(n)
    target = 1.3 * f + 0.5 + 0.2 * rng.standard_normal(n)
    Y = pd.DataFrame({"source": source, "target": np.where(target > 0, target, 0.0), "kind": np.where(f > 0, "a", "b")})
    Y.loc[rng.permutation(n)[: n // 2], "target"] = np.nan
    return X, Y


def both(monkeypatch, make, X, Y, n_inducing=150):
    full = make().fit(X, Y)
    assert all(c.full for f in full.families_ for c in f.posterior.components)
    monkeypatch.setattr(inducing, "FULL_LABELS", 100)
    monkeypatch.setattr(inducing, "INDUCING", n_inducing)
    sparse = make().fit(X, Y)
    assert not any(c.full for f in sparse.families_ for c in f.posterior.components)
    return full, sparse


@pytest.mark.parametrize("columns", [["source"], ["source", "target"], ["kind"]])
def test_inducing_values_give_nearly_the_full_answer(monkeypatch, columns):
    X, Y = table()
    tasks = [btl.Task("target", btl.Hurdle("truncated-normal"))] if "target" in columns else None
    full, sparse = both(
        monkeypatch,
        lambda: btl.MultiTaskGP(tasks=tasks, hyperparameters="map", n_starts=1, verbose=False),
        X,
        Y[columns],
    )
    new = pd.DataFrame(np.random.default_rng(1).uniform(-2.5, 2.5, (60, 2)), columns=["p", "q"])
    one, two = full.posterior(new, noise=False), sparse.posterior(new, noise=False)
    if columns == ["kind"]:
        gap = (one.probabilities("kind") - two.probabilities("kind")).abs().to_numpy()
        assert gap.mean() < 0.01
        return
    spread = one.std["source"].mean()
    assert (one.mean["source"] - two.mean["source"]).abs().mean() < 0.25 * spread
    assert two.std["source"].mean() == pytest.approx(spread, rel=0.15)
    known = Y[columns].iloc[:60].set_axis(new.index)
    known[columns[-1]] = np.nan
    if len(columns) == 2:
        given = [m.posterior(new, observed=known).mean["target"] for m in (full, sparse)]
        assert (given[0] - given[1]).abs().mean() < 0.1


def labels_of(kind, source):
    """A column of labels of a kind that follow ``source``, and its likelihood."""
    f = source - source.mean()
    if kind == "three classes":
        return pd.Series(np.array(list("xyz"))[np.digitize(f, [-0.7, 0.7])]), btl.Categorical()
    if kind == "two classes":
        return pd.Series(np.where(f > 0, "a", "b")), btl.Bernoulli()
    if kind == "limits":
        return f.map(lambda v: "<0" if v < 0 else f"{v:.4f}"), btl.Censored()
    if kind == "zeros":
        return f.clip(lower=0.0), btl.Hurdle()
    return f, btl.StudentT() if kind == "outliers" else btl.Gaussian()


@pytest.mark.parametrize("kind", ["numbers", "outliers", "limits", "zeros", "two classes", "three classes"])
@pytest.mark.parametrize("model", [pytest.param(btl.IndependentGP, marks=pytest.mark.slow), btl.MultiTaskGP])
def test_every_label_an_inducing_value_is_exact(monkeypatch, kind, model):
    X, Y = table(60)
    column, likelihood = labels_of(kind, Y["source"])
    Y = pd.DataFrame({"label": column, "source": Y["source"]})
    tasks = [btl.Task("label", likelihood), btl.Task("source")]
    full = model(tasks=tasks, hyperparameters="map", n_starts=1, verbose=False).fit(X, Y)
    monkeypatch.setattr(inducing, "FULL_LABELS", 20)
    monkeypatch.setattr(inducing, "INDUCING", 1000)
    sparse = model(tasks=tasks, hyperparameters="map", n_starts=1, verbose=False).fit(X, Y)
    assert not any(f.posterior.full for f in sparse.families_)
    new = pd.DataFrame(np.random.default_rng(1).uniform(-2, 2, (10, 2)), columns=["p", "q"], index=list("abcdefghij"))
    for rows in (X, new):
        one, two = full.posterior(rows), sparse.posterior(rows)
        if "classes" in kind:
            # the bound of three classes is flat: searches that begin elsewhere end a little apart
            np.testing.assert_allclose(two.probabilities("label"), one.probabilities("label"), atol=0.03)
        else:
            np.testing.assert_allclose(two.quantile(0.9), one.quantile(0.9), atol=2e-2)
            np.testing.assert_allclose(two.quantile(0.5), one.quantile(0.5), atol=2e-2)


@pytest.mark.parametrize("columns", [["source"], ["kind"], ["source", "target"]], ids=["numbers", "classes", "zeros"])
@pytest.mark.parametrize("mode", ["map", "laplace"])
def test_a_summarised_model_is_saved_and_repeats_without_another_summary(monkeypatch, tmp_path, columns, mode):
    X, Y = table(150)
    monkeypatch.setattr(inducing, "FULL_LABELS", 60)
    monkeypatch.setattr(inducing, "INDUCING", 30)
    monkeypatch.setattr(hyperparameters, "AVERAGED", 3)
    tasks = [btl.Task("source"), btl.Task("target", btl.Hurdle())] if "target" in columns else None
    model = btl.IndependentGP(tasks=tasks, hyperparameters=mode, n_starts=1, verbose=False).fit(X, Y[columns])
    assert not all(f.posterior.full for f in model.families_)
    model.save(tmp_path / "m")
    monkeypatch.setattr(inducing, "summarise", None)
    loaded = btl.load(tmp_path / "m")
    known = Y[columns[:1]].iloc[:20].rename(index=lambda i: f"new {i}")
    new = X.iloc[:20].rename(index=lambda i: f"new {i}")
    for rows, observed in ((X, None), (new, known)):
        one, two = (m.posterior(rows, observed=observed) for m in (model, loaded))
        if columns == ["kind"]:
            np.testing.assert_allclose(two.probabilities("kind"), one.probabilities("kind"), atol=1e-12)
        else:
            np.testing.assert_allclose(two.quantile(0.9), one.quantile(0.9), rtol=1e-10)


def test_a_summary_of_other_labels_is_refused(monkeypatch):
    X, Y = table(100)
    monkeypatch.setattr(inducing, "FULL_LABELS", 60)
    monkeypatch.setattr(inducing, "INDUCING", 30)
    small, large = (
        btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False).fit(X.iloc[:n], Y[["source"]].iloc[:n])
        for n in (80, 100)
    )
    arrays = {k.removeprefix("0."): v for k, v in small._state().items()}
    with pytest.raises(ValueError, match="the summary of the labels is of other labels"):
        Family.restored(
            small.families_[0].parts, small.families_[0].prior, large._family_data(large.families_[0]), arrays
        )
