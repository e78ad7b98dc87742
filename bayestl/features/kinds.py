"""What a column of a table holds: numbers, categories, chemical formulas or SMILES strings.

A column whose kind is not clear is refused; the message names a cell of it, and how to say what it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from bayestl.features.column import blank
from bayestl.features.composition import parse_formulas
from bayestl.features.formula import FormulaError, fault_of
from bayestl.features.molecule import SmilesError, parse_smiles
from bayestl.table.cells import is_time
from bayestl.table.names import cells

KINDS = ("numbers", "categories", "formulas", "smiles")
"""The kinds of columns, in the order of their features."""
MOST_LEVELS = 50
"""Most levels of a column of text that is taken for categories without being told."""
ODD, FEW = 0.2, 8
"""Most of the different texts that may be no formulas, for a column to be taken for formulas with misprints; and the least of
these texts."""
NAMED = {"formula": "formulas", "composition": "formulas", "smiles": "smiles"}
"""Kinds of columns of text by their names, in small letters."""
_LIKE_FORMULA = re.compile(r"([A-Z][a-z]?|[\d.+\-*· (){}\[\]])+")
_LIKE_SMILES = re.compile(r"(\[[^\[\]\s]+\]|Br|Cl|[BCNOPSFIbcnops]|[\d@+\-=#$:.\\/()%~*])+")


def cell(column: pd.Series, is_meant: Any) -> str:
    """Value and row of the first cell of a column for which the boolean mask (n,) is true, in words."""
    first = int(np.flatnonzero(is_meant)[0])
    return cells(column, column.index, np.arange(len(column)) == first)


def kind_of(column: pd.Series) -> str:
    """The kind of a column (n,) of the table: one of :data:`KINDS`.

    Raises
    ------
    ValueError
        If it is none of them or could be several.
    ImportError
        If the package that would read its formulas or SMILES strings is not installed.
    """
    values = column[~blank(column)]
    if values.empty:
        raise ValueError(f"column {column.name!r} is empty: drop it")
    if _has_numbers(values):
        return "numbers"
    values = values.astype(object)
    is_number, is_text = (np.array([isinstance(value, kind) for value in values]) for kind in (Number, str))
    if is_text.all() and (named := NAMED.get(str(column.name).lower())):
        return named
    if isinstance(column.dtype, pd.CategoricalDtype) or all(isinstance(value, bool | np.bool_) for value in values):
        return "categories"
    refuse_times(values)
    if all(isinstance(value, Mapping) for value in values):  # compositions
        return "formulas"
    if is_number.all():
        return "numbers"
    if not (is_number | is_text).all():
        raise ValueError(
            f"column {values.name!r} holds {cells(values, values.index, ~is_number & ~is_text)}, which is neither a number nor text: drop the "
            "column"
        )
    is_number |= np.isfinite(pd.to_numeric(values, errors="coerce").astype(float)) & is_text
    if is_number.any() and not is_number.all():
        raise ValueError(
            f"column {values.name!r} holds {cells(values, values.index, ~is_number)}, and numbers in other rows: correct it (empty where "
            "it is not known), or name the column in categories="
        )
    if is_number.all():
        raise ValueError(
            f"column {values.name!r} holds {cell(values, is_text)}, a number as text: name the column in numbers= or in "
            "categories="
        )
    return _kind_of_text(values)


def _has_numbers(column: pd.Series) -> bool:
    """Whether the type of a column is one of real numbers."""
    types = pd.api.types
    is_other = types.is_bool_dtype(column) or types.is_complex_dtype(column)
    return types.is_numeric_dtype(column) and not is_other


def _kind_of_text(values: pd.Series) -> str:
    """The kind of a column of text, none of it numbers."""
    distinct = values.drop_duplicates()
    is_formula = not any(map(fault_of, distinct)) and _parse(parse_formulas, distinct)
    is_smiles = all(map(_LIKE_SMILES.fullmatch, distinct)) and _parse(parse_smiles, distinct)
    if is_formula and is_smiles:
        raise ValueError(
            f"column {values.name!r} holds {cell(values, values.notna())}, a formula and also a SMILES string, as its other "
            "values are: name the column in formulas=, smiles= or categories="
        )
    if is_formula or is_smiles:
        return "formulas" if is_formula else "smiles"
    if faults := misprints(distinct):
        raise ValueError(
            f"column {values.name!r} holds {cell(values, values.isin(faults))}, which is no formula as its other texts are ({next(iter(faults.values()))}): "
            "correct it, or name the column in categories="
        )
    counts = values.map(values.value_counts())
    if len(distinct) > MOST_LEVELS or 2 * (counts == 1).sum() > len(values):
        unlike = ~values.map(lambda text: bool(_LIKE_FORMULA.fullmatch(text) or _LIKE_SMILES.fullmatch(text)))
        strange = cell(values, unlike if unlike.any() else counts == counts.min())
        raise ValueError(
            f"column {values.name!r} holds {strange}, one of {len(distinct)} texts in {len(values)} rows, which are no "
            "categories, formulas or SMILES strings: correct it and name the column in formulas= or smiles=, name it in categories=, or drop it"
        )
    return "categories"


def misprints(distinct: pd.Series | np.ndarray) -> dict[str, str]:
    """The few texts of a column of formulas that are none, with what is wrong with them; empty for any other column."""
    faults = {text: fault_of(text) for text in distinct}
    wrong = {text: fault for text, fault in faults.items() if fault}
    return wrong if len(faults) >= FEW and len(wrong) <= ODD * len(faults) else {}


def refuse_times(values: pd.Series) -> None:
    """Refuse dates and durations.

    Raises
    ------
    ValueError
        If the column (n,) holds one.
    """
    times = values.map(is_time).astype(bool)
    if times.any():
        raise ValueError(
            f"column {values.name!r} holds {cells(values, values.index, times)}, a date or a duration: give it as a number, such as days since "
            "the first, name the column in categories=, or drop it"
        )


def _parse(parse: Any, distinct: pd.Series) -> bool:
    """Whether all texts parse."""
    try:
        parse(distinct)
    except (FormulaError, SmilesError):
        return False
    return True


def numbers_in(column: pd.Series) -> np.ndarray:
    """A column as floats (n,), NaN where it is empty; text is read.

    Raises
    ------
    ValueError
        For what is not a finite number, naming the row.
    """
    if _has_numbers(column):
        numbers = column.to_numpy(dtype=float, na_value=np.nan)
    else:
        known = ~blank(column)
        values = column.astype(object)
        refuse_times(values[known])
        is_complex = values.map(lambda value: isinstance(value, complex | np.complexfloating)).astype(bool)
        numbers = pd.to_numeric(values.where(known & ~is_complex, np.nan), errors="coerce").to_numpy(dtype=float)
        if (wrong := known.to_numpy() & np.isnan(numbers)).any():
            raise ValueError(
                f"column {column.name!r} holds {cells(column, column.index, wrong)}, which is not a number: correct it (empty where it is not "
                "known), or name the column in categories="
            )
    if np.isinf(numbers).any():
        raise ValueError(
            f"column {column.name!r} holds {cells(column, column.index, np.isinf(numbers))}, which is not finite: correct it, or leave it empty"
        )
    return numbers


def levels_in(column: pd.Series) -> pd.Series:
    """A column as text, one spelling for each level (``"111"`` for 111 and 111.0), NaN where it is empty."""
    return column.astype(object).map(_level).where(~blank(column), np.nan)


def _level(value: Any) -> str:
    is_whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if is_whole else str(value)
