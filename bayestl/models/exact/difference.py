"""Difference architecture: a hierarchical autoregressive Gaussian process over two or more levels of fidelity.

    f_0(i)    = m_0 + u_0(x_i) + r_0 e_i0
    f_l(i, g) = rho_l f_{l-1}(i, g) + b_l + c_{l,g} + delta_l(x_i) + r_l e_il

    u_0, delta_l ~ GP,   rho_l ~ N(1, 1),   b_l ~ N(0, 1),   c_{l,g} ~ N(0, tau_l^2),   tau_l ~ HalfNormal(0.5)

on labels scaled to unit variance.  Kennedy, O'Hagan 2000, *Predicting the output from a complex computer code when fast
approximations are available*; the offsets of groups (methods, laboratories, structure families) are partially pooled.  For
Gaussian labels ``b``, ``c`` and the functions are integrated out exactly; ``rho`` and the scales are hyperparameters.  ``e_il``
are row effects, what the features do not say of row i (:mod:`bayestl.priors.rows`); the last level has none of its own: only a
second measurement could tell it from noise.

The paired difference, a model of ``y_target - y_source`` where both labels of a row are known, is its limit in which the
features say nothing of the source, ``u_0 = 0``, the source's label is exact and ``rho = 1`` in label units: the difference
architecture of Hutchinson et al. 2017, with fewer hyperparameters for the fewest labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from bayestl import streams
from bayestl.device import tensor
from bayestl.diagnostics.checks import Check
from bayestl.diagnostics.draws import Variable
from bayestl.distributions import check_probability
from bayestl.inference.gaussian.condition import ExactPosterior
from bayestl.kernels.combined import Covariance
from bayestl.likelihoods import Gaussian
from bayestl.likelihoods.hyperparameters import Noise
from bayestl.models.exact.at_rows import mean_shifts
from bayestl.models.exact.family import Family
from bayestl.models.exact.transfer import TransferModel
from bayestl.priors.autoregression import Autoregression, Link, Pairing
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Constant, PerGroup, PerRow, Points, Process
from bayestl.priors.task_specific import SPECIFIC_AMPLITUDE, likelihood_hyperparameters, task_specific_processes
from bayestl.streams import RandomState
from bayestl.table.graph import followed_levels, parent_channels
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import Task, TaskPart

EXACT = 6.0
"""``w`` of the row effects: noise is 0.5 % of the source's standard deviation."""
SMALLEST = 1e-3
"""Least spread of the differences for which priors are made, in standard deviations of the label."""


class DifferenceGP(TransferModel):
    """The target as the scaled source plus an offset plus a difference function.

    Parameters
    ----------
    levels : list of str or mapping, optional
        All label columns, lowest fidelity first; default: the columns in their order.  Or each label column and the one that it
        follows, None for a lowest one: ``{"hse": "pbe", "measured": "pbe", "pbe": None}``.
    tasks, kernel, hyperparameters, n_starts, random_state, verbose, device
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
        levels: Sequence[str] | Mapping[str, str | None] | None = None,
        tasks: Sequence[Task] | None = None,
        kernel: str | Covariance = "matern52",
        hyperparameters: str | Mapping[str, str] = "auto",
        n_starts: int = 2,
        random_state: RandomState = 0,
        verbose: bool = True,
        device: str = "cpu",
    ) -> None:
        super().__init__(tasks, kernel, hyperparameters, n_starts, random_state, verbose, device)
        self.levels = levels

    def _links(self, table: Table) -> dict[int, tuple[int, bool]]:
        """The parent of each channel that follows another, and whether both have the same kind of likelihood.

        Raises
        ------
        ValueError
            If a task follows a task of more than two classes without having the same number of classes.
        """
        links, follows = {}, followed_levels(self.levels, table.names)
        for child in table.parts:
            if (below := follows[child.task]) is None:
                continue
            parent, alike = parent_channels(table.parts, child, below)
            same = len(parent.channels) == len(child.channels)
            if not same and len(parent.channels) > 1:
                raise ValueError(
                    f"DifferenceGP: level {table.names[child.task]!r} cannot follow {table.names[below]!r}, which has "
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

    def shifts(self, level: float = 0.9, n_draws: int = 1000) -> pd.DataFrame:
        """By how much each level is above the one that it follows, in the mean over the rows that have a label of that one.

        Unlike ``b``, the value at a source of zero, it lies among the labels.  In the units of :meth:`offsets`.

        Parameters
        ----------
        level : float
            Probability of the intervals.
        n_draws : int
            Number of joint draws that they are taken from.

        Returns
        -------
        DataFrame
            Index (level, source); columns ``rows`` (their number), ``at`` (mean of the source), mean, std, lower, upper.

        Examples
        --------
        >>> import numpy as np, pandas as pd, bayestl as btl
        >>> x = np.linspace(4, 5, 20)[:, None]
        >>> Y = pd.DataFrame({"dft": x[:, 0], "measured": 2 * x[:, 0] - 5})
        >>> model = btl.DifferenceGP(["dft", "measured"], hyperparameters="map").fit(x, Y)
        >>> round(float(model.shifts()["mean"].iloc[0]), 1)        # 2 * 4.5 - 5 - 4.5, while the offset is -5
        -0.5
        """
        parents = {child: parent for child, (parent, _) in self._links(self.table_).items()}
        return mean_shifts(self, parents, check_probability(level, "level"), n_draws)

    def offset_draws(self, n: int = 4000) -> pd.DataFrame:
        """``n`` joint posterior draws of the parameters that :meth:`offsets` summarises, one column per parameter."""
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
        x = tensor(self.scaler_.features(self.table_.x[:1]))
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
    zero = x.new_zeros(len(x), dtype=torch.long)
    return Points(x, zero, tensor(np.array(groups)), zero - 1)


def _draw(moments: tuple[np.ndarray, np.ndarray], component: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One draw (n, k) from each entry of ``component``: Gaussians with means (S, k) and covariances (S, k, k)."""
    means, covariances = moments
    values, vectors = np.linalg.eigh(covariances)
    roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    noise = generator.standard_normal((len(component), means.shape[1]))
    return means[component] + np.einsum("nij,nj->ni", roots[component], noise)


class PairedDifferenceGP(DifferenceGP):
    """The target as the source's label plus an offset plus a difference function; learnt from rows with both labels.

    Rows whose source is not known are predicted from the mean and spread of the sources alone, so use it for rows whose source
    is known.

    Parameters
    ----------
    levels : list of str, optional
        All label columns, lowest fidelity first; default: the columns in their order.  Labels must be Gaussian, or all
        log-normal or power-normal.
    tasks, kernel, hyperparameters, n_starts, random_state, verbose, device
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

    _rows_are_functions = True
    _predicts_from_features = False

    def _transfer_checks(self, loo: pd.DataFrame) -> Iterator[Check]:
        """Checks for the tasks that follow another: alone, a lowest level would be predicted from the features."""
        follows = followed_levels(self.levels, self.table_.names)
        lowest = tuple(f"-> {self.table_.names[t]}" for t, below in follows.items() if below is None)
        yield from (check for check in super()._transfer_checks(loo) if not check.of.endswith(lowest))

    def _families(self, table: Table) -> list[tuple[TaskPart, ...]]:
        if len(table.tasks) < 2:
            raise ValueError("PairedDifferenceGP needs two label columns or more; use IndependentGP for one")
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
