"""Numeric features from the formulas of materials."""

from __future__ import annotations

from bayestl.features.composition import (
    BLOCK,
    PRESETS,
    CompositionFeatures,
    FormulaError,
    parse_formulas,
    reduced_formula,
)

__all__ = ["BLOCK", "PRESETS", "CompositionFeatures", "FormulaError", "parse_formulas", "reduced_formula"]
