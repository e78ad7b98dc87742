"""Formation enthalpies, measured and by three kinds of density functional theory, joined by composition.

Measured values and their standard errors from Kingsbury's compilation (Wang et al. 2021), Materials Project and OQMD
from Kim et al. 2017, SCAN from Bartel et al. 2019.
"""

from __future__ import annotations

import json

import pandas as pd

from bayestl.datasets.base import DataFile, Dataset, fetch
from bayestl.datasets.materials_project import formation_energies
from bayestl.table.task import Task

_ZHANG = "https://raw.githubusercontent.com/Zhang-NJ-Lab/Datasets/02c69072520ce5be65e2e51b0d237e8dc90d9a53/"
KINGSBURY = DataFile(
    "expt_formation_enthalpy_kingsbury.csv",
    "2244dad34880021a985bb7bd35eec25147a7776cd016b9a27cce20bba8c812c3",
    _ZHANG + "expt_formation_enthalpy_kingsbury.csv",
)
KIM = DataFile(
    "expt_formation_enthalpy.csv",
    "d16572f18be60eebe78d3b887f336c2e34201b9610a12194a901428b0707a962",
    _ZHANG + "expt_formation_enthalpy.csv",
)
SCAN = DataFile(
    "SCAN_Hs_from_npj.json",
    "aec4942ca662ebc22e414ef405f328224837f06835e49c99cf39fd4e25d3667b",
    "https://raw.githubusercontent.com/CJBartel/compmatscipy/b05da87fe71ae6fe12602d43b8e18a0774b8f9d2/"
    "compmatscipy/tests/test_data/SCAN_Hs_from_npj.json",
)


def load_formation_enthalpies() -> Dataset:
    """Formation enthalpies in eV/atom by composition: Materials Project, OQMD, SCAN, and measured (2135).

    One row per reduced composition, the index; each label is the mean over the entries of the composition.  ``mp`` are
    the entries of Kim et al. and the Materials Project's energy of the identifier that the measurement names;
    ``measured`` has standard errors in ``Y_std`` where they are stated (those of 0 are taken as not stated).  The
    measured values of Kim et al. are left out: where both have one, it is nearly always the same measurement.

    Returns
    -------
    Dataset
        ``X`` (2586, 1): ``formula``.  ``Y`` (2586, 4): ``mp``, ``oqmd``, ``scan`` and ``measured`` in eV/atom, and ``Y_std``.  With
        tasks, citation and licence.

    Raises
    ------
    DataError
        If a file is missing or has another checksum.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.datasets.load_formation_enthalpies()  # doctest: +SKIP
    """
    from bayestl.features import reduced_formula

    measured, kim = (_by_composition(pd.read_csv(fetch(file))) for file in (KINGSBURY, KIM))
    scan = pd.Series({reduced_formula(f): entry["H"] for f, entry in json.loads(fetch(SCAN).read_text()).items()})
    named = measured["likely_mpid"].map(formation_energies())
    columns = {
        "mp": pd.concat([kim["e_form mp"], named]),
        "oqmd": kim["e_form oqmd"],
        "scan": scan,
        "measured": measured["expt_form_e"],
    }
    Y = pd.DataFrame({name: values.groupby(level=0).mean() for name, values in columns.items()}).dropna(how="all")
    Y = Y.loc[[*measured.index, *Y.index.difference(measured.index)]].rename_axis("composition")
    Y_std = pd.DataFrame(index=Y.index, columns=Y.columns, dtype=float)
    Y_std["measured"] = measured["uncertainty"].where(measured["uncertainty"] > 0)
    return Dataset(
        "formation_enthalpies",
        pd.DataFrame({"formula": Y.index}, index=Y.index),
        Y,
        (
            Task("mp", unit="eV/atom", cost=1.0),
            Task("oqmd", unit="eV/atom", cost=1.0),
            Task("scan", unit="eV/atom", cost=3.0),
            Task("measured", unit="eV/atom", cost=20.0),
        ),
        "Wang, Kingsbury et al. 2021, Sci. Rep. 11, 15496; Kim et al. 2017, Sci. Data 4, 170162; Bartel et al. 2019, "
        "npj Comput. Mater. 5, 4; Goodall, Lee 2020, Nat. Commun. 11, 6280",
        "MIT (SCAN, Materials Project); the copies of the two measured tables name none",
        KINGSBURY.address,
        Y_std=Y_std,
    )


def _by_composition(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the reduced compositions of its formulas as index; each of the measured ones has one row."""
    from bayestl.features import reduced_formula

    return table.set_index(table["formula"].map(reduced_formula))
