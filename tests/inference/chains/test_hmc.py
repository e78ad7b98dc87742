"""Chains of hyperparameters, against quadrature."""

import numpy as np
import pytest
from support.priors import gaussian_parts, sine_labels

from bayestl.inference.chains.hmc import Evaluated, hmc_draws, vectorised_chains
from bayestl.inference.gaussian import maximise
from bayestl.inference.gaussian.labels import Labels, log_posteriors
from bayestl.likelihoods.hyperparameters import Noise
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Constant
from bayestl.priors.rows import Residual
from bayestl.priors.task_specific import TaskSpecific
from bayestl.priors.vector import get_raw, set_raw


def test_hmc_draws_the_posterior_that_a_grid_gives():
    """One hyperparameter free: the chain against quadrature, within five Monte Carlo errors at half the states' worth."""
    prior, labels = (
        Prior([Constant()], TaskSpecific(gaussian_parts(1), grouped=False), Residual(Noise(1))),
        sine_labels(8, noise=0.5),
    )
    prior.processes.append(Constant())
    raw = get_raw(prior)
    maximise.fit(prior, labels, n_starts=1)
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
    """One such chain in 40 tables once gave an interval without width, and nothing warned of it."""
    prior, labels = (
        Prior([Constant()], TaskSpecific(gaussian_parts(1), grouped=False), Residual(Noise(1))),
        sine_labels(8, noise=0.5),
    )
    maximise.fit(prior, labels, n_starts=1)

    class Cliff(Labels):
        def evidences(self, prior, raws):
            values, gradients = super().evidences(prior, raws)
            return values, 1e9 * (gradients + 1.0)

    with pytest.warns(RuntimeWarning, match="does not move"):
        hmc_draws(prior, Cliff(**vars(labels)), 10, 0, temperatures=(1.0,))


class TwoChoices:
    """Either coordinate is near 4 and the other near 0; the prior does not distinguish them."""

    def at(self, points):
        centres = np.array([[4.0, 0.0], [0.0, 4.0]])
        shift = points[:, None] - centres
        logs = -0.5 * (shift**2).sum(axis=2) / 0.3**2
        value = np.logaddexp(*logs.T)
        share = np.exp(logs - value[:, None])
        slope = -(share[:, :, None] * shift).sum(axis=1) / 0.3**2
        return Evaluated(value, -(points**2).sum(axis=1) / 16, slope, -points / 8)


@pytest.mark.parametrize("exchangeable", [True, False])
def test_coordinates_that_change_places_pass_between_choices(exchangeable):
    groups = [np.arange(2)] if exchangeable else []
    draws, _ = vectorised_chains(
        TwoChoices(),
        np.array([4.0, 0.0]),
        np.array([[0.3, 0.0], [0.1, 0.3]]),
        200,
        0,
        warmup=40,
        temperatures=(1.0,),
        exchangeable=groups,
    )
    first = (draws[:, 0] > draws[:, 1]).mean()
    assert 0.3 < first < 0.7 if exchangeable else first == 1.0


def test_chains_that_have_not_converged_go_on_once():
    calls = []
    start = {"centre": np.array([4.0, 0.0]), "root": 0.3 * np.eye(2), "n": 40, "seed": 0, "warmup": 20}
    common = {"temperatures": (1.0,), "callback": calls.append}
    draws, report = vectorised_chains(TwoChoices(), **start, **common, patience=1)
    assert len(draws) == len(report.log_density) == 40
    assert calls[-1] == (60 if report.converged else 100)
    not_converged = {**start, "centre": np.array([40.0, 0.0]), "root": 1e-3 * np.eye(2), "warmup": 1}
    ends = []
    for seed in range(5):  # 19 of 20 seeds have not converged
        draws, _ = vectorised_chains(TwoChoices(), **{**not_converged, "seed": seed}, **common, patience=1)
        assert len(draws) == 40
        ends.append(calls[-1])
    assert set(ends) <= {41, 81}
    assert ends.count(81) >= 3
