"""A family: parts of tasks that inform each other, with one prior, one set of hyperparameters and one posterior.

Independent families are fitted separately.  :meth:`Family.state` gives the arrays that a file holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from bayestl.inference.gaussian.condition import ExactPosterior
from bayestl.inference.gaussian.labels import Data, Labels
from bayestl.inference.gaussian.large.component import Kept, Summarised
from bayestl.inference.reports import ChainReport, FitReport
from bayestl.priors.prior import Prior
from bayestl.priors.vector import get_raw, set_raw
from bayestl.table.task import TaskPart


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

    @property
    def channels(self) -> list[int]:
        """Positions of the family's latent functions among those of all tasks."""
        return [c for part in self.parts for c in part.channels]

    def state(self) -> dict[str, np.ndarray]:
        """The arrays that, with the prior and the labels, restore the family."""
        state: dict[str, np.ndarray] = {}
        labels = [c.labels for c in self.posterior.components]
        if labels[0].site is not None and self.posterior.components[0].full:  # saves the search for the sites
            state["site"] = labels[0].site.numpy()
            state["y"] = np.stack([c.y.numpy() for c in labels])
            state["se2"] = np.stack([c.se2.numpy() for c in labels])
        for s, c in enumerate(self.posterior.components):
            if isinstance(c, Summarised):
                state |= {f"summary {s}.{name}": values.numpy() for name, values in c.arrays().items()}
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
            trace = chain.pop("log_density")
            report.chain = ChainReport(trace, **{k: v.item() for k, v in chain.items()})
        labels: Data | list[Labels] | list[Kept] = data
        if "site" in state:
            points, site = data.points, torch.from_numpy(state["site"])
            pairs = zip(state["y"], state["se2"], strict=True)
            labels = [Labels(points, torch.from_numpy(y), torch.from_numpy(v), site) for y, v in pairs]
        elif any(name.startswith("summary ") for name in state):
            arrays = {name: torch.from_numpy(v) for name, v in state.items() if name.startswith("summary ")}
            by_draw = (f"summary {s}." for s in range(len(state["draws"])))
            labels = [
                Kept(data.points, {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)})
                for start in by_draw
            ]
        posterior = ExactPosterior.of(prior, labels, state["draws"], state["weights"])
        return cls(parts, prior, report, posterior)
