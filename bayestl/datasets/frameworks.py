"""Covalent organic frameworks: how much better they adsorb xenon than krypton, by a cheap and a dear simulation.

The table of Gantzler et al. 2023, in the form of the chem-MFBO repository (Sabanza-Gil et al. 2024).
"""

from __future__ import annotations

import pandas as pd

from bayestl.datasets.base import DataFile, Dataset, fetch
from bayestl.datasets.molecules import CHEM_MFBO
from bayestl.table.task import Task

FRAMEWORKS = DataFile(
    "cofs.csv", "d06bab3c643c7e226ca1a90dca65731ee5ef58fe0399cf71f5e44d6c6f9c8e58", CHEM_MFBO + "cofs.csv"
)
FEATURES = (
    "pore_diameter", "void_fraction", "surface_area", "crystal_density",
    "B", "O", "C", "H", "Si", "N", "S", "P", "halogens", "metals",
)  # fmt: skip
"""Names of the features, in the order of the file, whose own names are Python's spelling of bytes: the pore
diameter (A), the fraction that is void, the surface area (m^2/g), the density (kg/m^3), and fractions of the
atoms."""


def load_frameworks() -> Dataset:
    """Xe/Kr selectivities of 608 covalent organic frameworks, from Henry coefficients and from a Monte Carlo simulation.

    ``henry`` is the ratio of Henry coefficients, the limit of an empty framework; ``monte_carlo`` the selectivity by
    grand canonical Monte Carlo simulation of the mixture.  The 14 features describe pores and composition
    (:data:`FEATURES`).

    Returns
    -------
    Dataset
        ``X`` (608, 14) and ``Y`` (608, 2): ``henry`` and ``monte_carlo``, ratios without a unit.  With tasks, citation and licence.

    Raises
    ------
    DataError
        If the file is missing or has another checksum.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.datasets.load_frameworks()  # doctest: +SKIP
    """
    table = pd.read_csv(fetch(FRAMEWORKS))
    X = table.drop(columns=["HF", "LF"]).set_axis(list(FEATURES), axis=1)
    return Dataset(
        "frameworks",
        X,
        pd.DataFrame({"henry": table["LF"], "monte_carlo": table["HF"]}),
        (Task("henry", cost=1.0), Task("monte_carlo", cost=15.0)),
        "Gantzler, Deshwal, Doppa, Simon 2023, Digital Discovery 2, 1937; Sabanza-Gil et al. 2024, arXiv 2410.00544",
        "MIT",
        FRAMEWORKS.address,
    )
