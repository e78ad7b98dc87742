"""Predictive distributions, row by row: what a likelihood gives, what is mixed, recalibrated and scored."""

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
from bayestl.distributions.rows import (
    Discrete,
    Empirical,
    Hurdle,
    LogNormalMixture,
    NormalMixture,
    PowerNormalMixture,
    TruncatedMixture,
)

__all__ = [
    "Array",
    "Discrete",
    "Empirical",
    "Hurdle",
    "LogNormalMixture",
    "Marginals",
    "NormalMixture",
    "PowerNormalMixture",
    "Predictive",
    "SMALLEST",
    "TruncatedMixture",
    "bisect",
    "cdf_below",
    "check_level",
    "check_probability",
    "interval_ends",
    "log_density_of",
]
