"""Band gaps by four kinds of density functional theory and by measurement, joined by composition.

The calculated gaps are those of Chen et al. 2021 (*Learning properties of ordered and disordered materials from
multi-fidelity data*), the measured ones those of matbench_expt_gap.
"""

from __future__ import annotations

import gzip
import json

import pandas as pd

from bayestl.datasets.band_gaps import EXPERIMENTAL_GAPS
from bayestl.datasets.base import DataFile, Dataset, fetch
from bayestl.datasets.enthalpies import KIM, KINGSBURY
from bayestl.datasets.materials_project import formation_energies, formulas
from bayestl.likelihoods import Hurdle, LogNormal
from bayestl.table.task import Task

MULTI_FIDELITY_GAPS = DataFile(
    "data_no_structs.json.gz",
    "e064545967531995d4fd32ff9292b8327b52050e454e2a0390841a92a0749b0a",
    "https://raw.githubusercontent.com/materialsvirtuallab/megnet/f3705760266f24b62c4810dd4abacfc25f4f64ae/"
    "multifidelity/data_no_structs.json.gz",
)
_METHODS = {"pbe": "pbe", "hse": "hse", "gllb_sc": "gllb-sc", "scan": "scan"}
"""The name of each method in the file, by task."""


def load_band_gap_fidelities() -> Dataset:
    """Band gaps in eV of 39 000 compositions by five fidelities: PBE, HSE, GLLB-SC, SCAN, and measured.

    One row per reduced composition, the index.  Calculated gaps are known by identifiers of the Materials Project;
    those whose formula is in none of the tables here are left out.  Where a composition has several identifiers, its
    calculated labels are those of the one with the lowest formation energy, so that they belong to one compound
    (identifiers of unknown energy last).  ``expt`` is the median over the measurements of the composition.  Zeros are
    metals; GLLB-SC gaps were calculated for others only.

    Returns
    -------
    Dataset
        ``X`` (39096, 1): ``formula``.  ``Y`` (39096, 5): ``pbe``, ``hse``, ``gllb_sc``, ``scan`` and ``expt`` in eV.  With tasks,
        citation and licence.

    Raises
    ------
    DataError
        If a file is missing or has another checksum.

    Examples
    --------
    >>> import bayestl as btl
    >>> btl.datasets.load_band_gap_fidelities()  # doctest: +SKIP
    """
    from bayestl.features import reduced_formula

    with gzip.open(fetch(MULTI_FIDELITY_GAPS), "rt", encoding="utf-8") as file:
        gaps = json.load(file)
    calculated = pd.DataFrame({task: pd.Series(gaps[method]) for task, method in _METHODS.items()})
    compositions = _formulas_by_identifier().reindex(calculated.index).dropna().map(reduced_formula)
    energy = formation_energies().reindex(compositions.index)
    order = pd.DataFrame({"energy": energy, "id": energy.index}).sort_values(["energy", "id"]).index  # NaN last
    lowest = compositions.loc[order].drop_duplicates()
    calculated = calculated.loc[lowest.index].set_axis(lowest.to_numpy()).sort_index()
    measured = pd.read_csv(fetch(EXPERIMENTAL_GAPS))
    median = measured["target"].astype(float).groupby(measured["formula"].map(reduced_formula)).median()
    Y = calculated.join(median.rename("expt"), how="outer").rename_axis("composition")
    return Dataset(
        "band_gap_fidelities",
        pd.DataFrame({"formula": Y.index}, index=Y.index),
        Y,
        (
            Task("pbe", Hurdle(), unit="eV", cost=1.0),
            Task("hse", Hurdle(), unit="eV", cost=10.0),
            Task("gllb_sc", LogNormal(), unit="eV", cost=2.0),
            Task("scan", Hurdle(), unit="eV", cost=3.0),
            Task("expt", Hurdle(), unit="eV", cost=20.0),
        ),
        "Chen, Zuo, Ye, Li, Ong 2021, Nat. Comput. Sci. 1, 46; Zhuo, Mansouri Tehrani, Brgoch 2018, J. Phys. Chem. Lett. 9, "
        "1668; formulas: Goodall, Lee 2020, Nat. Commun. 11, 6280; Kim et al. 2017, Sci. Data 4, 170162; Wang, Kingsbury et "
        "al. 2021, Sci. Rep. 11, 15496",
        "BSD-3-Clause (calculated gaps), MIT (measured gaps, formulas); the copies of two tables of formulas name none",
        MULTI_FIDELITY_GAPS.address,
    )


def _formulas_by_identifier() -> pd.Series:
    """Formulas by identifier of the Materials Project, from its own tables and from those of formation enthalpies."""
    kim, kingsbury = pd.read_csv(fetch(KIM)), pd.read_csv(fetch(KINGSBURY))
    further = pd.concat(
        [kim.set_index("mpid")["formula"], kingsbury.set_index("likely_mpid")["formula"]],
    )
    further = further[further.index.notna()]
    return formulas().combine_first(further[~further.index.duplicated()])
