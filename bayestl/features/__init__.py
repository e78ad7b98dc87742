"""Numeric features from formulas of materials, SMILES strings of molecules, and tables with columns of several kinds."""

from __future__ import annotations

from bayestl.features.composition import (
    BLOCK,
    PRESETS,
    CompositionFeatures,
    parse_formulas,
    reduced_formula,
)
from bayestl.features.formula import FormulaError, element_amounts
from bayestl.features.mixed import TableFeatures
from bayestl.features.molecule import DESCRIPTORS, MoleculeFeatures, SmilesError, parse_smiles

__all__ = [
    "BLOCK",
    "DESCRIPTORS",
    "PRESETS",
    "CompositionFeatures",
    "FormulaError",
    "MoleculeFeatures",
    "SmilesError",
    "TableFeatures",
    "element_amounts",
    "parse_formulas",
    "parse_smiles",
    "reduced_formula",
]
