"""Difference architecture: a hierarchical autoregressive Gaussian process over two or more levels of fidelity.

    f_0(i)    = m_0 + u_0(x_i) + r_0 e_i0
    f_l(i, g) = rho_l f_{l-1}(i, g) + b_l + c_{l,g} + delta_l(x_i) + r_l e_il

    u_0, delta_l ~ GP,   rho_l ~ N(1, 1),   b_l ~ N(0, 1),   c_{l,g} ~ N(0, tau_l^2),   tau_l ~ HalfNormal(0.5)

on labels scaled to unit variance.  Kennedy, O'Hagan 2000, *Predicting the output from a complex computer code when fast
approximations are available*; the offsets of groups (methods, laboratories, structure families) are partially pooled.
For Gaussian labels ``b``, ``c`` and the functions are integrated out exactly; ``rho`` and the scales are
hyperparameters.  ``e_il`` are row effects, what the features do not say of row i (:mod:`bayestl.priors.rows`); the last level
has none of its own, since only a second measurement could tell it from noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from gpytorch.priors import HalfNormalPrior, LogNormalPrior, NormalPrior

from bayestl import streams
from bayestl.diagnostics.draws import Variable
from bayestl.distributions import check_probability
from bayestl.inference.gaussian.condition import ExactPosterior
from bayestl.kernels.combined import Covariance
from bayestl.kernels.hyperpriors import register_positive, register_real
from bayestl.models.exact.family import Family
from bayestl.models.exact.multitask import SPECIFIC_AMPLITUDE
from bayestl.models.exact.transfer import TransferModel
from bayestl.priors.prior import Mixing, Prior
from bayestl.priors.processes import PerGroup, PerRow, Points
from bayestl.priors.task_specific import AMPLITUDE, GROUP_SPREAD, likelihood_hyperparameters, task_specific_processes
from bayestl.streams import RandomState
from bayestl.table.graph import order_levels, parent_channels
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import Task, TaskPart


class Link(NamedTuple):
    """The latent function of the level below that a latent function follows, by position (-1: none)."""

    parent: int
    alike: bool
    """Whether both have the same kind of likelihood, so that ``rho`` is expected to be near one."""


class Autoregression(Mixing):
    """``W = R [amplitudes | constants | groups | rows]``, ``R = (I - diag(rho) P)^-1``; ``P`` maps a channel to its parent."""

    def __init__(
        self, parts: Sequence[TaskPart], links: Sequence[Link], grouped: bool, specific: float = SPECIFIC_AMPLITUDE
    ) -> None:
        super().__init__()
        n = len(links)
        part_of = [i for i, p in enumerate(parts) for _ in p.channels]
        self.owner = torch.tensor(part_of)
        self.parent = [link.parent for link in links]
        self.child = [c for c, link in enumerate(links) if link.parent >= 0]
        self.grouped = grouped and bool(self.child)
        size = torch.tensor([p.likelihood.amplitude for p in parts], dtype=torch.float64)
        self.constants = size[self.owner]
        if self.child:
            self._register_rho([links[c].alike for c in self.child])
        roots = {part_of[c] for c, link in enumerate(links) if link.parent < 0}
        medians = torch.tensor([AMPLITUDE if i in roots else specific for i in range(len(parts))]).double() * size
        register_positive(self, "amplitude", medians, LogNormalPrior(medians.log(), torch.ones_like(medians)))
        reach = torch.eye(n, dtype=torch.bool)
        for c in self._top_down():
            if self.parent[c] >= 0:
                reach[c] |= reach[self.parent[c]]
        blocks = [reach, reach]
        if self.grouped:
            register_positive(self, "tau", torch.full((len(self.child),), 0.3), HalfNormalPrior(GROUP_SPREAD))
            blocks.append(reach[:, self.child])
        self.followed = sorted(set(self.parent) - {-1})
        blocks.append(reach[:, self.followed])
        self.support = torch.cat(blocks, dim=1)

    def _register_rho(self, alike: Sequence[bool]) -> None:
        """Add ``rho`` of each child, expected near one where it is of the same kind as its parent."""
        expected = torch.tensor(alike, dtype=torch.float64)
        start = expected.where(expected > 0, torch.tensor(0.5, dtype=torch.float64))
        register_real(self, "rho", start, NormalPrior(expected, torch.ones_like(expected)))

    def _top_down(self) -> list[int]:
        """The channels, parents before children."""
        order: list[int] = []
        while len(order) < len(self.parent):
            order += [c for c, p in enumerate(self.parent) if c not in order and (p < 0 or p in order)]
        return order

    def weights(self, row_effects: torch.Tensor) -> torch.Tensor:
        identity = torch.eye(len(self.parent), dtype=torch.float64)
        rows: dict[int, torch.Tensor] = {}
        for c in self._top_down():
            unit = identity[c]
            rows[c] = unit if self.parent[c] < 0 else self.rho[self.child.index(c)] * rows[self.parent[c]] + unit
        r = torch.stack([rows[c] for c in range(len(self.parent))])
        blocks = [r * self.raw_amplitude.exp()[self.owner], r * self.constants]
        if self.grouped:
            blocks.append(r[:, self.child] * self.raw_tau.exp())
        blocks.append(r[:, self.followed] * row_effects[self.followed])
        return torch.cat(blocks, dim=1)


class DifferenceGP(TransferModel):
    """The target as the scaled source plus an offset plus a difference function.

    Parameters
    ----------
    levels : list of str, optional
        All label columns, lowest fidelity first; default: the columns in their order.
    tasks, kernel, hyperparameters, n_starts, random_state, verbose
        The same as for :class:`IndependentGP`.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 24)[:, None]
    >>> Y = pd.DataFrame({"dft": np.sin(5 * x[:, 0]), "measured": 1.2 * np.sin(5 * x[:, 0]) + 0.7})
    >>> Y.loc[::2, "measured"] = np.nan
    >>> model = btl.DifferenceGP(levels=["dft", "measured"]).fit(x, Y)
    >>> model.offsets()["mean"].round(1).tolist()        # rho, then the offset
    [1.2, 0.7]
    """

    def __init__(
        self,
        levels: Sequence[str] | None = None,
        tasks: Sequence[Task] | None = None,
        kernel: str | Covariance = "matern52",
        hyperparameters: str | Mapping[str, str] = "auto",
        n_starts: int = 2,
        random_state: RandomState = 0,
        verbose: bool = True,
    ) -> None:
        super().__init__(tasks, kernel, hyperparameters, n_starts, random_state, verbose)
        self.levels = levels

    def _links(self, table: Table) -> dict[int, tuple[int, bool]]:
        """The parent of each channel that follows another, and whether both have the same kind of likelihood.

        Raises
        ------
        ValueError
            If a task follows a task of more than two classes without having the same number of classes.
        """
        order = order_levels(self.levels, table.names)
        links = {}
        for lower, upper in pairwise(order):
            for child in (p for p in table.parts if p.task == upper):
                parent, alike = parent_channels(table.parts, child, lower)
                same = len(parent.channels) == len(child.channels)
                if not same and len(parent.channels) > 1:
                    raise ValueError(
                        f"DifferenceGP: level {table.names[upper]!r} cannot follow {table.names[lower]!r}, which has "
                        f"{len(parent.channels)} classes: put it the other way round, or use MultiTaskGP"
                    )
                for i, c in enumerate(child.channels):
                    links[c] = (parent.channels[i] if same else parent.channels[0], alike)
        return links

    def _families(self, table: Table) -> list[tuple[TaskPart, ...]]:
        """The parts that are connected by links, directly or through others."""
        family_of_part = {p: i for i, p in enumerate(table.parts)}
        owner = {c: p for p in table.parts for c in p.channels}
        for child, (parent, _) in self._links(table).items():
            a, b = family_of_part[owner[child]], family_of_part[owner[parent]]
            family_of_part = {p: min(a, b) if i in (a, b) else i for p, i in family_of_part.items()}
        return [tuple(p for p in table.parts if family_of_part[p] == i) for i in sorted(set(family_of_part.values()))]

    def _prior(self, table: Table, scaler: Scaler, parts: tuple[TaskPart, ...], columns: Sequence[str]) -> Prior:
        grouped = table.group is not None
        mixing = Autoregression(parts, self._family_links(table, parts), grouped)
        processes = task_specific_processes(parts, False, lambda: self._smooth(columns))
        if mixing.grouped:
            processes += [PerGroup() for _ in mixing.child]
        processes += [PerRow() for _ in mixing.followed]
        has_effect = [float(c in mixing.followed) for c in range(len(mixing.parent))]
        return Prior(processes, mixing, *likelihood_hyperparameters(parts, has_effect))

    def _family_links(self, table: Table, parts: tuple[TaskPart, ...]) -> list[Link]:
        links, channels = self._links(table), [c for p in parts for c in p.channels]
        return [Link(channels.index(links[c][0]), links[c][1]) if c in links else Link(-1, False) for c in channels]

    def offsets(self, level: float = 0.9, n_draws: int = 4000) -> pd.DataFrame:
        """Posterior of the scale ``rho``, the fidelity offset ``b`` and each group's deviation ``c``, in label units.

        ``y_l = rho y_{l-1} + b + c_g + delta(x)``: ``rho`` is in units of level l per unit of level l - 1, ``b`` and
        ``c`` in units of level l.  For log-normal and power-normal labels the units are those of the logarithm or
        power; for classes, and for whether a hurdle label is zero, those of the latent value.

        Parameters
        ----------
        level : float
            Probability of the central interval.
        n_draws : int
            Number of posterior draws behind the table.

        Returns
        -------
        DataFrame
            Index (level, parameter, group); columns mean, std, lower, upper.
        """
        draws = self.offset_draws(n_draws)
        tail = 0.5 * (1.0 - check_probability(level, "level"))
        return pd.DataFrame(
            {
                "mean": draws.mean(),
                "std": draws.std(),
                "lower": draws.quantile(tail),
                "upper": draws.quantile(1.0 - tail),
            }
        )

    def offset_draws(self, n: int = 4000) -> pd.DataFrame:
        """Joint posterior draws of the parameters that :meth:`offsets` summarises, one column per parameter."""
        generator = streams.generator(self.seed_, "offsets")
        offsets: dict[tuple, np.ndarray] = {}
        for family in self.families_:
            mixing = family.prior.mixing
            assert isinstance(mixing, Autoregression)
            if not mixing.child:
                continue
            data = self._family_data(family)
            posterior = ExactPosterior.of(family.prior, data, self._effect_draws(family))
            component = generator.choice(len(posterior.weights), size=n, p=posterior.weights)
            offsets |= self._offsets_of(family.parts, posterior, component, generator)
        return pd.DataFrame(
            offsets, columns=pd.MultiIndex.from_tuples(list(offsets), names=["level", "parameter", "group"])
        )

    def _offsets_of(
        self,
        parts: Sequence[TaskPart],
        posterior: ExactPosterior,
        component: np.ndarray,
        generator: np.random.Generator,
    ) -> dict[tuple, np.ndarray]:
        """Draws (n,) of a family's parameters by (level, parameter, group), one from each of the given components."""
        groups = self.table_.groups
        codes = range(max(len(groups), 1))
        x = torch.from_numpy(self.scaler_.features(self.table_.x[:1]))
        first_group, all_groups = _points(x, [0]), _points(x.expand(len(codes), -1), codes)
        mixings: list[Autoregression] = [c.prior.mixing for c in posterior.components]
        names = [name for part in parts for name in part.names]
        units = [self.scaler_.units(part) for part in parts for _ in part.channels]
        offsets: dict[tuple, np.ndarray] = {}
        for i, c in enumerate(mixings[0].child):
            (mean, scale), (parent_mean, parent_scale) = units[c], units[mixings[0].parent[c]]
            rho = np.array([m.rho[i].item() for m in mixings])[component] * scale / parent_scale
            b = _draw(posterior.process(len(names) + c, first_group), component, generator)[:, 0]
            offsets[names[c], "rho", ""] = rho
            offsets[names[c], "offset", ""] = mean + scale * b * float(mixings[0].constants[c]) - rho * parent_mean
            if mixings[0].grouped:
                deviation = _draw(posterior.process(2 * len(names) + i, all_groups), component, generator)
                tau = np.array([m.raw_tau[i].exp().item() for m in mixings])[component]
                for g, group in enumerate(groups):
                    offsets[names[c], "group offset", group] = scale * tau * deviation[:, g]
        return offsets

    def _effects(self, family: Family, component: np.ndarray, generator: np.random.Generator) -> dict[str, Variable]:
        offsets = self._offsets_of(family.parts, family.posterior, component, generator)
        variables = {f"{kind}[{level}]": Variable(v) for (level, kind, group), v in offsets.items() if group == ""}
        for level in dict.fromkeys(level for level, _, group in offsets if group != ""):
            by_group = [v for (name, _, group), v in offsets.items() if name == level and group != ""]
            coords = {"group": list(self.table_.groups)}
            variables[f"group offset[{level}]"] = Variable(np.stack(by_group, axis=1), ("group",), coords)
        return variables


def _points(x: torch.Tensor, groups: Sequence[int]) -> Points:
    """Points at features ``x`` in the given groups, all of the first channel and of no row."""
    zero = torch.zeros(len(x), dtype=torch.long)
    return Points(x, zero, torch.as_tensor(list(groups)), zero - 1)


def _draw(moments: tuple[np.ndarray, np.ndarray], component: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One draw (n, k) from each entry of ``component``: Gaussians with means (S, k) and covariances (S, k, k)."""
    means, covariances = moments
    values, vectors = np.linalg.eigh(covariances)
    roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    noise = generator.standard_normal((len(component), means.shape[1]))
    return means[component] + np.einsum("nij,nj->ni", roots[component], noise)
