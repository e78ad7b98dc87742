import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from support.differences import central_differences

import bayestl as btl
from bayestl.inference.chains.hmc import hmc_draws
from bayestl.inference.gaussian import maximise as exact
from bayestl.inference.gaussian.labels import Labels, log_marginal_likelihood, log_posteriors, value_and_gradient
from bayestl.inference.gaussian.maximise import FitError
from bayestl.inference.gaussian.table_labels import training_data
from bayestl.kernels.cholesky import cholesky
from bayestl.kernels.combined import build_kernel
from bayestl.kernels.stationary import KERNELS
from bayestl.likelihoods.hyperparameters import Noise
from bayestl.models.exact.difference import Autoregression, Link
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Constant, PerGroup, Points, Smooth
from bayestl.priors.task_specific import TaskSpecific
from bayestl.priors.vector import get_raw, one_by_one, set_raw
from bayestl.table.task import Task, task_parts


def gaussian_parts(n):
    """The parts of n numeric tasks."""
    return task_parts([Task(f"t{i}") for i in range(n)])


def single(d=1):
    return Prior([Smooth(KERNELS["rbf"](d)), Constant()], TaskSpecific(gaussian_parts(1), grouped=False), Noise(1))


def some_labels(n=25, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-2, 2, n))
    y = np.sin(2 * x) + noise * rng.standard_normal(n)
    zero = torch.zeros(n, dtype=torch.long)
    return Labels(
        Points(torch.from_numpy(x[:, None]), zero, zero),
        torch.from_numpy(y),
        torch.full((n,), 0.01, dtype=torch.float64),
    )


def test_marginal_likelihood_is_the_dense_closed_form():
    prior, labels = single(), some_labels()
    with torch.no_grad():
        k = prior.covariance(labels.points, labels.points).numpy()
        covariance = k + np.diag(prior.noise.variance().numpy()[0] + labels.se2.numpy())
    expected = stats.multivariate_normal(np.zeros(25), covariance).logpdf(labels.y.numpy())
    assert log_marginal_likelihood(prior, labels).item() == pytest.approx(expected, rel=1e-10)


def test_gradient_is_that_of_finite_differences():
    prior, labels = single(), some_labels()
    raw = get_raw(prior) + 0.2
    _, gradient = value_and_gradient(prior, labels, raw)
    numeric = central_differences(lambda r: value_and_gradient(prior, labels, r)[0], raw, 1e-5)
    assert gradient == pytest.approx(numeric, rel=1e-4, abs=1e-6)


def test_prediction_is_the_dense_closed_form(two_tasks):
    X, Y = two_tasks
    model = btl.MultiTaskGP(hyperparameters="map", verbose=False).fit(X, Y)
    family = model.families_[0]
    x = model.scaler_.features(model.table_.x)
    labels = training_data(model.table_, model.scaler_, family.parts, x)
    x = model.scaler_.features(X.to_numpy()[30:33])
    prior = family.prior
    new = Points(torch.from_numpy(np.tile(x, (2, 1))), torch.tensor([0, 0, 0, 1, 1, 1]), torch.arange(100, 106))
    with torch.no_grad():
        k = prior.covariance(labels.points, labels.points).numpy()
        d = prior.noise.variance().numpy()[labels.points.task.numpy()]
        cross = prior.covariance(new, labels.points).numpy()
        inverse = np.linalg.inv(k + np.diag(d))
        mean = cross @ inverse @ labels.y.numpy()
        covariance = prior.covariance(new, new).numpy() - cross @ inverse @ cross.T
        noise = prior.noise.variance().numpy()
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


def test_staged_fit_agrees_with_a_fit_of_all_labels():
    labels = some_labels(80)
    whole, staged = single(), single()
    one = exact.fit(whole, labels, n_starts=1, tolerance=1e-7)
    two = exact.fit(staged, labels, n_starts=1, subset_size=20, tolerance=1e-7)
    assert two.log_posterior == pytest.approx(one.log_posterior, abs=0.01)
    assert one.converged
    assert two.converged


def test_the_subset_holds_rare_tasks_and_keeps_rows_together():
    task = torch.tensor([0] * 90 + [1] * 10)
    rows = torch.cat([torch.arange(90), torch.arange(10)])
    zero = torch.zeros(100, dtype=torch.float64)
    labels = Labels(Points(zero[:, None], task, task), torch.arange(100), zero, rows=rows)
    chosen = labels.subset(30, np.random.default_rng(0)).y
    counts = np.bincount(task[chosen].numpy())
    assert counts.tolist() == [20, 10]
    shared = set(rows[chosen][task[chosen] == 0].tolist()) & set(range(10))
    assert len(shared) >= 2


def test_a_covariance_that_is_singular_gets_jitter_and_says_so():
    ones = torch.ones(5, 5, dtype=torch.float64)
    _, jitter = cholesky(ones, torch.zeros(5, dtype=torch.float64))
    assert jitter > 0
    with pytest.raises(torch.linalg.LinAlgError):
        cholesky(-ones, torch.zeros(5, dtype=torch.float64))


def test_nothing_finite_is_an_error_that_leaves_the_hyperparameters():
    prior, labels = single(), some_labels()
    broken = Labels(labels.points, labels.y * float("nan"), labels.se2)
    before = get_raw(prior)
    with pytest.raises(FitError, match="no finite log posterior"):
        exact.fit(prior, broken)
    np.testing.assert_array_equal(get_raw(prior), before)


def test_known_standard_errors_are_used():
    """A label that is known to be poor is believed less than one that is known well."""
    x = np.zeros((4, 1))
    y = np.array([0.0, 0.0, 1.0, 1.0])
    model = btl.IndependentGP(hyperparameters="map", verbose=False).fit(x, y, Y_std=np.array([0.01, 0.01, 2.0, 2.0]))
    assert model.predict([[0.0]])[0] < 0.25


def test_hmc_draws_the_posterior_that_a_grid_gives():
    """One hyperparameter free: the chain against quadrature, within five Monte Carlo errors at half the states' worth."""
    prior, labels = (
        Prior([Constant()], TaskSpecific(gaussian_parts(1), grouped=False), Noise(1)),
        some_labels(8, noise=0.5),
    )
    prior.processes.append(Constant())
    raw = get_raw(prior)
    exact.fit(prior, labels, n_starts=1)
    centre = get_raw(prior)
    grid = np.linspace(-5, 4, 91)
    everywhere = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    log_density = log_posteriors(prior, labels, everywhere)[0].reshape(len(grid), len(grid))
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    set_raw(prior, centre)
    draws, report = hmc_draws(prior, labels, 300, 0, chains=2)
    assert report.n_chains == 2
    assert report.r_hat < 1.1
    assert len(raw) == 2
    for axis in (0, 1):
        marginal = density.sum(axis=1 - axis)
        mean = (grid * marginal).sum()
        sd = np.sqrt(((grid - mean) ** 2 * marginal).sum())
        assert draws[:, axis].mean() == pytest.approx(mean, abs=5 * sd / np.sqrt(300))
        assert draws[:, axis].std() == pytest.approx(sd, rel=0.25)
    np.testing.assert_array_equal(get_raw(prior), centre)


def test_hmc_tells_of_a_chain_that_does_not_move():
    """One such chain in 40 tables once gave an interval without width, and nobody was told."""
    prior, labels = (
        Prior([Constant()], TaskSpecific(gaussian_parts(1), grouped=False), Noise(1)),
        some_labels(8, noise=0.5),
    )
    exact.fit(prior, labels, n_starts=1)

    class Cliff(Labels):
        def evidences(self, prior, raws):
            values, gradients = super().evidences(prior, raws)
            return values, 1e9 * (gradients + 1.0)

    with pytest.warns(RuntimeWarning, match="does not move"):
        hmc_draws(prior, Cliff(**vars(labels)), 10, 0, temperatures=(1.0,))


@pytest.mark.parametrize("kernel", [*KERNELS, "sum", "product"])
def test_many_hyperparameters_at_once_are_each_of_them(kernel):
    """All walkers of a chain take this way; the ones beside it are the same arithmetic, one after another."""
    rng = np.random.default_rng(0)
    n, parts = 18, gaussian_parts(2)
    blocks = btl.Kernel("matern52", "a"), btl.Kernel("rational-quadratic", ["a", "b"])
    description = {"sum": blocks[0] + blocks[1], "product": blocks[0] * blocks[1]}.get(kernel, kernel)
    task = torch.from_numpy(np.repeat([0, 1], n // 2))
    at = Points(torch.from_numpy(rng.standard_normal((n, 2))), task, torch.from_numpy(rng.integers(0, 3, n)))
    site = torch.from_numpy(rng.random(n) < 0.3)
    labels = Labels(at, torch.from_numpy(rng.standard_normal(n)), torch.from_numpy(rng.uniform(0.1, 0.3, n)), site)
    mixing = Autoregression(parts, [Link(-1, False), Link(0, True)], grouped=True)
    processes = [Smooth(build_kernel(description, ["a", "b"])) for _ in range(2)]
    prior = Prior([*processes, Constant(), Constant(), PerGroup()], mixing, Noise(2))
    raws = get_raw(prior) + 0.3 * rng.standard_normal((5, len(get_raw(prior))))
    values, gradients = labels.evidences(prior, raws)
    expected, slopes = one_by_one(prior, lambda: log_marginal_likelihood(prior, labels), raws)
    np.testing.assert_allclose(values, expected, rtol=1e-10)
    np.testing.assert_allclose(gradients, slopes, rtol=1e-7, atol=1e-9)
    numeric = central_differences(lambda r: value_and_gradient(prior, labels, r)[0], raws[0], 1e-5)
    assert log_posteriors(prior, labels, raws)[1][0] == pytest.approx(numeric, rel=1e-4, abs=1e-6)


def test_one_set_of_hyperparameters_that_needs_jitter_does_not_spoil_the_others():
    prior, labels = single(), some_labels(6)
    twice = labels.join(labels)
    twice = Labels(twice.points, twice.y, torch.zeros(12, dtype=torch.float64), torch.ones(12, dtype=torch.bool))
    raws = get_raw(prior)[None].repeat(3, axis=0)
    values, gradients = twice.evidences(prior, raws)  # the same rows twice without noise: singular
    expected, slopes = one_by_one(prior, lambda: log_marginal_likelihood(prior, twice), raws)
    np.testing.assert_allclose(values, expected)
    np.testing.assert_allclose(gradients, slopes)


@pytest.mark.parametrize("seed", [19, 26])
def test_the_optimum_is_one_where_length_scales_start_short(seed):
    """Tables on which the optimiser once stopped on a cliff of rounding errors, gradient 3e5, 200 nats too low."""
    from benchmarks.drawn import fit_unscaled
    from benchmarks.recovery import draw_table

    x, Y, groups, _ = draw_table(seed)
    model = btl.DifferenceGP(["low", "high"], hyperparameters="map", verbose=False)
    fit_unscaled(model, x, Y, groups)
    family = model.families_[0]
    again = exact.fit(family.prior, model._family_data(family), n_starts=1, tolerance=1e-6)
    assert again.log_posterior - family.report.log_posterior < 0.5  # nats that going on much longer gains
    assert again.gradient_norm < 2.0


def test_real_gaps_do_not_run_away(data_folder):
    """Without priors on amplitudes the marginal likelihood of this kind of table reached an amplitude of 888."""
    from bayestl.features import CompositionFeatures

    data = btl.datasets.load_experimental_band_gaps()
    rows = np.random.default_rng(0).permutation(len(data.X))[:150]
    X = CompositionFeatures(["stoichiometry", "valence"], verbose=False).fit_transform(data.X.iloc[rows])
    Y = data.Y.iloc[rows]
    tasks = [btl.Task(name, btl.Gaussian()) for name in Y.columns]
    model = btl.DifferenceGP(["pbe_gap", "expt_gap"], tasks, hyperparameters="map", verbose=False).fit(X, Y)
    assert (model.families_[0].prior.mixing.raw_amplitude.exp() < 20).all()
    rho = float(model.families_[0].prior.mixing.rho.detach()[0])
    assert 0.5 < rho * model.scaler_.y_scale[1] / model.scaler_.y_scale[0] < 2.0  # of gaps in eV
