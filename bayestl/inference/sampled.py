"""Latent values that are known by draws only, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bayestl.likelihoods import LatentBlock, Setting
from bayestl.table.task import PartDraws, TaskPart


class SampledLatent:
    """The latent values of n rows in S joint draws, each with a Gaussian conditional of its own (``bayestl.posterior.Latent``).

    Parameters
    ----------
    means, variances : ndarray, shape (S, n, C)
        Of each latent value, given what it follows from in that draw.
    values : ndarray, shape (S, n, C)
        A draw from that.
    settings : mapping of TaskPart to Setting
        Noise and further hyperparameters of each part in each draw.
    """

    def __init__(
        self, means: np.ndarray, variances: np.ndarray, values: np.ndarray, settings: Mapping[TaskPart, Setting]
    ) -> None:
        self._means, self._variances, self._values = means, variances, values
        self._settings = dict(settings)

    @property
    def means(self) -> np.ndarray:
        """Conditional means, (S, n, C)."""
        return self._means

    def block(self, part: TaskPart) -> LatentBlock:
        """The latent values of a part: a component a draw."""
        channels = list(part.channels)
        size = len(self._means)
        covariances = self._variances[:, :, channels][..., None] * np.eye(len(channels))
        return LatentBlock(np.full(size, 1.0 / size), self._means[:, :, channels], covariances)

    def setting(self, part: TaskPart) -> Setting:
        """Noise and further hyperparameters of a part, in each draw."""
        return self._settings[part]

    def moments(self) -> None:
        """Only draws know how the tasks of a row vary together."""
        return

    def sample(self, n: int, generator: np.random.Generator, joint_rows: bool) -> list[PartDraws]:
        """``n`` draws behind each part: all S in a random order before any is used again."""
        size = len(self._values)
        chosen = np.concatenate([generator.permutation(size) for _ in range(-(-n // size))])[:n]
        return [
            PartDraws(part, self._values[chosen][:, :, list(part.channels)], setting.at(chosen))
            for part, setting in self._settings.items()
        ]


def correlation_over_rows(values: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Correlation between functions (S, n, C) over the rows: mean over draws, ``.attrs["std"]`` their spread."""
    centred = values - values.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1)) + 1e-300
    stack = np.einsum("snt,snu->stu", centred, centred) / (size[:, :, None] * size[:, None, :])
    out = pd.DataFrame(stack.mean(axis=0), names, names)
    out.attrs["std"] = pd.DataFrame(stack.std(axis=0), names, names)
    return out
