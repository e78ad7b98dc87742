"""What transformers of one column of text share: the other columns pass through, the columns of ``fit`` are kept.

Each distinct text is computed once, and kept on disk (``cache.py``).
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from bayestl.features.cache import remembered


def require_columns(frame: pd.DataFrame, names: list[str]) -> None:
    """Refuse a table that lacks one of the columns.

    Raises
    ------
    ValueError
        If it does.
    """
    if missing := [name for name in names if name not in frame.columns]:
        raise ValueError(f"the table lacks the column {missing[0]!r}")


def blank(texts: pd.Series) -> pd.Series:
    """Where a column (n,) of text is empty: NaN, None, or nothing but space."""
    if pd.api.types.is_numeric_dtype(texts):
        return texts.isna()
    texts = texts.astype(object)
    return texts.isna() | texts.map(lambda text: isinstance(text, str) and not text.strip()).astype(bool)


def _code(of: Callable[..., Any] | ModuleType) -> str:
    """The text of the module of a function, or of all modules of a package; nothing where it is not in a file."""
    module = inspect.getmodule(of)
    try:
        if module is not None and hasattr(module, "__path__"):
            return "".join(
                file.read_text("utf-8") for file in sorted(Path(inspect.getfile(module)).parent.glob("*.py"))
            )
        return inspect.getsource(module or of)
    except (OSError, TypeError):
        return ""


class UnseenWarning(UserWarning):
    """Rows have something in a column that no row of the fitted table has."""

    def __init__(self, text: str, column: str) -> None:
        super().__init__(text)
        self.column = column


class ColumnFeatures(TransformerMixin, BaseEstimator, ABC):
    """Base of transformers from a column of text to numbers; a subclass computes them and chooses the columns."""

    column: str
    allow_missing: bool
    memory: str | PathLike[str] | None
    columns_: list[str]
    absent_: list[str]

    holds: ClassVar[str]
    """What the column holds, for messages."""
    packages: ClassVar[tuple[str, ...]]
    """Distributions whose versions change the numbers."""
    modules: ClassVar[tuple[ModuleType, ...]] = ()
    """Further modules and packages of this one whose code changes the numbers."""

    @abstractmethod
    def _choice(self) -> list[str]:
        """The names of what is computed of each text, checked."""

    @abstractmethod
    def _describe(self, texts: pd.Series, choice: list[str]) -> pd.DataFrame:
        """The features of distinct texts (n,), one row for each; errors name the row."""

    def _text(self, cell: Any) -> Any:
        """What a cell is kept by on disk."""
        return cell

    def _check(self, cells: pd.Series, known: np.ndarray) -> None:
        """Refuse a column (n,) for its cells in a boolean mask, all of them, before the distinct ones are computed."""

    def _chosen(self, numbers: pd.DataFrame) -> list[str]:
        """The columns that ``fit`` keeps of the features."""
        return list(numbers)

    def _is_part(self, feature: str) -> bool:
        """Whether a feature is how much of something a text holds."""
        return True

    def fit_transform(self, X: Any, y: Any = None, **_: Any) -> pd.DataFrame:
        """Choose the columns and return them; each feature is computed once."""
        rest, numbers = self._compute(X)
        known = numbers.dropna()
        if known.empty:
            raise ValueError(f"column {self.column!r} holds no {self.holds}: drop it")
        self.columns_ = [*rest, *self._chosen(known)]
        self.absent_ = [name for name in known.columns[(known == 0).all(axis=0)] if self._is_part(name)]
        return pd.concat([rest, numbers], axis=1)[self.columns_]

    def fit(self, X: Any, y: Any = None) -> Self:
        """Choose the columns; ``X`` is a DataFrame with the column of text, or a Series or list of its entries."""
        self.fit_transform(X)
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        """The columns that ``fit`` chose, computed for another table.

        Raises
        ------
        ValueError
            For an entry that does not parse, naming its row, or a column that is missing.
        """
        return self.transform_and_absent(X)[0]

    def transform_and_absent(self, X: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The columns of :meth:`transform`, and where parts are not 0 that are 0 in all of the table of ``fit``, boolean (n, c).

        Models learn nothing of such parts: an element, say, that none of the fitted formulas has.
        """
        check_is_fitted(self, "columns_")
        rest, numbers = self._compute(X)
        frame = pd.concat([rest, numbers], axis=1)
        require_columns(frame, self.columns_)
        absent = numbers[self.absent_]
        return frame[self.columns_], absent.notna() & (absent != 0)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that ``transform`` returns; ``input_features`` is not used."""
        check_is_fitted(self, "columns_")
        return np.asarray(self.columns_, dtype=object)

    def _compute(self, X: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The other columns of the table, and the features, NaN where there is no text and that is allowed."""
        choice = self._choice()
        X = X if isinstance(X, pd.DataFrame) else pd.Series(X, name=self.column).to_frame()
        if self.column not in X.columns:
            raise ValueError(
                f"no column {self.column!r} with {self.holds}; the columns are {list(X.columns)}: say which with column="
            )
        texts = X[self.column].astype(object).map(self._text)
        known = ~blank(texts).to_numpy() | (not self.allow_missing)
        distinct = texts[known]
        if all(isinstance(text, str) for text in distinct):  # else the first other one is refused
            distinct = distinct.drop_duplicates()
        code = _code(self._describe) + "".join(_code(module) for module in self.modules)

        def compute() -> pd.DataFrame:
            self._check(X[self.column], known)
            return self._describe(distinct, choice).set_axis(distinct, axis=0)

        features = remembered(
            compute,
            list(distinct),
            [self.holds, *choice, code],
            self.packages if code else (),
            self.memory,
        )
        rest = X.drop(columns=self.column)
        if clash := [name for name in features if name in rest]:
            raise ValueError(f"column {clash[0]!r} has the name of a feature of the {self.holds}: rename it")
        return rest, features.reindex(texts).set_axis(X.index, axis=0)
