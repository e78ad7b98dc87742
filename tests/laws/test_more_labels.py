"""More labels never hurt: what stands for many labels is no worse than the exact answer from some of them."""

import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.inference.gaussian.large import inducing, neighbours

FEW, MANY, FRESH = 100, 500, 200
FUNCTIONS = {
    "smooth": lambda p, q: np.sin(2 * p) + q,
    "rough": lambda p, q: np.sin(5 * p) * np.cos(4 * q),
}
KINDS = {
    "smooth": ("smooth", 0.0, btl.Gaussian(), lambda f, rng: f),
    "rough": ("rough", 0.0, btl.Gaussian(), lambda f, rng: f),
    "row effects": ("smooth", 0.4, btl.Gaussian(), lambda f, rng: f),
    "rough, row effects": ("rough", 0.4, btl.Gaussian(), lambda f, rng: f),
    "zeros": ("smooth", 0.0, btl.Hurdle("truncated-normal"), lambda f, rng: f.clip(min=0.0)),
    "outliers": ("rough", 0.0, btl.StudentT(), lambda f, rng: np.where(rng.random(len(f)) < 0.05, f + 3, f)),
    "classes": ("smooth", 0.0, btl.Bernoulli(), lambda f, rng: np.where(f > 0, "a", "b")),
}


def table(kind, seed):
    """Features, labels of a source for all rows and of the target for half, and what the target is without noise."""
    name, own, likelihood, observe = KINDS[kind]
    rng = np.random.default_rng(seed)
    n = MANY + FRESH
    X = pd.DataFrame(rng.uniform(-2, 2, (n, 2)), columns=["p", "q"])
    f = FUNCTIONS[name](X["p"], X["q"]).to_numpy() + own * rng.standard_normal(n)
    noisy = observe(f + 0.1 * rng.standard_normal(n), rng)
    Y = pd.DataFrame({"source": f + 0.1 * rng.standard_normal(n), "target": noisy})
    Y.loc[rng.permutation(MANY)[: MANY // 2], "target"] = None if Y["target"].dtype == object else np.nan
    return X, Y, likelihood, f


def errors(model, X, known, f, likelihood):
    """The squared error of each new row; of classes and zeros, minus the log score of which it is."""
    posterior = model.posterior(X, observed=known, noise=False)
    if isinstance(likelihood, btl.Bernoulli):
        chance = posterior.probabilities("target")["a"].to_numpy().clip(1e-6, 1 - 1e-6)
        return -np.log(np.where(f > 0, chance, 1 - chance))
    truth = f.clip(min=0.0) if isinstance(likelihood, btl.Hurdle) else f
    return (posterior.mean["target"].to_numpy() - truth) ** 2


SLOW = ("rough, row effects", "zeros", "outliers", "classes")


@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.slow if k in SLOW else ()) for k in KINDS])
def test_a_summary_of_all_labels_is_no_worse_than_the_exact_answer_from_some(monkeypatch, kind):
    monkeypatch.setattr(inducing, "FULL_LABELS", 200)
    monkeypatch.setattr(inducing, "INDUCING", 60)
    monkeypatch.setattr(neighbours, "NEAR", 8)
    X, Y, likelihood, f = table(kind, 0)
    tasks = [btl.Task("source"), btl.Task("target", likelihood)]
    few, many = (
        btl.MultiTaskGP(tasks=tasks, hyperparameters="map", n_starts=1, verbose=False).fit(X.iloc[:n], Y.iloc[:n])
        for n in (FEW, MANY)
    )
    assert all(family.posterior.full for family in few.families_)
    assert not any(family.posterior.full for family in many.families_)
    for known in (None, Y[["source"]].iloc[MANY:]):
        exact, summary = (errors(model, X.iloc[MANY:], known, f[MANY:], likelihood) for model in (few, many))
        worse = summary - exact
        assert worse.mean() < 2 * worse.std() / np.sqrt(FRESH)
        assert summary.mean() < 1.02 * exact.mean()
