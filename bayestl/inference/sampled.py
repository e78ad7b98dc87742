"""Latent values represented by joint draws, and the correlation of functions over such draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bayestl.likelihoods import LatentBlock, Setting
from bayestl.table.task import PartDraws, TaskPart


class SampledLatent:
    """The latent values of n rows in S joint draws, each with a Gaussian conditional (a ``bayestl.posterior.Latent``).

    Parameters
    ----------
    means, variances : ndarray, shape (S, n, C)
        Moments of each latent value, given the quantities of that draw from which it follows.
    values : ndarray, shape (S, n, C)
        A draw of each latent value from that Gaussian.
    settings : mapping of TaskPart to Setting
        Noise and further hyperparameters of each part in each draw.
    """

    def __init__(
        self, means: np.ndarray, variances: np.ndarray, values: np.ndarray, settings: Mapping[TaskPart, Setting]
    ) -> None:
        # one layout in memory, so that a pickled posterior sums in the same order
        self._means, self._variances, self._values = map(np.ascontiguousarray, (means, variances, values))
        self._settings = dict(settings)

    @property
    def means(self) -> np.ndarray:
        """Conditional means, (S, n, C)."""
        return self._means

    def block(self, part: TaskPart) -> LatentBlock:
        """The latent values of a part, one mixture component per draw."""
        return self.together([part])[0]

    def together(self, parts: Sequence[TaskPart]) -> tuple[LatentBlock, list[Setting]]:
        """The latent values of several parts, independent of each other in each draw, and their settings."""
        channels = [c for part in parts for c in part.channels]
        size = len(self._means)
        covariances = self._variances[:, :, channels][..., None] * np.eye(len(channels))
        block = LatentBlock(np.full(size, 1.0 / size), self._means[:, :, channels], covariances)
        return block, [self._settings[part] for part in parts]

    def setting(self, part: TaskPart) -> Setting:
        """Noise and further hyperparameters of a part, in each draw."""
        return self._settings[part]

    def moments(self) -> None:
        """None: the joint distribution of the tasks of a row is known by draws only."""
        return

    def sample(self, n: int, generator: np.random.Generator, joint_rows: bool) -> list[PartDraws]:
        """``n`` draws of the latent values of each part; all S are used in random order before any is used again."""
        size = len(self._values)
        chosen = np.concatenate([generator.permutation(size) for _ in range(-(-n // size))])[:n]
        return [
            PartDraws(part, self._values[chosen][:, :, list(part.channels)], setting.at(chosen))
            for part, setting in self._settings.items()
        ]


def correlation_over_rows(values: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Correlation between functions (S, n, C) over rows: mean over draws, ``.attrs["std"]`` the standard deviation.

    A constant function is correlated with no other.
    """
    centred = values - values.mean(axis=1, keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=1)) + 1e-150
    stack = np.einsum("snt,snu->stu", centred, centred) / (norm[:, :, None] * norm[:, None, :])
    stack[:, range(len(names)), range(len(names))] = 1.0
    correlation = pd.DataFrame(stack.mean(axis=0), names, names)
    correlation.attrs["std"] = pd.DataFrame(stack.std(axis=0), names, names)
    return correlation


def systematic(log_weights: Tensor, size: int, start: Tensor) -> Tensor:
    """Positions (size, n) of draws resampled from weighted ones (M, n), in increasing order; ``start`` (1, n) is uniform.

    Systematic resampling (Kitagawa 1996) has less noise than independent draws: for equal weights it takes draws at even
    distances.
    """
    cumulative = torch.softmax(log_weights, dim=0).cumsum(dim=0)
    levels = (torch.arange(size, dtype=cumulative.dtype, device=cumulative.device)[:, None] + start) / size
    chosen = torch.searchsorted(cumulative.T.contiguous(), levels.T.contiguous()).T
    return chosen.clamp_max(len(log_weights) - 1)
