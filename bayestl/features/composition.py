"""Features of compositions: a scikit-learn transformer from chemical formulas to numbers, by matminer.

The extra ``materials`` (matminer, pymatgen) is needed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
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

    Features are kept on disk, so that the same formulas are not computed again.

    Parameters
    ----------
    presets : sequence of str
        Some of ``"magpie"`` (statistics of 22 elemental properties), ``"fractions"`` (one column per element),
        ``"stoichiometry"`` (norms), ``"valence"`` (orbital occupations), ``"deml"``, ``"matminer"``.
    column : str
        The column with the formulas; the other columns are passed through, in front.
    drop_constant : bool
        Whether columns that are constant in the table given to ``fit`` are dropped (elements that do not occur).
    allow_missing : bool
        Whether a row may have no formula; its features are NaN.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.
    memory : {"auto"}, path or None
        The folder in which features are kept: ``"auto"`` is the one that the environment variable ``BAYESTL_CACHE``
        names, or else one in the user's folder of caches (at most 1 GiB); with None nothing is kept.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"formula": ["GaAs", "ZnO", "SiO2"]})
    >>> CompositionFeatures(["stoichiometry"]).fit_transform(table).round(2)["2-norm"].tolist()
    [0.71, 0.71, 0.75]
    """

    holds = "formulas"
    packages = ("matminer", "pymatgen", "pymatgen-core")

    def __init__(
        self,
        presets: Sequence[str] = ("magpie", "fractions"),
        column: str = "formula",
        drop_constant: bool = True,
        allow_missing: bool = False,
        n_jobs: int | None = None,
        verbose: bool = True,
        memory: str | PathLike[str] | None = "auto",
    ) -> None:
        self.presets = presets
        self.column = column
        self.drop_constant = drop_constant
        self.allow_missing = allow_missing
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.memory = memory

    def _choice(self) -> list[str]:
        """The presets."""
        presets = [self.presets] if isinstance(self.presets, str) else list(self.presets)
        if unknown := [p for p in presets if p not in PRESETS]:
            raise ValueError(f"unknown preset {unknown[0]!r}; the presets are {list(PRESETS)}")
        return presets

    def _chosen(self, numbers: pd.DataFrame) -> list[str]:
        """The features that vary, or the first one where none does."""
        varies = (numbers != numbers.iloc[0]).any(axis=0) | (not self.drop_constant)
        return list(numbers.columns[varies]) or list(numbers.columns[:1])

    def _describe(self, texts: pd.Series, choice: list[str]) -> pd.DataFrame:
        """The features of formulas, those of the presets side by side."""
        compositions = parse_formulas(texts.rename(self.column))
        with _imputed_silently():
            names = [str(name) for preset in choice for name in _featurizer(preset).feature_labels()]
        blocks = [compositions[i : i + BLOCK] for i in range(0, len(compositions), BLOCK)]
        n_jobs = self.n_jobs if len(blocks) > 4 else 1
        description = f"features of compositions, {BLOCK} at a time"
        jobs = [(choice, block) for block in blocks]
        features = in_parallel(_featurize, jobs, n_jobs, description, self.verbose)
        numbers = np.concatenate([np.empty((0, len(names))), *features])
        if (unknown := np.argwhere(~np.isfinite(numbers))).size:
            i, j = (int(k) for k in unknown[0])
            raise FormulaError(
                f"feature {names[j]!r} is not known for {texts.iloc[i]!r} in row {texts.index[i]!r}: leave the preset out"
            )
        return pd.DataFrame(numbers, columns=names)
