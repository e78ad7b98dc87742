"""Files that a user names for output: written beside and renamed, so that a crash leaves the earlier file or the new one.

Symbolic links are followed, devices and pipes are written to as they are, and folders are refused.  After an error
nothing is left behind.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

PROBE = 1 << 16
"""Bytes that must fit on the disk before long work begins."""
_FILE, _FOLDER, _OTHER = "file", "folder", "device or pipe"


def check_output(
    path: str | os.PathLike[str], reads: Sequence[str | os.PathLike[str]] = (), replace: bool = True
) -> Path:
    """Refuse a path to which no file can be written, before the work begins; nothing is written.

    Parameters
    ----------
    path : path
        The file to write.
    reads : sequence of paths
        Files that the same command reads, and folders of models: none of them may be replaced.
    replace : bool
        Whether an earlier file may be replaced.

    Raises
    ------
    ValueError
        If it is a folder, an input, a file that may not be replaced, or cannot be written.

    Examples
    --------
    >>> import bayestl.files.output as output
    >>> output.check_output(".")
    Traceback (most recent call last):
    ...
    ValueError: . is a folder: name a file in it
    """
    target = Path(path)
    with _in_words(target):
        kind = _kind(target)
        if kind == _FOLDER:
            raise ValueError(f"{target} is a folder: name a file in it")
        if kind == _FILE:
            _refuse_inputs(target, reads)
            if not (replace or by_descriptor(target)):
                raise ValueError(f"{target} exists: choose another name, or replace it with --force")
        if kind in (_FILE, _OTHER) and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "no permission to write")
        if kind != _OTHER:
            _probe(_real(target).parent)
    return target


def check_folder(path: str | os.PathLike[str]) -> Path:
    """Refuse a path that is no folder and cannot become one, before the work begins; nothing is written.

    Raises
    ------
    ValueError
        If it is a file, or cannot be written to.
    """
    folder = Path(path)
    with _in_words(folder):
        if _kind(folder) in (_FILE, _OTHER):
            raise ValueError(f"{folder} is a file: name a folder")
        _probe(_real(folder))
    return folder


def write_output(path: str | os.PathLike[str], content: str | bytes | Iterable[bytes]) -> Path:
    """Write a file, which replaces an earlier one at once, and return its path; folders above it are made.

    Raises
    ------
    ValueError
        If it is a folder, or cannot be written; nothing is left behind.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import bayestl.files.output as output
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = output.write_output(Path(folder, "new", "gaps.csv"), "gap")
    ...     path.read_text(encoding="utf-8")
    'gap'
    """
    target = check_output(path)
    body = [content.encode()] if isinstance(content, str) else [content] if isinstance(content, bytes) else content
    with _in_words(target):
        if _kind(target) == _OTHER or by_descriptor(target):
            with _opened(target) as file:  # what a shell has opened keeps what other commands wrote
                file.writelines(body)
            return target
        real = _real(target)
        with _made(real.parent):
            scratch = real.with_name(f".bayestl-{os.getpid()}-{threading.get_ident()}.part")
            try:
                with scratch.open("wb") as file:
                    file.writelines(body)
                    file.flush()
                    os.fsync(file.fileno())
                if real.exists():
                    scratch.chmod(stat.S_IMODE(real.stat().st_mode))
                scratch.replace(real)
            finally:
                scratch.unlink(missing_ok=True)
    return target


def _kind(path: Path) -> str | None:
    """What is at a path, its links followed; None where nothing is."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    return _FOLDER if stat.S_ISDIR(mode) else _FILE if stat.S_ISREG(mode) else _OTHER


def by_descriptor(path: Path) -> bool:
    """Whether a path stands for an open file, such as ``/dev/stdout``: renaming would miss it."""
    return Path(os.path.abspath(path)).parts[:2] in (("/", "dev"), ("/", "proc"))


def _opened(path: Path) -> BinaryIO:
    """A device, pipe or open file; of the standard output the end that other lines of the process go to, too."""
    if os.path.abspath(path) != "/dev/stdout":
        return path.open("ab")
    sys.stdout.flush()
    return os.fdopen(os.dup(1), "wb")


def _real(path: Path) -> Path:
    """The path that links lead to."""
    return Path(os.path.realpath(path))


def _refuse_inputs(target: Path, reads: Sequence[str | os.PathLike[str]]) -> None:
    """Refuse to replace an input: a file, or one of the files of a saved model."""
    for source in map(Path, reads):
        files = [f for f in source.iterdir() if f.suffix in (".json", ".safetensors")] if source.is_dir() else [source]
        if any(file.is_file() and target.samefile(file) for file in files):
            raise ValueError(f"{target} is read by this command: choose another name for the output")


def _probe(folder: Path) -> None:
    """Write to a folder, or to the one in which it will be made, a file without a name."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is a file")
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(PROBE))
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """A folder and those above it, made where they do not exist, and removed after an error."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for new in missing:
            with contextlib.suppress(OSError):
                new.rmdir()
        raise


@contextlib.contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """Errors of the system as errors that name the path; a reader that has gone stays an error of its own."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error
