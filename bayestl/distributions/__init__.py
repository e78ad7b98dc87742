"""Predictive distributions, row by row: likelihoods return them; they are mixed, recalibrated and scored."""

from __future__ import annotations

from bayestl.distributions.base import (
    SMALLEST,
    Array,
    Marginals,
    Predictive,
    bisect,
    cdf_below,
    check_level,
    check_probability,
    interval_ends,
    log_density_of,
)
from bayestl.distributions.clipped import Clipped
from bayestl.distributions.rows import (
    Discrete,
    Empirical,
    Hurdle,
    LogNormalMixture,
    NormalMixture,
    PowerNormalMixture,
    TruncatedMixture,
)
from bayestl.distributions.student import StudentMixture

__all__ = [
    "SMALLEST",
    "Array",
    "Clipped",
    "Discrete",
    "Empirical",
    "Hurdle",
    "LogNormalMixture",
    "Marginals",
    "NormalMixture",
    "PowerNormalMixture",
    "Predictive",
    "StudentMixture",
    "TruncatedMixture",
    "bisect",
    "cdf_below",
    "check_level",
    "check_probability",
    "interval_ends",
    "log_density_of",
]
