"""A distribution for guides whose gradients vanish where the guide is exact.

The bound's gradient has two paths: through the sample, and through the guide's density at it.  The second has expectation
zero and is noise; without it, the gradient is zero for every sample once the guide is the posterior: Roeder, Wu,
Duvenaud 2017, *Sticking the landing*.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor


class Landing(TorchDistribution):
    """Samples of ``own``, whose density is that of ``held``: the same distribution, its parameters detached."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, own: TorchDistribution, held: TorchDistribution) -> None:
        super().__init__(own.batch_shape, own.event_shape, validate_args=False)
        self._own, self._held = own, held

    @property
    def support(self) -> Any:
        """That of the distribution."""
        return self._own.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> Landing:
        """See :meth:`torch.distributions.Distribution.expand`."""
        return Landing(self._own.expand(batch_shape), self._held.expand(batch_shape))

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A sample that is differentiable in the parameters."""
        return self._own.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density, differentiable in the value alone."""
        return self._held.log_prob(value)
