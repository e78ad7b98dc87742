"""Molecules with a cheap calculation and a measurement: hydration free energies and polarisabilities.

Both files are those of the chem-MFBO repository (Sabanza-Gil et al. 2024), whose costs of the calculation relative to
the measurement are taken over.
"""

from __future__ import annotations

import pandas as pd

from bayestl.datasets.base import DataFile, Dataset, fetch
from bayestl.table.task import Task

CHEM_MFBO = "https://raw.githubusercontent.com/Atinary-technologies/chem-MFBO/1c24c08c99df12fc598e43493b309631bef9d1a2/data/clean/"
"""Folder of the tables of the chem-MFBO repository."""
FREESOLV = DataFile(
    "freesolv.csv", "db13140d07f86052d2ec79a6fe647835f44c853cd9d3a0554b4c9271181ebe83", CHEM_MFBO + "freesolv.csv"
)
POLARIZABILITY = DataFile(
    "polarizability.csv",
    "7c22e03a4814ca5f758778022af7355f25b07edd288654527199927bfc1af342",
    CHEM_MFBO + "polarizability.csv",
)


def load_freesolv() -> Dataset:
    """Hydration free energies of 640 molecules in kcal/mol, by molecular dynamics and measured (FreeSolv).

    Negative where a molecule is more stable in water than in the gas phase.  The file has them with the opposite sign,
    which is undone here.

    Raises
    ------
    DataError
        If the file is missing or has another checksum.
    """
    table = pd.read_csv(fetch(FREESOLV))
    return Dataset(
        "freesolv",
        table[["smiles"]],
        pd.DataFrame({"calculated": -table["LF"], "measured": -table["HF"]}),
        (Task("calculated", unit="kcal/mol", cost=1.0), Task("measured", unit="kcal/mol", cost=10.0)),
        "Mobley, Guthrie 2014, J. Comput.-Aided Mol. Des. 28, 711; Sabanza-Gil et al. 2024, arXiv 2410.00544",
        "MIT",
        FREESOLV.address,
    )


def load_polarizability() -> Dataset:
    """Polarisabilities of 1134 molecules, by Hartree-Fock (6-311G) and measured (Alexandria library).

    The file has each of the two scaled to run from 0 to 1 over the table, so neither has a unit.

    Raises
    ------
    DataError
        If the file is missing or has another checksum.
    """
    table = pd.read_csv(fetch(POLARIZABILITY))
    return Dataset(
        "polarizability",
        table[["smiles"]],
        pd.DataFrame({"calculated": table["LF"], "measured": table["HF"]}),
        (Task("calculated", cost=1.0), Task("measured", cost=6.0)),
        "Ghahremanpour, van Maaren, van der Spoel 2018, Sci. Data 5, 180062; Sabanza-Gil et al. 2024, arXiv 2410.00544",
        "MIT",
        POLARIZABILITY.address,
    )
