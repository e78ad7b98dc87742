"""Case F: band gaps by the hybrid functional HSE beside those by PBE, of non-metals.

A draw holds out 300 compositions with both gaps, whose PBE gap is known.  ``few``: 1000 HSE gaps and 2500 PBE gaps in
training, 1000 of them of the same compositions; ``all``: every gap that is not held out, some 22 600.  Features are element
fractions and twelve statistics of the elements.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayestl.datasets import load_band_gap_fidelities
from bayestl.studies.draws import Design, Result, compare_draws, draw_rows, formula_features

SOURCE, TARGET = "pbe", "hse"
TEST = 300
"""Held-out compositions."""
DESIGNS = {"few": Design(1000, 1500, TEST), "all": Design(None, None, TEST)}
"""The numbers of rows of each variant."""


def run(
    variant: str = "few",
    n_draws: int = 3,
    only: Sequence[str] | None = None,
    hyperparameters: str = "auto",
    seed: int = 0,
    n_jobs: int | None = 2,
    verbose: bool = True,
    design: Design | None = None,
) -> Result:
    """Run the protocol.

    Parameters
    ----------
    variant : {"few", "all"}
        1000 HSE and 2500 PBE gaps in training, or all.
    n_draws : int
        Number of draws, of the seeds 0, 1 and so on.
    only, hyperparameters, seed, n_jobs, verbose
        As for :func:`bayestl.studies.draws.compare_draws`.
    design : Design, optional
        Other numbers of rows than those of the variant.

    Raises
    ------
    ValueError
        For an unknown variant or model.
    """
    if variant not in DESIGNS:
        raise ValueError(f"variant must be one of {tuple(DESIGNS)}, got {variant!r}")
    data = load_band_gap_fidelities()
    gaps = data.Y[[SOURCE, TARGET]]
    metal, known = gaps.eq(0).any(axis=1), gaps.notna().any(axis=1)
    data = data.rows((known & ~metal).to_numpy())
    numbers = design or DESIGNS[variant]
    draws = [draw_rows(data.Y, SOURCE, TARGET, numbers, k) for k in range(n_draws)]
    used = np.unique(np.concatenate([d.rows for d in draws]))
    X = formula_features(data.X.iloc[used], n_jobs, verbose)
    comparison = compare_draws(X, data, SOURCE, TARGET, draws, only, hyperparameters, seed, n_jobs, verbose)
    first = draws[0]
    n_target = len(first.labelled)
    n_source = int(data.Y[SOURCE].iloc[np.concatenate([first.labelled, first.further])].notna().sum())
    return Result({("band gaps of non-metals", f"{n_target} HSE and {n_source} PBE gaps in training"): comparison})
