"""Bad sources: the effect on the target of a source that is noise, or opposes the target in half of the space.

Each table has 60 source labels and 30 target labels on two features.  The log densities of the target's labels with the
source are compared with those of the target alone: by leave-one-out, and for new labels, for which a stack of all three
models and ``AutoTransfer`` are scored too.  Also recorded is whether ``diagnose()`` warns of the source.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayestl.metrics import paired_difference
from bayestl.models.ensembles.auto import AutoTransfer
from bayestl.models.ensembles.stacked import StackedModel
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.exact.multitask import MultiTaskGP
from bayestl.parallel import in_parallel

N_ROWS, N_TARGETS, N_NEW = 60, 30, 300
KINDS = ("noise", "half opposed", "helpful")


def draw_table(kind: str, seed: int, new: bool = False) -> tuple[np.ndarray, pd.DataFrame]:
    """Features (60, 2) and labels of ``source`` and ``target``; with ``new``, 300 further rows with all labels."""
    generator = np.random.default_rng([KINDS.index(kind), seed, 1] if new else [KINDS.index(kind), seed])
    n = N_NEW if new else N_ROWS
    x = generator.uniform(-2, 2, (n, 2))
    f = np.sin(2 * x[:, 0]) + 0.5 * x[:, 1]
    source = {
        "noise": generator.standard_normal(n),
        "half opposed": np.where(x[:, 0] > 0, f, -f),
        "helpful": 0.8 * f + 0.3,
    }[kind]
    Y = pd.DataFrame({"source": source, "target": f}) + 0.1 * generator.standard_normal((n, 2))
    if not new:
        Y.loc[N_TARGETS:, "target"] = np.nan
    return x, Y


def models(seed: int) -> dict[str, Any]:
    """The unfitted models that are compared with the target alone."""
    return {
        "multi-task": MultiTaskGP(random_state=seed, verbose=False),
        "difference": DifferenceGP(["source", "target"], random_state=seed, verbose=False),
    }


def _records(kind: str, seed: int) -> list[dict[str, Any]]:
    """The gains of each model and of the stack on one table."""
    x, Y = draw_table(kind, seed)
    x_new, Y_new = draw_table(kind, seed, new=True)
    single = IndependentGP(random_state=seed, verbose=False).fit(x, Y[["target"]])
    alone = single.leave_one_out()["log_density"].to_numpy()
    alone_new = single.log_density(x_new, Y_new[["target"]])["target"].to_numpy()
    hidden = Y_new.assign(source=np.nan)
    records: list[dict[str, Any]] = []
    for name, model in models(seed).items():
        loo = model.fit(x, Y).leave_one_out()
        with_source = loo.loc[loo["task"] == "target", "log_density"].to_numpy()
        gain, se = paired_difference(with_source, alone)
        new = model.log_density(x_new, hidden)["target"].to_numpy() - alone_new
        checks = model.diagnose().set_index(["check", "of"])
        status = checks.loc[("transfer (nats gained)", "source -> target"), "status"]
        records.append(
            {
                "source": kind,
                "model": name,
                "gain": gain,
                "worse": float(gain < -se),
                "warned": float(status != "pass"),
                **_of_new(new),
            }
        )
    members = {"alone": IndependentGP(random_state=seed), **models(seed)}
    stacked = StackedModel(members, target="target", verbose=False).fit(x, Y)
    new = stacked.log_density(x_new, hidden)["target"].to_numpy() - alone_new
    records.append({"source": kind, "model": "stacked", **_of_new(new)})
    auto = AutoTransfer("target", random_state=seed, verbose=False).fit(x, Y)
    new = auto.log_density(x_new, hidden)["target"].to_numpy() - alone_new
    status = auto.diagnose().set_index(["check", "of"]).loc[("transfer (nats gained a label)", "target"), "status"]
    records.append({"source": kind, "model": "auto", "warned": float(status != "pass"), **_of_new(new)})
    return records


def _of_new(difference: np.ndarray) -> dict[str, float]:
    """The mean gain of new labels, and whether 30 of them would lose by more than one standard error."""
    mean, sd = float(difference.mean()), float(difference.std(ddof=1))
    return {"new": mean, "new worse": float(mean < -sd / np.sqrt(N_TARGETS))}


def run(n_tables: int = 40, n_jobs: int | None = 2, verbose: bool = True) -> pd.DataFrame:
    """For each kind of source and model, what the source does to a target with 30 labels, over the tables.

    Nats gained by leave-one-out, summed over the labels: mean, its standard error, worst, and how often worse than the
    target alone by more than one standard error; nats gained per new label, with standard error, and how often 30 new
    labels would be worse by more than one of their standard errors; how often ``diagnose()`` warns of the source.
    """
    jobs = [(kind, seed) for kind in KINDS for seed in range(n_tables)]
    per_table = in_parallel(_records, jobs, n_jobs, "tables with bad sources", verbose)
    grouped = pd.DataFrame([record for records in per_table for record in records]).groupby(
        ["source", "model"], sort=False
    )
    return pd.DataFrame(
        {
            "mean gain": grouped["gain"].mean(),
            "se": grouped["gain"].sem(),
            "worst": grouped["gain"].min(),
            "worse by > 1 se": grouped["worse"].mean(),
            "a new label": grouped["new"].mean(),
            "its se": grouped["new"].sem(),
            "new worse by > 1 se": grouped["new worse"].mean(),
            "diagnose() warns": grouped["warned"].mean(),
        }
    )
