"""Chains of hyperparameters, against quadrature."""

import numpy as np
import pytest
from support.priors import gaussian_parts, sine_labels

from bayestl.inference.chains.hmc import hmc_draws
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
