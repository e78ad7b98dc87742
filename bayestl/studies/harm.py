"""Bad sources: what a source that is noise, or that opposes the target in half of the space, does to the target.

Each table has 60 source labels and 30 target labels on two features; the target's leave-one-out density with the source is
compared with that of the target alone, label by label, and with what ``diagnose()`` says of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayestl.metrics import paired_difference
from bayestl.models.difference import DifferenceGP
from bayestl.models.independent import IndependentGP
from bayestl.models.multitask import MultiTaskGP
from bayestl.parallel import in_parallel

N_ROWS, N_TARGETS = 60, 30
KINDS = ("noise", "half opposed", "helpful")


def draw_table(kind: str, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Features (60, 2), and labels of ``source`` and ``target``."""
    generator = np.random.default_rng([KINDS.index(kind), seed])
    x = generator.uniform(-2, 2, (N_ROWS, 2))
    f = np.sin(2 * x[:, 0]) + 0.5 * x[:, 1]
    source = {
        "noise": generator.standard_normal(N_ROWS),
        "half opposed": np.where(x[:, 0] > 0, f, -f),
        "helpful": 0.8 * f + 0.3,
    }[kind]
    Y = pd.DataFrame({"source": source, "target": f}) + 0.1 * generator.standard_normal((N_ROWS, 2))
    Y.loc[N_TARGETS:, "target"] = np.nan
    return x, Y


def models(seed: int) -> dict[str, Any]:
    """What is compared with the target alone."""
    return {
        "multi-task": MultiTaskGP(random_state=seed, verbose=False),
        "difference": DifferenceGP(["source", "target"], random_state=seed, verbose=False),
    }


def _one(kind: str, seed: int) -> list[dict[str, Any]]:
    x, Y = draw_table(kind, seed)
    alone = IndependentGP(random_state=seed, verbose=False).fit(x, Y[["target"]]).leave_one_out()
    out = []
    for name, model in models(seed).items():
        loo = model.fit(x, Y).leave_one_out()
        own = loo[loo["task"] == "target"]
        gain, se = paired_difference(own["log_density"].to_numpy(), alone["log_density"].to_numpy())
        told = model.diagnose().set_index(["check", "of"]).loc[("transfer (nats gained)", "source -> target"), "status"]
        out.append({"source": kind, "model": name, "gain": gain, "worse": gain < -se, "told": told != "pass"})
    return out


def run(n_tables: int = 40, n_jobs: int | None = 2, verbose: bool = True) -> pd.DataFrame:
    """For each kind of source and model: nats gained by a target of 30 labels (mean, worst), how often it is worse than alone by
    more than one standard error, and how often ``diagnose()`` warns of the source.
    """
    jobs = [(kind, seed) for kind in KINDS for seed in range(n_tables)]
    records = [one for found in in_parallel(_one, jobs, n_jobs, "tables with bad sources", verbose) for one in found]
    grouped = pd.DataFrame(records).groupby(["source", "model"], sort=False)
    return pd.DataFrame(
        {
            "mean gain": grouped["gain"].mean(),
            "se": grouped["gain"].sem(),
            "worst": grouped["gain"].min(),
            "worse by > 1 se": grouped["worse"].mean(),
            "diagnose() warns": grouped["told"].mean(),
        }
    )
