"""A family: parts of tasks that inform each other, with one prior, one set of hyperparameters and one posterior.

Independent families are fitted separately.  :meth:`Family.state` gives the arrays that a file holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bayestl.device import tensor, to_numpy
from bayestl.inference.gaussian.condition import ExactPosterior
from bayestl.inference.gaussian.labels import Data, Labels
from bayestl.inference.gaussian.large.component import Kept, Summarised
from bayestl.inference.reports import ChainReport, FitReport
from bayestl.priors.prior import Prior
from bayestl.priors.vector import get_raw, set_raw
from bayestl.table.task import TaskPart

MOST_KEPT = 100_000_000
"""Most numbers of a posterior given further labels that is kept, 0.8 GB: the parts of a table ask for it again and again."""


@dataclass
class Family:
    """Parts of tasks that inform each other, with their fitted prior and posterior."""

    parts: tuple[TaskPart, ...]
    prior: Prior
    """The prior at the posterior maximum of its hyperparameters, in scaled units."""
    report: FitReport
    posterior: ExactPosterior
    draws: np.ndarray | None = None
    """Draws (S, P) of the raw hyperparameters for reported effects, once they have been computed."""
    _given: tuple[bytes, ExactPosterior] | None = field(default=None, init=False, repr=False, compare=False)

    def given(self, labels: Data, key: bytes) -> ExactPosterior:
        """The posterior given further labels; a small one is kept for the next question with the same labels and ``key``."""
        if self._given is not None and self._given[0] == key:
            return self._given[1]
        posterior = self.posterior.condition(labels)
        small = sum(c.factor.numel() for c in posterior.components) <= MOST_KEPT
        self._given = (key, posterior) if small else None
        return posterior

    @property
    def channels(self) -> list[int]:
        """Positions of the family's latent functions among those of all tasks."""
        return [c for part in self.parts for c in part.channels]

    def state(self) -> dict[str, np.ndarray]:
        """The arrays that, with the prior and the labels, restore the family."""
        state: dict[str, np.ndarray] = {}
        labels = [c.labels for c in self.posterior.components]
        if labels[0].site is not None and self.posterior.components[0].full:  # saves the search for the sites
            state["site"] = to_numpy(labels[0].site)
            state["y"] = np.stack([to_numpy(c.y) for c in labels])
            state["se2"] = np.stack([to_numpy(c.se2) for c in labels])
        for s, c in enumerate(self.posterior.components):
            if isinstance(c, Summarised):
                state |= {f"summary {s}.{name}": to_numpy(values) for name, values in c.arrays().items()}
        r = self.report
        numbers = [r.log_posterior, r.gradient_norm, r.converged, r.n_evaluations, r.n_starts, r.jitter]
        state |= {
            "raw": get_raw(self.prior),
            "draws": self.posterior.draws,
            "weights": self.posterior.weights,
            "report": np.array(numbers),
        }
        if r.chain is not None:
            state |= {f"chain.{k}": np.array(v) for k, v in vars(r.chain).items()}
        return state

    @classmethod
    def restored(cls, parts: tuple[TaskPart, ...], prior: Prior, data: Data, state: Mapping[str, np.ndarray]) -> Family:
        """A family from the arrays of :meth:`state`; ``prior`` is changed, ``data`` are the labels of the fit."""
        set_raw(prior, state["raw"])
        value, gradient, converged, evaluations, starts, jitter = state["report"].tolist()
        report = FitReport(
            value, gradient, bool(converged), "restored from a file", int(evaluations), int(starts), jitter
        )
        if chain := {k.removeprefix("chain."): v for k, v in state.items() if k.startswith("chain.")}:
            report.chain = ChainReport.restored(chain)
        labels: Data | list[Labels] | list[Kept] = data
        if "site" in state:
            points, site = data.points, tensor(state["site"])
            pairs = zip(state["y"], state["se2"], strict=True)
            labels = [Labels(points, tensor(y), tensor(v), site) for y, v in pairs]
        elif any(name.startswith("summary ") for name in state):
            arrays = {name: tensor(v) for name, v in state.items() if name.startswith("summary ")}
            by_draw = (f"summary {s}." for s in range(len(state["draws"])))
            labels = [
                Kept(data.points, {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)})
                for start in by_draw
            ]
        posterior = ExactPosterior.of(prior, labels, state["draws"], state["weights"])
        return cls(parts, prior, report, posterior)
