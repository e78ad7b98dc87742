"""The chemical elements: a table built from what pymatgen and matminer install, without a download.

Features come from the periodic table; labels are mechanical and thermal properties, and the volume by DFT and by
measurement.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayestl.datasets.base import DataError, Dataset
from bayestl.progress import import_tqdm
from bayestl.table.task import Task

_ELEMENT_TASKS = (
    Task("melting_point", unit="K", cost=1.0),
    Task("boiling_point", unit="K", cost=1.0),
    Task("bulk_modulus", unit="ln GPa", cost=2.0),
    Task("youngs_modulus", unit="ln GPa", cost=2.0),
    Task("rigidity_modulus", unit="ln GPa", cost=2.0),
    Task("mohs_hardness", unit="ln", cost=1.0),
    Task("brinell_hardness", unit="ln MPa", cost=3.0),
    Task("vickers_hardness", unit="ln MPa", cost=3.0),
    Task("dft_volume", unit="ln A^3/atom", cost=1.0),
    Task("measured_volume", unit="ln cm^3/mol", cost=5.0),
)


def load_elements() -> Dataset:
    """The chemical elements: periodic-table features, sparse mechanical and thermal labels, DFT and measured volume.

    Moduli, hardness and volumes are natural logarithms, since they span decades.  The extra ``materials`` is needed.

    Returns
    -------
    Dataset
        ``X`` (95, 13): numbers from the periodic table, one row an element.  ``Y`` (95, 10): ``melting_point`` and
        ``boiling_point`` in K, ``bulk_modulus``, ``youngs_modulus`` and ``rigidity_modulus`` in ln GPa, ``mohs_hardness`` (ln),
        ``brinell_hardness`` and ``vickers_hardness`` in ln MPa, ``dft_volume`` in ln A^3/atom, ``measured_volume`` in ln cm^3/mol.
        With tasks, citation and licence.

    Examples
    --------
    >>> data = load_elements()
    >>> int(data.Y["vickers_hardness"].notna().sum())
    39
    """
    import_tqdm()
    import pymatgen.core
    from matminer.utils.data import MagpieData
    from pymatgen.core import Element

    magpie = MagpieData()
    table = _periodic_table(Path(pymatgen.core.__file__).parent)
    features, labels, symbols = [], [], []
    for element in sorted(Element, key=lambda e: e.Z):
        if element.Z > 95 or element.symbol in ("D", "T"):
            continue
        values = {name: magpie.get_elemental_property(element, name) for name in _MAGPIE_FEATURES}
        numbers = {key: _number(table[element.symbol].get(key)) for key in _PYMATGEN_LABELS.values()}
        of_element = {task: numbers[key] for task, key in _PYMATGEN_LABELS.items()}
        of_element["dft_volume"] = _number(magpie.get_elemental_property(element, "GSvolume_pa"))
        for task in of_element:
            if task not in ("melting_point", "boiling_point"):
                of_element[task] = np.log(of_element[task]) if of_element[task] > 0 else np.nan
        features.append(values)
        labels.append(of_element)
        symbols.append(element.symbol)
    index = pd.Index(symbols, name="element")
    X = pd.DataFrame(features, index=index, dtype=float)
    X = X.fillna(X.median())
    Y = pd.DataFrame(labels, index=index)[[t.name for t in _ELEMENT_TASKS]]
    labelled = Y.notna().any(axis=1)
    return Dataset(
        "elements",
        X[labelled],
        Y[labelled],
        _ELEMENT_TASKS,
        "pymatgen (Ong et al. 2013, Comput. Mater. Sci. 68, 314) and Magpie (Ward et al. 2016, npj Comput. Mater. 2, 16028)",
        "MIT (pymatgen), matminer's licence for the Magpie tables",
        "installed with pymatgen and matminer",
    )


_MAGPIE_FEATURES = (
    "Number", "Column", "Row", "MendeleevNumber", "AtomicWeight", "Electronegativity", "CovalentRadius",
    "NsValence", "NpValence", "NdValence", "NfValence", "NValence", "NUnfilled",
)  # fmt: skip
_PYMATGEN_LABELS = {
    "melting_point": "Melting point",
    "boiling_point": "Boiling point",
    "bulk_modulus": "Bulk modulus",
    "youngs_modulus": "Youngs modulus",
    "rigidity_modulus": "Rigidity modulus",
    "mohs_hardness": "Mineral hardness",
    "brinell_hardness": "Brinell hardness",
    "vickers_hardness": "Vickers hardness",
    "measured_volume": "Molar volume",
}


def _periodic_table(folder: Path) -> dict[str, dict[str, Any]]:
    """Pymatgen's table of element properties, by symbol."""
    import gzip

    for name in ("periodic_table.json.gz", "periodic_table.json"):
        path = folder / name
        if path.is_file():
            raw = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
            return dict(json.loads(raw))
    raise DataError(f"pymatgen's periodic table is not in {folder}: this version of pymatgen was not tested")


def _number(value: Any) -> float:
    """The number at the start of an entry such as ``"76.0 GPa"`` or ``{"value": ...}``; NaN without a number."""
    if isinstance(value, dict):
        value = value.get("data", value.get("value"))
    if value is None:
        return float("nan")
    try:
        return float(str(value).split()[0].strip("(><~"))
    except (ValueError, IndexError):
        return float("nan")
