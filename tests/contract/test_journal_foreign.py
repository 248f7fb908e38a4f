"""A journal is data that somebody may have handed over: one line, never endless, nothing of it run."""

from __future__ import annotations

import sqlite3
import time
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from journal_rows import DAY, NOW, record, result, row, sealed, take

from promomsg import open_journal
from promomsg.errors import JournalError
from promomsg.journal.records import Control
from promomsg.journal.sqlite.journal import JournalReader, SqliteJournal
from promomsg.model import State

pytestmark = pytest.mark.asyncio


async def genuine(folder: Path, *, rows: int = 600) -> Path:
    """A journal in the middle of a campaign: singles, a group, a log, a history."""
    journal = SqliteJournal(folder / "a.db", durability="process")
    people = [row(seq, word="red" if seq % 3 else None) for seq in range(rows)]
    handle = await sealed(journal, people, groups=[60], chunk_size=64)
    lease = await take(handle)
    seqs = [single_send.seq for single_send in lease.single_sends]
    assert await handle.intend(lease, seqs, NOW, DAY)
    assert await handle.settle(lease, [result(seq) for seq in seqs[:20]])
    failed = [result(seq, "failed", code="43101", detail="no") for seq in seqs[20:]]
    assert await handle.settle(lease, failed)
    await handle.release(lease)
    await handle.reopen(State.FAILED, include_unnamed=False, at=NOW)
    await handle.seal_retry(chunk_size=64)
    await handle.close()
    return Path(journal.path)


def edit(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            db.execute(statement)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()


def one_line(error: JournalError, path: Path) -> None:
    said = str(error)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    assert len(said) < len(str(path)) + 400


async def read_all(path: Path) -> list[JournalError]:
    """Every way to read it and to go on with it; the errors, which have to be one line each."""
    errors: list[JournalError] = []
    began = time.monotonic()
    try:
        with open_journal(path) as opened:
            report = opened.report()
            report.to_dict()
            list(report.outcomes())
            list(report.failures())
    except JournalError as error:
        errors.append(error)
    try:
        handle = await SqliteJournal(path, durability="process").open(write=True)
    except JournalError as error:
        errors.append(error)
    else:
        try:
            await handle.recover(idempotent=False, at=NOW, day=DAY, recent=10)
            while (await handle.take(groups=True, singles=True, idempotent=False)) is not None:
                pass
            await handle.outcomes()
        except JournalError as error:
            errors.append(error)
        finally:
            await handle.close()
    assert time.monotonic() - began < 20
    for error in errors:
        one_line(error, path)
    return errors


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"SQLite format 3\0",
        b"SQLite format 3\0" + bytes(84),
        b"SQLite format 3\0" + bytes(4080),
        b"no journal " * 500,
        bytes(range(256)) * 64,
        b"PK\x03\x04" + bytes(5000),
    ],
)
async def test_a_file_that_is_no_database_is_named_so_and_left_alone(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    assert len(await read_all(path)) == 2
    with pytest.raises(JournalError):
        await SqliteJournal(path).request(Control.PAUSE)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["a.db"]


_ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
_PLANTED = [
    ("CREATE TRIGGER t AFTER UPDATE ON recipient BEGIN DELETE FROM commit_log; END",),
    ("CREATE TRIGGER t AFTER UPDATE ON campaign BEGIN SELECT load_extension('x'); END",),
    ("CREATE VIEW extra AS SELECT 1",),
    ("CREATE TABLE extra (x)",),
    ("CREATE INDEX extra ON recipient (key)",),
    ("CREATE VIRTUAL TABLE extra USING fts5 (x)",),
    ("DROP VIEW outcomes",),
    ("DROP VIEW outcomes", f"CREATE VIEW outcomes AS {_ENDLESS}"),
    ("ALTER TABLE control RENAME TO c2", f"CREATE VIEW control AS {_ENDLESS}"),
    ("ALTER TABLE chunk RENAME TO c2", "CREATE VIEW chunk AS SELECT * FROM c2"),
    ("DROP TABLE attempt_history",),
    ("DROP TABLE commit_log",),
    ("ALTER TABLE recipient DROP COLUMN extra",),
    ("ALTER TABLE recipient ADD COLUMN more",),
    ("ALTER TABLE recipient ADD COLUMN made AS (abs(-9223372036854775808))",),
    ("DROP INDEX recipient_unsent", "CREATE INDEX recipient_unsent ON recipient (state, code)"),
    ("UPDATE sqlite_schema SET sql = 'CREATE TABLE commit_log (x)' WHERE name = 'commit_log'",),
]


@pytest.mark.parametrize("statements", _PLANTED)
async def test_what_promomsg_did_not_make_is_refused_by_its_name(
    tmp_path: Path, statements: tuple[str, ...]
) -> None:
    path = await genuine(tmp_path)
    edit(path, *statements)
    errors = await read_all(path)
    assert len(errors) == 2
    assert all("not a journal as promomsg makes them" in str(error) for error in errors)


async def test_what_analyze_leaves_is_no_harm(tmp_path: Path) -> None:
    path = await genuine(tmp_path)
    edit(path, "ANALYZE")
    assert await read_all(path) == []


_VALUES: list[Any] = [
    "X'00ff'",
    "'text'",
    "-1",
    "9e99",
    "99",
    "9223372036854775807",
    "'[1'",
    "'{}'",
]
_COLUMNS = {
    "campaign": ["name", "message", "settings", "source", "warnings", "created_at", "planned_at",
                 "campaign_file", "run_id", "halted", "chunk_size", "needs_chunks", "sender_open"],
    "control": ["requested"],
    "recipient": ["state", "attempts", "at", "group_no", "generation", "maybe_sent", "key", "id",
                  "message_values", "message_digest", "code", "rid", "extra"],
    "group_send": ["state", "planned", "message_values", "message_digest", "audience", "msg_id",
                   "percent", "sent_at", "next_poll_at", "attempts", "audience_pending"],
    "chunk": ["group_no", "first_seq", "last_seq", "epoch", "deadline", "done"],
    "commit_log": ["intended_at", "intended_day", "intended_singles", "intended_day_total",
                   "final_seqs"],
    "attempt_history": ["up_to_log_no", "state", "code"],
}  # fmt: skip


@pytest.mark.parametrize(("table", "column"), [(t, c) for t, cs in _COLUMNS.items() for c in cs])
async def test_values_of_another_kind_are_an_error_or_do_no_harm(
    tmp_path: Path, table: str, column: str
) -> None:
    """Never anything but a JournalError, whatever stands in the column."""
    path = await genuine(tmp_path, rows=200)
    whole = path.read_bytes()
    for value in _VALUES:
        path.write_bytes(whole)
        edit(path, f"UPDATE {table} SET {column} = {value}")
        await read_all(path)


async def test_text_that_is_no_utf_8_is_an_error(tmp_path: Path) -> None:
    path = await genuine(tmp_path)
    edit(path, "UPDATE recipient SET key = CAST(X'ff41' AS TEXT) WHERE seq = 300")
    assert await read_all(path)


@pytest.mark.parametrize("table", ["campaign", "control"])
async def test_a_table_that_has_to_have_a_row_has_one(tmp_path: Path, table: str) -> None:
    path = await genuine(tmp_path)
    edit(path, f"DELETE FROM {table}")
    assert len(await read_all(path)) == 2


async def test_damaged_pages_are_an_error_or_do_no_harm(tmp_path: Path) -> None:
    path = await genuine(tmp_path)
    whole = path.read_bytes()
    rng = Random(7)
    found = 0
    for trial in range(150):
        damaged = bytearray(whole)
        if trial % 3 == 0:
            at = rng.randrange(len(damaged) // 512) * 512
            damaged[at : at + 512] = rng.randbytes(512)
        elif trial % 3 == 1:
            for _ in range(rng.randrange(1, 20)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        else:
            del damaged[rng.randrange(len(damaged)) :]
        path.write_bytes(damaged)
        found += bool(await read_all(path))
        for end in ("-wal", "-shm", "-mark", ".lock"):
            Path(f"{path}{end}").unlink(missing_ok=True)
    assert found > 75


async def test_a_tree_of_pages_that_goes_in_circles_comes_to_an_end(tmp_path: Path) -> None:
    """Every child of the root is the root's first child, level upon level: 10^20 rows to read."""
    path = await genuine(tmp_path, rows=6000)
    db = sqlite3.connect(path)
    (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'recipient'").fetchone()
    db.close()
    pages = bytearray(path.read_bytes())
    size = 4096
    at = (root - 1) * size
    assert pages[at] == 5, "an interior page"
    cells = int.from_bytes(pages[at + 3 : at + 5], "big")
    children = []
    for cell in range(cells):
        where = at + int.from_bytes(pages[at + 12 + 2 * cell : at + 14 + 2 * cell], "big")
        children.append(int.from_bytes(pages[where : where + 4], "big"))
    # Twelve leaves become copies of the root, each of whose children is the next one.
    for child, following in pairwise(children[:13]):
        copy = bytearray(pages[at : at + size])
        for cell in range(cells):
            where = int.from_bytes(copy[12 + 2 * cell : 14 + 2 * cell], "big")
            copy[where : where + 4] = following.to_bytes(4, "big")
        copy[8:12] = following.to_bytes(4, "big")
        pages[(child - 1) * size : child * size] = copy
    for cell in range(cells):
        where = at + int.from_bytes(pages[at + 12 + 2 * cell : at + 14 + 2 * cell], "big")
        pages[where : where + 4] = children[0].to_bytes(4, "big")
    path.write_bytes(pages)
    errors = await read_all(path)
    assert len(errors) == 2
    assert "damaged" in str(errors[1])


async def test_rows_that_were_planned_are_what_a_later_schema_reader_still_finds(
    tmp_path: Path,
) -> None:
    """The comparison is of meaning: comments and spaces of schema.sql may change."""
    path = await genuine(tmp_path)
    edit(
        path,
        "UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', 'NOT  NULL -- said anew\n')"
        " WHERE name = 'chunk'",
    )
    with JournalReader(path) as reader:
        assert reader.record == record(planned_at=NOW)
