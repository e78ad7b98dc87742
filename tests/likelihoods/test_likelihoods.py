"""Each likelihood against Monte Carlo, and its bad input."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import bayestl as btl
from bayestl.distributions import Discrete
from bayestl.likelihoods import LabelBlock, LatentBlock, Setting
from bayestl.table.table import build_table

PARTS = {
    "gaussian": (btl.Gaussian(), [0.3, -1.2], 0.2),
    "student": (btl.StudentT(dof=3.0), [0.3, -4.0], 0.2),
    "student, learnt": (btl.StudentT(), [0.3, -4.0], 0.2),
    "positive": (btl.Positive(), [0.3, 1.2], 0.2),
    "root": (btl.PowerNormal(), [0.3, 1.2], 0.2),
    "power": (btl.PowerNormal(0.75), [0.3, 1.2], 0.2),
    "student, power": (btl.PowerStudentT(0.75), [0.3, 1.2], 0.2),
    "log": (btl.LogNormal(), [0.3, -1.2], 0.2),
    "bernoulli": (btl.Bernoulli(), [0.0, 1.0], 0.0),
    "ordinal": (btl.Ordinal(["low", "mid", "high"]), [0.0, 2.0], 0.0),
    "categorical": (btl.Categorical(["a", "b", "c"]), [0.0, 2.0], 0.0),
}


def pieces(name):
    likelihood, y, noise = PARTS[name]
    y = torch.tensor(y, dtype=torch.float64)
    block = LabelBlock(y, torch.zeros_like(y), y)
    module = likelihood.further()
    further = torch.zeros(0, dtype=torch.float64) if module is None else module().detach()
    return likelihood, block, torch.tensor(noise, dtype=torch.float64), further


@pytest.mark.parametrize("name", PARTS)
def test_expected_log_density_is_the_average_or_below_it(name):
    likelihood, block, noise, further = pieces(name)
    k = likelihood.n_latent
    rng = np.random.default_rng(0)
    mean, variance = torch.from_numpy(rng.standard_normal((2, k))), torch.from_numpy(rng.uniform(0.1, 0.6, (2, k)))
    f = mean + variance.sqrt() * torch.from_numpy(rng.standard_normal((200_000, 2, k)))
    each = likelihood.log_density(block, f, noise, further)
    expected = likelihood.expected_log_density(block, mean, variance, noise, further)
    error = 5 * each.std(0) / np.sqrt(len(f))
    if name.startswith(("student", "categorical")):  # a bound
        assert (expected <= each.mean(0) + error).all()
        assert (expected > each.mean(0) - 0.2).all()
    else:
        assert (torch.abs(expected - each.mean(0)) < error + 1e-4).all()


@pytest.mark.parametrize("z", [1.0, -0.5, -3.0])
def test_draws_of_a_truncated_normal_hold_far_below_zero(z):
    """At -3 with a noise of 0.05 every draw was once the same tiny number."""
    sd, n = 0.05, 4000
    drawn = btl.Positive().draw(
        np.full((1, n, 1), z), Setting(np.array([sd**2]), np.zeros((1, 0))), np.random.default_rng(0)
    )
    expected = stats.truncnorm(-z / sd, np.inf, loc=z, scale=sd)
    assert stats.kstest(drawn[0], expected.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", PARTS)
def test_prediction_agrees_with_draws_of_the_story(name):
    likelihood, _, noise, further = pieces(name)
    k, n = likelihood.n_latent, 40_000
    rng = np.random.default_rng(1)
    mean = rng.standard_normal((1, 1, k))
    root = 0.5 * rng.standard_normal((k, k)) + 0.3 * np.eye(k)
    latent = LatentBlock(np.ones(1), mean, (root @ root.T)[None, None])
    f = mean + (rng.standard_normal((n, k)) @ root.T)[:, None]
    sigma2, more = np.full(n, float(noise)), np.repeat(further.numpy()[None], n, axis=0)
    setting = Setting(sigma2, more, 0.0, 2.0)
    y = likelihood.draw(f, setting, rng)[:, 0]
    predicted = likelihood.predictive(latent, setting.at([0]))
    if isinstance(predicted, Discrete):
        frequency = np.bincount(y.astype(int), minlength=len(predicted.classes)) / n
        np.testing.assert_allclose(predicted.probabilities[0], frequency, atol=5 * 0.5 / np.sqrt(n))
        assert predicted.probabilities.sum() == pytest.approx(1.0)
    else:
        for q in (0.05, 0.5, 0.95):
            at = predicted.quantile(q)
            assert (y < at).mean() == pytest.approx(q, abs=5 * 0.5 / np.sqrt(n))


@pytest.mark.parametrize("likelihood", [btl.StudentT(dof=1.5), btl.StudentT(), btl.PowerStudentT(0.75)])
def test_student_noise_has_its_tails_in_predictions_as_in_draws(likelihood):
    """The mixture of 16 Gaussians that stood for it ended at a few standard deviations."""
    module, n = likelihood.further(), 1_000_000
    further = np.zeros((1, 0)) if module is None else module().detach().numpy()[None]
    setting = Setting(np.array([0.5]), further, 1.0, 2.0)
    rng = np.random.default_rng(0)
    f = 0.3 * rng.standard_normal((1, n, 1))
    drawn = likelihood.draw(f, setting, rng)[0]
    predicted = likelihood.predictive(
        LatentBlock(np.ones(1), np.zeros((1, 1, 1)), np.full((1, 1, 1, 1), 0.09)), setting
    )
    for q in (0.99, 0.999, 0.9999):
        beyond = (drawn > predicted.quantile(q)).mean()
        assert beyond == pytest.approx(1 - q, abs=5 * np.sqrt((1 - q) / n))


def test_latent_values_behind_student_labels_have_no_heavy_tails():
    likelihood = btl.StudentT(dof=1.5)
    latent = LatentBlock(np.ones(1), np.zeros((1, 1, 1)), np.ones((1, 1, 1, 1)))
    setting = Setting(np.array([1e-10]), np.zeros((1, 0)), 0.0, 2.0)  # as Posterior(noise=False)
    assert likelihood.predictive(latent, setting).std()[0] == pytest.approx(2.0)
    f = np.zeros((1, 10_000, 1))
    assert np.abs(likelihood.draw(f, setting, np.random.default_rng(0))).max() == 0.0


def test_learnt_degrees_of_freedom_leave_labels_a_variance():
    module = btl.StudentT().further()
    assert module().item() == pytest.approx(4.0)
    with torch.no_grad():
        module.raw_dof_excess.fill_(-20.0)
    assert module().item() > 2.0


def test_censored_labels_are_intervals():
    likelihood = btl.Censored()
    inf = float("inf")
    block = LabelBlock(
        *(torch.tensor(v, dtype=torch.float64) for v in ([-inf, 0.5, 0.1, 0.7], [0.0] * 4, [0.2, inf, 0.3, 0.7]))
    )
    f = torch.zeros(1, 4, 1, dtype=torch.float64, requires_grad=True)
    value = likelihood.log_density(block, f, torch.tensor(0.25, dtype=torch.float64), torch.zeros(0))
    normal = stats.norm(0, 0.5)
    expected = [normal.logcdf(0.2), normal.logsf(0.5), np.log(normal.cdf(0.3) - normal.cdf(0.1)), normal.logpdf(0.7)]
    np.testing.assert_allclose(value[0].detach().numpy(), expected, rtol=1e-9)
    value.sum().backward()
    assert torch.isfinite(f.grad).all()


X = pd.DataFrame({"a": np.linspace(0, 1, 6)})


@pytest.mark.parametrize(
    ("labels", "likelihood", "words"),
    [
        ([0.0, 1.0, -0.5, 2.0, 0.0, 1.0], btl.Hurdle(), ["'y'", "row 2", "-0.5", "zero or positive"]),
        ([1.0, 2.0, 0.0, 1.0, 1.0, 1.0], btl.LogNormal(), ["'y'", "row 2", "positive"]),
        (["a", "b", "c", None, "a", "b"], btl.Bernoulli(), ["3 classes"]),
        (["a", "b", "d", None, "a", "b"], btl.Categorical(["a", "b", "c"]), ["'d'", "row 2", "none of the classes"]),
        (["a", "a", None, None, "a", "a"], None, ["only the class 'a'"]),
        (["0.1", "<", "0.3", None, "0.4", "0.5"], btl.Censored(), ["'<'", "row 1", "a limit"]),
        (["0.1", "3..1", "0.3", None, "0.4", "0.5"], btl.Censored(), ["'3..1'", "row 1", "lower end"]),
        ([0.0, 0.0, 0.0, np.nan, 0.0, 0.0], btl.Hurdle("log-normal"), ["no positive labels"]),
    ],
)
def test_bad_labels_are_named(labels, likelihood, words):
    model = btl.IndependentGP(tasks=[btl.Task("y", likelihood)], verbose=False)
    with pytest.raises(ValueError) as caught:
        model.fit(X, pd.DataFrame({"y": labels}))
    for word in words:
        assert word in str(caught.value)


def test_bad_likelihoods_are_refused():
    for make in (
        lambda: btl.StudentT(dof=-1.0),
        lambda: btl.Censored(lower=2.0, upper=1.0),
        lambda: btl.Bernoulli(["a"]),
        lambda: btl.Categorical(["a", "a"]),
        lambda: btl.Ordinal("low"),
        lambda: btl.Hurdle("gamma"),
    ):
        with pytest.raises(ValueError):
            make()


def test_defaults_follow_the_column():
    Y = pd.DataFrame(
        {
            "number": np.arange(6.0),
            "flag": [True, False, True, None, False, True],
            "colour": ["red", "blue", "green", None, "red", "blue"],
            "grade": pd.Categorical(["c", "a", "b", None, "a", "b"], categories=["c", "b", "a"], ordered=True),
        }
    )
    kinds = {t.name: t.observes for t in build_table(X, Y).tasks}
    assert isinstance(kinds["number"], btl.Gaussian)
    assert kinds["flag"] == btl.Bernoulli((False, True))
    assert kinds["colour"] == btl.Categorical(("blue", "green", "red"))
    assert kinds["grade"] == btl.Ordinal(("c", "b", "a"))


def test_many_zeros_suggest_a_hurdle():
    y = np.array([0.0] * 6 + [1.0, 2.0, 3.0])
    x = np.arange(9.0)[:, None]
    with pytest.warns(UserWarning, match="Hurdle"):
        build_table(x, pd.DataFrame({"gap": y}))


def test_limits_of_the_column_censor():
    Y = pd.DataFrame({"y": [0.05, 0.1, "0.2", ">3", "0.3..0.4", None]})
    table = build_table(X, Y, tasks=[btl.Task("y", btl.Censored(lower=0.1))])
    np.testing.assert_array_equal(table.y[:, 0], [-np.inf, -np.inf, 0.2, 3.0, 0.3, np.nan])
    np.testing.assert_array_equal(table.labels.high[:, 0], [0.1, 0.1, 0.2, np.inf, 0.4, np.nan])


def test_text_keeps_the_limit_that_it_names():
    """``<0.05`` is not widened to the limit of the column."""
    Y = pd.DataFrame({"y": ["<0.05", "0.02..0.08", 0.08, ">7", 6.0, "<0.3"]})
    table = build_table(X, Y, tasks=[btl.Task("y", btl.Censored(lower=0.1, upper=5.0))])
    np.testing.assert_array_equal(table.y[:, 0], [-np.inf, 0.02, -np.inf, 7.0, 5.0, -np.inf])
    np.testing.assert_array_equal(table.labels.high[:, 0], [0.05, 0.08, 0.1, np.inf, np.inf, 0.3])
