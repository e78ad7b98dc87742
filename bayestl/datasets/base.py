"""Real tables with sparse labels from several sources.

``load_elements`` is built from what pymatgen and matminer install.  The others are read from the folder that
``BAYESTL_DATA`` names, or fetched once from their public address; either way the SHA-256 is checked.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bayestl.progress import import_tqdm
from bayestl.table.task import Task


@dataclass(frozen=True)
class Dataset:
    """A table: features ``X`` (for compositions one column ``formula``), labels ``Y``, ``groups``, ``tasks``."""

    name: str
    X: pd.DataFrame
    Y: pd.DataFrame
    tasks: tuple[Task, ...]
    citation: str
    licence: str
    address: str
    groups: pd.Series | None = None

    def __repr__(self) -> str:
        counts = ", ".join(f"{t.label}: {int(self.Y[t.name].notna().sum())}" for t in self.tasks)
        return f"Dataset({self.name}: {len(self.X)} rows, {self.X.shape[1]} columns; labels {counts})"


class DataError(ValueError):
    """A data file that is missing, or not the one that was tested."""


@dataclass(frozen=True)
class _File:
    name: str
    sha256: str
    address: str


def fetch(file: _File) -> Path:
    """Path of a data file whose checksum is right.

    Raises
    ------
    DataError
        If it is not in the folder of ``BAYESTL_DATA``, or differs, or cannot be fetched.
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
        found = pooch.file_hash(str(path))
        if found != file.sha256:
            raise DataError(
                f"{path} is not the file that was tested (SHA-256 {found[:12]}..., expected {file.sha256[:12]}...)"
            )
        return path
    try:
        return Path(
            pooch.retrieve(
                file.address, known_hash=f"sha256:{file.sha256}", fname=file.name, path=pooch.os_cache("bayestl")
            )
        )
    except Exception as error:  # pooch passes on whatever its downloader raises
        raise DataError(
            f"{file.name} could not be fetched from {file.address} ({type(error).__name__}): "
            "download it by hand into a folder and set BAYESTL_DATA to that folder"
        ) from error
