"""Normal distributions for guides, with a generator of their own, whose gradients vanish where the guide is exact.

Pyro draws from torch's global generator; here each draw is a standard normal one of a given generator, moved and scaled.

The gradient of the bound has two paths: through the sample, and through the density of the guide at it.  The second
has expectation zero and is noise; without it, the gradient is zero for every sample once the guide is the posterior:
Roeder, Wu, Duvenaud 2017, *Sticking the landing*.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pyro.distributions import MultivariateNormal, Normal, TorchDistribution
from torch import Tensor

from bayestl.streams import torch_normal

AnyNormal = Normal | MultivariateNormal


class Landing(TorchDistribution):
    """Samples of ``attached``, drawn from ``generator``, with the density of ``detached``.

    Both are the same normal distribution, of single numbers or of vectors, one of them with its parameters detached.
    """

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, attached: AnyNormal, detached: AnyNormal, generator: torch.Generator) -> None:
        super().__init__(attached.batch_shape, attached.event_shape, validate_args=False)
        self._attached, self._detached, self._generator = attached, detached, generator

    @property
    def support(self) -> Any:
        """The support of the distribution."""
        return self._attached.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> Landing:
        """The distribution expanded to a batch shape, as in :class:`torch.distributions.Distribution`."""
        return Landing(self._attached.expand(batch_shape), self._detached.expand(batch_shape), self._generator)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A sample that is differentiable in the parameters."""
        normal = self._attached
        noise = torch_normal(normal._extended_shape(sample_shape), self._generator, normal.loc)
        if isinstance(normal, MultivariateNormal):
            return normal.loc + (normal.scale_tril @ noise[..., None])[..., 0]
        return normal.loc + normal.scale * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density, differentiable in the value alone."""
        return self._detached.log_prob(value)
