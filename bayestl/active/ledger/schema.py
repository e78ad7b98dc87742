"""What a ledger holds: its tables, the entries of results, and the seals that show whether it is as it was written.

SQLite has no checksums of what it stores.  A ledger has two: a SHA-256 over the campaign (settings and pool), and one over
that and all suggestions and results.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

FORMAT = 2
APPLICATION = 0x62746C63
"""What the header of the file names as the program that it belongs to."""
SUGGESTED = ("row", "task", "score", "cost", "predicted", "lower", "upper", "hit", "reason")
"""Columns of a suggestion that the campaign chooses; the ledger adds who, when and with which model."""
LOG = {
    "suggestions": "id INTEGER PRIMARY KEY, batch INTEGER NOT NULL, time TEXT NOT NULL, who TEXT NOT NULL, row INTEGER NOT NULL, "
    "task TEXT NOT NULL, score REAL, cost REAL NOT NULL, predicted REAL, lower REAL, upper REAL, hit REAL, reason TEXT NOT NULL, "
    "model TEXT NOT NULL, version TEXT NOT NULL, seed INTEGER NOT NULL, state TEXT NOT NULL",
    "results": "id INTEGER PRIMARY KEY, time TEXT NOT NULL, who TEXT NOT NULL, row INTEGER NOT NULL, task TEXT NOT NULL, "
    "value TEXT NOT NULL, se REAL, cost REAL NOT NULL, suggestion INTEGER, state TEXT NOT NULL",
}
CAMPAIGN = {"meta": "key TEXT PRIMARY KEY, value TEXT NOT NULL", "pool": "key TEXT PRIMARY KEY, value BLOB NOT NULL"}
SCHEMA = {name: f"CREATE TABLE {name} ({columns})" for name, columns in (CAMPAIGN | LOG).items()}
SCHEMA["seal"] = "CREATE TABLE seal (campaign TEXT NOT NULL, log TEXT NOT NULL)"


class LedgerError(ValueError):
    """A file that is not a ledger, is damaged or of another version, or that exists already."""


class Entry(NamedTuple):
    """A result as it is recorded: a number or class as JSON, or null where the measurement failed."""

    row: int
    task: str
    value: str
    se: float | None
    cost: float
    suggestion: int | None = None

    @property
    def state(self) -> str:
        """``"known"`` or ``"failed"``."""
        return "failed" if self.value == "null" else "known"


def now() -> str:
    """The present time in UTC, as the ledger writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def user_name() -> str:
    """The user's login name, or "unknown"."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


def plain_candidate(name: Any) -> Any:
    """The name of a candidate as the ledger keeps it: text or a number."""
    if isinstance(name, np.generic):
        name = name.item()
    return name if isinstance(name, str | int | float) else str(name)


def columns_of(name: str) -> list[str]:
    """The columns of a table of the log."""
    return [column.split()[0] for column in LOG[name].split(", ")]


def log_of(db: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of both tables of the log."""
    return {
        name: db.execute(f"SELECT {', '.join(columns_of(name))} FROM {name} ORDER BY id").fetchall() for name in LOG
    }


def log_seal(campaign: str, log: Mapping[str, Sequence[tuple[Any, ...]]]) -> str:
    """SHA-256 over all suggestions and results of a campaign."""
    return hashlib.sha256(json.dumps([campaign, log], default=repr).encode("utf-8", "surrogatepass")).hexdigest()


def campaign_seal(db: sqlite3.Connection) -> str:
    """SHA-256 over the settings and the pool of a campaign."""
    found = hashlib.sha256()
    for table in CAMPAIGN:
        for key, value in db.execute(f"SELECT key, value FROM {table} ORDER BY rowid"):
            stored = value if isinstance(value, bytes) else str(value).encode()
            found.update(f"{table}, {key}, {type(value).__name__}, {len(stored)}: ".encode() + stored)
    return found.hexdigest()


def insert(db: sqlite3.Connection, entry: Entry, suggestion: int | None) -> None:
    """Write a result."""
    *measured, _ = entry
    db.execute(
        "INSERT INTO results (time, who, row, task, value, se, cost, suggestion, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (now(), user_name(), *measured, suggestion, entry.state),
    )


def told_before(db: sqlite3.Connection, entry: Entry) -> bool:
    """Whether a result with the number of its suggestion is in the ledger already; refuses one that does not fit it."""
    asked = db.execute("SELECT row, task, state FROM suggestions WHERE id = ?", (entry.suggestion,)).fetchone()
    if asked is None:
        raise ValueError(f"there is no suggestion {entry.suggestion} in this campaign: leave its number out")
    if asked[:2] != (entry.row, entry.task):
        raise ValueError(
            f"suggestion {entry.suggestion} is another measurement (of {asked[1]!r}): correct its row and task"
        )
    query = "SELECT id, value, se, cost FROM results WHERE suggestion = ? AND state <> 'withdrawn' ORDER BY id"
    earlier = db.execute(query, (entry.suggestion,)).fetchall()
    if any(tuple(found) == (entry.value, entry.se, entry.cost) for _, *found in earlier):
        return True
    if earlier:
        number, value = earlier[0][:2]
        raise ValueError(
            f"suggestion {entry.suggestion} has the result {value} already (result {number}): withdraw that, or leave the number "
            "of the suggestion out to add a repeat"
        )
    return False
