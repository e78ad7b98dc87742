"""What the features do not say of a label: a row effect, which all labels of the row share, and noise.

    y_it = f_t(x_i) + b_t e_i + sigma_t n_it,        b_t = s_t tanh(w_t),   sigma_t = s_t / cosh(w_t),   w_t ~ N(0, 1)

``s_t`` is the standard deviation of the whole residual, ``tanh(w_t)^2`` the share of its variance that is the row's, so that
the split can change while the size stays.  The ratio ``b_t / sigma_t = sinh(w_t)`` has heavy tails like the half-Cauchy ratio
of the horseshoe (that is ``w`` with the density ``sech(w)``), with more mass near zero: rows that show no such effect have
none.  Carvalho, Polson, Scott 2010, *The horseshoe estimator for sparse signals*.  A class has no noise beside the unit noise
of its latent value, so its row effect is ``sinh(w_t)``; where one latent value decides between two classes (a zero or not),
``w_t ~ N(0, 2.5^2)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import gpytorch
import torch
from gpytorch.priors import NormalPrior
from torch import Tensor

from bayestl.kernels.hyperpriors import register_real
from bayestl.likelihoods.hyperparameters import Noise

SPREAD, SPREAD_OF_TWO = 1.0, 2.5
"""Prior standard deviation of ``w``, and that for two classes or an exact zero, where it allows a row effect that decides."""
START = 0.7
"""First guess of ``w``."""


class Residual(gpytorch.Module):
    """The residual of each of C latent functions, split into row effect and noise.

    Parameters
    ----------
    noise : Noise
        Standard deviation of the residual of each latent function with noise.
    signs : sequence of float
        For each latent function the sign of the first guess of its row effect, 0 where it has none.
    alone : sequence of bool
        For each latent function whether it is the only one of its label; by default all are.
    fixed : float, optional
        The size of ``w``, where it is not inferred.
    """

    def __init__(
        self, noise: Noise, signs: Sequence[float] = (), alone: Sequence[bool] = (), fixed: float | None = None
    ) -> None:
        super().__init__()
        self.noise = noise
        first = torch.tensor(list(signs) or [0.0] * len(noise.present), dtype=torch.float64)
        self.register_buffer("has_effect", first != 0)
        self.is_fixed = fixed is not None
        if bool(self.has_effect.any()) and fixed is not None:
            self.register_buffer("w", fixed * first[self.has_effect])
            self.register_buffer("position", (self.has_effect.cumsum(0) - 1).clamp_min(0))
        elif bool(self.has_effect.any()):
            decides = ~noise.present & torch.tensor(list(alone) or [True] * len(first))
            spread = torch.where(decides, SPREAD_OF_TWO, SPREAD).double()[self.has_effect]
            register_real(self, "w", START * first[self.has_effect], NormalPrior(torch.zeros_like(spread), spread))
            self.register_buffer("position", (self.has_effect.cumsum(0) - 1).clamp_min(0))

    def _w(self) -> Tensor:
        """``w`` (C,), 0 where there is no row effect."""
        if not hasattr(self, "w"):
            return self.has_effect.new_zeros(len(self.has_effect), dtype=torch.float64)
        if len(self.w) == len(self.has_effect):
            return self.w
        return torch.where(self.has_effect, self.w[self.position], 0.0)

    def variance(self) -> Tensor:
        """Variance of the noise, shape (C,)."""
        return self.noise.variance() / torch.cosh(self._w()) ** 2

    def row_effects(self) -> Tensor:
        """Loadings ``b`` of the row effects, shape (C,)."""
        w = self._w()
        return torch.where(
            self.noise.present, self.noise.variance().clamp_min(1e-300).sqrt() * torch.tanh(w), torch.sinh(w)
        )
