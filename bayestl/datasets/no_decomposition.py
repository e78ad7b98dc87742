"""Activation energies of NO decomposition on metal surfaces by DFT (Falsig et al. 2014), from the database CatApp.

The features of a surface are properties of its metal, its facet and the coordination number of the facet.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from importlib.resources import files

import numpy as np
import pandas as pd

from bayestl.datasets.base import DataFile, Dataset, fetch
from bayestl.progress import import_tqdm
from bayestl.table.task import Task

CATAPP = DataFile(
    "catapp.db",
    "7bbacdd54890a732a7e9ce5a004ff43256ba25e1b166c796d898fdd64861678c",
    "https://raw.githubusercontent.com/charlietsai/catapp/1f80609917984da9ae2b08f80471ced7e3105af3/catapp_web/database/catapp.db",
)

_COORDINATION = {"111": 9.0, "211": 7.0, "110": 7.0, "311": 7.0, "532": 6.0}
"""Coordination number of the surface atoms of each facet."""
_STEPS = {("N2", "N*", "N*"): "N2", ("NO", "N*", "O*"): "NO", ("O2", "O*", "O*"): "O2"}


def load_no_decomposition(cohesion: bool = False) -> Dataset:
    """Activation energies of three steps of NO decomposition on 10 metals x 5 facets (Falsig et al. 2014, by DFT).

    The tasks ``N2``, ``NO`` and ``O2`` are the steps N* + N* -> N2, N* + O* -> NO and O* + O* -> O2.  ``groups`` are
    the metals.

    Parameters
    ----------
    cohesion : bool
        Add five properties of the pure metal that matminer installs: Miedema's work function (V), electron density (cube
        root, in d.u.) and molar volume (cm^3/mol; de Boer et al. 1988, Cohesion in Metals), the cohesive energy (eV/atom)
        and the number of d electrons.  They stand in for the centre of the d band, which decides how strongly a metal binds
        N and O.

    Returns
    -------
    Dataset
        ``X`` (50, 12), with ``cohesion`` (50, 17): numbers of the metal and the facet.  ``Y`` (50, 3): ``N2``, ``NO`` and ``O2``
        in eV.  With groups, tasks, citation and licence.

    Raises
    ------
    DataError
        If the file is missing or has another checksum.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.datasets.load_no_decomposition()  # doctest: +SKIP
    """
    import_tqdm()
    from pymatgen.core import Element

    uri = f"file:{fetch(CATAPP)}?mode=ro&immutable=1"
    with sqlite3.connect(uri, uri=True) as connection:
        rows = connection.execute(
            "SELECT Surface, Termination, AB, A, B, Activation_Energy FROM CatApp WHERE Reference LIKE ?",
            ("%Topics in Catalysis (2014)%",),
        ).fetchall()
    connection.close()
    values: dict[tuple[str, str], dict[str, float]] = {}
    for metal, facet, product, a, b, energy in rows:
        if (step := _STEPS.get((product, a, b))) is not None:
            values.setdefault((metal, facet), {})[step] = float(energy)
    metals = sorted({metal for metal, _ in values})
    surfaces = [(metal, facet) for metal in metals for facet in sorted(_COORDINATION)]
    index = pd.Index([f"{m}({f})" for m, f in surfaces], name="surface")
    features = []
    further = _cohesion() if cohesion else None
    for metal, facet in surfaces:
        element = Element(metal)
        features.append(
            {
                "atomic_number": float(element.Z),
                "group": float(element.group),
                "row": float(element.row),
                "electronegativity": float(element.X),
                "atomic_radius": float(element.atomic_radius or np.nan),
                "melting_point": float(element.melting_point or np.nan),
                **{f"facet_{f}": float(f == facet) for f in sorted(_COORDINATION)},
                "coordination": _COORDINATION[facet],
                **({} if further is None else further(metal)),
            }
        )
    Y = pd.DataFrame([values.get(s, {}) for s in surfaces], index=index, columns=["N2", "NO", "O2"], dtype=float)
    return Dataset(
        "no_decomposition",
        pd.DataFrame(features, index=index),
        Y,
        tuple(Task(name, unit="eV") for name in Y.columns),
        "Falsig et al. 2014, Top. Catal. 57, 80; CatApp: Hummelshoj et al. 2012, Angew. Chem. Int. Ed. 51, 272",
        "public database of published DFT energies",
        CATAPP.address,
        pd.Series([m for m, _ in surfaces], index=index, name="metal"),
    )


def _cohesion() -> Callable[[str], dict[str, float]]:
    """What the tables of matminer say of the cohesion of a metal."""
    from matminer.utils.data import CohesiveEnergyData, MagpieData
    from pymatgen.core import Element

    with (files("matminer.utils.data_files") / "Miedema.csv").open(encoding="utf-8") as file:
        miedema = pd.read_csv(file, index_col="element")
    energies, magpie = CohesiveEnergyData(), MagpieData()

    def of(metal: str) -> dict[str, float]:
        return {
            "work_function": float(miedema.loc[metal, "electronegativity"]),
            "electron_density": float(miedema.loc[metal, "electron_density"]) ** (1 / 3),
            "molar_volume": float(miedema.loc[metal, "molar_volume"]),
            "cohesive_energy": float(energies.get_elemental_property(metal)),
            "d_electrons": float(magpie.get_elemental_property(Element(metal), "NdValence")),
        }

    return of
