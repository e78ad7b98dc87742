"""Difference architecture: a hierarchical autoregressive Gaussian process over two or more levels of fidelity.

    f_0(x)    = m_0 + u_0(x)
    f_l(x, g) = rho_l f_{l-1}(x, g) + b_l + c_{l,g} + delta_l(x)

    u_0, delta_l ~ GP,   rho_l ~ N(1, 1),   b_l ~ N(0, 1),   c_{l,g} ~ N(0, tau_l^2),   tau_l ~ HalfNormal(0.5)

on labels scaled to unit variance.  Kennedy, O'Hagan 2000, *Predicting the output from a complex computer code when fast
approximations are available*; the offsets of groups (methods, laboratories, structure families) are partially pooled.
For Gaussian labels ``b``, ``c`` and the functions are integrated out exactly; ``rho`` and the scales are hyperparameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from gpytorch.priors import HalfNormalPrior, LogNormalPrior, NormalPrior

from bayestl.inference.gaussian import ExactPosterior
from bayestl.kernels import Constant, Mixing, Noise, PerGroup, Points, Prior, register_positive, register_real
from bayestl.models.exact import ExactModel, training_labels
from bayestl.models.independent import AMPLITUDE, GROUP_SPREAD
from bayestl.models.multitask import SPECIFIC_AMPLITUDE
from bayestl.table import Table
from bayestl.tasks import Task, order_levels


class Autoregression(Mixing):
    """``W = R [amplitudes | constants | groups]`` with ``R_lj = rho_{j+1} ... rho_l``; rows in the columns' order."""

    def __init__(self, order: Sequence[int], grouped: bool) -> None:
        super().__init__()
        n = len(order)
        self.n_levels, self.grouped = n, grouped and n > 1
        self.register_buffer("rank", torch.as_tensor(np.argsort(order)))
        if n > 1:
            register_real(self, "rho", torch.ones(n - 1), NormalPrior(1.0, 1.0))
        medians = torch.full((n,), SPECIFIC_AMPLITUDE, dtype=torch.float64)
        medians[0] = AMPLITUDE
        register_positive(self, "amplitude", medians, LogNormalPrior(medians.log(), torch.ones(n, dtype=torch.float64)))
        lower = torch.ones(n, n).tril().bool()
        blocks = [lower, lower]
        if self.grouped:
            register_positive(self, "tau", torch.full((n - 1,), 0.3), HalfNormalPrior(GROUP_SPREAD))
            blocks.append(lower[:, 1:])
        self.support = torch.cat(blocks, dim=1)[self.rank]

    def weights(self) -> torch.Tensor:
        identity = torch.eye(self.n_levels, dtype=torch.float64)
        rows = [identity[0]]
        for level in range(1, self.n_levels):
            rows.append(self.rho[level - 1] * rows[-1] + identity[level])
        r = torch.stack(rows)
        blocks = [r * self.raw_amplitude.exp(), r]
        if self.grouped:
            blocks.append(r[:, 1:] * self.raw_tau.exp())
        return torch.cat(blocks, dim=1)[self.rank]


class DifferenceGP(ExactModel):
    """The target is the scaled source plus an offset plus a difference that is a function of its own.

    Parameters
    ----------
    levels : list of str, optional
        All label columns, lowest fidelity first; default: the columns in their order.
    tasks, kernel, hyperparameters, n_starts, random_state, verbose
        As for :class:`IndependentGP`.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 40)[:, None]
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
        kernel: str = "matern52",
        hyperparameters: str = "auto",
        n_starts: int = 2,
        random_state: int = 0,
        verbose: bool = True,
    ) -> None:
        super().__init__(tasks, kernel, hyperparameters, n_starts, random_state, verbose)
        self.levels = levels

    def _prior(self, table: Table) -> Prior:
        order = order_levels(self.levels, table.names)
        n, d = len(order), table.x.shape[1]
        mixing = Autoregression(order, table.group is not None)
        processes = [self._smooth(d) for _ in range(n)] + [Constant() for _ in range(n)]
        if mixing.grouped:
            processes += [PerGroup() for _ in range(n - 1)]
        return Prior(processes, mixing, Noise(n))

    def offsets(self, level: float = 0.9, n_draws: int = 4000) -> pd.DataFrame:
        """Posterior of the scale ``rho``, the fidelity offset ``b`` and each group's deviation ``c``, in label units.

        ``y_l = rho y_{l-1} + b + c_g + delta(x)``: ``rho`` is in units of level l per unit of level l - 1, ``b`` and
        ``c`` in units of level l.

        Parameters
        ----------
        level : float
            Probability of the central interval.
        n_draws : int
            Draws behind the table.

        Returns
        -------
        DataFrame
            Index (level, parameter, group); columns mean, std, lower, upper.
        """
        draws = self.offset_draws(n_draws)
        tail = 0.5 * (1.0 - level)
        return pd.DataFrame(
            {
                "mean": draws.mean(),
                "std": draws.std(),
                "lower": draws.quantile(tail),
                "upper": draws.quantile(1.0 - tail),
            }
        )

    def offset_draws(self, n: int = 4000) -> pd.DataFrame:
        """Joint posterior draws of what :meth:`offsets` summarises, one column each."""
        order = order_levels(self.levels, self.table_.names)
        n_levels, groups = len(order), self.table_.groups
        labels, _ = training_labels(self.table_, self.scaler_)
        posterior = ExactPosterior.of(self.prior_, labels, self._hyperparameter_draws())
        generator = np.random.default_rng(int(self.random_state))
        component = generator.choice(len(posterior.weights), size=n, p=posterior.weights)
        mean, scale = self.scaler_.y_mean[list(order)], self.scaler_.y_scale[list(order)]
        one = _points(labels.points.x[:1], [0])
        every = _points(labels.points.x[:1].expand(max(len(groups), 1), -1), range(max(len(groups), 1)))
        out: dict[tuple, np.ndarray] = {}
        for l in range(1, n_levels):
            name = self.table_.names[order[l]]
            rho_scaled = np.array([posterior.components[s].prior.mixing.rho[l - 1].item() for s in component])
            rho = rho_scaled * scale[l] / scale[l - 1]
            b = _draw(posterior.process(n_levels + l, one), component, generator)[:, 0]
            out[name, "rho", ""] = rho
            out[name, "offset", ""] = mean[l] + scale[l] * b - rho * mean[l - 1]
            if self.prior_.mixing.grouped:
                c = _draw(posterior.process(2 * n_levels + l - 1, every), component, generator)
                tau = np.array([posterior.components[s].prior.mixing.raw_tau[l - 1].exp().item() for s in component])
                for g, group in enumerate(groups):
                    out[name, "group offset", group] = scale[l] * tau * c[:, g]
        return pd.DataFrame(out, columns=pd.MultiIndex.from_tuples(list(out), names=["level", "parameter", "group"]))


def _points(x: torch.Tensor, groups: Sequence[int]) -> Points:
    return Points(x, torch.zeros(len(x), dtype=torch.long), torch.as_tensor(list(groups)))


def _draw(moments: tuple[np.ndarray, np.ndarray], component: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A draw (n, k) from the Gaussian (S, k), (S, k, k) of each entry of ``component``."""
    means, covariances = moments
    values, vectors = np.linalg.eigh(covariances)
    roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    noise = generator.standard_normal((len(component), means.shape[1]))
    return means[component] + np.einsum("nij,nj->ni", roots[component], noise)
