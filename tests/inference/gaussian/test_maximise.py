"""The hyperparameters of highest posterior density."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from support.priors import sine_labels, single_task_prior

import bayestl as btl
from bayestl.inference.gaussian import maximise
from bayestl.inference.gaussian.labels import Labels
from bayestl.inference.gaussian.maximise import FitError
from bayestl.models.exact import hyperparameters
from bayestl.priors.vector import get_raw, set_raw

FIT = maximise.fit


@pytest.mark.parametrize("middle", [40, 1000], ids=["three stages", "two stages"])
def test_staged_fit_agrees_with_a_fit_of_all_labels(middle):
    labels = sine_labels(80)
    whole, staged = single_task_prior(), single_task_prior()
    one = maximise.fit(whole, labels, n_starts=1, tolerance=1e-7)
    two = maximise.fit(staged, labels, n_starts=1, subset_size=20, middle_size=middle, tolerance=1e-7)
    assert two.log_posterior == pytest.approx(one.log_posterior, abs=0.01)
    assert one.converged
    assert two.converged


def test_nothing_finite_is_an_error_that_leaves_the_hyperparameters():
    prior, labels = single_task_prior(), sine_labels()
    broken = Labels(labels.points, labels.y * float("nan"), labels.se2)
    before = get_raw(prior)
    with pytest.raises(FitError, match="no finite log posterior"):
        maximise.fit(prior, broken)
    np.testing.assert_array_equal(get_raw(prior), before)


@pytest.mark.parametrize("seed", [19, 26])
def test_the_optimum_is_one_where_length_scales_start_short(seed):
    """Tables on which the optimiser once stopped on a cliff of rounding errors, gradient 3e5, 200 nats too low."""
    from benchmarks.drawn import fit_unscaled
    from benchmarks.recovery import draw_table

    x, Y, groups, _ = draw_table(seed)
    model = btl.DifferenceGP(["low", "high"], hyperparameters="map", verbose=False)
    fit_unscaled(model, x, Y, groups)
    family = model.families_[0]
    again = maximise.fit(family.prior, model._family_data(family), n_starts=1, tolerance=1e-6)
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


@pytest.mark.slow
def test_fast_functions_that_few_labels_take_as_noise_are_found_in_more(monkeypatch):
    gained = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x = rng.random((800, 10))
        low = (
            np.sin(9 * x[:, 0]) * np.cos(7 * x[:, 1])
            + np.abs(np.sin(4 * x[:, 2]))
            + 0.7 * np.sin(5 * (x[:, 4] + x[:, 5]))
        )
        high = 1.2 * low + 0.5 * np.sin(3 * x[:, 4]) + 0.1 * rng.standard_normal(800)
        Y = pd.DataFrame({"low": low + 0.05 * rng.standard_normal(800), "high": high})
        Y.iloc[:400, 1] = Y.iloc[400:, 0] = np.nan
        values = []
        for restart in (False, True):
            monkeypatch.setattr(maximise, "fit", partial(FIT, subset_size=200, middle_size=500))
            monkeypatch.setattr(hyperparameters, "LAPLACE_LABELS", 0 if restart else 10**9)
            model = btl.DifferenceGP(hyperparameters="map", verbose=False).fit(x, Y)
            values.append(model.families_[0].report.log_posterior)
        gained.append(values[1] - values[0])
    assert min(gained) > -1.0
    assert sum(gained) > 20.0


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_start_at_the_bound_leaves_it(side):
    labels = sine_labels(60)
    inside, bound = single_task_prior(), single_task_prior()
    expected = maximise.fit(inside, labels, n_starts=1, tolerance=1e-7)
    raw = get_raw(bound)
    raw[0] = side * maximise.RAW_BOUND
    set_raw(bound, raw)
    found = maximise.fit(bound, labels, n_starts=1, tolerance=1e-7)
    assert found.log_posterior == pytest.approx(expected.log_posterior, abs=0.05)


@pytest.mark.parametrize(("size", "n", "sizes"), [(30, 2, [30, 30]), (30, 9, [30, 30, 20]), (100, 3, [80])])
def test_blocks_of_labels_share_none_and_their_evidences_add_up(size, n, sizes):
    labels, prior = sine_labels(80), single_task_prior()
    blocks = labels.blocks(size, n, np.random.default_rng(0))
    assert [len(block) for block in blocks.blocks] == sizes
    assert len(blocks) == len({float(y) for block in blocks.blocks for y in block.y}) == sum(sizes)
    raws = np.stack([get_raw(prior), get_raw(prior) + 0.3])
    values, gradients = blocks.evidences(prior, raws)
    alone = [block.evidences(prior, raws) for block in blocks.blocks]
    np.testing.assert_allclose(values, sum(v for v, _ in alone))
    np.testing.assert_allclose(gradients, sum(g for _, g in alone))


def test_several_blocks_find_the_hyperparameters_of_all_labels():
    """Better than one of them does."""
    far = {1: [], 8: []}
    for seed in range(5):
        labels, whole = sine_labels(400, seed), single_task_prior()
        maximise.fit(whole, labels, n_starts=1)
        for n_blocks in far:
            prior = single_task_prior()
            maximise.fit(prior, labels, n_starts=1, subset_size=50, largest=50, n_blocks=n_blocks)
            far[n_blocks].append(np.abs(get_raw(prior) - get_raw(whole)).mean())
    assert np.mean(far[8]) < 0.7 * np.mean(far[1])
