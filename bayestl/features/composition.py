"""Features of compositions: a scikit-learn transformer from chemical formulas to numbers, by matminer.

The extra ``materials`` (matminer, pymatgen) is needed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from bayestl.features.column import ColumnFeatures
from bayestl.parallel import in_parallel
from bayestl.progress import import_tqdm

PRESETS = ("magpie", "fractions", "stoichiometry", "valence", "deml", "matminer")
"""Names of the sets of features."""
BLOCK = 64
"""Number of formulas that a worker computes at a time."""


class FormulaError(ValueError):
    """A formula does not parse, or a feature of it is unknown; the message names the row."""


def parse_formulas(formulas: pd.Series) -> list[Any]:
    """Pymatgen compositions of a column of formulas.

    Raises
    ------
    FormulaError
        For a cell that is no formula, naming the column, the row and the value.
    """
    composition = _composition_class()
    compositions = []
    for row, formula in formulas.items():
        try:
            parsed = composition(formula) if isinstance(formula, str) and formula.strip() else None
            fault = (
                parsed is None
                or not len(parsed)
                or parsed.num_atoms <= 0
                or any(e.symbol not in _symbols() for e in parsed)
            )
        except (ValueError, KeyError, TypeError):
            fault = True
        if fault:
            raise FormulaError(
                f"column {formulas.name!r} holds {formula!r} in row {row!r}, which is not a chemical formula: correct it or drop the row"
            )
        compositions.append(parsed)
    return compositions


def _composition_class() -> Any:
    """Pymatgen's class of compositions."""
    try:
        import_tqdm()
        from pymatgen.core import Composition
    except ImportError as error:
        raise ImportError("compositions need the extra: pip install 'bayestl[materials]'") from error
    return Composition


def _symbols() -> set[str]:
    """Symbols of the chemical elements (pymatgen also parses made-up ones)."""
    import_tqdm()
    from pymatgen.core import Element

    return {e.symbol for e in Element}


def reduced_formula(formula: str) -> str:
    """The reduced formula, one spelling for all formulas of a composition: ``"Ga2O3"`` for ``"Ga4O6"``."""
    return str(_composition_class()(formula).get_integer_formula_and_factor()[0])


def _featurizer(preset: str) -> Any:
    """The matminer featurizer of a preset."""
    from matminer.featurizers import composition as mm

    if preset == "fractions":
        return mm.ElementFraction()
    if preset == "stoichiometry":
        return mm.Stoichiometry()
    if preset == "valence":
        return mm.ValenceOrbital(impute_nan=True)
    return mm.ElementProperty.from_preset(preset, impute_nan=True)


def _featurize(presets: Sequence[str], compositions: list[Any]) -> np.ndarray:
    """Features (n, d) of compositions, those of the presets side by side."""
    with _imputed_silently():
        featurizers = [_featurizer(preset) for preset in presets]
        return np.array(
            [np.concatenate([np.asarray(f.featurize(c), dtype=float) for f in featurizers]) for c in compositions]
        )


@contextmanager
def _imputed_silently() -> Iterator[None]:
    """A context without matminer's warnings that missing values of elements are imputed, which is wanted here."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore",
            message=r"No data available for \w+ for [A-Z][a-z]?$",
            category=UserWarning,
            module=r"matminer\.utils\.data$",
        )
        yield


class CompositionFeatures(ColumnFeatures):
    """Numeric features of chemical formulas, by matminer.

    Parameters
    ----------
    presets : sequence of str
        Some of ``"magpie"`` (statistics of 22 elemental properties), ``"fractions"`` (one column per element),
        ``"stoichiometry"`` (norms), ``"valence"`` (orbital occupations), ``"deml"``, ``"matminer"``.
    column : str
        The column with the formulas; the other columns are passed through, in front.
    drop_constant : bool
        Whether columns that are constant in the table given to ``fit`` are dropped (elements that do not occur).
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"formula": ["GaAs", "ZnO", "SiO2"]})
    >>> CompositionFeatures(["stoichiometry"]).fit_transform(table).round(2)["2-norm"].tolist()
    [0.71, 0.71, 0.75]
    """

    def __init__(
        self,
        presets: Sequence[str] = ("magpie", "fractions"),
        column: str = "formula",
        drop_constant: bool = True,
        n_jobs: int | None = None,
        verbose: bool = True,
    ) -> None:
        self.presets = presets
        self.column = column
        self.drop_constant = drop_constant
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit_transform(self, X: Any, y: Any = None, **_: Any) -> pd.DataFrame:
        """Choose the columns and return them; each feature is computed once."""
        frame, all_columns = self._compute(X)
        rest = [c for c in frame.columns if c not in all_columns]
        numbers = frame[all_columns].to_numpy()
        varies = (numbers != numbers[0]).any(axis=0)
        varying = [c for c, v in zip(all_columns, varies, strict=True) if v or not self.drop_constant]
        self.columns_ = rest + (varying or all_columns[:1])
        return frame[self.columns_]

    def _compute(self, X: Any) -> tuple[pd.DataFrame, list[str]]:
        """The table with all features in place of the formulas, and the names of these features."""
        presets = [self.presets] if isinstance(self.presets, str) else list(self.presets)
        if unknown := [p for p in presets if p not in PRESETS]:
            raise ValueError(f"unknown preset {unknown[0]!r}; the presets are {list(PRESETS)}")
        X = self._frame(X)
        if self.column not in X.columns:
            raise ValueError(f"no column {self.column!r} with formulas; the columns are {list(X.columns)}")
        compositions = parse_formulas(X[self.column])
        with _imputed_silently():
            names = [name for preset in presets for name in _featurizer(preset).feature_labels()]
        blocks = [compositions[i : i + BLOCK] for i in range(0, len(compositions), BLOCK)]
        n_jobs = self.n_jobs if len(blocks) > 4 else 1
        description = f"features of compositions, {BLOCK} at a time"
        jobs = [(presets, block) for block in blocks]
        features = list(in_parallel(_featurize, jobs, n_jobs, description, self.verbose))
        numbers = pd.DataFrame(np.concatenate(features), index=X.index, columns=[str(n) for n in names])
        unknown_values = ~np.isfinite(numbers.to_numpy())
        if unknown_values.any():
            i, j = (int(k) for k in np.argwhere(unknown_values)[0])
            raise FormulaError(
                f"feature {names[j]!r} is not known for {X[self.column].iloc[i]!r} in row {X.index[i]!r}: leave the preset out"
            )
        return pd.concat([X.drop(columns=self.column), numbers], axis=1), list(numbers.columns)
