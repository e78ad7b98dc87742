"""Real tables with sparse labels, built from installed packages or downloaded on first use with a checksum.

``BAYESTL_DATA`` may name a folder with the downloaded files; then no network is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bayestl.datasets.band_gaps import load_experimental_band_gaps
from bayestl.datasets.base import DataError, Dataset, fetch
from bayestl.datasets.elements import load_elements
from bayestl.datasets.enthalpies import load_formation_enthalpies
from bayestl.datasets.fidelities import load_band_gap_fidelities
from bayestl.datasets.frameworks import load_frameworks
from bayestl.datasets.molecules import MOLECULES, load_molecules
from bayestl.datasets.no_decomposition import load_no_decomposition
from bayestl.datasets.strehlow_cook import load_strehlow_cook

__all__ = [
    "LOADERS",
    "DataError",
    "Dataset",
    "fetch",
    "load_band_gap_fidelities",
    "load_elements",
    "load_experimental_band_gaps",
    "load_formation_enthalpies",
    "load_frameworks",
    "load_molecules",
    "load_no_decomposition",
    "load_strehlow_cook",
]


def _loader(name: str) -> Callable[[], Dataset]:
    """The loader of one table of molecules; its docstring is the title of the table, as with the others."""
    loader = partial(load_molecules, name)
    loader.__doc__ = MOLECULES[name].title
    return loader


LOADERS: dict[str, Callable[[], Dataset]] = {
    "elements": load_elements,
    "experimental_band_gaps": load_experimental_band_gaps,
    "strehlow_cook": load_strehlow_cook,
    "no_decomposition": load_no_decomposition,
    **{name: _loader(name) for name in MOLECULES},
    "frameworks": load_frameworks,
    "formation_enthalpies": load_formation_enthalpies,
    "band_gap_fidelities": load_band_gap_fidelities,
}
"""The loaders of all tables, by name."""
