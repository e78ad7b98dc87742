"""The file of results: one line of JSON for each finished unit, appended at once, so that a run can go on where it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from bayestl.studies.small_tables.scores import Unit

FILE = "results.jsonl"
"""The name of the file in the output folder."""


class Results:
    """The finished units of a folder.

    Parameters
    ----------
    folder : Path
        The output folder, made where it does not exist.  A last line that was only half written is dropped.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.records: dict[Unit, dict[str, Any]] = {}
        if not self.path.is_file():
            return
        text = self.path.read_text(encoding="utf-8")
        whole, torn = text[: text.rfind("\n") + 1], text[text.rfind("\n") + 1 :]
        if torn:
            self.path.write_text(whole, encoding="utf-8")
        for line in whole.splitlines():
            self._keep(json.loads(line))

    def _keep(self, record: dict[str, Any]) -> None:
        self.records[Unit(*(record[name] for name in Unit._fields))] = record

    def append(self, record: dict[str, Any]) -> None:
        """Write a finished unit."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self._keep(record)

    def has(self, unit: Unit) -> bool:
        """Whether a unit is finished; one that failed is not, and is tried again."""
        return unit in self.records and "failure" not in self.records[unit]

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The units that failed."""
        return [record for record in self.records.values() if "failure" in record]

    def scores(self) -> pd.DataFrame:
        """One row for each unit, model and target: ``table``, ``n`` (0: folds), ``draw``, ``model``, ``quantity``, the
        scores, ``seconds`` of the prediction and ``fit_seconds``, of members none.
        """
        rows = []
        for record in self.records.values():
            key = {"table": record["table"], "n": record["n"] or 0, "draw": record["draw"]}
            for score in record.get("scores", ()):
                own = score["model"] == record["model"]
                rows.append(key | score | {"fit_seconds": record["fit_seconds"] if own else 0.0})
        return pd.DataFrame(rows)
