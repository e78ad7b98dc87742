"""Features of compositions: a scikit-learn transformer from chemical formulas to numbers, by matminer and ``charges.py``.

The extra ``materials`` (matminer, pymatgen) is needed.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from bayestl.features import charges, formula
from bayestl.features.charges import ChargeBalance
from bayestl.features.column import ColumnFeatures
from bayestl.features.formula import FormulaError, element_amounts, fault_of, formula_text
from bayestl.parallel import in_parallel
from bayestl.progress import import_tqdm
from bayestl.table.names import SHOWN, cells

PRESETS = ("magpie", "fractions", "stoichiometry", "valence", "deml", "matminer", "charges")
"""Names of the sets of features."""
_ELEMENT = re.compile("[A-Z][a-z]?")
BLOCK = 2048
"""Number of formulas that a worker computes at a time."""


def parse_formulas(formulas: pd.Series) -> list[Any]:
    """Pymatgen compositions of a column of formulas, whose cells are text (:func:`element_amounts`) or compositions.

    Parameters
    ----------
    formulas : Series, shape (n,)
        One formula per row.

    Returns
    -------
    list of pymatgen.core.Composition
        One per row.

    Raises
    ------
    FormulaError
        For cells that are no formulas: their number, and the value, row and fault of the first three.

    Examples
    --------
    >>> import pandas as pd
    >>> [c.reduced_formula for c in parse_formulas(pd.Series(["Ga4O6", "ZnO"]))]
    ['Ga2O3', 'ZnO']
    """
    composition = _composition_class()
    refuse_faults(formulas, np.ones(len(formulas), dtype=bool))
    return [composition(element_amounts(cell)) for cell in formulas]


def refuse_faults(formulas: pd.Series, known: np.ndarray) -> None:
    """Refuse a column (n,) that holds something else than formulas in a boolean mask.

    Raises
    ------
    FormulaError
        If it does; the message names the first three rows.
    """
    faults = {}
    for k in np.flatnonzero(known):
        if fault := fault_of(formulas.iloc[k]):
            faults[int(k)] = fault
    if not faults:
        return
    first, *others = [f"{_cell(formulas, k)}{fault}" for k, fault in list(faults.items())[:SHOWN]]
    if len(faults) > SHOWN:
        others.append(f"{len(faults) - SHOWN} more")
    also = "".join(f"; {other}" for other in others)
    raise FormulaError(f"column {formulas.name!r} holds {first}{also}. Correct it or drop the row")


def _cell(formulas: pd.Series, k: int) -> str:
    return f"{cells(formulas, formulas.index, np.arange(len(formulas)) == k)}, which is not a chemical formula: "


def _composition_class() -> Any:
    """Pymatgen's class of compositions."""
    try:
        import_tqdm()
        from pymatgen.core import Composition
    except ImportError as error:
        raise ImportError("compositions need the extra: pip install 'bayestl[materials]'") from error
    return Composition


def reduced_formula(cell: Any) -> str:
    """The reduced formula, one spelling for all formulas of a composition: ``"Ga2O3"`` for ``"Ga4O6"``.

    Parameters
    ----------
    cell : str or Composition
        A formula.

    Returns
    -------
    str
        The reduced formula.

    Raises
    ------
    FormulaError
        If it is no formula (:func:`element_amounts`).

    Examples
    --------
    >>> reduced_formula("Ga4O6")
    'Ga2O3'
    """
    return str(_composition_class()(element_amounts(cell)).get_integer_formula_and_factor()[0])


def _featurizer(preset: str) -> Any:
    """The featurizer of a preset, matminer's or one like them."""
    if preset == "charges":
        return ChargeBalance()
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
        return np.concatenate([_of_preset(_featurizer(preset), compositions) for preset in presets], axis=1)


def _of_preset(featurizer: Any, compositions: list[Any]) -> np.ndarray:
    """Features (n, d) of compositions by a matminer featurizer; statistics of elements for many compositions at once."""
    if hasattr(featurizer, "stats") and set(featurizer.stats) <= set(STATISTICS):
        return _element_statistics(featurizer, compositions)
    return np.array([np.asarray(featurizer.featurize(c), dtype=float) for c in compositions])


def _element_statistics(featurizer: Any, compositions: list[Any]) -> np.ndarray:
    """The numbers of matminer's ``ElementProperty``, from a table of elements; compositions of as many elements together."""
    items = [list(c.element_composition.items()) for c in compositions]
    position = {e: i for i, e in enumerate(dict.fromkeys(e for row in items for e, _ in row))}
    source, properties = featurizer.data_source, featurizer.features
    table = np.array([[source.get_elemental_property(e, p) for p in properties] for e in position], dtype=float)
    out = np.empty((len(items), len(properties), len(featurizer.stats)))
    counts = np.array([len(row) for row in items])
    for count in np.unique(counts):
        of_count = np.flatnonzero(counts == count)
        values = table[np.array([[position[e] for e, _ in items[i]] for i in of_count])]
        weights = np.array([[amount for _, amount in items[i]] for i in of_count], dtype=float)[..., None]
        for k, name in enumerate(featurizer.stats):
            out[of_count, :, k] = STATISTICS[name](values, weights)
    return out.reshape(len(items), -1)


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (weights * values).sum(1) / weights.sum(1)


def _mean_deviation(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _mean(np.abs(values - _mean(values, weights)[:, None]), weights)


def _deviation(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The standard deviation, unbiased where the weights are those of reliability; 0 of one element."""
    if values.shape[1] == 1:
        return np.zeros_like(values[:, 0])
    total = weights.sum(1)
    squares = (weights * (values - _mean(values, weights)[:, None]) ** 2).sum(1)
    return np.sqrt(squares * total / (total**2 - (weights**2).sum(1)))


def _mode(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The least value of the elements that there is most of."""
    most = np.isclose(weights, weights.max(axis=1, keepdims=True))
    return np.where(most, values, np.inf).min(1)


STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "minimum": lambda values, _: values.min(1),
    "maximum": lambda values, _: values.max(1),
    "range": lambda values, _: np.ptp(values, axis=1),
    "mean": _mean,
    "avg_dev": _mean_deviation,
    "std_dev": _deviation,
    "mode": _mode,
}
"""Matminer's statistics of the values (n, k, P) of P properties of k elements, with the amounts (n, k, 1) of these."""


@contextmanager
def _imputed_silently() -> Iterator[None]:
    """A context without the warnings that missing values of elements are imputed, which is wanted here."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore",
            message=r"No data available for \w+ for [A-Z][a-z]?$",
            category=UserWarning,
            module=r"matminer\.utils\.data$",
        )
        warnings.filterwarnings("ignore", message="No Pauling electronegativity for", category=UserWarning)
        yield


class CompositionFeatures(ColumnFeatures):
    """Numeric features of chemical formulas, by matminer.

    Formulas are read by :func:`~bayestl.features.element_amounts`; a cell may be a composition of pymatgen, too.  Features
    are kept on disk, so that the same formulas are not computed again.

    Parameters
    ----------
    presets : sequence of str
        Some of ``"magpie"`` (statistics of 22 elemental properties), ``"fractions"`` (one column per element),
        ``"stoichiometry"`` (norms), ``"valence"`` (orbital occupations), ``"deml"``, ``"matminer"``, ``"charges"`` (odd electrons
        of the formula unit, octets, and whether oxidation states balance: what tells a metal from a compound with a gap).
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
    modules: ClassVar[tuple[ModuleType, ...]] = (formula, charges)

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

    def _text(self, cell: Any) -> Any:
        return formula_text(cell)

    def _check(self, cells: pd.Series, known: np.ndarray) -> None:
        refuse_faults(cells.rename(self.column), known)

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

    def _is_part(self, feature: str) -> bool:
        return _ELEMENT.fullmatch(feature) is not None

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
                f"feature {names[j]!r} is not known for {cells(texts, texts.index, np.arange(len(texts)) == i)}: leave the preset out"
            )
        return pd.DataFrame(numbers, columns=names)
