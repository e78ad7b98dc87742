"""Tables whose last column is of sentences, which pandas would cut off."""

from __future__ import annotations

import re
from typing import ClassVar

import numpy as np
import pandas as pd

from bayestl.diagnostics.words import rounded

LAST_CELL = re.compile(r"<(t[hd])>(?=[^\n]*\n *</tr>)")
"""The beginning of the last cell of each row of a table in HTML."""


class TextTable(pd.DataFrame):
    """A table that, printed, shows every column, and the sentences of the last one in full below their row."""

    text: ClassVar[str]
    """The column of sentences."""
    whole: ClassVar[tuple[str, ...]]
    """The columns of the table; one with others is shown as any table is."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        if list(self.columns) != list(self.whole) or self.empty:
            return str(super().__repr__())
        lines = self._told().drop(columns=self.text).to_string(float_format=rounded, na_rep="").splitlines()
        heads = len(lines) - len(self)
        below: list[list[str]] = [[] for _ in range(heads)]
        below += [[f"    {text}"] if text else [] for text in self[self.text]]
        return "\n".join(line for row, more in zip(lines, below, strict=True) for line in (row, *more))

    def _told(self) -> pd.DataFrame:
        """The columns that say something, a missing entry as NaN."""
        plain = pd.DataFrame(self)
        return plain.loc[:, plain.notna().any() | (plain.columns == self.text)].fillna(np.nan).infer_objects()

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):
            if list(self.columns) != list(self.whole) or self.empty:
                return str(super()._repr_html_())
            shown = self._told().to_html(border=0, na_rep="", float_format=rounded)
        return LAST_CELL.sub(r'<\1 style="text-align: left">', str(shown))
