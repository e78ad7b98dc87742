"""What transformers of one column of text share: the other columns pass through, and the columns of ``fit`` are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted


class ColumnFeatures(TransformerMixin, BaseEstimator, ABC):
    """Base of transformers from a column of text to numbers; a subclass computes them and chooses the columns."""

    column: str
    columns_: list[str]

    @abstractmethod
    def _compute(self, X: Any) -> tuple[pd.DataFrame, list[str]]:
        """The table with all numbers in place of the text, and the names of these numbers."""

    @abstractmethod
    def fit_transform(self, X: Any, y: Any = None, **_: Any) -> pd.DataFrame:
        """Choose the columns and return them; each row is computed once."""

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
        check_is_fitted(self, "columns_")
        frame, _ = self._compute(X)
        if missing := [c for c in self.columns_ if c not in frame.columns]:
            raise ValueError(f"the table lacks the column {missing[0]!r}")
        return frame[self.columns_]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that ``transform`` returns."""
        check_is_fitted(self, "columns_")
        return np.asarray(self.columns_, dtype=object)

    def _frame(self, X: Any) -> pd.DataFrame:
        """The table, or a Series or list of entries as one column."""
        if isinstance(X, pd.DataFrame):
            return X
        return (X.rename(self.column) if isinstance(X, pd.Series) else pd.Series(X, name=self.column)).to_frame()
