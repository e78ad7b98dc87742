"""Tables with columns of several kinds: a scikit-learn transformer to numbers, each column by its kind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.validation import check_is_fitted

from bayestl.features.column import blank, require_columns
from bayestl.features.composition import CompositionFeatures
from bayestl.features.kinds import KINDS, kind_of, levels_in, numbers_in
from bayestl.features.molecule import DESCRIPTORS, MoleculeFeatures
from bayestl.table.names import cells


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
      (:class:`~bayestl.features.MoleculeFeatures`), with the column in front: ``alloy: Ni``;
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
        transformer = self._transformer(columns, kinds).set_output(transform="pandas")
        features = transformer.fit_transform(columns).astype(float)
        if (twice := features.columns[features.columns.duplicated()]).size:
            raise ValueError(f"two features have the name {twice[0]!r}: rename the column that is called so")
        self.kinds_, self.transformer_ = kinds, transformer
        self.feature_names_in_, self.n_features_in_ = np.array(list(kinds.index), dtype=object), len(kinds)
        return features

    def transform(self, X: Any) -> pd.DataFrame:
        """The features of another table, DataFrame (n, k) of float64 with its row names.

        Raises
        ------
        ValueError
            For a column that is missing, or a cell that does not fit the kind of its column.

        Warns
        -----
        UserWarning
            For a level of a category that the fitted table lacks.
        """
        check_is_fitted(self, "transformer_")
        X = _named(X)
        require_columns(X, list(self.feature_names_in_))
        columns = _columns(X, self.kinds_)
        if "categories" in self.transformer_.named_transformers_:
            encoder = self.transformer_.named_transformers_["categories"]
            for name, levels in zip(encoder.feature_names_in_, encoder.categories_, strict=True):
                unknown = columns[name].notna() & ~columns[name].isin(levels)
                if unknown.any():
                    warnings.warn(
                        f"column {name!r} holds {cells(X[name], X.index, unknown)}, which is none of the levels {list(levels)} of the "
                        "fitted table: the columns of all levels are 0 there",
                        UserWarning,
                        stacklevel=2,
                    )
        return self.transformer_.transform(columns).astype(float)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that ``transform`` returns."""
        check_is_fitted(self, "transformer_")
        return self.transformer_.get_feature_names_out()

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

    def _transformer(self, columns: pd.DataFrame, kinds: pd.Series) -> ColumnTransformer:
        """What turns the columns of each kind into numbers, and says where they were empty."""
        numbers, categories, formulas, smiles = (list(kinds.index[kinds == kind]) for kind in KINDS)
        levels = [np.array(sorted(columns[name].dropna().unique()), dtype=object) for name in categories]
        encoder = OneHotEncoder(
            categories=levels, sparse_output=False, handle_unknown="ignore", feature_name_combiner=_level_name
        )
        composition: dict[str, Any] = {"n_jobs": self.n_jobs, "verbose": self.verbose, "memory": self.memory}
        texts = {
            **{name: CompositionFeatures(self.presets, name, allow_missing=True, **composition) for name in formulas},
            **{name: MoleculeFeatures(self.descriptors, name, True, self.memory) for name in smiles},
        }
        parts = [
            ("numbers", SimpleImputer(strategy="median"), numbers),
            ("categories", encoder, categories),
            *(
                (str(k), make_pipeline(texts[name], SimpleImputer(strategy="median")), [name])
                for k, name in enumerate(texts)
            ),
            ("missing", MissingIndicator(error_on_new=False), list(kinds.index)),
        ]
        names = partial(_feature_name, list(texts))
        return ColumnTransformer([part for part in parts if part[2]], verbose_feature_names_out=names)


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


def _level_name(column: str, level: str) -> str:
    return f"{column}={level}"


def _feature_name(texts: list[str], part: str, feature: str) -> str:
    """The name of a feature, from that of its part of the transformer; ``texts`` are the columns of text, in order."""
    if part == "missing":
        return feature.removeprefix("missingindicator_") + " is missing"
    return f"{texts[int(part)]}: {feature}" if part.isdecimal() else feature
