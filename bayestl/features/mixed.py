"""Tables with columns of several kinds: a scikit-learn transformer to numbers, each column by its kind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from bayestl.features.column import ColumnFeatures, UnseenWarning, blank, require_columns
from bayestl.features.composition import CompositionFeatures
from bayestl.features.kinds import KINDS, kind_of, levels_in, numbers_in
from bayestl.features.molecule import DESCRIPTORS, MoleculeFeatures
from bayestl.table.names import SHOWN, cells


class TableFeatures(TransformerMixin, BaseEstimator):
    """Numeric features of a table with numbers, categories, formulas and SMILES strings.

    Each column is turned into numbers by its kind: the four lists name columns, and the kinds of all others are
    recognised from the table given to ``fit``, by the first of these rules that fits:

    1. numbers are numbers, truth values are categories;
    2. text in a column called ``formula`` or ``composition`` is a formula, in one called ``smiles`` a SMILES string;
    3. pandas categoricals are categories;
    4. text is a formula where every row parses as one, and a SMILES string where every row parses as one;
    5. other text is a category where it has at most 50 levels, and at most half of the rows have a level of their own.

    All else is refused with a message that names a cell: numbers written as text, numbers and text in one column, text
    that can be read both as formulas and as SMILES strings (``"CO"``), free text, dates, and empty columns.

    The output has these columns, in this order:

    - numbers as they are, in the order of the table;
    - a column for each level of a category, ``facet=111``, which is 1 for that level and 0 for others.  A level that
      the fitted table lacks is 0 in all of them, with a warning;
    - features of formulas (:class:`~bayestl.features.CompositionFeatures`) and of SMILES strings
      (:class:`~bayestl.features.MoleculeFeatures`), with the column in front: ``alloy: Ni``; where one that is 0 in all
      fitted rows is not, as the share of an element that they lack, a warning says so;
    - for each column with empty cells in the fitted table one that is 1 where it is empty: ``temperature is missing``.

    An empty cell (NaN, None, or nothing but space) gets the median of the fitted table, for numbers and for each feature
    of a formula or SMILES string; a category is 0 for all levels.  A column without empty cells in the fitted table has
    no column that says so: its empty cells in other tables are filled in the same way, and nothing shows it.

    Parameters
    ----------
    numbers, categories, formulas, smiles : sequence of str
        Columns of each kind.
    presets : sequence of str
        Features of formulas, as in :class:`~bayestl.features.CompositionFeatures`.
    descriptors : sequence of str
        Features of SMILES strings, as in :class:`~bayestl.features.MoleculeFeatures`.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.
    memory : {"auto"}, path or None
        The folder in which features of formulas and SMILES strings are kept, as in
        :class:`~bayestl.features.CompositionFeatures`.

    Attributes
    ----------
    kinds_ : Series, shape (d,)
        The kind of each column of the fitted table: ``"numbers"``, ``"categories"``, ``"formulas"`` or ``"smiles"``.
    feature_names_in_ : ndarray, shape (d,)
        The columns of the fitted table.  Other tables may have them in another order, and further ones.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     {
    ...         "alloy": ["NiAl", "Ni3Al", "NiAl", "CuAl"],
    ...         "facet": ["(111)", "(110)", "(111)", "(110)"],
    ...         "temperature": [300.0, None, 500.0, 400.0],
    ...     },
    ...     index=["a", "b", "c", "d"],
    ... )
    >>> features = TableFeatures(presets=["fractions"]).fit(table)
    >>> features.kinds_.to_dict()
    {'alloy': 'formulas', 'facet': 'categories', 'temperature': 'numbers'}
    >>> features.transform(table)[["temperature", "facet=(111)", "alloy: Al", "temperature is missing"]]
       temperature  facet=(111)  alloy: Al  temperature is missing
    a        300.0          1.0       0.50                     0.0
    b        400.0          0.0       0.25                     1.0
    c        500.0          1.0       0.50                     0.0
    d        400.0          0.0       0.50                     0.0
    """

    def __init__(
        self,
        numbers: Sequence[str] = (),
        categories: Sequence[str] = (),
        formulas: Sequence[str] = (),
        smiles: Sequence[str] = (),
        presets: Sequence[str] = ("magpie", "fractions"),
        descriptors: Sequence[str] = DESCRIPTORS,
        n_jobs: int | None = None,
        verbose: bool = True,
        memory: str | PathLike[str] | None = "auto",
    ) -> None:
        self.numbers = numbers
        self.categories = categories
        self.formulas = formulas
        self.smiles = smiles
        self.presets = presets
        self.descriptors = descriptors
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.memory = memory

    def fit(self, X: Any, y: Any = None) -> Self:
        """Recognise the columns of a DataFrame (n, d), and learn levels and medians.

        Raises
        ------
        ValueError
            For a column or cell that is refused, naming column, row and value.
        """
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None, **_: Any) -> pd.DataFrame:
        """The same, and return the features, DataFrame (n, k) of float64 with the row names of ``X``."""
        X = _named(X)
        told = self._told(list(X.columns))
        kinds = pd.Series({name: told.get(name) or kind_of(X[name]) for name in X.columns}, dtype=object)
        columns = _columns(X, kinds)
        if empty := [name for name in columns if columns[name].isna().all()]:
            raise ValueError(f"column {empty[0]!r} is empty: drop it")
        texts = self._texts(kinds)
        described = [texts[name].fit_transform(columns[[name]]) for name in texts]
        levels = {name: sorted(columns[name].dropna().unique()) for name in kinds.index[kinds == "categories"]}
        missing = [name for name in columns if columns[name].isna().any()]
        features = _side_by_side(columns, kinds, levels, dict(zip(texts, described, strict=True)), missing)
        if (twice := features.columns[features.columns.duplicated()]).size:
            raise ValueError(f"two features have the name {twice[0]!r}: rename the column that is called so")
        self._learn(kinds, levels, texts, missing, features.median())
        return features.fillna(self.medians_)

    def _learn(
        self,
        kinds: pd.Series,
        levels: dict[str, list[str]],
        texts: dict[str, Any],
        missing: list[str],
        medians: pd.Series,
    ) -> None:
        """Keep what a fit has learnt."""
        self.kinds_, self.levels_, self.texts_, self.missing_, self.medians_ = kinds, levels, texts, missing, medians
        self.feature_names_in_, self.n_features_in_ = np.array(list(kinds.index), dtype=object), len(kinds)

    def transform(self, X: Any) -> pd.DataFrame:
        """The features of another table, DataFrame (n, k) of float64 with its row names.

        Raises
        ------
        ValueError
            For a column that is missing, or a cell that does not fit the kind of its column.

        Warns
        -----
        UserWarning
            For a level of a category that the fitted table lacks, or a feature of a formula or SMILES string (an element,
            say) that is 0 in all rows of the fitted table and not here.
        """
        check_is_fitted(self, "medians_")
        X = _named(X)
        require_columns(X, list(self.feature_names_in_))
        columns = _columns(X, self.kinds_)
        for name, levels in self.levels_.items():
            unknown = columns[name].notna() & ~columns[name].isin(levels)
            if unknown.any():
                warnings.warn(
                    UnseenWarning(
                        f"column {name!r} holds {cells(X[name], X.index, unknown)}, which is none of the levels {levels} of the "
                        "fitted table: the columns of all levels are 0 there",
                        name,
                    ),
                    stacklevel=2,
                )
        described = {}
        for name, text in self.texts_.items():
            described[name], absent = text.transform_and_absent(columns[[name]])
            if absent.any(axis=None):
                others = ", ".join(map(repr, sorted(absent.columns[absent.any()], key=len)[:SHOWN]))
                warnings.warn(
                    UnseenWarning(
                        f"column {name!r} holds {cells(X[name], X.index, absent.any(axis=1).to_numpy())}: features {others} are "
                        "0 in all rows of the fitted table and not here, so nothing is known of what they do",
                        name,
                    ),
                    stacklevel=2,
                )
        features = _side_by_side(columns, self.kinds_, self.levels_, described, self.missing_)
        return features.fillna(self.medians_)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that ``transform`` returns; ``input_features`` is not used."""
        check_is_fitted(self, "medians_")
        return np.asarray(self.medians_.index, dtype=object)

    def to_json(self) -> dict[str, Any]:
        """What ``fit`` has learnt, as JSON values, for :meth:`from_json`."""
        check_is_fitted(self, "medians_")
        return {
            "kinds": self.kinds_.to_dict(),
            "presets": [self.presets] if isinstance(self.presets, str) else list(self.presets),
            "descriptors": [self.descriptors] if isinstance(self.descriptors, str) else list(self.descriptors),
            "levels": self.levels_,
            "texts": {
                name: {"columns": list(text.columns_), "absent": text.absent_} for name, text in self.texts_.items()
            },
            "missing": self.missing_,
            "medians": self.medians_.to_dict(),
        }

    @classmethod
    def from_json(cls, learnt: dict[str, Any], **options: Any) -> Self:
        """The transformer that :meth:`to_json` describes; ``options`` such as ``verbose`` are those of the class.

        Examples
        --------
        >>> import pandas as pd
        >>> table = pd.DataFrame({"facet": ["(111)", "(110)", "(111)"]})
        >>> features = TableFeatures.from_json(TableFeatures().fit(table).to_json())
        >>> features.transform(table)["facet=(111)"].tolist()
        [1.0, 0.0, 1.0]
        """
        new = cls(presets=learnt["presets"], descriptors=learnt["descriptors"], **options)
        kinds = pd.Series(learnt["kinds"], dtype=object)
        texts = new._texts(kinds)
        for name, text in texts.items():
            text.columns_, text.absent_ = learnt["texts"][name]["columns"], learnt["texts"][name]["absent"]
        new._learn(kinds, learnt["levels"], texts, learnt["missing"], pd.Series(learnt["medians"], dtype=float))
        return new

    def _told(self, names: list[str]) -> dict[str, str]:
        """The kinds of the columns that the user named."""
        told: dict[str, str] = {}
        for kind in KINDS:
            given = getattr(self, kind)
            for name in [given] if isinstance(given, str) else map(str, given or ()):
                if name not in names:
                    raise ValueError(
                        f"{kind}= names {name!r}, which is no column of the table; the columns are {names}"
                    )
                if told.setdefault(name, kind) != kind:
                    raise ValueError(f"column {name!r} is named in {told[name]}= and in {kind}=: leave it out of one")
        return told

    def _texts(self, kinds: pd.Series) -> dict[str, ColumnFeatures]:
        """What turns each column of formulas and of SMILES strings into numbers."""
        formulas, smiles = (list(kinds.index[kinds == kind]) for kind in ("formulas", "smiles"))
        options: dict[str, Any] = {"n_jobs": self.n_jobs, "verbose": self.verbose, "memory": self.memory}
        return {
            **{name: CompositionFeatures(self.presets, name, allow_missing=True, **options) for name in formulas},
            **{name: MoleculeFeatures(self.descriptors, name, True, self.memory) for name in smiles},
        }


def _named(X: Any) -> pd.DataFrame:
    """The table, with text as names of its columns."""
    if not isinstance(X, pd.DataFrame):
        raise ValueError(f"TableFeatures needs a DataFrame, whose columns have names, got {type(X).__name__}")
    names = [str(name) for name in X.columns]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(
            f"the table has {names.count(twice[0])} columns named {twice[0]!r}: rename or drop all but one"
        )
    if X.empty:
        raise ValueError("the table has no rows or no columns: give at least one of each")
    return X.set_axis(names, axis=1)


def _columns(X: pd.DataFrame, kinds: pd.Series) -> pd.DataFrame:
    """The columns as what their kinds hold, NaN where they are empty."""
    read: dict[str, Callable[[pd.Series], Any]] = {
        "numbers": numbers_in,
        "categories": levels_in,
        "formulas": _texts_in,
        "smiles": _texts_in,
    }
    return pd.DataFrame({name: np.asarray(read[kind](X[name])) for name, kind in kinds.items()}, index=X.index)


def _texts_in(column: pd.Series) -> pd.Series:
    return column.astype(object).where(~blank(column), np.nan)


def _side_by_side(
    columns: pd.DataFrame,
    kinds: pd.Series,
    levels: dict[str, list[str]],
    described: dict[str, pd.DataFrame],
    missing: list[str],
) -> pd.DataFrame:
    """The features of all columns, NaN where a number or text is empty, and where columns are empty."""
    one_hot = {f"{name}={level}": columns[name] == level for name in levels for level in levels[name]}
    parts = [
        columns[list(kinds.index[kinds == "numbers"])],
        pd.DataFrame(one_hot, index=columns.index),
        *(described[name].add_prefix(f"{name}: ") for name in described),
        columns[missing].isna().add_suffix(" is missing"),
    ]
    return pd.concat(parts, axis=1).astype(float)
