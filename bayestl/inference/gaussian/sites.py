"""Variational inference for labels of any likelihood, by Gaussian pseudo-labels.

    q(f) is proportional to p(f) prod_i N(f_i | y~_i, v~_i)        maximises        E_q[log p(y | f)] - KL(q || p)

Each label that is not Gaussian gets one pseudo-label (a site) per latent value; Gaussian labels stay as they are, so
their part is exact.  At the best bound the precision and the precision-times-mean of a site are

    1/v~ = -2 dE/dvar,        y~/v~ = dE/dmean + mean/v~,        E = E_q[log p(y_i | f_i)]

and iterating that is a natural-gradient step of length one: Khan, Lin 2017, *Conjugate-computation variational
inference*; Opper, Archambeau 2009, *The variational Gaussian approximation revisited*.  No inducing points, no step
sizes, no random numbers: three to ten Cholesky factorisations (for tables too large for these, see
``inference/gaussian/large/``).  By the envelope theorem the gradient of the bound in the hyperparameters is the
gradient of the marginal likelihood of the pseudo-labels, held fixed, plus the gradient of E in the hyperparameters of
the likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from bayestl.device import CPU, tensor, to_numpy
from bayestl.inference.gaussian.density import LogNormalDensity
from bayestl.inference.gaussian.labels import Data, Labels, Pseudo, noise_variance, stratified
from bayestl.kernels.cholesky import cholesky
from bayestl.likelihoods import Gaussian, LabelBlock, Part
from bayestl.priors.prior import Prior
from bayestl.priors.processes import Points
from bayestl.priors.vector import one_by_one

LEAST_PRECISION = 1e-6
"""Least precision of a site, scaled units: that of a label without information."""
ITERATIONS = 200
"""Largest number of updates of the sites."""
TOLERANCE = 1e-6
"""The sites have converged when the bound gains less than this, in nats per label."""


@dataclass(frozen=True)
class PartLabels:
    """The labels of one part: its position among the parts of the prior, its latent functions, and table rows (n,)."""

    part: int
    likelihood: Part
    channels: tuple[int, ...]
    rows: Tensor
    labels: LabelBlock

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def gaussian(self) -> bool:
        """Whether the labels are Gaussian given the latent value."""
        return isinstance(self.likelihood, Gaussian)

    def to(self, device: torch.device) -> PartLabels:
        """The labels on a device."""
        block = LabelBlock(*(values.to(device) for values in self.labels))
        return PartLabels(self.part, self.likelihood, self.channels, self.rows.to(device), block)

    def at(self, index: Tensor) -> PartLabels:
        """The labels at the given positions."""
        block = LabelBlock(*(values[index] for values in self.labels))
        return PartLabels(self.part, self.likelihood, self.channels, self.rows[index], block)


class Sites(NamedTuple):
    """Pseudo-labels of all N latent values, Gaussian labels included: natural parameters, and their posterior."""

    linear: Tensor
    """(N,) precision-times-mean y~/v~"""
    precision: Tensor
    """(N,) precision 1/v~"""
    correction: float
    """Sum over sites of E_q[log p(y | f) - log N(f | y~, v~)]."""
    bound: float
    """The variational lower bound on the log evidence."""
    mean: Tensor
    """(N,) posterior mean of the latent values"""
    variance: Tensor
    """(N,) posterior variance of the latent values"""


class Observations:
    """Labels of any likelihoods on the rows of a table (a :class:`~bayestl.inference.gaussian.labels.Data`).

    Parameters
    ----------
    x : Tensor, shape (R, d)
        Scaled features of the rows of the table.
    group, row : Tensor, shape (R,)
        Codes of the groups and of the rows.
    parts : sequence of PartLabels
        Labels of the parts, in the order of their channels.
    """

    def __init__(self, x: Tensor, group: Tensor, row: Tensor, parts: Sequence[PartLabels]) -> None:
        self.x, self.group, self.row, self.parts = x, group, row, tuple(parts)
        rows = [p.rows for p in self.parts for _ in p.channels]
        codes = [torch.full_like(p.rows, c) for p in self.parts for c in p.channels]
        all_rows = torch.cat(rows)
        self.points = Points(x[all_rows], torch.cat(codes), group[all_rows], row[all_rows])
        self._rows = all_rows
        self._site = torch.cat(
            [torch.full_like(p.rows, not p.gaussian, dtype=torch.bool).repeat(len(p.channels)) for p in self.parts]
        )
        self._start: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return sum(len(p) for p in self.parts)

    def simplest(self) -> Data:
        """The labels as plain :class:`Labels` if all are Gaussian, else unchanged."""
        if not all(p.gaussian for p in self.parts):
            return self
        y = torch.cat([p.labels.y for p in self.parts])
        se2 = torch.cat([p.labels.se2 for p in self.parts])
        return Labels(self.points, y, se2, rows=self._rows)

    def to(self, device: torch.device) -> Observations:
        """The labels on a device; themselves where they are there."""
        if self.x.device == device:
            return self
        parts = [p.to(device) for p in self.parts]
        return Observations(self.x.to(device), self.group.to(device), self.row.to(device), parts)

    def subset(self, size: int, generator: np.random.Generator) -> Observations:
        """About ``size`` of the labels, parts equally often where possible."""
        kind = np.repeat(np.arange(len(self.parts)), [len(p) for p in self.parts])
        rows = to_numpy(torch.cat([p.rows for p in self.parts]))
        chosen = stratified(kind, rows, size, generator)
        first = np.cumsum([0] + [len(p) for p in self.parts])
        return Observations(
            self.x,
            self.group,
            self.row,
            [p.at(tensor(chosen[kind[chosen] == j] - first[j], self.x.device)) for j, p in enumerate(self.parts)],
        )

    def blocks(self, size: int, n: int, generator: np.random.Generator) -> Observations:
        """About ``size`` of the labels, whatever ``n``: each evidence is searched for by steps of its own."""
        return self.subset(size, generator)

    def _blocks(self, values: Tensor) -> list[Tensor]:
        """Values (N,) at all points as one block (n, L) per part."""
        blocks, start = [], 0
        for p in self.parts:
            k, n = len(p.channels), len(p)
            blocks.append(values[start : start + k * n].view(k, n).T)
            start += k * n
        return blocks

    def expected_log_density(self, prior: Prior, mean: Tensor, variance: Tensor, sites_only: bool = False) -> Tensor:
        """``sum_i E[log p(y_i | f_i)]``, differentiable in everything."""
        noise = prior.residual.variance()
        total = mean.new_zeros(())
        for p, m, v in zip(self.parts, self._blocks(mean), self._blocks(variance), strict=True):
            if not (sites_only and p.gaussian):
                expected = p.likelihood.expected_log_density(
                    p.labels, m, v, noise[p.channels[0]], prior.further(p.part)
                )
                total = total + expected.sum()
        return total

    def _fixed(self, prior: Prior) -> tuple[Tensor, Tensor]:
        """Precision-times-mean and precision (N,) of the Gaussian labels, zero at sites."""
        noise = prior.residual.variance()
        linear, precision = [], []
        for p in self.parts:
            zero = noise.new_zeros(len(p) * len(p.channels))
            precision.append(1.0 / (noise[p.channels[0]] + p.labels.se2) if p.gaussian else zero)
            linear.append(precision[-1] * p.labels.y if p.gaussian else zero)
        return torch.cat(linear), torch.cat(precision)

    def _target(self, prior: Prior, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, float]:
        """The best sites (linear, precision) for the given posterior moments, and the sum of E over the sites."""
        m, v = mean.clone().requires_grad_(True), variance.clone().requires_grad_(True)
        with torch.enable_grad():
            value = self.expected_log_density(prior, m, v, sites_only=True)
        slope_m, slope_v = torch.autograd.grad(value, (m, v))
        precision = (-2.0 * slope_v).clamp_min(LEAST_PRECISION)
        return slope_m + precision * mean, precision, float(value)

    def sites_for(self, prior: Prior, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Precision-times-mean and precision (N,) of the Gaussian labels, and of the best sites for these moments."""
        linear, precision, _ = self._target(prior, mean, variance)
        fixed_linear, fixed_precision = self._fixed(prior)
        return torch.where(self._site, linear, fixed_linear), torch.where(self._site, precision, fixed_precision)

    @torch.no_grad()
    def settle(self, prior: Prior, covariance: Tensor, centre: Tensor) -> Sites:
        """The best sites for latent values with the prior moments ``centre`` (N,), ``covariance`` (N, N).

        Raises
        ------
        torch.linalg.LinAlgError
            If the covariance cannot be factorised or the bound is not finite.
        """

        def posterior(linear: Tensor, precision: Tensor) -> tuple[Tensor, Tensor, float]:
            site_variance = 1.0 / precision
            factor, _ = cholesky(covariance, site_variance)
            residual = linear * site_variance - centre
            alpha = torch.cholesky_solve(residual[:, None], factor)[:, 0]
            mean = residual + centre - site_variance * alpha
            variance = site_variance - site_variance**2 * _inverse_diagonal(factor)
            evidence = -0.5 * float(residual @ alpha) - float(factor.diagonal().log().sum())
            return mean, variance, evidence - 0.5 * len(residual) * math.log(2 * math.pi)

        start = self._start or self.sites_for(prior, centre, covariance.diagonal().clamp_min(1e-10))
        best = self.settle_by(prior, posterior, *start)
        self._start = best.linear, best.precision
        return best

    @torch.no_grad()
    def settle_by(
        self,
        prior: Prior,
        posterior: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, float]],
        linear: Tensor,
        precision: Tensor,
    ) -> Sites:
        """The best sites, given how the latent values follow from any: their means (N,), variances (N,) and log evidence.

        ``posterior`` takes the precision-times-mean and the precision (N,) of all pseudo-labels; the search begins at
        ``linear`` and ``precision``.

        Raises
        ------
        torch.linalg.LinAlgError
            If the bound is not finite.
        """
        site = self._site
        fixed_linear, fixed_precision = self._fixed(prior)
        linear = torch.where(site, linear, fixed_linear)
        precision = torch.where(site, precision, fixed_precision)
        best: Sites | None = None
        target = linear, precision
        step = 1.0
        for _ in range(ITERATIONS):
            mean, variance, evidence = posterior(linear, precision)
            variance = variance.clamp_min(1e-10)
            target_linear, target_precision, expected = self._target(prior, mean, variance)
            log_sites = -0.5 * ((linear / precision - mean) ** 2 + variance) * precision + 0.5 * precision.log()
            correction = expected - float((log_sites - 0.5 * math.log(2 * math.pi))[site].sum())
            bound = evidence + correction
            if not math.isfinite(bound):
                if best is None:
                    raise torch.linalg.LinAlgError("the bound is not finite")
                bound = -math.inf
            if best is not None and bound < best.bound - TOLERANCE * len(site):
                step *= 0.5
                if step < 1e-3:
                    break
                linear = torch.where(site, best.linear + step * (target[0] - best.linear), fixed_linear)
                precision = torch.where(site, best.precision + step * (target[1] - best.precision), fixed_precision)
                continue
            gain = math.inf if best is None else bound - best.bound
            best = Sites(linear, precision, correction, bound, mean, variance)
            target = target_linear, target_precision
            if gain < TOLERANCE * len(site):
                break
            linear = torch.where(site, linear + step * (target_linear - linear), fixed_linear)
            precision = torch.where(site, precision + step * (target_precision - precision), fixed_precision)
            step = min(1.0, 1.5 * step)
        assert best is not None
        return best

    def _pseudo(self, sites: Sites) -> Labels:
        """The Gaussian labels and pseudo-labels of converged sites."""
        zero = sites.precision.new_zeros
        se2 = torch.cat([p.labels.se2 if p.gaussian else zero(len(p) * len(p.channels)) for p in self.parts])
        variance = 1.0 / sites.precision
        se2 = torch.where(self._site, variance, se2)
        return Labels(self.points, sites.linear * variance, se2, self._site, self._rows)

    def evidences(self, prior: Prior, raws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bounds on the log evidence (S,), and gradients (S, P), at vectors (S, P) of raw hyperparameters."""
        return one_by_one(prior, lambda: self.bound(prior), raws)

    def bound(self, prior: Prior) -> Tensor:
        """The bound on the log evidence, differentiable in the hyperparameters, with the sites at their best."""
        covariance = prior.covariance(self.points, self.points)
        sites = self.settle(prior, covariance.detach(), covariance.new_zeros(len(self._rows)))
        with torch.no_grad():
            pseudo = self._pseudo(sites)
        evidence = LogNormalDensity.apply(covariance, noise_variance(prior, pseudo), pseudo.y)
        expected = self.expected_log_density(prior, sites.mean, sites.variance, sites_only=True)
        return evidence + (expected - expected.detach()) + sites.correction

    @torch.no_grad()
    def conditioned(self, prior: Prior, mean: Tensor | None = None, covariance: Tensor | None = None) -> Pseudo:
        """Gaussian labels and sites with the same posterior; see :class:`~bayestl.inference.gaussian.labels.Data`."""
        if covariance is None:
            covariance = prior.covariance(self.points, self.points)
            self._start = None  # whatever hyperparameters were tried last: their sites may be far from these
        if mean is None:
            mean = covariance.new_zeros(len(self._rows))
        sites = self.settle(prior, covariance, mean)
        return Pseudo(self._pseudo(sites), sites.correction)


def _inverse_diagonal(factor: Tensor) -> Tensor:
    """Diagonal of ``(L L')^-1``, the sums of squares of the columns of ``L^-1``."""
    if factor.device != CPU:
        unit = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
        return torch.linalg.solve_triangular(factor, unit, upper=False).square().sum(0)
    inverse, _ = scipy.linalg.lapack.dtrtri(np.array(to_numpy(factor), order="F"), lower=1, overwrite_c=1)
    return tensor(np.einsum("ij,ij->j", inverse, inverse))
