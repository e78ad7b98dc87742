"""Real tables with sparse labels from several sources.

``load_elements`` is built from what pymatgen and matminer install.  The others are read from the folder that
``BAYESTL_DATA`` names, or fetched once from their public address; either way the SHA-256 is checked.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayestl.likelihoods import Hurdle, LogNormal
from bayestl.progress import import_tqdm
from bayestl.tasks import Task


@dataclass(frozen=True)
class Dataset:
    """A table: features ``X`` (for compositions one column ``formula``), labels ``Y``, ``groups``, ``tasks``."""

    name: str
    X: pd.DataFrame
    Y: pd.DataFrame
    tasks: tuple[Task, ...]
    citation: str
    licence: str
    address: str
    groups: pd.Series | None = None

    def __repr__(self) -> str:
        counts = ", ".join(f"{t.label}: {int(self.Y[t.name].notna().sum())}" for t in self.tasks)
        return f"Dataset({self.name}: {len(self.X)} rows, {self.X.shape[1]} columns; labels {counts})"


class DataError(ValueError):
    """A data file that is missing, or not the one that was tested."""


@dataclass(frozen=True)
class _File:
    name: str
    sha256: str
    address: str


_CRABNET = (
    "https://raw.githubusercontent.com/anthony-wang/CrabNet/457b4d4835737ecbe4dd33e53174bd818bd82143/data/matbench/"
)
EXPERIMENTAL_GAPS = _File(
    "expt_gap.csv", "3de82c37f1db3ab9bbd92366c96633f131913ded5db0969eb36216bdd11cef2f", _CRABNET + "expt_gap.csv"
)
MATERIALS_PROJECT_GAPS = _File(
    "mp_gap.csv", "4084e584467e6f81ec8bf12c438eeb2c049ae39e11401bae694ef6a9983b9d9f", _CRABNET + "mp_gap.csv"
)
STREHLOW_COOK = _File(
    "band_gap_jpcrd_transformed-pif-onlyRef.json.zip",
    "af4c17f1165b59bfb0798f4de26829ef877e9524f8d378eb1274db461da823f3",
    "https://raw.githubusercontent.com/CitrineInformatics/smlb/db3ec2e749c45076e0894fcbf78bf4f448e6b4d2/"
    "smlb/datasets/experimental/band_gaps_sc73/band_gap_jpcrd_transformed-pif-onlyRef.json.zip",
)
CATAPP = _File(
    "catapp.db",
    "7bbacdd54890a732a7e9ce5a004ff43256ba25e1b166c796d898fdd64861678c",
    "https://raw.githubusercontent.com/charlietsai/catapp/1f80609917984da9ae2b08f80471ced7e3105af3/catapp_web/database/catapp.db",
)


def fetch(file: _File) -> Path:
    """Path of a data file whose checksum is right.

    Raises
    ------
    DataError
        If it is not in the folder of ``BAYESTL_DATA``, or differs, or cannot be fetched.
    """
    import_tqdm()
    import pooch

    folder = os.environ.get("BAYESTL_DATA")
    if folder:
        path = Path(folder) / file.name
        if not path.is_file():
            raise DataError(
                f"{file.name} is not in {folder} (BAYESTL_DATA): put it there from {file.address}, or unset BAYESTL_DATA"
            )
        found = pooch.file_hash(str(path))
        if found != file.sha256:
            raise DataError(
                f"{path} is not the file that was tested (SHA-256 {found[:12]}..., expected {file.sha256[:12]}...)"
            )
        return path
    try:
        return Path(
            pooch.retrieve(
                file.address, known_hash=f"sha256:{file.sha256}", fname=file.name, path=pooch.os_cache("bayestl")
            )
        )
    except Exception as error:  # pooch passes on whatever its downloader raises
        raise DataError(
            f"{file.name} could not be fetched from {file.address} ({type(error).__name__}): "
            "download it by hand into a folder and set BAYESTL_DATA to that folder"
        ) from error


# ------------------------------------------------------------------------------------------------------------ elements

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

    Moduli, hardness and volumes are natural logarithms (they span decades).  Needs the extra ``materials``.

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
        get = {name: magpie.get_elemental_property(element, name) for name in _MAGPIE_FEATURES}
        number = {key: _number(table[element.symbol].get(key)) for key in _PYMATGEN_LABELS.values()}
        label = {task: number[key] for task, key in _PYMATGEN_LABELS.items()}
        label["dft_volume"] = _number(magpie.get_elemental_property(element, "GSvolume_pa"))
        for task in label:
            if task not in ("melting_point", "boiling_point"):
                label[task] = np.log(label[task]) if label[task] > 0 else np.nan
        features.append(get)
        labels.append(label)
        symbols.append(element.symbol)
    index = pd.Index(symbols, name="element")
    X = pd.DataFrame(features, index=index, dtype=float)
    X = X.fillna(X.median())
    Y = pd.DataFrame(labels, index=index)[[t.name for t in _ELEMENT_TASKS]]
    keep = Y.notna().any(axis=1)
    return Dataset(
        "elements",
        X[keep],
        Y[keep],
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
    import gzip

    for name in ("periodic_table.json.gz", "periodic_table.json"):
        path = folder / name
        if path.is_file():
            raw = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
            return dict(json.loads(raw))
    raise DataError(f"pymatgen's periodic table is not in {folder}: this version of pymatgen was not tested")


def _number(value: Any) -> float:
    """The number at the start of an entry such as ``"76.0 GPa"`` or ``{"value": ...}``; NaN where there is none."""
    if isinstance(value, dict):
        value = value.get("data", value.get("value"))
    if value is None:
        return float("nan")
    try:
        return float(str(value).split()[0].strip("(><~"))
    except (ValueError, IndexError):
        return float("nan")


# ------------------------------------------------------------------------------------------------------------ band gaps


def load_experimental_band_gaps(pbe: bool = True) -> Dataset:
    """Measured band gaps of 4604 formulas (matbench_expt_gap), and beside them the PBE gap where there is one.

    ``pbe_gap`` is the median gap over the Materials Project entries of the same reduced composition.  Rows are in the
    order of the file, so ``KFold(5, shuffle=True, random_state=18012019)`` gives the official folds.
    """
    measured = pd.read_csv(fetch(EXPERIMENTAL_GAPS))
    Y = pd.DataFrame({"expt_gap": measured["target"].astype(float)})
    tasks: tuple[Task, ...] = (Task("expt_gap", Hurdle(), unit="eV", cost=20.0),)
    if pbe:
        from bayestl.features import reduced_formula

        calculated = pd.read_csv(fetch(MATERIALS_PROJECT_GAPS))
        spelling = {f: reduced_formula(f) for f in calculated["formula"].unique()}
        median = calculated.groupby(calculated["formula"].map(spelling))["target"].median()
        Y.insert(0, "pbe_gap", measured["formula"].map(reduced_formula).map(median).astype(float))
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


COLOURS = {
    "dark": ("black", "gray", "grey"),
    "white": ("white",),
    "yellow": ("yellow", "pale"),
    "orange": ("orange", "amber", "ocher", "yellow-orange", "orange-red"),
    "red": ("red", "dark", "copper"),
}
"""Words for each class of colour; any other word is ``other``."""


def load_strehlow_cook() -> Dataset:
    """Band gaps and colours of semiconductors and insulators (Strehlow and Cook 1973): the paper's table.

    One row a formula (505 that parse; ``In1p1`` does not); ``band_gap`` the median of its records (495 rows),
    ``color`` the class of the first word of its first colour (80 rows; see :data:`COLOURS`), None where there is none.
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
    first = text.lower().replace(",", " ").replace("/", " ").split()[0]
    for spelling in (first, first.split("-")[0]):
        for name, words in COLOURS.items():
            if spelling in words:
                return name
    return "other"


# --------------------------------------------------------------------------------------------------- NO decomposition

_COORDINATION = {"111": 9.0, "211": 7.0, "110": 7.0, "311": 7.0, "532": 6.0}
_STEPS = {("N2", "N*", "N*"): "N2", ("NO", "N*", "O*"): "NO", ("O2", "O*", "O*"): "O2"}


def load_no_decomposition() -> Dataset:
    """Activation energies of three steps of NO decomposition on 10 metals x 5 facets (Falsig et al. 2014, by DFT).

    Tasks ``N2``, ``NO``, ``O2``: N* + N* -> N2, N* + O* -> NO, O* + O* -> O2.  ``groups`` are the metals.
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


LOADERS: dict[str, Callable[[], Dataset]] = {
    "elements": load_elements,
    "experimental_band_gaps": load_experimental_band_gaps,
    "strehlow_cook": load_strehlow_cook,
    "no_decomposition": load_no_decomposition,
}
"""All tables, by name."""
