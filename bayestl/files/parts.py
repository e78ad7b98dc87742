"""Outputs that are written part by part: a run that was ended goes on after the parts that are finished.

The parts lie in a folder beside the output, which says of what run they are and is removed when the output is whole.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bayestl.files.output import write_output

RUN = "run.json"


class Parts:
    r"""The finished parts of an output.

    Parameters
    ----------
    output : path
        The output; the parts are in the folder ``OUTPUT.unfinished`` beside it.
    run : mapping of str to str
        All that the output depends on, by words for it: parts of another run are refused.
    replace : bool
        Whether parts of another run are removed.

    Raises
    ------
    ValueError
        If the folder holds parts of another run, or something else.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from bayestl.files.parts import Parts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "out.csv")
    ...     Parts(path, {"model": "m"}).add(b"x\n", rows=1)
    ...     Parts(path, {"model": "m"}).count
    1
    """

    def __init__(self, output: Path, run: Mapping[str, str], replace: bool = False) -> None:
        self.folder = output.with_name(f"{output.name}.unfinished")
        if replace and (self.folder / RUN).is_file() and self._run() != dict(run):
            self.remove()
        if self.folder.exists():
            earlier = self._run()
            if other := [what for what in run if earlier.get(what) != run[what]]:
                raise ValueError(
                    f"{self.folder} holds parts of another run, of another {other[0]}: go on as it was begun, choose another name for the "
                    "output, or add --force, which removes these parts"
                )
        self.run = dict(run)
        self.count = 0
        while self._path(self.count, "npz").is_file():
            self.count += 1

    def _run(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / RUN).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def _path(self, number: int, kind: str) -> Path:
        return self.folder / f"{number:06d}.{kind}"

    def add(self, content: bytes, **notes: Any) -> None:
        """Write the next part, with notes on it: arrays, text and numbers."""
        if not self.count:
            write_output(self.folder / RUN, json.dumps(self.run, indent=1))
        write_output(self._path(self.count, "part"), content)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **notes)
        write_output(self._path(self.count, "npz"), buffer.getvalue())  # last: it says that the part is whole
        self.count += 1

    def paths(self) -> list[Path]:
        """The files of the parts."""
        return [self._path(number, "part") for number in range(self.count)]

    def notes(self) -> list[dict[str, np.ndarray]]:
        """The notes on each part."""
        found = []
        for number in range(self.count):
            with np.load(self._path(number, "npz"), allow_pickle=False) as arrays:
                found.append(dict(arrays))
        return found

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
