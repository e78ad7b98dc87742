"""Likelihoods of classes: two classes (probit), ordered classes (cumulative probit), unordered classes (softmax)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from bayestl.distributions import Discrete
from bayestl.likelihoods.base import LabelBlock, LatentBlock, Part, Setting
from bayestl.likelihoods.numbers import log_interval

if TYPE_CHECKING:
    import gpytorch
    from torch import Tensor

CLASS_DRAWS = 512
"""Number of quasi-random normal draws over which the probabilities of unordered classes are averaged."""


@dataclass(frozen=True)
class Classified(Part):
    """Base of the likelihoods whose label is a class; ``classes`` are taken from the column where not given."""

    classes: Sequence[Hashable] | None = None

    def __post_init__(self) -> None:
        self._check()

    def _check(self, max_classes: int | None = None) -> None:
        classes, name = self.classes, type(self).__name__
        if classes is None:
            return
        if isinstance(classes, str) or not isinstance(classes, Iterable):
            raise ValueError(f"{name}: classes must be a list of names, got {classes!r}")
        object.__setattr__(self, "classes", tuple(classes))
        if len(set(classes)) < len(classes):
            raise ValueError(f"{name}: a class is listed twice in {list(classes)}")
        if len(classes) < 2 or (max_classes is not None and len(classes) > max_classes):
            raise ValueError(f"{name} takes 2{'' if max_classes else ' or more'} classes, got {list(classes)}")

    @property
    def classes_(self) -> tuple[Hashable, ...]:
        return () if self.classes is None else tuple(self.classes)

    @property
    def has_noise(self) -> bool:
        return False

    def scale(self, y: np.ndarray) -> tuple[float, float]:
        return 0.0, 1.0


@dataclass(frozen=True)
class Bernoulli(Classified):
    """Two classes: ``P(second class) = Phi(z)``.

    Parameters
    ----------
    classes : pair, optional
        Names of the classes; taken from the column where not given (False before True, else sorted).

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> colour = np.where(x[:, 0] > 0.5, "white", "dark")
    >>> tasks = [btl.Task("colour", btl.Bernoulli(["dark", "white"]))]
    >>> model = btl.IndependentGP(tasks=tasks, verbose=False).fit(x, pd.DataFrame({"colour": colour}))
    >>> model.predict([[0.9]])["colour"].tolist()
    ['white']
    """

    def __post_init__(self) -> None:
        self._check(max_classes=2)

    @property
    def classes_(self) -> tuple[Hashable, ...]:
        return (0, 1) if self.classes is None else tuple(self.classes)

    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        import torch

        return torch.special.log_ndtr((2.0 * labels.y - 1.0) * f[..., 0])

    def predictive(self, latent: LatentBlock, setting: Setting) -> Discrete:
        z = latent.single()
        second = z.weights @ ndtr(z.means / np.sqrt(1.0 + z.variances))
        return Discrete(np.column_stack([1.0 - second, second]), self.classes_)

    def draw(self, f: np.ndarray, setting: Setting, generator: np.random.Generator) -> np.ndarray:
        return (generator.uniform(size=f.shape[:2]) < ndtr(f[:, :, 0])).astype(float)


@dataclass(frozen=True)
class Ordinal(Classified):
    """Ordered classes: ``P(position <= k) = Phi(c_k - z)`` with increasing cutpoints ``c``, which are learnt.

    Parameters
    ----------
    classes : sequence, optional
        Names of the classes from lowest to highest; taken from the column where that is an ordered categorical.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> colour = np.array(["clear", "yellow", "brown"])[(2.9 * x[:, 0]).astype(int)]
    >>> tasks = [btl.Task("colour", btl.Ordinal(["clear", "yellow", "brown"]))]
    >>> model = btl.IndependentGP(tasks=tasks, verbose=False).fit(x, pd.DataFrame({"colour": colour}))
    >>> model.predict([[0.9]])["colour"].tolist()
    ['brown']
    """

    def further(self) -> gpytorch.Module:
        from bayestl.likelihoods.hyperparameters import Cutpoints

        return Cutpoints(len(self.classes_))

    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        import torch

        end = f.new_full((1,), 40.0)
        edges = torch.cat([-end, further, end])
        position = labels.y.long()
        z = f[..., 0]
        low = torch.where(position == 0, -40.0, edges[position] - z)
        high = torch.where(position == len(self.classes_) - 1, 40.0, edges[position + 1] - z)
        return log_interval(low, high)

    def predictive(self, latent: LatentBlock, setting: Setting) -> Discrete:
        z = latent.single()
        cumulative = ndtr(
            (setting.further_of_rows.swapaxes(1, 2) - z.means[:, None]) / np.sqrt(1.0 + z.variances)[:, None]
        )
        below = np.einsum("s,skn->nk", z.weights, cumulative)
        edges = np.column_stack([np.zeros(len(below)), below, np.ones(len(below))])
        return Discrete(np.maximum(np.diff(edges, axis=1), 0.0), self.classes_)

    def draw(self, f: np.ndarray, setting: Setting, generator: np.random.Generator) -> np.ndarray:
        noisy = f[:, :, 0] + generator.standard_normal(f.shape[:2])
        return (noisy[:, :, None] > setting.further_of_rows).sum(axis=2).astype(float)


@dataclass(frozen=True)
class Categorical(Classified):
    """Unordered classes: ``P(class k) = exp(z_k) / sum_j exp(z_j)``, one latent function per class.

    Parameters
    ----------
    classes : sequence, optional
        Names of the classes; taken from the column where not given (sorted).

    Notes
    -----
    Inference uses ``E[log p(y)] = m_y - E[log sum_k exp(f_k)]`` with the latent values of a label independent, by
    quadrature (``likelihoods/softmax.py``).  The best Gaussian then has a diagonal precision at each label.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> colour = np.array(["red", "white", "blue"])[(2.9 * x[:, 0]).astype(int)]
    >>> tasks = [btl.Task("colour", btl.Categorical())]
    >>> model = btl.IndependentGP(tasks=tasks, verbose=False).fit(x, pd.DataFrame({"colour": colour}))
    >>> model.predict([[0.9]])["colour"].tolist()
    ['blue']
    """

    @property
    def n_latent(self) -> int:
        return len(self.classes_)

    def log_density(self, labels: LabelBlock, f: Tensor, noise: Tensor, further: Tensor) -> Tensor:
        import torch

        chosen = labels.y.long().expand(f.shape[:-1])[..., None]
        return torch.gather(f.log_softmax(-1), -1, chosen)[..., 0]

    def expected_log_density(
        self, labels: LabelBlock, mean: Tensor, variance: Tensor, noise: Tensor, further: Tensor
    ) -> Tensor:
        from bayestl.likelihoods.softmax import ExpectedLogSumExp

        mean_observed = mean.gather(1, labels.y.long()[:, None])[:, 0]
        return mean_observed - ExpectedLogSumExp.apply(mean, variance)

    def predictive(self, latent: LatentBlock, setting: Setting) -> Discrete:
        normal = _class_draws(self.n_latent)
        total = np.zeros(latent.means.shape[1:])
        for weight, mean, covariance in zip(*latent, strict=True):
            values, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
            f = mean + np.einsum("nij,kj->kni", root, normal)
            f = np.exp(f - f.max(axis=2, keepdims=True))
            total += weight * (f / f.sum(axis=2, keepdims=True)).mean(axis=0)
        return Discrete(total, self.classes_)

    def draw(self, f: np.ndarray, setting: Setting, generator: np.random.Generator) -> np.ndarray:
        return (f + generator.gumbel(size=f.shape)).argmax(axis=2).astype(float)


@cache
def _class_draws(n: int) -> np.ndarray:
    uniform = qmc.Sobol(n, scramble=True, rng=np.random.default_rng(0)).random(CLASS_DRAWS)
    return ndtri(np.clip(uniform, 1e-9, 1 - 1e-9))
