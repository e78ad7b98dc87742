"""A folder with one JSON document and named arrays; files are replaced atomically, so a crash loses nothing."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

DOCUMENT, ARRAYS = "model.json", "arrays.safetensors"


class FileError(ValueError):
    """A folder holds no model, or a model of another format."""


def write_folder(path: str | os.PathLike[str], document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write both files to the folder ``path``, created if it does not exist; each file is replaced atomically."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        (Path(scratch) / DOCUMENT).write_text(json.dumps(document, indent=1), encoding="utf-8")
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, str(Path(scratch) / ARRAYS))
        for name in (ARRAYS, DOCUMENT):
            os.replace(Path(scratch) / name, folder / name)


def read_folder(path: str | os.PathLike[str], version: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read the document and the arrays of a folder.

    Raises
    ------
    FileError
        If a file is missing or not readable, or the document is not of format ``version``.
    """
    folder = Path(path)
    try:
        document = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
        arrays = load_file(str(folder / ARRAYS))
    except FileNotFoundError as error:
        raise FileError(f"no model in {folder}: {Path(error.filename or '').name or error} is missing") from error
    except Exception as error:
        raise FileError(f"{folder} does not hold a readable model: {error}") from error
    if not isinstance(document, dict) or document.get("format") != version:
        raise FileError(f"{folder}: this version reads format {version} of model files")
    return document, arrays
