"""What the identifiers of the Materials Project stand for: formulas and formation energies.

Two tables of the Roost repository (Goodall, Lee 2020), each with one identifier per composition, that of the lowest
formation energy.
"""

from __future__ import annotations

import pandas as pd

from bayestl.datasets.base import DataFile, fetch

_ROOST = "https://raw.githubusercontent.com/CompRhys/roost/"
FORMATION_ENERGIES = DataFile(
    "roost-mp-formation.csv",
    "92ba6fd2a0777261ba78bf72a0244875a78f05a5902993d9440c18255802a644",
    _ROOST + "553aeb3883508e26bf1972faaed23fba8a5d8907/data/datasets/mp-formation.csv",
)
PBE_GAPS = DataFile(
    "roost-mp-irbandgaps.csv",
    "eae69b24759ac0b46b96f4a2a59cea5b0691c4cd478820b219c5cf956546c0e6",
    _ROOST + "4673714fd615b4752fcfaccb257895ec482202e6/data/datasets/mp-irbandgaps.csv",
)


def formation_energies() -> pd.Series:
    """Formation energies in eV/atom, by identifier.

    Raises
    ------
    DataError
        If the file is missing or has another checksum.
    """
    return _read(FORMATION_ENERGIES, "formation_energy_per_atom").astype(float)


def formulas() -> pd.Series:
    """Formulas, by identifier, from both tables.

    Raises
    ------
    DataError
        If a file is missing or has another checksum.
    """
    return _read(FORMATION_ENERGIES, "composition").combine_first(_read(PBE_GAPS, "pretty_formula"))


def _read(file: DataFile, column: str) -> pd.Series:
    """A column of a table, by identifier; sodium nitride is a formula, not a missing value."""
    return pd.read_csv(fetch(file), keep_default_na=False, index_col="task_id")[column]
