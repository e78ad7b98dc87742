"""Mixings in which a level follows the one below: ``f_l = rho_l f_{l-1} + b_l + c_{l,g} + delta_l(x) + r_l e_i``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from gpytorch.priors import HalfNormalPrior, LogNormalPrior, NormalPrior

from bayestl.kernels.hyperpriors import register_positive, register_real
from bayestl.priors.prior import Mixing
from bayestl.priors.task_specific import AMPLITUDE, GROUP_SPREAD, SPECIFIC_AMPLITUDE
from bayestl.table.task import TaskPart


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
        self.followed = sorted(set(self.parent) - {-1})
        self._children, self._followed = (torch.tensor(c, dtype=torch.long) for c in (self.child, self.followed))
        blocks = [reach, reach]
        if self.grouped:
            register_positive(self, "tau", torch.full((len(self.child),), 0.3), HalfNormalPrior(GROUP_SPREAD))
            blocks.append(reach[:, self._children])
        blocks.append(reach[:, self._followed])
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
        identity = torch.eye(len(self.parent), dtype=torch.float64, device=row_effects.device)
        rows: dict[int, torch.Tensor] = {}
        for c in self._top_down():
            unit = identity[c]
            rows[c] = unit if self.parent[c] < 0 else self.rho[self.child.index(c)] * rows[self.parent[c]] + unit
        r = torch.stack([rows[c] for c in range(len(self.parent))])
        blocks = [r * self.raw_amplitude.exp()[self.owner], r * self.constants]
        if self.grouped:
            blocks.append(r[:, self._children] * self.raw_tau.exp())
        blocks.append(r[:, self._followed] * row_effects[self._followed])
        return torch.cat(blocks, dim=1)


class Pairing(Autoregression):
    """The mixing with fixed ``rho`` (C - 1,), where levels without a parent have no function of the features."""

    def __init__(
        self, parts: Sequence[TaskPart], links: Sequence[Link], grouped: bool, specific: float, rho: Sequence[float]
    ) -> None:
        self._fixed = rho
        super().__init__(parts, links, grouped, specific)
        self.roots = [c for c, link in enumerate(links) if link.parent < 0]
        for c in self.roots:
            self.support[:, c] = False

    def _register_rho(self, alike: Sequence[bool]) -> None:
        self.register_buffer("rho", torch.tensor(list(self._fixed), dtype=torch.float64))

    def weights(self, row_effects: torch.Tensor) -> torch.Tensor:
        w = super().weights(row_effects)
        return torch.where(self.support, w, 0.0)
