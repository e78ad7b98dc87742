"""Molecules with a cheap calculation and a measurement: hydration free energies and polarisabilities.

Both files are those of the chem-MFBO repository (Sabanza-Gil et al. 2024), whose costs of the calculation relative to
the measurement are taken over.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from bayestl.datasets.base import DataFile, Dataset, fetch
from bayestl.table.task import Task

CHEM_MFBO = "https://raw.githubusercontent.com/Atinary-technologies/chem-MFBO/1c24c08c99df12fc598e43493b309631bef9d1a2/data/clean/"
"""Folder of the tables of the chem-MFBO repository."""


class Molecules(NamedTuple):
    """A table of molecules: its title, file, unit, cost of a measurement, sign of the file's labels, and source."""

    title: str
    file: DataFile
    unit: str
    cost: float
    sign: int
    citation: str


MOLECULES = {
    "freesolv": Molecules(
        "Hydration free energies of 640 molecules in kcal/mol, by molecular dynamics and measured (FreeSolv).",
        DataFile(
            "freesolv.csv",
            "db13140d07f86052d2ec79a6fe647835f44c853cd9d3a0554b4c9271181ebe83",
            CHEM_MFBO + "freesolv.csv",
        ),
        "kcal/mol",
        10.0,
        -1,
        "Mobley, Guthrie 2014, J. Comput.-Aided Mol. Des. 28, 711",
    ),
    "polarizability": Molecules(
        "Polarisabilities of 1134 molecules, by Hartree-Fock (6-311G) and measured (Alexandria library).",
        DataFile(
            "polarizability.csv",
            "7c22e03a4814ca5f758778022af7355f25b07edd288654527199927bfc1af342",
            CHEM_MFBO + "polarizability.csv",
        ),
        "",
        6.0,
        1,
        "Ghahremanpour, van Maaren, van der Spoel 2018, Sci. Data 5, 180062",
    ),
}
"""The tables of molecules, by name."""


def load_molecules(name: str) -> Dataset:
    """A quantity of molecules, ``calculated`` and ``measured`` for each: the column ``smiles`` of ``X`` names them.

    ``"freesolv"`` has the hydration free energies of 640 molecules in kcal/mol (FreeSolv), by molecular dynamics and
    measured: negative where a molecule is more stable in water than in the gas phase.  (The file has them with the
    opposite sign, which is undone here.)

    ``"polarizability"`` has the polarisabilities of 1134 molecules, by Hartree-Fock (6-311G) and measured (Alexandria
    library).  The file has each of the two scaled to run from 0 to 1 over the table, so neither has a unit.

    Parameters
    ----------
    name : {"freesolv", "polarizability"}
        Which table.

    Returns
    -------
    Dataset
        See :class:`~bayestl.features.MoleculeFeatures` for features of the molecules.

    Raises
    ------
    DataError
        If the file is missing or has another checksum.
    ValueError
        For another name.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.datasets.load_molecules("freesolv")  # doctest: +SKIP
    """
    if name not in MOLECULES:
        raise ValueError(f"no table of molecules {name!r}; the tables are {list(MOLECULES)}")
    molecules = MOLECULES[name]
    table = pd.read_csv(fetch(molecules.file))
    return Dataset(
        name,
        table[["smiles"]],
        pd.DataFrame({"calculated": molecules.sign * table["LF"], "measured": molecules.sign * table["HF"]}),
        (Task("calculated", unit=molecules.unit, cost=1.0), Task("measured", unit=molecules.unit, cost=molecules.cost)),
        molecules.citation + "; Sabanza-Gil et al. 2024, arXiv 2410.00544",
        "MIT",
        molecules.file.address,
    )
