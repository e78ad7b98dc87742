"""The mean difference between each level of fidelity and the one that it follows, over rows of the table.

Unlike the offset, which is the value at a source of zero and shares a constant with the smooth difference, the labels tell it well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayestl import streams

if TYPE_CHECKING:
    from bayestl.models.exact.architecture import ExactArchitecture

MOST_ROWS = 300
"""Most rows over which is averaged, evenly chosen."""
COLUMNS = ("rows", "at", "mean", "std", "lower", "upper")


def mean_shifts(model: ExactArchitecture, parents: Mapping[int, int], level: float, n_draws: int) -> pd.DataFrame:
    """One row per channel with a parent: over rows with a label of the parent, the parent's mean, and the mean difference to it."""
    table, generator, found = model.table_, streams.generator(model.seed_, "shifts"), {}
    owner = {c: (part, name) for part in table.parts for c, name in zip(part.channels, part.names, strict=True)}
    for family in model.families_:
        for child, parent in ((c, parents[c]) for c in family.channels if c in parents):
            labelled = np.flatnonzero(table.present[:, owner[parent][0].task])
            rows = labelled[np.unique(np.linspace(0, len(labelled) - 1, MOST_ROWS).astype(int))]
            weights = family.posterior.weights
            component = generator.choice(len(weights), size=n_draws, p=weights)
            draws = model._at_rows(family, rows).draw(component, generator, True)
            above, below = (_in_units(model, draws, family.channels, owner[c][0], c) for c in (child, parent))
            shift = (above - below).mean(axis=1)
            ends = np.quantile(shift, [0.5 - level / 2, 0.5 + level / 2])
            found[owner[child][1], owner[parent][1]] = (len(rows), below.mean(), shift.mean(), shift.std(), *ends)
    index = pd.MultiIndex.from_tuples(list(found), names=["level", "source"])
    return pd.DataFrame(list(found.values()), index, list(COLUMNS))


def _in_units(model: ExactArchitecture, draws: np.ndarray, channels: list[int], part: object, c: int) -> np.ndarray:
    location, scale = model.scaler_.units(part)  # type: ignore[arg-type]
    return np.asarray(location + scale * draws[:, :, list(channels).index(c)])
