"""A ledger is as it was written or is refused, whatever was done to its file; a kill loses nothing, tears nothing, doubles nothing."""

import multiprocessing
import os
import random
import sqlite3
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from support.campaigns import answers, campaign, table
from support.ledgers import bytes_damaged, content_damaged, copied, interrupted, state
from support.processes import Worker, begin, tell_suggest_withdraw

import bayestl as btl
from bayestl.active import Between, Campaign, Learn, LedgerError

needs_server = pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="Windows")


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory):
    """Ledgers of three campaigns."""
    folder = tmp_path_factory.mktemp("ledgers")
    _, Y = table()
    one = campaign(folder / "one.db", budget=2000.0, known=Y.iloc[:4])
    for n in (5, 8, 4):
        one.tell(answers(one.suggest(n)).astype({"value": object}))
    one.withdraw([3])
    one.suggest(2)
    two = campaign(folder / "two.db", Learn("exp"), [btl.Task("dft"), btl.Task("exp")], allowed=np.arange(40) < 20)
    two.tell(pd.DataFrame({"row": ["m1", "m2"], "task": "exp", "value": ["failed", "1.5"]}))
    three = campaign(folder / "three.db", Between("exp", 0.1, 0.9), seed=7)
    three.suggest(30)
    return [folder / f"{name}.db" for name in ("one", "two", "three")]


def outcome(path, originals):
    """Whether a ledger is refused or opens; fails where it opens as none that was written, or with any other exception."""
    before = path.read_bytes()
    try:
        own = Campaign.open(path, verbose=False)
        found = state(own)
    except LedgerError as error:
        words = str(error)
    else:
        assert found in originals
        return "loaded"
    assert str(path) in words
    assert len(words) < 1000
    if "is no ledger" in words or "has format" in words:
        assert path.read_bytes() == before
    return "refused"


def damage(ledgers, folder, n, seed=0):
    """Counts of the outcomes of ``n`` damages of bytes and ``n`` of contents, of each ledger."""
    rng, counts = np.random.default_rng(seed), Counter()
    states = [state(Campaign.open(path, verbose=False)) for path in ledgers]
    for k, path in enumerate(ledgers):
        others = [ledgers[k - 1], ledgers[k - 2]]
        for i in range(2 * n):
            copy = copied(path, folder / "damaged.db")
            kind = bytes_damaged(copy, others, rng) if i % 2 else content_damaged(copy, rng)
            is_mixed = kind in ("mixed", "page")  # it may be all of another one
            counts[kind, outcome(copy, states if is_mixed else [states[k]])] += 1
    return counts


def test_damaged_ledgers_are_refused(ledgers, tmp_path):
    counts = damage(ledgers, tmp_path, 60)
    assert sum(counts.values()) == 360
    assert sum(k for (_, end), k in counts.items() if end == "refused") > 150


@pytest.mark.slow
def test_many_damaged_ledgers_are_refused(ledgers, tmp_path):
    counts = damage(ledgers, tmp_path, 420, seed=1)
    print(*(f"{kind}, {end}: {k}" for (kind, end), k in sorted(counts.items())), sum(counts.values()), sep="\n")
    assert sum(counts.values()) > 2500


def test_damage_after_opening_is_seen_before_anything_is_written(ledgers, tmp_path):
    own = Campaign.open(copied(ledgers[0], tmp_path / "c.db"), verbose=False)
    with sqlite3.connect(tmp_path / "c.db") as db:
        db.execute("UPDATE results SET value = '7.0' WHERE id = 2")
    db.close()
    before = (tmp_path / "c.db").read_bytes()
    for use in (
        own.results,
        own.labels,
        own.best,
        lambda: own.suggest(1),
        lambda: own.withdraw([1]),
        lambda: own.drop([1]),
        lambda: own.tell(table()[1].iloc[:1]),
    ):
        with pytest.raises(LedgerError, match="not as written"):
            use()
    assert (tmp_path / "c.db").read_bytes() == before


@pytest.mark.parametrize("n", [16, pytest.param(200, marks=pytest.mark.slow)])
def test_an_interrupted_transaction_is_undone_or_the_ledger_refused(ledgers, tmp_path, n):
    original, rng = state(Campaign.open(ledgers[2], verbose=False)), np.random.default_rng(0)
    whole, ends = ledgers[2].read_bytes(), Counter()
    for k in range(n):
        copy = interrupted(ledgers[2], tmp_path / "c.db")
        journal = tmp_path / "c.db-journal"
        assert copy.read_bytes() != whole  # torn
        rest, at = bytearray(journal.read_bytes()), int(rng.integers(journal.stat().st_size))
        if k % 4 == 1:
            journal.unlink()
        elif k % 4 == 2:
            rest[at] ^= 1 << k % 8
            journal.write_bytes(rest)
        elif k % 4 == 3:
            journal.write_bytes(rest[:at])
        end = outcome(copy, [original])
        assert k % 4 or end == "loaded"
        assert k % 4 != 1 or end == "refused"
        ends[k % 4, end] += 1
    assert ends[2, "refused"] + ends[3, "refused"] > 0


def test_other_files_are_refused_and_left_as_they_are(tmp_path):
    others = {"text.db": b"some text" * 300, "empty.db": b"", "short.db": b"SQLite format 3\0"}
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    for name, mode in (("wal.db", "WAL"), ("plain.db", "DELETE")):
        db = sqlite3.connect(tmp_path / name)
        db.execute(f"PRAGMA journal_mode = {mode}")
        with db:
            db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
            db.execute("INSERT INTO meta VALUES ('format', '1')")
        db.close()
        others[name] = (tmp_path / name).read_bytes()
    for name, content in others.items():
        with pytest.raises(LedgerError, match="is no ledger"):
            Campaign.open(tmp_path / name)
        assert (tmp_path / name).read_bytes() == content
    assert {p.name for p in tmp_path.iterdir()} == {*others}
    (tmp_path / "folder.db").mkdir()
    os.mkfifo(tmp_path / "pipe.db")
    os.symlink(tmp_path / "gone", tmp_path / "link.db")
    for path in (
        tmp_path / "folder.db",
        tmp_path / "pipe.db",
        tmp_path / "link.db",
        tmp_path / "no\0name",
        tmp_path / "text.db" / "c.db",
    ):
        with pytest.raises(LedgerError, match=r"no ledger at|cannot be read"):
            Campaign.open(path)


def test_what_is_left_of_another_ledger_does_not_get_into_a_new_one(tmp_path):
    for end in ("-journal", "-wal"):
        leftover = tmp_path / f"c.db{end}"
        leftover.write_bytes(b"left of a ledger that was deleted")
        with pytest.raises(LedgerError, match="is left of a ledger that is gone: delete it"):
            campaign(tmp_path / "c.db")
        leftover.unlink()
    old = tmp_path / ".c.db.1.2.new"
    old.write_bytes(b"of a process that was killed")
    os.utime(old, (0, 0))
    campaign(tmp_path / "c.db")
    assert [p.name for p in tmp_path.iterdir()] == ["c.db"]


@pytest.mark.parametrize("name", ["a b.db", "a?mode=ro.db", "50%41.db", "ä#1.db"])
def test_names_of_files_are_taken_as_they_are(tmp_path, name):
    own = campaign(tmp_path / name)
    own.tell(answers(own.suggest(2)))
    assert len(Campaign.open(tmp_path / name, verbose=False).results()) == 2
    assert [p.name for p in tmp_path.iterdir()] == [name]


@needs_server
@pytest.mark.parametrize("times", [15, pytest.param(200, marks=pytest.mark.slow)])
def test_a_kill_loses_tears_and_doubles_nothing(tmp_path, times):
    path, delay = tmp_path / "c.db", random.Random(0)
    campaign(path)
    told: list[int] = []
    start = 0
    for k in range(times):
        if k % 25 == 0:  # a short ledger: what is asked is of kills, not of size
            told, start = [], 0
            for file in tmp_path.iterdir():
                file.unlink()
            campaign(path)
        worker = Worker(tell_suggest_withdraw, path, start, k)
        said = [worker.hear()]
        time.sleep(delay.uniform(0, 0.03))
        said += worker.kill()
        done = [line.decode().split() for line in said]
        told += [int(i) for kind, i in done if kind == "tell"]
        own = Campaign.open(path, verbose=False)
        results = own.ledger.table("results")
        pairs = results["value"].astype(float).to_numpy().reshape(-1, 2)
        np.testing.assert_array_equal(pairs[:, 0], -pairs[:, 1])  # both or none
        assert not pd.Series(pairs[:, 0]).duplicated().any()
        assert set(told) <= set(pairs[:, 0])
        withdrawn = results.loc[results["state"] == "withdrawn", "id"]
        assert {int(i) for kind, i in done if kind == "withdraw"} <= {0, *withdrawn}
        suggestions = own.ledger.table("suggestions")
        suggested = suggestions["score"].tolist()
        assert len(set(suggested)) == len(suggested)
        assert {float(i) for kind, i in done if kind == "suggest"} <= set(suggested)
        told = [int(v) for v in pairs[:, 0]]
        start = max([start, *told, *suggestions["score"].astype(int)], default=0) + 1
        assert {p.name for p in tmp_path.iterdir()} <= {"c.db", "c.db-journal"}


@needs_server
def test_a_kill_while_a_campaign_begins_leaves_nothing_under_its_name_or_all(tmp_path):
    delay = random.Random(0)
    begun = 0
    for k in range(12):
        path = tmp_path / f"{k}.db"
        worker = Worker(begin, path)
        worker.hear()
        time.sleep(delay.uniform(0, 0.04))
        worker.kill()
        if path.exists():
            begun += 1
            assert len(Campaign.open(path, verbose=False).pool) == 40
        else:
            campaign(path)
    assert begun < 12
