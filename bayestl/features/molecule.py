"""From SMILES strings to numbers, by RDKit: weight, lipophilicity, polarity, flexibility, rings and atoms of a molecule.

The extra ``molecules`` (rdkit) is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bayestl.features.column import ColumnFeatures

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

    Raises
    ------
    SmilesError
        For a cell that is no molecule, naming the column, the row and the value.
    ImportError
        If RDKit is not installed.
    """
    chem, _, _ = _rdkit()
    molecules = []
    with chem.rdBase.BlockLogs():  # what does not parse is said by the error below
        for row, text in smiles.items():
            molecule = chem.MolFromSmiles(text) if isinstance(text, str) and text.strip() else None
            if molecule is None or molecule.GetNumAtoms() == 0:
                raise SmilesError(
                    f"column {smiles.name!r} holds {text!r} in row {row!r}, which is not a SMILES string: correct it or drop the row"
                )
            molecules.append(molecule)
    return molecules


def _describe(molecule: Any) -> dict[str, float]:
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

    def __init__(self, descriptors: Sequence[str] = DESCRIPTORS, column: str = "smiles") -> None:
        self.descriptors = descriptors
        self.column = column

    def fit_transform(self, X: Any, y: Any = None, **_: Any) -> pd.DataFrame:
        """Learn the names of the columns and return them; each molecule is described once."""
        frame = self._compute(X)[0]
        self.columns_ = list(frame.columns)
        return frame

    def _compute(self, X: Any) -> tuple[pd.DataFrame, list[str]]:
        """The table with the descriptors in place of the SMILES strings, and their names."""
        names = [self.descriptors] if isinstance(self.descriptors, str) else list(self.descriptors)
        if unknown := [n for n in names if n not in DESCRIPTORS]:
            raise ValueError(f"unknown descriptor {unknown[0]!r}; the descriptors are {list(DESCRIPTORS)}")
        X = self._frame(X)
        if self.column not in X.columns:
            raise ValueError(f"no column {self.column!r} with SMILES strings; the columns are {list(X.columns)}")
        values = [_describe(molecule) for molecule in parse_smiles(X[self.column])]
        numbers = pd.DataFrame(values, index=X.index, dtype=float)[names]
        return pd.concat([X.drop(columns=self.column), numbers], axis=1), names
