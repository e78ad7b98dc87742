"""The class of all datasets, and their files: in the folder of ``BAYESTL_DATA``, or fetched from a public address.

A downloaded file is kept; either way its SHA-256 is checked.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bayestl.progress import import_tqdm
from bayestl.table.task import Task


@dataclass(frozen=True)
class Dataset:
    """A table with its source.

    Attributes
    ----------
    name : str
        Name of the table.
    X : DataFrame, shape (n, d)
        Features; for compositions one column ``formula``, see :class:`~bayestl.features.CompositionFeatures`.
    Y : DataFrame, shape (n, T)
        Labels, NaN or None where not measured.
    tasks : tuple of Task
        The label columns with likelihoods, units and costs.
    citation : str
        What to cite.
    licence : str
        Terms of use.
    address : str
        Where the data are from.
    groups : Series, shape (n,), optional
        A group for each row.
    Y_std : DataFrame, shape (n, T), optional
        Standard errors of labels, in label units; NaN where not stated.

    Examples
    --------
    >>> import bayestl as btl
    >>> data = btl.datasets.load_elements()  # doctest: +SKIP
    >>> btl.MultiTaskGP(tasks=data.tasks).fit(data.X, data.Y)  # doctest: +SKIP
    """

    name: str
    X: pd.DataFrame
    Y: pd.DataFrame
    tasks: tuple[Task, ...]
    citation: str
    licence: str
    address: str
    groups: pd.Series | None = None
    Y_std: pd.DataFrame | None = None

    def rows(self, which: np.ndarray) -> Dataset:
        """The table with the rows for which the boolean mask ``which`` (n,) is true."""
        groups = None if self.groups is None else self.groups[which]
        Y_std = None if self.Y_std is None else self.Y_std[which]
        return replace(self, X=self.X[which], Y=self.Y[which], groups=groups, Y_std=Y_std)

    def __repr__(self) -> str:
        counts = ", ".join(f"{t.label}: {int(self.Y[t.name].notna().sum())}" for t in self.tasks)
        return f"Dataset({self.name}: {len(self.X)} rows, {self.X.shape[1]} columns; labels {counts})"


class DataError(ValueError):
    """A data file is missing, or is not the one that was tested."""


@dataclass(frozen=True)
class DataFile:
    """A data file: its name, its checksum and its public address."""

    name: str
    sha256: str
    address: str


def fetch(file: DataFile) -> Path:
    """The path of a data file, after its checksum was found right.

    Parameters
    ----------
    file : DataFile
        Name, SHA-256 and public address.

    Returns
    -------
    Path
        Of the file in the folder of ``BAYESTL_DATA``, or in the user's folder of caches.

    Raises
    ------
    DataError
        If the file is not in the folder of ``BAYESTL_DATA``, has another checksum, or cannot be fetched.

    Examples
    --------
    >>> from bayestl.datasets.band_gaps import EXPERIMENTAL_GAPS
    >>> fetch(EXPERIMENTAL_GAPS)  # doctest: +SKIP
    """
    import_tqdm()
    import pooch

    folder = os.environ.get("BAYESTL_DATA")
    if folder:
        path = Path(folder) / file.name
        if not path.is_file():
            raise DataError(
                f"{file.name} is not in {folder} (BAYESTL_DATA): put it there from {file.address}, or unset BAYESTL_DATA"
            )
        checksum = pooch.file_hash(str(path))
        if checksum != file.sha256:
            raise DataError(
                f"{path} is not the file that was tested (SHA-256 {checksum[:12]}..., expected {file.sha256[:12]}...)"
            )
        return path
    try:
        return Path(
            pooch.retrieve(
                file.address, known_hash=f"sha256:{file.sha256}", fname=file.name, path=pooch.os_cache("bayestl")
            )
        )
    except Exception as error:  # pooch passes on any error of its downloader
        raise DataError(
            f"{file.name} could not be fetched from {file.address} ({type(error).__name__}): "
            "download it by hand into a folder and set BAYESTL_DATA to that folder"
        ) from error
