"""The paired difference: a model of ``y_target - y_source`` where both labels of a row are known.

    f_0(i) = m_0 + r_0 e_i,        f_l(i, g) = f_{l-1}(i) + b_l [+ c_{l,g}] + delta_l(x_i)

It is the limit of the hierarchical difference model in which the features say nothing of the source, its label is exact and
``rho = 1``: the difference architecture of Hutchinson et al. 2017, with fewer hyperparameters for the fewest labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from bayestl.likelihoods import Gaussian
from bayestl.likelihoods.hyperparameters import Noise
from bayestl.models.exact.difference import Autoregression, DifferenceGP, Link
from bayestl.models.exact.multitask import SPECIFIC_AMPLITUDE
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Constant, PerGroup, PerRow, Process
from bayestl.priors.task_specific import likelihood_hyperparameters, task_specific_processes
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import TaskPart

EXACT = 6.0
"""``w`` of the row effects: noise is 0.5 % of the source's standard deviation."""
SMALLEST = 1e-3
"""Least spread of the differences for which priors are made, in standard deviations of the label."""


class Pairing(Autoregression):
    """The mixing with fixed ``rho`` (C - 1,), where levels without a parent have no function of the features."""

    def __init__(
        self, parts: Sequence[TaskPart], links: Sequence[Link], grouped: bool, specific: float, rho: Sequence[float]
    ) -> None:
        self._fixed = rho
        super().__init__(parts, links, grouped, specific)
        self.roots = [c for c, link in enumerate(links) if link.parent < 0]
        self.support[:, self.roots] = False

    def _register_rho(self, alike: Sequence[bool]) -> None:
        self.register_buffer("rho", torch.tensor(list(self._fixed), dtype=torch.float64))

    def weights(self, row_effects: torch.Tensor) -> torch.Tensor:
        w = super().weights(row_effects)
        return torch.where(self.support, w, 0.0)


class PairedDifferenceGP(DifferenceGP):
    """The target as the source's label plus an offset plus a difference function; learnt from rows with both labels.

    Rows whose source is not known are predicted from the mean and spread of the sources alone, so use it for rows whose source
    is known.

    Parameters
    ----------
    levels : list of str, optional
        All label columns, lowest fidelity first; default: the columns in their order.  Labels must be Gaussian, or all
        log-normal or power-normal.
    tasks, kernel, hyperparameters, n_starts, random_state, verbose
        The same as for :class:`IndependentGP`.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 24)[:, None]
    >>> Y = pd.DataFrame({"dft": np.sin(50 * x[:, 0]), "measured": np.sin(50 * x[:, 0]) + 0.7 + x[:, 0]})
    >>> Y.loc[::2, "measured"] = np.nan
    >>> model = btl.PairedDifferenceGP(levels=["dft", "measured"]).fit(x, Y)
    >>> known = pd.DataFrame({"dft": [0.5]})
    >>> round(float(model.predict([[0.5]], observed=known)["measured"][0]), 1)
    1.7
    """

    def _families(self, table: Table) -> list[tuple[TaskPart, ...]]:
        kinds = {(type(t.observes), getattr(t.observes, "power", None)) for t in table.tasks}
        for task in table.tasks:
            if not isinstance(task.observes, Gaussian) or len(kinds) > 1:
                raise ValueError(
                    f"task {task.name!r} has {type(task.observes).__name__} labels: PairedDifferenceGP takes tasks that are all "
                    "Gaussian, all log-normal or all of one power; use DifferenceGP"
                )
        return super()._families(table)

    def _prior(self, table: Table, scaler: Scaler, parts: tuple[TaskPart, ...], columns: Sequence[str]) -> Prior:
        links = self._family_links(table, parts)
        scales = [scaler.units(part)[1] for part in parts]
        rho = [scales[link.parent] / scales[c] for c, link in enumerate(links) if link.parent >= 0]
        spreads = self._spreads(table, scaler, parts, links)
        children = [s for s, link in zip(spreads, links, strict=True) if link.parent >= 0]
        typical = float(np.exp(np.mean(np.log(children)))) if children else 1.0
        mixing = Pairing(parts, links, table.group is not None, typical, rho)
        processes: list[Process] = task_specific_processes(parts, False, lambda: self._smooth(columns))
        for c in mixing.roots:
            processes[c] = Constant()  # in the place of the function that the lowest level does not have
        if mixing.grouped:
            processes += [PerGroup() for _ in mixing.child]
        processes += [PerRow() for _ in mixing.followed]
        has_effect = [float(c in mixing.followed) for c in range(len(parts))]
        medians = [1.0 if link.parent < 0 else Noise.MEDIAN * s for s, link in zip(spreads, links, strict=True)]
        return Prior(processes, mixing, *likelihood_hyperparameters(parts, has_effect, medians, EXACT))

    def _spreads(self, table: Table, scaler: Scaler, parts: Sequence[TaskPart], links: Sequence[Link]) -> list[float]:
        """Standard deviation of each level's difference from the one below, in its scaled units; 1 for the lowest."""
        spreads = []
        for part, link in zip(parts, links, strict=True):
            spread = 1.0 if link.parent < 0 else SPECIFIC_AMPLITUDE
            if link.parent >= 0:
                below = parts[link.parent]
                scale = scaler.units(part)[1]
                y, source = (table.tasks[p.task].observes.split(table.y[:, p.task])[p.role] for p in (part, below))
                difference = (y - source) / scale
                known = difference[np.isfinite(difference)]
                if len(known) > 2:
                    spread = max(float(known.std()), SMALLEST)
            spreads.append(spread)
        return spreads
