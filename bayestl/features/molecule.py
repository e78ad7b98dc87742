"""From SMILES strings to numbers, by RDKit: weight, lipophilicity, polarity, flexibility, rings and atoms of a molecule.

The extra ``molecules`` (rdkit) is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from bayestl.features.column import ColumnFeatures
from bayestl.table.names import cells

_COUNTED = ("C", "N", "O", "F", "Cl", "Br", "S", "P")
DESCRIPTORS = (
    "weight", "logp", "polar_surface", "donors", "acceptors", "rotatable_bonds", "rings", "aromatic_rings",
    "heavy_atoms", *_COUNTED,
)  # fmt: skip
"""Names of the descriptors: molar mass (g/mol), logarithm of the octanol-water partition coefficient (Wildman, Crippen
1999), topological polar surface (A^2; Ertl et al. 2000), numbers of donors and acceptors of hydrogen bonds, rotatable
bonds, rings, aromatic rings and heavy atoms, and numbers of atoms of eight elements."""


class SmilesError(ValueError):
    """A SMILES string does not parse; the message names the row."""


def _rdkit() -> Any:
    """The modules of RDKit that read molecules and compute descriptors: ``Chem``, ``Descriptors``, ``rdMolDescriptors``."""
    try:
        from rdkit import Chem
        from rdkit.Chem import Descriptors, rdMolDescriptors
    except ImportError as error:
        raise ImportError("molecules need the extra: pip install 'bayestl[molecules]'") from error
    return Chem, Descriptors, rdMolDescriptors


def parse_smiles(smiles: pd.Series) -> list[Any]:
    """RDKit molecules of a column of SMILES strings.

    Parameters
    ----------
    smiles : Series, shape (n,)
        One SMILES string per row.

    Returns
    -------
    list of rdkit.Chem.Mol
        One per row.

    Raises
    ------
    SmilesError
        For cells that are no molecules, naming the column, and row and value of the first three.
    ImportError
        If RDKit is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> [m.GetNumAtoms() for m in parse_smiles(pd.Series(["CCO", "c1ccccc1"]))]
    [3, 6]
    """
    chem, _, _ = _rdkit()
    with chem.rdBase.BlockLogs():  # what does not parse is said by the error below
        molecules = [chem.MolFromSmiles(text) if isinstance(text, str) and text.strip() else None for text in smiles]
    wrong = np.array([molecule is None or molecule.GetNumAtoms() == 0 for molecule in molecules], dtype=bool)
    if wrong.any():
        raise SmilesError(
            f"column {smiles.name!r} holds {cells(smiles, smiles.index, wrong)}, which is not a SMILES string: correct it or drop the row"
        )
    return molecules


def _descriptors(molecule: Any) -> dict[str, float]:
    """All descriptors of a molecule, by name."""
    _, general, descriptors = _rdkit()
    symbols = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    values = {
        "weight": general.MolWt(molecule),
        "logp": general.MolLogP(molecule),
        "polar_surface": descriptors.CalcTPSA(molecule),
        "donors": descriptors.CalcNumHBD(molecule),
        "acceptors": descriptors.CalcNumHBA(molecule),
        "rotatable_bonds": descriptors.CalcNumRotatableBonds(molecule),
        "rings": descriptors.CalcNumRings(molecule),
        "aromatic_rings": descriptors.CalcNumAromaticRings(molecule),
        "heavy_atoms": molecule.GetNumHeavyAtoms(),
    }
    return values | {element: symbols.count(element) for element in _COUNTED}


class MoleculeFeatures(ColumnFeatures):
    """Numeric features of molecules from their SMILES strings, by RDKit.

    Parameters
    ----------
    descriptors : sequence of str
        Some of :data:`~bayestl.features.DESCRIPTORS`, all 17 by default: ``"weight"`` (g/mol), ``"logp"``,
        ``"polar_surface"`` (A^2), ``"donors"``, ``"acceptors"``, ``"rotatable_bonds"``, ``"rings"``,
        ``"aromatic_rings"``, ``"heavy_atoms"``, and the numbers of atoms ``"C"``, ``"N"``, ``"O"``, ``"F"``, ``"Cl"``,
        ``"Br"``, ``"S"``, ``"P"``.
    column : str
        The column with the SMILES strings; the other columns are passed through, in front.
    allow_missing : bool
        Whether a row may have no SMILES string; its features are NaN.
    memory : {"auto"}, path or None
        The folder in which features are kept, as in :class:`~bayestl.features.CompositionFeatures`.

    References
    ----------
    RDKit: Open-source cheminformatics, https://www.rdkit.org.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"smiles": ["CCO", "c1ccccc1"]}, index=["ethanol", "benzene"])
    >>> MoleculeFeatures(["weight", "donors", "aromatic_rings", "C"]).fit_transform(table).round(1)
             weight  donors  aromatic_rings    C
    ethanol    46.1     1.0             0.0  2.0
    benzene    78.1     0.0             1.0  6.0
    """

    holds = "SMILES strings"
    packages = ("rdkit",)

    def __init__(
        self,
        descriptors: Sequence[str] = DESCRIPTORS,
        column: str = "smiles",
        allow_missing: bool = False,
        memory: str | PathLike[str] | None = "auto",
    ) -> None:
        self.descriptors = descriptors
        self.column = column
        self.allow_missing = allow_missing
        self.memory = memory

    def _choice(self) -> list[str]:
        """The descriptors."""
        names = [self.descriptors] if isinstance(self.descriptors, str) else list(self.descriptors)
        if unknown := [n for n in names if n not in DESCRIPTORS]:
            raise ValueError(f"unknown descriptor {unknown[0]!r}; the descriptors are {list(DESCRIPTORS)}")
        return names

    def _check(self, cells: pd.Series, known: np.ndarray) -> None:
        parse_smiles(cells[known].rename(self.column))

    def _describe(self, texts: pd.Series, choice: list[str]) -> pd.DataFrame:
        """The descriptors of molecules."""
        values = [_descriptors(molecule) for molecule in parse_smiles(texts.rename(self.column))]
        return pd.DataFrame(values, columns=list(DESCRIPTORS), dtype=float)[choice]
