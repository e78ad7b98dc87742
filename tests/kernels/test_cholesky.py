"""Factors of covariances."""

import pytest
import torch

from bayestl.kernels.cholesky import cholesky


def test_a_covariance_that_is_singular_gets_jitter_and_says_so():
    ones = torch.ones(5, 5, dtype=torch.float64)
    _, jitter = cholesky(ones, torch.zeros(5, dtype=torch.float64))
    assert jitter > 0
    with pytest.raises(torch.linalg.LinAlgError):
        cholesky(-ones, torch.zeros(5, dtype=torch.float64))
