"""Numeric features from the formulas of materials and from the SMILES strings of molecules."""

from __future__ import annotations

from bayestl.features.composition import (
    BLOCK,
    PRESETS,
    CompositionFeatures,
    FormulaError,
    parse_formulas,
    reduced_formula,
)
from bayestl.features.molecule import DESCRIPTORS, MoleculeFeatures, SmilesError, parse_smiles

__all__ = [
    "BLOCK",
    "DESCRIPTORS",
    "PRESETS",
    "CompositionFeatures",
    "FormulaError",
    "MoleculeFeatures",
    "SmilesError",
    "parse_formulas",
    "parse_smiles",
    "reduced_formula",
]
