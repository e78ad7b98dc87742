"""Measured band gaps of matbench_expt_gap, with the PBE gaps that the Materials Project has for the same compositions.

Both files are those of the CrabNet repository (Wang et al. 2021).
"""

from __future__ import annotations

import pandas as pd

from bayestl.datasets.base import DataFile, Dataset, fetch
from bayestl.likelihoods import Hurdle
from bayestl.table.task import Task

_CRABNET = (
    "https://raw.githubusercontent.com/anthony-wang/CrabNet/457b4d4835737ecbe4dd33e53174bd818bd82143/data/matbench/"
)
EXPERIMENTAL_GAPS = DataFile(
    "expt_gap.csv", "3de82c37f1db3ab9bbd92366c96633f131913ded5db0969eb36216bdd11cef2f", _CRABNET + "expt_gap.csv"
)
MATERIALS_PROJECT_GAPS = DataFile(
    "mp_gap.csv", "4084e584467e6f81ec8bf12c438eeb2c049ae39e11401bae694ef6a9983b9d9f", _CRABNET + "mp_gap.csv"
)


def load_experimental_band_gaps(pbe: bool = True) -> Dataset:
    """Measured band gaps of 4604 formulas (matbench_expt_gap), with the PBE gap of the composition where it is known.

    ``pbe_gap`` is the median gap over the Materials Project entries of the same reduced composition; ``pbe=False``
    leaves it out.  Rows are in the order of the file, so ``KFold(5, shuffle=True, random_state=18012019)`` gives the
    official folds.

    Parameters
    ----------
    pbe : bool
        Whether to add the task ``pbe_gap``.

    Returns
    -------
    Dataset
        ``X`` (4604, 1): ``formula``.  ``Y`` (4604, 2): ``pbe_gap`` and ``expt_gap`` in eV.  With tasks, citation and licence.

    Raises
    ------
    DataError
        If a file is missing or has another checksum.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.datasets.load_experimental_band_gaps()  # doctest: +SKIP
    """
    measured = pd.read_csv(fetch(EXPERIMENTAL_GAPS))
    Y = pd.DataFrame({"expt_gap": measured["target"].astype(float)})
    tasks: tuple[Task, ...] = (Task("expt_gap", Hurdle(), unit="eV", cost=20.0),)
    if pbe:
        Y.insert(0, "pbe_gap", pbe_gaps_of(measured["formula"]))
        tasks = (Task("pbe_gap", Hurdle(), unit="eV", cost=1.0), *tasks)
    return Dataset(
        "experimental_band_gaps",
        measured[["formula"]],
        Y,
        tasks,
        "Zhuo, Mansouri Tehrani, Brgoch 2018, J. Phys. Chem. Lett. 9, 1668; Dunn et al. 2020, npj Comput. Mater. 6, 138",
        "MIT",
        EXPERIMENTAL_GAPS.address,
    )


def pbe_gaps_of(formulas: pd.Series) -> pd.Series:
    """The median PBE gap in eV over the Materials Project entries of each formula's composition, NaN where there is none.

    Raises
    ------
    DataError
        If the file is missing or has another checksum.
    """
    from bayestl.features import reduced_formula

    calculated = pd.read_csv(fetch(MATERIALS_PROJECT_GAPS))
    spelling = {f: reduced_formula(f) for f in calculated["formula"].unique()}
    median = calculated.groupby(calculated["formula"].map(spelling))["target"].median()
    return formulas.map(reduced_formula).map(median).astype(float)
