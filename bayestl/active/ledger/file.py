"""Every suggestion and every result of a campaign, on disk before the call returns.

SQLite with a rollback journal and ``synchronous=EXTRA``: two processes take turns (``BEGIN IMMEDIATE``), and after a kill at
any point a transaction is there as a whole or not at all.  Each transaction writes a seal (``schema.py``), which is compared
at every reading.  Values are JSON and numbers: opening runs no code, and a file that is no ledger is not touched.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayestl.active.ledger.schema import (
    APPLICATION,
    FORMAT,
    SCHEMA,
    SUGGESTED,
    Entry,
    LedgerError,
    campaign_seal,
    columns_of,
    insert,
    log_of,
    log_seal,
    now,
    plain_candidate,
    told_before,
    user_name,
)
from bayestl.version import __version__

WAIT = 60.0
"""Seconds that a process waits for another one to finish writing."""


class Ledger:
    """The file behind a campaign.

    Parameters
    ----------
    path : path
        An existing ledger.

    Raises
    ------
    LedgerError
        If the file does not exist, is not a ledger, is one of another version, or is not as it was written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._refuse_other_files()
        with self.reading() as db:
            schema = dict(db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())
            sound = db.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok"
            if not (sound and schema == SCHEMA and campaign_seal(db) == self._seal(db)[0]):
                raise LedgerError(f"{self.path} is damaged: it is not as it was written; go on with a copy")

    def _refuse_other_files(self) -> None:
        """Refuse what is no ledger of this version by its first bytes, before SQLite touches it."""
        try:
            there = self.path.is_file()
            start = b""
            if there:
                with self.path.open("rb") as file:
                    start = file.read(100)
        except OSError as error:
            raise LedgerError(f"{self.path} cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise LedgerError(f"{str(self.path)!r} is no path of a ledger") from error
        if not there:
            raise LedgerError(
                f"no ledger at {self.path}: begin one with Campaign(...), on the command line with suggest --pool"
            )
        if not start.startswith(b"SQLite format 3\0") or int.from_bytes(start[68:72], "big") != APPLICATION:
            raise LedgerError(f"{self.path} is no ledger of a campaign, or is damaged at its beginning")
        if (found := int.from_bytes(start[60:64], "big")) != FORMAT:
            raise LedgerError(f"{self.path} has format {found}: this version reads format {FORMAT} of ledgers")

    @classmethod
    def create(
        cls,
        path: str | Path,
        meta: Mapping[str, Any],
        pool: pd.DataFrame,
        formulas: Sequence[str] | None,
        results: Sequence[Entry] = (),
    ) -> Ledger:
        """A new ledger with its first results; the file appears under its name only once it is complete.

        Raises
        ------
        LedgerError
            If the file exists already: ``Campaign.open`` continues it.
        """
        path = Path(path)
        if path.exists() or path.is_symlink():
            raise LedgerError(
                f"{path} already exists: go on with Campaign.open({str(path)!r}) (on the command line: without --pool), or choose another path"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".{path.name}.*.new*"):  # of a process that was killed
            if time.time() - leftover.stat().st_mtime > 3600:
                leftover.unlink(missing_ok=True)
        for leftover in (Path(f"{path}{end}") for end in ("-journal", "-wal")):
            if leftover.exists():  # SQLite would write it into the new file
                raise LedgerError(f"{leftover} is left of a ledger that is gone: delete it, or choose another path")
        scratch = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns():x}.new")
        try:
            scratch.touch()
            with cls._at(scratch)._connected() as db:
                db.execute(f"PRAGMA application_id = {APPLICATION}")
                db.execute(f"PRAGMA user_version = {FORMAT}")
                db.execute("BEGIN")
                for statement in SCHEMA.values():
                    db.execute(statement)
                for key, value in {"created": now(), "who": user_name(), **meta}.items():
                    db.execute("INSERT INTO meta VALUES (?, ?)", (key, json.dumps(value)))
                names: dict[str, Any] = {
                    "columns": [str(c) for c in pool.columns],
                    "rows": [plain_candidate(i) for i in pool.index],
                    "formulas": None if formulas is None else list(formulas),
                }
                db.execute("INSERT INTO pool VALUES ('names', ?)", (json.dumps(names).encode(),))
                values = np.ascontiguousarray(pool.to_numpy(dtype="<f8"))
                db.execute("INSERT INTO pool VALUES ('values', ?)", (values.tobytes(),))
                for entry in results:
                    insert(db, entry, None)
                campaign = campaign_seal(db)
                db.execute("INSERT INTO seal VALUES (?, ?)", (campaign, log_seal(campaign, log_of(db))))
                db.execute("COMMIT")
            os.link(scratch, path)  # unlike renaming, linking fails where another process was faster
        except FileExistsError as error:
            raise LedgerError(
                f"{path} already exists: go on with Campaign.open({str(path)!r}) (on the command line: without --pool)"
            ) from error
        finally:
            for leftover in (scratch, Path(f"{scratch}-journal")):
                leftover.unlink(missing_ok=True)
        return cls(path)

    @classmethod
    def _at(cls, path: Path) -> Ledger:
        """A ledger that is not complete yet."""
        ledger = cls.__new__(cls)
        ledger.path = path
        return ledger

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection that is closed at the end of the block; transactions are explicit.

        Raises
        ------
        LedgerError
            For whatever SQLite cannot do.
        """
        mode = "rw" if os.access(self.path, os.W_OK) else "ro"
        db = None
        try:
            db = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}", timeout=WAIT, isolation_level=None, uri=True
            )
            for setting in ("synchronous = EXTRA", "trusted_schema = OFF", "cell_size_check = ON"):
                db.execute(f"PRAGMA {setting}")
            yield db
        except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
            raise LedgerError(f"{self.path} cannot be read or written: {error}") from error
        finally:
            if db is not None:
                db.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the ledger."""
        with self._connected() as db:
            db.execute("BEGIN")
            yield db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction without other writers; when the block ends all of it is on disk, after an error none."""
        with self._connected() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                self._checked_log(db)
                yield db
                campaign, _ = self._seal(db)
                db.execute("UPDATE seal SET log = ?", (log_seal(campaign, log_of(db)),))
            except BaseException:
                db.rollback()
                raise
            db.commit()

    def _seal(self, db: sqlite3.Connection) -> tuple[str, str]:
        """The seals of the campaign and of its log."""
        seals = db.execute("SELECT campaign, log FROM seal").fetchall()
        if len(seals) != 1:
            raise LedgerError(f"{self.path} is damaged: it has no seal; go on with a copy")
        return seals[0]

    def _checked_log(self, db: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
        """The rows of suggestions and results, as they were written."""
        (campaign, seal), rows = self._seal(db), log_of(db)
        if seal != log_seal(campaign, rows):
            raise LedgerError(
                f"{self.path} is damaged: its suggestions and results are not as written; go on with a copy"
            )
        return rows

    def suggest(
        self, chosen: Sequence[Mapping[str, Any]], budget: float | None, model: str, seed: int
    ) -> dict[int, Mapping[str, Any]]:
        """Write suggestions (columns :data:`SUGGESTED`, rows as positions) and return those accepted, by their number.

        A suggestion is skipped if another process has suggested or measured it, or has used up the budget, since it was
        chosen.
        """
        accepted: dict[int, Mapping[str, Any]] = {}
        with self.writing() as db:
            under_way = "suggestions WHERE state = 'open'"
            told = "results WHERE state <> 'withdrawn'"
            spent = sum(c for (c,) in db.execute(f"SELECT cost FROM {told} UNION ALL SELECT cost FROM {under_way}"))
            taken = set(db.execute(f"SELECT row, task FROM {under_way} UNION SELECT row, task FROM {told}").fetchall())
            number = db.execute("SELECT COALESCE(MAX(batch), 0) + 1 FROM suggestions").fetchone()[0]
            for pick in chosen:
                beyond = budget is not None and spent + pick["cost"] > budget + 1e-9
                if beyond or (pick["row"], pick["task"]) in taken:
                    continue
                spent += pick["cost"]
                cursor = db.execute(
                    f"INSERT INTO suggestions (batch, time, who, {', '.join(SUGGESTED)}, model, version, seed, state) "
                    f"VALUES ({', '.join('?' * (len(SUGGESTED) + 6))}, 'open')",
                    (number, now(), user_name(), *(pick[c] for c in SUGGESTED), model, __version__, seed),
                )
                accepted[int(cursor.lastrowid or 0)] = pick
        return accepted

    def drop(self, suggestions: Sequence[int]) -> None:
        """Mark open suggestions as dropped: they will not be measured."""
        with self.writing() as db:
            for number in map(int, suggestions):
                if not db.execute(
                    "UPDATE suggestions SET state = 'dropped' WHERE id = ? AND state = 'open'", (number,)
                ).rowcount:
                    raise ValueError(f"there is no open suggestion {number}: nothing is dropped")

    def record(self, entries: Sequence[Entry]) -> int:
        """Add results, each of which closes its suggestion; how many were added, without those told before.

        Raises
        ------
        ValueError
            For the number of a suggestion of another measurement, or one that has another result already.
        """
        added = 0
        with self.writing() as db:
            for entry in entries:
                suggestion = entry.suggestion
                if suggestion is None:
                    query = "SELECT id FROM suggestions WHERE row = ? AND task = ? AND state = 'open' ORDER BY id"
                    suggestion = next((i for (i,) in db.execute(query, (entry.row, entry.task))), None)
                elif told_before(db, entry):
                    continue
                insert(db, entry, suggestion)
                db.execute("UPDATE suggestions SET state = 'done' WHERE id = ?", (suggestion,))
                added += 1
        return added

    def withdraw(self, results: Sequence[int]) -> None:
        """Mark results as withdrawn; their suggestions are open again."""
        with self.writing() as db:
            for number in map(int, results):
                of_number = "WHERE id = ? AND state <> 'withdrawn'"
                found = db.execute(f"SELECT suggestion FROM results {of_number}", (number,)).fetchone()
                if found is None:
                    raise ValueError(f"there is no result {number}, or it is withdrawn already: nothing is withdrawn")
                db.execute(f"UPDATE results SET state = 'withdrawn' {of_number}", (number,))
                db.execute("UPDATE suggestions SET state = 'open' WHERE id = ?", found)

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
            return pd.DataFrame(self._checked_log(db)[name], columns=columns_of(name))
