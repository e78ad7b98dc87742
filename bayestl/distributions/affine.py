"""Whether a function of several quantities is affine, and its constant and slopes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def affine_form(
    evaluate: Callable[[np.ndarray], np.ndarray], trial: np.ndarray, n: int, n_tasks: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Constant (n,) and slopes (n, T) of a function that is affine at the trial draws up to rounding, else None."""
    centre = trial[0]
    probes = np.concatenate([centre[None], centre[None] + np.eye(n_tasks)[:, None, :]])
    with np.errstate(all="ignore"):  # a logarithm or a division may leave its domain at a probe
        at_probes = evaluate(probes)
        at_trial = evaluate(trial)
    slope = (at_probes[1:] - at_probes[0]).T
    constant = at_probes[0] - (slope * centre).sum(axis=1)
    affine = constant + np.einsum("nt,knt->kn", slope, trial)
    size = np.abs(at_trial).max() + np.abs(slope).max() * np.abs(trial).max() + 1e-300
    if (
        not np.isfinite(affine).all()
        or not np.isfinite(at_trial).all()
        or np.abs(affine - at_trial).max() > 1e-9 * size
    ):
        return None
    return constant, slope
