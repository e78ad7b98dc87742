"""Damaged copies of ledgers: bytes as broken drives leave them, and content changed with SQLite."""

import json
import shutil
import sqlite3

import numpy as np

ODD = [
    None,
    "",
    "x",
    "null",
    "[]",
    "{",
    '{"a": 1}',
    "1e999",
    "[" * 5000,
    -1,
    0,
    1.5,
    2**62,
    float("inf"),
    b"",
    b"\xff\xfe\x00",
    "ä",
]
"""What takes the place of a cell."""


def bytes_damaged(path, others, rng):
    """Damage the bytes of the file at ``path``; what was done."""
    data, kind = (
        bytearray(path.read_bytes()),
        str(rng.choice(["flip", "flips", "cut", "longer", "zeros", "mixed", "page", "header", "rest"])),
    )
    at = int(rng.integers(len(data)))
    other = others[int(rng.integers(len(others)))].read_bytes()
    if kind == "flip":
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == "flips":
        for i in rng.integers(len(data), size=6):
            data[i] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del data[at if rng.uniform() < 0.9 else 0 :]
    elif kind == "longer":
        data += rng.bytes(int(rng.integers(1, 5000)))
    elif kind == "zeros":
        data[at : at + 600] = bytes(len(data[at : at + 600]))
    elif kind == "mixed":
        data = data[:at] + other[at:]
    elif kind == "page":  # a page of another ledger, or of another place
        page = int.from_bytes(data[16:18], "big")
        source = other if rng.uniform() < 0.5 else bytes(data)
        i, j = (int(rng.integers(len(d) // page)) * page for d in (data, source))
        data[i : i + page] = source[j : j + page]
    elif kind == "header":
        data[int(rng.integers(100))] = int(rng.integers(256))
    else:  # what SQLite takes for the rest of an interrupted transaction
        end = str(rng.choice(["-journal", "-wal", "-shm"]))
        content = [rng.bytes(int(rng.integers(0, 3000))), other, bytes(data), b""][int(rng.integers(4))]
        path.with_name(path.name + end).write_bytes(content)
        kind = f"rest: {end}"
    path.write_bytes(bytes(data))
    return kind


def content_damaged(path, rng):
    """Change the content of the ledger at ``path`` with SQLite; what was done."""
    db = sqlite3.connect(path, isolation_level=None)
    tables = {"meta": ["key", "value"], "pool": ["key", "value"], "seal": ["campaign", "log"]}
    for name in ("suggestions", "results"):
        tables[name] = [c[1] for c in db.execute(f"PRAGMA table_info({name})")]
    rows = {name: [i for (i,) in db.execute(f"SELECT rowid FROM {name}")] for name in tables}
    table = str(rng.choice([name for name in tables if rows[name]]))
    column = str(rng.choice(tables[table]))
    kind = str(
        rng.choice(
            ["cell", "delete", "double", "table", "column", "view", "trigger", "JSON"],
            p=[0.5, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.1],
        )
    )
    odd = ODD[int(rng.integers(len(ODD)))]
    row = int(rng.choice(rows[table]))
    try:
        if kind == "cell":
            db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (odd, row))
        elif kind == "delete":
            db.execute(f"DELETE FROM {table} WHERE rowid >= ?", (row,))
        elif kind == "double":
            values = db.execute(f"SELECT * FROM {table} WHERE rowid = ?", (row,)).fetchone()
            own = (
                values
                if table == "seal"
                else (f"{values[0]}x" if isinstance(values[0], str) else values[0] + 100, *values[1:])
            )
            db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(own))})", own)
        elif kind == "table":
            db.execute(f"DROP TABLE {table}")
        elif kind == "column":
            db.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO other")
        elif kind == "view":
            db.execute(f"CREATE VIEW seen AS SELECT * FROM {table}")
        elif kind == "trigger":
            db.execute(f"CREATE TRIGGER t AFTER INSERT ON results BEGIN DELETE FROM {table}; END")
        else:
            key = str(rng.choice([k for (k,) in db.execute("SELECT key FROM meta")]))
            db.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(odd, default=repr), key))
    except sqlite3.Error:
        kind = "refused by SQLite"
    finally:
        db.close()
    return f"{kind} of {table}"


def copied(path, to):
    """A copy of a ledger without what other damages left beside it."""
    for leftover in to.parent.glob(f"{to.name}*"):
        leftover.unlink()
    shutil.copy(path, to)
    return to


def state(campaign):
    """All that a campaign knows, to compare."""
    log = {name: campaign.ledger.table(name).to_json() for name in ("suggestions", "results")}
    settings = [
        repr(campaign.goal),
        repr(campaign.tasks),
        repr(campaign.model),
        campaign.budget,
        campaign.acquisition,
        campaign.seed,
    ]
    return (
        log,
        settings,
        campaign.pool.to_json(),
        campaign.formulas,
        campaign.allowed.tolist(),
        np.asarray(campaign.pool).tobytes(),
    )


def interrupted(path, to):
    """A copy at ``to`` of a ledger and its journal as a kill in the middle of writing leaves them."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA cache_size = 1")
    db.execute("BEGIN IMMEDIATE")
    for k in range(40):
        db.execute("UPDATE suggestions SET reason = ? WHERE id % 7 = ?", ("written by halves " * 30, k % 7))
    db.execute("UPDATE seal SET log = 'none'")
    copied(path, to)
    shutil.copy(f"{path}-journal", f"{to}-journal")
    db.rollback()
    db.close()
    return to
