"""Features that were computed once are kept on disk, as plain arrays with a checksum: reading them runs no code.

A file is found by all that its numbers depend on: the texts, the choice of features, the code that computes them and the
versions of the packages behind it.  Whatever is wrong with a file or the folder, the features are computed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd

MOST_BYTES = 2**30
"""Size of the folder, from which on the files that were not used for longest are deleted."""
_SUFFIX = ".features"


def remembered(
    compute: Callable[[], pd.DataFrame],
    texts: Sequence[str],
    settings: Sequence[str],
    packages: Sequence[str],
    memory: str | os.PathLike[str] | None,
) -> pd.DataFrame:
    """The features of distinct texts, read where they are kept, and computed and kept where they are not.

    Parameters
    ----------
    compute : callable
        Computes the features, one row for each text, in any order, with the texts as index.
    texts : sequence of str
        What the features are of.
    settings : sequence of str
        All else that the features depend on: the choice of features, and the code that computes them.
    packages : sequence of str
        The packages whose versions matter; where none of them is known, nothing is kept.
    memory : {"auto"}, path or None
        The folder; ``"auto"`` is that of ``BAYESTL_CACHE`` or of the user's caches, and None keeps nothing.

    Raises
    ------
    ValueError
        If ``memory`` is something else.
    """
    if not (memory is None or isinstance(memory, str | os.PathLike)):
        raise ValueError(f"memory must be 'auto', the path of a folder or None (nothing is kept), got {memory!r}")
    versions = [_version(package) for package in packages]
    if memory is None or not any(versions):
        return compute()
    texts = sorted(map(str, texts))
    key = json.dumps([texts, list(settings), versions])
    path = _folder(memory) / (hashlib.sha256(key.encode()).hexdigest() + _SUFFIX)
    features = _read(path, texts)
    if features is None:
        features = compute()
        with suppress(OSError):
            _write(path, features.reindex(texts))
    return features


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _folder(memory: str | os.PathLike[str]) -> Path:
    """The folder that ``memory`` names."""
    if memory != "auto":
        return Path(memory).expanduser()
    if named := os.environ.get("BAYESTL_CACHE"):
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("bayestl")) / "features"


def _read(path: Path, texts: list[str]) -> pd.DataFrame | None:
    """The features of a file, with the texts as index; None if it is missing or damaged."""
    try:
        content = path.read_bytes()
        checksum, body = content[:32], content[32:]
        if hashlib.sha256(body).digest() != checksum:
            return None
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            features = pd.DataFrame(arrays["numbers"], index=texts, columns=arrays["names"].tolist())
        os.utime(path)  # used now
    except Exception:  # damaged files fail in many ways, and none of them matters
        return None
    return features


def _write(path: Path, features: pd.DataFrame) -> None:
    """Write a file in one step, so that no other process reads half of it, and delete old ones."""
    body = io.BytesIO()
    np.savez_compressed(body, names=np.array(list(features), dtype=str), numbers=features.to_numpy(dtype=float))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        whole = Path(scratch, path.name)
        whole.write_bytes(hashlib.sha256(body.getvalue()).digest() + body.getvalue())
        whole.replace(path)
    states = sorted(((file.stat(), file) for file in path.parent.glob("*" + _SUFFIX)), key=lambda s: -s[0].st_mtime)
    total = 0
    for state, file in states:
        total += state.st_size
        if total > MOST_BYTES:
            file.unlink(missing_ok=True)
