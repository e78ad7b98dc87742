"""Tables in files that are read part by part: CSV by chunks, Parquet by batches of rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd


class FrameFile:
    r"""The rows of a CSV or Parquet file as DataFrames of at most ``size`` rows; it can be iterated again.

    Parameters
    ----------
    path : path
        A file whose name ends in ``.parquet``, ``.pq``, ``.csv`` or ``.csv.gz``.
    size : int
        Rows of a part.
    columns : sequence of str, optional
        The columns that are read; by default all.

    Raises
    ------
    ValueError
        If there is no such file, or it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from bayestl.files.frames import FrameFile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "new.csv")
    ...     _ = path.write_text("x,y\n1,2\n3,4\n5,6\n")
    ...     [len(part) for part in FrameFile(path, 2, ["x"])]
    [2, 1]
    """

    def __init__(self, path: str | os.PathLike[str], size: int, columns: Sequence[str] | None = None) -> None:
        self.path, self.size = Path(path), size
        self.columns = None if columns is None else list(columns)
        if not self.path.is_file():
            raise ValueError(
                f"{self.path} is a folder: name a file in it" if self.path.is_dir() else f"no file {self.path}"
            )
        name = self.path.name.lower()
        self._is_parquet = name.endswith((".parquet", ".pq"))
        if not self._is_parquet and not name.endswith((".csv", ".csv.gz")):
            raise ValueError(
                f"{self.path}: parts are read from .parquet and .csv files; of others give the parts, such as those of pandas.read_csv(..., chunksize=4096)"
            )

    def __iter__(self) -> Iterator[pd.DataFrame]:
        first = 0
        for frame in self._parquet() if self._is_parquet else self._csv():
            yield frame.set_axis(pd.RangeIndex(first, first + len(frame)))
            first += len(frame)

    def _csv(self) -> Iterator[pd.DataFrame]:
        self._require(list(pd.read_csv(self.path, nrows=0).columns))
        with pd.read_csv(self.path, usecols=self.columns, chunksize=self.size) as parts:
            yield from parts

    def _parquet(self) -> Iterator[pd.DataFrame]:
        try:
            from pyarrow import ArrowInvalid
            from pyarrow.parquet import ParquetFile
        except ImportError as error:
            raise ValueError(f"{self.path}: Parquet files need the extra: pip install 'bayestl[parquet]'") from error
        try:
            file = ParquetFile(self.path)
        except (ArrowInvalid, OSError) as error:
            raise ValueError(f"{self.path} cannot be read as Parquet: {error}") from error
        with file:
            self._require(file.schema_arrow.names)
            for batch in file.iter_batches(self.size, columns=self.columns):
                yield batch.to_pandas()

    def _require(self, names: list[str]) -> None:
        if missing := [name for name in self.columns or () if name not in names]:
            raise ValueError(
                f"{self.path} lacks the column {missing[0]!r} that the model was fitted with (missing: {missing})"
            )
