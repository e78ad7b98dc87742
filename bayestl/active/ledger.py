"""Every suggestion and every result of a campaign, on disk before the call returns.

SQLite in WAL mode with ``synchronous=FULL``: a commit is one fsync of the log, readers do not wait for writers, two
processes take turns (``BEGIN IMMEDIATE``), and after a kill at any point the log is replayed or dropped as a whole.  An
append-only file would need a lock and a repair of its own for a torn last line.  Values are JSON and numbers: opening
runs no code.
"""

from __future__ import annotations

import getpass
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayestl.version import __version__

FORMAT = 1
SUGGESTED = ("row", "task", "score", "cost", "predicted", "lower", "upper", "reason")
"""Columns of a suggestion that the campaign chooses; the ledger adds who, when and with which model."""
WAIT = 60.0
"""Seconds that a process waits for another one to finish writing."""
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE pool (key TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE suggestions (
    id INTEGER PRIMARY KEY, batch INTEGER NOT NULL, time TEXT NOT NULL, who TEXT NOT NULL, row INTEGER NOT NULL,
    task TEXT NOT NULL, score REAL, cost REAL NOT NULL, predicted REAL, lower REAL, upper REAL, reason TEXT NOT NULL,
    model TEXT NOT NULL, version TEXT NOT NULL, seed INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'open'
);
CREATE TABLE results (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, who TEXT NOT NULL, row INTEGER NOT NULL, task TEXT NOT NULL,
    value TEXT NOT NULL, se REAL, cost REAL NOT NULL, suggestion INTEGER REFERENCES suggestions(id)
);
CREATE INDEX by_state ON suggestions (state);
"""


class LedgerError(ValueError):
    """A file that is not a ledger, is damaged or of another version, or that exists already."""


def now() -> str:
    """The present time in UTC, as the ledger writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def user_name() -> str:
    """The user's login name, or "unknown"."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


class Ledger:
    """The file behind a campaign.

    Parameters
    ----------
    path : path
        An existing ledger.

    Raises
    ------
    LedgerError
        If the file does not exist, is not a ledger, or is one of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise LedgerError(f"no ledger at {self.path}")
        try:
            with self.reading() as db:
                version = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        except sqlite3.DatabaseError as error:
            raise LedgerError(f"{self.path} is no ledger of a campaign: {error}") from error
        if version is None or json.loads(version[0]) != FORMAT:
            raise LedgerError(f"{self.path}: this version reads format {FORMAT} of ledgers")

    @classmethod
    def create(
        cls, path: str | Path, meta: Mapping[str, Any], pool: pd.DataFrame, formulas: Sequence[str] | None
    ) -> Ledger:
        """A new ledger; the file appears under its name only once it is complete.

        Raises
        ------
        LedgerError
            If the file exists already: ``Campaign.open`` continues it.
        """
        path = Path(path)
        if path.exists():
            raise LedgerError(f"{path} already exists: go on with Campaign.open({str(path)!r}), or choose another path")
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{np.random.default_rng().integers(1 << 62):x}")
        try:
            with _connect(scratch) as db:
                db.executescript(_SCHEMA)
                for key, value in {"format": FORMAT, "created": now(), "who": user_name(), **meta}.items():
                    db.execute("INSERT INTO meta VALUES (?, ?)", (key, json.dumps(value)))
                names: dict[str, Any] = {
                    "columns": [str(c) for c in pool.columns],
                    "rows": [_plain(i) for i in pool.index],
                    "formulas": None if formulas is None else list(formulas),
                }
                db.execute("INSERT INTO pool VALUES ('names', ?)", (json.dumps(names).encode(),))
                values = np.ascontiguousarray(pool.to_numpy(dtype="<f8"))
                db.execute("INSERT INTO pool VALUES ('values', ?)", (values.tobytes(),))
            os.link(scratch, path)  # unlike renaming, linking fails where another process was faster
        except FileExistsError as error:
            raise LedgerError(f"{path} already exists: go on with Campaign.open({str(path)!r})") from error
        finally:
            for leftover in (scratch, Path(f"{scratch}-wal"), Path(f"{scratch}-shm")):
                leftover.unlink(missing_ok=True)
        return cls(path)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading; it does not wait for writers."""
        with _connect(self.path) as db:
            yield db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction without other writers; when the block ends all of it is on disk, after an error none."""
        with _connect(self.path) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.rollback()
                raise
            db.commit()

    def suggest(
        self, chosen: Sequence[Mapping[str, Any]], budget: float | None, model: str, seed: int
    ) -> dict[int, Mapping[str, Any]]:
        """Write suggestions (columns :data:`SUGGESTED`, rows as positions) and return those accepted, by their number.

        A suggestion is skipped if another process has suggested or measured it, or has used up the budget, since it was
        chosen.
        """
        accepted: dict[int, Mapping[str, Any]] = {}
        with self.writing() as db:
            committed = "SELECT cost FROM results UNION ALL SELECT cost FROM suggestions WHERE state = 'open'"
            spent = db.execute(f"SELECT TOTAL(cost) FROM ({committed})").fetchone()[0]
            taken = set(db.execute("SELECT row, task FROM suggestions WHERE state = 'open'").fetchall())
            taken |= set(db.execute("SELECT row, task FROM results").fetchall())
            number = db.execute("SELECT COALESCE(MAX(batch), 0) + 1 FROM suggestions").fetchone()[0]
            for pick in chosen:
                beyond = budget is not None and spent + pick["cost"] > budget + 1e-9
                if beyond or (pick["row"], pick["task"]) in taken:
                    continue
                spent += pick["cost"]
                cursor = db.execute(
                    "INSERT INTO suggestions (batch, time, who, row, task, score, cost, predicted, lower, upper, reason, model, "
                    "version, seed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (number, now(), user_name(), *(pick[c] for c in SUGGESTED), model, __version__, seed),
                )
                accepted[int(cursor.lastrowid or 0)] = pick
        return accepted

    def drop(self, suggestions: Sequence[int]) -> None:
        """Mark open suggestions as dropped: they will not be measured."""
        with self.writing() as db:
            db.executemany(
                "UPDATE suggestions SET state = 'dropped' WHERE id = ? AND state = 'open'",
                [(int(i),) for i in suggestions],
            )

    def record(self, results: Sequence[tuple[int, str, str, float | None, float]]) -> None:
        """Add results (position of the row, task, value as JSON, standard error, cost); each closes its suggestion."""
        with self.writing() as db:
            for row, task, *rest in results:
                answered = db.execute(
                    "SELECT id FROM suggestions WHERE row = ? AND task = ? AND state = 'open' ORDER BY id", (row, task)
                ).fetchone()
                suggestion = None if answered is None else answered[0]
                db.execute(
                    "INSERT INTO results (time, who, row, task, value, se, cost, suggestion) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (now(), user_name(), row, task, *rest, suggestion),
                )
                if suggestion is not None:
                    db.execute("UPDATE suggestions SET state = 'done' WHERE id = ?", (suggestion,))

    def meta(self) -> dict[str, Any]:
        """The settings with which the campaign was created."""
        with self.reading() as db:
            return {key: json.loads(value) for key, value in db.execute("SELECT key, value FROM meta")}

    def pool(self) -> tuple[pd.DataFrame, list[str] | None]:
        """Features of the candidates (n, d), and their formulas where the campaign has any."""
        with self.reading() as db:
            stored = dict(db.execute("SELECT key, value FROM pool"))
        names = json.loads(stored["names"])
        values = np.frombuffer(stored["values"], dtype="<f8").reshape(len(names["rows"]), len(names["columns"]))
        frame = pd.DataFrame(values.copy(), columns=names["columns"], index=pd.Index(names["rows"]))
        return frame, names["formulas"]

    def table(self, name: str) -> pd.DataFrame:
        """The table ``"suggestions"`` or ``"results"``, in the order in which its rows were written."""
        with self.reading() as db:
            cursor = db.execute(f"SELECT * FROM {name} ORDER BY id")
            return pd.DataFrame(cursor.fetchall(), columns=[c[0] for c in cursor.description])


@contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection in WAL mode that is closed at the end of the block; transactions are explicit."""
    db = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        yield db
    finally:
        db.close()


def _plain(value: Any) -> Any:
    """The name of a row as a JSON value."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, str | int | float) else str(value)
