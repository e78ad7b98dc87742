"""What the study of likelihoods is judged by."""

import numpy as np
import pytest
from benchmarks.likelihoods import uniform_p_value


def tables(n, spread, seed):
    """PITs of 20 labels a table, which share an error: they are no independent numbers, but uniform where ``spread`` is one."""
    from scipy.special import ndtr

    generator = np.random.default_rng(seed)
    z = np.sqrt(0.5) * (generator.standard_normal((n, 1)) + generator.standard_normal((n, 20)))
    return list(ndtr(spread * z))


def test_labels_of_a_table_are_not_taken_for_independent():
    p = np.array([uniform_p_value(tables(60, 1.0, seed)) for seed in range(200)])
    assert (p < 0.1).mean() == pytest.approx(0.1, abs=0.07)
    assert uniform_p_value(tables(200, 1.4, 0)) < 0.001
