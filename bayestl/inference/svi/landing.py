"""A distribution for guides whose gradients vanish where the guide is exact.

The gradient of the bound has two paths: through the sample, and through the density of the guide at it.  The second
has expectation zero and is noise; without it, the gradient is zero for every sample once the guide is the posterior:
Roeder, Wu, Duvenaud 2017, *Sticking the landing*.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor


class Landing(TorchDistribution):
    """Samples of ``attached`` with the density of ``detached``: the same distribution, its parameters detached."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, attached: TorchDistribution, detached: TorchDistribution) -> None:
        super().__init__(attached.batch_shape, attached.event_shape, validate_args=False)
        self._attached, self._detached = attached, detached

    @property
    def support(self) -> Any:
        """The support of the distribution."""
        return self._attached.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> Landing:
        """The distribution expanded to a batch shape, as in :class:`torch.distributions.Distribution`."""
        return Landing(self._attached.expand(batch_shape), self._detached.expand(batch_shape))

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A sample that is differentiable in the parameters."""
        return self._attached.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density, differentiable in the value alone."""
        return self._detached.log_prob(value)
