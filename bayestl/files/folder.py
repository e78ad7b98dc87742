"""A folder with one file: a document and named arrays under one checksum, replaced as a whole by one rename.

The file is of the safetensors format; one of its arrays is the document (JSON, UTF-8), and its header names the version
of the format and a SHA-256 over the name, type, shape and values of all arrays.  It is written under another name,
brought to the disk and renamed, so that at every moment a reader finds the old file or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

FILE = "model.safetensors"
_DOCUMENT, _VERSION, _CHECKSUM = "document", "bayestl-format", "sha256"


class FileError(ValueError):
    """A folder holds no model, a damaged one, or one of another format."""


def write_folder(
    path: str | os.PathLike[str], version: int, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a document and arrays to the folder ``path``, created if it does not exist; other files in it stay.

    Raises
    ------
    FileError
        If ``path`` is no folder, or holds something else under the name of the file.
    """
    folder = Path(path)
    text = np.frombuffer(json.dumps(document).encode(), np.uint8)
    stored = {_DOCUMENT: text, **{name: np.ascontiguousarray(values) for name, values in arrays.items()}}
    content = save(stored, {_VERSION: str(version), _CHECKSUM: _checksum(stored)})
    created = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise FileError(f"{folder} is a file, or lies in one: give a folder to save the model in") from error
    with _alone(folder):
        _refuse_foreign(folder / FILE)
        for leftover in filter(is_leftover, list(folder.iterdir())):
            leftover.unlink(missing_ok=True)
        scratch = folder / f".{FILE}.{os.getpid()}.tmp"
        try:
            with scratch.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, folder / FILE)
        finally:
            scratch.unlink(missing_ok=True)
        for changed in (folder, *(p.parent for p in created)):
            _to_disk(changed)


def read_folder(path: str | os.PathLike[str], version: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read the document and the arrays of a folder, exactly as they were written.

    Raises
    ------
    FileError
        If there is no such file, it cannot be read, is of another format, or is not as it was written.
    """
    file = Path(path) / FILE
    try:
        if not (file.exists() or file.is_symlink()):
            raise FileError(f"no model in {path}: {FILE} is missing")
        if not file.is_file():
            raise FileError(f"{file} is no regular file: it holds no model")
        content = file.read_bytes()
    except OSError as error:
        raise FileError(f"{file} cannot be read: {error.strerror or error}") from error
    try:
        entries = _entries(content)
        found = entries[_VERSION]
    except Exception as error:
        raise FileError(f"{file} is no model of bayestl, or is damaged at its beginning") from error
    if found != str(version):
        raise FileError(f"{file} has format {found[:20]!r}: this version reads format {version} of model files")
    try:
        arrays = load(content)
        intact = entries.get(_CHECKSUM) == _checksum(arrays)
        document = json.loads(arrays.pop(_DOCUMENT).tobytes()) if intact else None
    except Exception as error:
        raise FileError(f"{file} is damaged and cannot be read: save the model again") from error
    if not isinstance(document, dict):
        raise FileError(f"{file} is damaged, its checksum differs: save the model again")
    return document, arrays


def is_leftover(file: Path) -> bool:
    """Whether a file is what a save that was killed has left."""
    return file.name.startswith(f".{FILE}.") and file.suffix == ".tmp"


def _entries(content: bytes) -> dict[str, str]:
    """The entries of text in the header of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    if not 0 < length <= len(content) - 8:
        raise ValueError
    entries = json.loads(content[8 : 8 + length])["__metadata__"]
    if not all(isinstance(value, str) for value in entries.values()):
        raise ValueError
    return dict(entries)


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over arrays with their names, types and shapes."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        values = arrays[name]
        found.update(json.dumps([name, values.dtype.str, values.shape]).encode())
        found.update(values.tobytes())
    return found.hexdigest()


def _refuse_foreign(file: Path) -> None:
    """Refuse to replace something that is no model of any version."""
    if not file.exists():
        return
    with suppress(Exception):
        if file.is_file() and _VERSION in _entries(file.read_bytes()):
            return
    raise FileError(f"{file} is there already and is no model of bayestl: choose another folder, or delete it")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from saving into a folder at the same time, where the system has locks."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network drives have none
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _to_disk(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
